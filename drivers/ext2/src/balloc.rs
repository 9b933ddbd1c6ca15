//! Blocks, handed out and taken back.
//!
//! Wanted are long runs near a goal: the goal itself if it is free, else the first gap that is long
//! enough in the goal's group behind it, then before it, then in the groups that follow; failing
//! all that the longest gap that was seen.

use crate::bitmap::{self, Gap};
use crate::cache::Buf;
use crate::error::{Corrupt, Error, Result};
use crate::features::Incompat;
use crate::group::{BLOCK_UNINIT, Group};
use crate::inode::Inode;
use crate::le::low32;
use crate::seal::Kind;
use crate::volume::Volume;
use abi::Errno;
use abi::fs::FileKind;
use std::sync::Arc;

/// Groups that are searched for a long gap before a short one is taken.
const GROUPS_SEARCHED: u32 = 16;

/// Ranges of blocks that hold the structure of the volume, sorted and joined. Analogous to
/// `ext4_system_zone`: no file may lead there.
#[derive(Debug, Default)]
pub(crate) struct Zones(Vec<(u64, u64)>);

impl Zones {
    /// Collects the ranges of all groups.
    pub(crate) fn read(volume: &Volume) -> Result<Self> {
        let sb = &volume.sb;
        let table = u64::from(sb.inode_blocks_per_group());
        let mut ranges = Vec::new();
        for group in 0..sb.groups {
            let start = sb.group_start(group);
            let base = u64::from(sb.base_blocks(group));
            if base > 0 {
                ranges.push((start, start.saturating_add(base)));
            }
            let desc = volume.group(group)?;
            for (first, count) in
                [(desc.block_bitmap, 1), (desc.inode_bitmap, 1), (desc.inode_table, table)]
            {
                ranges.push((first, first.saturating_add(count)));
            }
        }
        ranges.sort_unstable();
        let mut joined: Vec<(u64, u64)> = Vec::new();
        for (first, end) in ranges {
            match joined.last_mut() {
                Some(last) if first <= last.1 => last.1 = last.1.max(end),
                _ => joined.push((first, end)),
            }
        }
        Ok(Self(joined))
    }

    /// Whether any of `count` blocks from `block` on is in a range.
    pub(crate) fn touch(&self, block: u64, count: u64) -> bool {
        let end = block.saturating_add(count);
        let next = self.0.partition_point(|&(first, _)| first < end);
        next.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|&(_, last)| last > block)
    }
}

impl Volume {
    /// The block bitmap of a group; one that is not in use yet is made up, as
    /// `ext4_init_block_bitmap`.
    fn block_bitmap(&self, group: u32, desc: &Group) -> Result<Buf> {
        if desc.flags & BLOCK_UNINIT == 0 {
            return self.block(desc.block_bitmap, Kind::BlockBitmap(group));
        }
        let mut bits = vec![0; self.sb.block_bytes()];
        let start = self.sb.group_start(group);
        let count = self.sb.group_blocks(group);
        bitmap::set(&mut bits, 0, self.sb.base_blocks(group));
        let is_flex = self.sb.incompat.contains(Incompat::FLEX_BG);
        let table = u64::from(self.sb.inode_blocks_per_group());
        for (first, len) in
            [(desc.block_bitmap, 1), (desc.inode_bitmap, 1), (desc.inode_table, table)]
        {
            for block in first..first.saturating_add(len) {
                let is_here = block >= start && block.saturating_sub(start) < u64::from(count);
                if is_here || !is_flex {
                    bitmap::set(&mut bits, low32(block.saturating_sub(start)), 1);
                }
            }
        }
        let bits_all = self.sb.block_size().saturating_mul(8);
        bitmap::set(&mut bits, count, bits_all.saturating_sub(count));
        Ok(Arc::new(bits))
    }

    /// The block bitmap of a group, to be changed.
    fn edit_block_bitmap(&mut self, group: u32, desc: &mut Group) -> Result<&mut Vec<u8>> {
        let kind = Kind::BlockBitmap(group);
        if desc.flags & BLOCK_UNINIT == 0 {
            return self.edit(desc.block_bitmap, kind);
        }
        let made_up = self.block_bitmap(group, desc)?;
        desc.flags &= !BLOCK_UNINIT;
        let bits = self.fresh(desc.block_bitmap, kind)?;
        bits.copy_from_slice(&made_up);
        Ok(bits)
    }

    /// What may be handed out of a group to `ino`: the bitmap with what the transaction holds back
    /// and what is kept for other files.
    fn free_map(&self, group: u32, desc: &Group, ino: u32) -> Result<Buf> {
        let mut bits = self.block_bitmap(group, desc)?;
        let (start, count) = (self.sb.group_start(group), self.sb.group_blocks(group));
        if self.windows.are_in(start, count, ino) {
            self.windows.hide(Arc::make_mut(&mut bits).as_mut_slice(), start, count, ino);
        }
        if let Some(held) = self.tx.freed.get(&group) {
            for (bit, held) in Arc::make_mut(&mut bits).iter_mut().zip(held) {
                *bit |= held;
            }
        }
        Ok(bits)
    }

    /// Whether `count` more blocks may be taken by whoever the change is for.
    fn check_space(&self) -> Result<u64> {
        let kept = if self.uses_reserve { 0 } else { self.sb.reserved_blocks };
        match self.free_blocks()?.saturating_sub(kept) {
            0 => Error::answer(Errno::ENOSPC),
            left => Ok(left),
        }
    }

