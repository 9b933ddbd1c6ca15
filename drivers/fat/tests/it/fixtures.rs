//! The ready images: names, lengths, times and contents must be those that mtools saw.

use crate::volume::{Tree, Volume};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::path::Path;

/// The listing of fixtures/manifest.py --plain.
fn manifest(volume: &Volume) -> String {
    let mut tree = Tree::new();
    let mut times = std::collections::BTreeMap::new();
    volume
        .walk(volume.fs.root(), "", &mut tree, &mut |path, attr| {
            times.insert(path.to_owned(), attr.mtime.seconds);
        })
        .unwrap();
    let mut text = String::new();
    for (path, contents) in &tree {
        match contents {
            None => writeln!(text, "d - - - - - - - {path}").unwrap(),
            Some(bytes) => {
                let digest = Sha256::digest(bytes);
                let hex = digest.iter().map(|b| format!("{b:02x}")).collect::<String>();
                let (size, time) = (bytes.len(), times[path]);
                writeln!(text, "f - - - - {size} {time} {hex} {path}").unwrap();
            }
        }
    }
    text
}

fn check(name: &str) {
    let Some(folder) = std::env::var_os("VIEWOS_FIXTURES") else {
        eprintln!("SKIPPED: VIEWOS_FIXTURES is not set (cargo xtask test sets it)");
        return;
    };
    let path = |suffix: &str| Path::new(&folder).join(format!("{name}.{suffix}"));
    let volume = Volume::read_only(std::fs::read(path("img")).unwrap());
    let expected = std::fs::read_to_string(path("manifest")).unwrap();
    let mut expected = expected.lines().collect::<Vec<_>>();
    let found = manifest(&volume);
    let mut found = found.lines().collect::<Vec<_>>();
    expected.sort_unstable();
    found.sort_unstable();
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected, "{name}");
    }
    assert_eq!(found.len(), expected.len(), "{name}");
}

#[test]
fn fat12_floppy_equals_its_manifest() {
    check("fat12-floppy");
}

#[test]
fn fat12_with_one_table_equals_its_manifest() {
    check("fat12-odd");
}

#[test]
fn fat16_equals_its_manifest() {
    check("fat16");
}

#[test]
fn fat16_with_two_tables_equals_its_manifest() {
    check("fat16-2f");
}

#[test]
fn fat32_equals_its_manifest() {
    check("fat32");
}

#[test]
fn fat32_with_large_sectors_equals_its_manifest() {
    check("fat32-1ksec");
}
