//! Extended attributes, changed.
//!
//! Both places (behind the inode's fields, and the block) are read into lists, changed as lists,
//! and written anew. An attribute goes into the inode if it fits there, else into the block. Blocks
//! that inodes share are left to the others and copied.

use crate::error::{Error, Result};
use crate::features::Compat;
use crate::inode::{Inode, OLD_INODE_BYTES};
use crate::le::{
    bytes_at_mut, low8, low16, low32, put, put_u8, put_u16, put_u32, round4, u32_at, us, wide,
};
use crate::seal::Kind;
use crate::superblock::field;
use crate::volume::Volume;
use crate::xattr::{
    BLOCK_HEAD, ENTRY_HEAD, INDEX_ACL_ACCESS, INDEX_ACL_DEFAULT, INDEX_SYSTEM, MAGIC, in_block,
    in_inode, split_name,
};
use abi::Errno;
use abi::fs::{Timestamp, XattrFlags};

/// An attribute, copied out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attribute {
    pub(crate) index: u8,
    pub(crate) name: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

impl Attribute {
    fn entry_bytes(&self) -> usize {
        round4(self.name.len().saturating_add(ENTRY_HEAD))
    }

    fn bytes(&self) -> usize {
        self.entry_bytes().saturating_add(round4(self.value.len()))
    }

    fn is(&self, index: u8, name: &[u8]) -> bool {
        self.index == index && self.name == name
    }

    /// `ext4_xattr_hash_entry`: of the name and of the value, padded to words.
    fn hash(&self) -> u32 {
        let name = self.name.iter().fold(0u32, |h, &b| h.rotate_left(5) ^ u32::from(b));
        self.value.chunks(4).fold(name, |h, chunk| {
            let mut word = [0; 4];
            put(&mut word, 0, chunk);
            h.rotate_left(16) ^ u32::from_le_bytes(word)
        })
    }
}

/// Bytes that a list needs: entries, four zero bytes, values.
fn list_bytes(list: &[Attribute]) -> usize {
    list.iter().map(Attribute::bytes).fold(4, usize::saturating_add)
}

/// Writes a list: entries from `first` on, values from the end down. Offsets count from the start
/// of `area`.
fn emit_list(area: &mut [u8], first: usize, list: &[Attribute], is_hashed: bool) {
    let mut at = first;
    let mut value_at = area.len();
    for attribute in list {
        let len = attribute.value.len();
        value_at = value_at.saturating_sub(round4(len));
        put_u8(area, at, low8(low32(wide(attribute.name.len()))));
        put_u8(area, at.saturating_add(1), attribute.index);
        let offset = if len == 0 { 0 } else { value_at };
        put_u16(area, at.saturating_add(2), low16(low32(wide(offset))));
        put_u32(area, at.saturating_add(8), low32(wide(len)));
        put_u32(area, at.saturating_add(12), if is_hashed { attribute.hash() } else { 0 });
        put(area, at.saturating_add(ENTRY_HEAD), &attribute.name);
        put(area, value_at, &attribute.value);
        at = at.saturating_add(attribute.entry_bytes());
    }
}

/// The lists of both places.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lists {
    pub(crate) inode: Vec<Attribute>,
    pub(crate) block: Vec<Attribute>,
}

impl Volume {
    /// Copies the attributes of an inode out. Values in inodes of their own are not for writing.
    fn xattr_lists(&self, inode: &Inode) -> Result<Lists> {
        let mut lists = Lists::default();
        let raw = self.inode_bytes(inode.ino)?;
        let block = self.xattr_block(inode)?;
        let places = [
            (in_inode(inode, &raw)?, &mut lists.inode),
            (
                block.as_ref().map(|b| in_block(inode.ino, inode.file_acl, b)).transpose()?,
                &mut lists.block,
            ),
        ];
        for (area, list) in places {
            let Some(area) = area else { continue };
            for entry in area.entries() {
                let entry = entry?;
                if entry.value_ino != 0 {
                    return Error::answer(Errno::EOPNOTSUPP);
                }
                let (index, name) = (entry.index, entry.name.to_vec());
                list.push(Attribute { index, name, value: area.value(&entry)?.to_vec() });
            }
        }
        Ok(lists)
    }

    /// Bytes behind the inode's fields that a list may fill.
    fn inode_room(&self, inode: &Inode) -> usize {
        us(self.sb.inode_size)
            .saturating_sub(OLD_INODE_BYTES)
            .saturating_sub(us(inode.extra_isize))
            .saturating_sub(4)
    }

    /// Writes both lists. The inode is stored.
    fn store_lists(&mut self, inode: &mut Inode, lists: &mut Lists) -> Result<()> {
        self.store_inode_list(inode, &lists.inode)?;
        lists.block.sort_by(|a, b| {
            (a.index, a.name.len(), &a.name).cmp(&(b.index, b.name.len(), &b.name))
        });
        self.store_block_list(inode, &lists.block)?;
        self.store_inode(inode)
    }