    /// Hands out 1 to `want` blocks that follow one another, best from `goal` on, for `ino` (0 for
    /// metadata).
    ///
    /// # Errors
    /// - `ENOSPC`
    pub(crate) fn alloc_blocks(&mut self, goal: u64, want: u64, ino: u32) -> Result<(u64, u64)> {
        match self.search_blocks(goal, want, ino) {
            Err(Error::Answer(Errno::ENOSPC)) if !self.windows.is_empty() => {
                self.windows.clear();
                self.search_blocks(goal, want, ino)
            }
            other => other,
        }
    }

    fn search_blocks(&mut self, goal: u64, want: u64, ino: u32) -> Result<(u64, u64)> {
        let want = low32(want.min(self.check_space()?).clamp(1, 1 << 15));
        let goal = if self.sb.holds(goal, 1) { goal } else { self.sb.first_data_block };
        let home = self.sb.group_of(goal);
        let mut best: Option<(u32, Gap)> = None;
        for step in 0..self.sb.groups {
            let group = home.saturating_add(step);
            let group = group.checked_rem(self.sb.groups).unwrap_or(0);
            let desc = self.group(group)?;
            if desc.free_blocks == 0 {
                continue;
            }
            let bits = self.free_map(group, &desc, ino)?;
            let end = self.sb.group_blocks(group);
            let from =
                if step == 0 { low32(goal.saturating_sub(self.sb.group_start(group))) } else { 0 };
            if step == 0 && !bitmap::is_set(&bits, from) {
                let stop = bitmap::next(&bits, from, end, true).unwrap_or(end);
                let count = stop.saturating_sub(from).min(want);
                return self.take(group, Gap { first: from, count });
            }
            for (from, end) in [(from, end), (0, from)] {
                match bitmap::find_gap(&bits, from, end, want) {
                    Some(gap) if gap.count == want => return self.take(group, gap),
                    Some(gap) if best.is_none_or(|(_, b)| b.count < gap.count) => {
                        best = Some((group, gap));
                    }
                    _ => {}
                }
            }
            if best.is_some() && step >= GROUPS_SEARCHED {
                break;
            }
        }
        match best {
            Some((group, gap)) => self.take(group, gap),
            None => Error::answer(Errno::ENOSPC),
        }
    }

    fn take(&mut self, group: u32, gap: Gap) -> Result<(u64, u64)> {
        let block = self.sb.group_start(group).saturating_add(u64::from(gap.first));
        let count = u64::from(gap.count);
        if !self.sb.holds(block, count) || self.zones.touch(block, count) {
            return Err(Corrupt::GroupBlock { group, what: "free map", block }.into());
        }
        let mut desc = self.group(group)?;
        let bits = self.edit_block_bitmap(group, &mut desc)?;
        bitmap::set(bits, gap.first, gap.count);
        desc.free_blocks = desc.free_blocks.saturating_sub(gap.count);
        self.store_group(group, &desc)?;
        self.add_free_blocks(0i64.saturating_sub_unsigned(count))?;
        Ok((block, count))
    }

    /// Hands out one block for metadata.
    pub(crate) fn alloc_block(&mut self, goal: u64) -> Result<u64> {
        Ok(self.alloc_blocks(goal, 1, 0)?.0)
    }

    /// Takes `count` blocks from `block` on back.
    ///
    /// # Errors
    /// `Corrupt` if they are no file's to give or free already.
    pub(crate) fn release_blocks(&mut self, block: u64, count: u64) -> Result<()> {
        if !self.sb.holds(block, count) || self.zones.touch(block, count) {
            return Err(Corrupt::Block { block }.into());
        }
        let mut at = block;
        let end = block.saturating_add(count);
        while at < end {
            let group = self.sb.group_of(at);
            let first = low32(at.saturating_sub(self.sb.group_start(group)));
            let here = self.sb.group_blocks(group).saturating_sub(first);
            let count = low32(end.saturating_sub(at).min(u64::from(here)).max(1));
            let mut desc = self.group(group)?;
            let bits = self.edit_block_bitmap(group, &mut desc)?;
            if !bitmap::are_set(bits, first, count) {
                return Err(Corrupt::DoubleFree { group, what: "a block" }.into());
            }
            bitmap::clear(bits, first, count);
            desc.free_blocks = desc.free_blocks.saturating_add(count);
            self.store_group(group, &desc)?;
            self.hold_back(group, first, count);
            self.add_free_blocks(i64::from(count))?;
            at = at.saturating_add(u64::from(count));
        }
        Ok(())
    }

    /// Takes a block of metadata back.
    pub(crate) fn release_meta(&mut self, block: u64) -> Result<()> {
        self.release_blocks(block, 1)?;
        self.forget(block);
        Ok(())
    }

    /// Takes `count` blocks of an inode's content back. What a directory or a link holds is
    /// metadata: a copy that waits to be written must not come after what the blocks are used for
    /// next.
    pub(crate) fn release_content(&mut self, inode: &Inode, block: u64, count: u64) -> Result<()> {
        self.release_blocks(block, count)?;
        if !matches!(inode.kind, FileKind::Regular) {
            for one in block..block.saturating_add(count) {
                self.forget(one);
            }
        }
        Ok(())
    }

    /// `i_blocks` units in a block.
    pub(crate) fn sectors(&self, blocks: u64) -> u64 {
        blocks.saturating_mul(u64::from(self.sb.block_size() / 512))
    }

    /// Where new blocks of an inode without any are best.
    pub(crate) fn home_goal(&self, ino: u32) -> u64 {
        let index = u64::from(ino.saturating_sub(1));
        let group = low32(index / self.sb.inodes_per_group);
        self.sb.group_start(group)
    }
}
