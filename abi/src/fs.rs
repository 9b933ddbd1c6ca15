//! The contract of a file system: inodes and single names.

use crate::block::BlockDevice;
use crate::dev::DevNum;
use crate::module::MountError;
use crate::options::Options;
use crate::{Errno, Result};
use bitflags::bitflags;
use std::os::fd::OwnedFd;
use std::sync::Arc;

mod statfs;
mod time;

pub use statfs::StatFs;
pub use time::{SetTime, Timestamp};

/// An inode number, unique within one mounted file system. Analogous to `ino_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ino(pub u64);

/// What [`FileSystem::open`] gave: names one open file of one file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle(pub u64);

/// The most bytes of one component, `NAME_MAX` of limits.h.
pub const NAME_BYTES_MAX: usize = 255;

/// One component of a path, checked once: not empty, no `/`, no NUL, not `.` or `..`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name<'a>(&'a [u8]);

impl<'a> Name<'a> {
    /// Checks `bytes`.
    ///
    /// # Errors
    /// In check order:
    /// - `ENOENT` if empty.
    /// - `EINVAL` if it holds `/` or NUL, or is `.` or `..`.
    /// - `ENAMETOOLONG` if longer than [`NAME_BYTES_MAX`].
    pub fn new(bytes: &'a [u8]) -> Result<Self> {
        if bytes.is_empty() {
            return Err(Errno::ENOENT);
        }
        if bytes == b"." || bytes == b".." || bytes.iter().any(|&b| b == b'/' || b == 0) {
            return Err(Errno::EINVAL);
        }
        if bytes.len() > NAME_BYTES_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        Ok(Self(bytes))
    }

    /// The bytes, in no particular encoding.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

impl core::fmt::Debug for Name<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.0))
    }
}

/// The file type of stat(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// `S_IFREG`
    Regular,
    /// `S_IFDIR`
    Directory,
    /// `S_IFLNK`
    Symlink,
    /// `S_IFCHR`
    CharDevice,
    /// `S_IFBLK`
    BlockDevice,
    /// `S_IFIFO`
    Fifo,
    /// `S_IFSOCK`
    Socket,
}

impl FileKind {
    /// The `S_IFMT` bits of `st_mode`.
    #[must_use]
    pub const fn to_mode_bits(self) -> u32 {
        match self {
            Self::Regular => libc::S_IFREG,
            Self::Directory => libc::S_IFDIR,
            Self::Symlink => libc::S_IFLNK,
            Self::CharDevice => libc::S_IFCHR,
            Self::BlockDevice => libc::S_IFBLK,
            Self::Fifo => libc::S_IFIFO,
            Self::Socket => libc::S_IFSOCK,
        }
    }

    /// The type in the `S_IFMT` bits of `mode`; other bits are ignored.
    #[must_use]
    pub const fn from_mode_bits(mode: u32) -> Option<Self> {
        match mode & libc::S_IFMT {
            libc::S_IFREG => Some(Self::Regular),
            libc::S_IFDIR => Some(Self::Directory),
            libc::S_IFLNK => Some(Self::Symlink),
            libc::S_IFCHR => Some(Self::CharDevice),
            libc::S_IFBLK => Some(Self::BlockDevice),
            libc::S_IFIFO => Some(Self::Fifo),
            libc::S_IFSOCK => Some(Self::Socket),
            _ => None,
        }
    }

    /// The `d_type` of readdir(3).
    #[must_use]
    pub const fn to_d_type(self) -> u8 {
        match self {
            Self::Regular => libc::DT_REG,
            Self::Directory => libc::DT_DIR,
            Self::Symlink => libc::DT_LNK,
            Self::CharDevice => libc::DT_CHR,
            Self::BlockDevice => libc::DT_BLK,
            Self::Fifo => libc::DT_FIFO,
            Self::Socket => libc::DT_SOCK,
        }
    }
}

/// The attributes of an inode. Analogous to `struct kstat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attr {
    /// The inode.
    pub ino: Ino,
    /// The file type.
    pub kind: FileKind,
    /// Permission, set-id and sticky bits: `st_mode & 0o7777`.
    pub perm: u16,
    /// Number of hard links; 0 for an unlinked file that is still open.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The device of a character or block special file, else 0:0.
    pub rdev: DevNum,
    /// Length in bytes; of a symbolic link, of its target.
    pub size_bytes: u64,
    /// Allocated space in units of 512 bytes, as `st_blocks`.
    pub blocks_512: u64,
    /// Preferred transfer in bytes, as `st_blksize`.
    pub block_size: u32,
    /// Last access.
    pub atime: Timestamp,
    /// Last change of the data.
    pub mtime: Timestamp,
    /// Last change of the inode.
    pub ctime: Timestamp,
    /// Birth, where the format records it.
    pub btime: Option<Timestamp>,
}

