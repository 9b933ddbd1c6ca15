//! `umfusemem`, operation by operation.

use crate::doubles::{create, name, names, open};
use abi::Errno;
use abi::dev::DevNum;
use abi::fs::{
    Caller, Cookie, FallocateMode, FileKind, FileSystem, FileSystemType, FsSource, Ino, Name,
    OpenFlags, Opened, RenameFlags, SeekTo, SetAttr, SetTime, Timestamp, XattrFlags,
};
use abi::options::Options;
use std::sync::Arc;
use umfuse::memfs::{MemFs, MemFsType};

const WHO: Caller = Caller { uid: 0, gid: 0, pid: 0 };

fn mounted(options: &str) -> Arc<dyn FileSystem> {
    let mut options = Options::parse(options);
    let fs = MemFsType.mount(FsSource::Text("none".into()), false, &mut options).unwrap();
    options.finish().unwrap();
    fs
}

#[test]
fn writing_and_reading_back() {
    let fs = MemFs::default();
    let (attr, handle) = create(&fs, fs.root(), "f").unwrap();
    assert_eq!((attr.kind, attr.nlink, attr.size_bytes), (FileKind::Regular, 1, 0));
    assert_eq!(fs.write(handle, b"hello", 3), Ok(5));
    let mut buf = [9; 10];
    assert_eq!(fs.read(handle, &mut buf, 0), Ok(8));
    assert_eq!(&buf[..8], b"\0\0\0hello");
    assert_eq!(fs.getattr(attr.ino).unwrap().blocks_512, 8);
    fs.release(handle);
    let reader = open(&fs, attr.ino, OpenFlags::READ).unwrap();
    // Error: not opened for writing.
    assert_eq!(fs.write(reader, b"x", 0), Err(Errno::EBADF));
    // Error: behind what an offset can be.
    let writer = open(&fs, attr.ino, OpenFlags::WRITE).unwrap();
    assert_eq!(fs.write(writer, b"xx", i64::MAX as u64 - 1), Err(Errno::EFBIG));
    assert_eq!(fs.write(writer, b"x", u64::MAX), Err(Errno::EFBIG));
    // Error: not opened for reading.
    assert_eq!(fs.read(writer, &mut buf, 0), Err(Errno::EBADF));
    let cut = open(&fs, attr.ino, OpenFlags::WRITE | OpenFlags::TRUNCATE).unwrap();
    assert_eq!(fs.getattr(attr.ino).unwrap().size_bytes, 0);
    fs.release(cut);
}

#[test]
fn size_limit_counts_chunks_and_gives_them_back() {
    let fs = mounted("size=12K");
    let (attr, handle) = create(&*fs, fs.root(), "f").unwrap();
    assert_eq!(fs.write(handle, &[1; 20_000], 0), Ok(12_288));
    assert_eq!(fs.statfs().unwrap().blocks_free, 0);
    // Error: not one byte fits.
    assert_eq!(fs.write(handle, b"x", 20_000), Err(Errno::ENOSPC));
    let (_, other) = create(&*fs, fs.root(), "g").unwrap();
    assert_eq!(fs.fallocate(other, FallocateMode::empty(), 0, 1), Err(Errno::ENOSPC));
    let punch = FallocateMode::PUNCH_HOLE | FallocateMode::KEEP_SIZE;
    fs.fallocate(handle, punch, 0, 8192).unwrap();
    assert_eq!(fs.statfs().unwrap().blocks_free, 2);
    // Unlinked, it keeps its bytes until nobody has it open.
    fs.unlink(WHO, fs.root(), name("f")).unwrap();
    let mut buf = [0; 1];
    assert_eq!(fs.read(handle, &mut buf, 12_287), Ok(1));
    assert_eq!(fs.getattr(attr.ino).unwrap().nlink, 0);
    fs.release(handle);
    assert_eq!(fs.getattr(attr.ino).unwrap_err(), Errno::ESTALE);
    assert_eq!(fs.statfs().unwrap().blocks_free, 3);
}

