//! A disk in a file of the host.

use super::{bounds, host_file};
use abi::block::{BlockDevice, Geometry};
use abi::{Errno, Result};
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};
use rustix::fs::{OFlags, fcntl_getfl};
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;

/// A disk over an opened regular file or block device of the host, by pread(2) and pwrite(2).
///
/// Never by mmap(2): a map of a file that someone truncates is a SIGBUS, where pread says `EIO`.
/// The length is measured once. A file that shrinks afterwards answers `EIO` beyond its end, reads
/// and writes alike: an image grows by [`grow`](BlockDevice::grow), never by being written.
#[derive(Debug)]
pub struct Image {
    file: File,
    size_bytes: AtomicU64,
    block_size: u32,
    read_only: bool,
    /// A block device of the host: its length is not in its inode.
    special: bool,
    /// The descriptor's own access mode is the one that `read_only` says.
    lendable: bool,
}

impl Image {
    /// Takes an opened file as a disk of 512-byte sectors.
    ///
    /// # Errors
    /// In check order:
    /// - `ENOTBLK` if it is neither a regular file nor a block device.
    /// - `EACCES` if `read_only` is false and the descriptor is not open for writing.
    /// - `EIO` if its length can't be told.
    pub fn new(file: File, read_only: bool) -> Result<Self> {
        let kind = file.metadata()?.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            return Err(Errno::ENOTBLK);
        }
        let mode = fcntl_getfl(&file).map_err(std::io::Error::from)? & OFlags::ACCMODE;
        if !read_only && mode != OFlags::RDWR {
            return Err(Errno::EACCES);
        }
        let image = Self {
            file,
            size_bytes: AtomicU64::new(0),
            block_size: 512,
            read_only,
            special: kind.is_block_device(),
            lendable: read_only == (mode == OFlags::RDONLY),
        };
        image.remeasure()?;
        Ok(image)
    }

    /// The same disk with sectors of `block_size` bytes.
    ///
    /// # Errors
    /// - `EINVAL` if that is not a power of two from 512 to 4096.
    pub fn with_block_size(mut self, block_size: u32) -> Result<Self> {
        self.block_size = super::check_block_size(u64::from(block_size))?;
        Ok(self)
    }

    /// Looks at the file's length again, for `LOOP_SET_CAPACITY` and the like; returns it in bytes.
    ///
    /// # Errors
    /// - `EIO` if it can't be told.
    pub fn remeasure(&self) -> Result<u64> {
        let size = self.length()?;
        self.size_bytes.store(size, Ordering::Relaxed);
        Ok(size)
    }

    fn length(&self) -> Result<u64> {
        if self.special {
            let mut file = &self.file;
            return file.seek(SeekFrom::End(0)).map_err(|_| Errno::EIO);
        }
        self.file.metadata().map(|m| m.len()).map_err(|_| Errno::EIO)
    }
}

impl BlockDevice for Image {
    fn geometry(&self) -> Geometry {
        Geometry {
            block_size: self.block_size,
            size_bytes: self.size_bytes.load(Ordering::Relaxed),
            read_only: self.read_only,
        }
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        bounds::check_transfer(self.geometry().size_bytes, buf.len(), offset)?;
        host_file::read_at(&self.file, buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        let end = bounds::check_write(&self.geometry(), buf.len(), offset)?;
        if !self.special && self.length()? < end {
            tracing::warn!(end, "an image was truncated under its disk");
            return Err(Errno::EIO);
        }
        host_file::write_at(&self.file, buf, offset)
    }

    fn flush(&self) -> Result<()> {
        if self.read_only {
            return Ok(());
        }
        self.file.sync_data().map_err(|error| {
            tracing::warn!(%error, "an image can't be made durable");
            Errno::EIO
        })
    }

    fn discard(&self, range: Range<u64>) -> Result<()> {
        bounds::check_discard(&self.geometry(), &range)?;
        host_file::punch_hole(&self.file, &range)
    }

    fn grow(&self, size_bytes: u64) -> Result<()> {
        if self.read_only {
            return Err(Errno::EROFS);
        }
        if self.special {
            return Err(Errno::EOPNOTSUPP);
        }
        if self.length()? < size_bytes {
            self.file.set_len(size_bytes).map_err(|e| host_file::device_errno("grow", e))?;
        }
        self.remeasure().map(drop)
    }

    fn host_descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.lendable.then(|| self.file.as_fd())
    }
}

