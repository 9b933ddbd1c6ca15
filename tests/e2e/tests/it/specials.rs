//! FIFOs and device nodes of virtual file systems.

use e2e::{View, Work, combinations, need};

const MOUNT: &str =
    "truncate -s 16M disk; mkfs.ext4 -q disk; mkdir mnt; mount -t umfuseext4 -o rw+ disk mnt; ";

#[test]
fn a_fifo_joins_two_programs() {
    need("mkfs.ext4", "e2fsprogs");
    for combination in combinations() {
        let work = Work::new(combination.1);
        let view = View::of(combination).preload("umfuse").folder(work.path());
        let output = view.run(&format!(
            "{MOUNT} mkfifo mnt/f; cat mnt/f & echo one >mnt/f; wait; \
             (exec 9>mnt/f; echo two >&9) & cat <mnt/f; wait; stat -c %F mnt/f; {PYTHON}\
             rm mnt/f; umount mnt; echo $?"
        ));
        let seen = "one\ntwo\nfifo\n6\nb'abc' 0o10644 True True\n29\n0\n";
        assert_eq!(output.stdout, seen, "{combination:?}: {output:?}");
    }
}

/// The number of a removed FIFO is the next file's, and its pipe is not.
#[test]
fn a_file_that_gets_the_inode_of_a_fifo_is_a_file() {
    for combination in combinations() {
        let work = Work::new(combination.1);
        let view = View::of(combination).preload("umfuse").folder(work.path());
        let output = view.run(&format!(
            "{MOUNT} mkfifo mnt/f; cat mnt/f & echo through >mnt/f; wait; old=$(stat -c %i mnt/f); rm mnt/f; \
             echo text >mnt/g; [ $old = $(stat -c %i mnt/g) ] && echo same; cat mnt/g; \
             mkfifo mnt/h mnt/i; mv mnt/h mnt/i; cat mnt/i & echo moved >mnt/i; wait"
        ));
        assert_eq!(output.stdout, "through\nsame\ntext\nmoved\n", "{combination:?}: {output:?}");
    }
}

const PYTHON: &str = r#"python3 - <<'END'
import os
try: os.open('mnt/f', os.O_WRONLY | os.O_NONBLOCK)
except OSError as e: print(e.errno)
r = os.open('mnt/f', os.O_RDONLY | os.O_NONBLOCK); w = os.open('mnt/f', os.O_WRONLY)
os.write(w, b'abc')
print(os.read(r, 9), oct(os.fstat(r).st_mode), os.fstat(r).st_ino == os.stat('mnt/f').st_ino,
      os.readlink(f'/proc/self/fd/{r}').endswith('/mnt/f'))
try: os.lseek(r, 0, 0)
except OSError as e: print(e.errno)
END
"#;

/// A node of an image is a number: it leads to what the view has under it, never to the machine's own memory or disks.
#[test]
fn a_device_node_leads_to_the_views_device_or_to_a_harmless_one() {
    for combination in combinations() {
        let work = Work::new(combination.1);
        let view = View::of(combination).preload("umfuse").preload("umdev").folder(work.path());
        let output = view.run(&format!(
            "{MOUNT} mknod mnt/null c 1 3; echo gone >mnt/null; wc -c <mnt/null; mknod mnt/zero c 1 5; \
             head -c 2 mnt/zero | od -An -tx1; mknod mnt/mem c 1 1; cat mnt/mem 2>&1; mknod mnt/vda b 254 0; cat mnt/vda 2>&1; \
             truncate -s 4M image; mount -t umdevmbr image /dev/hdq; set -- $(stat -c '%t %T' /dev/hdq); \
             mknod mnt/disk b 0x$1 0x$2; printf xyz | dd of=mnt/disk conv=notrunc 2>/dev/null; head -c 3 /dev/hdq; echo"
        ));
        let seen = "0\n 00 00\ncat: mnt/mem: No such device or address\ncat: mnt/vda: No such device or address\nxyz\n";
        assert_eq!(output.stdout, seen, "{combination:?}: {output:?}");
    }
}

#[test]
fn a_node_that_virtual_root_made_is_a_device() {
    for combination in combinations() {
        let work = Work::new(combination.1);
        let view = View::of(combination).preload("viewfs").folder(work.path());
        let output = view.run(
            "mkdir store below; viewsu -c 'mount -t viewfs -o cow,vstat store below && cd below && mknod null c 1 3 && \
             echo gone >null; wc -c <null; stat -c \"%F %t %T\" null; mknod mem c 1 1; cat mem 2>&1; mkfifo f; cat f & echo through >f; wait'",
        );
        let seen = "0\ncharacter special file 1 3\ncat: mem: No such device or address\nthrough\n";
        assert_eq!(output.stdout, seen, "{combination:?}: {output:?}");
    }
}

