//! A tree in which other trees are mounted.

use super::{Lower, Set};
use abi::dev::DevNum;
use abi::fs::{Caller, FileKind, RenameFlags, SetTime, XattrFlags};
use abi::{Errno, Result};
use cow_store::dir::{DirEntry, OpenFile};
use cow_store::path::{split, strip};
use cow_store::{OFlags, Stat};

/// A lower tree with others at some of its directories, as mounts lie on one another. What is at and below such a
/// directory is the other tree's; the directory itself can be neither removed nor moved, and no name moves
/// from one tree into another.
pub struct PatchedLower {
    base: Box<dyn Lower>,
    /// The longest path first, so that the innermost tree answers.
    patches: Vec<(Vec<u8>, Box<dyn Lower>)>,
}

impl PatchedLower {
    /// Puts each tree of `patches` at its path, canonical and not empty, of `base`.
    #[must_use]
    pub fn new(base: Box<dyn Lower>, mut patches: Vec<(Vec<u8>, Box<dyn Lower>)>) -> Self {
        patches.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        Self { base, patches }
    }

    /// The tree that `path` is in, its number, and the path there.
    fn at<'p>(&self, path: &'p [u8]) -> (&dyn Lower, usize, &'p [u8]) {
        for (number, (top, tree)) in self.patches.iter().enumerate() {
            if let Some(rest) = strip(path, top) {
                return (&**tree, number, rest);
            }
        }
        (&*self.base, self.patches.len(), path)
    }

    /// The same for a name that is to be removed or moved.
    fn removable<'p>(&self, path: &'p [u8]) -> Result<(&dyn Lower, usize, &'p [u8])> {
        let (tree, number, rest) = self.at(path);
        let holds_one = self.patches.iter().any(|(top, _)| strip(top, path).is_some());
        let is_root = split(rest).is_none();
        if is_root || holds_one { Err(Errno::EBUSY) } else { Ok((tree, number, rest)) }
    }
}

impl Lower for PatchedLower {
    fn stat(&self, path: &[u8]) -> Result<Stat> {
        let (tree, _, path) = self.at(path);
        tree.stat(path)
    }

    fn open(&self, path: &[u8], flags: OFlags) -> Result<OpenFile> {
        let (tree, _, path) = self.at(path);
        tree.open(path, flags)
    }

    fn readdir(&self, path: &[u8]) -> Result<Vec<DirEntry>> {
        let (tree, _, path) = self.at(path);
        tree.readdir(path)
    }

    fn readlink(&self, path: &[u8]) -> Result<Vec<u8>> {
        let (tree, _, path) = self.at(path);
        tree.readlink(path)
    }

    fn xattr(&self, path: &[u8], name: &[u8]) -> Result<Vec<u8>> {
        let (tree, _, path) = self.at(path);
        tree.xattr(path, name)
    }

    fn xattr_names(&self, path: &[u8]) -> Result<Vec<Vec<u8>>> {
        let (tree, _, path) = self.at(path);
        tree.xattr_names(path)
    }

    fn host_path(&self, path: &[u8]) -> Option<Vec<u8>> {
        let (tree, _, path) = self.at(path);
        tree.host_path(path)
    }

    fn give(&self, path: &[u8], caller: Caller) -> Result<()> {
        let (tree, _, path) = self.at(path);
        tree.give(path, caller)
    }

    fn try_open(&self, path: &[u8], flags: OFlags, permissions: u32) -> Result<OpenFile> {
        let (tree, _, path) = self.at(path);
        tree.try_open(path, flags, permissions)
    }

    fn try_mkdir(&self, path: &[u8], permissions: u32) -> Result<()> {
        let (tree, _, path) = self.at(path);
        tree.try_mkdir(path, permissions)
    }

    fn try_mknod(
        &self,
        path: &[u8],
        kind: FileKind,
        number: DevNum,
        permissions: u32,
    ) -> Result<()> {
        let (tree, _, path) = self.at(path);
        tree.try_mknod(path, kind, number, permissions)
    }

    fn try_symlink(&self, path: &[u8], target: &[u8]) -> Result<()> {
        let (tree, _, path) = self.at(path);
        tree.try_symlink(path, target)
    }

    fn try_link(&self, old: &[u8], path: &[u8]) -> Result<()> {
        let ((tree, a, old), (_, b, path)) = (self.at(old), self.at(path));
        if a == b { tree.try_link(old, path) } else { Err(Errno::EXDEV) }
    }

    fn try_unlink(&self, path: &[u8]) -> Result<()> {
        let (tree, _, path) = self.removable(path)?;
        tree.try_unlink(path)
    }

    fn try_rmdir(&self, path: &[u8]) -> Result<()> {
        let (tree, _, path) = self.removable(path)?;
        tree.try_rmdir(path)
    }

    fn try_rename(&self, from: &[u8], to: &[u8], flags: RenameFlags) -> Result<()> {
        let ((tree, a, from), (_, b, to)) = (self.removable(from)?, self.removable(to)?);
        if a == b { tree.try_rename(from, to, flags) } else { Err(Errno::EXDEV) }
    }

    fn try_chmod(&self, path: &[u8], permissions: u32) -> Result<()> {
        let (tree, _, path) = self.at(path);
        tree.try_chmod(path, permissions)
    }

    fn try_chown(&self, path: &[u8], uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        let (tree, _, path) = self.at(path);
        tree.try_chown(path, uid, gid)
    }

    fn try_set_times(
        &self,
        path: &[u8],
        atime: Option<SetTime>,
        mtime: Option<SetTime>,
    ) -> Result<()> {
        let (tree, _, path) = self.at(path);
        tree.try_set_times(path, atime, mtime)
    }

    fn try_set_open(&self, path: &[u8], file: &OpenFile, set: &Set) -> Result<()> {
        let (tree, _, path) = self.at(path);
        tree.try_set_open(path, file, set)
    }

    fn try_truncate(&self, path: &[u8], size_bytes: u64) -> Result<()> {
        let (tree, _, path) = self.at(path);
        tree.try_truncate(path, size_bytes)
    }

    fn try_set_xattr(
        &self,
        path: &[u8],
        name: &[u8],
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<()> {
        let (tree, _, path) = self.at(path);
        tree.try_set_xattr(path, name, value, flags)
    }

    fn try_remove_xattr(&self, path: &[u8], name: &[u8]) -> Result<()> {
        let (tree, _, path) = self.at(path);
        tree.try_remove_xattr(path, name)
    }
}
