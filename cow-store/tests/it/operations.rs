//! Opening, locking, refusing.

use crate::fixture::{
    FORMS, LowerTree, handle, open, open_faulty, read, scratch, without_umask, write,
};
use abi::Errno;
use abi::fs::{FileKind, RenameFlags, XattrFlags};
use cow_store::{Access, Change, Error, Lower, New, OFlags, State, Store};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const NEW: New = New { permissions: 0o600, owner: None };

#[test]
fn a_second_writer_is_told_and_a_reader_is_let_in() {
    let dir = scratch();
    let store = open(&dir, FORMS[0]);
    store.mkdir(b"d", &NEW).unwrap();
    let refusal = Store::open(handle(dir.path()), Access::Write).err().unwrap();
    assert!(matches!(refusal, Error::Locked));
    assert_eq!(Errno::from(refusal), Errno::EBUSY);
    let reader = Store::open(handle(dir.path()), Access::ReadOnly).unwrap();
    assert!(matches!(reader.lookup(b"d").unwrap(), State::Entry(_)));
    assert!(matches!(reader.mkdir(b"e", &NEW), Err(Error::ReadOnly)));
    let refusal = reader.open_upper(b"d", OFlags::RDWR).unwrap_err();
    assert_eq!(refusal.errno(), Errno::EROFS);
    drop(store);
    Store::open(handle(dir.path()), Access::Write).unwrap();
}

#[test]
fn the_private_directory_is_no_part_of_the_view() {
    let dir = scratch();
    let store = open(&dir, FORMS[0]);
    assert_eq!(store.lookup(b".viewos/log").unwrap(), State::Absent);
    assert!(store.names(b"").unwrap().is_empty());
    let refusal = store.create(b".viewos/x", &NEW, OFlags::WRONLY).unwrap_err();
    assert_eq!(refusal.errno(), Errno::EPERM);
    let refusal = store.rename(b".viewos", b"x", RenameFlags::empty(), false).unwrap_err();
    assert_eq!(refusal.errno(), Errno::EPERM);
}

#[test]
fn marker_names_are_refused_where_they_would_be_read_as_markers() {
    for form in FORMS {
        let dir = scratch();
        let store = open(&dir, form);
        let made = store.create(b".wh.x", &NEW, OFlags::WRONLY).map(|_| ());
        let is_marker = form.whiteout == cow_store::WhiteoutForm::Marker;
        assert_eq!(
            made.map_err(|e| e.errno()),
            if is_marker { Err(Errno::EINVAL) } else { Ok(()) }
        );
    }
}

#[test]
fn a_format_of_the_future_is_refused() {
    let dir = scratch();
    drop(open(&dir, FORMS[0]));
    std::fs::write(dir.path().join(".viewos/format"), "viewos-cow-store 2\n").unwrap();
    let refusal = Store::open(handle(dir.path()), Access::ReadOnly).err().unwrap();
    assert!(matches!(refusal, Error::Format { ref text } if text.contains('2')));
    assert_eq!(refusal.errno(), Errno::EINVAL);
}

#[test]
fn a_damaged_log_is_refused_with_its_place() {
    let dir = scratch();
    let store = open(&dir, FORMS[3]);
    store.symlink(b"l", b"t", &New { permissions: 0o777, owner: Some((4, 4)) }).unwrap();
    drop(store);
    let log = dir.path().join(".viewos/log");
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[14] ^= 0x40;
    std::fs::write(&log, bytes).unwrap();
    let refusal = Store::open(handle(dir.path()), Access::Write).err().unwrap();
    assert!(matches!(refusal, Error::Log { offset: 0 }), "{refusal}");
    assert_eq!(refusal.errno(), Errno::EUCLEAN);
}

#[test]
fn metadata_that_is_not_valid_is_left_out() {
    let dir = scratch();
    let store = open(&dir, FORMS[0]);
    write(store.create(b"f", &NEW, OFlags::WRONLY).unwrap(), "x");
    drop(store);
    let file = dir.path().join("f");
    let set = |value: &str| {
        let name = "user.containers.override_stat";
        rustix::fs::setxattr(&file, name, value.as_bytes(), rustix::fs::XattrFlags::empty())
            .unwrap();
    };
    set("nonsense");
    let store = open(&dir, FORMS[0]);
    assert_eq!(store.stat(b"f", true).unwrap().permissions(), 0o600);
    drop(store);
    set("5:6:4711");
    let store = open(&dir, FORMS[0]);
    let stat = store.stat(b"f", true).unwrap();
    assert_eq!((stat.uid, stat.gid, stat.permissions()), (5, 6, 0o4711));
    // The real mode serves the owner of the store and has no set-id bit.
    assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o711);
    assert_ne!(store.stat(b"f", false).unwrap().uid, 5);
}

