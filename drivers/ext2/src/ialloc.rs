//! Inodes, handed out and taken back.
//!
//! A file goes to its directory's group; a directory too, except one in the root, which goes where
//! there is most room, so that trees spread.

use crate::bitmap;
use crate::cache::Buf;
use crate::error::{Corrupt, Error, Result};
use crate::group::{Group, INODE_UNINIT, InodePlace};
use crate::inode::{Inode, ROOT_INO};
use crate::le::{bytes_at_mut, low32, us};
use crate::seal::Kind;
use crate::volume::Volume;
use abi::Errno;
use abi::fs::Timestamp;
use std::sync::Arc;

impl Volume {
    fn inodes_per_group(&self) -> u32 {
        low32(self.sb.inodes_per_group.get())
    }

    fn inode_bitmap(&self, group: u32, desc: &Group) -> Result<Buf> {
        if desc.flags & INODE_UNINIT == 0 {
            return self.block(desc.inode_bitmap, Kind::InodeBitmap(group));
        }
        let mut bits = vec![0; self.sb.block_bytes()];
        let count = self.inodes_per_group();
        let all = self.sb.block_size().saturating_mul(8);
        bitmap::set(&mut bits, count, all.saturating_sub(count));
        Ok(Arc::new(bits))
    }

    /// The group where the search for a new inode begins.
    fn inode_home(&self, parent: u32, is_dir: bool) -> Result<u32> {
        let home = self.inode_place(parent)?.group;
        if !is_dir || parent != ROOT_INO {
            return Ok(home);
        }
        let mut best = (home, 0, 0);
        // A bound for volumes of very many groups.
        for group in 0..self.sb.groups.min(512) {
            let desc = self.group(group)?;
            if desc.free_inodes == 0 {
                continue;
            }
            let room = desc.free_blocks.checked_div(desc.used_dirs.saturating_add(1)).unwrap_or(0);
            if room > best.1 {
                best = (group, room, desc.free_inodes);
            }
        }
        Ok(best.0)
    }

    /// Hands out an inode number.
    ///
    /// # Errors
    /// - `ENOSPC`
    pub(crate) fn alloc_ino(&mut self, parent: u32, is_dir: bool) -> Result<u32> {
        let home = self.inode_home(parent, is_dir)?;
        for step in 0..self.sb.groups {
            let group = home.saturating_add(step).checked_rem(self.sb.groups).unwrap_or(0);
            let desc = self.group(group)?;
            if desc.free_inodes == 0 {
                continue;
            }
            let bits = self.inode_bitmap(group, &desc)?;
            let reserved = if group == 0 { self.sb.first_ino.saturating_sub(1) } else { 0 };
            if let Some(index) = self.next_free(&bits, group, reserved) {
                return self.take_inode(group, desc, index, is_dir);
            }
        }
        Error::answer(Errno::ENOSPC)
    }

    /// The first free inode of a group from `from` on that is not held back.
    fn next_free(&self, bits: &[u8], group: u32, from: u32) -> Option<u32> {
        let first = group.saturating_mul(self.inodes_per_group());
        let mut from = from;
        loop {
            let index = bitmap::next(bits, from, self.inodes_per_group(), false)?;
            from = index.saturating_add(1);
            if !self.tx.order.is_dead(first.saturating_add(from)) {
                return Some(index);
            }
        }
    }

    fn take_inode(&mut self, group: u32, mut desc: Group, index: u32, is_dir: bool) -> Result<u32> {
        let kind = Kind::InodeBitmap(group);
        if desc.flags & INODE_UNINIT != 0 {
            let made_up = self.inode_bitmap(group, &desc)?;
            desc.flags &= !INODE_UNINIT;
            self.fresh(desc.inode_bitmap, kind)?.copy_from_slice(&made_up);
        }
        bitmap::set(self.edit(desc.inode_bitmap, kind)?, index, 1);
        let first = group.saturating_mul(self.inodes_per_group());
        let ino = first.saturating_add(index).saturating_add(1);
        if self.sb.has_group_csum() {
            self.begin_table(ino, &desc)?;
            let left = self.inodes_per_group().saturating_sub(index.saturating_add(1));
            desc.itable_unused = desc.itable_unused.min(left);
        }
        desc.free_inodes = desc.free_inodes.saturating_sub(1);
        if is_dir {
            desc.used_dirs = desc.used_dirs.saturating_add(1);
        }
        self.store_group(group, &desc)?;
        self.add_free_inodes(-1)?;
        Ok(ino)
    }

    /// A block of the inode table that was never used holds whatever was there: it begins as
    /// zeroes.
    fn begin_table(&mut self, ino: u32, desc: &Group) -> Result<()> {
        let InodePlace { index, block, .. } = self.inode_place(ino)?;
        let per_block =
            self.sb.block_size().checked_div(u32::from(self.sb.inode_size)).unwrap_or(1);
        let first = index.saturating_sub(index.checked_rem(per_block).unwrap_or(0));
        let used = self.inodes_per_group().saturating_sub(desc.itable_unused);
        if first >= used {
            self.fresh(block, Kind::Inodes)?;
        }
        Ok(())
    }

    /// Stores an inode where another one was: nothing of that stays.
    pub(crate) fn store_new_inode(&mut self, inode: &Inode) -> Result<()> {
        let place = self.inode_place(inode.ino)?;
        let size = us(self.sb.inode_size);
        let block = self.edit(place.block, Kind::Inodes)?;
        bytes_at_mut(block, place.offset, size).fill(0);
        self.store_inode(inode)
    }

    /// Takes an inode back. Its blocks are gone already.
    pub(crate) fn release_inode(&mut self, inode: &mut Inode) -> Result<()> {
        let place = self.inode_place(inode.ino)?;
        let mut desc = self.group(place.group)?;
        if desc.flags & INODE_UNINIT != 0 {
            return Err(Corrupt::DoubleFree { group: place.group, what: "an inode" }.into());
        }
        let bits = self.edit(desc.inode_bitmap, Kind::InodeBitmap(place.group))?;
        if !bitmap::is_set(bits, place.index) {
            return Err(Corrupt::DoubleFree { group: place.group, what: "an inode" }.into());
        }
        bitmap::clear(bits, place.index, 1);
        desc.free_inodes = desc.free_inodes.saturating_add(1);
        if inode.is_dir() {
            desc.used_dirs = desc.used_dirs.saturating_sub(1);
        }
        self.store_group(place.group, &desc)?;
        self.add_free_inodes(1)?;
        if self.journal.is_none() {
            self.tx.order.bury(inode.ino);
        }
        inode.links = 0;
        inode.size = 0;
        inode.dtime = low32(Timestamp::now().seconds.cast_unsigned()).max(1);
        self.store_inode(inode)
    }
}
