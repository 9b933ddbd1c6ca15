//! Each operation is stopped after each of its calls; the next open finds the state before or after.

use crate::fixture::{
    FORMS, LowerTree, check_modes, check_tidy, describe, open, open_faulty, scratch, without_umask,
    write,
};
use abi::dev::DevNum;
use abi::fs::{FileKind, RenameFlags, XattrFlags};
use cow_store::{Change, Error, Form, New, OFlags, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const NEW: New = New { permissions: 0o4710, owner: Some((12, 34)) };
/// Of these files nothing has to be recorded.
const PLAIN: New = New { permissions: 0o640, owner: None };
/// The same of a directory.
const PLAIN_DIR: New = New { permissions: 0o750, owner: None };

type Setup = fn(&Store, &LowerTree);
type Step = fn(&Store, &LowerTree) -> Result<(), Error>;

/// `d` copied up with a file, a symlink and a whiteout in it; `d/sub` with a whiteout only; new files and
/// directories of all kinds.
fn setup(store: &Store, lower: &LowerTree) {
    lower.copy_up(store, "d/f").unwrap();
    lower.copy_up(store, "d/s").unwrap();
    store.set_stat(b"d/s", &Change { uid: Some(5), ..Change::default() }).unwrap();
    lower.copy_up(store, "d/sub").unwrap();
    store.whiteout(b"d/sub/x", &lower.stat("d/sub/x")).unwrap();
    write(store.create(b"new", &NEW, OFlags::WRONLY).unwrap(), "new file");
    store.mkdir(b"dir", &NEW).unwrap();
    write(store.create(b"dir/in", &NEW, OFlags::WRONLY).unwrap(), "inside");
    store.symlink(b"dir/link", b"somewhere", &NEW).unwrap();
    store.mkdir(b"empty", &NEW).unwrap();
    let null = DevNum { major: 1, minor: 3 };
    store.mknod(b"null", FileKind::CharDevice, null, &NEW).unwrap();
    store.mknod(b"fifo", FileKind::Fifo, null, &NEW).unwrap();
    lower.copy_up(store, "e").unwrap();
    store.whiteout(b"e/y", &lower.stat("e/y")).unwrap();
    store.shadow(b"d/sub/z", &lower.stat("d/f"), &Change::default()).unwrap();
}

/// Runs `step` stopped after 0, 1, 2, ... calls, in every form.
fn check(setup: Setup, step: Step) {
    for form in FORMS {
        check_form(setup, step, form, false);
        if !form.xattrs {
            check_form(setup, step, form, true);
        }
    }
}

fn check_form(setup: Setup, step: Step, form: Form, torn: bool) {
    without_umask();
    let lower = LowerTree::new();
    let outcome = |run: bool, limit: usize| {
        let dir = scratch();
        {
            let store = open(&dir, form);
            setup(&store, &lower);
        }
        let left = Arc::new(AtomicUsize::new(usize::MAX));
        let result = {
            let store = open_faulty(&dir, form, &left, torn);
            left.store(limit, Ordering::SeqCst);
            if run { step(&store, &lower) } else { Ok(()) }
        };
        let spared = left.load(Ordering::SeqCst) > 0;
        let text = describe(&open(&dir, form), &lower);
        check_tidy(&dir);
        // A second open finds nothing to do.
        assert_eq!(describe(&open(&dir, form), &lower), text);
        check_modes(dir.path());
        (text, result, spared)
    };
    let (before, _, _) = outcome(false, usize::MAX);
    let (after, result, _) = outcome(true, usize::MAX);
    assert!(result.is_ok(), "{form:?}: {:?}", result.err());
    let mut calls = 0;
    loop {
        let (text, result, spared) = outcome(true, calls);
        if text != before {
            assert_eq!(
                text, after,
                "{form:?} torn {torn}, stopped after {calls} calls: {result:?}"
            );
        }
        if spared {
            assert_eq!(text, after);
            break;
        }
        calls += 1;
        assert!(calls < 200, "an operation of 200 calls");
    }
}

macro_rules! crash_tests {
    ($($name:ident: $step:expr;)*) => {
        $(#[test] fn $name() { check(setup, $step); })*
    };
}

fn copy_up(store: &Store, lower: &LowerTree, path: &str) -> Result<(), Error> {
    lower.copy_up(store, path)
}

fn rename(store: &Store, from: &str, to: &str, whiteout: bool) -> Result<(), Error> {
    store.rename(from.as_bytes(), to.as_bytes(), RenameFlags::empty(), whiteout)
}

crash_tests! {
    copy_up_of_a_linked_file_is_whole_or_absent: |s, l| copy_up(s, l, "d/g");
    clear_of_a_symlink_happens_or_not: |s, _| s.clear(b"d/s");
    create_is_whole_or_absent: |s, _| s.create(b"dir/n", &NEW, OFlags::RDWR).map(|_| ());
    create_over_whiteout_is_whole_or_absent: |s, _| s.create(b"e/y", &NEW, OFlags::RDWR).map(|_| ());
    mkdir_is_whole_or_absent: |s, _| s.mkdir(b"m", &NEW);
    mkdir_over_whiteout_is_whole_or_absent: |s, _| s.mkdir(b"e/y", &NEW);
    plain_create_is_whole_or_absent: |s, _| s.create(b"dir/n", &PLAIN, OFlags::RDWR).map(|_| ());
    plain_create_over_whiteout_is_whole_or_absent:
        |s, _| s.create(b"e/y", &PLAIN, OFlags::RDWR).map(|_| ());
    plain_mkdir_is_whole_or_absent: |s, _| s.mkdir(b"dir/m", &PLAIN_DIR);
    plain_symlink_is_whole_or_absent: |s, _| s.symlink(b"dir/l", b"t", &PLAIN);
    rmdir_of_a_plain_directory_happens_or_not: |s, _| {
        s.mkdir(b"dir/m", &PLAIN_DIR)?;
        s.rmdir(b"dir/m", false)?;
        s.mkdir(b"dir/m", &PLAIN_DIR)
    };
    symlink_is_whole_or_absent: |s, _| s.symlink(b"l", b"t", &NEW);
    symlink_over_whiteout_is_whole_or_absent: |s, _| s.symlink(b"e/y", b"t", &NEW);
    mknod_is_whole_or_absent:
        |s, _| s.mknod(b"zero", FileKind::CharDevice, DevNum { major: 1, minor: 5 }, &NEW);
    fifo_is_whole_or_absent: |s, _| s.mknod(b"pipe", FileKind::Fifo, DevNum::default(), &NEW);
    link_is_whole_or_absent: |s, _| s.link(b"new", b"dir/also");
    link_of_a_symlink_is_whole_or_absent: |s, _| s.link(b"d/s", b"e/y");
    unlink_happens_or_not: |s, _| s.unlink(b"new", false);
    unlink_of_a_symlink_happens_or_not: |s, _| s.unlink(b"d/s", false);
    unlink_with_whiteout_happens_or_not: |s, _| s.unlink(b"d/f", true);
    unlink_of_a_symlink_with_whiteout_happens_or_not: |s, _| s.unlink(b"d/s", true);
    rmdir_happens_or_not: |s, _| s.rmdir(b"empty", false);
    rmdir_of_a_merged_directory_happens_or_not: |s, _| s.rmdir(b"e", true);
    whiteout_happens_or_not: |s, l| s.whiteout(b"d/g", &l.stat("d/g"));
    whiteout_of_a_shadow_happens_or_not: |s, l| s.whiteout(b"d/sub/z", &l.stat("d/f"));
    rename_happens_or_not: |s, _| rename(s, "new", "dir/moved", false);
    rename_over_a_file_happens_or_not: |s, _| rename(s, "new", "dir/in", false);
    rename_over_a_symlink_happens_or_not: |s, _| rename(s, "new", "d/s", true);
    rename_of_a_symlink_happens_or_not: |s, _| rename(s, "d/s", "dir/link", true);
    rename_with_whiteout_happens_or_not: |s, _| rename(s, "d/f", "dir/f", true);
    rename_over_whiteout_happens_or_not: |s, _| rename(s, "d/f", "e/y", true);
    rename_of_a_directory_happens_or_not: |s, _| rename(s, "dir", "dir2", false);
    rename_of_a_directory_over_whiteout_happens_or_not: |s, _| rename(s, "dir", "e/y", false);
    rename_of_a_directory_over_whiteout_leaving_one_happens_or_not:
        |s, _| rename(s, "dir", "e/y", true);
    rename_of_a_directory_over_an_empty_one_happens_or_not: |s, _| rename(s, "dir", "empty", true);
    rename_of_a_directory_over_one_of_whiteouts_happens_or_not:
        |s, _| rename(s, "dir", "e", false);
    exchange_happens_or_not: |s, _| s.rename(b"new", b"d/s", RenameFlags::EXCHANGE, false);
    exchange_with_a_directory_happens_or_not:
        |s, _| s.rename(b"dir", b"d/f", RenameFlags::EXCHANGE, false);
    chmod_happens_or_not:
        |s, _| s.set_stat(b"d/f", &Change { permissions: Some(0o111), ..Change::default() });
    chown_of_a_fifo_happens_or_not:
        |s, _| s.set_stat(b"fifo", &Change { uid: Some(77), ..Change::default() });
    xattr_happens_or_not: |s, _| s.set_xattr(b"new", b"trusted.x", b"v", XattrFlags::empty());
    shadow_happens_or_not: |s, l| s.shadow(b"q", &l.stat("d/f"), &Change::default());
    opaque_happens_or_not: |s, _| s.set_opaque(b"dir");
    clear_of_a_directory_happens_or_not: |s, _| s.clear(b"dir");
}

/// Few files, for operations whose calls grow with their number.
fn setup_snapshot(store: &Store, lower: &LowerTree) {
    lower.copy_up(store, "d/g").unwrap();
    store.mkdir(b"dir", &NEW).unwrap();
    store.symlink(b"dir/link", b"somewhere", &NEW).unwrap();
    store.snapshot("kept").unwrap();
    store.unlink(b"d/g", true).unwrap();
    store.rename(b"dir", b"dir2", RenameFlags::empty(), false).unwrap();
    write(store.create(b"new", &NEW, OFlags::WRONLY).unwrap(), "new file");
}

#[test]
fn rollback_happens_or_not() {
    check(setup_snapshot, |s, _| s.rollback("kept"));
}

#[test]
fn snapshot_changes_nothing_in_the_view_wherever_it_stops() {
    check(setup_snapshot, |s, _| s.snapshot("second"));
}

#[test]
fn a_group_survives_the_loss_of_every_name() {
    fn step(store: &Store, lower: &LowerTree) -> Result<(), Error> {
        store.materialize(b"d/h", &lower.stat("d/h"))
    }
    for form in FORMS {
        let lower = LowerTree::new();
        for calls in 0..20 {
            let dir = scratch();
            {
                let store = open(&dir, form);
                lower.copy_up(&store, "d/g").unwrap();
            }
            let left = Arc::new(AtomicUsize::new(usize::MAX));
            {
                let store = open_faulty(&dir, form, &left, false);
                left.store(calls, Ordering::SeqCst);
                let _ = step(&store, &lower);
            }
            let store = open(&dir, form);
            // Two names in the view at every moment, whichever of them is a name in the store.
            assert_eq!(store.stat(b"d/g", true).unwrap().nlink, 2, "{form:?} after {calls}");
            check_tidy(&dir);
        }
    }
}
