//! An open file of a [`Dir`](super::Dir): the host's own, or one that a file system in this process serves.

use super::copy::errno;
use super::host::timespec;
use crate::stat::Stat;
use abi::fs::{FileSystem, Handle, Ino, SetAttr, SetTime, Timestamp, XattrFlags};
use abi::{Errno, Result};
use rustix::fs;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// The most bytes of one step of a copy.
const STEP_BYTES: usize = 1 << 17;
/// The most bytes of one small file that is read whole: a log is shortened long before.
const WHOLE_BYTES_MAX: u64 = 1 << 30;

/// An open file. Analogous to `struct file`.
#[derive(Debug)]
pub enum OpenFile {
    /// A descriptor of the host.
    Host(OwnedFd),
    /// An inode of a file system in this process.
    Tree(TreeFile),
}

/// An open inode of a file system in this process, closed when dropped.
pub struct TreeFile {
    fs: Arc<dyn FileSystem>,
    ino: Ino,
    dev: u64,
    handle: Option<Handle>,
}

impl std::fmt::Debug for TreeFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TreeFile").field("ino", &self.ino).finish_non_exhaustive()
    }
}

impl Drop for TreeFile {
    fn drop(&mut self) {
        if let Some(handle) = self.handle {
            self.fs.release(handle);
        }
    }
}

impl TreeFile {
    /// The inode `ino` of `fs`, opened as `handle` if it is a regular file; `dev` is what stat(2) shows.
    pub(super) fn new(fs: Arc<dyn FileSystem>, ino: Ino, dev: u64, handle: Option<Handle>) -> Self {
        Self { fs, ino, dev, handle }
    }

    /// The inode.
    #[must_use]
    pub const fn ino(&self) -> Ino {
        self.ino
    }

    /// The file system it is on.
    #[must_use]
    pub fn file_system(&self) -> &Arc<dyn FileSystem> {
        &self.fs
    }

    /// The handle for reading and writing.
    ///
    /// # Errors
    /// - `EBADF` if it was opened for neither.
    pub fn handle(&self) -> Result<Handle> {
        self.handle.ok_or(Errno::EBADF)
    }
}

/// An open file read from its beginning, whatever its own offset is.
#[derive(Debug)]
pub struct Reader<'a> {
    file: &'a OpenFile,
    offset: u64,
}

impl std::io::Read for Reader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.file.read_at(buf, self.offset).map_err(std::io::Error::from)?;
        self.offset = self.offset.saturating_add(u64::try_from(n).unwrap_or(u64::MAX));
        Ok(n)
    }
}

impl From<OwnedFd> for OpenFile {
    fn from(fd: OwnedFd) -> Self {
        Self::Host(fd)
    }
}

impl OpenFile {
    /// The descriptor, where it is the host's.
    ///
    /// # Errors
    /// - `EOPNOTSUPP` if it is not.
    pub fn into_host(self) -> Result<OwnedFd> {
        match self {
            Self::Host(fd) => Ok(fd),
            Self::Tree(_) => Err(Errno::EOPNOTSUPP),
        }
    }

    /// The descriptor, where it is the host's.
    #[must_use]
    pub const fn host(&self) -> Option<&OwnedFd> {
        match self {
            Self::Host(fd) => Some(fd),
            Self::Tree(_) => None,
        }
    }

    /// fstat(2).
    ///
    /// # Errors
    /// Those of fstat(2).
    pub fn stat(&self) -> Result<Stat> {
        match self {
            Self::Host(fd) => fs::fstat(fd).map(|s| Stat::from(&s)).map_err(errno),
            Self::Tree(file) => {
                let attr = file.fs.getattr(file.ino)?;
                let (dev, ino) = file.fs.visible(file.ino).unwrap_or((file.dev, attr.ino.0));
                Ok(Stat { ino, ..Stat::of(&attr, dev) })
            }
        }
    }

    /// pread(2).
    ///
    /// # Errors
    /// Those of pread(2).
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        match self {
            Self::Host(fd) => rustix::io::pread(fd, buf, offset).map_err(errno),
            Self::Tree(file) => file.fs.read(file.handle()?, buf, offset),
        }
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// Those of pwrite(2); `EIO` if nothing more is taken.
    pub fn write_all_at(&self, mut bytes: &[u8], mut offset: u64) -> Result<()> {
        while !bytes.is_empty() {
            let n = match self {
                Self::Host(fd) => rustix::io::pwrite(fd, bytes, offset).map_err(errno)?,
                Self::Tree(file) => file.fs.write(file.handle()?, bytes, offset)?,
            };
            if n == 0 {
                return Err(Errno::EIO);
            }
            bytes = bytes.get(n..).unwrap_or_default();
            offset = offset.saturating_add(u64::try_from(n).unwrap_or(u64::MAX));
        }
        Ok(())
    }

    /// ftruncate(2).
    ///
    /// # Errors
    /// Those of ftruncate(2).
    pub fn set_len(&self, size_bytes: u64) -> Result<()> {
        match self {
            Self::Host(fd) => fs::ftruncate(fd, size_bytes).map_err(errno),
            Self::Tree(file) => {
                let change = SetAttr { size_bytes: Some(size_bytes), ..SetAttr::default() };
                file.fs.setattr(abi::fs::Caller::default(), file.ino, &change).map(drop)
            }
        }
    }