/// A socket has its name in the virtual file system alone.
#[test]
fn a_socket_is_found_by_its_name_in_a_virtual_file_system() {
    for combination in combinations() {
        let work = Work::new(combination.1);
        let view = View::of(combination).preload("umfuse").folder(work.path());
        let output = view.run(&format!("{MOUNT} {SOCKETS}rm mnt/s; umount mnt; echo $?"));
        let seen = "mnt/s True\nb'hello' mnt/s\n111\nb'gram' mnt/c\n98\n0\n";
        assert_eq!(output.stdout, seen, "{combination:?}: {output:?}");
    }
}

const SOCKETS: &str = r#"python3 - <<'END'
import os, socket, stat
s = socket.socket(socket.AF_UNIX); s.bind('mnt/s'); s.listen(1)
print(s.getsockname(), stat.S_ISSOCK(os.stat('mnt/s').st_mode))
c = socket.socket(socket.AF_UNIX); c.connect('mnt/s'); a, _ = s.accept()
c.send(b'hello'); print(a.recv(9), c.getpeername())
s.close(); c.close(); a.close()
try: socket.socket(socket.AF_UNIX).connect('mnt/s')
except OSError as e: print(e.errno)
d = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); d.bind('mnt/d')
c = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); c.bind('mnt/c')
c.sendto(b'gram', 'mnt/d'); print(*d.recvfrom(9))
try: socket.socket(socket.AF_UNIX).bind('mnt/d')
except OSError as e: print(e.errno)
END
"#;

/// An inode that only a descriptor or a working directory is left of, while its number is another file's already.
const LOST: &str = r#"python3 - <<'END'
import os
def tried(what):
    try: return what()
    except OSError as error: return os.strerror(error.errno)
def number(name): return os.stat(name).st_ino
os.mkfifo('mnt/f', 0o640)
fifo, path, old = os.open('mnt/f', os.O_RDWR), os.open('mnt/f', os.O_PATH), number('mnt/f')
os.unlink('mnt/f')
file = os.open('mnt/g', os.O_CREAT | os.O_RDWR, 0o600)
os.write(file, b'text')
print('again', number('mnt/g') == old)
for fd in fifo, path:
    s = os.fstat(fd)
    print(oct(s.st_mode), s.st_nlink, s.st_size)
tried(lambda: os.fchmod(fifo, 0o777))
print(oct(os.fstat(file).st_mode))
os.write(fifo, b'pipe')
print(os.read(fifo, 9))
for flags in os.O_RDONLY, os.O_PATH:
    os.mkdir('mnt/d', 0o750)
    folder, old = os.open('mnt/d', flags), number('mnt/d')
    os.rmdir('mnt/d')
    os.mkdir('mnt/e', 0o700)
    print('again', number('mnt/e') == old)
    s = os.fstat(folder)
    print(oct(s.st_mode), s.st_nlink)
    print(tried(lambda: os.open('x', os.O_CREAT | os.O_RDWR, dir_fd=folder)), tried(lambda: os.mkdir('y', dir_fd=folder)))
    print(os.listdir('mnt/e'), tried(lambda: os.stat('x', dir_fd=folder)))
    if flags == os.O_RDONLY: print(os.listdir(folder))
    os.rmdir('mnt/e')
top = os.getcwd()
os.mkdir('mnt/d')
old = number('mnt/d')
os.chdir('mnt/d')
os.mkdir('../v')
os.rename('../v', '../d')
os.mkdir('../w')
print('again', number('../w') == old)
print(tried(lambda: os.open('x', os.O_CREAT | os.O_RDWR)), tried(lambda: os.listdir('nothing')))
os.chdir(top)
print(os.listdir('mnt/d'), os.listdir('mnt/w'))
END
"#;

#[test]
fn a_number_that_is_another_files_leads_nobody_there() {
    need("mkfs.ext4", "e2fsprogs");
    need("python3", "python3");
    let none = "No such file or directory";
    let folder = format!("again True\n0o40750 0\n{none} {none}\n[] {none}\n");
    let seen = format!(
        "again True\n0o10640 0 0\n0o10640 0 0\n0o100600\nb'pipe'\n{folder}[]\n{folder}again True\n{none} {none}\n[] []\n"
    );
    for combination in combinations() {
        let work = Work::new(combination.1);
        let view = View::of(combination).preload("umfuse").folder(work.path());
        let output = view.run(&format!("umask 0; {MOUNT}{LOST}"));
        assert_eq!(output.stdout, seen, "{combination:?}: {output:?}");
    }
}
