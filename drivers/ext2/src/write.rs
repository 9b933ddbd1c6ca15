//! File content, written: straight to the device, in runs as long as the allocation gives.
//!
//! Data does not go through the transaction. It reaches the device before the metadata that leads
//! to it is committed, and only blocks that no durable metadata leads to are handed out for it.

use crate::error::{Corrupt, Error, Result};
use crate::extent::{Extent, LEN_UNWRITTEN_MAX};
use crate::features::RoCompat;
use crate::inode::{Inode, InodeFlags};
use crate::le::{bytes_at, low32, put, us, wide};
use crate::map::{Place, Run};
use crate::superblock::field;
use crate::volume::Volume;
use abi::Errno;
use abi::fs::Timestamp;

/// The most bytes that one change writes.
pub(crate) const CHUNK: usize = 4 << 20;
/// Up to this many bytes are put together with their padding; more are written in parts.
const COMPOSED_MAX: usize = 128 << 10;

impl Volume {
    /// The most bytes a file of `inode`'s way of mapping holds.
    pub(crate) fn size_max(&self, inode: &Inode) -> u64 {
        let mapped = self.sb.byte_of(self.file_blocks_max(inode));
        let counted = if self.sb.ro_compat.contains(RoCompat::HUGE_FILE) {
            i64::MAX.unsigned_abs()
        } else {
            u64::from(u32::MAX).saturating_mul(512)
        };
        mapped.min(counted)
    }

    /// Where the block after file block `file_block - 1` would be best.
    fn data_goal(&self, inode: &Inode, file_block: u64) -> Result<u64> {
        if let Some(before) = file_block.checked_sub(1)
            && let Some(block) = self.map(inode, before, 1)?.block()
        {
            return Ok(block.saturating_add(1));
        }
        Ok(self.home_goal(inode.ino))
    }

    /// Maps file blocks to blocks that were just handed out, and counts them.
    pub(crate) fn insert_mapping(
        &mut self,
        inode: &mut Inode,
        file_block: u64,
        run: Run,
    ) -> Result<()> {
        let Some(block) = run.block() else { return Ok(()) };
        inode.blocks_512 = inode.blocks_512.saturating_add(self.sectors(run.len));
        if !inode.has(InodeFlags::EXTENTS) {
            return self.set_pointers(inode, file_block, block, run.len);
        }
        let Ok(file_block) = u32::try_from(file_block) else { return Error::answer(Errno::EFBIG) };
        let is_unwritten = matches!(run.place, Place::Unwritten(_));
        self.insert_extent(inode, Extent { file_block, len: low32(run.len), block, is_unwritten })
    }

    /// Hands out up to `want` blocks for the hole at `file_block` and maps them.
    fn fill_hole(
        &mut self,
        inode: &mut Inode,
        file_block: u64,
        want: u64,
        is_unwritten: bool,
    ) -> Result<Run> {
        let left = self.file_blocks_max(inode).saturating_sub(file_block);
        if left == 0 {
            return Error::answer(Errno::EFBIG);
        }
        let want = want.min(left).min(u64::from(LEN_UNWRITTEN_MAX));
        let goal = self.data_goal(inode, file_block)?;
        let (block, len) = self.alloc_blocks(goal, want, inode.ino)?;
        if self.sb.byte_of(file_block) >= inode.size && !is_unwritten {
            self.windows.advance(inode.ino, block.saturating_add(len));
        }
        if !inode.has(InodeFlags::EXTENTS) && block.saturating_add(len) > u64::from(u32::MAX) {
            return Error::answer(Errno::EFBIG);
        }
        let place = if is_unwritten { Place::Unwritten(block) } else { Place::Data(block) };
        let run = Run { place, len };
        self.insert_mapping(inode, file_block, run)?;
        Ok(run)
    }

    /// Writes bytes to the device. A store below that is full is an answer, not a doubt.
    fn write_device(&self, bytes: &[u8], at: u64) -> Result<()> {
        self.device.write_at(bytes, at).map_err(|errno| match errno {
            Errno::ENOSPC => Error::Answer(Errno::ENOSPC),
            other => Error::Io(other),
        })
    }

