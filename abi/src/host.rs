//! The view at one epoch, as a module sees it.

use crate::Result;
use crate::block::BlockDevice;
use crate::fs::FileSystem;
use crate::module::VirtualClocks;
use std::sync::Arc;

/// A point in the life of a view: every mount and service is born at one of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// The only way by which a module reaches files: names are resolved in the view *as it was at the module's
/// birth*, so that what it mounts over a name does not hide from it what was there.
pub trait Host: Send + Sync {
    /// The epoch that all names are resolved at.
    fn epoch(&self) -> Epoch;

    /// Opens a disk image or a virtual device. Relative names start at the mounting process' directory.
    ///
    /// # Errors
    /// Those of open(2) in its order, then:
    /// - `ENOTBLK` if it is neither a regular file nor a block device.
    fn open_device(&self, path: &str, read_only: bool) -> Result<Arc<dyn BlockDevice>>;

    /// Opens a directory of the view as a file system, whatever stands behind it.
    ///
    /// # Errors
    /// Those of open(2) with `O_DIRECTORY`.
    fn open_tree(&self, path: &str) -> Result<Arc<dyn FileSystem>>;

    /// Opens a directory that is the host's own, for stores that need real descriptors.
    ///
    /// # Errors
    /// Those of open(2) with `O_DIRECTORY`, then:
    /// - `EOPNOTSUPP` if the directory is virtual.
    fn open_host_directory(&self, path: &str) -> Result<std::os::fd::OwnedFd>;

    /// The clocks that the view had; `None` if those were the kernel's.
    fn clocks(&self) -> Option<Arc<dyn VirtualClocks>> {
        None
    }
}
