//! A write-back cache of blocks.

use super::bounds;
use abi::block::{BlockDevice, Geometry};
use abi::{Errno, Result};
use core::num::NonZeroUsize;
use core::ops::Range;
use lru::LruCache;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The size of a [`Cached`] disk's cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheShape {
    /// The unit, in bytes: a power of two from 512 to 1 MiB.
    pub block_bytes: u64,
    /// The most blocks that are held.
    pub blocks_max: NonZeroUsize,
    /// Blocks fetched beyond what was asked, when reads come in sequence.
    pub readahead_blocks: usize,
}

impl CacheShape {
    /// Blocks of 4 KiB, at most `bytes` of them, with a readahead of 128 KiB.
    #[must_use]
    pub fn of_bytes(bytes: u64) -> Self {
        let blocks = usize::try_from(bytes / 4096).unwrap_or(usize::MAX);
        Self {
            block_bytes: 4096,
            blocks_max: NonZeroUsize::new(blocks).unwrap_or(NonZeroUsize::MIN),
            readahead_blocks: 32,
        }
    }
}

#[derive(Debug)]
struct State {
    blocks: LruCache<u64, Box<[u8]>>,
    /// Numbers of blocks that the disk below has not seen, in the order in which they go down.
    dirty: BTreeSet<u64>,
    /// The block after the last one read: a read that begins here is sequential.
    next_read: u64,
}

/// Keeps recently used blocks of a slow disk; writes go down when their block is evicted, and all
/// of them, in ascending order, before a flush does.
///
/// A block whose write-back fails stays in the cache and dirty, so nothing is lost while this value
/// lives; the flush that could not write it says `EIO` and never reaches the disk below. One lock
/// is held over transfers: the layer is for disks where a transfer costs more than the wait.
#[derive(Debug)]
pub struct Cached<D: BlockDevice> {
    below: D,
    shape: CacheShape,
    geometry: Geometry,
    state: Mutex<State>,
}

impl<D: BlockDevice> Cached<D> {
    /// Puts a cache before `below`, whose shape must not change from here on.
    ///
    /// # Errors
    /// - `EINVAL` if the block size is not a power of two from 512 to 1 MiB.
    pub fn new(below: D, shape: CacheShape) -> Result<Self> {
        if !shape.block_bytes.is_power_of_two() || !(512..=1 << 20).contains(&shape.block_bytes) {
            return Err(Errno::EINVAL);
        }
        let geometry = below.geometry();
        let state = State {
            // Not sized beforehand: memory is taken as blocks come.
            blocks: LruCache::unbounded(),
            dirty: BTreeSet::new(),
            next_read: 0,
        };
        Ok(Self { below, shape, geometry, state: Mutex::new(state) })
    }

