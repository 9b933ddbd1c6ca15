//! A window on a disk.

use super::bounds;
use abi::block::{BlockDevice, Geometry};
use abi::{Errno, Result};
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// The bytes from `start_bytes` of a disk, `size_bytes` long: no transfer ever leaves them.
///
/// Analogous to `struct block_device` of a partition. The length and the read-only mark can change
/// while the window is in use (`BLKPG`, `BLKROSET`); the start can't.
pub struct Partition {
    below: Arc<dyn BlockDevice>,
    start_bytes: u64,
    size_bytes: AtomicU64,
    read_only: AtomicBool,
}

impl Partition {
    /// Opens the window `start_bytes .. start_bytes + size_bytes` of `below`.
    ///
    /// # Errors
    /// - `EINVAL` if it passes the end of `below`.
    pub fn new(below: Arc<dyn BlockDevice>, start_bytes: u64, size_bytes: u64) -> Result<Self> {
        let window = Self {
            below,
            start_bytes,
            size_bytes: AtomicU64::new(0),
            read_only: AtomicBool::new(false),
        };
        window.resize(size_bytes)?;
        Ok(window)
    }

    /// Makes the window `size_bytes` long; 0 closes it to whoever still holds it.
    ///
    /// # Errors
    /// - `EINVAL` if it would pass the end of the disk below.
    pub fn resize(&self, size_bytes: u64) -> Result<()> {
        let end = self.start_bytes.checked_add(size_bytes).ok_or(Errno::EINVAL)?;
        if size_bytes != 0 && end > self.below.geometry().size_bytes {
            return Err(Errno::EINVAL);
        }
        self.size_bytes.store(size_bytes, Ordering::Release);
        Ok(())
    }

    /// Forbids or allows writing here; a read-only disk below stays so.
    pub fn set_read_only(&self, read_only: bool) {
        self.read_only.store(read_only, Ordering::Release);
    }

    /// The first byte, counted on the disk below.
    #[must_use]
    pub fn start_bytes(&self) -> u64 {
        self.start_bytes
    }

    /// The length in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes.load(Ordering::Acquire)
    }

    /// Where byte `offset` of the window lies below. Called after the bounds are checked.
    fn below_offset(&self, offset: u64) -> Result<u64> {
        self.start_bytes.checked_add(offset).ok_or(Errno::EINVAL)
    }
}

impl BlockDevice for Partition {
    fn geometry(&self) -> Geometry {
        let below = self.below.geometry();
        Geometry {
            block_size: below.block_size,
            size_bytes: self.size_bytes(),
            read_only: below.read_only || self.read_only.load(Ordering::Acquire),
        }
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        bounds::check_transfer(self.size_bytes(), buf.len(), offset)?;
        self.below.read_at(buf, self.below_offset(offset)?).map_err(bounds::from_below)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        bounds::check_write(&self.geometry(), buf.len(), offset)?;
        self.below.write_at(buf, self.below_offset(offset)?).map_err(bounds::from_below)
    }

    fn flush(&self) -> Result<()> {
        self.below.flush()
    }

    fn discard(&self, range: Range<u64>) -> Result<()> {
        bounds::check_discard(&self.geometry(), &range)?;
        let below = self.below_offset(range.start)?..self.below_offset(range.end)?;
        self.below.discard(below).map_err(bounds::from_below)
    }

    fn host_descriptor(&self) -> Option<BorrowedFd<'_>> {
        let below = self.below.geometry();
        let all = self.start_bytes == 0 && self.size_bytes() == below.size_bytes;
        let same_access = self.geometry().read_only == below.read_only;
        if all && same_access { self.below.host_descriptor() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::Partition;
    use crate::block::Ramdisk;
    use abi::Errno;
    use abi::block::BlockDevice;
    use std::sync::Arc;

    #[test]
    fn no_byte_outside_is_read_or_written() {
        let disk = Arc::new(Ramdisk::new(4096).unwrap());
        disk.write_at(&[9; 4096], 0).unwrap();
        let part = Partition::new(disk.clone(), 1024, 1024).unwrap();
        part.write_at(&[1; 1024], 0).unwrap();
        part.discard(1000..1024).unwrap();
        // Error: one byte over the end, and an offset that would wrap to before the start.
        assert_eq!(part.write_at(&[1; 1025], 0), Err(Errno::EINVAL));
        assert_eq!(part.write_at(&[1; 1], u64::MAX - 1023), Err(Errno::EINVAL));
        assert_eq!(part.discard(0..1025), Err(Errno::EINVAL));
        let mut all = [0u8; 4096];
        disk.read_at(&mut all, 0).unwrap();
        assert!(all[..1024].iter().all(|b| *b == 9) && all[2048..].iter().all(|b| *b == 9));
        assert!(all[1024..2024].iter().all(|b| *b == 1) && all[2024..2048].iter().all(|b| *b == 0));
    }

    #[test]
    fn windows_that_pass_the_end_are_refused() {
        let disk = Arc::new(Ramdisk::new(4096).unwrap());
        assert_eq!(Partition::new(disk.clone(), 1024, 3073).err(), Some(Errno::EINVAL));
        assert_eq!(Partition::new(disk.clone(), u64::MAX, 2).err(), Some(Errno::EINVAL));
        let part = Partition::new(disk, 1024, 1024).unwrap();
        assert_eq!(part.resize(3073), Err(Errno::EINVAL));
        assert_eq!(part.resize(3072), Ok(()));
        part.resize(0).unwrap();
        assert_eq!(part.read_at(&mut [0], 0), Err(Errno::EINVAL));
    }

    #[test]
    fn only_the_whole_disk_with_its_own_access_lends_the_descriptor() {
        let disk = Arc::new(Ramdisk::new(4096).unwrap());
        let whole = Partition::new(disk.clone(), 0, 4096).unwrap();
        assert!(whole.host_descriptor().is_some());
        whole.set_read_only(true);
        assert!(whole.host_descriptor().is_none());
        assert_eq!(whole.write_at(&[0], 0), Err(Errno::EROFS));
        assert!(Partition::new(disk, 0, 2048).unwrap().host_descriptor().is_none());
    }
}