impl Attr {
    /// The attributes of an empty file of root without times, for a file system to change what it knows better.
    #[must_use]
    pub fn new(ino: Ino, kind: FileKind, perm: u16) -> Self {
        let time = Timestamp::default();
        Self {
            ino,
            kind,
            perm,
            nlink: if kind == FileKind::Directory { 2 } else { 1 },
            uid: 0,
            gid: 0,
            rdev: DevNum::default(),
            size_bytes: 0,
            blocks_512: 0,
            block_size: 4096,
            atime: time,
            mtime: time,
            ctime: time,
            btime: None,
        }
    }

    /// `st_mode`: type and permission bits together.
    #[must_use]
    pub fn mode(&self) -> u32 {
        self.kind.to_mode_bits() | u32::from(self.perm)
    }
}

/// What [`FileSystem::setattr`] changes; `None` leaves a field alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetAttr {
    /// New permission bits, `0o7777`.
    pub perm: Option<u16>,
    /// New owner.
    pub uid: Option<u32>,
    /// New group.
    pub gid: Option<u32>,
    /// New length in bytes; growth reads as zeroes.
    pub size_bytes: Option<u64>,
    /// New access time.
    pub atime: Option<SetTime>,
    /// New modification time.
    pub mtime: Option<SetTime>,
}

/// Who asks. Permission is checked above the driver; the driver needs it for the owner of new files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// File-system uid.
    pub uid: u32,
    /// File-system gid.
    pub gid: u32,
    /// Process id on the host, 0 for the monitor itself.
    pub pid: i32,
}

bitflags! {
    /// How a file is opened: the part of open(2)'s flags that a file system sees.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct OpenFlags: u32 {
        /// Reading is asked.
        const READ = 1;
        /// Writing is asked.
        const WRITE = 1 << 1;
        /// `O_TRUNC`: the file system cuts the file to length 0.
        const TRUNCATE = 1 << 2;
        /// `O_EXCL`, for `create`.
        const EXCLUSIVE = 1 << 3;
        /// `O_SYNC`: each write is durable when it returns.
        const SYNC = 1 << 4;
        /// `O_APPEND`; the monitor turns it into offsets, a file system may ignore it.
        const APPEND = 1 << 5;
    }
}

bitflags! {
    /// The flags of renameat2(2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct RenameFlags: u32 {
        /// `RENAME_NOREPLACE`
        const NOREPLACE = 1;
        /// `RENAME_EXCHANGE`
        const EXCHANGE = 1 << 1;
        /// `RENAME_WHITEOUT`
        const WHITEOUT = 1 << 2;
    }
}

bitflags! {
    /// The mode of fallocate(2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct FallocateMode: u32 {
        /// `FALLOC_FL_KEEP_SIZE`
        const KEEP_SIZE = 0x01;
        /// `FALLOC_FL_PUNCH_HOLE`
        const PUNCH_HOLE = 0x02;
        /// `FALLOC_FL_COLLAPSE_RANGE`
        const COLLAPSE_RANGE = 0x08;
        /// `FALLOC_FL_ZERO_RANGE`
        const ZERO_RANGE = 0x10;
        /// `FALLOC_FL_INSERT_RANGE`
        const INSERT_RANGE = 0x20;
    }
}

bitflags! {
    /// The flags of setxattr(2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct XattrFlags: u32 {
        /// `XATTR_CREATE`: `EEXIST` if there is one.
        const CREATE = 1;
        /// `XATTR_REPLACE`: `ENODATA` if there is none.
        const REPLACE = 2;
    }
}

/// What lseek(2) looks for from an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekTo {
    /// `SEEK_DATA`
    Data,
    /// `SEEK_HOLE`
    Hole,
}

/// The position after a directory entry, as `d_off`. 0 is the beginning; others are opaque but stable
/// while the directory is open, and below 2^43 so that any host's directory offset can hold them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cookie(pub u64);

