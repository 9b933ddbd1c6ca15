//! The attributes of a file as stat(2) tells them.

use abi::dev::DevNum;
use abi::fs::{Attr, FileKind, Ino, Timestamp};

/// Analogous to `struct stat`. Numbers are the kernel's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// Raw `st_dev`.
    pub dev: u64,
    /// `st_ino`
    pub ino: u64,
    /// Type and permission bits.
    pub mode: u32,
    /// Number of names.
    pub nlink: u64,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Raw device number of a device special file.
    pub rdev: u64,
    /// Length in bytes.
    pub size_bytes: u64,
    /// Preferred transfer in bytes.
    pub block_size: u32,
    /// Allocated units of 512 bytes.
    pub blocks_512: u64,
    /// Last access.
    pub atime: Timestamp,
    /// Last change of the data.
    pub mtime: Timestamp,
    /// Last change of the inode.
    pub ctime: Timestamp,
}

impl Stat {
    /// The file type.
    #[must_use]
    pub fn kind(&self) -> FileKind {
        FileKind::from_mode_bits(self.mode).unwrap_or(FileKind::Regular)
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.kind() == FileKind::Directory
    }

    /// Permission, set-id and sticky bits.
    #[must_use]
    pub const fn permissions(&self) -> u32 {
        self.mode & 0o7777
    }

    /// Whether it is the character device 0:0, overlayfs's whiteout.
    #[must_use]
    pub fn is_whiteout(&self) -> bool {
        self.kind() == FileKind::CharDevice && self.rdev == 0
    }

    /// The attributes of an inode on the device `dev`.
    #[must_use]
    pub fn of(attr: &Attr, dev: u64) -> Self {
        Self {
            dev,
            ino: attr.ino.0,
            mode: attr.mode(),
            nlink: u64::from(attr.nlink),
            uid: attr.uid,
            gid: attr.gid,
            rdev: attr.rdev.to_raw(),
            size_bytes: attr.size_bytes,
            block_size: attr.block_size,
            blocks_512: attr.blocks_512,
            atime: attr.atime,
            mtime: attr.mtime,
            ctime: attr.ctime,
        }
    }

    /// The same in the words of `abi`; `st_dev` is left to the caller.
    #[must_use]
    pub fn to_attr(&self) -> Attr {
        Attr {
            ino: Ino(self.ino),
            kind: self.kind(),
            perm: u16::try_from(self.permissions()).unwrap_or_default(),
            nlink: u32::try_from(self.nlink).unwrap_or(u32::MAX),
            uid: self.uid,
            gid: self.gid,
            rdev: DevNum::from_raw(self.rdev),
            size_bytes: self.size_bytes,
            blocks_512: self.blocks_512,
            block_size: self.block_size,
            atime: self.atime,
            mtime: self.mtime,
            ctime: self.ctime,
            btime: None,
        }
    }
}

impl From<&rustix::fs::Stat> for Stat {
    fn from(s: &rustix::fs::Stat) -> Self {
        let time = |seconds: i64, nanos: u64| Timestamp {
            seconds,
            nanos: u32::try_from(nanos).unwrap_or_default(),
        };
        Self {
            dev: s.st_dev,
            ino: s.st_ino,
            mode: s.st_mode,
            nlink: s.st_nlink,
            uid: s.st_uid,
            gid: s.st_gid,
            rdev: s.st_rdev,
            size_bytes: u64::try_from(s.st_size).unwrap_or_default(),
            block_size: u32::try_from(s.st_blksize).unwrap_or(4096),
            blocks_512: u64::try_from(s.st_blocks).unwrap_or_default(),
            atime: time(s.st_atime, s.st_atime_nsec),
            mtime: time(s.st_mtime, s.st_mtime_nsec),
            ctime: time(s.st_ctime, s.st_ctime_nsec),
        }
    }
}
