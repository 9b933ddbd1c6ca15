//! The index of a large directory, changed: leaves and nodes split, levels added, a first index
//! made.
//!
//! As in `extent_edit`, room is made one step at a time and the way looked up again after each.

use crate::dir::Entries;
use crate::dir_edit::{NewEntry, entry_len, put_rec_len};
use crate::dirhash::{Hasher, NameHash};
use crate::error::{Error, Result};
use crate::htree::{Frame, NODE_PAIRS, PAIR, ROOT_PAIRS};
use crate::inode::{Inode, InodeFlags};
use crate::le::{bytes_at, low16, low32, put, put_u8, put_u16, put_u32, shift, u8_at, us, wide};
use crate::seal::INDEX_TAIL;
use crate::volume::Volume;
use abi::Errno;

/// An entry of a leaf, copied out.
struct Moving {
    hash: NameHash,
    ino: u32,
    file_type: u8,
    name: Vec<u8>,
}

/// Writes the counters of a node.
fn put_counts(bytes: &mut [u8], offset: usize, limit: usize, count: usize) {
    put_u16(bytes, offset, low16(low32(wide(limit))));
    put_u16(bytes, offset.saturating_add(2), low16(low32(wide(count))));
}

impl Volume {
    fn index_limit(&self, offset: usize) -> usize {
        let tail = if self.sb.has_metadata_csum() { INDEX_TAIL } else { 0 };
        self.sb.block_bytes().saturating_sub(offset).saturating_sub(tail) / PAIR
    }

    /// Turns a directory of one block into one with an index; `None` if the dots are not where they
    /// must be or the volume's hash is not known.
    pub(crate) fn make_indexed(&mut self, dir: &mut Inode) -> Result<Option<Hasher>> {
        let version = self.sb.hash_version;
        let hasher = self.hasher(version);
        let (block, bytes) = self.dir_block(dir, 0)?;
        let dots: Vec<usize> = Entries::new(self, dir.ino, &bytes, 0)
            .take(2)
            .filter_map(|entry| entry.ok().filter(|e| e.is_dots()).map(|e| e.at))
            .collect();
        if dots != [0, 12] || hasher.hash(b"x").is_none() {
            return Ok(None);
        }
        let entries: Vec<Moving> = self
            .entries_of(dir, &bytes, hasher)?
            .into_iter()
            .filter(|e| !is_dots(&e.name))
            .collect();
        drop(bytes);
        let (file_block, leaf) = self.append_dir_block(dir)?;
        self.fill_leaf(dir, leaf, file_block, &entries)?;
        dir.flags |= InodeFlags::INDEX;
        let limit = self.index_limit(ROOT_PAIRS);
        let rest = self.sb.block_bytes().saturating_sub(12);
        let bytes = self.edit(block, Self::index_kind(dir, 0))?;
        put_rec_len(bytes, 12, rest);
        crate::le::zero(bytes, 24, rest.saturating_sub(12));
        put_u8(bytes, 28, version);
        put_u8(bytes, 29, 8);
        put_counts(bytes, ROOT_PAIRS, limit, 1);
        put_u32(bytes, ROOT_PAIRS.saturating_add(4), low32(file_block));
        Ok(Some(hasher))
    }

    /// All names of a block with their hashes.
    fn entries_of(&self, dir: &Inode, bytes: &[u8], hasher: Hasher) -> Result<Vec<Moving>> {
        let mut all = Vec::new();
        for entry in Entries::new(self, dir.ino, bytes, 0) {
            let entry = entry?;
            if entry.inode == 0 {
                continue;
            }
            all.push(Moving {
                hash: hasher.hash(entry.name).unwrap_or_default(),
                ino: entry.inode,
                file_type: entry.file_type,
                name: entry.name.to_vec(),
            });
        }
        Ok(all)
    }

    /// Writes names into a leaf, one after the other; the last one takes all that is left.
    fn fill_leaf(
        &mut self,
        dir: &Inode,
        block: u64,
        file_block: u64,
        entries: &[Moving],
    ) -> Result<()> {
        let mut whole = vec![0; self.sb.block_bytes()];
        self.init_dir_block(&mut whole);
        let room = self.dir_room();
        let mut at = 0usize;
        for (index, entry) in entries.iter().enumerate() {
            let is_last = index.saturating_add(1) == entries.len();
            let len = if is_last { room.saturating_sub(at) } else { entry_len(entry.name.len()) };
            NewEntry { name: &entry.name, ino: entry.ino, file_type: entry.file_type }
                .emit(&mut whole, at, len);
            at = at.saturating_add(len);
        }
        let kind = self.leaf_kind(dir, file_block);
        self.edit(block, kind)?.copy_from_slice(&whole);
        Ok(())
    }

    /// Puts a name into a directory with an index.
    ///
    /// # Errors
    /// - `ENOSPC` if no block is free or the index can't grow.
    pub(crate) fn add_indexed(
        &mut self,
        dir: &mut Inode,
        hasher: Hasher,
        entry: &NewEntry<'_>,
    ) -> Result<()> {
        let NameHash { major, .. } = hasher.hash(entry.name).unwrap_or_default();
        // A leaf split makes room at once unless names of one hash fill it; nodes have few levels.
        for _ in 0..16 {
            let way = self.index_way(dir, major)?;
            let leaf = Self::index_leaf(&way);
            if self.insert_in_block(dir, leaf, entry)? {
                return Ok(());
            }
            match way.iter().rposition(|frame| frame.count < frame.limit) {
                Some(level) if level.saturating_add(1) == way.len() => {
                    self.split_leaf(dir, hasher, &way, leaf)?;
                }
                Some(level) => self.split_index(dir, &way, level)?,
                None => self.grow_index(dir, &way)?,
            }
        }
        Error::answer(Errno::ENOSPC)
    }

