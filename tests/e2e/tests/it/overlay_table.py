# What POSIX says of files, as a table: a line a claim, printed as it is found. Run natively and over an
# overlay, each in a fresh copy of the same tree (overlay_tree.sh); the lines have to be the same.
import os,sys,mmap,fcntl,socket,stat,errno,ctypes,subprocess
os.chdir(sys.argv[1])
def t(name):
    def d(f):
        try: r=f()
        except OSError as e: r="E:"+errno.errorcode.get(e.errno,str(e.errno))
        except Exception as e: r="X:%s %r"%(type(e).__name__,e)
        print(name,r,flush=True)
    return d
def rd(p): return open(p).read()
def wr(p,s,m="w"):
    with open(p,m) as f: f.write(s)
@t("rename merged dir")
def _():
    os.rename("a","z"); return sorted(os.listdir("z")),sorted(os.listdir(".")),rd("z/one"),sorted(os.listdir("z/b"))
@t("rename back and file below")
def _():
    os.rename("z/one","z/two"); os.rename("z","a"); return sorted(os.listdir("a")), os.path.exists("z")
@t("rename over nonempty")
def _(): os.rename("empty","a")
@t("rename into itself")
def _(): os.rename("a","a/b/c")
@t("rename dir over empty")
def _():
    os.rename("a","empty"); return sorted(os.listdir("empty"))
@t("whiteout then mkdir opaque")
def _():
    for f in os.listdir("full"): os.unlink("full/"+f)
    r=os.listdir("full"); os.rmdir("full"); e=os.path.exists("full"); os.mkdir("full"); return r,e,os.listdir("full")
@t("unlink and recreate")
def _():
    os.unlink("f1"); e=os.path.exists("f1"); wr("f1","new"); return e,rd("f1"),os.stat("f1").st_nlink
@t("hard links before copy-up")
def _():
    os.link("f2","f2l"); wr("f2l","X","a"); return rd("f2"),rd("f2l"),os.stat("f2").st_nlink,os.stat("f2").st_ino==os.stat("f2l").st_ino
@t("lower hard links")
def _():
    wr("h1","Y","a"); s=os.stat("h2"); return rd("h2"),s.st_nlink,s.st_ino==os.stat("h1").st_ino
@t("lower hard links unlink")
def _():
    os.unlink("h1"); return os.stat("h2").st_nlink, rd("h2")
@t("hard links after copy-up")
def _():
    wr("f3","Z","a"); os.link("f3","f3l"); wr("f3","W","a"); return rd("f3l"),os.stat("f3").st_nlink
@t("fd survives copy-up ino")
def _():
    i=os.stat("f4").st_ino; wr("f4","q","a"); return os.stat("f4").st_ino==i
@t("fstat ino equals stat ino")
def _():
    f=os.open("f4",os.O_RDWR); r=os.fstat(f)[1:3]==os.stat("f4")[1:3]; os.close(f); return r
@t("O_TMPFILE linkat")
def _():
    fd=os.open(".",os.O_TMPFILE|os.O_RDWR,0o640); os.write(fd,b"tmp")
    libc=ctypes.CDLL(None,use_errno=True)
    if libc.linkat(-100,("/proc/self/fd/%d"%fd).encode(),-100,b"tl",0x400): raise OSError(ctypes.get_errno(),"")
    s=os.stat("tl"); n=os.fstat(fd).st_nlink; os.close(fd); return rd("tl"),oct(s.st_mode),n
@t("O_TMPFILE linkat empty path")
def _():
    fd=os.open(".",os.O_TMPFILE|os.O_RDWR,0o600); os.write(fd,b"tmp")
    libc=ctypes.CDLL(None,use_errno=True)
    r=libc.linkat(fd,b"",-100,b"tl2",0x1000); e=ctypes.get_errno()
    os.close(fd); return os.path.exists("tl2") if r==0 else errno.errorcode[e]
