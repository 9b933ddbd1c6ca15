//! A directory as the lower tree: of the host, or of a file system in this process.

use super::{Lower, Set};
use abi::dev::DevNum;
use abi::fs::{Caller, FileKind, RenameFlags, SetTime, Timestamp, XattrFlags};
use abi::{Errno, Result};
use cow_store::dir::{Dir, DirEntry, HostDir, Move, OpenFile, TreeDir};
use cow_store::{OFlags, Stat};
use std::os::fd::OwnedFd;

/// A tree of directories as they are.
#[derive(Debug)]
pub struct DirLower<D> {
    dir: D,
    hides_locked: bool,
}

/// The tree below an open directory of the host.
pub type DirectoryLower = DirLower<HostDir>;

/// The tree below a directory of a file system in this process.
pub type TreeLower = DirLower<TreeDir>;

impl TreeLower {
    /// The tree below a directory.
    #[must_use]
    pub const fn of(dir: TreeDir) -> Self {
        Self { dir, hides_locked: false }
    }
}

impl DirectoryLower {
    /// The tree below `root`, an open directory.
    #[must_use]
    pub fn new(root: OwnedFd) -> Self {
        Self { dir: HostDir::new(root), hides_locked: false }
    }

    /// Shows directories that the host lets nobody into as empty ones: a virtual root finds what it may not see
    /// on the host absent, and can make its own.
    #[must_use]
    pub const fn hiding_locked(mut self) -> Self {
        self.hides_locked = true;
        self
    }

    /// The tree below the directory with the name `path`.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn open(path: &std::path::Path) -> std::io::Result<Self> {
        use std::os::unix::ffi::OsStrExt;
        let root = std::fs::File::open(path)?.into();
        let dir = HostDir::new(root).known_as(path.as_os_str().as_bytes().to_vec());
        Ok(Self { dir, hides_locked: false })
    }
}

/// A [`Dir`] that can be a lower tree.
pub trait MayOwn: Dir {
    /// Whether what is made has to be given to whom it was made for: the kernel does that by itself.
    const GIVES: bool;
}

impl MayOwn for HostDir {
    const GIVES: bool = false;
}

impl MayOwn for TreeDir {
    const GIVES: bool = true;
}

/// Two times that are now are one.
fn settled(
    atime: Option<SetTime>,
    mtime: Option<SetTime>,
) -> (Option<Timestamp>, Option<Timestamp>) {
    let now = SetTime::At(SetTime::Now.resolve());
    let time =
        |time: Option<SetTime>| time.map(|t| if t == SetTime::Now { now } else { t }.resolve());
    (time(atime), time(mtime))
}

impl<D: MayOwn> Lower for DirLower<D> {
    fn stat(&self, path: &[u8]) -> Result<Stat> {
        match self.dir.stat(path) {
            Err(Errno::EACCES) if self.hides_locked => Err(Errno::ENOENT),
            other => other,
        }
    }

    fn open(&self, path: &[u8], flags: OFlags) -> Result<OpenFile> {
        self.dir.open(path, flags, 0)
    }

    fn readdir(&self, path: &[u8]) -> Result<Vec<DirEntry>> {
        match self.dir.list(path) {
            Err(Errno::EACCES) if self.hides_locked => Ok(Vec::new()),
            other => other,
        }
    }

    fn readlink(&self, path: &[u8]) -> Result<Vec<u8>> {
        self.dir.readlink(path)
    }

    fn xattr(&self, path: &[u8], name: &[u8]) -> Result<Vec<u8>> {
        self.dir.xattr(path, name)?.ok_or(Errno::ENODATA)
    }

    fn xattr_names(&self, path: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.dir.xattr_names(path)
    }

    fn host_path(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.dir.host_path(path)
    }

    fn give(&self, path: &[u8], caller: Caller) -> Result<()> {
        if !D::GIVES {
            return Ok(());
        }
        match self.dir.chown(path, Some(caller.uid), Some(caller.gid)) {
            // A format without owners shows all files as one person's.
            Err(Errno::EPERM | Errno::EOPNOTSUPP) => Ok(()),
            other => other,
        }
    }

    fn try_open(&self, path: &[u8], flags: OFlags, permissions: u32) -> Result<OpenFile> {
        self.dir.open(path, flags, permissions)
    }

    fn try_mkdir(&self, path: &[u8], permissions: u32) -> Result<()> {
        self.dir.mkdir(path, permissions)
    }

    fn try_mknod(
        &self,
        path: &[u8],
        kind: FileKind,
        number: DevNum,
        permissions: u32,
    ) -> Result<()> {
        match kind {
            FileKind::Regular => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
                self.dir.open(path, flags, permissions).map(|_| ())
            }
            FileKind::Fifo | FileKind::Socket => self.dir.mknod(path, kind, permissions),
            // A plain user can't; and a test that runs as root must not get what a user would not.
            _ => {
                let _ = number;
                Err(Errno::EPERM)
            }
        }
    }

    fn try_symlink(&self, path: &[u8], target: &[u8]) -> Result<()> {
        self.dir.symlink(target, path)
    }

    fn try_link(&self, old: &[u8], path: &[u8]) -> Result<()> {
        self.dir.link(old, path)
    }

    fn try_unlink(&self, path: &[u8]) -> Result<()> {
        self.dir.unlink(path)
    }

    fn try_rmdir(&self, path: &[u8]) -> Result<()> {
        self.dir.rmdir(path)
    }

    fn try_rename(&self, from: &[u8], to: &[u8], flags: RenameFlags) -> Result<()> {
        let how = if flags.is_empty() {
            Move::Replace
        } else if flags == RenameFlags::NOREPLACE {
            Move::NoReplace
        } else if flags == RenameFlags::EXCHANGE {
            Move::Exchange
        } else {
            return Err(Errno::EINVAL);
        };
        self.dir.rename(from, to, how)
    }

    fn try_chmod(&self, path: &[u8], permissions: u32) -> Result<()> {
        self.dir.chmod(path, permissions)
    }

    fn try_chown(&self, path: &[u8], uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        self.dir.chown(path, uid, gid)
    }

    fn try_set_times(
        &self,
        path: &[u8],
        atime: Option<SetTime>,
        mtime: Option<SetTime>,
    ) -> Result<()> {
        let (atime, mtime) = settled(atime, mtime);
        self.dir.set_times(path, atime, mtime)
    }

    fn try_set_open(&self, path: &[u8], file: &OpenFile, set: &Set) -> Result<()> {
        let done = match *set {
            Set::Permissions(permissions) => file.chmod(permissions),
            Set::Owner(uid, gid) => file.chown(uid, gid),
            Set::Times(atime, mtime) => {
                let (atime, mtime) = settled(atime, mtime);
                file.set_times(atime, mtime)
            }
        };
        match done {
            // Opened with `O_PATH`.
            Err(Errno::EBADF) => self.try_set(path, set),
            done => done,
        }
    }

    fn try_truncate(&self, path: &[u8], size_bytes: u64) -> Result<()> {
        self.dir.truncate(path, size_bytes)
    }

    fn try_set_xattr(
        &self,
        path: &[u8],
        name: &[u8],
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<()> {
        self.dir.set_xattr(path, name, value, flags)
    }

    fn try_remove_xattr(&self, path: &[u8], name: &[u8]) -> Result<()> {
        self.dir.remove_xattr(path, name)
    }
}
