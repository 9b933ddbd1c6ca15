//! What sysfs says of a bound loop device, `/sys/block/loopN/loop`: losetup(8) and libmount look there, and nowhere
//! else, where the host's sysfs has the device.
//!
//! Source: the kernel's `loop_attribute_attrs`, which are there while the device is bound.

use abi::dev::DevNum;
use abi::fs::{
    Attr, Caller, Cookie, DirEntry, DirSink, FileKind, FileSystem, Handle, Ino, Name, OpenFlags,
    Opened, StatFs, Timestamp,
};
use abi::{Errno, Result};
use std::sync::Arc;
use umdev::loopdev::{LoopDevice, LoopStatus};

const ROOT: Ino = Ino(1);
/// The inode of the first file.
const FIRST: u64 = 2;
/// `SYSFS_MAGIC` of linux/magic.h.
const MAGIC: u64 = 0x6265_6572;
const NAMES: [&str; 6] = ["autoclear", "backing_file", "dio", "offset", "partscan", "sizelimit"];

/// The directory of one device.
pub(crate) struct LoopAttributes(pub(crate) Arc<LoopDevice>);

impl LoopAttributes {
    /// The text of a file; none has one while the device is not bound.
    fn text(&self, ino: Ino) -> Result<String> {
        let status = self.0.status().ok_or(Errno::ENOENT)?;
        let index = ino.0.checked_sub(FIRST).and_then(|index| usize::try_from(index).ok());
        let name = index.and_then(|index| NAMES.get(index)).ok_or(Errno::ESTALE)?;
        Ok(format!("{}\n", value(&status, name)))
    }
}

fn value(status: &LoopStatus, name: &str) -> String {
    match name {
        "autoclear" => u8::from(status.autoclear).to_string(),
        "backing_file" => status.path.clone(),
        "dio" => u8::from(status.direct_io).to_string(),
        "offset" => status.offset.to_string(),
        "partscan" => u8::from(status.partscan).to_string(),
        _ => status.size_limit.to_string(),
    }
}

fn attr(ino: Ino, kind: FileKind, size_bytes: u64) -> Attr {
    let now = Timestamp::now();
    let (perm, nlink) = if kind == FileKind::Directory { (0o755, 2) } else { (0o444, 1) };
    Attr {
        ino,
        kind,
        perm,
        nlink,
        uid: 0,
        gid: 0,
        rdev: DevNum::default(),
        size_bytes,
        blocks_512: 0,
        block_size: 4096,
        atime: now,
        mtime: now,
        ctime: now,
        btime: None,
    }
}

impl FileSystem for LoopAttributes {
    fn root(&self) -> Ino {
        ROOT
    }

    fn statfs(&self) -> Result<StatFs> {
        Ok(StatFs { magic: MAGIC, ..StatFs::default() })
    }

    fn is_read_only(&self) -> bool {
        true
    }

    fn has_live_files(&self) -> bool {
        true
    }

    fn lookup(&self, parent: Ino, name: Name<'_>) -> Result<Attr> {
        if parent != ROOT {
            return Err(Errno::ENOTDIR);
        }
        let found = (FIRST..).zip(NAMES).find(|(_, known)| known.as_bytes() == name.as_bytes());
        self.getattr(Ino(found.ok_or(Errno::ENOENT)?.0))
    }

    fn getattr(&self, ino: Ino) -> Result<Attr> {
        if ino == ROOT {
            return Ok(attr(ino, FileKind::Directory, 0));
        }
        let length = u64::try_from(self.text(ino)?.len()).unwrap_or(0);
        Ok(attr(ino, FileKind::Regular, length))
    }

    fn readlink(&self, ino: Ino) -> Result<Vec<u8>> {
        self.getattr(ino)?;
        Err(Errno::EINVAL)
    }

    fn open(&self, _caller: Caller, ino: Ino, flags: OpenFlags) -> Result<Opened> {
        self.getattr(ino)?;
        if flags.intersects(OpenFlags::WRITE | OpenFlags::TRUNCATE) {
            return Err(Errno::EROFS);
        }
        // Nothing is kept of an open file, so its handle is its inode.
        Ok(Opened::Handle(Handle(ino.0)))
    }

    fn release(&self, _handle: Handle) {}

    fn read(&self, handle: Handle, buf: &mut [u8], offset: u64) -> Result<usize> {
        if handle.0 == ROOT.0 {
            return Err(Errno::EISDIR);
        }
        let text = self.text(Ino(handle.0))?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
        let rest = &text.as_bytes()[start..];
        let length = rest.len().min(buf.len());
        buf[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    fn readdir(&self, handle: Handle, cookie: Cookie, sink: &mut DirSink<'_>) -> Result<()> {
        if handle.0 != ROOT.0 {
            return Err(Errno::ENOTDIR);
        }
        if self.0.status().is_none() {
            return Ok(());
        }
        let done = usize::try_from(cookie.0).unwrap_or(usize::MAX);
        for (ino, name) in (FIRST..).zip(NAMES).skip(done) {
            let next = Cookie(ino + 1 - FIRST);
            let kind = Some(FileKind::Regular);
            if !sink(DirEntry { ino: Ino(ino), kind, name: name.as_bytes(), next }) {
                break;
            }
        }
        Ok(())
    }
}