    fn store_inode_list(&mut self, inode: &Inode, list: &[Attribute]) -> Result<()> {
        let room = self.inode_room(inode);
        if us(self.sb.inode_size) <= OLD_INODE_BYTES || room < 4 {
            return Ok(());
        }
        let place = self.inode_place(inode.ino)?;
        let start =
            place.offset.saturating_add(OLD_INODE_BYTES).saturating_add(us(inode.extra_isize));
        let bytes = self.edit(place.block, Kind::Inodes)?;
        let area = bytes_at_mut(bytes, start, room.saturating_add(4));
        area.fill(0);
        if !list.is_empty() {
            put_u32(area, 0, MAGIC);
            emit_list(area.get_mut(4..).unwrap_or_default(), 0, list, false);
        }
        Ok(())
    }

    fn store_block_list(&mut self, inode: &mut Inode, list: &[Attribute]) -> Result<()> {
        let old = inode.file_acl;
        let is_shared = self.xattr_block(inode)?.is_some_and(|bytes| u32_at(&bytes, 4) > 1);
        if list.is_empty() || is_shared {
            self.release_xattrs(inode)?;
            if list.is_empty() {
                return Ok(());
            }
        }
        if inode.file_acl == 0 {
            let goal = if old == 0 { self.home_goal(inode.ino) } else { old };
            inode.file_acl = self.alloc_block(goal)?;
            inode.blocks_512 = inode.blocks_512.saturating_add(self.sectors(1));
            self.fresh(inode.file_acl, Kind::Xattr)?;
        }
        let bytes = self.edit(inode.file_acl, Kind::Xattr)?;
        bytes.fill(0);
        put_u32(bytes, 0, MAGIC);
        put_u32(bytes, 4, 1);
        put_u32(bytes, 8, 1);
        let hashes: Vec<u32> = list.iter().map(Attribute::hash).collect();
        let hash = if hashes.contains(&0) {
            0
        } else {
            hashes.iter().fold(0u32, |all, hash| all.rotate_left(16) ^ hash)
        };
        put_u32(bytes, 12, hash);
        emit_list(bytes, BLOCK_HEAD, list, true);
        Ok(())
    }

    /// Lets go of the block of attributes: freed if nobody shares it. The inode is left to be
    /// stored.
    pub(crate) fn release_xattrs(&mut self, inode: &mut Inode) -> Result<()> {
        let block = inode.file_acl;
        let Some(bytes) = self.xattr_block(inode)? else { return Ok(()) };
        let shares = u32_at(&bytes, 4);
        in_block(inode.ino, block, &bytes)?;
        drop(bytes);
        if shares > 1 {
            put_u32(self.edit(block, Kind::Xattr)?, 4, shares.saturating_sub(1));
        } else {
            self.release_meta(block)?;
        }
        inode.file_acl = 0;
        inode.blocks_512 = inode.blocks_512.saturating_sub(self.sectors(1));
        Ok(())
    }

    /// Puts an attribute where it fits.
    fn place(&self, inode: &Inode, lists: &mut Lists, attribute: Attribute) -> Result<()> {
        let room = self.inode_room(inode);
        if list_bytes(&lists.inode).saturating_add(attribute.bytes()) <= room {
            lists.inode.push(attribute);
            return Ok(());
        }
        let room = self.sb.block_bytes().saturating_sub(BLOCK_HEAD);
        if attribute.bytes().saturating_add(4) > room {
            return Error::answer(Errno::ENOSPC);
        }
        if list_bytes(&lists.block).saturating_add(attribute.bytes()) > room {
            return Error::answer(Errno::ENOSPC);
        }
        lists.block.push(attribute);
        Ok(())
    }

    /// Turns the feature `ext_attr` on, as `ext4_xattr_update_super_block`.
    ///
    /// # Errors
    /// - `EOPNOTSUPP` on revision 0, which has no features.
    fn use_xattrs(&mut self) -> Result<()> {
        if self.sb.compat.contains(Compat::EXT_ATTR) {
            return Ok(());
        }
        let raw = self.edit_super()?;
        if u32_at(raw, field::REV_LEVEL) == 0 {
            return Error::answer(Errno::EOPNOTSUPP);
        }
        let bits = u32_at(raw, field::COMPAT) | Compat::EXT_ATTR.bits();
        put_u32(raw, field::COMPAT, bits);
        Ok(())
    }

    /// Sets the stored form of an attribute. Part of a change; stores the inode.
    pub(crate) fn set_xattr_raw(
        &mut self,
        inode: &mut Inode,
        index: u8,
        name: &[u8],
        value: &[u8],
    ) -> Result<()> {
        self.use_xattrs()?;
        let mut lists = self.xattr_lists(inode)?;
        lists.inode.retain(|a| !a.is(index, name));
        lists.block.retain(|a| !a.is(index, name));
        let attribute = Attribute { index, name: name.to_vec(), value: value.to_vec() };
        self.place(inode, &mut lists, attribute)?;
        self.store_lists(inode, &mut lists)
    }