    /// Writes data over blocks that hold data.
    fn write_over(&self, block: u64, within: usize, data: &[u8]) -> Result<()> {
        let count = self.sb.blocks_for(wide(within).saturating_add(wide(data.len())));
        if !self.sb.holds(block, count) || self.zones.touch(block, count) {
            return Err(Corrupt::Block { block }.into());
        }
        self.write_device(data, self.sb.byte_of(block).saturating_add(wide(within)))
    }

    /// Writes data to blocks that hold nothing yet: what is not data becomes zero.
    fn write_padded(&self, block: u64, within: usize, data: &[u8]) -> Result<()> {
        let used = within.saturating_add(data.len());
        let count = self.sb.blocks_for(wide(used));
        let total = us(self.sb.byte_of(count));
        if within == 0 && total == data.len() {
            return self.write_over(block, 0, data);
        }
        if total <= COMPOSED_MAX {
            let mut whole = vec![0; total];
            put(&mut whole, within, data);
            return self.write_over(block, 0, &whole);
        }
        // A padded block at each end and all that is between them at once.
        let size = self.sb.block_bytes();
        let head = if within == 0 { 0 } else { size.saturating_sub(within).min(data.len()) };
        let (first, rest) = data.split_at(head);
        let (middle, last) = rest.split_at(rest.len().saturating_sub(self.sb.within(wide(used))));
        let mut at = block;
        if !first.is_empty() {
            let mut whole = vec![0; size];
            put(&mut whole, within, first);
            self.write_over(at, 0, &whole)?;
            at = at.saturating_add(1);
        }
        if !middle.is_empty() {
            self.write_over(at, 0, middle)?;
            at = at.saturating_add(self.sb.blocks_for(wide(middle.len())));
        }
        if !last.is_empty() {
            let mut whole = vec![0; size];
            put(&mut whole, 0, last);
            self.write_over(at, 0, &whole)?;
        }
        Ok(())
    }

    /// Writes the beginning of `data` at byte `offset`: what lies in one run. Returns how many
    /// bytes.
    fn write_run(&mut self, inode: &mut Inode, data: &[u8], offset: u64) -> Result<usize> {
        let within = self.sb.within(offset);
        let file_block = self.sb.block_of(offset);
        let wanted = self.sb.blocks_for(wide(within).saturating_add(wide(data.len())));
        let mut run = self.map(inode, file_block, wanted)?;
        let before = run.place;
        if before == Place::Hole {
            run = self.fill_hole(inode, file_block, run.len, false)?;
        }
        let Some(block) = run.block() else { return Error::answer(Errno::ENOSPC) };
        let bytes = us(self.sb.byte_of(run.len)).saturating_sub(within);
        let data = data.get(..bytes.min(data.len())).unwrap_or_default();
        match before {
            Place::Data(_) => self.write_over(block, within, data)?,
            Place::Hole => self.write_padded(block, within, data)?,
            Place::Unwritten(_) => {
                self.write_padded(block, within, data)?;
                let used = self.sb.blocks_for(wide(within).saturating_add(wide(data.len())));
                let end = file_block.saturating_add(used);
                self.mark_extent(inode, file_block, end, false)?;
            }
        }
        Ok(data.len())
    }

    /// Writes `data` (at most [`CHUNK`] bytes) at byte `offset`, a part of it where space runs out.
    /// Part of a change; the inode is left to be stored.
    ///
    /// # Errors
    /// - `EFBIG`, `ENOSPC` if not one byte fits.
    pub(crate) fn write_chunk(
        &mut self,
        inode: &mut Inode,
        data: &[u8],
        offset: u64,
    ) -> Result<usize> {
        let room = self.size_max(inode).saturating_sub(offset);
        if room == 0 && !data.is_empty() {
            return Error::answer(Errno::EFBIG);
        }
        let data = data.get(..data.len().min(us(room))).unwrap_or_default();
        if offset > inode.size {
            self.zero_tail(inode, inode.size, offset)?;
        }
        let mut done = 0;
        let mut most = data.len();
        while let Some(rest) = data.get(done..).filter(|rest| !rest.is_empty()) {
            let at = offset.saturating_add(wide(done));
            let rest = rest.get(..rest.len().min(most)).unwrap_or_default();
            let result = self.part(|volume| {
                let mut copy = inode.clone();
                let len = volume.write_run(&mut copy, rest, at)?;
                Ok((copy, len))
            });
            match result {
                Ok((copy, len)) => {
                    *inode = copy;
                    done = done.saturating_add(len);
                }
                // A run that takes all that is left leaves nothing for the blocks that lead to it.
                Err(Error::Answer(Errno::ENOSPC)) if rest.len() > self.sb.block_bytes() => {
                    most = rest.len() / 2;
                }
                Err(Error::Answer(_)) if done > 0 => break,
                Err(other) => return Err(other),
            }
        }
        let end = offset.saturating_add(wide(done));
        if end > inode.size {
            self.set_size(inode, end)?;
        }
        let now = Timestamp::now();
        inode.mtime = now;
        inode.ctime = now;
        Ok(done)
    }

