//! The names that `AF_UNIX` sockets were bound to where the kernel was told others.
//!
//! The kernel keeps with a socket the text that it was bound to, and shows it to whoever asks for the name of
//! either end: so what the view is to see is found by that text, whichever socket or process asks. A text that
//! is bound again, or whose file is gone when the table is full, is forgotten.
//!
//! A socket in a virtual file system is bound to a name on the host that is gone at once; whoever connects finds it
//! by the descriptor that the monitor keeps of it.

use crate::hostview::{self, errno};
use crate::path;
use abi::Result;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::collections::HashMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many names may be known before those whose files are gone are let go.
const NAMES_BEFORE_SWEEP: usize = 1024;

/// A view and the kernel's text of an address, and the view's text.
type Names = HashMap<(u64, Vec<u8>), Vec<u8>>;

/// All names of sockets that the kernel has in other words.
#[derive(Default)]
pub(crate) struct SocketNames {
    names: Mutex<Names>,
    kept: Mutex<HashMap<Inode, Kept>>,
}

/// A mount, and an inode of it.
type Inode = (u64, u64);

/// A socket of the kernel's that stands for an inode.
struct Kept {
    node: OwnedFd,
    told: Vec<u8>,
}

impl SocketNames {
    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<Inode, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the socket that was just bound to `told` for an inode, and takes its name on the host away.
    ///
    /// # Errors
    /// Those of open(2) and unlink(2).
    pub(crate) fn keep(&self, inode: Inode, told: &[u8]) -> Result<()> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let node = open(path::os(told), flags, Mode::empty()).map_err(errno)?;
        nix::unistd::unlink(path::os(told)).map_err(errno)?;
        self.kept().insert(inode, Kept { node, told: told.to_vec() });
        Ok(())
    }

    /// A path by which the kernel finds the socket of an inode.
    pub(crate) fn meeting_place(&self, inode: Inode) -> Option<Vec<u8>> {
        let kept = self.kept();
        let node = kept.get(&inode)?.node.as_raw_fd();
        Some(format!("/proc/{}/fd/{node}", std::process::id()).into_bytes())
    }

    /// An inode has lost its name.
    pub(crate) fn let_go(&self, inode: Inode) {
        self.kept().remove(&inode);
    }

    /// A mount is gone.
    pub(crate) fn let_go_of_mount(&self, mount: u64) {
        self.kept().retain(|(of, _), _| *of != mount);
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
            let kept: Vec<Vec<u8>> = self.kept().values().map(|kept| kept.told.clone()).collect();
            self.names()
                .retain(|(_, told), _| kept.contains(told) || hostview::lstat(told).is_ok());
        }
    }
}
