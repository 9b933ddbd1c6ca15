//! Extent trees, changed: one entry in, one entry out, room made where there is none.
//!
//! Room is made one step at a time (a node is split, or the tree grows by a level) and the way from
//! the root is looked up again after each, so no step has to know what the one before did to the
//! way.

use crate::error::{Corrupt, Error, Result};
use crate::extent::{DEPTH_MAX, ENTRY, Extent, LEN_MAX, LEN_UNWRITTEN_MAX, Node, emit_header};
use crate::inode::Inode;
use crate::le::{high32, low16, low32, put, put_u16, put_u32, shift, wide};
use crate::seal::Kind;
use crate::volume::Volume;
use abi::Errno;

/// A node on the way to a leaf.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// The block of the node; the root has none.
    block: Option<u64>,
    entries: usize,
    max: usize,
    depth: u16,
    /// The last entry at or before what is looked for; none if that lies before all.
    at: Option<usize>,
}

/// Writes an index entry.
fn emit_index(raw: &mut [u8], offset: usize, key: u32, child: u64) {
    put_u32(raw, offset, key);
    put_u32(raw, offset.saturating_add(4), low32(child));
    put_u16(raw, offset.saturating_add(8), low16(high32(child)));
    put_u16(raw, offset.saturating_add(10), 0);
}

fn set_entries(raw: &mut [u8], entries: usize) {
    put_u16(raw, 2, low16(low32(wide(entries))));
}

/// Opens a place for entry `at` in a node of `entries`.
fn open_gap(raw: &mut [u8], at: usize, entries: usize) {
    let from = Node::offset(at);
    let len = entries.saturating_sub(at).saturating_mul(ENTRY);
    shift(raw, from, from.saturating_add(ENTRY), len);
    set_entries(raw, entries.saturating_add(1));
}

/// Takes entry `at` out of a node of `entries`.
fn close_gap(raw: &mut [u8], at: usize, entries: usize) {
    let to = Node::offset(at);
    let len = entries.saturating_sub(at).saturating_sub(1).saturating_mul(ENTRY);
    shift(raw, to.saturating_add(ENTRY), to, len);
    crate::le::zero(raw, Node::offset(entries.saturating_sub(1)), ENTRY);
    set_entries(raw, entries.saturating_sub(1));
}

/// One extent in place of two neighbours, if they are one.
fn join(left: &Extent, right: &Extent) -> Option<Extent> {
    let max = if left.is_unwritten { LEN_UNWRITTEN_MAX } else { LEN_MAX };
    let len = left.len.saturating_add(right.len);
    let fits = left.is_unwritten == right.is_unwritten
        && left.end() == u64::from(right.file_block)
        && left.block.saturating_add(u64::from(left.len)) == right.block
        && len <= max;
    fits.then_some(Extent { len, ..*left })
}

/// An empty tree in `i_block`.
pub(crate) fn init_root(inode: &mut Inode) {
    inode.i_block = [0; crate::inode::I_BLOCK_BYTES];
    emit_header(&mut inode.i_block, 4, 0);
}

impl Volume {
    fn node_max(&self) -> usize {
        let tail = if self.sb.has_metadata_csum() { 4 } else { 0 };
        (self.sb.block_bytes().saturating_sub(tail) / ENTRY).saturating_sub(1)
    }

    fn edit_node<'a>(&'a mut self, inode: &'a mut Inode, step: &Step) -> Result<&'a mut [u8]> {
        match step.block {
            None => Ok(&mut inode.i_block),
            Some(block) => Ok(self.edit(block, Kind::Extent(inode.seed))?.as_mut_slice()),
        }
    }

    /// The bytes of a node, copied: small, and then free of borrows.
    fn node_bytes(&self, inode: &Inode, step: &Step) -> Result<Vec<u8>> {
        match step.block {
            None => Ok(inode.i_block.to_vec()),
            Some(block) => Ok(self.extent_block(inode, block, step.depth)?.to_vec()),
        }
    }

