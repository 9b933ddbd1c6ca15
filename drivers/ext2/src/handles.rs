//! Open files: which inode a handle means and what its opener may do.

use abi::fs::{FileKind, Handle, OpenFlags};
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
    /// Where its last listing stopped.
    pub(crate) listing: Mutex<Position>,
}

/// A place in a listing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// Where to go on.
    pub(crate) cookie: u64,
    /// How many of the names that share this cookie were given already (listings by hash).
    pub(crate) given: usize,
}

/// An entry of a directory, copied out, so that whoever takes it may call back.
#[derive(Clone, Debug)]
pub(crate) struct Copied {
    pub(crate) ino: u32,
    pub(crate) kind: Option<FileKind>,
    pub(crate) name: Vec<u8>,
    /// The place behind it.
    pub(crate) position: Position,
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
        let file = Arc::new(OpenFile { ino, flags, uid, listing: Mutex::default() });
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
