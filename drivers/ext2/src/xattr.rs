//! Extended attributes, read: behind the fields of the inode, in a block, or as the content of an
//! inode.
//!
//! An entry is `name_len`, name index, offset of the value, inode of the value, its size, a hash,
//! and the name; the list ends with four zero bytes. Source:
//! `Documentation/filesystems/ext4/attributes.rst`.

use crate::error::{Corrupt, Error, Result};
use crate::inode::{Inode, InodeFlags, OLD_INODE_BYTES};
use crate::le::{bytes_at, round4, u8_at, u16_at, u32_at, us, wide};
use crate::seal::Kind;
use crate::volume::Volume;
use abi::Errno;

/// The magic number of both places.
pub(crate) const MAGIC: u32 = 0xea02_0000;
/// Bytes of an entry before its name.
pub(crate) const ENTRY_HEAD: usize = 16;
/// Bytes of the header of an attribute block.
pub(crate) const BLOCK_HEAD: usize = 32;
/// `XATTR_SIZE_MAX` of limits.h.
const VALUE_MAX: u32 = 65536;
/// The index of names that begin with `system.`.
pub(crate) const INDEX_SYSTEM: u8 = 7;
/// The index of the access ACL, which has no further name.
pub(crate) const INDEX_ACL_ACCESS: u8 = 2;
/// The index of the default ACL.
pub(crate) const INDEX_ACL_DEFAULT: u8 = 3;

/// What each name index stands for. A whole name has no dot at its end.
const PREFIXES: [(u8, &[u8]); 7] = [
    (1, b"user."),
    (INDEX_ACL_ACCESS, b"system.posix_acl_access"),
    (INDEX_ACL_DEFAULT, b"system.posix_acl_default"),
    (4, b"trusted."),
    (6, b"security."),
    (8, b"system.richacl"),
    (INDEX_SYSTEM, b"system."),
];

/// Splits a full name into the index and what the entry holds.
///
/// # Errors
/// - `EOPNOTSUPP` if no index stands for its beginning.
pub(crate) fn split_name(name: &[u8]) -> Result<(u8, &[u8])> {
    for (index, prefix) in PREFIXES {
        let Some(rest) = name.strip_prefix(prefix) else { continue };
        // A whole name allows no rest, a prefix needs one.
        if prefix.ends_with(b".") != rest.is_empty() {
            return Ok((index, rest));
        }
    }
    Error::answer(Errno::EOPNOTSUPP)
}

fn full_name(entry: &Entry<'_>) -> Option<Vec<u8>> {
    let (_, prefix) = PREFIXES.into_iter().find(|&(index, _)| index == entry.index)?;
    Some([prefix, entry.name].concat())
}

/// One attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) index: u8,
    pub(crate) name: &'a [u8],
    pub(crate) value_at: u16,
    /// The inode that holds the value, 0 if the area does.
    pub(crate) value_ino: u32,
    pub(crate) value_len: u32,
}

/// The bytes of one place, with the entries somewhere in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Area<'a> {
    ino: u32,
    /// What offsets of values count from.
    bytes: &'a [u8],
    /// Where the entries begin.
    first: usize,
}

/// The attributes behind the fields of an inode, if there are any.
pub(crate) fn in_inode<'a>(inode: &Inode, raw: &'a [u8]) -> Result<Option<Area<'a>>> {
    if raw.len() <= OLD_INODE_BYTES {
        return Ok(None);
    }
    let start = OLD_INODE_BYTES.saturating_add(us(inode.extra_isize));
    if u32_at(raw, start) != MAGIC {
        return Ok(None);
    }
    let bytes = raw.get(start.saturating_add(4)..).unwrap_or_default();
    Ok(Some(Area { ino: inode.ino, bytes, first: 0 }))
}

/// The attributes of a block.
pub(crate) fn in_block(ino: u32, block: u64, bytes: &[u8]) -> Result<Area<'_>> {
    if u32_at(bytes, 0) != MAGIC || u32_at(bytes, 8) != 1 {
        return Err(Corrupt::XattrBlock { block }.into());
    }
    Ok(Area { ino, bytes, first: BLOCK_HEAD })
}

impl<'a> Area<'a> {
    /// The entries in order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Result<Entry<'a>>> + use<'a> {
        let area = *self;
        let mut at = self.first;
        let mut done = false;
        core::iter::from_fn(move || {
            if done || at.saturating_add(4) > area.bytes.len() || u32_at(area.bytes, at) == 0 {
                return None;
            }
            let entry = area.parse(at);
            match &entry {
                Ok(entry) => {
                    at = at.saturating_add(round4(entry.name.len().saturating_add(ENTRY_HEAD)));
                }
                Err(_) => done = true,
            }
            Some(entry)
        })
    }

    fn parse(&self, at: usize) -> Result<Entry<'a>> {
        let name_len = us(u8_at(self.bytes, at));
        let name = bytes_at(self.bytes, at.saturating_add(ENTRY_HEAD), name_len);
        let entry = Entry {
            index: u8_at(self.bytes, at.saturating_add(1)),
            name,
            value_at: u16_at(self.bytes, at.saturating_add(2)),
            value_ino: u32_at(self.bytes, at.saturating_add(4)),
            value_len: u32_at(self.bytes, at.saturating_add(8)),
        };
        if name.len() != name_len || at.saturating_add(ENTRY_HEAD) > self.bytes.len() {
            let offset = u32::try_from(at).unwrap_or(0);
            return Err(Corrupt::XattrEntry { ino: self.ino, offset, len: wide(name_len) }.into());
        }
        Ok(entry)
    }

    /// The value of an entry that lies in this area.
    pub(crate) fn value(&self, entry: &Entry<'_>) -> Result<&'a [u8]> {
        let value = bytes_at(self.bytes, us(entry.value_at), us(entry.value_len));
        if value.len() != us(entry.value_len) {
            let (ino, offset) = (self.ino, u32::from(entry.value_at));
            return Err(Corrupt::XattrEntry { ino, offset, len: u64::from(entry.value_len) }.into());
        }
        Ok(value)
    }
}