#[test]
fn after_a_failure_between_two_steps_nothing_more_is_written() {
    let dir = scratch();
    let left = Arc::new(AtomicUsize::new(usize::MAX));
    let lower = LowerTree::new();
    drop(open(&dir, FORMS[2]));
    let store = open_faulty(&dir, FORMS[2], &left, false);
    lower.copy_up(&store, "d/f").unwrap();
    store.whiteout(b"d/g", &lower.stat("d/g")).unwrap();
    // The whiteout, the intent and the first of two renames succeed, the second rename does not.
    left.store(3, Ordering::SeqCst);
    assert!(store.rename(b"d/f", b"d/moved", RenameFlags::empty(), true).is_err());
    left.store(usize::MAX, Ordering::SeqCst);
    assert!(store.is_read_only());
    assert!(matches!(store.mkdir(b"m", &NEW), Err(Error::Doubt)));
    drop(store);
    let store = open(&dir, FORMS[2]);
    assert!(!store.is_read_only());
    assert_eq!(store.lookup(b"d/f").unwrap(), State::Whiteout);
    assert_eq!(read(&store, "d/moved"), "lower f");
}

#[test]
fn copy_up_keeps_holes_times_and_the_inode_number() {
    let (lower, dir) = (LowerTree::new(), scratch());
    let path = lower.dir.path().join("d/sparse");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(64 << 20).unwrap();
    std::os::unix::fs::FileExt::write_at(&file, b"end", (64 << 20) - 3).unwrap();
    drop(file);
    let store = open(&dir, FORMS[0]);
    lower.copy_up(&store, "d/sparse").unwrap();
    let (below, above) = (lower.stat("d/sparse"), store.stat(b"d/sparse", true).unwrap());
    assert_eq!((below.ino, below.dev, below.mtime), (above.ino, above.dev, above.mtime));
    assert_eq!(above.size_bytes, 64 << 20);
    assert!(above.blocks_512 < 1000, "the hole was filled: {} blocks", above.blocks_512);
    let data = std::fs::read(dir.path().join("d/sparse")).unwrap();
    assert_eq!(&data[data.len() - 3..], b"end");
    drop(store);
    let store = open(&dir, FORMS[0]);
    assert_eq!(store.stat(b"d/sparse", true).unwrap().ino, below.ino);
}

#[test]
fn what_needs_no_notes_costs_one_call() {
    without_umask();
    let (lower, dir) = (LowerTree::new(), scratch());
    let left = Arc::new(AtomicUsize::new(usize::MAX));
    drop(open(&dir, FORMS[0]));
    let store = open_faulty(&dir, FORMS[0], &left, false);
    let new = New { permissions: 0o755, owner: None };
    let calls = |change: &dyn Fn()| {
        let before = left.load(Ordering::SeqCst);
        change();
        before - left.load(Ordering::SeqCst)
    };
    // The first of a kind finds out what the host makes of it.
    store.mkdir(b"new", &new).unwrap();
    drop(store.create(b"new/first", &new, OFlags::WRONLY).unwrap());
    lower.copy_up(&store, "d/f").unwrap();
    store.whiteout(b"d/s", &lower.stat("d/s")).unwrap();
    assert_eq!(calls(&|| drop(store.create(b"new/f", &new, OFlags::WRONLY).unwrap())), 1);
    assert_eq!(calls(&|| store.mkdir(b"new/d", &new).unwrap()), 1);
    assert_eq!(calls(&|| store.symlink(b"new/l", b"target", &new).unwrap()), 1);
    assert_eq!(calls(&|| store.unlink(b"new/l", false).unwrap()), 1);
    assert_eq!(calls(&|| store.rmdir(b"new/d", false).unwrap()), 1);
    assert_eq!(calls(&|| store.whiteout(b"d/g", &lower.stat("d/g")).unwrap()), 1);
}

