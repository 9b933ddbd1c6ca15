//! Each layer by itself.

use crate::doubles::{Fragile, create, name, open};
use abi::Errno;
use abi::fs::{Caller, FileSystem, Handle, Ino, OpenFlags, SetAttr, XattrFlags};
use std::sync::Arc;
use umfuse::memfs::MemFs;
use umfuse::{Owner, OwnerLayer, PanicGuard, ReadOnlyLayer, ReadOnlySwitch, Traced};

fn memory() -> Arc<dyn FileSystem> {
    Arc::new(MemFs::new(1 << 20))
}

#[test]
fn panic_of_a_driver_fails_the_mount_and_nothing_else() {
    let guard = PanicGuard::with_label(Arc::new(Fragile), "test");
    assert_eq!(guard.lookup(Ino(1), name("good")).unwrap_err(), Errno::ENOENT);
    assert_eq!(guard.getattr(Ino(1)).unwrap_err(), Errno::ESTALE);
    assert!(!guard.has_failed());
    // Error: a panic, and everything after it.
    assert_eq!(guard.lookup(Ino(1), name("bad")).unwrap_err(), Errno::EIO);
    assert!(guard.has_failed());
    assert_eq!(guard.lookup(Ino(1), name("good")).unwrap_err(), Errno::EIO);
    assert_eq!(guard.getattr(Ino(1)).unwrap_err(), Errno::EIO);
    assert_eq!(guard.sync().unwrap_err(), Errno::EIO);
    guard.forget(Ino(1), 1);
    guard.release(Handle(1));
    assert_eq!(guard.root(), Ino(1));
    assert!(guard.is_read_only());
}

#[test]
fn read_only_layer_refuses_every_mutation_and_reads() {
    let below = memory();
    let (attr, handle) = create(&*below, below.root(), "f").unwrap();
    let switch = ReadOnlySwitch::new(true);
    let fs = ReadOnlyLayer::with_switch(Arc::clone(&below), switch.clone());
    let (who, root, ino) = (Caller::default(), fs.root(), attr.ino);
    let write = OpenFlags::WRITE;
    let refused = [
        fs.setattr(who, ino, &SetAttr::default()).map(drop),
        fs.create(who, root, name("n"), 0, write).map(drop),
        fs.tmpfile(who, root, 0, write).map(drop),
        fs.mknod(who, root, name("n"), abi::fs::FileKind::Fifo, 0, Default::default()).map(drop),
        fs.mkdir(who, root, name("n"), 0).map(drop),
        fs.symlink(who, root, name("n"), b"x").map(drop),
        fs.link(who, ino, root, name("n")).map(drop),
        fs.unlink(who, root, name("f")),
        fs.rmdir(who, root, name("f")),
        fs.rename(who, root, name("f"), root, name("g"), abi::fs::RenameFlags::empty()),
        fs.write(handle, b"x", 0).map(drop),
        fs.fallocate(handle, abi::fs::FallocateMode::empty(), 0, 1),
        fs.setxattr(ino, b"user.x", b"", XattrFlags::empty()),
        fs.removexattr(ino, b"user.x"),
        fs.open(who, ino, write).map(drop),
        fs.open(who, ino, OpenFlags::READ | OpenFlags::TRUNCATE).map(drop),
    ];
    for (at, answer) in refused.into_iter().enumerate() {
        assert_eq!(answer, Err(Errno::EROFS), "{at}");
    }
    assert!(fs.is_read_only());
    assert_eq!(fs.lookup(root, name("f")).unwrap(), attr);
    assert!(open(&fs, ino, OpenFlags::READ).is_ok());
    assert_eq!(fs.fsync(handle, false), Ok(()));
    // Off: everything goes through.
    switch.set(false);
    assert!(!fs.is_read_only());
    assert_eq!(fs.write(handle, b"x", 0), Ok(1));
}

#[test]
fn owner_layer_shows_other_owners_and_fewer_permissions() {
    let below = memory();
    let owner = Owner { uid: Some(7), gid: None, file_mask: 0o027, directory_mask: 0o002 };
    let fs = OwnerLayer::with_owner(Arc::clone(&below), owner);
    let who = Caller { uid: 1, gid: 2, pid: 0 };
    let (attr, _) = fs.create(who, fs.root(), name("f"), 0o666, OpenFlags::WRITE).unwrap();
    assert_eq!((attr.uid, attr.gid, attr.perm), (7, 2, 0o640));
    assert_eq!(fs.lookup(fs.root(), name("f")).unwrap(), attr);
    let directory = fs.mkdir(who, fs.root(), name("d"), 0o777).unwrap();
    assert_eq!(directory.perm, 0o775);
    assert_eq!(fs.symlink(who, fs.root(), name("l"), b"x").unwrap().perm, 0o777);
    // What is stored is the maker's.
    let stored = below.getattr(attr.ino).unwrap();
    assert_eq!((stored.uid, stored.perm), (1, 0o666));
    // To the owner that is shown: nothing to do; to another one: it would not show.
    let chown = |uid| SetAttr { uid: Some(uid), ..SetAttr::default() };
    assert_eq!(fs.setattr(who, attr.ino, &chown(7)).unwrap().uid, 7);
    assert_eq!(below.getattr(attr.ino).unwrap().uid, 1);
    assert_eq!(fs.setattr(who, attr.ino, &chown(8)).unwrap_err(), Errno::EPERM);
    let chgrp = SetAttr { gid: Some(9), ..SetAttr::default() };
    assert_eq!(fs.setattr(who, attr.ino, &chgrp).unwrap().gid, 9);
}

#[test]
fn traced_changes_nothing() {
    let fs = Traced::with_label(memory(), "test");
    let (attr, handle) = create(&fs, fs.root(), "f").unwrap();
    assert_eq!(fs.write(handle, b"abc", 0), Ok(3));
    assert_eq!(fs.getattr(attr.ino).unwrap().size_bytes, 3);
    assert_eq!(fs.lookup(fs.root(), name("g")).unwrap_err(), Errno::ENOENT);
    assert!(!fs.is_read_only());
    fs.release(handle);
    assert_eq!(fs.write(handle, b"abc", 0), Err(Errno::EBADF));
}