@t("mmap shared")
def _():
    f=open("m","r+b"); m=mmap.mmap(f.fileno(),0); m[0:1]=b"Q"; m.flush(); g=open("m","rb"); n=mmap.mmap(g.fileno(),0,mmap.MAP_SHARED,mmap.PROT_READ); m[1:2]=b"R"; return n[0:3],rd("m")[:3]
@t("locks")
def _():
    f=open("m","r+b"); fcntl.lockf(f,fcntl.LOCK_EX|fcntl.LOCK_NB)
    c=subprocess.run([sys.executable,"-c","import fcntl\nf=open('m','r+b')\ntry: fcntl.lockf(f,fcntl.LOCK_EX|fcntl.LOCK_NB); print('got')\nexcept OSError as e: print(e.errno)"],capture_output=True,text=True).stdout.strip()
    g=open("m"); fcntl.flock(f,fcntl.LOCK_EX)
    try: fcntl.flock(g,fcntl.LOCK_EX|fcntl.LOCK_NB); r="both"
    except OSError as e: r=e.errno
    return c,r
@t("exec copied-up")
def _():
    a=subprocess.run(["./prog"],capture_output=True,text=True).stdout
    wr("prog","#!/bin/sh\necho two $0\n"); b=subprocess.run(["./prog"],capture_output=True,text=True).stdout
    wr("etrue","","a"); c=subprocess.run(["./etrue"]).returncode
    os.chmod("prog",0o644)
    try: subprocess.run(["./prog"]); d="ran"
    except OSError as e: d=e.errno
    return a,b,c,d
@t("exec while open for writing")
def _():
    f=open("etrue","r+b")
    try: return subprocess.run(["./etrue"]).returncode
    finally: f.close()
@t("futimens NULL / now / fd")
def _():
    f=os.open("u",os.O_RDWR); os.utime("u",(1,1)); a=os.stat("u").st_mtime; os.utime(f); b=os.stat("u").st_mtime>1; c=os.fstat(f).st_mtime>1; os.utime(f,(5,6)); s=os.stat("u"); os.close(f); return a,b,c,s.st_atime,s.st_mtime
@t("futimens RDONLY lower")
def _():
    f=os.open("u2",os.O_RDONLY); os.utime(f,(7,8)); s=os.stat("u2"); g=os.fstat(f); return s.st_atime,s.st_mtime,g.st_mtime
@t("fchmod lower ro fd")
def _():
    f=os.open("u3",os.O_RDONLY); os.fchmod(f,0o601); return oct(os.stat("u3").st_mode),oct(os.fstat(f).st_mode)
@t("ftruncate")
def _():
    f=os.open("u3",os.O_RDWR); os.ftruncate(f,2); return os.fstat(f).st_size,rd("u3")
@t("unlinked fd")
def _():
    f=open("u4","r+"); os.unlink("u4"); f.write("abc"); f.flush(); f.seek(0); s=os.fstat(f.fileno()); return f.read(),s.st_nlink,os.path.exists("u4")
@t("renamed fd")
def _():
    f=os.open("u5",os.O_RDWR); os.rename("u5","u5b"); os.fchmod(f,0o640); os.utime(f,(9,9)); s=os.stat("u5b"); return oct(s.st_mode),s.st_mtime
@t("renamed upper dir, fd of file below")
def _():
    os.mkdir("nd"); wr("nd/x","1"); f=os.open("nd/x",os.O_RDWR); os.rename("nd","nd2"); os.fchmod(f,0o611); return oct(os.stat("nd2/x").st_mode), os.listdir("nd2")
@t("unix socket")
def _():
    s=socket.socket(socket.AF_UNIX); s.bind("sock"); s.listen(); c=socket.socket(socket.AF_UNIX); c.connect("sock"); c.send(b"hi"); p,_=s.accept(); r=p.recv(9); k=stat.S_ISSOCK(os.lstat("sock").st_mode); os.rename("sock","sock2"); c=socket.socket(socket.AF_UNIX); c.connect("sock2"); os.unlink("sock2")
    try: s2=socket.socket(socket.AF_UNIX); s2.bind("f1"); e=0
    except OSError as x: e=x.errno
    return r,k,e,os.path.exists("sock2")
