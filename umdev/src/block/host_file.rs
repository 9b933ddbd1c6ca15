//! Exact transfers on a file of the host, for the layers that stand on one.

use abi::{Errno, Result};
use core::ops::Range;
use rustix::fs::{FallocateFlags, fallocate};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// What a failed call on the host's file means to a disk: full, or broken.
pub(crate) fn device_errno(what: &str, error: std::io::Error) -> Errno {
    let errno = match Errno::from(error) {
        Errno::ENOSPC | Errno::EDQUOT | Errno::EFBIG => Errno::ENOSPC,
        Errno::ENOMEM => Errno::ENOMEM,
        other => {
            tracing::warn!(what, %other, "the host's file behind a disk failed");
            Errno::EIO
        }
    };
    tracing::debug!(what, %errno, "transfer refused");
    errno
}

/// Fills `buf`; `EIO` where the file ends before.
pub(crate) fn read_at(file: &File, buf: &mut [u8], offset: u64) -> Result<()> {
    file.read_exact_at(buf, offset).map_err(|e| match device_errno("read", e) {
        Errno::ENOMEM => Errno::ENOMEM,
        _ => Errno::EIO,
    })
}

/// Writes all of `buf`.
pub(crate) fn write_at(file: &File, buf: &[u8], offset: u64) -> Result<()> {
    file.write_all_at(buf, offset).map_err(|e| device_errno("write", e))
}

/// Gives the blocks of `range` back to the host's file system; the file keeps its length.
pub(crate) fn punch_hole(file: &File, range: &Range<u64>) -> Result<()> {
    let len = range.end.saturating_sub(range.start);
    if len == 0 {
        return Ok(());
    }
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    loop {
        match fallocate(file, flags, range.start, len) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            // The host's file system has no holes, or the host is a block device without discard.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                return Err(Errno::EOPNOTSUPP);
            }
            Err(error) => return Err(device_errno("discard", error.into())),
        }
    }
}
