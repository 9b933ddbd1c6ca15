//! A tree that can't be changed.

use super::Lower;
use abi::Result;
use cow_store::dir::{DirEntry, OpenFile};
use cow_store::{OFlags, Stat};

/// Another lower tree, of which every change is refused with `EROFS`: what lies on a read-only mount.
pub struct FrozenLower(Box<dyn Lower>);

impl FrozenLower {
    /// Lets nobody change `tree`.
    #[must_use]
    pub fn new(tree: Box<dyn Lower>) -> Self {
        Self(tree)
    }
}

impl Lower for FrozenLower {
    fn stat(&self, path: &[u8]) -> Result<Stat> {
        self.0.stat(path)
    }

    fn open(&self, path: &[u8], flags: OFlags) -> Result<OpenFile> {
        self.0.open(path, flags)
    }

    fn readdir(&self, path: &[u8]) -> Result<Vec<DirEntry>> {
        self.0.readdir(path)
    }

    fn readlink(&self, path: &[u8]) -> Result<Vec<u8>> {
        self.0.readlink(path)
    }

    fn xattr(&self, path: &[u8], name: &[u8]) -> Result<Vec<u8>> {
        self.0.xattr(path, name)
    }

    fn xattr_names(&self, path: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.0.xattr_names(path)
    }

    fn host_path(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.0.host_path(path)
    }
}
