//! The names that `AF_UNIX` sockets were bound to where the kernel was told others.
//!
//! The kernel keeps with a socket the text that it was bound to, and shows it to whoever asks for the name of
//! either end: so what the view is to see is found by that text, whichever socket or process asks. A text that
//! is bound again, or whose file is gone when the table is full, is forgotten.

use crate::hostview;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many names may be known before those whose files are gone are let go.
const NAMES_BEFORE_SWEEP: usize = 1024;

/// A view and the kernel's text of an address, and the view's text.
type Names = HashMap<(u64, Vec<u8>), Vec<u8>>;

/// All names of sockets that the kernel has in other words.
#[derive(Default)]
pub(crate) struct SocketNames {
    names: Mutex<Names>,
}

impl SocketNames {
    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.names().is_empty()
    }

    /// A socket was bound in view `view` to `seen`, which the kernel was told as `told`.
    pub(crate) fn record(&self, view: u64, told: Vec<u8>, seen: Vec<u8>) {
        self.names().insert((view, told), seen);
    }

    /// The kernel itself gets to know a name.
    pub(crate) fn forget(&self, view: u64, told: &[u8]) {
        let mut names = self.names();
        if !names.is_empty() {
            names.remove(&(view, told.to_vec()));
        }
    }

    /// What the view is to see of a text of the kernel's.
    pub(crate) fn seen(&self, view: u64, told: &[u8]) -> Option<Vec<u8>> {
        self.names().get(&(view, told.to_vec())).cloned()
    }

    /// Lets go of names without files, if there are many names; asks the host, so not on the tracer thread.
    pub(crate) fn sweep(&self) {
        let many = self.names().len() >= NAMES_BEFORE_SWEEP;
        if many {
            self.names().retain(|(_, told), _| hostview::lstat(told).is_ok());
        }
    }
}