#[cfg(test)]
mod tests {
    use super::Image;
    use abi::Errno;
    use abi::block::BlockDevice;
    use std::os::unix::fs::MetadataExt;

    fn file_of(size: u64) -> std::fs::File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(size).unwrap();
        file
    }

    #[test]
    fn a_truncated_image_answers_eio_and_does_not_grow() {
        let file = file_of(8192);
        let image = Image::new(file.try_clone().unwrap(), false).unwrap();
        file.set_len(4096).unwrap();
        let mut buf = [0u8; 512];
        assert_eq!(image.read_at(&mut buf, 0), Ok(()));
        // Error: bytes that were there when the disk was made.
        assert_eq!(image.read_at(&mut buf, 4096), Err(Errno::EIO));
        assert_eq!(image.write_at(&buf, 4000), Err(Errno::EIO));
        assert_eq!(file.metadata().unwrap().len(), 4096);
        // Error: bytes that never were.
        assert_eq!(image.read_at(&mut buf, 8192), Err(Errno::EINVAL));
        assert_eq!(image.remeasure(), Ok(4096));
        assert_eq!(image.write_at(&buf, 4000), Err(Errno::EINVAL));
    }

    #[test]
    fn discard_gives_blocks_back_and_reads_as_zero() {
        let file = file_of(1 << 20);
        let image = Image::new(file.try_clone().unwrap(), false).unwrap();
        image.write_at(&vec![7u8; 1 << 20], 0).unwrap();
        image.flush().unwrap();
        let before = file.metadata().unwrap().blocks();
        match image.discard(0..1 << 19) {
            Ok(()) => {
                assert!(file.metadata().unwrap().blocks() < before);
                let mut buf = vec![1u8; 1 << 20];
                image.read_at(&mut buf, 0).unwrap();
                assert!(buf[..1 << 19].iter().all(|b| *b == 0));
                assert!(buf[1 << 19..].iter().all(|b| *b == 7));
            }
            Err(errno) => assert_eq!(errno, Errno::EOPNOTSUPP),
        }
        assert_eq!(image.discard(0..(1 << 20) + 1), Err(Errno::EINVAL));
    }

    #[test]
    fn what_is_no_disk_is_refused() {
        let null = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(Image::new(null, true).unwrap_err(), Errno::ENOTBLK);
        let folder = std::fs::File::open("/").unwrap();
        assert_eq!(Image::new(folder, true).unwrap_err(), Errno::ENOTBLK);
        let file = tempfile::NamedTempFile::new().unwrap();
        let reader = std::fs::File::open(file.path()).unwrap();
        assert_eq!(Image::new(reader, false).unwrap_err(), Errno::EACCES);
        assert_eq!(
            Image::new(file_of(512), false).unwrap().with_block_size(1000).unwrap_err(),
            Errno::EINVAL
        );
    }

    #[test]
    fn a_descriptor_is_lent_only_with_the_disk_s_own_access() {
        assert!(Image::new(file_of(512), false).unwrap().host_descriptor().is_some());
        let image = Image::new(file_of(512), true).unwrap();
        assert!(image.host_descriptor().is_none());
        assert_eq!(image.write_at(&[0], 0), Err(Errno::EROFS));
        assert_eq!(image.discard(0..1), Err(Errno::EROFS));
        assert_eq!(image.flush(), Ok(()));
    }
}
