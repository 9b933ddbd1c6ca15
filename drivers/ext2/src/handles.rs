//! Open files: which inode a handle means and what its opener may do.

use abi::fs::{Handle, OpenFlags};
use abi::{Errno, Result};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// One open file. Analogous to `struct file`.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) ino: u32,
    pub(crate) flags: OpenFlags,
    /// The opener's uid: what it writes may use reserved blocks or not.
    pub(crate) uid: u32,
    /// Where a listing by hash stopped among names of one hash: the cookie, and how many were
    /// taken.
    pub(crate) listing: Mutex<(u64, usize)>,
}

/// All open files, and how often each inode is open.
#[derive(Default)]
pub(crate) struct Handles {
    files: RwLock<HashMap<u64, Arc<OpenFile>>>,
    counts: Mutex<HashMap<u32, u32>>,
    next: AtomicU64,
}

impl Handles {
    fn counts(&self) -> MutexGuard<'_, HashMap<u32, u32>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens `ino`. The caller holds the volume's lock, so that the inode can't be freed meanwhile.
    pub(crate) fn open(&self, ino: u32, flags: OpenFlags, uid: u32) -> Handle {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        {
            let mut counts = self.counts();
            let count = counts.entry(ino).or_insert(0);
            *count = count.saturating_add(1);
        }
        let file = Arc::new(OpenFile { ino, flags, uid, listing: Mutex::new((0, 0)) });
        self.files.write().unwrap_or_else(PoisonError::into_inner).insert(number, file);
        Handle(number)
    }

    /// The open file behind a handle.
    ///
    /// # Errors
    /// - `EBADF` if it is not open.
    pub(crate) fn get(&self, handle: Handle) -> Result<Arc<OpenFile>> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        files.get(&handle.0).cloned().ok_or(Errno::EBADF)
    }

    /// Closes a handle and returns the inode if this was the last one that had it open.
    pub(crate) fn close(&self, handle: Handle) -> Option<u32> {
        let file = self.files.write().unwrap_or_else(PoisonError::into_inner).remove(&handle.0)?;
        let mut counts = self.counts();
        let count = counts.get_mut(&file.ino)?;
        *count = count.saturating_sub(1);
        if *count > 0 {
            return None;
        }
        counts.remove(&file.ino);
        Some(file.ino)
    }

    /// Whether any handle has `ino` open.
    pub(crate) fn is_open(&self, ino: u32) -> bool {
        self.counts().contains_key(&ino)
    }
}