#[test]
fn inode_limit_and_options() {
    let fs = mounted("inodes=2,mode=700");
    assert_eq!(fs.getattr(fs.root()).unwrap().perm, 0o700);
    create(&*fs, fs.root(), "a").unwrap();
    assert_eq!(create(&*fs, fs.root(), "b").unwrap_err(), Errno::ENOSPC);
    assert_eq!(fs.statfs().unwrap().files_free, 0);
    let text = || FsSource::Text("none".into());
    let refusal = MemFsType.mount(text(), false, &mut Options::parse("mode=8")).err().unwrap();
    assert_eq!(refusal.errno, Errno::EINVAL);
    let fs = MemFsType.mount(text(), true, &mut Options::default()).unwrap();
    assert!(fs.is_read_only());
    assert_eq!(create(&*fs, fs.root(), "a").unwrap_err(), Errno::EROFS);
}

#[test]
fn errors_come_in_the_order_of_the_contract() {
    let fs = MemFs::default();
    let root = fs.root();
    let (file, handle) = create(&fs, root, "f").unwrap();
    let directory = fs.mkdir(WHO, root, name("d"), 0o755).unwrap().ino;
    let gone = fs.mkdir(WHO, root, name("gone"), 0o755).unwrap().ino;
    let held = open(&fs, gone, OpenFlags::READ).unwrap();
    fs.rmdir(WHO, root, name("gone")).unwrap();
    assert_eq!(fs.lookup(Ino(99), name("x")).unwrap_err(), Errno::ESTALE);
    assert_eq!(fs.lookup(file.ino, name("x")).unwrap_err(), Errno::ENOTDIR);
    assert_eq!(fs.lookup(root, name("x")).unwrap_err(), Errno::ENOENT);
    assert_eq!(create(&fs, file.ino, "x").unwrap_err(), Errno::ENOTDIR);
    assert_eq!(create(&fs, gone, "x").unwrap_err(), Errno::ENOENT);
    assert_eq!(create(&fs, root, "f").unwrap_err(), Errno::EEXIST);
    assert_eq!(fs.unlink(WHO, root, name("d")).unwrap_err(), Errno::EISDIR);
    assert_eq!(fs.rmdir(WHO, root, name("f")).unwrap_err(), Errno::ENOTDIR);
    assert_eq!(fs.link(WHO, directory, root, name("f")).unwrap_err(), Errno::EPERM);
    assert_eq!(fs.link(WHO, file.ino, root, name("d")).unwrap_err(), Errno::EEXIST);
    assert_eq!(fs.readlink(file.ino).unwrap_err(), Errno::EINVAL);
    assert_eq!(open(&fs, directory, OpenFlags::WRITE).unwrap_err(), Errno::EISDIR);
    let fifo = fs.mknod(WHO, root, name("p"), FileKind::Fifo, 0o644, DevNum::default()).unwrap();
    assert_eq!(open(&fs, fifo.ino, OpenFlags::READ).unwrap_err(), Errno::ENXIO);
    let cut = SetAttr { size_bytes: Some(1), ..SetAttr::default() };
    assert_eq!(fs.setattr(WHO, directory, &cut).unwrap_err(), Errno::EISDIR);
    assert_eq!(fs.setattr(WHO, fifo.ino, &cut).unwrap_err(), Errno::EINVAL);
    let far = SetAttr { size_bytes: Some(u64::MAX), ..SetAttr::default() };
    assert_eq!(fs.setattr(WHO, file.ino, &far).unwrap_err(), Errno::EFBIG);
    let long = vec![b'x'; 4096];
    assert_eq!(fs.symlink(WHO, root, name("l"), &long).unwrap_err(), Errno::ENAMETOOLONG);
    assert_eq!(fs.symlink(WHO, root, name("f"), &long).unwrap_err(), Errno::EEXIST);
    assert_eq!(fs.read(held, &mut [0], 0).unwrap_err(), Errno::EISDIR);
    assert_eq!(fs.readdir(handle, Cookie(0), &mut |_| true).unwrap_err(), Errno::ENOTDIR);
    fs.release(held);
    assert_eq!(fs.readdir(held, Cookie(0), &mut |_| true).unwrap_err(), Errno::EBADF);
}

