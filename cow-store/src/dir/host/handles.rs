//! Directories of a tree that were found, kept open for what is asked of names in them next.

use crate::path::strip;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a directory of a tree that others change too is asked again without being looked for. One call of a
/// program asks some dozens of times for names in the same few directories; a rename by others meanwhile has no
/// better claim to either answer.
const FOUND_LIMIT: Duration = Duration::from_millis(20);
/// The most directories that are kept open of such a tree.
const FOUND_MAX: usize = 16;
/// The most directories that are kept open of a tree that is this process' alone.
const OWN_MAX: usize = 64;

/// Counts what this process does to directories: whatever handle it is done by, none that was found in a tree that
/// others change is believed then.
static CHANGES: AtomicU64 = AtomicU64::new(0);

/// Called behind what may have moved or removed a directory.
pub(super) fn directories_change() {
    CHANGES.fetch_add(1, Ordering::AcqRel);
}

/// The moment before a directory is looked for.
pub(super) fn changes() -> u64 {
    CHANGES.load(Ordering::Acquire)
}

#[derive(Debug)]
struct Known {
    since: Instant,
    /// The number of the last question that it answered.
    used: u64,
    handle: Arc<OwnedFd>,
}

/// The directories that are known of one tree, by path.
#[derive(Debug, Default)]
pub(super) struct Handles {
    /// Nobody else moves or removes directories: a handle is right until it is dropped.
    is_own: bool,
    changes: u64,
    questions: u64,
    known: HashMap<Vec<u8>, Known>,
}

impl Handles {
    /// From here on the tree is this process' alone.
    pub(super) fn own(&mut self) {
        self.known.clear();
        self.is_own = true;
    }

    pub(super) const fn is_own(&self) -> bool {
        self.is_own
    }

    /// The directory at `path`, if it is known and believed.
    pub(super) fn get(&mut self, path: &[u8]) -> Option<Arc<OwnedFd>> {
        if !self.is_own {
            self.forget_old();
        }
        self.questions = self.questions.wrapping_add(1);
        let known = self.known.get_mut(path)?;
        known.used = self.questions;
        Some(Arc::clone(&known.handle))
    }

    fn forget_old(&mut self) {
        let changes = changes();
        if changes != self.changes {
            self.known.clear();
            self.changes = changes;
        }
        if !self.known.is_empty() {
            let now = Instant::now();
            self.known.retain(|_, k| now.saturating_duration_since(k.since) < FOUND_LIMIT);
        }
    }

    /// Keeps the directory at `path`, which was looked for after [`changes`] was `before`.
    pub(super) fn put(&mut self, path: &[u8], before: u64, handle: &Arc<OwnedFd>) {
        if !self.is_own {
            self.forget_old();
            if before != self.changes {
                return;
            }
        }
        let most = if self.is_own { OWN_MAX } else { FOUND_MAX };
        if self.known.len() >= most
            && let Some(oldest) = self.known.iter().min_by_key(|(_, k)| k.used)
        {
            let oldest = oldest.0.clone();
            self.known.remove(&oldest);
        }
        let known =
            Known { since: Instant::now(), used: self.questions, handle: Arc::clone(handle) };
        self.known.insert(path.to_vec(), known);
    }

    /// The names at and below `path` lead elsewhere now, or nowhere.
    pub(super) fn drop_below(&mut self, path: &[u8]) {
        self.known.retain(|known, _| strip(known, path).is_none());
    }
}