    /// The way from the root to the leaf for file block `block`.
    fn extent_way(&self, inode: &Inode, block: u32) -> Result<Vec<Step>> {
        let mut way = Vec::with_capacity(3);
        let mut here = None;
        let mut depth = None;
        loop {
            let held = match here {
                None => None,
                Some(block) => Some(self.extent_block(inode, block, depth.unwrap_or(0))?),
            };
            let bytes: &[u8] = held.as_ref().map_or(inode.i_block.as_slice(), |b| b.as_slice());
            let node = Node::parse(inode.ino, bytes, depth)?;
            let at = node.find(block);
            let (entries, max) = (node.entries, node.max);
            way.push(Step { block: here, entries, max, depth: node.depth, at });
            if node.depth == 0 {
                return Ok(way);
            }
            if entries == 0 {
                let (magic, entries, max) = (0xf30a, 0, low16(low32(wide(max))));
                let depth = node.depth;
                return Err(
                    Corrupt::ExtentHeader { ino: inode.ino, magic, entries, max, depth }.into()
                );
            }
            here = Some(node.child(at.unwrap_or(0)));
            depth = Some(node.depth.saturating_sub(1));
        }
    }

    /// The entry that the way ends in.
    fn leaf_extent(&self, inode: &Inode, step: &Step, at: usize) -> Result<Extent> {
        let offset = Node::offset(at);
        match step.block {
            None => Ok(Extent::parse(&inode.i_block, offset)),
            Some(block) => Ok(Extent::parse(&self.extent_block(inode, block, 0)?, offset)),
        }
    }

    /// After the first entry of a leaf changed: the keys above follow.
    fn raise_key(&mut self, inode: &mut Inode, way: &[Step], key: u32) -> Result<()> {
        for step in way.iter().rev().skip(1) {
            let at = step.at.unwrap_or(0);
            let node = self.edit_node(inode, step)?;
            put_u32(node, Node::offset(at), key);
            if at > 0 {
                break;
            }
        }
        Ok(())
    }

    fn set_extent(
        &mut self,
        inode: &mut Inode,
        way: &[Step],
        at: usize,
        extent: &Extent,
    ) -> Result<()> {
        let Some(leaf) = way.last() else { return Ok(()) };
        let node = self.edit_node(inode, leaf)?;
        extent.emit(node, Node::offset(at));
        if at == 0 { self.raise_key(inode, way, extent.file_block) } else { Ok(()) }
    }

    /// Puts an extent in where nothing is, joined to its neighbours if they are one.
    ///
    /// # Errors
    /// - `ENOSPC` if a node is needed and no block is free.
    pub(crate) fn insert_extent(&mut self, inode: &mut Inode, extent: Extent) -> Result<()> {
        // Each round but the last adds a node; a tree has a bounded depth.
        for _ in 0..16 {
            let way = self.extent_way(inode, extent.file_block)?;
            let Some(leaf) = way.last().copied() else { break };
            let left = match leaf.at {
                Some(at) => Some((at, self.leaf_extent(inode, &leaf, at)?)),
                None => None,
            };
            let after = leaf.at.map_or(0, |at| at.saturating_add(1));
            let right = if after < leaf.entries {
                Some(self.leaf_extent(inode, &leaf, after)?)
            } else {
                None
            };
            let overlaps = left.is_some_and(|(_, l)| l.end() > u64::from(extent.file_block))
                || right.is_some_and(|r| extent.end() > u64::from(r.file_block));
            if overlaps {
                let block = u64::from(extent.file_block);
                return Err(Corrupt::ExtentOrder { ino: inode.ino, block }.into());
            }
            if let Some((at, joined)) = left.and_then(|(at, l)| Some((at, join(&l, &extent)?))) {
                let both = right.and_then(|r| join(&joined, &r));
                self.set_extent(inode, &way, at, &both.unwrap_or(joined))?;
                if both.is_some() {
                    close_gap(self.edit_node(inode, &leaf)?, after, leaf.entries);
                }
                return Ok(());
            }
            if let Some(joined) = right.and_then(|r| join(&extent, &r)) {
                return self.set_extent(inode, &way, after, &joined);
            }
            if leaf.entries < leaf.max {
                open_gap(self.edit_node(inode, &leaf)?, after, leaf.entries);
                return self.set_extent(inode, &way, after, &extent);
            }
            self.make_extent_room(inode, &way)?;
        }
        Error::answer(Errno::ENOSPC)
    }

    /// One step towards room in the leaf of a way.
    fn make_extent_room(&mut self, inode: &mut Inode, way: &[Step]) -> Result<()> {
        let parent = way.iter().rposition(|step| step.entries < step.max && step.depth > 0);
        match parent {
            Some(level) => self.split_node(inode, way, level),
            None => self.grow_tree(inode, way),
        }
    }