#[test]
fn rename_in_all_its_forms() {
    let fs = MemFs::default();
    let root = fs.root();
    let mkdir = |parent, text| fs.mkdir(WHO, parent, name(text), 0o755).unwrap().ino;
    let (a, b) = (mkdir(root, "a"), mkdir(root, "b"));
    let deep = mkdir(a, "deep");
    let file = create(&fs, root, "f").unwrap().0.ino;
    let go = |from: (Ino, &str), to: (Ino, &str), flags| {
        fs.rename(WHO, from.0, name(from.1), to.0, name(to.1), flags)
    };
    let plain = RenameFlags::empty();
    let (once, swap) = (RenameFlags::NOREPLACE, RenameFlags::EXCHANGE);
    assert_eq!(go((root, "f"), (root, "g"), RenameFlags::WHITEOUT), Err(Errno::EINVAL));
    assert_eq!(go((root, "f"), (root, "g"), once | swap), Err(Errno::EINVAL));
    assert_eq!(go((file, "f"), (root, "g"), plain), Err(Errno::ENOTDIR));
    assert_eq!(go((root, "no"), (root, "g"), plain), Err(Errno::ENOENT));
    assert_eq!(go((root, "f"), (root, "no"), swap), Err(Errno::ENOENT));
    assert_eq!(go((root, "a"), (deep, "x"), plain), Err(Errno::EINVAL));
    assert_eq!(go((a, "deep"), (root, "a"), swap), Err(Errno::EINVAL));
    assert_eq!(go((root, "f"), (root, "a"), once), Err(Errno::EEXIST));
    assert_eq!(go((root, "f"), (root, "a"), plain), Err(Errno::EISDIR));
    assert_eq!(go((root, "b"), (root, "f"), plain), Err(Errno::ENOTDIR));
    assert_eq!(go((root, "b"), (root, "a"), plain), Err(Errno::ENOTEMPTY));
    // An empty directory is replaced; links follow.
    assert_eq!(fs.getattr(root).unwrap().nlink, 4);
    assert_eq!(go((a, "deep"), (root, "b"), plain), Ok(()));
    assert_eq!(fs.getattr(b).unwrap_err(), Errno::ESTALE);
    assert_eq!(fs.lookup(root, name("b")).unwrap().ino, deep);
    assert_eq!((fs.getattr(root).unwrap().nlink, fs.getattr(a).unwrap().nlink), (4, 2));
    // A file and a directory change places.
    assert_eq!(go((root, "f"), (root, "a"), swap), Ok(()));
    assert_eq!(fs.lookup(root, name("a")).unwrap().ino, file);
    assert_eq!(fs.lookup(root, name("f")).unwrap().ino, a);
    // Two names of one inode: nothing happens.
    fs.link(WHO, file, root, name("hard")).unwrap();
    assert_eq!(go((root, "a"), (root, "hard"), plain), Ok(()));
    assert_eq!(fs.getattr(file).unwrap().nlink, 2);
    assert_eq!(names(&fs, root).unwrap().len(), 4);
}

#[test]
fn nameless_files_get_a_name_once() {
    let fs = MemFs::default();
    let flags = OpenFlags::READ | OpenFlags::WRITE;
    let (attr, opened) = fs.tmpfile(WHO, fs.root(), 0o600, flags).unwrap();
    let Opened::Handle(handle) = opened else { panic!("not a handle") };
    assert_eq!(attr.nlink, 0);
    fs.write(handle, b"x", 0).unwrap();
    assert_eq!(fs.link(WHO, attr.ino, fs.root(), name("t")).unwrap().nlink, 1);
    fs.unlink(WHO, fs.root(), name("t")).unwrap();
    // Error: it had a name and lost it.
    assert_eq!(fs.link(WHO, attr.ino, fs.root(), name("t")).unwrap_err(), Errno::ENOENT);
    fs.release(handle);
    assert_eq!(fs.getattr(attr.ino).unwrap_err(), Errno::ESTALE);
}