/// One entry of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirEntry<'a> {
    /// The inode.
    pub ino: Ino,
    /// The type, where the directory records it.
    pub kind: Option<FileKind>,
    /// The name; `.` and `..` are not reported, the monitor adds them.
    pub name: &'a [u8],
    /// Where to go on after this entry.
    pub next: Cookie,
}

/// Takes entries until it answers false: then the entry just offered was not taken and the walk ends.
pub type DirSink<'a> = dyn FnMut(DirEntry<'_>) -> bool + 'a;

/// What stands behind an opened file (docs/data-path.md).
#[derive(Debug)]
pub enum Opened {
    /// The driver serves it by [`FileSystem::read`] and the rest.
    Handle(Handle),
    /// A descriptor of the host is the file; it is handed to the caller as it is.
    Host(OwnedFd),
}

/// How long a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latency {
    /// At most some disk accesses.
    Local,
    /// May wait for another process or machine.
    Remote,
}

/// A mounted file system. Analogous to `struct super_block` with its operations; the vocabulary is that of
/// low-level FUSE, synchronous, with results in place of reply objects.
///
/// # General rules
/// - A driver sees inodes and single names, never a path. `..`, links and mount points are the name walk's.
/// - Every method may be called from many threads at once.
/// - Every method that takes an [`Ino`] answers `ESTALE` if the number names no inode, before all else, and
///   `EIO` or `EUCLEAN` (structure corrupt) or `EBADMSG` (checksum wrong) from the image at any point.
/// - Every method that takes a [`Handle`] answers `EBADF` if it is not open.
/// - Every mutation answers `EROFS` on a read-only file system, before all else. That is the default of all
///   mutations here, so that a read-only driver writes none of them. Xattrs default to `EOPNOTSUPP`.
/// - A driver never answers `ENOSYS`, never panics on what an image holds, never loops on it, and allocates
///   no more than a few blocks because of what it says.
/// - Permissions, set-id clearing, umask, `O_APPEND` and mount flags are settled above: a driver obeys.
/// - An inode that is unlinked while open lives until the last [`release`](Self::release).
/// - Times: the driver updates atime (relatime, unless told `noatime`), mtime and ctime as Linux does.
pub trait FileSystem: Send + Sync {
    /// Returns the inode of the mount root, always a directory.
    fn root(&self) -> Ino;

    /// Returns the figures of statfs(2).
    ///
    /// # Errors
    /// - `EIO` from the device.
    fn statfs(&self) -> Result<StatFs>;

    /// Makes everything durable. Called by sync(2), syncfs(2), and once before the mount goes away.
    ///
    /// # Errors
    /// - `EIO` if any write may be lost.
    fn sync(&self) -> Result<()> {
        Ok(())
    }

    /// Whether calls may wait for something slower than a local disk.
    fn latency(&self) -> Latency {
        Latency::Local
    }

    /// Whether the contents of files change by themselves, as those of /proc do: then each open reads anew, nothing
    /// is shared between opens, and each write(2) reaches [`write`](Self::write) as one.
    fn has_live_files(&self) -> bool {
        false
    }

    /// Whether mutations are refused with `EROFS`.
    fn is_read_only(&self) -> bool {
        true
    }

    /// The device and inode numbers that stat(2) shows, where they are not the mount's and `ino` itself: a
    /// file system that passes files of others through shows theirs.
    fn visible(&self, ino: Ino) -> Option<(u64, u64)> {
        let _ = ino;
        None
    }

    /// Where the file lies on the host, for a file system that only passes the host's files through.
    fn host_path(&self, ino: Ino) -> Option<Vec<u8>> {
        let _ = ino;
        None
    }

    /// Opens with the flags of open(2) as they are, for a file system whose files are descriptors of the
    /// host; `None` for all others, whose [`open`](Self::open) is asked.
    ///
    /// # Errors
    /// Those of open(2).
    fn open_host(&self, caller: Caller, ino: Ino, flags: i32) -> Option<Result<OwnedFd>> {
        let _ = (caller, ino, flags);
        None
    }