    /// fchmod(2).
    ///
    /// # Errors
    /// Those of fchmod(2).
    pub fn chmod(&self, permissions: u32) -> Result<()> {
        match self {
            Self::Host(fd) => fs::fchmod(fd, fs::Mode::from_raw_mode(permissions)).map_err(errno),
            Self::Tree(file) => {
                let perm = u16::try_from(permissions & 0o7777).ok();
                let change = SetAttr { perm, ..SetAttr::default() };
                file.fs.setattr(abi::fs::Caller::default(), file.ino, &change).map(drop)
            }
        }
    }

    /// fchown(2); `None` leaves a number alone.
    ///
    /// # Errors
    /// Those of fchown(2).
    pub fn chown(&self, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        match self {
            Self::Host(fd) => {
                // -1 is "leave alone" to the kernel, and no id of anyone.
                let uid = uid.filter(|&id| id != u32::MAX).map(fs::Uid::from_raw);
                let gid = gid.filter(|&id| id != u32::MAX).map(fs::Gid::from_raw);
                fs::fchown(fd, uid, gid).map_err(errno)
            }
            Self::Tree(file) => {
                let change = SetAttr { uid, gid, ..SetAttr::default() };
                file.fs.setattr(abi::fs::Caller::default(), file.ino, &change).map(drop)
            }
        }
    }

    /// futimens(3); `None` leaves a time alone.
    ///
    /// # Errors
    /// Those of utimensat(2).
    pub fn set_times(&self, atime: Option<Timestamp>, mtime: Option<Timestamp>) -> Result<()> {
        match self {
            Self::Host(fd) => {
                let times = fs::Timestamps {
                    last_access: timespec(atime),
                    last_modification: timespec(mtime),
                };
                fs::futimens(fd, &times).map_err(errno)
            }
            Self::Tree(file) => {
                let (atime, mtime) = (atime.map(SetTime::At), mtime.map(SetTime::At));
                let change = SetAttr { atime, mtime, ..SetAttr::default() };
                file.fs.setattr(abi::fs::Caller::default(), file.ino, &change).map(drop)
            }
        }
    }

    /// fgetxattr(2) of a short value; `None` where there is none.
    #[must_use]
    pub fn xattr(&self, name: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Host(fd) => {
                let mut text = vec![0_u8; 256];
                let name = String::from_utf8_lossy(name);
                let n = fs::fgetxattr(fd, name.as_ref(), &mut text[..]).ok()?;
                text.truncate(n);
                Some(text)
            }
            Self::Tree(file) => file.fs.getxattr(file.ino, name).ok(),
        }
    }

    /// fsetxattr(2).
    ///
    /// # Errors
    /// Those of setxattr(2).
    pub fn set_xattr(&self, name: &[u8], value: &[u8]) -> Result<()> {
        match self {
            Self::Host(fd) => {
                let name = String::from_utf8_lossy(name);
                fs::fsetxattr(fd, name.as_ref(), value, fs::XattrFlags::empty()).map_err(errno)
            }
            Self::Tree(file) => file.fs.setxattr(file.ino, name, value, XattrFlags::empty()),
        }
    }

    /// fsync(2); with `data_only` fdatasync(2).
    ///
    /// # Errors
    /// Those of fsync(2).
    pub fn sync(&self, data_only: bool) -> Result<()> {
        match self {
            Self::Host(fd) if data_only => fs::fdatasync(fd).map_err(errno),
            Self::Host(fd) => fs::fsync(fd).map_err(errno),
            Self::Tree(file) => file.fs.fsync(file.handle()?, data_only),
        }
    }

    /// Reads from the beginning.
    #[must_use]
    pub const fn reader(&self) -> Reader<'_> {
        Reader { file: self, offset: 0 }
    }

    /// All bytes of a small file.
    ///
    /// # Errors
    /// - `EFBIG` if it is none; those of read(2).
    pub fn read_whole(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut buf = vec![0; STEP_BYTES];
        loop {
            let offset = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            if offset > WHOLE_BYTES_MAX {
                return Err(Errno::EFBIG);
            }
            let n = self.read_at(&mut buf, offset)?;
            if n == 0 {
                return Ok(bytes);
            }
            bytes.extend_from_slice(buf.get(..n).unwrap_or_default());
        }
    }

    /// Copies all bytes of `self` into the empty file `to`; stretches of zeroes become holes.
    ///
    /// # Errors
    /// Those of read(2) and write(2).
    pub(super) fn copy_by_hand(&self, to: &Self) -> Result<()> {
        let mut buf = vec![0; STEP_BYTES];
        let mut offset = 0_u64;
        let mut written = 0_u64;
        loop {
            let n = self.read_at(&mut buf, offset)?;
            if n == 0 {
                break;
            }
            let read = buf.get(..n).unwrap_or_default();
            let end = offset.saturating_add(u64::try_from(n).unwrap_or(u64::MAX));
            if read.iter().any(|&b| b != 0) {
                to.write_all_at(read, offset)?;
                written = end;
            }
            offset = end;
        }
        if written < offset { to.set_len(offset) } else { Ok(()) }
    }
}