#[test]
fn entries_are_offered_once_while_others_come_and_go() {
    let fs = MemFs::default();
    let root = fs.root();
    for i in 0..1000 {
        create(&fs, root, &format!("stays{i}")).unwrap();
        create(&fs, root, &format!("goes{i}")).unwrap();
    }
    let handle = open(&fs, root, OpenFlags::READ).unwrap();
    let mut seen = Vec::new();
    let mut cookie = Cookie(0);
    let mut round = 0;
    loop {
        let before = seen.len();
        fs.readdir(handle, cookie, &mut |entry| {
            if seen.len() == before + 50 {
                return false;
            }
            seen.push(String::from_utf8(entry.name.to_vec()).unwrap());
            cookie = entry.next;
            true
        })
        .unwrap();
        if seen.len() == before {
            break;
        }
        for i in 0..10 {
            fs.unlink(WHO, root, name(&format!("goes{}", round * 10 + i))).ok();
        }
        if round < 30 {
            create(&fs, root, &format!("comes{round}")).unwrap();
        }
        round += 1;
        assert!(round < 1000, "the walk has no end");
    }
    let mut stays: Vec<_> = seen.iter().filter(|n| n.starts_with("stays")).collect();
    assert_eq!(stays.len(), 1000);
    stays.sort();
    stays.dedup();
    assert_eq!(stays.len(), 1000);
    // The sink may call back.
    fs.readdir(handle, Cookie(0), &mut |e| fs.lookup(root, Name::new(e.name).unwrap()).is_ok())
        .unwrap();
}

#[test]
fn attributes_change_as_told() {
    let fs = MemFs::default();
    let (attr, _) = create(&fs, fs.root(), "f").unwrap();
    let time = |seconds| SetTime::At(Timestamp { seconds, nanos: 5 });
    let changes = SetAttr {
        perm: Some(0o4755),
        uid: Some(1),
        gid: Some(2),
        size_bytes: Some(10_000),
        atime: Some(time(-1)),
        mtime: Some(time(1 << 40)),
    };
    let after = fs.setattr(WHO, attr.ino, &changes).unwrap();
    assert_eq!((after.perm, after.uid, after.gid, after.size_bytes), (0o4755, 1, 2, 10_000));
    assert_eq!(after.atime, Timestamp { seconds: -1, nanos: 5 });
    assert_eq!(after.mtime, Timestamp { seconds: 1 << 40, nanos: 5 });
    assert!(after.ctime >= attr.ctime);
    assert_eq!(fs.getattr(attr.ino).unwrap(), after);
}

#[test]
fn new_files_belong_to_their_maker_or_the_group_of_the_directory() {
    let fs = MemFs::default();
    let root = fs.root();
    let who = Caller { uid: 5, gid: 6, pid: 0 };
    let directory = fs.mkdir(who, root, name("d"), 0o2775).unwrap();
    assert_eq!((directory.uid, directory.gid), (5, 6));
    let other = Caller { uid: 7, gid: 8, pid: 0 };
    let inner = fs.mkdir(other, directory.ino, name("i"), 0o755).unwrap();
    assert_eq!((inner.uid, inner.gid, inner.perm), (7, 6, 0o2755));
    let rdev = DevNum { major: 300, minor: 70_000 };
    let device = fs.mknod(who, root, name("c"), FileKind::CharDevice, 0o600, rdev).unwrap();
    assert_eq!((device.kind, device.rdev), (FileKind::CharDevice, rdev));
    let link = fs.symlink(who, root, name("l"), b"target").unwrap();
    assert_eq!((link.size_bytes, fs.readlink(link.ino).unwrap()), (6, b"target".to_vec()));
}

