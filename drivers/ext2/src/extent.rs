//! Extent trees, read.
//!
//! The root is in `i_block`, other nodes are blocks. A node is a header of 12 bytes and entries of
//! 12 bytes: index entries above, extents at depth 0. Source:
//! `Documentation/filesystems/ext4/ifork.rst`.

use crate::cache::Buf;
use crate::error::{Corrupt, Result};
use crate::inode::Inode;
use crate::le::{high32, low16, low32, put_u16, put_u32, u16_at, u32_at, us, wide};
use crate::map::{Place, Run};
use crate::seal::Kind;
use crate::superblock::Super;
use crate::volume::Volume;

const MAGIC: u16 = 0xf30a;
/// A length above this means unwritten blocks.
pub(crate) const LEN_MAX: u32 = 32768;
/// Unwritten extents hold one block less.
pub(crate) const LEN_UNWRITTEN_MAX: u32 = 32767;
/// The deepest tree that the kernel makes or takes.
pub(crate) const DEPTH_MAX: u16 = 5;
/// Bytes of a header and of each entry.
pub(crate) const ENTRY: usize = 12;

/// A leaf entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) file_block: u32,
    pub(crate) len: u32,
    pub(crate) block: u64,
    pub(crate) is_unwritten: bool,
}

impl Extent {
    pub(crate) fn end(&self) -> u64 {
        u64::from(self.file_block).saturating_add(u64::from(self.len))
    }

    pub(crate) fn parse(raw: &[u8], offset: usize) -> Self {
        let ee_len = u32::from(u16_at(raw, offset.saturating_add(4)));
        let is_unwritten = ee_len > LEN_MAX;
        Self {
            file_block: u32_at(raw, offset),
            len: if is_unwritten { ee_len.saturating_sub(LEN_MAX) } else { ee_len },
            block: (u64::from(u16_at(raw, offset.saturating_add(6))) << 32)
                | u64::from(u32_at(raw, offset.saturating_add(8))),
            is_unwritten,
        }
    }

    pub(crate) fn emit(&self, raw: &mut [u8], offset: usize) {
        let mark = if self.is_unwritten { LEN_MAX } else { 0 };
        put_u32(raw, offset, self.file_block);
        put_u16(raw, offset.saturating_add(4), low16(self.len.saturating_add(mark)));
        put_u16(raw, offset.saturating_add(6), low16(high32(self.block)));
        put_u32(raw, offset.saturating_add(8), low32(self.block));
    }

    fn check(&self, sb: &Super, ino: u32) -> Result<()> {
        let fits = self.len > 0
            && self.end() <= u64::from(u32::MAX).saturating_add(1)
            && sb.holds(self.block, u64::from(self.len));
        if fits {
            return Ok(());
        }
        let file_block = u64::from(self.file_block);
        Err(Corrupt::ExtentRange { ino, file_block, block: self.block, len: self.len }.into())
    }
}

/// A node of the tree, its header checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) entries: usize,
    pub(crate) max: usize,
    pub(crate) depth: u16,
}

impl<'a> Node<'a> {
    /// Checks the header; `depth` is what the parent promised.
    pub(crate) fn parse(ino: u32, bytes: &'a [u8], depth: Option<u16>) -> Result<Self> {
        let (magic, entries) = (u16_at(bytes, 0), u16_at(bytes, 2));
        let (max, found) = (u16_at(bytes, 4), u16_at(bytes, 6));
        let room = (bytes.len() / ENTRY).saturating_sub(1);
        if magic != MAGIC || entries > max || us(max) > room || max == 0 || found > DEPTH_MAX {
            return Err(Corrupt::ExtentHeader { ino, magic, entries, max, depth: found }.into());
        }
        if let Some(wanted) = depth.filter(|&wanted| wanted != found) {
            return Err(Corrupt::ExtentDepth { ino, found, wanted }.into());
        }
        Ok(Self { bytes, entries: us(entries), max: us(max), depth: found })
    }

    /// The byte offset of entry `index`.
    pub(crate) fn offset(index: usize) -> usize {
        index.saturating_add(1).saturating_mul(ENTRY)
    }