#[test]
fn what_the_host_makes_otherwise_gets_its_mode_all_the_same() {
    without_umask();
    let dir = scratch();
    let store = open(&dir, FORMS[0]);
    let new = New { permissions: 0o666, owner: None };
    store.create(b"first", &new, OFlags::WRONLY).unwrap();
    // Nobody expects a mask to come up later; a directory with a default ACL does the same.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o27));
    store.create(b"second", &new, OFlags::WRONLY).unwrap();
    store.create(b"third", &new, OFlags::WRONLY).unwrap();
    store.mkdir(b"d", &New { permissions: 0o777, ..new }).unwrap();
    store.mkdir(b"d/e", &New { permissions: 0o777, ..new }).unwrap();
    drop(store);
    let store = open(&dir, FORMS[0]);
    let modes = ["first", "second", "third", "d", "d/e"]
        .map(|path| store.stat(path.as_bytes(), true).unwrap().permissions());
    assert_eq!(modes, [0o666, 0o666, 0o666, 0o777, 0o777]);
    assert_eq!(names_in(&dir.path().join(".viewos/tmp")).len(), 0);
}

#[test]
fn a_file_that_nobody_told_the_store_of_is_not_replaced_at_once() {
    without_umask();
    let dir = scratch();
    let store = open(&dir, FORMS[0]);
    let new = New { permissions: 0o755, owner: None };
    store.mkdir(b"d", &new).unwrap();
    store.mkdir(b"d/e", &new).unwrap();
    std::fs::write(dir.path().join("d/e/stray"), "stray").unwrap();
    let refusal = store.create(b"d/e/stray", &new, OFlags::WRONLY).unwrap_err();
    assert_eq!(refusal.errno(), Errno::EEXIST);
    assert_eq!(std::fs::read(dir.path().join("d/e/stray")).unwrap(), b"stray");
    // A directory goes with what nobody knew of.
    store.rmdir(b"d/e", false).unwrap();
    assert_eq!(names_in(&dir.path().join("d")).len(), 0);
    assert_eq!(names_in(&dir.path().join(".viewos/tmp")).len(), 0);
}

/// Puts a link to `outside` in the place of the store's directory `d`.
fn plant(dir: &Path, outside: &Path) {
    std::fs::rename(dir.join("d"), dir.join("was-d")).unwrap();
    std::os::unix::fs::symlink(outside, dir.join("d")).unwrap();
}

