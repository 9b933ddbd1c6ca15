//! The index of a large directory, read: a tree of hash values over its blocks.
//!
//! Block 0 begins with the two dots; behind them lies the root. Its entries and those of the nodes
//! below are pairs of a hash and a file block; the first pair's hash is replaced by two counters. A
//! hash with its lowest bit set says that names of the hash below go on there.

use crate::cache::Buf;
use crate::dir::{Found, is_dots_chain};
use crate::dirhash::{Hasher, NameHash};
use crate::error::{Corrupt, Result};
use crate::features::{Compat, Incompat};
use crate::inode::{Inode, InodeFlags};
use crate::le::{u8_at, u16_at, u32_at, us};
use crate::seal::index_offset;
use crate::seal::{DirKind, INDEX_TAIL, Kind};
use crate::volume::Volume;

/// Bytes of one pair.
pub(crate) const PAIR: usize = 8;
/// Where the root's pairs begin.
pub(crate) const ROOT_PAIRS: usize = 32;
/// Where a node's pairs begin.
pub(crate) const NODE_PAIRS: usize = 8;

/// A node on the way from the root to a leaf.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) file_block: u64,
    pub(crate) block: u64,
    pub(crate) bytes: Buf,
    /// Where its pairs begin.
    pub(crate) offset: usize,
    pub(crate) count: usize,
    pub(crate) limit: usize,
    /// The pair that the way goes through.
    pub(crate) at: usize,
}

impl Frame {
    /// The hash of pair `index`; the first has none and stands for 0.
    pub(crate) fn hash(&self, index: usize) -> u32 {
        if index == 0 { 0 } else { u32_at(&self.bytes, self.pair(index)) }
    }

    /// The file block of pair `index`. Bits above 28 are reserved.
    pub(crate) fn child(&self, index: usize) -> u32 {
        u32_at(&self.bytes, self.pair(index).saturating_add(4)) & 0x0fff_ffff
    }

    pub(crate) fn pair(&self, index: usize) -> usize {
        self.offset.saturating_add(index.saturating_mul(PAIR))
    }

    /// The last pair whose hash is not above `hash`.
    fn find(&self, hash: u32) -> usize {
        let (mut low, mut high) = (1, self.count);
        while low < high {
            let middle = low.midpoint(high);
            if self.hash(middle) <= hash {
                low = middle.saturating_add(1);
            } else {
                high = middle;
            }
        }
        low.saturating_sub(1)
    }
}

impl Volume {
    /// Index nodes that may lie on one way: two, three with `large_dir`.
    pub(crate) fn index_levels_max(&self) -> usize {
        if self.sb.incompat.contains(Incompat::LARGEDIR) { 3 } else { 2 }
    }

    /// How the names of `dir` are hashed, or `None` if it has no index or one that this driver
    /// reads past.
    pub(crate) fn index_hasher(&self, dir: &Inode) -> Result<Option<Hasher>> {
        let is_indexed = dir.has(InodeFlags::INDEX) && self.sb.compat.contains(Compat::DIR_INDEX);
        if !is_indexed || dir.has(InodeFlags::CASEFOLD) {
            return Ok(None);
        }
        let (_, bytes) = self.dir_block(dir, 0)?;
        let (version, levels) = (u8_at(&bytes, 28), u8_at(&bytes, 30));
        let good = is_dots_chain(&bytes)
            && version <= 2
            && u8_at(&bytes, 29) == 8
            && u8_at(&bytes, 31) & 1 == 0
            && us(levels) < self.index_levels_max();
        if !good {
            return Err(Corrupt::IndexRoot { ino: dir.ino, version, levels }.into());
        }
        Ok(Some(self.hasher(version)))
    }

    pub(crate) fn hasher(&self, version: u8) -> Hasher {
        Hasher { version, is_unsigned: self.sb.hash_unsigned, seed: self.sb.hash_seed }
    }

