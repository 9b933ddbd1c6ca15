//! A directory of the host, reached through an open handle.

mod handles;

use super::copy::{copy, errno};
use super::{Dir, DirEntry, Move, OpenFile, Scanned};
use crate::path::split;
use crate::stat::Stat;
use abi::fs::{FileKind, Timestamp, XattrFlags};
use abi::{Errno, Result};
use handles::Handles;
use rustix::fs::{
    self, AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, ResolveFlags, Timespec, Timestamps,
    Uid,
};
use rustix::io;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most bytes of one xattr value and of a list of names, `XATTR_SIZE_MAX` of linux/limits.h.
const XATTR_BYTES_MAX: usize = 65536;

/// The tree below one open directory. Analogous to a `struct path` that nothing can leave: every access is
/// openat2(2) with `RESOLVE_BENEATH` and `RESOLVE_NO_SYMLINKS`, so neither a link planted in the tree nor
/// a rename of the tree itself moves an access elsewhere.
#[derive(Debug)]
pub struct HostDir {
    root: OwnedFd,
    path: Option<Vec<u8>>,
    handles: Mutex<Handles>,
}

impl HostDir {
    /// The tree below `root`, an open directory.
    #[must_use]
    pub fn new(root: OwnedFd) -> Self {
        Self { root, path: None, handles: Mutex::default() }
    }

    /// Tells where it lies, for [`host_path`](Dir::host_path).
    #[must_use]
    pub fn known_as(mut self, path: Vec<u8>) -> Self {
        self.path = Some(path);
        self
    }

    /// The handle itself.
    #[must_use]
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    fn open_raw(&self, path: &[u8], flags: OFlags, mode: u32) -> Result<OwnedFd> {
        open_beneath(&self.root, path, flags, mode)
    }

    /// A handle of a directory, for names in it.
    fn open_parent(&self, path: &[u8]) -> Result<OwnedFd> {
        match self.open_raw(path, OFlags::PATH | OFlags::DIRECTORY, 0) {
            // A link on the way: to one who follows none it is no directory.
            Err(Errno::ELOOP) => Err(Errno::ENOTDIR),
            other => other,
        }
    }