impl Volume {
    /// The block of attributes of `inode`, if it has one.
    pub(crate) fn xattr_block(&self, inode: &Inode) -> Result<Option<crate::cache::Buf>> {
        if inode.file_acl == 0 {
            return Ok(None);
        }
        if !self.sb.holds(inode.file_acl, 1) {
            return Err(Corrupt::Block { block: inode.file_acl }.into());
        }
        Ok(Some(self.block(inode.file_acl, Kind::Xattr)?))
    }

    /// The value of an attribute as it is stored, or `None`.
    pub(crate) fn xattr_raw(
        &self,
        inode: &Inode,
        index: u8,
        name: &[u8],
    ) -> Result<Option<Vec<u8>>> {
        let mut value = None;
        self.each_xattr(inode, &mut |area, entry| {
            if value.is_none() && entry.index == index && entry.name == name {
                value = Some(self.xattr_value(inode, area, entry)?);
            }
            Ok(())
        })?;
        Ok(value)
    }

    /// Shows every attribute of `inode`.
    pub(crate) fn each_xattr(
        &self,
        inode: &Inode,
        show: &mut dyn FnMut(&Area<'_>, &Entry<'_>) -> Result<()>,
    ) -> Result<()> {
        let raw = self.inode_bytes(inode.ino)?;
        if let Some(area) = in_inode(inode, &raw)? {
            for entry in area.entries() {
                show(&area, &entry?)?;
            }
        }
        if let Some(bytes) = self.xattr_block(inode)? {
            let area = in_block(inode.ino, inode.file_acl, &bytes)?;
            for entry in area.entries() {
                show(&area, &entry?)?;
            }
        }
        Ok(())
    }

    fn xattr_value(&self, inode: &Inode, area: &Area<'_>, entry: &Entry<'_>) -> Result<Vec<u8>> {
        if entry.value_ino == 0 {
            return Ok(area.value(entry)?.to_vec());
        }
        if entry.value_len > VALUE_MAX {
            let len = u64::from(entry.value_len);
            return Err(Corrupt::XattrEntry { ino: inode.ino, offset: 0, len }.into());
        }
        let holder = match self.inode_any(entry.value_ino) {
            Ok(holder)
                if holder.has(InodeFlags::EA_INODE) && !holder.has(InodeFlags::INLINE_DATA) =>
            {
                holder
            }
            Ok(_) | Err(Error::Answer(_)) => {
                return Err(Corrupt::Ino { ino: u64::from(entry.value_ino) }.into());
            }
            Err(other) => return Err(other),
        };
        let mut value = vec![0; us(entry.value_len)];
        let read = self.read_file(&holder, &mut value, 0)?;
        if read != value.len() {
            let len = u64::from(entry.value_len);
            return Err(Corrupt::XattrEntry { ino: inode.ino, offset: 0, len }.into());
        }
        Ok(value)
    }

    /// getxattr(2).
    pub(crate) fn xattr(&self, inode: &Inode, name: &[u8]) -> Result<Vec<u8>> {
        let (index, rest) = split_name(name)?;
        if index == INDEX_SYSTEM && rest == b"data" {
            return Error::answer(Errno::EOPNOTSUPP);
        }
        let value = self.xattr_raw(inode, index, rest)?.ok_or(Error::Answer(Errno::ENODATA))?;
        if matches!(index, INDEX_ACL_ACCESS | INDEX_ACL_DEFAULT) {
            return crate::acl::from_disk(inode.ino, &value);
        }
        Ok(value)
    }

    /// listxattr(2).
    pub(crate) fn xattr_names(&self, inode: &Inode) -> Result<Vec<Vec<u8>>> {
        let mut names = Vec::new();
        self.each_xattr(inode, &mut |_, entry| {
            let is_data = entry.index == INDEX_SYSTEM && entry.name == b"data";
            if let Some(name) = full_name(entry).filter(|_| !is_data) {
                names.push(name);
            }
            Ok(())
        })?;
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_split_at_their_namespace() {
        assert_eq!(split_name(b"user.a.b"), Ok((1, b"a.b".as_slice())));
        assert_eq!(split_name(b"system.posix_acl_access"), Ok((2, b"".as_slice())));
        assert_eq!(split_name(b"system.data"), Ok((7, b"data".as_slice())));
        // Error: a prefix alone, and one that the format has no number for.
        assert_eq!(split_name(b"user."), Err(Error::Answer(Errno::EOPNOTSUPP)));
        assert_eq!(split_name(b"other.x"), Err(Error::Answer(Errno::EOPNOTSUPP)));
    }
}
