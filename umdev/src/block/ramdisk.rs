//! A disk in memory.

use super::{bounds, host_file};
use abi::block::{BlockDevice, Geometry};
use abi::{Errno, Result};
use core::ops::Range;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

/// A sparse disk in a memfd whose length is sealed: only what was written takes memory, and
/// [`discard`](BlockDevice::discard) frees it.
///
/// The seals make the descriptor safe to hand to a process: nobody can truncate it under a map.
#[derive(Debug)]
pub struct Ramdisk {
    file: File,
    geometry: Geometry,
}

impl Ramdisk {
    /// Makes a disk of `size_bytes` zeroes with 512-byte sectors.
    ///
    /// # Errors
    /// In check order:
    /// - `EINVAL` if the size is 0 or passes what a file can be.
    /// - `EMFILE`, `ENFILE`, `ENOMEM` from memfd_create(2).
    pub fn new(size_bytes: u64) -> Result<Self> {
        if size_bytes == 0 || i64::try_from(size_bytes).is_err() {
            return Err(Errno::EINVAL);
        }
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let fd = memfd_create("view-os-ramdisk", flags).map_err(std::io::Error::from)?;
        let file = File::from(fd);
        file.set_len(size_bytes).map_err(|_| Errno::EINVAL)?;
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        fcntl_add_seals(&file, seals).map_err(std::io::Error::from)?;
        Ok(Self { file, geometry: Geometry { block_size: 512, size_bytes, read_only: false } })
    }

    /// The same disk with sectors of `block_size` bytes.
    ///
    /// # Errors
    /// - `EINVAL` if that is not a power of two from 512 to 4096.
    pub fn with_block_size(mut self, block_size: u32) -> Result<Self> {
        self.geometry.block_size = super::check_block_size(u64::from(block_size))?;
        Ok(self)
    }

    /// The memfd that holds the bytes, for reading, writing and mapping by someone else.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// The memory that the disk takes, in bytes.
    ///
    /// # Errors
    /// - `EIO` if the host does not say.
    pub fn used_bytes(&self) -> Result<u64> {
        use std::os::unix::fs::MetadataExt;
        let sectors = self.file.metadata().map_err(|_| Errno::EIO)?.blocks();
        Ok(sectors.saturating_mul(512))
    }
}

impl BlockDevice for Ramdisk {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        bounds::check_transfer(self.geometry.size_bytes, buf.len(), offset)?;
        host_file::read_at(&self.file, buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        bounds::check_write(&self.geometry, buf.len(), offset)?;
        host_file::write_at(&self.file, buf, offset)
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn discard(&self, range: Range<u64>) -> Result<()> {
        bounds::check_discard(&self.geometry, &range)?;
        host_file::punch_hole(&self.file, &range)
    }

    fn host_descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.descriptor())
    }
}

#[cfg(test)]
mod tests {
    use super::Ramdisk;
    use abi::Errno;
    use abi::block::BlockDevice;
    use std::os::unix::fs::FileExt;

    #[test]
    fn a_large_disk_takes_only_what_was_written_and_discard_frees_it() {
        let disk = Ramdisk::new(1 << 40).unwrap();
        assert_eq!(disk.used_bytes(), Ok(0));
        disk.write_at(&[5u8; 65536], 1 << 39).unwrap();
        assert_eq!(disk.used_bytes(), Ok(65536));
        disk.discard(1 << 39..(1 << 39) + 65536).unwrap();
        assert_eq!(disk.used_bytes(), Ok(0));
        let mut byte = [1u8];
        disk.read_at(&mut byte, 1 << 39).unwrap();
        assert_eq!(byte, [0]);
    }

    #[test]
    fn the_descriptor_is_the_disk_and_its_length_is_sealed() {
        let disk = Ramdisk::new(8192).unwrap();
        let file = std::fs::File::from(disk.descriptor().try_clone_to_owned().unwrap());
        file.write_all_at(b"through", 100).unwrap();
        let mut buf = [0u8; 7];
        disk.read_at(&mut buf, 100).unwrap();
        assert_eq!(&buf, b"through");
        assert!(file.set_len(4096).is_err());
        assert!(file.set_len(16384).is_err());
        assert!(file.write_all_at(b"x", 8192).is_err());
    }

    #[test]
    fn sizes_out_of_range_are_refused() {
        assert_eq!(Ramdisk::new(0).unwrap_err(), Errno::EINVAL);
        assert_eq!(Ramdisk::new(u64::MAX).unwrap_err(), Errno::EINVAL);
    }
}
