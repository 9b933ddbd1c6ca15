//! The images of `fixtures/fixtures.sh` equal the manifests of the trees they were made from.

use crate::device::ImageFile;
use crate::tree::{Form, manifest, mount};
use std::path::PathBuf;

/// The folder of fixtures, if this run has one.
pub(crate) fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("VIEWOS_FIXTURES").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("SKIPPED: VIEWOS_FIXTURES is not set (cargo xtask test sets it)");
    }
    folder
}

fn check(name: &str, form: Form, options: &str) {
    let Some(folder) = folder() else { return };
    let fs = mount(ImageFile::open(&folder.join(format!("{name}.img"))), options).unwrap();
    let text = std::fs::read_to_string(folder.join(format!("{name}.manifest"))).unwrap();
    let mut expected: Vec<String> = text.lines().map(str::to_owned).collect();
    expected.sort();
    let found = manifest(&fs, form, "rr_moved");
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected, "{name}");
    }
    assert_eq!(found.len(), expected.len(), "{name}");
}

#[test]
fn rock_ridge_by_genisoimage_equals_its_manifest() {
    check("iso-rock", Form::Iso, "");
}

#[test]
fn rock_ridge_by_xorriso_equals_its_manifest() {
    check("iso-xorriso", Form::Iso, "");
}

#[test]
fn rock_ridge_wins_over_joliet() {
    check("iso-both", Form::Iso, "");
}

#[test]
fn joliet_equals_its_manifest() {
    check("iso-joliet", Form::Plain, "");
}

#[test]
fn bare_names_are_shown_in_lower_case() {
    check("iso-level1", Form::Plain, "");
}

#[test]
fn last_session_equals_its_manifest() {
    check("iso-multi", Form::Plain, "");
}