    /// Reads and checks one node.
    pub(crate) fn index_frame(&self, dir: &Inode, file_block: u64) -> Result<Frame> {
        let (block, bytes) = self.dir_block(dir, file_block)?;
        let kind = DirKind { seed: dir.seed, indexed: true, first: file_block == 0 };
        let wrong = Corrupt::IndexBlock { ino: dir.ino, block: crate::le::low32(file_block) };
        let offset = index_offset(&bytes, kind).ok_or(wrong)?;
        let (limit, count) = (u16_at(&bytes, offset), u16_at(&bytes, offset.saturating_add(2)));
        let tail = if self.sb.has_metadata_csum() { INDEX_TAIL } else { 0 };
        let room = bytes.len().saturating_sub(offset).saturating_sub(tail) / PAIR;
        if count == 0 || count > limit || us(limit) > room {
            return Err(Corrupt::IndexNode { ino: dir.ino, count, limit }.into());
        }
        Ok(Frame { file_block, block, bytes, offset, count: us(count), limit: us(limit), at: 0 })
    }

    /// The way from the root to the leaf where names of `hash` begin, the root first.
    pub(crate) fn index_way(&self, dir: &Inode, hash: u32) -> Result<Vec<Frame>> {
        let blocks = self.dir_blocks(dir)?;
        let mut frame = self.index_frame(dir, 0)?;
        let levels = us(u8_at(&frame.bytes, 30));
        let mut way = Vec::with_capacity(levels.saturating_add(1));
        loop {
            frame.at = frame.find(hash);
            let child = u64::from(frame.child(frame.at));
            if child == 0 || child >= blocks {
                let block = frame.child(frame.at);
                return Err(Corrupt::IndexBlock { ino: dir.ino, block }.into());
            }
            way.push(frame);
            if way.len() > levels {
                return Ok(way);
            }
            frame = self.index_frame(dir, child)?;
        }
    }

    /// Moves `way` to the next leaf and returns the hash where that begins; `None` behind the last.
    pub(crate) fn index_next(&self, dir: &Inode, way: &mut [Frame]) -> Result<Option<u32>> {
        let blocks = self.dir_blocks(dir)?;
        let Some(level) = way.iter().rposition(|f| f.at.saturating_add(1) < f.count) else {
            return Ok(None);
        };
        let mut hash = None;
        let mut child = 0;
        for (depth, frame) in way.iter_mut().enumerate().skip(level) {
            if depth == level {
                frame.at = frame.at.saturating_add(1);
                hash = Some(frame.hash(frame.at));
            } else {
                *frame = self.index_frame(dir, child)?;
            }
            child = u64::from(frame.child(frame.at));
            if child == 0 || child >= blocks {
                let block = frame.child(frame.at);
                return Err(Corrupt::IndexBlock { ino: dir.ino, block }.into());
            }
        }
        Ok(hash)
    }

    /// The leaf that a way ends in.
    pub(crate) fn index_leaf(way: &[Frame]) -> u64 {
        way.last().map_or(0, |frame| u64::from(frame.child(frame.at)))
    }

    /// [`Volume::find`] in a directory with an index.
    pub(crate) fn find_indexed(
        &self,
        dir: &Inode,
        hasher: Hasher,
        name: &[u8],
    ) -> Result<Option<Found>> {
        let Some(NameHash { major, .. }) = hasher.hash(name) else { return Ok(None) };
        let mut way = self.index_way(dir, major)?;
        // Each round moves on to another leaf of which there are not more than blocks.
        for _ in 0..self.dir_blocks(dir)? {
            let leaf = Self::index_leaf(&way);
            if let Some(found) = self.find_in_block(dir, leaf, name)? {
                return Ok(Some(found));
            }
            match self.index_next(dir, &mut way)? {
                Some(hash) if hash == major | 1 => {}
                _ => break,
            }
        }
        Ok(None)
    }

    /// The kind of an index node of `dir`.
    pub(crate) fn index_kind(dir: &Inode, file_block: u64) -> Kind {
        Kind::Dir(DirKind { seed: dir.seed, indexed: true, first: file_block == 0 })
    }
}
