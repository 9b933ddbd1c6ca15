//! Files made shorter or removed, in as many changes as it takes.
//!
//! What can't be done in one change is put on the list of orphans first, so that a mount after a
//! crash goes on where this one stopped.

use crate::error::{Corrupt, Error, Result};
use crate::inode::{Inode, InodeFlags};
use crate::le::{put_u32, u32_at};
use crate::superblock::field::LAST_ORPHAN;
use crate::volume::Volume;
use abi::fs::{FileKind, Timestamp};

/// Runs (extents, blocks of pointers) that one change frees.
const STEPS: usize = 256;

impl Volume {
    /// Whether `i_block` leads to blocks.
    pub(crate) fn has_mapping(&self, inode: &Inode) -> bool {
        match inode.kind {
            FileKind::Regular | FileKind::Directory => !inode.has(InodeFlags::INLINE_DATA),
            FileKind::Symlink => !self.is_fast_link(inode),
            _ => false,
        }
    }

    /// Puts an inode at the head of the list of orphans. Part of a change; the inode is left to be
    /// stored.
    pub(crate) fn add_orphan(&mut self, inode: &mut Inode) -> Result<()> {
        let raw = self.edit_super()?;
        inode.dtime = u32_at(raw, LAST_ORPHAN);
        put_u32(raw, LAST_ORPHAN, inode.ino);
        Ok(())
    }

    /// Takes an inode off the list of orphans, if it is on it. Part of a change; the inode is left
    /// to be stored.
    pub(crate) fn remove_orphan(&mut self, inode: &mut Inode) -> Result<()> {
        let next = inode.dtime;
        let mut at = u32_at(&self.super_bytes()?, LAST_ORPHAN);
        if at == inode.ino {
            put_u32(self.edit_super()?, LAST_ORPHAN, next);
            inode.dtime = 0;
            return Ok(());
        }
        // The list can't be longer than there are inodes, nor than files can be open.
        for _ in 0..self.sb.inodes_count.min(1 << 22) {
            if at == 0 {
                return Ok(());
            }
            let mut before = self.orphan(at)?;
            if before.dtime == inode.ino {
                before.dtime = next;
                inode.dtime = 0;
                return self.store_inode(&before);
            }
            at = before.dtime;
        }
        Err(Corrupt::Orphan { ino: inode.ino }.into())
    }

    /// An inode that the list of orphans leads to.
    pub(crate) fn orphan(&self, ino: u32) -> Result<Inode> {
        let good = ino >= self.sb.first_ino && ino <= self.sb.inodes_count;
        match self.inode_any(ino) {
            Ok(inode) if good => Ok(inode),
            Ok(_) | Err(Error::Answer(_)) => Err(Corrupt::Orphan { ino }.into()),
            Err(other) => Err(other),
        }
    }

    /// Frees the blocks behind the end of `inode`; false if some are left for another change.
    fn free_behind_end(&mut self, inode: &mut Inode) -> Result<bool> {
        let from = self.sb.blocks_for(inode.size);
        let end = u64::from(u32::MAX).saturating_add(1);
        Ok(self.remove_mapping(inode, from, end, STEPS)? <= from)
    }

    /// Makes a file `size` bytes long. Several changes, each whole.
    pub(crate) fn truncate(&mut self, ino: u32, size: u64, now: Timestamp) -> Result<Inode> {
        let (mut inode, mut is_done) = self.change(|volume| {
            let mut inode = volume.inode_any(ino)?;
            let old = inode.size;
            if size > volume.size_max(&inode) {
                return Error::answer(abi::Errno::EFBIG);
            }
            volume.zero_tail(&inode, size.min(old), u64::MAX)?;
            volume.set_size(&mut inode, size)?;
            inode.mtime = now;
            inode.ctime = now;
            let is_done = size >= old && size > 0 || volume.free_behind_end(&mut inode)?;
            if !is_done && inode.links > 0 {
                volume.add_orphan(&mut inode)?;
            }
            volume.store_inode(&inode)?;
            Ok((inode, is_done))
        })?;
        while !is_done {
            (inode, is_done) = self.change(|volume| {
                let mut inode = volume.inode_any(ino)?;
                let is_done = volume.free_behind_end(&mut inode)?;
                if is_done && inode.links > 0 {
                    volume.remove_orphan(&mut inode)?;
                }
                volume.store_inode(&inode)?;
                Ok((inode, is_done))
            })?;
        }
        Ok(inode)
    }

    /// Frees what an inode without names has, and the inode; false if some is left for another
    /// change. An inode that is not on the list of orphans is put there then. Part of a change.
    pub(crate) fn evict_step(&mut self, inode: &mut Inode, is_listed: bool) -> Result<bool> {
        let is_done = if self.has_mapping(inode) {
            inode.size = 0;
            self.free_behind_end(inode)?
        } else {
            true
        };
        if !is_done {
            if !is_listed {
                self.add_orphan(inode)?;
            }
            self.store_inode(inode)?;
            return Ok(false);
        }
        self.release_xattrs(inode)?;
        if is_listed {
            self.remove_orphan(inode)?;
        }
        self.release_inode(inode)?;
        Ok(true)
    }

    /// Frees an inode that is on the list of orphans and has no names. Several changes, each whole.
    pub(crate) fn evict(&mut self, ino: u32) -> Result<()> {
        loop {
            let is_done = self.change(|volume| {
                let mut inode = volume.orphan(ino)?;
                volume.evict_step(&mut inode, true)
            })?;
            if is_done {
                return Ok(());
            }
        }
    }

    /// Goes on with what the list of orphans says was not finished. At mount, for writing.
    pub(crate) fn process_orphans(&mut self) -> Result<u32> {
        let mut count: u32 = 0;
        while count <= self.sb.inodes_count {
            let ino = u32_at(&self.super_bytes()?, LAST_ORPHAN);
            if ino == 0 {
                return Ok(count);
            }
            let inode = self.orphan(ino)?;
            if inode.links == 0 {
                self.evict(ino)?;
            } else {
                self.finish_truncate(ino)?;
            }
            count = count.saturating_add(1);
        }
        Err(Corrupt::Orphan { ino: 0 }.into())
    }

    fn finish_truncate(&mut self, ino: u32) -> Result<()> {
        loop {
            let is_done = self.change(|volume| {
                let mut inode = volume.orphan(ino)?;
                let is_done = !volume.has_mapping(&inode) || volume.free_behind_end(&mut inode)?;
                if is_done {
                    volume.remove_orphan(&mut inode)?;
                }
                volume.store_inode(&inode)?;
                Ok(is_done)
            })?;
            if is_done {
                return Ok(());
            }
        }
    }
}
