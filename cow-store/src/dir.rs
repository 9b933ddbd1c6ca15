//! The file operations a store is made of, behind one trait.
//!
//! A store never calls the host except through a [`Dir`]; so a test can stop the world after any one of
//! them ([`Faulty`]), and a store lives on a file system of this process as well ([`TreeDir`]).

mod copy;
mod faulty;
mod file;
mod host;
mod tree;

pub use faulty::Faulty;
pub use file::{OpenFile, TreeFile};
pub use host::HostDir;
pub use tree::TreeDir;

use crate::stat::Stat;
use abi::Result;
use abi::fs::{FileKind, Timestamp, XattrFlags};
use rustix::fs::OFlags;

/// One name of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The name.
    pub name: Vec<u8>,
    /// The type, where the directory records it.
    pub kind: Option<FileKind>,
    /// `d_ino`
    pub ino: u64,
}

/// One name of a directory with everything a store wants to know at once.
#[derive(Clone, Debug)]
pub struct Scanned {
    /// The name.
    pub name: Vec<u8>,
    /// Its attributes, a link not followed.
    pub stat: Stat,
    /// The extended attributes that were asked for and are there.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// How names are moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// rename(2): what is at the target is replaced.
    Replace,
    /// `RENAME_NOREPLACE`
    NoReplace,
    /// `RENAME_EXCHANGE`
    Exchange,
    /// `RENAME_WHITEOUT`: a device 0:0 is left behind in the same step.
    Whiteout,
}

/// A directory tree addressed by canonical relative paths; the last component is never followed.
///
/// Every method answers the host's own errno, and `ENOTDIR` (`open`: `ELOOP`) if a component before the last
/// is a symbolic link.
pub trait Dir: Send + Sync {
    /// From here on nobody but the holder changes the tree: what was found in it stays found.
    fn own(&mut self) {}

    /// openat2(2). `flags` always gets `O_CLOEXEC` and `O_NOFOLLOW`.
    ///
    /// # Errors
    /// Those of open(2).
    fn open(&self, path: &[u8], flags: OFlags, mode: u32) -> Result<OpenFile>;

    /// lstat(2).
    ///
    /// # Errors
    /// Those of stat(2).
    fn stat(&self, path: &[u8]) -> Result<Stat>;

    /// All names but `.` and `..`, in the directory's own order.
    ///
    /// # Errors
    /// Those of open(2) with `O_DIRECTORY` and getdents(2).
    fn list(&self, path: &[u8]) -> Result<Vec<DirEntry>>;

    /// All names but `.` and `..` with their attributes and those of the xattrs `wanted` that they have: the
    /// same answers as [`list`](Self::list), [`stat`](Self::stat), [`xattr`](Self::xattr), in fewer calls.
    ///
    /// # Errors
    /// Those of the three.
    fn scan(&self, path: &[u8], wanted: &[&[u8]]) -> Result<Vec<Scanned>>;

    /// readlink(2).
    ///
    /// # Errors
    /// Those of readlink(2).
    fn readlink(&self, path: &[u8]) -> Result<Vec<u8>>;

    /// lgetxattr(2); `None` if there is no such attribute or none at all on this file system.
    ///
    /// # Errors
    /// Those of getxattr(2) but `ENODATA` and `EOPNOTSUPP`.
    fn xattr(&self, path: &[u8], name: &[u8]) -> Result<Option<Vec<u8>>>;

    /// llistxattr(2); empty where the file system has none.
    ///
    /// # Errors
    /// Those of listxattr(2) but `EOPNOTSUPP`.
    fn xattr_names(&self, path: &[u8]) -> Result<Vec<Vec<u8>>>;

    /// lsetxattr(2).
    ///
    /// # Errors
    /// Those of setxattr(2).
    fn set_xattr(&self, path: &[u8], name: &[u8], value: &[u8], flags: XattrFlags) -> Result<()>;

    /// lremovexattr(2).
    ///
    /// # Errors
    /// Those of removexattr(2).
    fn remove_xattr(&self, path: &[u8], name: &[u8]) -> Result<()>;

    /// mkdir(2); the umask of the process plays its part.
    ///
    /// # Errors
    /// Those of mkdir(2).
    fn mkdir(&self, path: &[u8], mode: u32) -> Result<()>;

    /// mknod(2) of a FIFO, a socket or, as `CharDevice`, the device 0:0; the umask plays its part.
    ///
    /// # Errors
    /// Those of mknod(2).
    fn mknod(&self, path: &[u8], kind: FileKind, mode: u32) -> Result<()>;

    /// symlink(2).
    ///
    /// # Errors
    /// Those of symlink(2).
    fn symlink(&self, target: &[u8], path: &[u8]) -> Result<()>;

    /// link(2), not following `from`.
    ///
    /// # Errors
    /// Those of link(2).
    fn link(&self, from: &[u8], to: &[u8]) -> Result<()>;

    /// Names an open file that has none (`O_TMPFILE`).
    ///
    /// # Errors
    /// Those of linkat(2); `EXDEV` if the file is another file system's.
    fn link_file(&self, file: &OpenFile, to: &[u8]) -> Result<()>;

    /// renameat2(2).
    ///
    /// # Errors
    /// Those of rename(2).
    fn rename(&self, from: &[u8], to: &[u8], how: Move) -> Result<()>;

    /// The same where neither name is or was a directory's: no directory that is known elsewhere has to be looked
    /// for again.
    ///
    /// # Errors
    /// Those of rename(2).
    fn rename_file(&self, from: &[u8], to: &[u8], how: Move) -> Result<()> {
        self.rename(from, to, how)
    }

    /// unlink(2).
    ///
    /// # Errors
    /// Those of unlink(2).
    fn unlink(&self, path: &[u8]) -> Result<()>;

    /// rmdir(2).
    ///
    /// # Errors
    /// Those of rmdir(2).
    fn rmdir(&self, path: &[u8]) -> Result<()>;

    /// chmod(2) of what is not a symbolic link.
    ///
    /// # Errors
    /// Those of chmod(2).
    fn chmod(&self, path: &[u8], mode: u32) -> Result<()>;

    /// lchown(2); `None` leaves a number alone.
    ///
    /// # Errors
    /// Those of chown(2).
    fn chown(&self, path: &[u8], uid: Option<u32>, gid: Option<u32>) -> Result<()>;

    /// utimensat(2) with `AT_SYMLINK_NOFOLLOW`; `None` leaves a time alone.
    ///
    /// # Errors
    /// Those of utimensat(2).
    fn set_times(
        &self,
        path: &[u8],
        atime: Option<Timestamp>,
        mtime: Option<Timestamp>,
    ) -> Result<()>;

    /// Copies all data of `from` into the empty file `to`: by reference where the file system can, else
    /// without filling holes. `sync` makes it durable.
    ///
    /// # Errors
    /// Those of read(2), write(2) and fsync(2).
    fn copy_data(&self, from: &OpenFile, to: &OpenFile, sync: bool) -> Result<()>;

    /// Writes all of `bytes` at the end of a file opened with `O_APPEND`.
    ///
    /// # Errors
    /// Those of write(2).
    fn append(&self, to: &OpenFile, bytes: &[u8]) -> Result<()>;

    /// Sets the length of a file.
    ///
    /// # Errors
    /// Those of truncate(2).
    fn truncate(&self, path: &[u8], size_bytes: u64) -> Result<()>;

    /// Where the file lies on the host, if it does and this tree knows.
    fn host_path(&self, path: &[u8]) -> Option<Vec<u8>> {
        let _ = path;
        None
    }
}