    /// The number of blocks that are held, and of those that are dirty.
    pub fn held(&self) -> (usize, usize) {
        let state = self.lock();
        (state.blocks.len(), state.dirty.len())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes of block `number`; the last one may be short, one past the end is empty.
    fn block_range(&self, number: u64) -> Range<u64> {
        let size = self.geometry.size_bytes;
        let start = number.saturating_mul(self.shape.block_bytes).min(size);
        start..start.saturating_add(self.shape.block_bytes).min(size)
    }

    fn block_len(&self, number: u64) -> usize {
        let range = self.block_range(number);
        usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(0)
    }

    /// The most blocks of one transfer below: half the cache, so that a run never evicts itself.
    fn run_max(&self) -> usize {
        (self.shape.blocks_max.get() / 2).clamp(1, 256)
    }

    /// Writes the dirty blocks `first, first + 1, ...` down in one transfer, as far as they follow.
    fn write_back(&self, state: &mut State, first: u64) -> Result<()> {
        let mut bytes = Vec::new();
        let mut run = Vec::new();
        for number in (first..).take(self.run_max()) {
            if !state.dirty.contains(&number) {
                break;
            }
            let Some(block) = state.blocks.peek(&number) else { break };
            bytes.extend_from_slice(block);
            run.push(number);
        }
        if run.is_empty() {
            // A dirty block is always held; were it not, looping on it would never end.
            return Err(Errno::EIO);
        }
        self.below.write_at(&bytes, self.block_range(first).start).map_err(bounds::from_below)?;
        for number in run {
            state.dirty.remove(&number);
        }
        Ok(())
    }

    /// Evicts until another block fits.
    fn make_room(&self, state: &mut State) -> Result<()> {
        while state.blocks.len() >= self.shape.blocks_max.get() {
            let Some(number) = state.blocks.peek_lru().map(|(number, _)| *number) else { break };
            if state.dirty.contains(&number) {
                self.write_back(state, number)?;
            }
            state.blocks.pop(&number);
        }
        Ok(())
    }

    /// Fetches up to `wanted` blocks from `first` on, stopping at the end and at a block that is
    /// held.
    fn fetch(&self, state: &mut State, first: u64, wanted: usize) -> Result<()> {
        let mut lens = Vec::new();
        for number in (first..).take(wanted.clamp(1, self.run_max())) {
            let len = self.block_len(number);
            if len == 0 || state.blocks.contains(&number) {
                break;
            }
            lens.push(len);
        }
        let mut bytes = vec![0u8; lens.iter().fold(0usize, |a, b| a.saturating_add(*b))];
        self.below
            .read_at(&mut bytes, self.block_range(first).start)
            .map_err(bounds::from_below)?;
        let mut rest = bytes.as_slice();
        for (number, len) in (first..).zip(lens) {
            let (block, tail) = rest.split_at_checked(len).ok_or(Errno::EIO)?;
            self.make_room(state)?;
            state.blocks.put(number, block.into());
            rest = tail;
        }
        Ok(())
    }

    /// Splits `offset..end` at block bounds: number, range within the block.
    fn pieces(&self, offset: u64, end: u64) -> impl Iterator<Item = (u64, Range<usize>)> {
        let size = self.shape.block_bytes;
        let numbers = offset.checked_div(size).unwrap_or(0)..end.div_ceil(size);
        let small = |n: u64| usize::try_from(n).unwrap_or(0);
        numbers.map(move |number| {
            let start = number.saturating_mul(size);
            let from = offset.saturating_sub(start);
            let to = end.saturating_sub(start).min(size);
            (number, small(from)..small(to))
        })
    }

    fn flush_locked(&self, state: &mut State) -> Result<()> {
        while let Some(first) = state.dirty.first().copied() {
            self.write_back(state, first)?;
        }
        Ok(())
    }
}

impl<D: BlockDevice> BlockDevice for Cached<D> {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let end = bounds::check_transfer(self.geometry.size_bytes, buf.len(), offset)?;
        if buf.is_empty() {
            return Ok(());
        }
        let block_bytes = self.shape.block_bytes;
        let after = end.div_ceil(block_bytes);
        let mut state = self.lock();
        let sequential = offset.checked_div(block_bytes) == Some(state.next_read)
            || offset.div_ceil(block_bytes) == state.next_read;
        let ahead = if sequential { self.shape.readahead_blocks } else { 0 };
        let mut rest = buf;
        for (number, part) in self.pieces(offset, end) {
            if !state.blocks.contains(&number) {
                let asked = usize::try_from(after.saturating_sub(number)).unwrap_or(1);
                self.fetch(&mut state, number, asked.saturating_add(ahead))?;
            }
            let bytes = state.blocks.get(&number).and_then(|b| b.get(part)).ok_or(Errno::EIO)?;
            let (target, tail) = rest.split_at_mut_checked(bytes.len()).ok_or(Errno::EIO)?;
            target.copy_from_slice(bytes);
            rest = tail;
        }
        state.next_read = after;
        Ok(())
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        let end = bounds::check_write(&self.geometry, buf.len(), offset)?;
        if buf.is_empty() {
            return Ok(());
        }
        let mut state = self.lock();
        let mut rest = buf;
        for (number, part) in self.pieces(offset, end) {
            let (source, tail) = rest.split_at_checked(part.len()).ok_or(Errno::EIO)?;
            if part.len() == self.block_len(number) {
                if !state.blocks.contains(&number) {
                    self.make_room(&mut state)?;
                }
                state.blocks.put(number, source.into());
            } else {
                if !state.blocks.contains(&number) {
                    self.fetch(&mut state, number, 1)?;
                }
                let block = state.blocks.get_mut(&number).ok_or(Errno::EIO)?;
                block.get_mut(part).ok_or(Errno::EIO)?.copy_from_slice(source);
            }
            state.dirty.insert(number);
            rest = tail;
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        let mut state = self.lock();
        self.flush_locked(&mut state)?;
        self.below.flush()
    }

    fn discard(&self, range: Range<u64>) -> Result<()> {
        bounds::check_discard(&self.geometry, &range)?;
        let mut state = self.lock();
        self.below.discard(range.clone()).map_err(bounds::from_below)?;
        let held: Vec<u64> = state.blocks.iter().map(|(number, _)| *number).collect();
        for number in held {
            let block = self.block_range(number);
            let (from, to) = (range.start.max(block.start), range.end.min(block.end));
            if from >= to {
                continue;
            }
            if (from, to) == (block.start, block.end) {
                state.blocks.pop(&number);
                state.dirty.remove(&number);
                continue;
            }
            let inner = |at: u64| usize::try_from(at.saturating_sub(block.start)).unwrap_or(0);
            let bytes = state.blocks.peek_mut(&number).ok_or(Errno::EIO)?;
            bytes.get_mut(inner(from)..inner(to)).ok_or(Errno::EIO)?.fill(0);
        }
        Ok(())
    }
}

impl<D: BlockDevice> Drop for Cached<D> {
    fn drop(&mut self) {
        let mut state = self.lock();
        if let Err(errno) = self.flush_locked(&mut state) {
            let blocks = state.dirty.len();
            tracing::warn!(%errno, blocks, "a cache was dropped with blocks that can't be written");
        }
    }
}

#[cfg(test)]
mod tests;