    /// Sets the length; one that needs `large_file` turns that feature on.
    pub(crate) fn set_size(&mut self, inode: &mut Inode, size: u64) -> Result<()> {
        if size > u64::from(i32::MAX.unsigned_abs())
            && !self.sb.ro_compat.contains(RoCompat::LARGE_FILE)
        {
            let raw = self.edit_super()?;
            if crate::le::u32_at(raw, field::REV_LEVEL) == 0 {
                return Error::answer(Errno::EFBIG);
            }
            let bits = crate::le::u32_at(raw, field::RO_COMPAT) | RoCompat::LARGE_FILE.bits();
            crate::le::put_u32(raw, field::RO_COMPAT, bits);
        }
        inode.size = size;
        Ok(())
    }

    /// Writes zeroes over the data that lies from byte `from` on in its block, `end` at most.
    pub(crate) fn zero_tail(&self, inode: &Inode, from: u64, end: u64) -> Result<()> {
        let within = self.sb.within(from);
        if within == 0 || end <= from {
            return Ok(());
        }
        let left = self.sb.block_bytes().saturating_sub(within);
        self.zero_within(inode, from, left.min(us(end.saturating_sub(from))))
    }

    /// Writes zeroes over `len` bytes of data from byte `from` on, all in one block.
    fn zero_within(&self, inode: &Inode, from: u64, len: usize) -> Result<()> {
        if let Place::Data(block) = self.map(inode, self.sb.block_of(from), 1)?.place {
            let zeroes = vec![0; len];
            self.write_over(block, self.sb.within(from), bytes_at(&zeroes, 0, len))?;
        }
        Ok(())
    }

    /// Frees the file blocks `from..end`, at most `steps` runs of them; returns the block behind
    /// what is left.
    pub(crate) fn remove_mapping(
        &mut self,
        inode: &mut Inode,
        from: u64,
        end: u64,
        steps: usize,
    ) -> Result<u64> {
        if inode.has(InodeFlags::EXTENTS) {
            self.remove_extents(inode, from, end, steps)
        } else {
            self.remove_pointers(inode, from, end, steps)
        }
    }

    /// Makes the bytes `from..end` a hole as far as whole blocks go, and zeroes at both ends.
    /// Returns the byte behind what is still to do.
    pub(crate) fn punch(
        &mut self,
        inode: &mut Inode,
        from: u64,
        end: u64,
        steps: usize,
    ) -> Result<u64> {
        let first = self.sb.blocks_for(from);
        let last = self.sb.block_of(end);
        if first > last {
            // All in one block.
            self.zero_within(inode, from, us(end.saturating_sub(from)))?;
            return Ok(from);
        }
        self.zero_tail(inode, from, self.sb.byte_of(first))?;
        if self.sb.within(end) != 0 {
            self.zero_within(inode, self.sb.byte_of(last), self.sb.within(end))?;
        }
        let left = self.remove_mapping(inode, first, last, steps)?;
        Ok(if left <= first { from } else { self.sb.byte_of(left) })
    }

    /// Allocates the holes of file blocks `from..end` without writing them, at most `steps` runs;
    /// returns the first block still to do.
    pub(crate) fn preallocate(
        &mut self,
        inode: &mut Inode,
        from: u64,
        end: u64,
        steps: usize,
    ) -> Result<u64> {
        let mut at = from;
        for _ in 0..steps {
            if at >= end {
                break;
            }
            let run = self.map(inode, at, end.saturating_sub(at))?;
            let run = if run.place == Place::Hole {
                self.fill_hole(inode, at, run.len, true)?
            } else {
                run
            };
            at = at.saturating_add(run.len);
        }
        Ok(at)
    }
}
