//! A disk with a write cache that a power cut empties.

use super::bounds;
use abi::block::{BlockDevice, Geometry};
use abi::{Errno, Result};
use core::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A change that the disk below has not seen.
#[derive(Debug)]
enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    Discard(Range<u64>),
}

#[derive(Debug, Default)]
struct State {
    pending: Vec<Change>,
    dead: bool,
}

/// Holds writes until [`flush`](BlockDevice::flush), as a drive with a volatile cache does.
///
/// [`crash`](Self::crash) ends its life with any choice of the unflushed writes on the disk below:
/// the strictest reading of "no order between flushes". For tests: the memory held is what was
/// written.
#[derive(Debug)]
pub struct Volatile<D> {
    below: D,
    state: Mutex<State>,
}

impl<D: BlockDevice> Volatile<D> {
    /// Puts a volatile cache before `below`.
    pub fn new(below: D) -> Self {
        Self { below, state: Mutex::default() }
    }

    /// The number of unflushed writes and discards.
    pub fn pending(&self) -> usize {
        self.lock().pending.len()
    }

    /// Cuts the power: of the unflushed writes, counted from 0 in the order they came, those that
    /// `survives` chooses reach the disk below. Every later call answers `EIO`.
    ///
    /// # Errors
    /// - `EIO` if the disk below refuses one.
    pub fn crash(&self, mut survives: impl FnMut(usize) -> bool) -> Result<()> {
        let mut state = self.lock();
        state.dead = true;
        let pending = core::mem::take(&mut state.pending);
        for (_, change) in pending.into_iter().enumerate().filter(|(i, _)| survives(*i)) {
            self.apply(change)?;
        }
        Ok(())
    }

    fn apply(&self, change: Change) -> Result<()> {
        match change {
            Change::Write { offset, bytes } => self.below.write_at(&bytes, offset),
            Change::Discard(range) => bounds::write_zeroes(&self.below, range),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn alive(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.lock();
        if state.dead { Err(Errno::EIO) } else { Ok(state) }
    }
}

/// Lays the part of `bytes` (at `from`) that falls into `buf` (at `offset`) over it.
fn overlay(buf: &mut [u8], offset: u64, from: u64, bytes: &[u8]) -> Option<()> {
    let skip_bytes = usize::try_from(offset.saturating_sub(from)).ok()?;
    let skip_buf = usize::try_from(from.saturating_sub(offset)).ok()?;
    let source = bytes.get(skip_bytes..)?;
    let target = buf.get_mut(skip_buf..)?;
    let len = source.len().min(target.len());
    target.get_mut(..len)?.copy_from_slice(source.get(..len)?);
    Some(())
}

impl<D: BlockDevice> BlockDevice for Volatile<D> {
    fn geometry(&self) -> Geometry {
        self.below.geometry()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let state = self.alive()?;
        self.below.read_at(buf, offset)?;
        for change in &state.pending {
            // An overlay that misses the buffer has nothing to lay.
            let _ = match change {
                Change::Write { offset: from, bytes } => overlay(buf, offset, *from, bytes),
                Change::Discard(range) => {
                    let end = bounds::check_transfer(u64::MAX, buf.len(), offset)?;
                    let start = range.start.max(offset);
                    let len = range.end.min(end).saturating_sub(start);
                    let zeroes = vec![0u8; usize::try_from(len).map_err(|_| Errno::EIO)?];
                    overlay(buf, offset, start, &zeroes)
                }
            };
        }
        Ok(())
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        let mut state = self.alive()?;
        bounds::check_write(&self.geometry(), buf.len(), offset)?;
        state.pending.push(Change::Write { offset, bytes: buf.to_vec() });
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        let mut state = self.alive()?;
        for change in core::mem::take(&mut state.pending) {
            self.apply(change)?;
        }
        self.below.flush()
    }

    fn discard(&self, range: Range<u64>) -> Result<()> {
        let mut state = self.alive()?;
        bounds::check_discard(&self.geometry(), &range)?;
        state.pending.push(Change::Discard(range));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Volatile;
    use crate::block::{Fault, Faulty, Ramdisk};
    use abi::Errno;
    use abi::block::BlockDevice;
    use std::sync::Arc;

    #[test]
    fn reads_see_pending_writes_and_a_crash_chooses_among_them() {
        let disk = Arc::new(Ramdisk::new(512).unwrap());
        let volatile = Volatile::new(disk.clone());
        volatile.write_at(b"aaaa", 0).unwrap();
        volatile.flush().unwrap();
        volatile.write_at(b"b", 0).unwrap();
        volatile.write_at(b"c", 1).unwrap();
        volatile.discard(2..3).unwrap();
        let mut buf = [0u8; 4];
        volatile.read_at(&mut buf, 0).unwrap();
        assert_eq!(&buf, b"bc\0a");
        disk.read_at(&mut buf, 0).unwrap();
        assert_eq!(&buf, b"aaaa");
        assert_eq!(volatile.pending(), 3);
        volatile.crash(|i| i != 0).unwrap();
        disk.read_at(&mut buf, 0).unwrap();
        assert_eq!(&buf, b"ac\0a");
        assert_eq!(volatile.read_at(&mut buf, 0), Err(Errno::EIO));
        assert_eq!(volatile.flush(), Err(Errno::EIO));
    }

    #[test]
    fn a_flush_goes_all_the_way_down() {
        let faulty = Faulty::new(Ramdisk::new(512).unwrap(), [Fault::FailFlush(0)]);
        let volatile = Volatile::new(faulty);
        volatile.write_at(b"a", 0).unwrap();
        assert_eq!(volatile.flush(), Err(Errno::EIO));
        assert_eq!(volatile.flush(), Ok(()));
    }
}
