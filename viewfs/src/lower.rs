//! The view as it was before the mount, as an overlay sees it.

mod directory;
mod frozen;
mod patched;

pub use directory::{DirLower, DirectoryLower, TreeLower};
pub use frozen::FrozenLower;
pub use patched::PatchedLower;

use abi::dev::DevNum;
use abi::fs::{Caller, FileKind, RenameFlags, SetTime, XattrFlags};
use abi::{Errno, Result};
use cow_store::dir::{DirEntry, OpenFile};
use cow_store::{OFlags, Stat};

/// A tree below an overlay. Paths are canonical, relative to the overlay's root and without a leading
/// slash; the last component is never followed. The monitor implements it over the view at the epoch of the
/// mount.
///
/// The methods named `try_*` act for real: mincow asks them first, and takes `EACCES`, `EPERM` and `EROFS`
/// for "the store has it". They are given to the host with the rights the host gives; a tree that can't be
/// changed leaves them as they are.
pub trait Lower: Send + Sync {
    /// lstat(2).
    ///
    /// # Errors
    /// Those of stat(2).
    fn stat(&self, path: &[u8]) -> Result<Stat>;

    /// open(2) for reading, or of what never needs a copy: FIFOs, devices, `O_PATH`.
    ///
    /// # Errors
    /// Those of open(2).
    fn open(&self, path: &[u8], flags: OFlags) -> Result<OpenFile>;

    /// All names but `.` and `..`.
    ///
    /// # Errors
    /// Those of open(2) with `O_DIRECTORY`.
    fn readdir(&self, path: &[u8]) -> Result<Vec<DirEntry>>;

    /// readlink(2).
    ///
    /// # Errors
    /// Those of readlink(2).
    fn readlink(&self, path: &[u8]) -> Result<Vec<u8>>;

    /// lgetxattr(2).
    ///
    /// # Errors
    /// Those of getxattr(2): `ENODATA` if there is no such attribute.
    fn xattr(&self, path: &[u8], name: &[u8]) -> Result<Vec<u8>>;

    /// llistxattr(2); empty where the file system has none.
    ///
    /// # Errors
    /// Those of listxattr(2).
    fn xattr_names(&self, path: &[u8]) -> Result<Vec<Vec<u8>>>;

    /// Where the file lies on the host, if it does and this tree knows.
    fn host_path(&self, path: &[u8]) -> Option<Vec<u8>> {
        let _ = path;
        None
    }

    /// A file that was just made for `caller` becomes his, where the tree does not see to that by itself.
    ///
    /// # Errors
    /// Those of chown(2).
    fn give(&self, path: &[u8], caller: Caller) -> Result<()> {
        let _ = (path, caller);
        Ok(())
    }

    /// open(2) for writing, with `O_CREAT` or `O_TRUNC` as `flags` say; `permissions` has the umask applied.
    ///
    /// # Errors
    /// Those of open(2).
    fn try_open(&self, path: &[u8], flags: OFlags, permissions: u32) -> Result<OpenFile> {
        let _ = (path, flags, permissions);
        Err(Errno::EROFS)
    }

    /// mkdir(2).
    ///
    /// # Errors
    /// Those of mkdir(2).
    fn try_mkdir(&self, path: &[u8], permissions: u32) -> Result<()> {
        let _ = (path, permissions);
        Err(Errno::EROFS)
    }

    /// mknod(2).
    ///
    /// # Errors
    /// Those of mknod(2).
    fn try_mknod(
        &self,
        path: &[u8],
        kind: FileKind,
        number: DevNum,
        permissions: u32,
    ) -> Result<()> {
        let _ = (path, kind, number, permissions);
        Err(Errno::EROFS)
    }

    /// symlink(2).
    ///
    /// # Errors
    /// Those of symlink(2).
    fn try_symlink(&self, path: &[u8], target: &[u8]) -> Result<()> {
        let _ = (path, target);
        Err(Errno::EROFS)
    }

