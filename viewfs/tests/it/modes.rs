//! What each mode and option means.

use crate::fixture::{Watched, caller_zero, handle, make, overlay, picture, read, scratch, write};
use abi::Errno;
use abi::dev::DevNum;
use abi::fs::{Caller, Cookie, FileKind, RenameFlags, SetTime, Timestamp, XattrFlags};
use cow_store::{Access, OFlags, Store};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::Ordering;
use viewfs::{Credentials, DirectoryLower, Mode, MountOptions, Overlay, Resolved, Source, Want};

fn names(overlay: &Overlay, path: &str) -> Vec<String> {
    let listing = overlay.readdir(path.as_bytes()).unwrap();
    let mut names: Vec<String> =
        listing.entries().iter().map(|e| String::from_utf8(e.name.clone()).unwrap()).collect();
    names.sort();
    names
}

fn tree_overlay(mode: Mode, source: &[&str], lower: &[&str]) -> (Overlay, [tempfile::TempDir; 2]) {
    let dirs = [scratch(), scratch()];
    make(dirs[0].path(), source);
    make(dirs[1].path(), lower);
    let options = MountOptions { mode, ..MountOptions::default() };
    let overlay = Overlay::new(
        Source::Tree(Box::new(DirectoryLower::open(dirs[0].path()).unwrap())),
        Box::new(DirectoryLower::open(dirs[1].path()).unwrap()),
        options,
    )
    .unwrap();
    (overlay, dirs)
}

#[test]
fn move_shows_the_source_alone() {
    let (view, _dirs) = tree_overlay(Mode::Move, &["s=source"], &["l=lower"]);
    assert_eq!(names(&view, ""), ["s"]);
    assert_eq!(read(&view, "s"), "source");
    assert_eq!(view.stat(b"l").unwrap_err(), Errno::ENOENT);
    write(&view, "new", "text").unwrap();
    assert_eq!(read(&view, "new"), "text");
}

#[test]
fn merge_shows_the_source_first_and_writes_below() {
    let (view, dirs) = tree_overlay(
        Mode::Merge,
        &["both=source", "s=source", "d/", "d/s=in source", "only/"],
        &["both=lower", "l=lower", "d/", "d/l=in lower"],
    );
    assert_eq!(names(&view, ""), ["both", "d", "l", "only", "s"]);
    assert_eq!(names(&view, "d"), ["l", "s"]);
    assert_eq!(read(&view, "both"), "source");
    assert_eq!(write(&view, "both", "x"), Err(Errno::EROFS));
    assert_eq!(view.unlink(b"s"), Err(Errno::EROFS));
    assert_eq!(view.rename(b"l", b"s", RenameFlags::empty()), Err(Errno::EROFS));
    assert_eq!(write(&view, "only/new", "x"), Err(Errno::EROFS));
    write(&view, "d/new", "made below").unwrap();
    write(&view, "l", "changed").unwrap();
    assert_eq!(std::fs::read(dirs[1].path().join("d/new")).unwrap(), b"made below");
    assert_eq!(std::fs::read(dirs[1].path().join("l")).unwrap(), b"changed");
    let who = Credentials { uid: 0, ..Credentials::default() };
    assert_eq!(view.access(b"s", Want::WRITE, &who), Err(Errno::EROFS));
    assert_eq!(view.access(b"s", Want::READ, &who), Ok(()));
}

#[test]
fn a_name_of_which_nothing_is_in_the_store_costs_no_question() {
    let (lower, upper) = (scratch(), scratch());
    make(
        lower.path(),
        &["usr/", "usr/bin/", "usr/bin/x=x", "etc/", "etc/hosts=h", "etc/b&etc/hosts"],
    );
    let (view, calls) = overlay(lower.path(), upper.path(), Mode::Cow, true, &[]);
    write(&view, "usr/new", "n").unwrap();
    view.mkdir(b"usr/made", 0o755, caller_zero()).unwrap();
    calls.store(0, Ordering::SeqCst);
    for _ in 0..1000 {
        assert_eq!(view.resolve(b"usr/bin/x").unwrap(), Resolved::Lower);
        assert_eq!(view.resolve(b"no/where").unwrap(), Resolved::Lower);
        assert_eq!(view.resolve(b"usr").unwrap(), Resolved::Merged);
        assert!(matches!(view.resolve(b"usr/new").unwrap(), Resolved::Upper(_)));
        assert_eq!(view.resolve(b"usr/made/x").unwrap_err(), Errno::ENOENT);
        assert_eq!(view.resolve(b"usr/new/x").unwrap_err(), Errno::ENOTDIR);
    }
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    // A file with another lower name was copied up: from then on one question for each unknown name.
    write(&view, "etc/hosts", "changed").unwrap();
    calls.store(0, Ordering::SeqCst);
    assert_eq!(view.resolve(b"usr/bin/x").unwrap(), Resolved::Lower);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert!(matches!(view.resolve(b"etc/b").unwrap(), Resolved::Linked(_)));
    assert_eq!(read(&view, "etc/b"), "changed");
}