fn names_in(dir: &Path) -> Vec<std::ffi::OsString> {
    let mut names: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

#[test]
fn a_link_planted_in_the_store_leads_nowhere() {
    let (lower, dir, outside) = (LowerTree::new(), scratch(), scratch());
    std::fs::write(outside.path().join("f"), "not the store's").unwrap();
    let store = open(&dir, FORMS[0]);
    lower.copy_up(&store, "d/f").unwrap();
    drop(store);
    let store = open(&dir, FORMS[0]);
    plant(dir.path(), outside.path());
    assert!(store.open_upper(b"d/f", OFlags::RDONLY).is_err());
    assert!(store.unlink(b"d/f", false).is_err());
    assert!(store.create(b"d/new", &NEW, OFlags::WRONLY).is_err());
    assert_eq!(names_in(outside.path()), ["f"]);
}

#[test]
fn a_directory_in_use_is_not_left_for_a_link_planted_in_its_place() {
    let (lower, dir, outside) = (LowerTree::new(), scratch(), scratch());
    std::fs::write(outside.path().join("f"), "not the store's").unwrap();
    let store = open(&dir, FORMS[0]);
    lower.copy_up(&store, "d/f").unwrap();
    plant(dir.path(), outside.path());
    assert_eq!(read(&store, "d/f"), "lower f");
    store.create(b"d/new", &NEW, OFlags::WRONLY).unwrap();
    store.unlink(b"d/f", false).unwrap();
    assert_eq!(names_in(outside.path()), ["f"]);
    assert_eq!(names_in(&dir.path().join("was-d")), ["new"]);
}

#[test]
fn names_of_one_lower_file_stay_one_file() {
    for form in FORMS {
        let (lower, dir) = (LowerTree::new(), scratch());
        let store = open(&dir, form);
        lower.copy_up(&store, "d/g").unwrap();
        write(store.open_upper(b"d/g", OFlags::WRONLY).unwrap(), "LINK");
        let other = lower.stat("d/h");
        let group = store.group_of(&other).expect("d/h is another name of d/g");
        assert_eq!(store.stat_group(&group, true).unwrap().nlink, 2);
        store.materialize(b"d/h", &other).unwrap();
        assert_eq!(read(&store, "d/h"), "LINKed");
        assert_eq!(store.stat(b"d/h", true).unwrap().nlink, 2);
        assert!(!store.has_groups());
        store.unlink(b"d/g", true).unwrap();
        assert_eq!(store.stat(b"d/h", true).unwrap().nlink, 1);
        store.unlink(b"d/h", true).unwrap();
        assert_eq!(std::fs::read_dir(dir.path().join(".viewos/links")).unwrap().count(), 0);
    }
}

#[test]
fn tmpfile_gets_a_name_and_its_attributes() {
    let dir = scratch();
    let store = open(&dir, FORMS[0]);
    let new = New { permissions: 0o4700, owner: Some((1, 2)) };
    let fd = store.tmpfile(&new, OFlags::RDWR).unwrap();
    assert_eq!(store.stat_fd(&fd, true).unwrap().uid, 1);
    store.link_tmpfile(&fd, b"named").unwrap();
    let stat = store.stat(b"named", true).unwrap();
    assert_eq!((stat.uid, stat.gid, stat.permissions(), stat.nlink), (1, 2, 0o4700, 1));
    let refusal = store.link_tmpfile(&fd, b"named").unwrap_err();
    assert_eq!(refusal.errno(), Errno::EEXIST);
}

#[test]
fn attributes_that_mean_something_to_the_store_are_kept_apart() {
    for form in FORMS {
        let dir = scratch();
        let store = open(&dir, form);
        store.mkdir(b"d", &NEW).unwrap();
        for name in ["user.overlay.opaque", "user.viewos.origin", "trusted.x", "user.plain"] {
            store.set_xattr(b"d", name.as_bytes(), b"n", XattrFlags::CREATE).unwrap();
        }
        drop(store);
        let store = open(&dir, form);
        let names = store.xattr_names(b"d").unwrap();
        let names: Vec<_> = names.iter().map(|n| String::from_utf8_lossy(n)).collect();
        assert_eq!(names, ["trusted.x", "user.overlay.opaque", "user.plain", "user.viewos.origin"]);
        let refusal = store.set_xattr(b"d", b"user.plain", b"", XattrFlags::CREATE).unwrap_err();
        assert_eq!(refusal.errno(), Errno::EEXIST);
        store.remove_xattr(b"d", b"user.plain").unwrap();
        let refusal = store.xattr(b"d", b"user.plain").unwrap_err();
        assert_eq!(refusal.errno(), Errno::ENODATA);
    }
}

#[test]
fn a_directory_of_100_000_names_is_opened_and_asked_quickly() {
    let dir = scratch();
    let store = open(&dir, FORMS[0]);
    store.mkdir(b"big", &NEW).unwrap();
    drop(store);
    for n in 0..100_000 {
        std::fs::File::create(dir.path().join(format!("big/{n}"))).unwrap();
    }
    let start = std::time::Instant::now();
    let store = open(&dir, FORMS[0]);
    let opened = start.elapsed();
    assert_eq!(store.names(b"big").unwrap().len(), 100_000);
    let start = std::time::Instant::now();
    for _ in 0..100_000 {
        assert_eq!(store.lookup(b"usr/share/doc/x").unwrap(), State::Absent);
    }
    let asked = start.elapsed() / 100_000;
    eprintln!("open: {opened:?}; one question: {asked:?}");
    assert!(asked < std::time::Duration::from_micros(20));
}

#[test]
fn copy_up_of_a_special_file_is_one() {
    let (lower, dir) = (LowerTree::new(), scratch());
    let store = open(&dir, FORMS[0]);
    let mut stat = lower.stat("d/f");
    stat.mode = FileKind::BlockDevice.to_mode_bits() | 0o660;
    stat.rdev = abi::dev::DevNum { major: 8, minor: 1 }.to_raw();
    store.copy_up(b"sda1", &Lower { stat: &stat, data: None, target: b"", xattrs: &[] }).unwrap();
    store.set_stat(b"sda1", &Change { uid: Some(3), ..Change::default() }).unwrap();
    drop(store);
    let shown = open(&dir, FORMS[0]).stat(b"sda1", true).unwrap();
    assert_eq!((shown.mode, shown.rdev, shown.uid), (stat.mode, stat.rdev, 3));
}
