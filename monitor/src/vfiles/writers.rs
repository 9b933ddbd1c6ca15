//! Who has a virtual file open for writing: what is written is no program (ETXTBSY).

use super::{VFile, VFiles};
use crate::monitor::Monitor;
use abi::fs::Ino;
use std::sync::atomic::Ordering;

/// The bit of a link's mode by which /proc/PID/fd says that the descriptor is open for writing
/// (`proc_fd_link` and `tid_fd_update_inode` of fs/proc/fd.c).
const IS_WRITABLE: u32 = 0o200;

impl VFiles {
    /// Whether a process of the views has a regular file open for writing. All are looked at, but only where somebody
    /// was given such a descriptor since the last look that found none.
    pub(crate) fn is_open_for_writing(&self, monitor: &Monitor, (mount, ino): (u64, Ino)) -> bool {
        let Some(file) = self.of_inode(mount, ino) else { return false };
        if !file.may_be_written.swap(false, Ordering::AcqRel) {
            return false;
        }
        let found = monitor.engine().tgids().into_iter().any(|tgid| is_writer(tgid, &file));
        if found {
            file.may_be_written.store(true, Ordering::Release);
        }
        found
    }
}

fn is_writer(tgid: i32, file: &VFile) -> bool {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{tgid}/fd")) else { return false };
    entries.flatten().any(|entry| {
        let link = entry.path();
        nix::sys::stat::lstat(&link).is_ok_and(|s| s.st_mode & IS_WRITABLE != 0)
            && nix::sys::stat::stat(&link).is_ok_and(|s| (s.st_dev, s.st_ino) == file.identity)
    })
}
