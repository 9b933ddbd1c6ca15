//! Questions to the host's file system, asked by the monitor itself.

use crate::path::os;
use abi::fs::{FileKind, StatFs};
use abi::{Errno, Result};
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::stat::FileStat;

/// lstat(2).
pub(crate) fn lstat(path: &[u8]) -> Result<FileStat> {
    nix::sys::stat::lstat(os(path)).map_err(errno)
}

/// fstatat(2).
pub(crate) fn stat(path: &[u8], follow: bool) -> Result<FileStat> {
    let flags = if follow { AtFlags::empty() } else { AtFlags::AT_SYMLINK_NOFOLLOW };
    nix::sys::stat::fstatat(AT_FDCWD, os(path), flags).map_err(errno)
}

/// The file type, links not followed.
pub(crate) fn kind_of(path: &[u8]) -> Result<FileKind> {
    FileKind::from_mode_bits(lstat(path)?.st_mode).ok_or(Errno::EIO)
}

/// readlink(2).
pub(crate) fn readlink(path: &[u8]) -> Result<Vec<u8>> {
    use std::os::unix::ffi::OsStringExt;
    std::fs::read_link(os(path)).map(|p| p.into_os_string().into_vec()).map_err(Errno::from)
}

/// The number of a nix error.
pub(crate) fn errno(e: nix::errno::Errno) -> Errno {
    Errno::from_raw(e as i32)
}

/// statfs(2) of a file of the host.
pub(crate) fn statfs(path: &[u8]) -> Result<StatFs> {
    let s = nix::sys::statfs::statfs(os(path)).map_err(errno)?;
    Ok(StatFs {
        magic: s.filesystem_type().0 as u64,
        block_size: u32::try_from(s.block_size()).unwrap_or(4096),
        blocks: s.blocks(),
        blocks_free: s.blocks_free(),
        blocks_available: s.blocks_available(),
        files: s.files(),
        files_free: s.files_free(),
        name_bytes_max: 255,
    })
}

/// /proc/PID/status of a task, in one read: the kernel makes the whole text for each.
pub(crate) fn status(tid: i32) -> Option<String> {
    use std::io::Read;
    let mut text = vec![0; 4096];
    let mut file = std::fs::File::open(format!("/proc/{tid}/status")).ok()?;
    let n = file.read(&mut text).ok()?;
    text.truncate(n);
    Some(String::from_utf8_lossy(&text).into_owned())
}
