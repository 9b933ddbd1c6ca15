//! The `viewfs` command, as a user runs it.

use crate::fixture::{make, overlay, scratch, write};
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;
use viewfs::Mode;

/// A store with a change of each kind over a small tree.
fn trees() -> (TempDir, TempDir) {
    let (lower, upper) = (scratch(), scratch());
    make(lower.path(), &["etc/", "etc/hosts=127.0.0.1 me\n", "etc/old=old", "etc/mode=m"]);
    let (view, _) = overlay(lower.path(), upper.path(), Mode::Cow, false, &[]);
    write(&view, "etc/hosts", "127.0.0.1 me\n10.0.0.1 you\n").unwrap();
    write(&view, "etc/new", "new").unwrap();
    view.unlink(b"etc/old").unwrap();
    view.chmod(b"etc/mode", 0o600).unwrap();
    (lower, upper)
}

fn viewfs(arguments: &[&str], store: &Path, lower: Option<&Path>, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_viewfs"));
    command.args(arguments).arg(store).args(more);
    if let Some(lower) = lower {
        command.arg("--lower").arg(lower);
    }
    command.output().unwrap()
}

fn text(output: &Output) -> String {
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn diff_lists_each_kind_of_change() {
    let (lower, upper) = trees();
    let out = viewfs(&["diff"], upper.path(), Some(lower.path()), &[]);
    assert_eq!(text(&out), "M /etc/hosts\na /etc/mode\nA /etc/new\nD /etc/old\n");
    assert_eq!(out.status.code(), Some(0));
    let out = viewfs(&["diff", "--exit-code"], upper.path(), Some(lower.path()), &["/etc/new"]);
    assert_eq!((text(&out).as_str(), out.status.code()), ("A /etc/new\n", Some(1)));
    let out = viewfs(&["diff", "--text"], upper.path(), Some(lower.path()), &["/etc/hosts"]);
    assert!(text(&out).contains("\n+10.0.0.1 you\n"), "{}", text(&out));
    let out = viewfs(&["diff", "--json"], upper.path(), Some(lower.path()), &[]);
    let json: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(json[3]["path"], "/etc/old");
    assert_eq!(json[3]["change"], "deleted");
}

#[test]
fn commit_changes_the_tree_below_and_tells_what_it_left() {
    let (lower, upper) = trees();
    let out = viewfs(&["commit", "--dry-run"], upper.path(), Some(lower.path()), &[]);
    assert_eq!(text(&out).lines().count(), 4);
    assert!(lower.path().join("etc/old").exists());
    std::fs::write(lower.path().join("etc/hosts"), "changed meanwhile").unwrap();
    let out = viewfs(&["commit"], upper.path(), Some(lower.path()), &[]);
    assert_eq!(out.status.code(), Some(1), "{}", text(&out));
    assert!(text(&out).contains("left /etc/hosts"), "{}", text(&out));
    assert!(!lower.path().join("etc/old").exists());
    assert_eq!(std::fs::read(lower.path().join("etc/new")).unwrap(), b"new");
    let out = viewfs(&["diff"], upper.path(), Some(lower.path()), &[]);
    assert_eq!(text(&out), "M /etc/hosts\n");
}

#[test]
fn snapshots_are_taken_listed_and_gone_back_to() {
    let (lower, upper) = trees();
    assert!(viewfs(&["snapshot"], upper.path(), None, &["one"]).status.success());
    assert_eq!(text(&viewfs(&["snapshot"], upper.path(), None, &[])), "one\n");
    let before = text(&viewfs(&["diff"], upper.path(), Some(lower.path()), &[]));
    {
        let (view, _) = overlay(lower.path(), upper.path(), Mode::Cow, false, &[]);
        view.unlink(b"etc/new").unwrap();
    }
    assert_ne!(text(&viewfs(&["diff"], upper.path(), Some(lower.path()), &[])), before);
    assert!(viewfs(&["rollback"], upper.path(), None, &["one"]).status.success());
    assert_eq!(text(&viewfs(&["diff"], upper.path(), Some(lower.path()), &[])), before);
    let out = viewfs(&["rollback"], upper.path(), None, &["none"]);
    assert_eq!(out.status.code(), Some(2));
    assert!(text(&out).starts_with("viewfs: snapshot none: "), "{}", text(&out));
}

#[test]
fn an_exported_layer_is_imported_again() {
    let (lower, upper) = trees();
    let dir = scratch();
    let archive = dir.path().join("layer.tar");
    let archive = archive.to_str().unwrap();
    assert!(viewfs(&["export", "--oci"], upper.path(), None, &[archive]).status.success());
    let copy = dir.path().join("copy");
    let out = viewfs(&["import"], &copy, None, &[archive]);
    assert_eq!(text(&out), "5 entries\n");
    let diff = |store: &Path| text(&viewfs(&["diff"], store, Some(lower.path()), &[]));
    assert_eq!(diff(&copy), diff(upper.path()));
    assert!(text(&viewfs(&["verify"], &copy, None, &[])).ends_with(" 0 problems\n"));
}

#[test]
fn a_store_in_use_is_not_written() {
    let (lower, upper) = trees();
    let _view = overlay(lower.path(), upper.path(), Mode::Cow, false, &[]);
    let out = viewfs(&["commit"], upper.path(), Some(lower.path()), &[]);
    assert_eq!(out.status.code(), Some(2));
    assert!(text(&out).contains("in use by another writer"), "{}", text(&out));
    assert!(viewfs(&["diff"], upper.path(), Some(lower.path()), &[]).status.success());
}
