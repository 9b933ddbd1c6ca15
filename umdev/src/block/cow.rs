//! A disk whose changes are kept elsewhere.

use super::bounds;
use super::extents::Extents;
use super::ramdisk::Ramdisk;
use abi::block::{BlockDevice, Geometry};
use abi::{Errno, Result};
use core::ops::Range;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The unit of ownership, in bytes.
const CHUNK_BYTES: u64 = 4096;

/// Reads from `lower` what nobody wrote and from `upper` what was written; `lower` is never
/// touched.
///
/// Ownership is a fact that is kept, chunk by chunk, and not inferred from content: a chunk of
/// zeroes that was written is owned. It lives as long as this value: `upper` alone can't be
/// reopened.
#[derive(Debug)]
pub struct CowDevice<L, U> {
    lower: L,
    upper: U,
    /// Chunks that `upper` owns. Read-locked while reading, write-locked while writing.
    owned: RwLock<Extents>,
}

/// A disk whose changes are kept in memory and forgotten with it.
pub type Snapshot<L> = CowDevice<L, Ramdisk>;

impl<L: BlockDevice> Snapshot<L> {
    /// Keeps changes to `lower` in a sparse ramdisk.
    ///
    /// # Errors
    /// - `EINVAL` if `lower` has no bytes; else those of [`Ramdisk::new`].
    pub fn in_memory(lower: L) -> Result<Self> {
        let shape = lower.geometry();
        let upper = Ramdisk::new(shape.size_bytes)?.with_block_size(shape.block_size)?;
        Self::new(lower, upper)
    }
}

impl<L: BlockDevice, U: BlockDevice> CowDevice<L, U> {
    /// Keeps changes to `lower` in `upper`, whose content does not matter.
    ///
    /// # Errors
    /// In check order:
    /// - `EROFS` if `upper` is read-only.
    /// - `EINVAL` if `upper` is shorter than `lower`.
    pub fn new(lower: L, upper: U) -> Result<Self> {
        if upper.geometry().read_only {
            return Err(Errno::EROFS);
        }
        if upper.geometry().size_bytes < lower.geometry().size_bytes {
            return Err(Errno::EINVAL);
        }
        Ok(Self { lower, upper, owned: RwLock::default() })
    }

    /// The bytes that `upper` owns.
    pub fn owned_bytes(&self) -> u64 {
        let owned = self.read_lock();
        let bytes = owned.iter().map(|(start, end)| {
            let end = end.saturating_mul(CHUNK_BYTES).min(self.size());
            end.saturating_sub(start.saturating_mul(CHUNK_BYTES))
        });
        bytes.fold(0u64, u64::saturating_add)
    }

    /// Writes every owned chunk to `target` and flushes it: what turns a snapshot into a change.
    ///
    /// # Errors
    /// - those of the two disks; `target` is then changed in part.
    pub fn commit(&self, target: &dyn BlockDevice) -> Result<()> {
        let owned = self.read_lock();
        let mut chunk = Vec::new();
        for (start, end) in owned.iter() {
            for number in start..end {
                let range = self.chunk_range(number);
                let len = range.end.saturating_sub(range.start);
                chunk.resize(usize::try_from(len).map_err(|_| Errno::EIO)?, 0);
                self.upper.read_at(&mut chunk, range.start).map_err(bounds::from_below)?;
                target.write_at(&chunk, range.start)?;
            }
        }
        drop(owned);
        target.flush()
    }

    fn size(&self) -> u64 {
        self.lower.geometry().size_bytes
    }

    fn read_lock(&self) -> RwLockReadGuard<'_, Extents> {
        self.owned.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_lock(&self) -> RwLockWriteGuard<'_, Extents> {
        self.owned.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes of a chunk; the last one may be short.
    fn chunk_range(&self, number: u64) -> Range<u64> {
        let start = number.saturating_mul(CHUNK_BYTES);
        start..start.saturating_add(CHUNK_BYTES).min(self.size())
    }

    /// Copies up the chunk around `edge` unless it is owned, or `edge` does not cut it in two.
    fn copy_up_edge(&self, owned: &Extents, edge: u64) -> Result<()> {
        let number = edge / CHUNK_BYTES;
        let range = self.chunk_range(number);
        if edge == range.start || edge >= range.end || owned.run_at(number).0 {
            return Ok(());
        }
        let len = range.end.saturating_sub(range.start);
        let mut chunk = vec![0u8; usize::try_from(len).map_err(|_| Errno::EIO)?];
        self.lower.read_at(&mut chunk, range.start).map_err(bounds::from_below)?;
        self.upper.write_at(&chunk, range.start).map_err(bounds::from_below)
    }