@t("unix socket absolute")
def _():
    n=os.getcwd()+"/nd2/s"; s=socket.socket(socket.AF_UNIX); s.bind(n); s.listen(); c=socket.socket(socket.AF_UNIX); c.connect(n); return oct(os.stat(n).st_mode)
@t("unix dgram")
def _():
    a=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM); a.bind("d1"); b=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM); b.bind("d2"); b.connect("d1"); b.send(b"yo"); d,f=a.recvfrom(9); a.sendto(b"re",f); return d,f,b.recv(9),a.getsockname(),b.getpeername()
@t("unix dgram messages")
def _():
    a=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM); a.bind("d3"); b=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM); b.bind(os.getcwd()+"/nd2/d4")
    b.sendmsg([b"one ",b"two"],[],0,"d3"); r=a.recvmsg(20); a.sendmsg([b"back"],[],0,r[3]); q=b.recvmsg(20)
    try: a.sendto(b"x","nowhere"); e=0
    except OSError as x: e=x.errno
    return r[0],r[3]==os.getcwd()+"/nd2/d4",q[0],q[3],e
@t("failed bind leaves no name")
def _():
    s=socket.socket(socket.AF_UNIX); s.bind("once")
    try: s.bind("twice"); e=0
    except OSError as x: e=x.errno
    r=e,os.path.lexists("twice"),"twice" in os.listdir(".")
    open("twice","w").close(); os.unlink("twice"); os.unlink("once"); return r
@t("directory descriptor after rename")
def _():
    f=os.open("lots2",os.O_RDONLY); g=os.open("lots2/in",os.O_RDONLY); os.rename("lots2","lots3"); os.mkdir("lots2")
    open(os.open("made",os.O_CREAT|os.O_WRONLY,0o644,dir_fd=f),"w").close(); open(os.open("deep",os.O_CREAT|os.O_WRONLY,0o644,dir_fd=g),"w").close()
    os.rename("made","again",src_dir_fd=f,dst_dir_fd=f); r=os.stat("deep",dir_fd=g).st_size,sorted(os.listdir("lots3")),os.listdir("lots3/in"),os.listdir("lots2")
    os.fchdir(g); r2=os.path.basename(os.path.dirname(os.getcwd())); os.chdir("../.."); return r,r2,os.path.basename(os.readlink("/proc/self/fd/%d"%f)),sorted(os.listdir(f))
@t("lower fifo")
def _():
    p=subprocess.Popen(["sh","-c","cat fifo"],stdout=subprocess.PIPE); wr("fifo","low"); return p.communicate()[0]
@t("new fifo")
def _():
    os.mkfifo("ff",0o600); p=subprocess.Popen(["sh","-c","cat ff"],stdout=subprocess.PIPE); wr("ff","thru"); return p.communicate()[0],oct(os.stat("ff").st_mode)
@t("mknod regular")
def _(): os.mknod("mk",0o600|stat.S_IFREG); return oct(os.stat("mk").st_mode)
@t("symlinks")
def _():
    os.symlink("f1","sl"); a=rd("sl"),os.readlink("lnk"),rd("lnk"); os.unlink("lnk"); os.symlink("/etc/hostname","lnk"); return a,os.readlink("lnk"),os.lstat("sl").st_size
@t("lutimes")
def _():
    os.utime("sl",(3,4),follow_symlinks=False); return os.lstat("sl").st_mtime
@t("readdir while deleting")
def _():
    os.mkdir("many")
    for i in range(600): open("many/%d"%i,"w").close()
    n=0
    for e in os.scandir("many"):
        os.unlink(e.path); n+=1
    return n,os.listdir("many")
@t("rm -rf 600 lower")
def _():
    r=subprocess.run(["rm","-rf","lots"],capture_output=True,text=True); return r.returncode,r.stderr,os.path.exists("lots")
