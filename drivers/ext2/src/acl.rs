//! POSIX ACLs: from the format's short entries to those of the kernel's attribute, and back.
//!
//! On disk: version 1, then tag, permissions, and an id for named users and groups only. As an
//! attribute of acl(5): version 2, then tag, permissions and an id always.

use crate::error::{Corrupt, Error, Result};
use crate::le::{u16_at, u32_at};
use abi::Errno;

const DISK_VERSION: u32 = 1;
const ATTRIBUTE_VERSION: u32 = 2;
const NO_ID: u32 = u32::MAX;

/// `ACL_USER` and `ACL_GROUP`: the tags with an id.
fn has_id(tag: u16) -> bool {
    matches!(tag, 0x02 | 0x08)
}

fn is_tag(tag: u16) -> bool {
    matches!(tag, 0x01 | 0x02 | 0x04 | 0x08 | 0x10 | 0x20)
}

/// The attribute's form of an ACL of inode `ino`.
pub(crate) fn from_disk(ino: u32, disk: &[u8]) -> Result<Vec<u8>> {
    let bad = Corrupt::Acl { ino };
    if disk.len() < 4 || u32_at(disk, 0) != DISK_VERSION {
        return Err(bad.into());
    }
    let mut out = ATTRIBUTE_VERSION.to_le_bytes().to_vec();
    let mut at = 4;
    while at < disk.len() {
        let tag = u16_at(disk, at);
        let len = if has_id(tag) { 8 } else { 4 };
        let Some(entry) = disk.get(at..at.saturating_add(len)).filter(|_| is_tag(tag)) else {
            return Err(bad.into());
        };
        out.extend_from_slice(entry);
        if !has_id(tag) {
            out.extend_from_slice(&NO_ID.to_le_bytes());
        }
        at = at.saturating_add(len);
    }
    Ok(out)
}

/// The format's form of an ACL.
///
/// # Errors
/// - `EOPNOTSUPP` if the version is another, `EINVAL` if it is no ACL.
pub(crate) fn to_disk(attribute: &[u8]) -> Result<Vec<u8>> {
    if attribute.len() < 4 || attribute.len() & 7 != 4 {
        return Error::answer(Errno::EINVAL);
    }
    if u32_at(attribute, 0) != ATTRIBUTE_VERSION {
        return Error::answer(Errno::EOPNOTSUPP);
    }
    let mut out = DISK_VERSION.to_le_bytes().to_vec();
    for entry in attribute.get(4..).unwrap_or_default().chunks_exact(8) {
        let (tag, perm) = (u16_at(entry, 0), u16_at(entry, 2));
        if !is_tag(tag) || perm > 7 {
            return Error::answer(Errno::EINVAL);
        }
        let len = if has_id(tag) { 8 } else { 4 };
        out.extend_from_slice(entry.get(..len).unwrap_or_default());
    }
    Ok(out)
}

/// The entries of an attribute: offset, tag, permissions.
fn entries(attribute: &[u8]) -> impl Iterator<Item = (usize, u16, u16)> {
    (4..attribute.len())
        .step_by(8)
        .map(|at| (at, u16_at(attribute, at), u16_at(attribute, at.saturating_add(2))))
}

/// Whether an ACL says no more than permission bits do.
pub(crate) fn is_plain(attribute: &[u8]) -> bool {
    entries(attribute).all(|(_, tag, _)| matches!(tag, 0x01 | 0x04 | 0x20))
}

/// The class of permission bits that an entry stands for, as a shift; the mask stands for the
/// group's.
fn class_of(tag: u16, has_mask: bool) -> Option<u32> {
    match tag {
        0x01 => Some(6),
        0x04 if !has_mask => Some(3),
        0x10 => Some(3),
        0x20 => Some(0),
        _ => None,
    }
}

fn has_mask(attribute: &[u8]) -> bool {
    entries(attribute).any(|(_, tag, _)| tag == 0x10)
}

/// The permission bits that an access ACL means; the bits above them stay as in `perm`.
///
/// # Errors
/// - `EINVAL` if owner, group or others are missing.
pub(crate) fn perm_of(attribute: &[u8], perm: u16) -> Result<u16> {
    let masked = has_mask(attribute);
    let mut seen = 0u16;
    let mut bits = perm & 0o7000;
    for (_, tag, rights) in entries(attribute) {
        if matches!(tag, 0x01 | 0x04 | 0x20) {
            seen |= tag;
        }
        if let Some(shift) = class_of(tag, masked) {
            bits |= (rights & 7) << shift;
        }
    }
    if seen == 0x25 { Ok(bits) } else { Error::answer(Errno::EINVAL) }
}

/// Makes an access ACL say what permission bits say.
pub(crate) fn set_perm(attribute: &mut [u8], perm: u16) {
    let masked = has_mask(attribute);
    let all: Vec<_> = entries(attribute).collect();
    for (at, tag, _) in all {
        if let Some(shift) = class_of(tag, masked) {
            crate::le::put_u16(attribute, at.saturating_add(2), (perm >> shift) & 7);
        }
    }
}

/// What a new file gets from a default ACL: its access ACL and permission bits, none above those
/// asked for.
pub(crate) fn inherit(default: &[u8], perm: u16) -> (Vec<u8>, u16) {
    let masked = has_mask(default);
    let mut access = default.to_vec();
    let mut bits = perm & 0o7000;
    for (at, tag, rights) in entries(default) {
        if let Some(shift) = class_of(tag, masked) {
            let left = rights & (perm >> shift) & 7;
            crate::le::put_u16(&mut access, at.saturating_add(2), left);
            bits |= left << shift;
        }
    }
    (access, bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let mut attribute = vec![2, 0, 0, 0];
        for (tag, perm, id) in
            [(1u16, 6u16, NO_ID), (2, 7, 1234), (4, 4, NO_ID), (16, 7, NO_ID), (32, 4, NO_ID)]
        {
            attribute.extend_from_slice(&tag.to_le_bytes());
            attribute.extend_from_slice(&perm.to_le_bytes());
            attribute.extend_from_slice(&id.to_le_bytes());
        }
        let disk = to_disk(&attribute).unwrap();
        assert_eq!(disk.len(), 4 + 4 * 4 + 8);
        assert_eq!(from_disk(11, &disk).unwrap(), attribute);
        // Error: cut off in the middle of an entry.
        assert_eq!(from_disk(11, &disk[..disk.len() - 1]), Err(Corrupt::Acl { ino: 11 }.into()));
        // Error: a tag that is none.
        assert_eq!(
            to_disk(&[2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]),
            Err(Error::Answer(Errno::EINVAL))
        );
    }
}