    /// Runs `f` with the parent's handle and the last name, for changes. Of a tree that others change too the
    /// parent is looked for anew: what they did before this call counts.
    fn at<R>(
        &self,
        path: &[u8],
        f: impl FnOnce(BorrowedFd<'_>, &OsStr) -> io::Result<R>,
    ) -> Result<R> {
        self.with_parent(path, true, f)
    }

    /// As [`at`](Self::at), for looks: the parent may have been found a moment ago.
    fn look_at<R>(
        &self,
        path: &[u8],
        f: impl FnOnce(BorrowedFd<'_>, &OsStr) -> io::Result<R>,
    ) -> Result<R> {
        self.with_parent(path, false, f)
    }

    fn with_parent<R>(
        &self,
        path: &[u8],
        changes: bool,
        f: impl FnOnce(BorrowedFd<'_>, &OsStr) -> io::Result<R>,
    ) -> Result<R> {
        match split(path) {
            None => f(self.root.as_fd(), OsStr::new(".")).map_err(errno),
            Some((b"", name)) => f(self.root.as_fd(), OsStr::from_bytes(name)).map_err(errno),
            Some((parent, name)) => {
                let parent = self.directory(parent, changes)?;
                f(parent.as_fd(), OsStr::from_bytes(name)).map_err(errno)
            }
        }
    }

    /// The handle of the directory at `path`, which is not the root.
    fn directory(&self, path: &[u8], anew: bool) -> Result<Arc<OwnedFd>> {
        {
            let mut handles = self.handles();
            if (!anew || handles.is_own())
                && let Some(known) = handles.get(path)
            {
                return Ok(known);
            }
        }
        let before = handles::changes();
        let opened = Arc::new(self.open_parent(path)?);
        self.handles().put(path, before, &opened);
        Ok(opened)
    }

    fn handles(&self) -> MutexGuard<'_, Handles> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The handle of a directory itself, if the tree is this process' alone and it is known.
    fn own_directory(&self, path: &[u8]) -> Option<Arc<OwnedFd>> {
        let mut handles = self.handles();
        if handles.is_own() { handles.get(path) } else { None }
    }

    fn rename_with(&self, from: &[u8], to: &[u8], how: Move) -> Result<()> {
        let flags = match how {
            Move::Replace => RenameFlags::empty(),
            Move::NoReplace => RenameFlags::NOREPLACE,
            Move::Exchange => RenameFlags::EXCHANGE,
            Move::Whiteout => RenameFlags::WHITEOUT,
        };
        self.at(from, |from_at, from_name| {
            self.at(to, |at, name| fs::renameat_with(from_at, from_name, at, name, flags))
                .map_err(rustix_errno)
        })
    }

    /// Runs `f` with a path that reaches the file without following a last link: xattr calls take no
    /// directory handle before Linux 6.13, and an `O_PATH` handle is refused by the f-calls.
    fn by_proc<R>(&self, path: &[u8], f: impl FnOnce(&OsStr) -> io::Result<R>) -> Result<R> {
        self.at(path, |parent, name| f(&by_descriptor(parent, name)))
    }

    /// The same for looks.
    fn look_by_proc<R>(&self, path: &[u8], f: impl FnOnce(&OsStr) -> io::Result<R>) -> Result<R> {
        self.look_at(path, |parent, name| f(&by_descriptor(parent, name)))
    }
}

/// openat2(2) of a path that leaves the directory `root` neither upwards nor by a link.
fn open_beneath(root: &OwnedFd, path: &[u8], flags: OFlags, mode: u32) -> Result<OwnedFd> {
    let path = if path.is_empty() { b"." } else { path };
    // openat2 refuses a mode without a flag that creates, and mode bits it does not know.
    let creates = flags.intersects(OFlags::CREATE) || flags.contains(OFlags::TMPFILE);
    let mode = if creates { Mode::from_raw_mode(mode & 0o7777) } else { Mode::empty() };
    loop {
        match fs::openat2(
            root,
            OsStr::from_bytes(path),
            flags | OFlags::CLOEXEC | OFlags::NOFOLLOW,
            mode,
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
        ) {
            Ok(fd) => return Ok(fd),
            // A rename elsewhere in the tree made the kernel doubt the walk: it asks to try again.
            Err(io::Errno::AGAIN | io::Errno::INTR) => {}
            Err(e) => return Err(errno(e)),
        }
    }
}

fn by_descriptor(parent: BorrowedFd<'_>, name: &OsStr) -> OsString {
    let mut text = OsString::from(format!("/proc/self/fd/{}/", parent.as_raw_fd()));
    text.push(name);
    text
}

pub(super) fn timespec(time: Option<Timestamp>) -> Timespec {
    match time {
        Some(t) => Timespec { tv_sec: t.seconds, tv_nsec: i64::from(t.nanos) },
        None => Timespec { tv_sec: 0, tv_nsec: fs::UTIME_OMIT },
    }
}

fn kind_of(kind: FileType) -> Option<FileKind> {
    Some(match kind {
        FileType::RegularFile => FileKind::Regular,
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        FileType::Fifo => FileKind::Fifo,
        FileType::Socket => FileKind::Socket,
        FileType::CharacterDevice => FileKind::CharDevice,
        FileType::BlockDevice => FileKind::BlockDevice,
        FileType::Unknown => return None,
    })
}

/// Reads a value or a list whose size is not known before.
fn sized(mut call: impl FnMut(&mut [u8]) -> io::Result<usize>) -> io::Result<Vec<u8>> {
    let mut buf = vec![0; 256];
    loop {
        match call(&mut buf) {
            Ok(n) => {
                buf.truncate(n);
                return Ok(buf);
            }
            Err(io::Errno::RANGE) if buf.len() < XATTR_BYTES_MAX => buf.resize(XATTR_BYTES_MAX, 0),
            Err(e) => return Err(e),
        }
    }
}

impl Dir for HostDir {
    fn open(&self, path: &[u8], flags: OFlags, mode: u32) -> Result<OpenFile> {
        // The way from the root is long; the directory is at hand where the tree is this process' alone.
        if let Some((parent @ [_, ..], name)) = split(path)
            && self.handles().is_own()
            && let Ok(parent) = self.directory(parent, false)
        {
            return open_beneath(&parent, name, flags, mode).map(OpenFile::Host);
        }
        self.open_raw(path, flags, mode).map(OpenFile::Host)
    }

    fn own(&mut self) {
        self.handles().own();
    }

    fn stat(&self, path: &[u8]) -> Result<Stat> {
        let stat = match self.own_directory(path) {
            Some(handle) => fs::fstat(handle).map_err(errno)?,
            None => {
                self.look_at(path, |at, name| fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW))?
            }
        };
        Ok(Stat::from(&stat))
    }

    fn list(&self, path: &[u8]) -> Result<Vec<DirEntry>> {
        let fd = self.open_raw(path, OFlags::RDONLY | OFlags::DIRECTORY, 0)?;
        let mut entries = Vec::new();
        for entry in fs::Dir::new(fd).map_err(errno)? {
            let entry = entry.map_err(errno)?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                entries.push(DirEntry {
                    name: name.to_vec(),
                    kind: kind_of(entry.file_type()),
                    ino: entry.ino(),
                });
            }
        }
        Ok(entries)
    }

    fn scan(&self, path: &[u8], wanted: &[&[u8]]) -> Result<Vec<Scanned>> {
        let fd = self.open_raw(path, OFlags::RDONLY | OFlags::DIRECTORY, 0)?;
        let handle = Self::new(fd);
        let mut found = Vec::new();
        for entry in fs::Dir::read_from(handle.root()).map_err(errno)? {
            let entry = entry.map_err(errno)?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let stat = handle.stat(name)?;
            let mut xattrs = Vec::new();
            if matches!(stat.kind(), FileKind::Regular | FileKind::Directory) {
                for xattr in handle.xattr_names(name)? {
                    if wanted.contains(&xattr.as_slice())
                        && let Some(value) = handle.xattr(name, &xattr)?
                    {
                        xattrs.push((xattr, value));
                    }
                }
            }
            found.push(Scanned { name: name.to_vec(), stat, xattrs });
        }
        Ok(found)
    }

    fn readlink(&self, path: &[u8]) -> Result<Vec<u8>> {
        let target = self.look_at(path, |at, name| fs::readlinkat(at, name, Vec::new()))?;
        Ok(target.into_bytes())
    }

    fn xattr(&self, path: &[u8], name: &[u8]) -> Result<Option<Vec<u8>>> {
        let name = OsStr::from_bytes(name);
        match self.look_by_proc(path, |p| sized(|buf| fs::lgetxattr(p, name, buf))) {
            Ok(value) => Ok(Some(value)),
            Err(Errno::ENODATA | Errno::EOPNOTSUPP | Errno::EPERM) => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn xattr_names(&self, path: &[u8]) -> Result<Vec<Vec<u8>>> {
        match self.look_by_proc(path, |p| sized(|buf| fs::llistxattr(p, buf))) {
            Ok(list) => Ok(list
                .split(|&b| b == 0)
                .filter(|name| !name.is_empty())
                .map(<[u8]>::to_vec)
                .collect()),
            Err(Errno::EOPNOTSUPP) => Ok(Vec::new()),
            Err(e) => Err(e),
        }
    }

    fn set_xattr(&self, path: &[u8], name: &[u8], value: &[u8], flags: XattrFlags) -> Result<()> {
        let name = OsStr::from_bytes(name);
        let flags = fs::XattrFlags::from_bits_retain(flags.bits());
        self.by_proc(path, |p| fs::lsetxattr(p, name, value, flags))
    }

    fn remove_xattr(&self, path: &[u8], name: &[u8]) -> Result<()> {
        self.by_proc(path, |p| fs::lremovexattr(p, OsStr::from_bytes(name)))
    }

    fn mkdir(&self, path: &[u8], mode: u32) -> Result<()> {
        let mode = Mode::from_raw_mode(mode & 0o7777);
        self.at(path, |at, name| fs::mkdirat(at, name, mode))
    }

    fn mknod(&self, path: &[u8], kind: FileKind, mode: u32) -> Result<()> {
        let file_type = match kind {
            FileKind::Fifo => FileType::Fifo,
            FileKind::Socket => FileType::Socket,
            FileKind::CharDevice => FileType::CharacterDevice,
            _ => return Err(Errno::EINVAL),
        };
        let mode = Mode::from_raw_mode(mode & 0o7777);
        self.at(path, |at, name| fs::mknodat(at, name, file_type, mode, 0))
    }

    fn symlink(&self, target: &[u8], path: &[u8]) -> Result<()> {
        self.at(path, |at, name| fs::symlinkat(OsStr::from_bytes(target), at, name))
    }

    fn link(&self, from: &[u8], to: &[u8]) -> Result<()> {
        self.at(from, |from_at, from_name| {
            self.at(to, |at, name| fs::linkat(from_at, from_name, at, name, AtFlags::empty()))
                .map_err(rustix_errno)
        })
    }

    fn link_file(&self, file: &OpenFile, to: &[u8]) -> Result<()> {
        let fd = file.host().ok_or(Errno::EXDEV)?;
        let magic = format!("/proc/self/fd/{}", fd.as_raw_fd());
        self.at(to, |at, name| {
            fs::linkat(fs::CWD, magic.as_str(), at, name, AtFlags::SYMLINK_FOLLOW)
        })
    }

    fn rename(&self, from: &[u8], to: &[u8], how: Move) -> Result<()> {
        let done = self.rename_with(from, to, how);
        {
            let mut handles = self.handles();
            handles.drop_below(from);
            handles.drop_below(to);
        }
        handles::directories_change();
        done
    }

    fn rename_file(&self, from: &[u8], to: &[u8], how: Move) -> Result<()> {
        self.rename_with(from, to, how)
    }

    fn unlink(&self, path: &[u8]) -> Result<()> {
        self.at(path, |at, name| fs::unlinkat(at, name, AtFlags::empty()))
    }

    fn rmdir(&self, path: &[u8]) -> Result<()> {
        let done = self.at(path, |at, name| fs::unlinkat(at, name, AtFlags::REMOVEDIR));
        self.handles().drop_below(path);
        handles::directories_change();
        done
    }

    fn chmod(&self, path: &[u8], mode: u32) -> Result<()> {
        let mode = Mode::from_raw_mode(mode & 0o7777);
        self.at(path, |at, name| fs::chmodat(at, name, mode, AtFlags::empty()))
    }

    fn chown(&self, path: &[u8], uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        // -1 is "leave alone" to the kernel, and no id of anyone.
        let uid = uid.filter(|&id| id != u32::MAX).map(Uid::from_raw);
        let gid = gid.filter(|&id| id != u32::MAX).map(Gid::from_raw);
        self.at(path, |at, name| fs::chownat(at, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW))
    }

    fn set_times(
        &self,
        path: &[u8],
        atime: Option<Timestamp>,
        mtime: Option<Timestamp>,
    ) -> Result<()> {
        let times = Timestamps { last_access: timespec(atime), last_modification: timespec(mtime) };
        self.at(path, |at, name| fs::utimensat(at, name, &times, AtFlags::SYMLINK_NOFOLLOW))
    }

    fn copy_data(&self, from: &OpenFile, to: &OpenFile, sync: bool) -> Result<()> {
        copy(from, to)?;
        if sync { to.sync(false) } else { Ok(()) }
    }

    fn append(&self, to: &OpenFile, mut bytes: &[u8]) -> Result<()> {
        let to = to.host().ok_or(Errno::EBADF)?;
        while !bytes.is_empty() {
            let n = io::write(to, bytes).map_err(errno)?;
            if n == 0 {
                return Err(Errno::EIO);
            }
            bytes = bytes.get(n..).unwrap_or_default();
        }
        Ok(())
    }

    fn truncate(&self, path: &[u8], size_bytes: u64) -> Result<()> {
        let fd = self.open_raw(path, OFlags::WRONLY | OFlags::NONBLOCK, 0)?;
        fs::ftruncate(&fd, size_bytes).map_err(errno)
    }

    fn host_path(&self, path: &[u8]) -> Option<Vec<u8>> {
        let base = self.path.as_deref()?;
        Some(match (path, base) {
            (b"", _) => base.to_vec(),
            (_, b"/") => [b"/", path].concat(),
            _ => [base, b"/", path].concat(),
        })
    }
}

/// Back into the host's words, for a call nested in another.
fn rustix_errno(e: Errno) -> io::Errno {
    io::Errno::from_raw_os_error(e.raw())
}