    /// Puts a pair behind the one that `frame` goes through.
    fn insert_pair(&mut self, dir: &Inode, frame: &Frame, hash: u32, child: u64) -> Result<()> {
        let at = frame.pair(frame.at.saturating_add(1));
        let len = frame.count.saturating_sub(frame.at.saturating_add(1)).saturating_mul(PAIR);
        let kind = Self::index_kind(dir, frame.file_block);
        let bytes = self.edit(frame.block, kind)?;
        shift(bytes, at, at.saturating_add(PAIR), len);
        put_u32(bytes, at, hash);
        put_u32(bytes, at.saturating_add(4), low32(child));
        put_counts(bytes, frame.offset, frame.limit, frame.count.saturating_add(1));
        Ok(())
    }

    /// The upper half of a leaf's names, by hash, moves to a block of its own.
    fn split_leaf(
        &mut self,
        dir: &mut Inode,
        hasher: Hasher,
        way: &[Frame],
        leaf: u64,
    ) -> Result<()> {
        let Some(frame) = way.last() else { return Ok(()) };
        let (block, bytes) = self.dir_block(dir, leaf)?;
        let mut lower = self.entries_of(dir, &bytes, hasher)?;
        drop(bytes);
        lower.sort_by_key(|entry| entry.hash);
        let total: usize = lower.iter().map(|e| entry_len(e.name.len())).sum();
        let mut kept = 0usize;
        let mut size = 0usize;
        while let Some(entry) = lower.get(kept) {
            size = size.saturating_add(entry_len(entry.name.len()));
            if size > total / 2 && kept > 0 {
                break;
            }
            kept = kept.saturating_add(1);
        }
        let upper = lower.split_off(kept.min(lower.len().saturating_sub(1)));
        let first = upper.first().map_or(0, |e| e.hash.major);
        let goes_on = lower.last().is_some_and(|e| e.hash.major == first);
        let (file_block, new) = self.append_dir_block(dir)?;
        self.fill_leaf(dir, new, file_block, &upper)?;
        self.mark_split(block);
        self.fill_leaf(dir, block, leaf, &lower)?;
        self.insert_pair(dir, frame, first | u32::from(goes_on), file_block)
    }

    /// Makes `bytes` a node that looks like free space.
    fn init_node(bytes: &mut [u8]) {
        bytes.fill(0);
        let len = bytes.len();
        put_rec_len(bytes, 0, len);
    }

    /// The node below `way[level]`, which has room, parts with its upper half.
    fn split_index(&mut self, dir: &mut Inode, way: &[Frame], level: usize) -> Result<()> {
        let (Some(parent), Some(node)) = (way.get(level), way.get(level.saturating_add(1))) else {
            return Ok(());
        };
        let kept = node.count / 2;
        let moved = node.count.saturating_sub(kept);
        let hash = node.hash(kept);
        let pairs = bytes_at(&node.bytes, node.pair(kept), moved.saturating_mul(PAIR)).to_vec();
        let (file_block, block) = self.append_dir_block(dir)?;
        let limit = self.index_limit(NODE_PAIRS);
        let kind = Self::index_kind(dir, file_block);
        let bytes = self.edit(block, kind)?;
        Self::init_node(bytes);
        put(bytes, NODE_PAIRS, &pairs);
        put_counts(bytes, NODE_PAIRS, limit, moved);
        self.mark_split(node.block);
        let kind = Self::index_kind(dir, node.file_block);
        let bytes = self.edit(node.block, kind)?;
        put_counts(bytes, node.offset, node.limit, kept);
        self.insert_pair(dir, parent, hash, file_block)
    }

    /// The pairs of the root move to a node below it.
    fn grow_index(&mut self, dir: &mut Inode, way: &[Frame]) -> Result<()> {
        let Some(root) = way.first() else { return Ok(()) };
        if way.len() >= self.index_levels_max() {
            return Error::answer(Errno::ENOSPC);
        }
        let pairs = bytes_at(&root.bytes, root.offset, root.count.saturating_mul(PAIR)).to_vec();
        let (file_block, block) = self.append_dir_block(dir)?;
        let limit = self.index_limit(NODE_PAIRS);
        let kind = Self::index_kind(dir, file_block);
        let bytes = self.edit(block, kind)?;
        Self::init_node(bytes);
        put(bytes, NODE_PAIRS, &pairs);
        put_counts(bytes, NODE_PAIRS, limit, root.count);
        let kind = Self::index_kind(dir, 0);
        let bytes = self.edit(root.block, kind)?;
        crate::le::zero(bytes, root.offset, root.count.saturating_mul(PAIR));
        put_counts(bytes, root.offset, root.limit, 1);
        put_u32(bytes, root.offset.saturating_add(4), low32(file_block));
        let levels = u8_at(bytes, 30).saturating_add(1);
        put_u8(bytes, 30, levels);
        debug_assert!(us(levels) < 4);
        Ok(())
    }
}

fn is_dots(name: &[u8]) -> bool {
    name == b"." || name == b".."
}
