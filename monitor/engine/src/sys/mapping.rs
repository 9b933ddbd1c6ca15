//! A file in memory that other processes map, seen here as words.
#![allow(unsafe_code, reason = "the fence: a shared map has no safe form")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::AtomicU64;

/// Words of a shared map, for the life of the process.
pub(crate) struct MappedWords {
    words: &'static [AtomicU64],
}

impl MappedWords {
    /// Maps `bytes` of a file from `offset` on, which is a multiple of the page size.
    pub(crate) fn map(file: &File, offset: usize, bytes: usize) -> io::Result<Self> {
        let len = file.metadata()?.len();
        if !offset.is_multiple_of(4096) || len < (offset + bytes) as u64 {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        // SAFETY:
        // 1. A new map at an address that the kernel chooses: it replaces nothing.
        // 2. The result is checked before use.
        let at = unsafe {
            libc::mmap(
                core::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                offset as libc::off_t,
            )
        };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY:
        // 1. The map has `bytes` bytes, begins on a page, and is never unmapped.
        // 2. The file is as long as the map, and sealed against shrinking by its owner.
        // 3. Others only read it; all accesses here are atomic.
        let words = unsafe { core::slice::from_raw_parts(at.cast(), bytes / 8) };
        Ok(Self { words })
    }

    pub(crate) fn words(&self) -> &[AtomicU64] {
        self.words
    }
}