#[test]
fn holes_and_allocations() {
    let fs = MemFs::default();
    let (attr, handle) = create(&fs, fs.root(), "f").unwrap();
    fs.write(handle, b"end", 1 << 40).unwrap();
    assert_eq!(fs.lseek(handle, 0, SeekTo::Data), Ok(1 << 40));
    assert_eq!(fs.lseek(handle, 5, SeekTo::Hole), Ok(5));
    assert_eq!(fs.lseek(handle, (1 << 40) + 3, SeekTo::Hole), Err(Errno::ENXIO));
    let mode = FallocateMode::COLLAPSE_RANGE;
    assert_eq!(fs.fallocate(handle, mode, 0, 4096), Err(Errno::EOPNOTSUPP));
    assert_eq!(fs.fallocate(handle, FallocateMode::PUNCH_HOLE, 0, 1), Err(Errno::EOPNOTSUPP));
    assert_eq!(fs.fallocate(handle, FallocateMode::empty(), u64::MAX, 1), Err(Errno::EFBIG));
    let beyond = (1 << 40) + 8192;
    fs.fallocate(handle, FallocateMode::KEEP_SIZE, beyond, 4096).unwrap();
    assert_eq!(fs.getattr(attr.ino).unwrap().size_bytes, (1 << 40) + 3);
    fs.fallocate(handle, FallocateMode::ZERO_RANGE, 1 << 40, 100_000).unwrap();
    assert_eq!(fs.getattr(attr.ino).unwrap().size_bytes, (1 << 40) + 100_000);
    let mut buf = [9; 3];
    assert_eq!(fs.read(handle, &mut buf, 1 << 40), Ok(3));
    assert_eq!(buf, [0; 3]);
}

#[test]
fn extended_attributes() {
    let fs = MemFs::default();
    let ino = create(&fs, fs.root(), "f").unwrap().0.ino;
    let (any, new, old) = (XattrFlags::empty(), XattrFlags::CREATE, XattrFlags::REPLACE);
    assert_eq!(fs.setxattr(ino, b"system.posix_acl_access", b"", any), Err(Errno::EOPNOTSUPP));
    assert_eq!(fs.setxattr(ino, b"user.", b"", any), Err(Errno::EOPNOTSUPP));
    assert_eq!(fs.setxattr(ino, b"user.a", b"", old), Err(Errno::ENODATA));
    assert_eq!(fs.setxattr(ino, b"user.a", b"1", new), Ok(()));
    assert_eq!(fs.setxattr(ino, b"user.a", b"2", new), Err(Errno::EEXIST));
    assert_eq!(fs.setxattr(ino, b"user.a", &[0; 65_537], any), Err(Errno::E2BIG));
    assert_eq!(fs.setxattr(ino, b"trusted.b", b"2", any), Ok(()));
    assert_eq!(fs.getxattr(ino, b"user.a").unwrap(), b"1");
    assert_eq!(fs.listxattr(ino).unwrap(), [&b"trusted.b"[..], b"user.a"]);
    assert_eq!(fs.removexattr(ino, b"user.a"), Ok(()));
    assert_eq!(fs.removexattr(ino, b"user.a"), Err(Errno::ENODATA));
    for i in 0..15 {
        fs.setxattr(ino, format!("user.{i}").as_bytes(), &[1; 65_536], any).unwrap();
    }
    assert_eq!(fs.setxattr(ino, b"user.last", &[1; 65_536], any), Err(Errno::ENOSPC));
    let link = fs.symlink(WHO, fs.root(), name("l"), b"x").unwrap().ino;
    assert_eq!(fs.setxattr(link, b"user.a", b"", any), Err(Errno::EPERM));
}

#[test]
fn reads_move_the_access_time_as_relatime_does() {
    let fs = MemFs::default();
    let (attr, handle) = create(&fs, fs.root(), "f").unwrap();
    fs.write(handle, b"x", 0).unwrap();
    let old = SetAttr { atime: Some(SetTime::At(Timestamp::default())), ..SetAttr::default() };
    fs.setattr(WHO, attr.ino, &old).unwrap();
    fs.read(handle, &mut [0], 0).unwrap();
    assert_ne!(fs.getattr(attr.ino).unwrap().atime, Timestamp::default());
    let fs = mounted("noatime");
    let (attr, handle) = create(&*fs, fs.root(), "f").unwrap();
    fs.write(handle, b"x", 0).unwrap();
    fs.setattr(WHO, attr.ino, &old).unwrap();
    fs.read(handle, &mut [0], 0).unwrap();
    assert_eq!(fs.getattr(attr.ino).unwrap().atime, Timestamp::default());
}