    /// setxattr(2). Part of a change.
    pub(crate) fn set_xattr(
        &mut self,
        inode: &mut Inode,
        name: &[u8],
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<()> {
        let (index, rest) = split_name(name)?;
        if index == INDEX_SYSTEM || index == 8 {
            return Error::answer(Errno::EOPNOTSUPP);
        }
        let exists = self.xattr_raw(inode, index, rest)?.is_some();
        if exists && flags.contains(XattrFlags::CREATE) {
            return Error::answer(Errno::EEXIST);
        }
        if !exists && flags.contains(XattrFlags::REPLACE) {
            return Error::answer(Errno::ENODATA);
        }
        if value.len() > 65536 {
            return Error::answer(Errno::E2BIG);
        }
        inode.ctime = Timestamp::now();
        match index {
            INDEX_ACL_ACCESS => self.set_access_acl(inode, value),
            INDEX_ACL_DEFAULT => {
                if !inode.is_dir() {
                    return Error::answer(Errno::EACCES);
                }
                let disk = crate::acl::to_disk(value)?;
                self.set_xattr_raw(inode, index, rest, &disk)
            }
            _ => self.set_xattr_raw(inode, index, rest, value),
        }
    }

    /// An access ACL sets the permission bits too; one that says no more than these is not stored.
    fn set_access_acl(&mut self, inode: &mut Inode, value: &[u8]) -> Result<()> {
        let disk = crate::acl::to_disk(value)?;
        inode.perm = crate::acl::perm_of(value, inode.perm)?;
        if crate::acl::is_plain(value) {
            let _ = self.drop_xattr(inode, INDEX_ACL_ACCESS, b"")?;
            return self.store_inode(inode);
        }
        self.set_xattr_raw(inode, INDEX_ACL_ACCESS, b"", &disk)
    }

    /// Takes an attribute away; false if there was none. Part of a change; stores the inode.
    fn drop_xattr(&mut self, inode: &mut Inode, index: u8, name: &[u8]) -> Result<bool> {
        let mut lists = self.xattr_lists(inode)?;
        let before = lists.inode.len().saturating_add(lists.block.len());
        lists.inode.retain(|a| !a.is(index, name));
        lists.block.retain(|a| !a.is(index, name));
        if lists.inode.len().saturating_add(lists.block.len()) == before {
            return Ok(false);
        }
        self.store_lists(inode, &mut lists)?;
        Ok(true)
    }

    /// removexattr(2). Part of a change.
    pub(crate) fn remove_xattr(&mut self, inode: &mut Inode, name: &[u8]) -> Result<()> {
        let (index, rest) = split_name(name)?;
        if index == INDEX_SYSTEM || index == 8 {
            return Error::answer(Errno::EOPNOTSUPP);
        }
        inode.ctime = Timestamp::now();
        if self.drop_xattr(inode, index, rest)? { Ok(()) } else { Error::answer(Errno::ENODATA) }
    }

    /// What a new inode takes from its directory's default ACL, as `ext4_init_acl`. Part of a
    /// change; the inode is stored already.
    pub(crate) fn inherit_acl(&mut self, dir: &Inode, inode: &mut Inode) -> Result<()> {
        if matches!(inode.kind, abi::fs::FileKind::Symlink) {
            return Ok(());
        }
        let Some(default) = self.xattr_raw(dir, INDEX_ACL_DEFAULT, b"")? else { return Ok(()) };
        let attribute = crate::acl::from_disk(dir.ino, &default)?;
        let (access, perm) = crate::acl::inherit(&attribute, inode.perm);
        inode.perm = perm;
        if inode.is_dir() {
            self.set_xattr_raw(inode, INDEX_ACL_DEFAULT, b"", &default)?;
        }
        if crate::acl::is_plain(&access) {
            return self.store_inode(inode);
        }
        let disk = crate::acl::to_disk(&access)?;
        self.set_xattr_raw(inode, INDEX_ACL_ACCESS, b"", &disk)
    }

    /// After chmod(2): an access ACL says the same as the permission bits.
    pub(crate) fn follow_perm(&mut self, inode: &mut Inode) -> Result<()> {
        let Some(disk) = self.xattr_raw(inode, INDEX_ACL_ACCESS, b"")? else { return Ok(()) };
        let mut attribute = crate::acl::from_disk(inode.ino, &disk)?;
        crate::acl::set_perm(&mut attribute, inode.perm);
        let disk = crate::acl::to_disk(&attribute)?;
        self.set_xattr_raw(inode, INDEX_ACL_ACCESS, b"", &disk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_fill_their_area_from_both_ends() {
        let list = [
            Attribute { index: 1, name: b"a".to_vec(), value: b"12345".to_vec() },
            Attribute { index: 6, name: b"long-name".to_vec(), value: Vec::new() },
        ];
        assert_eq!(list_bytes(&list), 4 + (20 + 8) + 28);
        let mut area = vec![0; list_bytes(&list)];
        emit_list(&mut area, 0, &list, true);
        assert_eq!(&area[..4], [1, 1, 52, 0]);
        assert_eq!(&area[52..57], b"12345");
        assert_eq!(&area[20..24], [9, 6, 0, 0]);
        assert_eq!(u32_at(&area, 48), 0, "the end of the list");
        assert_ne!(list[0].hash(), 0);
    }
}