    /// Finds `name` in `parent`.
    ///
    /// # Errors
    /// In check order:
    /// - `ENOTDIR` if `parent` is not a directory.
    /// - `ENOENT` if there is no such name.
    fn lookup(&self, parent: Ino, name: Name<'_>) -> Result<Attr>;

    /// Says that `count` results of lookup (and of calls that make a file) are no longer used.
    fn forget(&self, ino: Ino, count: u64) {
        let _ = (ino, count);
    }

    /// Returns the attributes.
    ///
    /// # Errors
    /// Only those of the general rules.
    fn getattr(&self, ino: Ino) -> Result<Attr>;

    /// Returns the target of a symbolic link, without NUL.
    ///
    /// # Errors
    /// - `EINVAL` if it is not a symbolic link.
    fn readlink(&self, ino: Ino) -> Result<Vec<u8>>;

    /// Opens a regular file or a directory.
    ///
    /// # Errors
    /// In check order:
    /// - `EROFS` if writing or truncation is asked of a read-only file system.
    /// - `EISDIR` if writing is asked of a directory.
    /// - `ENXIO` if it is neither a regular file nor a directory.
    fn open(&self, caller: Caller, ino: Ino, flags: OpenFlags) -> Result<Opened>;

    /// Ends an open file: all its descriptors are closed.
    fn release(&self, handle: Handle);

    /// Reads at byte `offset`; fewer bytes than asked only at the end of the file, 0 behind it.
    ///
    /// # Errors
    /// - `EISDIR` if it is a directory.
    fn read(&self, handle: Handle, buf: &mut [u8], offset: u64) -> Result<usize>;

    /// Offers the entries of a directory after `cookie` to `sink`, in a stable order, without `.` and `..`.
    ///
    /// Entries that neither appear nor vanish while the directory is open are offered exactly once.
    ///
    /// # Errors
    /// - `ENOTDIR` if it is not a directory.
    fn readdir(&self, handle: Handle, cookie: Cookie, sink: &mut DirSink<'_>) -> Result<()>;

    /// Finds data or a hole at or after `offset`. By default a file is data with one hole behind it.
    ///
    /// # Errors
    /// - `ENXIO` if `offset` is at or behind the end, or no data follows.
    fn lseek(&self, handle: Handle, offset: u64, to: SeekTo) -> Result<u64> {
        let _ = (handle, offset, to);
        Err(Errno::EOPNOTSUPP)
    }

    /// Returns the value of an extended attribute; `name` has its prefix (`user.x`).
    ///
    /// # Errors
    /// In check order:
    /// - `EOPNOTSUPP` if the namespace is not supported.
    /// - `ENODATA` if there is none of this name.
    fn getxattr(&self, ino: Ino, name: &[u8]) -> Result<Vec<u8>> {
        let _ = (ino, name);
        Err(Errno::EOPNOTSUPP)
    }

    /// Returns the full names of the extended attributes.
    ///
    /// # Errors
    /// - `EOPNOTSUPP` if the format has none.
    fn listxattr(&self, ino: Ino) -> Result<Vec<Vec<u8>>> {
        let _ = ino;
        Err(Errno::EOPNOTSUPP)
    }

    // ---- mutations: default EROFS ----

    /// Changes attributes and returns them as they are afterwards. A change of owner, group or permission
    /// moves ctime; a change of length moves mtime and ctime.
    ///
    /// # Errors
    /// In check order:
    /// - `EISDIR` if the length of a directory, `EINVAL` if that of another special file is to change.
    /// - `EFBIG` if the length passes what the format can hold.
    /// - `EPERM` if the format can't hold an owner or mode that differs from what it shows.
    /// - `ENOSPC` if the image is full.
    fn setattr(&self, caller: Caller, ino: Ino, changes: &SetAttr) -> Result<Attr> {
        let _ = (caller, ino, changes);
        Err(Errno::EROFS)
    }

    /// Makes a regular file and opens it. `perm` already has the umask applied.
    ///
    /// # Errors
    /// In check order:
    /// - `ENOTDIR` if `parent` is not a directory; `ENOENT` if it was removed.
    /// - `EEXIST` if the name exists.
    /// - `ENAMETOOLONG`, `EINVAL` if the format can't hold the name.
    /// - `ENOSPC` if the image is full, `EDQUOT`, `EMLINK`.
    fn create(
        &self,
        caller: Caller,
        parent: Ino,
        name: Name<'_>,
        perm: u16,
        flags: OpenFlags,
    ) -> Result<(Attr, Opened)> {
        let _ = (caller, parent, name, perm, flags);
        Err(Errno::EROFS)
    }

    /// Makes a file without a name (`O_TMPFILE`) and opens it; [`link`](Self::link) may name it later.
    ///
    /// # Errors
    /// In check order:
    /// - `ENOTDIR` if `parent` is not a directory.
    /// - `EOPNOTSUPP` if the format can't.
    /// - `ENOSPC`.
    fn tmpfile(
        &self,
        caller: Caller,
        parent: Ino,
        perm: u16,
        flags: OpenFlags,
    ) -> Result<(Attr, Opened)> {
        let _ = (caller, parent, perm, flags);
        Err(if self.is_read_only() { Errno::EROFS } else { Errno::EOPNOTSUPP })
    }

    /// Makes a file of any type but a directory or link. `rdev` counts for devices only.
    ///
    /// # Errors
    /// Those of [`create`](Self::create), and `EPERM` if the format has no such type.
    fn mknod(
        &self,
        caller: Caller,
        parent: Ino,
        name: Name<'_>,
        kind: FileKind,
        perm: u16,
        rdev: DevNum,
    ) -> Result<Attr> {
        let _ = (caller, parent, name, kind, perm, rdev);
        Err(Errno::EROFS)
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// Those of [`create`](Self::create); `EMLINK` if `parent` holds too many directories.
    fn mkdir(&self, caller: Caller, parent: Ino, name: Name<'_>, perm: u16) -> Result<Attr> {
        let _ = (caller, parent, name, perm);
        Err(Errno::EROFS)
    }

    /// Makes a symbolic link that holds `target`.
    ///
    /// # Errors
    /// Those of [`create`](Self::create); `ENAMETOOLONG` if `target` does not fit; `EPERM` if the format has
    /// no links.
    fn symlink(&self, caller: Caller, parent: Ino, name: Name<'_>, target: &[u8]) -> Result<Attr> {
        let _ = (caller, parent, name, target);
        Err(Errno::EROFS)
    }

    /// Gives `ino` another name.
    ///
    /// # Errors
    /// In check order:
    /// - `EPERM` if `ino` is a directory, or the format has no hard links.
    /// - `ENOTDIR`, `EEXIST`, `ENAMETOOLONG`, `ENOSPC` as [`create`](Self::create).
    /// - `ENOENT` if the file has no name left and was not made by [`tmpfile`](Self::tmpfile).
    /// - `EMLINK` if the inode has too many names.
    fn link(&self, caller: Caller, ino: Ino, parent: Ino, name: Name<'_>) -> Result<Attr> {
        let _ = (caller, ino, parent, name);
        Err(Errno::EROFS)
    }

    /// Names a file without a name that [`tmpfile`](Self::tmpfile) gave as a descriptor of the host.
    ///
    /// # Errors
    /// `EXDEV` if it is not this file system's, then those of [`link`](Self::link).
    fn link_host(&self, file: &OwnedFd, parent: Ino, name: Name<'_>) -> Result<()> {
        let _ = (file, parent, name);
        Err(Errno::EXDEV)
    }

    /// Removes a name that is not a directory's.
    ///
    /// # Errors
    /// In check order:
    /// - `ENOTDIR` if `parent` is not a directory.
    /// - `ENOENT` if there is no such name.
    /// - `EISDIR` if it names a directory.
    fn unlink(&self, caller: Caller, parent: Ino, name: Name<'_>) -> Result<()> {
        let _ = (caller, parent, name);
        Err(Errno::EROFS)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// In check order:
    /// - `ENOTDIR` if `parent` is not a directory.
    /// - `ENOENT` if there is no such name.
    /// - `ENOTDIR` if it does not name a directory.
    /// - `ENOTEMPTY` if it holds names.
    fn rmdir(&self, caller: Caller, parent: Ino, name: Name<'_>) -> Result<()> {
        let _ = (caller, parent, name);
        Err(Errno::EROFS)
    }

    /// Renames `name` in `parent` to `new_name` in `new_parent`. Analogous to `inode_operations.rename`.
    ///
    /// # Errors
    /// In check order:
    /// - `EINVAL` if `flags` holds a bit this file system does not support, or `NOREPLACE` with `EXCHANGE`.
    /// - `ENOTDIR` if a parent is not a directory.
    /// - `ENOENT` if `name` does not exist, or `new_name` does not and `flags` has `EXCHANGE`.
    /// - `EINVAL` if `new_parent` is the renamed directory or below it (or, exchanging, the other way).
    /// - `EEXIST` if `flags` has `NOREPLACE` and `new_name` exists.
    /// - `EISDIR` if a directory would be replaced by another type, `ENOTDIR` if a directory would replace
    ///   another type.
    /// - `ENOTEMPTY` if a directory would be replaced that is not empty.
    /// - `ENOSPC`, `EMLINK`.
    ///
    /// Two names of one inode: nothing happens, and that is success. Both parents are on this file system:
    /// the caller has answered `EXDEV`.
    fn rename(
        &self,
        caller: Caller,
        parent: Ino,
        name: Name<'_>,
        new_parent: Ino,
        new_name: Name<'_>,
        flags: RenameFlags,
    ) -> Result<()> {
        let _ = (caller, parent, name, new_parent, new_name, flags);
        Err(Errno::EROFS)
    }

    /// Writes at byte `offset` and returns how many bytes: fewer only where space ran out on the way.
    ///
    /// # Errors
    /// In check order:
    /// - `EBADF` if not opened for writing.
    /// - `EFBIG` if `offset` passes what the format can hold.
    /// - `ENOSPC` if not one byte fits.
    fn write(&self, handle: Handle, buf: &[u8], offset: u64) -> Result<usize> {
        let _ = (handle, buf, offset);
        Err(Errno::EROFS)
    }

    /// Makes the file durable; with `data_only`, just what is needed to read the data back.
    ///
    /// # Errors
    /// - `EIO` if any write may be lost.
    fn fsync(&self, handle: Handle, data_only: bool) -> Result<()> {
        let _ = (handle, data_only);
        Ok(())
    }

    /// Changes the allocation of a file as fallocate(2).
    ///
    /// # Errors
    /// In check order:
    /// - `EBADF` if not opened for writing.
    /// - `EOPNOTSUPP` if the format or this driver can't do `mode`.
    /// - `EFBIG`, `ENOSPC`.
    fn fallocate(
        &self,
        handle: Handle,
        mode: FallocateMode,
        offset: u64,
        length: u64,
    ) -> Result<()> {
        let _ = (handle, mode, offset, length);
        Err(if self.is_read_only() { Errno::EROFS } else { Errno::EOPNOTSUPP })
    }

    /// Sets an extended attribute; `name` has its prefix.
    ///
    /// # Errors
    /// In check order:
    /// - `EOPNOTSUPP` if the namespace is not supported.
    /// - `EEXIST`, `ENODATA` as `flags` say.
    /// - `ERANGE`, `E2BIG` if the value is too large, `ENOSPC`.
    fn setxattr(&self, ino: Ino, name: &[u8], value: &[u8], flags: XattrFlags) -> Result<()> {
        let _ = (ino, name, value, flags);
        Err(Errno::EOPNOTSUPP)
    }

    /// Removes an extended attribute.
    ///
    /// # Errors
    /// In check order:
    /// - `EOPNOTSUPP` if the namespace is not supported.
    /// - `ENODATA` if there is none.
    fn removexattr(&self, ino: Ino, name: &[u8]) -> Result<()> {
        let _ = (ino, name);
        Err(Errno::EOPNOTSUPP)
    }
}

/// What a [`FileSystemType`] is mounted from.
pub enum FsSource {
    /// An image or a virtual device, opened through the module's `Host`, read-only if so asked.
    Device(Arc<dyn BlockDevice>),
    /// A text that the type itself understands (`user@host:dir`).
    Text(String),
}

/// A format. View-OS: a umfuse submodule; Linux: `struct file_system_type`.
pub trait FileSystemType: Send + Sync {
    /// The name after `mount -t`: `umfuseext2`.
    fn name(&self) -> &'static str;

    /// Other names of the same type: `umfuseext3`, `umfuseext4`.
    fn aliases(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether the source is a device or image (and not a text).
    fn needs_device(&self) -> bool;

    /// Whether plain `rw` mounts read-only with a message and only `rw+` writes.
    fn is_writing_experimental(&self) -> bool {
        false
    }

    /// Mounts. `read_only` is settled by the caller from `ro`, `rw` and `rw+`; the driver takes from `options`
    /// what it knows and leaves the rest, which the caller refuses.
    ///
    /// # Errors
    /// In check order, each with a sentence:
    /// - `EINVAL` for a bad magic, an unsupported incompatible feature, a bad option value.
    /// - `EROFS` if writing is asked and only reading is possible.
    /// - `EUCLEAN` if the superblock contradicts itself, `EBADMSG` if its checksum is wrong.
    /// - `EIO` from the device.
    fn mount(
        &self,
        source: FsSource,
        read_only: bool,
        options: &mut Options,
    ) -> core::result::Result<Arc<dyn FileSystem>, MountError>;
}