    /// Owns every chunk that `range` touches after `change` was made to `upper`.
    fn change(&self, range: Range<u64>, change: impl FnOnce(&U) -> Result<()>) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let mut owned = self.write_lock();
        self.copy_up_edge(&owned, range.start)?;
        self.copy_up_edge(&owned, range.end)?;
        change(&self.upper).map_err(bounds::from_below)?;
        owned.insert(range.start / CHUNK_BYTES, range.end.div_ceil(CHUNK_BYTES));
        Ok(())
    }
}

impl<L: BlockDevice, U: BlockDevice> BlockDevice for CowDevice<L, U> {
    fn geometry(&self) -> Geometry {
        Geometry { read_only: false, ..self.lower.geometry() }
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let end = bounds::check_transfer(self.size(), buf.len(), offset)?;
        let owned = self.read_lock();
        let (mut at, mut rest) = (offset, buf);
        while at < end {
            let (is_owned, run_end) = owned.run_at(at / CHUNK_BYTES);
            let stop = run_end.saturating_mul(CHUNK_BYTES).min(end);
            let len = usize::try_from(stop.saturating_sub(at)).map_err(|_| Errno::EINVAL)?;
            let (part, tail) = rest.split_at_mut_checked(len).ok_or(Errno::EIO)?;
            let source: &dyn BlockDevice = if is_owned { &self.upper } else { &self.lower };
            source.read_at(part, at).map_err(bounds::from_below)?;
            (at, rest) = (stop, tail);
        }
        Ok(())
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        let end = bounds::check_write(&self.geometry(), buf.len(), offset)?;
        self.change(offset..end, |upper| upper.write_at(buf, offset))
    }

    fn flush(&self) -> Result<()> {
        self.upper.flush()
    }

    fn discard(&self, range: Range<u64>) -> Result<()> {
        bounds::check_discard(&self.geometry(), &range)?;
        self.change(range.clone(), |upper| bounds::write_zeroes(upper, range))
    }
}

#[cfg(test)]
mod tests {
    use super::{CowDevice, Snapshot};
    use crate::block::{Ramdisk, ReadOnly};
    use abi::Errno;
    use abi::block::BlockDevice;
    use std::sync::Arc;

    #[test]
    fn the_lower_disk_keeps_its_bytes_until_a_commit() {
        let lower = Arc::new(Ramdisk::new(10_000).unwrap());
        lower.write_at(&[1; 10_000], 0).unwrap();
        let snapshot = Snapshot::in_memory(ReadOnly::new(lower.clone())).unwrap();
        snapshot.write_at(&[2; 100], 4090).unwrap();
        snapshot.discard(9000..10_000).unwrap();
        let mut buf = [0u8; 10_000];
        lower.read_at(&mut buf, 0).unwrap();
        assert!(buf.iter().all(|b| *b == 1));
        snapshot.read_at(&mut buf, 0).unwrap();
        assert!(buf[4090..4190].iter().all(|b| *b == 2) && buf[9000..].iter().all(|b| *b == 0));
        assert!(buf[..4090].iter().chain(&buf[4190..9000]).all(|b| *b == 1));
        // Chunks 0, 1 and the short one at the end.
        assert_eq!(snapshot.owned_bytes(), 10_000);
        snapshot.commit(&*lower).unwrap();
        let mut after = [0u8; 10_000];
        lower.read_at(&mut after, 0).unwrap();
        assert_eq!(after, buf);
    }

    #[test]
    fn a_short_or_protected_upper_disk_is_refused() {
        let small = Ramdisk::new(512).unwrap();
        let large = Ramdisk::new(1024).unwrap();
        assert_eq!(CowDevice::new(Arc::new(large), Arc::new(small)).err(), Some(Errno::EINVAL));
        let protected = ReadOnly::new(Ramdisk::new(1024).unwrap());
        assert_eq!(CowDevice::new(Ramdisk::new(512).unwrap(), protected).err(), Some(Errno::EROFS));
    }
}