@t("seekdir")
def _():
    libc=ctypes.CDLL(None); libc.opendir.restype=ctypes.c_void_p; libc.readdir.restype=ctypes.c_void_p; libc.telldir.restype=ctypes.c_long
    D=libc.opendir(b"seek"); D=ctypes.c_void_p(D)
    def nx():
        p=libc.readdir(D)
        return ctypes.string_at(p+19) if p else None
    names=[];pos=[]
    while True:
        q=libc.telldir(D); n=nx()
        if n is None: break
        names.append(n);pos.append(q)
    ok=True
    for i in (3,0,10,len(names)-1):
        libc.seekdir(D,ctypes.c_long(pos[i])); ok&=nx()==names[i]
    libc.rewinddir(D); open("seek/newname","w").close(); libc.rewinddir(D); s=set()
    while True:
        n=nx()
        if n is None: break
        s.add(n)
    return ok,len(names),len(s),any(n.startswith(b"newname") for n in s)
@t("xattr")
def _():
    os.setxattr("f1","user.k",b"v"); os.setxattr("x1","user.k",b"w"); r=os.getxattr("f1","user.k"),os.getxattr("x1","user.k"),os.listxattr("x1"); os.removexattr("x1","user.k"); return r,os.listxattr("x1")
@t("exchange")
def _():
    libc=ctypes.CDLL(None,use_errno=True)
    if libc.renameat2(-100,b"e1",-100,b"e2",2): raise OSError(ctypes.get_errno(),"")
    return rd("e1"),rd("e2")
@t("noreplace")
def _():
    libc=ctypes.CDLL(None,use_errno=True)
    if libc.renameat2(-100,b"e1",-100,b"e2",1): raise OSError(ctypes.get_errno(),"")
@t("append and excl")
def _():
    f=os.open("e1",os.O_WRONLY|os.O_APPEND); os.write(f,b"+"); r=rd("e1")
    try: os.open("e1",os.O_CREAT|os.O_EXCL)
    except OSError as e: return r,e.errno
@t("umask sgid")
def _():
    os.umask(0o027); os.mkdir("um"); wr("um/f",""); os.chmod("um",0o2775); os.mkdir("um/s"); return oct(os.stat("um").st_mode),oct(os.stat("um/f").st_mode),oct(os.stat("um/s").st_mode)
@t("chdir and relative")
def _():
    os.chdir("um"); wr("rel","x"); os.chdir(".."); f=os.open("um",os.O_RDONLY); os.fchdir(f); r=sorted(os.listdir(".")),os.path.basename(os.getcwd()); os.chdir(".."); return r
@t("chdir renamed")
def _():
    os.chdir("um"); os.rename("../um","../um2"); r=os.path.basename(os.getcwd()); wr("y",""); os.chdir(".."); return r,sorted(os.listdir("um2"))
@t("kinds of names")
def _(): 
    return sorted((e.name,e.is_dir(),e.is_symlink()) for e in os.scandir("."))
@t("fallocate copy_file_range sendfile")
def _():
    f=os.open("u",os.O_RDWR); os.posix_fallocate(f,0,100); g=os.open("big",os.O_RDONLY); n=os.copy_file_range(g,f,50); m=os.sendfile(f,g,0,10); return n,m,os.fstat(f).st_size
@t("inotify-free fsync")
def _():
    f=os.open("u",os.O_RDWR); os.fsync(f); os.fdatasync(f); d=os.open("seek",os.O_RDONLY); os.fsync(d); os.sync(); return 1
@t("O_PATH")
def _():
    f=os.open("f1",os.O_PATH); s=os.fstat(f); r=open("/proc/self/fd/%d"%f).read(); return s.st_size,r
@t("reopen by proc fd for writing")
def _():
    f=os.open("rp",os.O_RDONLY); wr("/proc/self/fd/%d"%f,"!","a"); return rd("rp")
@t("proc fd link")
def _():
    f=os.open("big",os.O_RDONLY); g=os.open("e1",os.O_RDWR); h=os.open("um2/y",os.O_RDWR); n=lambda f: os.readlink("/proc/self/fd/%d"%f).replace(os.getcwd(),"HERE"); r=n(f),n(g),n(h); os.unlink("um2/y"); return r,n(h)
