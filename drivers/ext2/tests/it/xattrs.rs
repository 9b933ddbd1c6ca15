//! Extended attributes and ACLs of the fixture made for them.

use crate::device::{fixtures, image, mount};
use crate::tree::lookup;
use abi::Errno;
use abi::fs::FileSystem;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The bytes that `fixtures/filltree.py` makes of a seed.
fn data(seed: &str, len: usize) -> Vec<u8> {
    let chunks = (0..).flat_map(|i| Sha256::digest(format!("{seed}:{i}")).to_vec());
    chunks.take(len).collect()
}

fn fixture() -> Option<Arc<dyn FileSystem>> {
    let folder = fixtures()?;
    Some(mount(image(&folder, "ext4-xattr"), true, "").unwrap())
}

fn get(fs: &dyn FileSystem, file: &str, name: &str) -> Result<Vec<u8>, Errno> {
    let attr = lookup(fs, fs.root(), file.as_bytes()).unwrap();
    fs.getxattr(attr.ino, name.as_bytes())
}

fn names(fs: &dyn FileSystem, file: &str) -> Vec<String> {
    let attr = lookup(fs, fs.root(), file.as_bytes()).unwrap();
    let mut names: Vec<String> = fs
        .listxattr(attr.ino)
        .unwrap()
        .into_iter()
        .map(|name| String::from_utf8(name).unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn values_come_from_the_inode_from_a_block_and_from_an_inode() {
    let Some(fs) = fixture() else { return };
    assert_eq!(get(&*fs, "x1", "user.small").unwrap(), b"value");
    assert_eq!(get(&*fs, "x1", "trusted.t").unwrap(), b"tt");
    for i in 0..12 {
        let wanted = data(&format!("v{i}"), 90);
        assert_eq!(get(&*fs, "x2", &format!("user.k{i}")).unwrap(), wanted);
    }
    assert_eq!(get(&*fs, "x3", "user.big").unwrap(), data("bigv", 30000));
    assert_eq!(names(&*fs, "x1"), ["trusted.t", "user.small"]);
    assert_eq!(names(&*fs, "x2").len(), 13);
    assert!(names(&*fs, "x2").contains(&"system.posix_acl_access".to_owned()));
    // Error: a namespace that the format has no number for, then a name that is not there.
    assert_eq!(get(&*fs, "x1", "unknown.x"), Err(Errno::EOPNOTSUPP));
    assert_eq!(get(&*fs, "x1", "user.none"), Err(Errno::ENODATA));
}

#[test]
fn acls_have_the_form_of_the_kernels_attribute() {
    let Some(fs) = fixture() else { return };
    // u::rw- u:1234:rwx g::r-- g:55:r-- m::rwx o::r--
    let entries: [(u16, u16, u32); 6] = [
        (1, 6, u32::MAX),
        (2, 7, 1234),
        (4, 4, u32::MAX),
        (8, 4, 55),
        (16, 7, u32::MAX),
        (32, 4, u32::MAX),
    ];
    let mut wanted = vec![2, 0, 0, 0];
    for (tag, perm, id) in entries {
        wanted.extend_from_slice(&tag.to_le_bytes());
        wanted.extend_from_slice(&perm.to_le_bytes());
        wanted.extend_from_slice(&id.to_le_bytes());
    }
    assert_eq!(get(&*fs, "x2", "system.posix_acl_access").unwrap(), wanted);
    let default = get(&*fs, "dir", "system.posix_acl_default").unwrap();
    assert_eq!(&default[..4], [2, 0, 0, 0]);
    assert_eq!(default.len() % 8, 4);
}
