//! From file blocks to blocks: one question for both ways of the format to answer it.

use crate::error::Result;
use crate::inode::{Inode, InodeFlags};
use crate::volume::Volume;

/// What a stretch of file blocks is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Data from this block on.
    Data(u64),
    /// Allocated from this block on, never written: reads as zeroes.
    Unwritten(u64),
    /// Nothing.
    Hole,
}

/// A stretch of file blocks that are one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) place: Place,
    /// File blocks, at least one.
    pub(crate) len: u64,
}

impl Run {
    pub(crate) const fn hole(len: u64) -> Self {
        Self { place: Place::Hole, len }
    }

    /// The first block, if there is one.
    pub(crate) const fn block(&self) -> Option<u64> {
        match self.place {
            Place::Data(block) | Place::Unwritten(block) => Some(block),
            Place::Hole => None,
        }
    }
}

impl Volume {
    /// What lies at file block `block` of `inode`, up to `len_max` blocks (at least 1) of the same.
    pub(crate) fn map(&self, inode: &Inode, block: u64, len_max: u64) -> Result<Run> {
        let len_max = len_max.max(1);
        if inode.has(InodeFlags::EXTENTS) {
            self.map_extents(inode, block, len_max)
        } else {
            self.map_pointers(inode, block, len_max)
        }
    }

    /// The first file block that `inode`'s way of mapping can't hold.
    pub(crate) fn file_blocks_max(&self, inode: &Inode) -> u64 {
        if inode.has(InodeFlags::EXTENTS) {
            return u64::from(u32::MAX);
        }
        let per_block = u64::from(self.sb.block_size() / 4);
        let square = per_block.saturating_mul(per_block);
        let cube = square.saturating_mul(per_block);
        let mapped = cube.saturating_add(square).saturating_add(per_block).saturating_add(12);
        mapped.min(u64::from(u32::MAX))
    }
}
