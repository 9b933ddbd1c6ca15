//! One file of any type.

use super::data::SparseBytes;
use super::directory::Directory;
use abi::dev::DevNum;
use abi::fs::{Attr, FileKind, Ino, SetAttr, SetTime, Timestamp, XattrFlags};
use abi::{Errno, Result};
use std::collections::BTreeMap;

/// `XATTR_SIZE_MAX` of linux/limits.h.
const XATTR_BYTES_MAX: usize = 65_536;
/// The most bytes that the attributes of one inode have together.
const XATTRS_BYTES_MAX: usize = 1 << 20;
/// The age at which a read moves the access time in any case: a day, as Linux has it.
const RELATIME_SECONDS: i64 = 24 * 60 * 60;
/// What `st_size` counts for a name of a directory, as tmpfs does.
const NAME_SIZE_BYTES: u64 = 20;

/// What is behind an inode.
#[derive(Debug)]
pub(super) enum Body {
    File(SparseBytes),
    Directory(Directory),
    Link(Vec<u8>),
    Special(FileKind, DevNum),
}

impl Body {
    pub(super) fn kind(&self) -> FileKind {
        match self {
            Self::File(_) => FileKind::Regular,
            Self::Directory(_) => FileKind::Directory,
            Self::Link(_) => FileKind::Symlink,
            Self::Special(kind, _) => *kind,
        }
    }
}

/// One file of any type.
#[derive(Debug)]
pub(super) struct Inode {
    pub(super) perm: u16,
    pub(super) nlink: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) atime: Timestamp,
    pub(super) mtime: Timestamp,
    pub(super) ctime: Timestamp,
    pub(super) btime: Timestamp,
    pub(super) body: Body,
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Open files.
    pub(super) opens: u64,
    /// Made without a name, to be named later.
    pub(super) is_nameless: bool,
}

impl Inode {
    pub(super) fn new(body: Body, perm: u16, uid: u32, gid: u32) -> Self {
        let now = Timestamp::now();
        Self {
            perm,
            nlink: if matches!(body, Body::Directory(_)) { 2 } else { 1 },
            uid,
            gid,
            atime: now,
            mtime: now,
            ctime: now,
            btime: now,
            body,
            xattrs: BTreeMap::new(),
            opens: 0,
            is_nameless: false,
        }
    }

    pub(super) fn kind(&self) -> FileKind {
        self.body.kind()
    }

    pub(super) fn attr(&self, ino: Ino) -> Attr {
        let (size_bytes, chunks, rdev) = match &self.body {
            Body::File(data) => (data.size_bytes(), data.chunks(), DevNum::default()),
            Body::Directory(d) => (d.len() as u64 * NAME_SIZE_BYTES, 0, DevNum::default()),
            Body::Link(target) => (target.len() as u64, 0, DevNum::default()),
            Body::Special(_, rdev) => (0, 0, *rdev),
        };
        Attr {
            ino,
            kind: self.kind(),
            perm: self.perm,
            nlink: self.nlink,
            uid: self.uid,
            gid: self.gid,
            rdev,
            size_bytes,
            blocks_512: chunks * 8,
            block_size: 4096,
            atime: self.atime,
            mtime: self.mtime,
            ctime: self.ctime,
            btime: Some(self.btime),
        }
    }

    /// The data changed.
    pub(super) fn touch_mtime(&mut self) {
        self.mtime = Timestamp::now();
        self.ctime = self.mtime;
    }

    /// The inode changed.
    pub(super) fn touch_ctime(&mut self) {
        self.ctime = Timestamp::now();
    }

    /// The data was read: relatime.
    pub(super) fn touch_atime(&mut self) {
        let now = Timestamp::now();
        let is_old = now.seconds.saturating_sub(self.atime.seconds) >= RELATIME_SECONDS;
        if is_old || self.atime <= self.mtime || self.atime <= self.ctime {
            self.atime = now;
        }
    }

    /// Everything but the length.
    pub(super) fn change(&mut self, changes: &SetAttr) {
        self.perm = changes.perm.unwrap_or(self.perm) & 0o7777;
        self.uid = changes.uid.unwrap_or(self.uid);
        self.gid = changes.gid.unwrap_or(self.gid);
        self.atime = changes.atime.map_or(self.atime, SetTime::resolve);
        self.mtime = changes.mtime.map_or(self.mtime, SetTime::resolve);
        if *changes != SetAttr::default() {
            self.touch_ctime();
        }
    }

    pub(super) fn xattr(&self, name: &[u8]) -> Result<Vec<u8>> {
        self.check_namespace(name)?;
        self.xattrs.get(name).cloned().ok_or(Errno::ENODATA)
    }

    pub(super) fn set_xattr(&mut self, name: &[u8], value: &[u8], flags: XattrFlags) -> Result<()> {
        self.check_namespace(name)?;
        let old_bytes = self.xattrs.get(name).map(Vec::len);
        match old_bytes {
            Some(_) if flags.contains(XattrFlags::CREATE) => return Err(Errno::EEXIST),
            None if flags.contains(XattrFlags::REPLACE) => return Err(Errno::ENODATA),
            _ => {}
        }
        if value.len() > XATTR_BYTES_MAX {
            return Err(Errno::E2BIG);
        }
        let others: usize = self
            .xattrs
            .iter()
            .filter(|(other, _)| other.as_slice() != name)
            .map(|(other, value)| other.len() + value.len())
            .sum();
        if others + name.len() + value.len() > XATTRS_BYTES_MAX {
            return Err(Errno::ENOSPC);
        }
        self.xattrs.insert(name.to_vec(), value.to_vec());
        self.touch_ctime();
        Ok(())
    }

    pub(super) fn remove_xattr(&mut self, name: &[u8]) -> Result<()> {
        self.check_namespace(name)?;
        self.xattrs.remove(name).ok_or(Errno::ENODATA)?;
        self.touch_ctime();
        Ok(())
    }

    /// `system.` would be access control lists, which nobody here obeys. What users may set is for files and
    /// directories, as in xattr(7).
    fn check_namespace(&self, name: &[u8]) -> Result<()> {
        let known: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];
        if !known.iter().any(|prefix| name.starts_with(prefix) && name.len() > prefix.len()) {
            return Err(Errno::EOPNOTSUPP);
        }
        let is_plain = matches!(self.kind(), FileKind::Regular | FileKind::Directory);
        if name.starts_with(b"user.") && !is_plain { Err(Errno::EPERM) } else { Ok(()) }
    }
}