#[test]
fn an_exception_stays_as_it_was() {
    let (lower, upper) = (scratch(), scratch());
    make(lower.path(), &["tmp/", "tmp/d/", "d/", "d/f=f"]);
    let store = Store::open(handle(upper.path()), Access::Write).unwrap();
    let options =
        MountOptions { mode: Mode::Cow, except: vec![b"tmp".to_vec()], ..MountOptions::default() };
    let watched = Watched::new(lower.path(), &[]);
    let view = Overlay::new(Source::from(store), Box::new(watched), options).unwrap();
    write(&view, "tmp/real", "real").unwrap();
    write(&view, "d/f", "not real").unwrap();
    assert_eq!(std::fs::read(lower.path().join("tmp/real")).unwrap(), b"real");
    assert_eq!(std::fs::read(lower.path().join("d/f")).unwrap(), b"f");
    assert_eq!(view.rename(b"d/f", b"tmp/f", RenameFlags::empty()), Err(Errno::EXDEV));
    assert_eq!(view.link(b"tmp/real", b"d/g"), Err(Errno::EXDEV));
    view.rename(b"tmp/real", b"tmp/d/moved", RenameFlags::empty()).unwrap();
    assert!(lower.path().join("tmp/d/moved").exists());
    assert_eq!(view.rename(b"tmp", b"x", RenameFlags::empty()), Err(Errno::EBUSY));
    assert_eq!(view.rmdir(b"tmp"), Err(Errno::EBUSY));
}

#[test]
fn mincow_does_for_real_what_the_host_allows() {
    let (lower, upper) = (scratch(), scratch());
    make(
        lower.path(),
        &["home/", "home/f=mine", "etc/", "etc/hosts=theirs", "etc/d/", "etc/d/x=x"],
    );
    let before = picture(&lower.path().join("etc"));
    let (view, _) = overlay(lower.path(), upper.path(), Mode::Mincow, false, &["etc"]);
    write(&view, "home/f", "changed").unwrap();
    write(&view, "home/new", "new").unwrap();
    view.mkdir(b"home/d", 0o755, caller_zero()).unwrap();
    write(&view, "etc/hosts", "changed").unwrap();
    // A new file in a new directory, and a directory that is renamed, where the host refuses.
    view.mkdir(b"etc/new", 0o755, caller_zero()).unwrap();
    write(&view, "etc/new/file", "deep").unwrap();
    view.rename(b"etc/d", b"etc/moved", RenameFlags::empty()).unwrap();
    assert_eq!(read(&view, "etc/moved/x"), "x");
    assert_eq!(read(&view, "etc/new/file"), "deep");
    assert_eq!(names(&view, "etc"), ["hosts", "moved", "new"]);
    assert_eq!(picture(&lower.path().join("etc")), before);
    assert_eq!(std::fs::read(lower.path().join("home/f")).unwrap(), b"changed");
    assert!(lower.path().join("home/d").is_dir() && !upper.path().join("home").exists());
}

#[test]
fn vstat_keeps_owners_devices_and_set_id_bits() {
    let (lower, upper) = (scratch(), scratch());
    make(lower.path(), &["f=text", "g=text"]);
    let root = Caller { uid: 0, gid: 0, pid: 0 };
    for mode in [Mode::Cow, Mode::Mincow] {
        let upper = if mode == Mode::Cow { &upper } else { &scratch() };
        let mount = || overlay(lower.path(), upper.path(), mode, true, &["f", "null", "setuid"]).0;
        let view = mount();
        view.chown(b"f", Some(1234), Some(99)).unwrap();
        view.chmod(b"f", 0o6751).unwrap();
        let null = DevNum { major: 1, minor: 3 };
        view.mknod(b"null", FileKind::CharDevice, null, 0o666, root).unwrap();
        let flags = OFlags::CREATE | OFlags::WRONLY;
        let who = Caller { uid: 7, gid: 8, pid: 0 };
        drop(view.open(b"setuid", flags, 0o4755, who).unwrap());
        drop(view);
        let view = mount();
        let stat = view.stat(b"f").unwrap();
        assert_eq!((stat.uid, stat.gid, stat.mode), (1234, 99, 0o106_751), "{mode:?}");
        assert_eq!(read(&view, "f"), "text");
        let stat = view.stat(b"null").unwrap();
        assert_eq!((stat.mode, stat.rdev), (0o20_666, null.to_raw()));
        assert_eq!(view.open(b"null", OFlags::RDONLY, 0, root).unwrap_err(), Errno::ENXIO);
        let stat = view.stat(b"setuid").unwrap();
        assert_eq!((stat.uid, stat.gid, stat.mode), (7, 8, 0o104_755));
        view.chown(b"setuid", Some(0), None).unwrap();
        assert_eq!(view.stat(b"setuid").unwrap().mode, 0o100_755, "chown takes set-id bits");
        let who = Credentials { uid: 1234, gid: 5, groups: vec![] };
        assert_eq!(view.access(b"f", Want::all(), &who), Ok(()));
        let other = Credentials { uid: 1, gid: 5, groups: vec![] };
        assert_eq!(view.access(b"f", Want::READ, &other), Err(Errno::EACCES));
    }
    let mode = lower.path().join("f").metadata().unwrap().mode();
    assert_eq!(mode & 0o7000, 0, "nothing of it was done for real");
}