    /// A block for a node, counted to the inode.
    fn alloc_node(&mut self, inode: &mut Inode) -> Result<u64> {
        let block = self.alloc_block(self.home_goal(inode.ino))?;
        inode.blocks_512 = inode.blocks_512.saturating_add(self.sectors(1));
        self.fresh(block, Kind::Extent(inode.seed))?;
        Ok(block)
    }

    /// The entries of the root move to a block below it.
    fn grow_tree(&mut self, inode: &mut Inode, way: &[Step]) -> Result<()> {
        let Some(root) = way.first() else { return Ok(()) };
        if root.depth >= DEPTH_MAX {
            return Error::answer(Errno::ENOSPC);
        }
        let old = inode.i_block;
        let block = self.alloc_node(inode)?;
        let max = self.node_max();
        let bytes = self.edit(block, Kind::Extent(inode.seed))?;
        emit_header(bytes, max, root.depth);
        set_entries(bytes, root.entries);
        let entries = crate::le::bytes_at(&old, ENTRY, root.entries.saturating_mul(ENTRY));
        put(bytes, ENTRY, entries);
        let key = crate::le::u32_at(&old, ENTRY);
        inode.i_block = [0; crate::inode::I_BLOCK_BYTES];
        emit_header(&mut inode.i_block, 4, root.depth.saturating_add(1));
        set_entries(&mut inode.i_block, 1);
        emit_index(&mut inode.i_block, ENTRY, key, block);
        Ok(())
    }

    /// The node below `way[level]`, which has room, parts with its second half; when the way goes
    /// through its last entry, with that alone, so that a file which grows fills its nodes.
    fn split_node(&mut self, inode: &mut Inode, way: &[Step], level: usize) -> Result<()> {
        let (Some(parent), Some(step)) = (way.get(level), way.get(level.saturating_add(1))) else {
            return Ok(());
        };
        let is_last = step.at.map(|at| at.saturating_add(1)) == Some(step.entries);
        let moved = if is_last { 1 } else { step.entries / 2 };
        let kept = step.entries.saturating_sub(moved);
        let old = self.node_bytes(inode, step)?;
        let block = self.alloc_node(inode)?;
        let max = self.node_max();
        let bytes = self.edit(block, Kind::Extent(inode.seed))?;
        emit_header(bytes, max, step.depth);
        set_entries(bytes, moved);
        let entries = crate::le::bytes_at(&old, Node::offset(kept), moved.saturating_mul(ENTRY));
        put(bytes, ENTRY, entries);
        let key = crate::le::u32_at(&old, Node::offset(kept));
        let node = self.edit_node(inode, step)?;
        set_entries(node, kept);
        crate::le::zero(node, Node::offset(kept), moved.saturating_mul(ENTRY));
        let at = parent.at.map_or(1, |at| at.saturating_add(1));
        let node = self.edit_node(inode, parent)?;
        open_gap(node, at, parent.entries);
        emit_index(node, Node::offset(at), key, block);
        Ok(())
    }

    /// Takes the entry out that a way ends in; nodes that become empty go too.
    fn remove_entry(&mut self, inode: &mut Inode, way: &[Step]) -> Result<()> {
        for (level, step) in way.iter().enumerate().rev() {
            let at = step.at.unwrap_or(0);
            if step.entries > 1 {
                let node = self.edit_node(inode, step)?;
                close_gap(node, at, step.entries);
                if at == 0 {
                    let key = crate::le::u32_at(node, ENTRY);
                    self.raise_key(inode, way.get(..=level).unwrap_or_default(), key)?;
                }
                return Ok(());
            }
            match step.block {
                Some(block) => {
                    self.release_meta(block)?;
                    inode.blocks_512 = inode.blocks_512.saturating_sub(self.sectors(1));
                }
                None => init_root(inode),
            }
        }
        Ok(())
    }

    /// The last extent that begins before file block `end`, with the way to it.
    fn last_before(&self, inode: &Inode, end: u64) -> Result<Option<(Vec<Step>, usize, Extent)>> {
        let Some(last) = end.checked_sub(1) else { return Ok(None) };
        let way = self.extent_way(inode, u32::try_from(last).unwrap_or(u32::MAX))?;
        let Some(leaf) = way.last().copied() else { return Ok(None) };
        let Some(at) = leaf.at else { return Ok(None) };
        let extent = self.leaf_extent(inode, &leaf, at)?;
        if extent.len == 0 || !self.sb.holds(extent.block, u64::from(extent.len)) {
            let file_block = u64::from(extent.file_block);
            let (block, len) = (extent.block, extent.len);
            return Err(Corrupt::ExtentRange { ino: inode.ino, file_block, block, len }.into());
        }
        Ok(Some((way, at, extent)))
    }

