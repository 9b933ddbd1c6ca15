//! The formats of others: fuse-overlayfs reads what we wrote and we read what it wrote.

use crate::fixture::{FORMS, LowerTree, describe, open, read, scratch, write};
use cow_store::{Change, New, OFlags, State};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A mounted fuse-overlayfs; unmounted when dropped.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// Mounts fuse-overlayfs; `None`, said aloud, where the host has
/// no FUSE for this user.
fn mount(options: &str, lower: &Path, upper: &Path, work: &Path, merged: &Path) -> Option<Mounted> {
    let uid = lower.metadata().unwrap().uid();
    if uid != 0 || !Path::new("/dev/fuse").exists() {
        eprintln!("SKIPPED: fuse-overlayfs needs /dev/fuse and the superuser here");
        return None;
    }
    let options = format!(
        "{options}lowerdir={},upperdir={},workdir={}",
        lower.display(),
        upper.display(),
        work.display()
    );
    let out = Command::new("fuse-overlayfs")
        .args(["-o", &options])
        .arg(merged)
        .output()
        .expect("this test needs fuse-overlayfs (Debian package fuse-overlayfs)");
    if !out.status.success() {
        eprintln!("SKIPPED: {}", String::from_utf8_lossy(&out.stderr));
        return None;
    }
    Some(Mounted(merged.to_path_buf()))
}

#[test]
fn fuse_overlayfs_shows_our_store_as_we_do() {
    let (lower, dir, base) = (LowerTree::new(), scratch(), scratch());
    for name in ["work", "merged"] {
        std::fs::create_dir(base.path().join(name)).unwrap();
    }
    let store = open(&dir, FORMS[0]);
    lower.copy_up(&store, "d/f").unwrap();
    write(store.open_upper(b"d/f", OFlags::WRONLY).unwrap(), "UPPER");
    store
        .set_stat(b"d/f", &Change { uid: Some(12), gid: Some(34), permissions: Some(0o4750) })
        .unwrap();
    lower.copy_up(&store, "d/sub").unwrap();
    store.whiteout(b"d/sub/x", &lower.stat("d/sub/x")).unwrap();
    lower.copy_up(&store, "e").unwrap();
    store.whiteout(b"e/y", &lower.stat("e/y")).unwrap();
    store.rmdir(b"e", true).unwrap();
    store.mkdir(b"e", &New { permissions: 0o751, owner: Some((5, 6)) }).unwrap();
    drop(store);
    let work = dir.path().join(".viewos/work");
    std::fs::create_dir(&work).unwrap();
    let Some(merged) = mount("", lower.dir.path(), dir.path(), &work, &base.path().join("merged"))
    else {
        return;
    };
    let at = |name: &str| merged.0.join(name);
    assert_eq!(std::fs::read(at("d/f")).unwrap(), b"UPPER f");
    assert!(!at("d/sub/x").exists());
    assert_eq!(std::fs::read_dir(at("e")).unwrap().count(), 0, "e hides the lower e");
    assert_eq!(std::fs::read(at("d/g")).unwrap(), b"linked");
}

#[test]
fn we_show_an_upper_layer_of_fuse_overlayfs_as_it_does() {
    let (lower, base) = (LowerTree::new(), scratch());
    for name in ["upper", "work", "merged"] {
        std::fs::create_dir(base.path().join(name)).unwrap();
    }
    let upper = base.path().join("upper");
    let (work, merged) = (base.path().join("work"), base.path().join("merged"));
    // Virtual attributes on the upper layer.
    let Some(merged) = mount("xattr_permissions=2,", lower.dir.path(), &upper, &work, &merged)
    else {
        return;
    };
    let at = |name: &str| merged.0.join(name);
    std::fs::write(at("d/f"), "changed").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o4751);
    std::fs::set_permissions(at("d/f"), mode).unwrap();
    std::fs::remove_file(at("d/s")).unwrap();
    std::fs::remove_dir_all(at("e")).unwrap();
    std::fs::create_dir(at("e")).unwrap();
    std::fs::write(at("e/new"), "new").unwrap();
    drop(merged);
    let store =
        cow_store::Store::open(crate::fixture::handle(&upper), cow_store::Access::Write).unwrap();
    assert_eq!(read(&store, "d/f"), "changed");
    assert_eq!(store.stat(b"d/f", true).unwrap().permissions(), 0o4751);
    assert_eq!(store.lookup(b"d/s").unwrap(), State::Whiteout);
    assert_eq!(store.lookup(b"e/y").unwrap(), State::Hidden);
    assert_eq!(read(&store, "e/new"), "new");
}

#[test]
fn a_store_copied_by_tar_is_the_same_store() {
    for form in FORMS {
        let (lower, dir, copy) = (LowerTree::new(), scratch(), scratch());
        let store = open(&dir, form);
        lower.copy_up(&store, "d/g").unwrap();
        lower.copy_up(&store, "d/s").unwrap();
        store.set_stat(b"d/s", &Change { uid: Some(5), ..Change::default() }).unwrap();
        store.set_stat(b"d/g", &Change { uid: Some(6), ..Change::default() }).unwrap();
        store.whiteout(b"d/f", &lower.stat("d/f")).unwrap();
        let wanted = describe(&store, &lower);
        drop(store);
        let script = "tar --xattrs -C \"$1\" -cf - . | tar --xattrs -C \"$2\" -xpf -";
        let run = Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(dir.path())
            .arg(copy.path())
            .output()
            .expect("this test needs a shell");
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        let store = open(&copy, form);
        assert_eq!(describe(&store, &lower), wanted, "{form:?}");
    }
}
