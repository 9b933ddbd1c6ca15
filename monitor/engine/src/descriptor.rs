//! Questions about descriptors that have no safe form elsewhere.

use crate::sys::process as sys;
use std::os::fd::BorrowedFd;

/// Whether some other open file, or a map, of the same inode exists anywhere: a write lease is refused then
/// (fcntl(2), `F_SETLEASE`). Says false for files that can't be leased at all (directories).
#[must_use]
pub fn is_open_elsewhere(fd: BorrowedFd<'_>) -> bool {
    sys::take_write_lease(fd).is_err_and(|e| e.raw_os_error() == Some(libc::EAGAIN))
}

/// Reads entries of a directory at the offset of this open file, which moves on, as getdents64(2) does (or
/// getdents(2), with `old_layout`).
///
/// # Errors
/// Those of getdents64(2).
pub fn read_directory(fd: BorrowedFd<'_>, buf: &mut [u8], old_layout: bool) -> abi::Result<usize> {
    sys::getdents(fd, buf, old_layout).map_err(abi::Errno::from)
}
