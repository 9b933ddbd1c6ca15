//! A task as the dispatcher sees it: its memory and its descriptors.

use crate::Tid;
use crate::process::Process;
use crate::sys::{memory, process};
use abi::{Errno, Result};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// The most bytes of a path, `PATH_MAX` of limits.h with its NUL.
const PATH_BYTES_MAX: usize = 4096;

/// A task that waits for its answer. `LocalTracee` of the tests is another implementation.
pub trait Tracee: Send + Sync {
    /// The thread.
    fn tid(&self) -> Tid;

    /// The thread group, which is the process id.
    fn tgid(&self) -> i32;

    /// Whether ptrace has this task: without it no call can be rewritten.
    fn is_traced(&self) -> bool;

    /// Reads up to `buf.len()` bytes at `addr` and says how many: fewer before unmapped memory.
    ///
    /// # Errors
    /// - `EFAULT` if not one byte is readable.
    fn read_some(&self, addr: u64, buf: &mut [u8]) -> Result<usize>;

    /// Writes up to `buf.len()` bytes at `addr` and says how many.
    ///
    /// # Errors
    /// - `EFAULT` if not one byte is writable.
    fn write_some(&self, addr: u64, buf: &[u8]) -> Result<usize>;

    /// Our own descriptor of the open file behind the task's descriptor `fd`: same offset, same flags.
    ///
    /// # Errors
    /// - `EBADF` if the descriptor is not open.
    fn descriptor(&self, fd: i32) -> Result<OwnedFd>;

    /// Fills `buf` from `addr`.
    ///
    /// # Errors
    /// - `EFAULT` if any byte is not readable.
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<()> {
        if buf.is_empty() {
            return Ok(());
        }
        let n = self.read_some(addr, buf)?;
        if n == buf.len() { Ok(()) } else { Err(Errno::EFAULT) }
    }

    /// Writes `buf` at `addr`.
    ///
    /// # Errors
    /// - `EFAULT` if any byte is not writable.
    fn write(&self, addr: u64, buf: &[u8]) -> Result<()> {
        if buf.is_empty() {
            return Ok(());
        }
        let n = self.write_some(addr, buf)?;
        if n == buf.len() { Ok(()) } else { Err(Errno::EFAULT) }
    }

    /// Reads a string up to its NUL, which is not part of the result.
    ///
    /// # Errors
    /// In check order:
    /// - `EFAULT` if memory ends before the NUL.
    /// - `ENAMETOOLONG` if there is no NUL within `bytes_max` bytes.
    fn read_string(&self, addr: u64, bytes_max: usize) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        let mut chunk = [0; 512];
        while text.len() < bytes_max {
            let at = addr.checked_add(text.len() as u64).ok_or(Errno::EFAULT)?;
            let page_left = 4096 - (at & 4095) as usize;
            // Short strings are the rule: the first chunk is small unless the page ends before.
            let want =
                if text.is_empty() { 256 } else { 512 }.min(page_left).min(bytes_max - text.len());
            let n = self.read_some(at, &mut chunk[..want])?;
            match chunk[..n].iter().position(|&b| b == 0) {
                Some(end) => {
                    text.extend_from_slice(&chunk[..end]);
                    return Ok(text);
                }
                None => text.extend_from_slice(&chunk[..n]),
            }
        }
        Err(Errno::ENAMETOOLONG)
    }

    /// Reads a path argument.
    ///
    /// # Errors
    /// Those of [`read_string`](Self::read_string) with `PATH_MAX`.
    fn read_path(&self, addr: u64) -> Result<Vec<u8>> {
        self.read_string(addr, PATH_BYTES_MAX)
    }
}

/// A real task of the host.
pub(crate) struct HostTracee {
    pub(crate) tid: Tid,
    pub(crate) process: Arc<Process>,
}

impl Tracee for HostTracee {
    fn tid(&self) -> Tid {
        self.tid
    }

    fn tgid(&self) -> i32 {
        self.process.tgid()
    }

    fn is_traced(&self) -> bool {
        !self.process.is_detached()
    }

    fn read_some(&self, addr: u64, buf: &mut [u8]) -> Result<usize> {
        // Without exec events it is not known when the descriptor goes stale.
        if self.is_traced()
            && let Some(mem) = self.process.memory()
        {
            match mem.read_at(buf, addr) {
                Ok(n) if n > 0 => return Ok(n),
                _ => {}
            }
        }
        match memory::read(self.tid, addr, buf) {
            Ok(n) if n > 0 => Ok(n),
            _ => Err(Errno::EFAULT),
        }
    }

    fn write_some(&self, addr: u64, buf: &[u8]) -> Result<usize> {
        // Not through the mem descriptor: that writes to pages the tracee has mapped read-only.
        match memory::write(self.tid, addr, buf) {
            Ok(n) if n > 0 => Ok(n),
            _ => Err(Errno::EFAULT),
        }
    }

    fn descriptor(&self, fd: i32) -> Result<OwnedFd> {
        let pidfd = self.process.pidfd()?;
        process::pidfd_getfd(pidfd.as_fd(), fd).map_err(Errno::from)
    }
}