    /// Frees file blocks `from..end`, the last first, at most `steps` extents; returns the block
    /// behind what is still there, `from` when all is done.
    pub(crate) fn remove_extents(
        &mut self,
        inode: &mut Inode,
        from: u64,
        end: u64,
        steps: usize,
    ) -> Result<u64> {
        let mut end = end;
        for _ in 0..steps {
            let found = self.last_before(inode, end)?.filter(|(_, _, e)| e.end() > from);
            let Some((way, at, extent)) = found else {
                self.shrink_tree(inode)?;
                return Ok(from);
            };
            let cut_from = from.max(u64::from(extent.file_block));
            let cut_end = end.min(extent.end());
            self.cut(inode, &way, at, &extent, cut_from, cut_end)?;
            let into = cut_from.saturating_sub(u64::from(extent.file_block));
            let count = cut_end.saturating_sub(cut_from);
            self.release_content(inode, extent.block.saturating_add(into), count)?;
            inode.blocks_512 = inode.blocks_512.saturating_sub(self.sectors(count));
            end = cut_from;
        }
        self.shrink_tree(inode)?;
        Ok(end.max(from))
    }

    /// A root with one child that the root could hold takes the child's place.
    fn shrink_tree(&mut self, inode: &mut Inode) -> Result<()> {
        for _ in 0..DEPTH_MAX {
            let root = Node::parse(inode.ino, &inode.i_block, None)?;
            if root.depth == 0 || root.entries != 1 {
                return Ok(());
            }
            let (child, below, max) = (root.child(0), root.depth.saturating_sub(1), root.max);
            let bytes = self.extent_block(inode, child, below)?;
            let node = Node::parse(inode.ino, &bytes, Some(below))?;
            if node.entries > max {
                return Ok(());
            }
            init_root(inode);
            emit_header(&mut inode.i_block, max, below);
            set_entries(&mut inode.i_block, node.entries);
            let entries = crate::le::bytes_at(&bytes, ENTRY, node.entries.saturating_mul(ENTRY));
            put(&mut inode.i_block, ENTRY, entries);
            self.release_meta(child)?;
            inode.blocks_512 = inode.blocks_512.saturating_sub(self.sectors(1));
        }
        Ok(())
    }

    /// Takes file blocks `from..end`, all of them in `extent`, out of the tree.
    fn cut(
        &mut self,
        inode: &mut Inode,
        way: &[Step],
        at: usize,
        extent: &Extent,
        from: u64,
        end: u64,
    ) -> Result<()> {
        let head = part_of(extent, u64::from(extent.file_block), from);
        let tail = part_of(extent, end, extent.end());
        match (head, tail) {
            (None, None) => self.remove_entry(inode, way),
            (Some(head), None) => self.set_extent(inode, way, at, &head),
            (None, Some(tail)) => self.set_extent(inode, way, at, &tail),
            (Some(head), Some(tail)) => {
                self.set_extent(inode, way, at, &head)?;
                self.insert_extent(inode, tail)
            }
        }
    }

    /// Turns unwritten file blocks `from..end`, all in one extent, into data (or the other way
    /// round).
    pub(crate) fn mark_extent(
        &mut self,
        inode: &mut Inode,
        from: u64,
        end: u64,
        is_unwritten: bool,
    ) -> Result<()> {
        let Some((way, at, extent)) = self.last_before(inode, end)? else { return Ok(()) };
        let Some(part) = part_of(&extent, from, end.min(extent.end())) else { return Ok(()) };
        self.cut(inode, &way, at, &extent, from, end.min(extent.end()))?;
        self.insert_extent(inode, Extent { is_unwritten, ..part })
    }
}

/// The part `from..end` of an extent, if there is one.
fn part_of(extent: &Extent, from: u64, end: u64) -> Option<Extent> {
    let into = from.checked_sub(u64::from(extent.file_block))?;
    let len = end.min(extent.end()).checked_sub(from).filter(|&len| len > 0)?;
    Some(Extent {
        file_block: u32::try_from(from).ok()?,
        len: low32(len),
        block: extent.block.saturating_add(into),
        is_unwritten: extent.is_unwritten,
    })
}