#[test]
fn without_vstat_ids_and_devices_are_refused() {
    let (lower, upper) = (scratch(), scratch());
    make(lower.path(), &["f=text"]);
    let (view, _) = overlay(lower.path(), upper.path(), Mode::Cow, false, &[]);
    let uid = view.stat(b"f").unwrap().uid;
    assert_eq!(view.chown(b"f", Some(uid + 1), None), Err(Errno::EPERM));
    assert_eq!(view.chown(b"f", Some(uid), None), Ok(()));
    let made = view.mknod(b"n", FileKind::BlockDevice, DevNum::default(), 0o600, caller_zero());
    assert_eq!(made, Err(Errno::EPERM));
    let set = view.set_xattr(b"f", b"trusted.x", b"v", XattrFlags::empty());
    assert_eq!(set, Err(Errno::EPERM));
}

#[test]
fn a_descriptor_opened_for_writing_is_the_stores_own_file() {
    let (lower, upper) = (scratch(), scratch());
    make(lower.path(), &["d/", "d/f=lower"]);
    let (view, _) = overlay(lower.path(), upper.path(), Mode::Cow, true, &[]);
    let before = view.stat(b"d/f").unwrap();
    let fd = view.open(b"d/f", OFlags::RDWR, 0, caller_zero()).unwrap();
    let shown = view.stat_fd(&fd).unwrap();
    assert_eq!((shown.ino, shown.dev), (before.ino, before.dev));
    std::fs::File::from(fd.into_host().unwrap()).write_all(b"UPPER").unwrap();
    assert_eq!(std::fs::read(upper.path().join("d/f")).unwrap(), b"UPPER");
    let fd = view.open(b"d/f", OFlags::RDONLY, 0, caller_zero()).unwrap();
    view.chown(b"d/f", Some(42), None).unwrap();
    view.unlink(b"d/f").unwrap();
    assert_eq!(view.stat_fd(&fd).unwrap().uid, 42, "an open file without a name keeps its owner");
}

#[test]
fn tmpfile_is_named_in_the_store() {
    let (lower, upper) = (scratch(), scratch());
    make(lower.path(), &["d/", "d/f=lower"]);
    let (view, _) = overlay(lower.path(), upper.path(), Mode::Cow, true, &[]);
    let flags = OFlags::TMPFILE | OFlags::RDWR;
    let who = Caller { uid: 9, gid: 9, pid: 0 };
    let fd = view.open(b"d", flags, 0o640, who).unwrap();
    assert_eq!(view.link_tmpfile(&fd, b"d/f"), Err(Errno::EEXIST));
    view.link_tmpfile(&fd, b"d/named").unwrap();
    assert_eq!(view.stat(b"d/named").unwrap().uid, 9);
    assert_eq!(view.open(b"d/f", flags, 0, who).unwrap_err(), Errno::ENOTDIR);
}

#[test]
fn positions_in_a_directory_stay_while_it_changes() {
    let (lower, upper) = (scratch(), scratch());
    make(lower.path(), &["d/"]);
    for n in 0..300 {
        std::fs::write(lower.path().join(format!("d/{n}")), "").unwrap();
    }
    let (view, _) = overlay(lower.path(), upper.path(), Mode::Cow, false, &[]);
    write(&view, "d/mine", "").unwrap();
    let listing = view.readdir(b"d").unwrap();
    let (mut seen, mut cookie) = (Vec::new(), Cookie(0));
    loop {
        let some: Vec<_> = listing.after(cookie).take(7).collect();
        let Some((_, next)) = some.last() else { break };
        cookie = *next;
        for (entry, _) in &some {
            seen.push(entry.name.clone());
            view.unlink(&cow_store::path::join(b"d", &entry.name)).unwrap();
        }
    }
    assert_eq!(seen.len(), 301);
    assert!(names(&view, "d").is_empty());
    view.rmdir(b"d").unwrap();
    assert_eq!(std::fs::read_dir(lower.path().join("d")).unwrap().count(), 300);
}

