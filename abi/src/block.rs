//! The contract of a disk.

use crate::{Errno, Result};
use core::ops::Range;
use std::os::fd::BorrowedFd;

/// The shape of a [`BlockDevice`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// The logical sector, in bytes: a power of two from 512 to 4096. Transfers need not be aligned.
    pub block_size: u32,
    /// The length of the device, in bytes.
    pub size_bytes: u64,
    /// Writes, discards and flushes of data answer `EROFS`.
    pub read_only: bool,
}

/// Behaves like a disk: exact transfers at byte offsets, no order between flushes.
///
/// Analogous to `struct block_device`. Every layer (image, partition, cache, fault injector) is one of
/// these over another, so layers are inserted without the layers around them knowing.
///
/// General rules: a transfer is all or nothing to the caller; offsets need no alignment; two writes that
/// overlap in time leave either's bytes; what was written is durable, and ordered before later writes,
/// only once [`flush`](Self::flush) returned.
pub trait BlockDevice: Send + Sync {
    /// Returns the shape. It may change over the life of the device (a truncated image).
    fn geometry(&self) -> Geometry;

    /// Fills `buf` from byte `offset`.
    ///
    /// # Errors
    /// In check order; `buf` holds unspecified bytes on error:
    /// - `EINVAL` if `offset + buf.len()` passes the end of the device.
    /// - `EIO` if the device below fails or is shorter than it said.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()>;

    /// Writes `buf` at byte `offset`.
    ///
    /// # Errors
    /// In check order; on error any part of the range may have been written:
    /// - `EROFS` if the device is read-only.
    /// - `EINVAL` if `offset + buf.len()` passes the end of the device.
    /// - `ENOSPC` if a sparse store below is full.
    /// - `EIO` if the device below fails.
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()>;

    /// Makes everything written before durable. The only barrier.
    ///
    /// # Errors
    /// - `EIO` if any write since the last flush may be lost.
    fn flush(&self) -> Result<()>;

    /// Tells the device that the bytes of `range` are no longer needed; they read as zeroes afterwards.
    ///
    /// # Errors
    /// In check order:
    /// - `EROFS` if the device is read-only.
    /// - `EINVAL` if `range` passes the end of the device.
    /// - `EOPNOTSUPP` if the device has no such operation (the default).
    fn discard(&self, range: Range<u64>) -> Result<()> {
        let _ = range;
        Err(Errno::EOPNOTSUPP)
    }

    /// Makes the device `size_bytes` long, where it is shorter; what is added reads as zeroes. For images of formats
    /// that grow as they are written.
    ///
    /// # Errors
    /// In check order:
    /// - `EROFS` if the device is read-only.
    /// - `EOPNOTSUPP` if the device has the length that it has (the default).
    /// - `ENOSPC` if there is no room.
    /// - `EIO` if the device below fails.
    fn grow(&self, size_bytes: u64) -> Result<()> {
        let _ = size_bytes;
        Err(Errno::EOPNOTSUPP)
    }

    /// Lends the host's file whose bytes from 0 to the end are this device's, so that it can be handed to a
    /// process and read, written and mapped with no further interception; `None` (the default) where a
    /// layer has a hand in the transfers. The descriptor is open for writing only if the geometry is not
    /// `read_only`; who hands it out for reading alone must reopen it so.
    fn host_descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

impl<D: BlockDevice + ?Sized> BlockDevice for std::sync::Arc<D> {
    fn geometry(&self) -> Geometry {
        (**self).geometry()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        (**self).read_at(buf, offset)
    }
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        (**self).write_at(buf, offset)
    }
    fn flush(&self) -> Result<()> {
        (**self).flush()
    }
    fn discard(&self, range: Range<u64>) -> Result<()> {
        (**self).discard(range)
    }
    fn grow(&self, size_bytes: u64) -> Result<()> {
        (**self).grow(size_bytes)
    }
    fn host_descriptor(&self) -> Option<BorrowedFd<'_>> {
        (**self).host_descriptor()
    }
}
