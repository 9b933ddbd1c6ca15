//! New names of every type but regular files, which are `open`'s.

use crate::lower::{Lower, is_refusal};
use crate::overlay::{Actor, Overlay, Resolved};
use abi::dev::DevNum;
use abi::fs::{Caller, FileKind};
use abi::{Errno, Result};
use cow_store::path::canonical;
use cow_store::{New, Store};

/// Makes a name on a tree, for real.
type Real<'a> = &'a dyn Fn(&dyn Lower, &[u8]) -> Result<()>;
/// Makes a name in the store.
type Stored<'a> = &'a dyn Fn(&Store, &[u8], &New) -> Result<()>;

impl Overlay {
    /// Makes one new name: by `real` on a tree, by `stored` in the store.
    fn make(
        &self,
        path: &[u8],
        permissions: u32,
        caller: Caller,
        is_directory: bool,
        real: Real<'_>,
        stored: Stored<'_>,
    ) -> Result<()> {
        let path = canonical(path)?;
        let _change = self.lock();
        let parent = self.find_parent(path)?;
        if self.look(path)?.is_some() {
            return Err(Errno::EEXIST);
        }
        let store = match self.actor(path)? {
            Actor::Real(tree) => {
                real(tree, path)?;
                return tree.give(path, caller);
            }
            Actor::Store(store) => store,
        };
        let new = self.new_file(&parent, permissions, caller, is_directory);
        if self.tries_lower(store, path) {
            match real(self.lower(), path) {
                Ok(()) => {
                    self.lower().give(path, caller)?;
                    return self.own(store, path, &new);
                }
                Err(e) if is_refusal(e) => {}
                Err(e) => return Err(e),
            }
        }
        self.copy_up_parents(store, path)?;
        stored(store, path, &new)
    }

    /// Makes a directory. `permissions` has the umask applied.
    ///
    /// # Errors
    /// In check order:
    /// - `EINVAL`, `ENAMETOOLONG` if `path` is not canonical.
    /// - `EEXIST` for the root.
    /// - `ENOENT`, `ENOTDIR` if its directory is not there.
    /// - `EEXIST` if it exists.
    /// - `EROFS` where nothing can be made; what the host answers: `ENOSPC`.
    pub fn mkdir(&self, path: &[u8], permissions: u32, caller: Caller) -> Result<()> {
        // As the kernel's vfs_mkdir: set-id bits are not taken, only inherited.
        let permissions = permissions & 0o1777;
        self.make(
            path,
            permissions,
            caller,
            true,
            &|tree, path| tree.try_mkdir(path, permissions),
            &|store, path, new| Ok(store.mkdir(path, new)?),
        )
    }

    /// Makes a symbolic link that holds `target`.
    ///
    /// # Errors
    /// Those of [`mkdir`](Self::mkdir); before them `ENOENT` if `target` is empty.
    pub fn symlink(&self, path: &[u8], target: &[u8], caller: Caller) -> Result<()> {
        if target.is_empty() {
            return Err(Errno::ENOENT);
        }
        self.make(
            path,
            0o777,
            caller,
            false,
            &|tree, path| tree.try_symlink(path, target),
            &|store, path, new| Ok(store.symlink(path, target, new)?),
        )
    }

    /// Makes a file of any type but directory and link.
    ///
    /// # Errors
    /// Those of [`mkdir`](Self::mkdir); before them `EPERM` for a directory or link; and `EPERM` for a
    /// device where device numbers are not virtual and the host refuses it.
    pub fn mknod(
        &self,
        path: &[u8],
        kind: FileKind,
        number: DevNum,
        permissions: u32,
        caller: Caller,
    ) -> Result<()> {
        if matches!(kind, FileKind::Directory | FileKind::Symlink) {
            return Err(Errno::EPERM);
        }
        let is_device = matches!(kind, FileKind::CharDevice | FileKind::BlockDevice);
        let vstat = self.options().vstat;
        self.make(
            path,
            permissions,
            caller,
            false,
            &|tree, path| tree.try_mknod(path, kind, number, permissions),
            &|store, path, new| {
                if is_device && !vstat {
                    return Err(Errno::EPERM);
                }
                Ok(store.mknod(path, kind, number, new)?)
            },
        )
    }

    /// Gives the file at `old` the name `path` too.
    ///
    /// # Errors
    /// In check order:
    /// - `EINVAL`, `ENAMETOOLONG` if a path is not canonical.
    /// - `ENOENT` if `old` does not exist.
    /// - `EEXIST` for the root; `ENOENT`, `ENOTDIR` if the directory of `path` is not there.
    /// - `EEXIST` if `path` exists.
    /// - `EXDEV` if the two are not in one tree that is changed: one of them is an exception, or they are
    ///   on two mounts of the lower tree.
    /// - `EPERM` if `old` is a directory.
    /// - `EROFS`; what the host answers: `EMLINK`.
    pub fn link(&self, old: &[u8], path: &[u8]) -> Result<()> {
        let (old, path) = (canonical(old)?, canonical(path)?);
        let _change = self.lock();
        let seen = self.find(old)?;
        self.find_parent(path)?;
        if self.look(path)?.is_some() {
            return Err(Errno::EEXIST);
        }
        if self.options().is_excepted(old) != self.options().is_excepted(path) {
            return Err(Errno::EXDEV);
        }
        if seen.stat.is_directory() {
            return Err(Errno::EPERM);
        }
        let store = match self.actor(path)? {
            Actor::Real(tree) => {
                self.actor(old)?;
                return tree.try_link(old, path);
            }
            Actor::Store(store) => store,
        };
        if seen.at == Resolved::Lower && self.tries_lower(store, path) {
            match self.lower().try_link(old, path) {
                Err(e) if is_refusal(e) => {}
                other => return other,
            }
        }
        self.copy_up(store, old, &seen, true)?;
        self.copy_up_parents(store, path)?;
        Ok(store.link(old, path)?)
    }
}