#[test]
fn times_are_set_and_kept_by_copy_up() {
    let (lower, upper) = (scratch(), scratch());
    make(lower.path(), &["d/", "d/f=lower", "d/g=g"]);
    let (view, _) = overlay(lower.path(), upper.path(), Mode::Cow, false, &[]);
    let old = Timestamp { seconds: 1_000_000, nanos: 7 };
    let parent = view.stat(b"d").unwrap().mtime;
    view.set_times(b"d/f", None, Some(SetTime::At(old))).unwrap();
    assert_eq!(view.stat(b"d/f").unwrap().mtime, old);
    assert_eq!(view.stat(b"d").unwrap().mtime, parent, "copy-up is no change of the directory");
    view.unlink(b"d/g").unwrap();
    assert!(view.stat(b"d").unwrap().mtime > parent);
}

#[test]
fn wok_makes_everything_look_writable() {
    let (lower, upper) = (scratch(), scratch());
    make(lower.path(), &["f=text"]);
    let store = Store::open(handle(upper.path()), Access::Write).unwrap();
    let options = MountOptions { mode: Mode::Cow, wok: true, ..MountOptions::default() };
    let watched = Watched::new(lower.path(), &[]);
    let view = Overlay::new(Source::from(store), Box::new(watched), options).unwrap();
    view.chmod(b"f", 0o444).unwrap();
    assert_eq!(view.stat(b"f").unwrap().mode & 0o777, 0o666);
    let who = Credentials { uid: 77, ..Credentials::default() };
    assert_eq!(view.access(b"f", Want::WRITE, &who), Ok(()));
}

#[test]
fn parallel_writers_make_each_file_once() {
    let (lower, upper) = (scratch(), scratch());
    make(lower.path(), &["d/", "d/shared=0123456789"]);
    let (view, _) = overlay(lower.path(), upper.path(), Mode::Cow, true, &[]);
    let view = &view;
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for n in 0..100 {
                    let exclusive = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
                    let race = format!("d/race{n}");
                    let _ = view.open(race.as_bytes(), exclusive, 0o644, caller_zero());
                    write(view, &format!("d/{thread}-{n}"), "own").unwrap();
                    let fd = view.open(b"d/shared", OFlags::RDWR, 0, caller_zero()).unwrap();
                    drop(fd);
                    view.unlink(format!("d/{thread}-{n}").as_bytes()).unwrap();
                }
            });
        }
    });
    assert_eq!(names(view, "d").len(), 101);
    assert_eq!(read(view, "d/shared"), "0123456789");
    assert_eq!(view.store().unwrap().verify().unwrap().problems, []);
}

#[test]
fn a_kind_of_source_that_does_not_fit_is_refused() {
    let (lower, upper) = (scratch(), scratch());
    let lower_tree = || Box::new(DirectoryLower::open(lower.path()).unwrap());
    let options = MountOptions { mode: Mode::Cow, ..MountOptions::default() };
    let refusal = Overlay::new(Source::Tree(lower_tree()), lower_tree(), options).err().unwrap();
    assert_eq!(refusal.errno, Errno::EINVAL);
    let store = Store::open(handle(upper.path()), Access::Write).unwrap();
    let refusal =
        Overlay::new(Source::from(store), lower_tree(), MountOptions::default()).err().unwrap();
    assert_eq!(refusal.errno, Errno::EINVAL);
}

#[test]
fn a_read_costs_the_store_nothing_measurable() {
    let (lower, upper) = (scratch(), scratch());
    make(lower.path(), &["usr/", "usr/share/", "usr/share/doc/", "usr/share/doc/x=x"]);
    let (view, _) = overlay(lower.path(), upper.path(), Mode::Mincow, true, &[]);
    for n in 0..2000 {
        view.open(
            format!("usr/n{n}").as_bytes(),
            OFlags::CREATE | OFlags::WRONLY,
            0o644,
            caller_zero(),
        )
        .unwrap();
    }
    let start = std::time::Instant::now();
    for _ in 0..100_000 {
        view.resolve(b"usr/share/doc/x").unwrap();
    }
    let each = start.elapsed() / 100_000;
    eprintln!("resolve: {each:?}");
    assert!(each < std::time::Duration::from_micros(20));
}