    /// link(2), not following `old`.
    ///
    /// # Errors
    /// Those of link(2).
    fn try_link(&self, old: &[u8], path: &[u8]) -> Result<()> {
        let _ = (old, path);
        Err(Errno::EROFS)
    }

    /// unlink(2).
    ///
    /// # Errors
    /// Those of unlink(2).
    fn try_unlink(&self, path: &[u8]) -> Result<()> {
        let _ = path;
        Err(Errno::EROFS)
    }

    /// rmdir(2).
    ///
    /// # Errors
    /// Those of rmdir(2).
    fn try_rmdir(&self, path: &[u8]) -> Result<()> {
        let _ = path;
        Err(Errno::EROFS)
    }

    /// renameat2(2).
    ///
    /// # Errors
    /// Those of rename(2).
    fn try_rename(&self, from: &[u8], to: &[u8], flags: RenameFlags) -> Result<()> {
        let _ = (from, to, flags);
        Err(Errno::EROFS)
    }

    /// chmod(2); never of a link.
    ///
    /// # Errors
    /// Those of chmod(2).
    fn try_chmod(&self, path: &[u8], permissions: u32) -> Result<()> {
        let _ = (path, permissions);
        Err(Errno::EROFS)
    }

    /// lchown(2); `None` leaves a number alone.
    ///
    /// # Errors
    /// Those of chown(2).
    fn try_chown(&self, path: &[u8], uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        let _ = (path, uid, gid);
        Err(Errno::EROFS)
    }

    /// utimensat(2), not following; `None` leaves a time alone.
    ///
    /// # Errors
    /// Those of utimensat(2).
    fn try_set_times(
        &self,
        path: &[u8],
        atime: Option<SetTime>,
        mtime: Option<SetTime>,
    ) -> Result<()> {
        let _ = (path, atime, mtime);
        Err(Errno::EROFS)
    }

    /// The same three to the file at `path` that is open as `file`: without a look for the name, where the tree can.
    ///
    /// # Errors
    /// Those of the three.
    fn try_set_open(&self, path: &[u8], file: &OpenFile, set: &Set) -> Result<()> {
        let _ = file;
        self.try_set(path, set)
    }

    /// The one of the three that `set` says.
    ///
    /// # Errors
    /// Those of the three.
    fn try_set(&self, path: &[u8], set: &Set) -> Result<()> {
        match *set {
            Set::Permissions(permissions) => self.try_chmod(path, permissions),
            Set::Owner(uid, gid) => self.try_chown(path, uid, gid),
            Set::Times(atime, mtime) => self.try_set_times(path, atime, mtime),
        }
    }

    /// truncate(2).
    ///
    /// # Errors
    /// Those of truncate(2).
    fn try_truncate(&self, path: &[u8], size_bytes: u64) -> Result<()> {
        let _ = (path, size_bytes);
        Err(Errno::EROFS)
    }

    /// lsetxattr(2).
    ///
    /// # Errors
    /// Those of setxattr(2).
    fn try_set_xattr(
        &self,
        path: &[u8],
        name: &[u8],
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<()> {
        let _ = (path, name, value, flags);
        Err(Errno::EROFS)
    }

    /// lremovexattr(2).
    ///
    /// # Errors
    /// Those of removexattr(2).
    fn try_remove_xattr(&self, path: &[u8], name: &[u8]) -> Result<()> {
        let _ = (path, name);
        Err(Errno::EROFS)
    }
}

/// A change of attributes.
#[derive(Clone, Copy, Debug)]
pub enum Set {
    /// chmod(2)
    Permissions(u32),
    /// chown(2); `None` leaves a number alone.
    Owner(Option<u32>, Option<u32>),
    /// utimensat(2): last access and last change; `None` leaves a time alone.
    Times(Option<SetTime>, Option<SetTime>),
}

/// Whether the host refused for want of rights, so that mincow's change goes to the store.
#[must_use]
pub const fn is_refusal(errno: Errno) -> bool {
    matches!(errno, Errno::EACCES | Errno::EPERM | Errno::EROFS)
}
