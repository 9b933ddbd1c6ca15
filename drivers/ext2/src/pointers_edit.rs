//! The block map of ext2 and ext3, changed.

use crate::error::{Corrupt, Error, Result};
use crate::inode::Inode;
use crate::le::{low32, put_u32, us};
use crate::pointers::{Path, pointer};
use crate::seal::Kind;
use crate::volume::Volume;
use abi::Errno;

/// The blocks of pointers on a way, the top first; `None` is `i_block`.
type Way = Vec<Option<u64>>;

impl Volume {
    fn edit_pointers<'a>(
        &'a mut self,
        inode: &'a mut Inode,
        block: Option<u64>,
    ) -> Result<&'a mut [u8]> {
        match block {
            None => Ok(&mut inode.i_block),
            Some(block) => Ok(self.edit(block, Kind::Plain)?.as_mut_slice()),
        }
    }

    fn pointer_at(&self, inode: &Inode, block: Option<u64>, slot: u32) -> Result<u64> {
        match block {
            None => Ok(pointer(&inode.i_block, slot)),
            Some(block) => Ok(pointer(self.pointer_block(block)?.as_slice(), slot)),
        }
    }

    fn slots(&self, block: Option<u64>) -> u32 {
        if block.is_none() { 12 } else { self.sb.block_size() / 4 }
    }

    /// Maps `count` file blocks from `file_block` on to the blocks from `block` on. Nothing is
    /// there yet.
    ///
    /// # Errors
    /// - `EFBIG` behind the last block that the map reaches.
    /// - `ENOSPC` if a block of pointers is needed and none is free.
    pub(crate) fn set_pointers(
        &mut self,
        inode: &mut Inode,
        file_block: u64,
        block: u64,
        count: u64,
    ) -> Result<()> {
        let bits = self.sb.block_bits;
        let mut done = 0;
        while done < count {
            let at = file_block.saturating_add(done);
            let path = Path::to(at, bits).ok_or(Error::Answer(Errno::EFBIG))?;
            let mut here = None;
            let last = path.len.saturating_sub(1);
            for level in 0..last {
                here = Some(self.pointer_child(inode, here, path.slot(level), block)?);
            }
            let slot = path.slot(last);
            let room = u64::from(self.slots(here).saturating_sub(slot));
            let here_count = room.min(count.saturating_sub(done));
            let bytes = self.edit_pointers(inode, here)?;
            for step in 0..here_count {
                let value = low32(block.saturating_add(done).saturating_add(step));
                let offset = us(u64::from(slot).saturating_add(step)).saturating_mul(4);
                put_u32(bytes, offset, value);
            }
            done = done.saturating_add(here_count.max(1));
        }
        Ok(())
    }

    /// The block of pointers in slot `slot`, made if there is none.
    fn pointer_child(
        &mut self,
        inode: &mut Inode,
        parent: Option<u64>,
        slot: u32,
        goal: u64,
    ) -> Result<u64> {
        let found = self.pointer_at(inode, parent, slot)?;
        if found != 0 {
            if !self.sb.holds(found, 1) || self.zones.touch(found, 1) {
                return Err(Corrupt::Block { block: found }.into());
            }
            return Ok(found);
        }
        let made = self.alloc_block(goal)?;
        if made > u64::from(u32::MAX) {
            return Error::answer(Errno::EFBIG);
        }
        self.fresh(made, Kind::Plain)?;
        inode.blocks_512 = inode.blocks_512.saturating_add(self.sectors(1));
        put_u32(self.edit_pointers(inode, parent)?, us(slot).saturating_mul(4), low32(made));
        Ok(made)
    }

    /// Frees file blocks `from..end`, the last first, at most `steps` blocks of pointers; returns
    /// the block behind what is still there, `from` when all is done.
    pub(crate) fn remove_pointers(
        &mut self,
        inode: &mut Inode,
        from: u64,
        end: u64,
        steps: usize,
    ) -> Result<u64> {
        let mut end = end.min(self.file_blocks_max(inode));
        let mut left = steps;
        while left > 0 {
            let Some(last) = end.checked_sub(1).filter(|&last| last >= from) else {
                return Ok(from);
            };
            // Holes do not count: a step must make progress that the next change does not have to
            // repeat.
            let (start, is_hole) = self.remove_stretch(inode, from, last)?;
            end = start;
            left = left.saturating_sub(usize::from(!is_hole));
        }
        Ok(end.max(from))
    }

    /// Frees what lies in the same block of pointers as file block `last`, down to `from`; returns
    /// where the stretch began and whether there was nothing in it.
    fn remove_stretch(&mut self, inode: &mut Inode, from: u64, last: u64) -> Result<(u64, bool)> {
        let bits = self.sb.block_bits;
        let path = Path::to(last, bits).ok_or(Error::Answer(Errno::EFBIG))?;
        let mut way: Way = vec![None];
        let bottom = path.len.saturating_sub(1);
        for level in 0..bottom {
            let here = way.last().copied().flatten();
            let slot = path.slot(level);
            let child = self.pointer_at(inode, here, slot)?;
            if child == 0 {
                let into = path.rest_within(level, bits);
                // Slots of `i_block` differ in what they stand for; those of a block do not.
                let more = self.zero_slots_before(here, slot)?;
                let skipped = path.span(level, bits).saturating_mul(more).saturating_add(into);
                return Ok((last.saturating_sub(skipped).max(from), true));
            }
            way.push(Some(child));
        }
        let here = way.last().copied().flatten();
        let high = path.slot(bottom);
        let distance = last.saturating_sub(from).min(u64::from(high));
        let low = high.saturating_sub(low32(distance));
        self.clear_slots(inode, here, low, high)?;
        self.drop_empty(inode, &way, &path)?;
        Ok((last.saturating_sub(distance), false))
    }

    /// How many slots right before `slot` lead nowhere.
    fn zero_slots_before(&self, here: Option<u64>, slot: u32) -> Result<u64> {
        let bytes = match here {
            None => return Ok(0),
            Some(block) => self.pointer_block(block)?,
        };
        let zeroes = (0..slot).rev().take_while(|&slot| pointer(&bytes, slot) == 0).count();
        Ok(crate::le::wide(zeroes))
    }

    /// Frees what slots `low..=high` point to, runs of neighbours at once, and clears them.
    fn clear_slots(
        &mut self,
        inode: &mut Inode,
        here: Option<u64>,
        low: u32,
        high: u32,
    ) -> Result<()> {
        let bytes = match here {
            None => inode.i_block.to_vec(),
            Some(block) => self.pointer_block(block)?.to_vec(),
        };
        let mut run: Option<(u64, u64)> = None;
        let mut any = false;
        for slot in low..=high {
            let block = pointer(&bytes, slot);
            if block == 0 {
                continue;
            }
            any = true;
            run = match run {
                Some((first, count)) if first.saturating_add(count) == block => {
                    Some((first, count.saturating_add(1)))
                }
                other => {
                    self.release_run(inode, other)?;
                    Some((block, 1))
                }
            };
        }
        self.release_run(inode, run)?;
        if any {
            let count = us(high.saturating_sub(low)).saturating_add(1);
            let bytes = self.edit_pointers(inode, here)?;
            crate::le::zero(bytes, us(low).saturating_mul(4), count.saturating_mul(4));
        }
        Ok(())
    }

    fn release_run(&mut self, inode: &mut Inode, run: Option<(u64, u64)>) -> Result<()> {
        if let Some((first, count)) = run {
            self.release_content(inode, first, count)?;
            inode.blocks_512 = inode.blocks_512.saturating_sub(self.sectors(count));
        }
        Ok(())
    }

    /// Frees the blocks of pointers on a way that hold nothing, the lowest first.
    fn drop_empty(&mut self, inode: &mut Inode, way: &Way, path: &Path) -> Result<()> {
        for level in (1..way.len()).rev() {
            let Some(block) = way.get(level).copied().flatten() else { break };
            if self.pointer_block(block)?.iter().any(|&byte| byte != 0) {
                break;
            }
            self.release_meta(block)?;
            inode.blocks_512 = inode.blocks_512.saturating_sub(self.sectors(1));
            let above = level.saturating_sub(1);
            let parent = way.get(above).copied().flatten();
            let slot = path.slot(above);
            put_u32(self.edit_pointers(inode, parent)?, us(slot).saturating_mul(4), 0);
        }
        Ok(())
    }
}
