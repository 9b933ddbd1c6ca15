//! What a store differs by, taken to the lower tree, to snapshots and to archives.

use crate::fixture::{FORMS, LowerTree, describe, host_dir, open, read, scratch, write};
use abi::dev::DevNum;
use abi::fs::{FileKind, RenameFlags, XattrFlags};
use cow_store::{Change, Error, Flavor, New, OFlags, Store};
use std::process::Command;

const NEW: New = New { permissions: 0o640, owner: None };

fn changed(lower: &LowerTree, store: &Store) {
    lower.copy_up(store, "d/f").unwrap();
    write(store.open_upper(b"d/f", OFlags::WRONLY | OFlags::TRUNC).unwrap(), "changed");
    lower.copy_up(store, "d/s").unwrap();
    lower.copy_up(store, "e/y").unwrap();
    store.set_stat(b"e/y", &Change { permissions: Some(0o600), ..Change::default() }).unwrap();
    lower.copy_up(store, "d/sub").unwrap();
    store.whiteout(b"d/sub/x", &lower.stat("d/sub/x")).unwrap();
    store.mkdir(b"d/new", &New { permissions: 0o550, owner: None }).unwrap();
    write(store.create(b"d/new/file", &NEW, OFlags::WRONLY).unwrap(), "added");
    store.link(b"d/new/file", b"d/new/same").unwrap();
    store.symlink(b"d/new/link", b"file", &NEW).unwrap();
    store.set_xattr(b"d/new/file", b"user.color", b"blue", XattrFlags::empty()).unwrap();
}

fn lines(store: &Store, lower: &LowerTree) -> Vec<String> {
    store
        .diff(&host_dir(lower.dir.path()))
        .unwrap()
        .into_iter()
        .map(|d| format!("{:?} {}", d.difference, String::from_utf8(d.path).unwrap()))
        .collect()
}

#[test]
fn diff_tells_each_change_once() {
    for form in FORMS {
        let (lower, dir) = (LowerTree::new(), scratch());
        let store = open(&dir, form);
        changed(&lower, &store);
        assert_eq!(
            lines(&store, &lower),
            [
                "Changed d/f",
                "Added d/new",
                "Added d/new/file",
                "Added d/new/link",
                "Added d/new/same",
                "Deleted d/sub/x",
                "Metadata e/y",
            ],
            "{form:?}"
        );
    }
}

#[test]
fn diff_tells_what_an_opaque_directory_hides() {
    let (lower, dir) = (LowerTree::new(), scratch());
    let store = open(&dir, FORMS[0]);
    lower.copy_up(&store, "e").unwrap();
    store.whiteout(b"e/y", &lower.stat("e/y")).unwrap();
    store.rmdir(b"e", true).unwrap();
    store.mkdir(b"e", &New { permissions: 0o755, owner: None }).unwrap();
    write(store.create(b"e/z", &NEW, OFlags::WRONLY).unwrap(), "z");
    assert_eq!(lines(&store, &lower), ["Deleted e/y", "Added e/z"]);
}

#[test]
fn commit_makes_the_lower_tree_what_the_view_was_and_empties_the_store() {
    for form in FORMS {
        let (lower, dir) = (LowerTree::new(), scratch());
        let store = open(&dir, form);
        changed(&lower, &store);
        let tree = host_dir(lower.dir.path());
        let dry = store.commit(&[], &tree, true).unwrap();
        assert_eq!(dry.done.len(), 7);
        assert_eq!(std::fs::read(lower.dir.path().join("d/f")).unwrap(), b"lower f");
        let commit = store.commit(&[], &tree, false).unwrap();
        assert_eq!(commit.left, []);
        let at = |name: &str| lower.dir.path().join(name);
        assert_eq!(std::fs::read(at("d/f")).unwrap(), b"changed");
        assert_eq!(std::fs::read(at("d/new/same")).unwrap(), b"added");
        assert!(!at("d/sub/x").exists());
        assert_eq!(lower.stat("d/new/file").ino, lower.stat("d/new/same").ino);
        assert_eq!(lower.stat("e/y").permissions(), 0o600);
        assert_eq!(lower.stat("d/new").permissions(), 0o550);
        std::fs::set_permissions(at("d/new"), std::os::unix::fs::PermissionsExt::from_mode(0o700))
            .unwrap();
        assert_eq!(lines(&store, &lower), Vec::<String>::new());
        // What was copied up and is the same below stays; nothing else does.
        let left: Vec<_> = store.paths().into_iter().map(|(p, _)| p).collect();
        assert_eq!(left, [b"d".to_vec(), b"d/s".to_vec()], "{form:?}");
    }
}