    /// The first file block of entry `index`, of either kind.
    pub(crate) fn key(&self, index: usize) -> u32 {
        u32_at(self.bytes, Self::offset(index))
    }

    /// The last entry that begins at or before file block `block`.
    pub(crate) fn find(&self, block: u32) -> Option<usize> {
        let (mut low, mut high) = (0, self.entries);
        while low < high {
            let middle = low.midpoint(high);
            if self.key(middle) <= block {
                low = middle.saturating_add(1);
            } else {
                high = middle;
            }
        }
        low.checked_sub(1)
    }

    pub(crate) fn extent(&self, index: usize) -> Extent {
        Extent::parse(self.bytes, Self::offset(index))
    }

    /// The child block of index entry `index`.
    pub(crate) fn child(&self, index: usize) -> u64 {
        let at = Self::offset(index);
        (u64::from(u16_at(self.bytes, at.saturating_add(8))) << 32)
            | u64::from(u32_at(self.bytes, at.saturating_add(4)))
    }
}

/// Writes the header of a node without entries.
pub(crate) fn emit_header(bytes: &mut [u8], max: usize, depth: u16) {
    put_u16(bytes, 0, MAGIC);
    put_u16(bytes, 2, 0);
    put_u16(bytes, 4, low16(low32(wide(max))));
    put_u16(bytes, 6, depth);
    put_u32(bytes, 8, 0);
}

impl Volume {
    /// The node at `block`, which must be `depth` above the leaves.
    pub(crate) fn extent_block(&self, inode: &Inode, block: u64, depth: u16) -> Result<Buf> {
        if !self.sb.holds(block, 1) {
            return Err(Corrupt::Block { block }.into());
        }
        let bytes = self.block(block, Kind::Extent(inode.seed))?;
        Node::parse(inode.ino, &bytes, Some(depth))?;
        Ok(bytes)
    }

    /// [`Volume::map`] for a file with extents.
    pub(crate) fn map_extents(&self, inode: &Inode, block: u64, len_max: u64) -> Result<Run> {
        let Ok(wanted) = u32::try_from(block) else { return Ok(Run::hole(len_max)) };
        // The first file block behind what the node at hand covers.
        let mut bound = u64::from(u32::MAX).saturating_add(1);
        let mut held: Option<Buf> = None;
        let mut depth = None;
        loop {
            let bytes: &[u8] = held.as_ref().map_or(inode.i_block.as_slice(), |b| b.as_slice());
            let node = Node::parse(inode.ino, bytes, depth)?;
            let found = node.find(wanted);
            let next = found.map_or(0, |at| at.saturating_add(1));
            if next < node.entries {
                bound = bound.min(u64::from(node.key(next)));
            }
            let Some(at) = found else {
                return Self::hole_to(inode, bound, block, len_max);
            };
            if node.depth == 0 {
                let extent = node.extent(at);
                extent.check(&self.sb, inode.ino)?;
                if extent.end() > bound {
                    return Err(Corrupt::ExtentOrder { ino: inode.ino, block: bound }.into());
                }
                return Self::run_of(inode, extent, block, bound, len_max);
            }
            let below = node.depth.saturating_sub(1);
            let child = node.child(at);
            held = Some(self.extent_block(inode, child, below)?);
            depth = Some(below);
        }
    }

    /// A hole from `block` to `bound` at most.
    fn hole_to(inode: &Inode, bound: u64, block: u64, len_max: u64) -> Result<Run> {
        match bound.checked_sub(block) {
            Some(len) if len > 0 => Ok(Run::hole(len.min(len_max))),
            _ => Err(Corrupt::ExtentOrder { ino: inode.ino, block }.into()),
        }
    }

    fn run_of(inode: &Inode, extent: Extent, block: u64, bound: u64, len_max: u64) -> Result<Run> {
        let skip = block.saturating_sub(u64::from(extent.file_block));
        let left = u64::from(extent.len).saturating_sub(skip);
        if left == 0 {
            return Self::hole_to(inode, bound, block, len_max);
        }
        let at = extent.block.saturating_add(skip);
        let place = if extent.is_unwritten { Place::Unwritten(at) } else { Place::Data(at) };
        Ok(Run { place, len: left.min(len_max) })
    }
}
