//! A [`Dir`] that dies.

use super::{Dir, DirEntry, Move, OpenFile, Scanned};
use crate::stat::Stat;
use abi::fs::{FileKind, Timestamp, XattrFlags};
use abi::{Errno, Result};
use rustix::fs::OFlags;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Counts the calls that change something and refuses all from the n-th on with `EIO`, as if the process
/// had been killed there. Reads go on working, so that a test sees what a cleanup would try.
pub struct Faulty<D> {
    inner: D,
    left: Arc<AtomicUsize>,
    torn_append: AtomicBool,
}

impl<D: Dir> Faulty<D> {
    /// Lets `left` changing calls through. With `torn_append`, the first refused append still writes half
    /// of its bytes.
    pub const fn new(inner: D, left: Arc<AtomicUsize>, torn_append: bool) -> Self {
        Self { inner, left, torn_append: AtomicBool::new(torn_append) }
    }

    fn spend(&self) -> Result<()> {
        self.left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
            .map(|_| ())
            .map_err(|_| Errno::EIO)
    }
}

impl<D: Dir> Dir for Faulty<D> {
    fn own(&mut self) {
        self.inner.own();
    }

    fn open(&self, path: &[u8], flags: OFlags, mode: u32) -> Result<OpenFile> {
        if flags.intersects(OFlags::CREATE | OFlags::TRUNC) {
            self.spend()?;
        }
        self.inner.open(path, flags, mode)
    }

    fn stat(&self, path: &[u8]) -> Result<Stat> {
        self.inner.stat(path)
    }

    fn list(&self, path: &[u8]) -> Result<Vec<DirEntry>> {
        self.inner.list(path)
    }

    fn scan(&self, path: &[u8], wanted: &[&[u8]]) -> Result<Vec<Scanned>> {
        self.inner.scan(path, wanted)
    }

    fn readlink(&self, path: &[u8]) -> Result<Vec<u8>> {
        self.inner.readlink(path)
    }

    fn xattr(&self, path: &[u8], name: &[u8]) -> Result<Option<Vec<u8>>> {
        self.inner.xattr(path, name)
    }

    fn xattr_names(&self, path: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.inner.xattr_names(path)
    }

    fn set_xattr(&self, path: &[u8], name: &[u8], value: &[u8], flags: XattrFlags) -> Result<()> {
        self.spend()?;
        self.inner.set_xattr(path, name, value, flags)
    }

    fn remove_xattr(&self, path: &[u8], name: &[u8]) -> Result<()> {
        self.spend()?;
        self.inner.remove_xattr(path, name)
    }

    fn mkdir(&self, path: &[u8], mode: u32) -> Result<()> {
        self.spend()?;
        self.inner.mkdir(path, mode)
    }

    fn mknod(&self, path: &[u8], kind: FileKind, mode: u32) -> Result<()> {
        self.spend()?;
        self.inner.mknod(path, kind, mode)
    }

    fn symlink(&self, target: &[u8], path: &[u8]) -> Result<()> {
        self.spend()?;
        self.inner.symlink(target, path)
    }

    fn link(&self, from: &[u8], to: &[u8]) -> Result<()> {
        self.spend()?;
        self.inner.link(from, to)
    }

    fn link_file(&self, file: &OpenFile, to: &[u8]) -> Result<()> {
        self.spend()?;
        self.inner.link_file(file, to)
    }

    fn rename(&self, from: &[u8], to: &[u8], how: Move) -> Result<()> {
        self.spend()?;
        self.inner.rename(from, to, how)
    }

    fn rename_file(&self, from: &[u8], to: &[u8], how: Move) -> Result<()> {
        self.spend()?;
        self.inner.rename_file(from, to, how)
    }

    fn unlink(&self, path: &[u8]) -> Result<()> {
        self.spend()?;
        self.inner.unlink(path)
    }

    fn rmdir(&self, path: &[u8]) -> Result<()> {
        self.spend()?;
        self.inner.rmdir(path)
    }

    fn chmod(&self, path: &[u8], mode: u32) -> Result<()> {
        self.spend()?;
        self.inner.chmod(path, mode)
    }

    fn chown(&self, path: &[u8], uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        self.spend()?;
        self.inner.chown(path, uid, gid)
    }

    fn set_times(
        &self,
        path: &[u8],
        atime: Option<Timestamp>,
        mtime: Option<Timestamp>,
    ) -> Result<()> {
        self.spend()?;
        self.inner.set_times(path, atime, mtime)
    }

    fn copy_data(&self, from: &OpenFile, to: &OpenFile, sync: bool) -> Result<()> {
        self.spend()?;
        self.inner.copy_data(from, to, sync)
    }

    fn append(&self, to: &OpenFile, bytes: &[u8]) -> Result<()> {
        match self.spend() {
            Ok(()) => self.inner.append(to, bytes),
            Err(e) => {
                if self.torn_append.swap(false, Ordering::SeqCst) {
                    let half = bytes.get(..bytes.len() / 2).unwrap_or_default();
                    self.inner.append(to, half)?;
                }
                Err(e)
            }
        }
    }

    fn truncate(&self, path: &[u8], size_bytes: u64) -> Result<()> {
        self.spend()?;
        self.inner.truncate(path, size_bytes)
    }

    fn host_path(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.inner.host_path(path)
    }
}