#[test]
fn commit_takes_only_the_paths_that_were_named() {
    let (lower, dir) = (LowerTree::new(), scratch());
    let store = open(&dir, FORMS[0]);
    changed(&lower, &store);
    let tree = host_dir(lower.dir.path());
    store.commit(&[b"d/f".to_vec()], &tree, false).unwrap();
    assert_eq!(std::fs::read(lower.dir.path().join("d/f")).unwrap(), b"changed");
    assert!(!lower.dir.path().join("d/new").exists());
    assert_eq!(lines(&store, &lower)[0], "Added d/new");
}

#[test]
fn commit_leaves_what_changed_below() {
    let (lower, dir) = (LowerTree::new(), scratch());
    let store = open(&dir, FORMS[0]);
    changed(&lower, &store);
    std::fs::write(lower.dir.path().join("d/f"), "someone else's").unwrap();
    let commit = store.commit(&[], &host_dir(lower.dir.path()), false).unwrap();
    assert_eq!(commit.left.len(), 1);
    assert!(commit.left[0].1.contains("changed below"), "{}", commit.left[0].1);
    let new = lower.dir.path().join("d/new");
    std::fs::set_permissions(new, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    assert_eq!(std::fs::read(lower.dir.path().join("d/f")).unwrap(), b"someone else's");
    assert_eq!(read(&store, "d/f"), "changed");
}

#[test]
fn rollback_restores_names_data_and_metadata() {
    for form in FORMS {
        let (lower, dir) = (LowerTree::new(), scratch());
        let store = open(&dir, form);
        changed(&lower, &store);
        lower.copy_up(&store, "d/g").unwrap();
        store.set_stat(b"d/s", &Change { uid: Some(9), ..Change::default() }).unwrap();
        let before = describe(&store, &lower);
        store.snapshot("first").unwrap();
        assert!(matches!(store.snapshot("first"), Err(Error::Refused { .. })));
        assert!(matches!(store.snapshot("a/b"), Err(Error::SnapshotName { .. })));
        write(store.open_upper(b"d/f", OFlags::WRONLY | OFlags::TRUNC).unwrap(), "again");
        store.unlink(b"d/s", true).unwrap();
        store.rename(b"d/new", b"moved", RenameFlags::empty(), false).unwrap();
        store.materialize(b"d/h", &lower.stat("d/h")).unwrap();
        let changed = describe(&store, &lower);
        assert_ne!(changed, before);
        store.rollback("first").unwrap();
        assert_eq!(describe(&store, &lower), before, "{form:?}");
        drop(store);
        let store = open(&dir, form);
        assert_eq!(describe(&store, &lower), before);
        assert_eq!(store.snapshots().unwrap(), ["first"]);
        store.remove_snapshot("first").unwrap();
        assert_eq!(store.snapshots().unwrap(), Vec::<String>::new());
        assert_eq!(store.verify().unwrap().problems, []);
    }
}

#[test]
fn an_oci_layer_round_trips_between_all_forms() {
    let lower = LowerTree::new();
    let (dir, again) = (scratch(), scratch());
    let store = open(&dir, FORMS[0]);
    changed(&lower, &store);
    store
        .set_stat(
            b"d/new/file",
            &Change { uid: Some(77), gid: Some(88), permissions: Some(0o4755) },
        )
        .unwrap();
    store.mknod(b"null", FileKind::CharDevice, DevNum { major: 1, minor: 3 }, &NEW).unwrap();
    store.set_xattr(b"d/new/file", b"trusted.t", b"\0\xff", XattrFlags::empty()).unwrap();
    let mut archive = Vec::new();
    let exported = store.export_tar(&mut archive, Flavor::Oci).unwrap();
    assert_eq!(exported.left, Vec::<Vec<u8>>::new());
    for form in FORMS {
        let copy = scratch();
        let copied = open(&copy, form);
        assert_eq!(copied.import_tar(archive.as_slice()).unwrap(), exported.entries + 1);
        let wanted = without_origins(&describe(&store, &lower));
        assert_eq!(without_origins(&describe(&copied, &lower)), wanted, "{form:?}");
    }
    // Taking it in twice changes nothing.
    let twice = open(&again, FORMS[0]);
    twice.import_tar(archive.as_slice()).unwrap();
    let once = describe(&twice, &lower);
    twice.import_tar(archive.as_slice()).unwrap();
    assert_eq!(describe(&twice, &lower), once);
}

fn without_origins(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        match line.split_once(" origin ") {
            Some((head, tail)) => {
                out.push_str(head);
                out.push_str(tail.split_once(' ').unwrap().1);
            }
            None => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

#[test]
fn gnu_tar_unpacks_a_plain_archive() {
    let (lower, dir, out) = (LowerTree::new(), scratch(), scratch());
    let store = open(&dir, FORMS[0]);
    changed(&lower, &store);
    let long = vec![b'n'; 200];
    store.create(&[b"d/", long.as_slice()].concat(), &NEW, OFlags::WRONLY).unwrap();
    let archive = out.path().join("layer.tar");
    let file = std::fs::File::create(&archive).unwrap();
    store.export_tar(file, Flavor::Plain).unwrap();
    let run = Command::new("tar")
        .args(["--xattrs", "-xf", "layer.tar"])
        .current_dir(out.path())
        .output()
        .expect("this test needs GNU tar (Debian package tar)");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let at = |name: &str| out.path().join(name);
    assert_eq!(std::fs::read(at("d/f")).unwrap(), b"changed");
    assert_eq!(std::fs::read(at("d/new/same")).unwrap(), b"added");
    assert_eq!(std::fs::read_link(at("d/new/link")).unwrap().to_str(), Some("file"));
    assert!(at("d").join(String::from_utf8(long).unwrap()).exists());
    assert!(!at("d/sub/x").exists());
}

#[test]
fn a_path_that_leaves_the_tree_is_refused() {
    let dir = scratch();
    let store = open(&dir, FORMS[0]);
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.as_gnu_mut().unwrap().name[..9].copy_from_slice(b"../escape");
    header.set_size(0);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    builder.append(&header, std::io::empty()).unwrap();
    let archive = builder.into_inner().unwrap();
    let refusal = store.import_tar(archive.as_slice()).unwrap_err();
    assert!(matches!(refusal, Error::Archive { .. }), "{refusal}");
    // Error: a truncated archive.
    assert!(store.import_tar(&archive[..300]).is_err());
}

#[test]
fn verify_names_what_is_wrong() {
    let (lower, dir) = (LowerTree::new(), scratch());
    let store = open(&dir, FORMS[0]);
    changed(&lower, &store);
    lower.copy_up(&store, "d/g").unwrap();
    assert_eq!(store.verify().unwrap().problems, []);
    std::fs::write(dir.path().join(".viewos/tmp/9999"), "").unwrap();
    for entry in std::fs::read_dir(dir.path().join(".viewos/links")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    std::fs::remove_file(dir.path().join("d/f")).unwrap();
    std::fs::create_dir(dir.path().join("d/f")).unwrap();
    let problems = store.verify().unwrap().problems;
    for wanted in ["group", "left behind", "Directory"] {
        assert!(problems.iter().any(|p| p.what.contains(wanted)), "{wanted}: {problems:?}");
    }
}
