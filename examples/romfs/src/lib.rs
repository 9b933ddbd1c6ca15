//! `umfuseromfs`: the read-only file system of small boot images, as genromfs(8) makes it.
//!
//! A file is a header, its name and its data, at a multiple of 16 bytes; the place of the header is the inode number. A
//! directory is a list: its header says where the first member is, each member where the next. There is no owner and
//! no time. Reference: Documentation/filesystems/romfs.rst.

#![forbid(unsafe_code)]

use abi::block::BlockDevice;
use abi::dev::DevNum;
use abi::fs::{
    Attr, Caller, Cookie, DirEntry, DirSink, FileKind, FileSystem, FileSystemType, FsSource,
    Handle, Ino, NAME_BYTES_MAX, Name, OpenFlags, Opened, StatFs,
};
use abi::module::MountError;
use abi::options::Options;
use abi::{Errno, Result};
use std::sync::Arc;

/// The type: `mount -t umfuseromfs -o ro IMAGE DIR`.
pub struct RomfsType;

impl FileSystemType for RomfsType {
    fn name(&self) -> &'static str {
        "umfuseromfs"
    }

    fn needs_device(&self) -> bool {
        true
    }

    fn mount(
        &self,
        source: FsSource,
        read_only: bool,
        _options: &mut Options,
    ) -> core::result::Result<Arc<dyn FileSystem>, MountError> {
        let FsSource::Device(device) = source else { return Err(Errno::EINVAL.into()) };
        let romfs = Romfs::open(device).map_err(|e| MountError::new(e, format!("romfs: {e}")))?;
        if !read_only {
            return Err(MountError::new(
                Errno::EROFS,
                "romfs can't be written: mount it with -o ro",
            ));
        }
        Ok(Arc::new(romfs))
    }
}

/// A mounted image.
pub struct Romfs {
    device: Arc<dyn BlockDevice>,
    size_bytes: u64,
    root: u64,
}

/// A file's header that was read and checked. Places are multiples of 16 bytes.
struct Header {
    /// The next member of the same directory, 0 after the last.
    next: u64,
    /// The first member of a directory, or the file behind a hard link.
    leads_to: u64,
    is_link: bool,
    name: Vec<u8>,
    data: u64,
    attr: Attr,
}

fn word(bytes: &[u8], index: usize) -> u32 {
    bytes.chunks_exact(4).nth(index).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
}

/// Whether the words add up to zero, as those of every structure here do.
fn is_sound(bytes: &[u8]) -> bool {
    bytes.chunks_exact(4).fold(0, |sum: u32, b| sum.wrapping_add(word(b, 0))) == 0
}

/// The text at byte 16, and the end of the 16 bytes that its NUL is in.
fn text(bytes: &[u8]) -> Result<(Vec<u8>, usize)> {
    let rest = bytes.get(16..).ok_or(Errno::EUCLEAN)?;
    let length = rest.iter().position(|&b| b == 0).ok_or(Errno::EUCLEAN)?;
    Ok((rest[..length].to_vec(), (16 + length + 1).next_multiple_of(16)))
}

impl Romfs {
    /// Opens the image on a device.
    ///
    /// # Errors
    /// In check order:
    /// - `EINVAL` without the magic.
    /// - `EUCLEAN` if the image is longer than the device, or the name of the volume has no end.
    /// - `EBADMSG` if the checksum is wrong.
    pub fn open(device: Arc<dyn BlockDevice>) -> Result<Self> {
        let length = device.geometry().size_bytes;
        let mut first = vec![0; length.min(512) as usize];
        device.read_at(&mut first, 0)?;
        if !first.starts_with(b"-rom1fs-") {
            return Err(Errno::EINVAL);
        }
        let (size_bytes, (_, root)) = (u64::from(word(&first, 2)), text(&first)?);
        let summed = first.get(..size_bytes.min(512) as usize).filter(|_| size_bytes <= length);
        if !is_sound(summed.ok_or(Errno::EUCLEAN)?) {
            return Err(Errno::EBADMSG);
        }
        Ok(Self { device, size_bytes, root: root as u64 })
    }

    /// The one checked read: what it returns lies within the image.
    fn header(&self, at: u64) -> Result<Header> {
        let room = self.size_bytes.checked_sub(at).ok_or(Errno::EUCLEAN)?;
        let mut raw = vec![0; room.min(16 + NAME_BYTES_MAX as u64 + 1) as usize];
        self.device.read_at(&mut raw, at)?;
        let (name, end) = text(&raw)?;
        if !is_sound(&raw[..end.min(raw.len())]) {
            return Err(Errno::EBADMSG);
        }
        let (info, spec, size_bytes) = (word(&raw, 0), word(&raw, 1), u64::from(word(&raw, 2)));
        let (next, data) = (u64::from(info & !15), at + end as u64);
        // A list that goes back could go round.
        if (next != 0 && next <= at) || data + size_bytes > self.size_bytes {
            return Err(Errno::EUCLEAN);
        }
        let mut attr = attr(Ino(at), info, size_bytes);
        if matches!(attr.kind, FileKind::BlockDevice | FileKind::CharDevice) {
            attr.rdev = DevNum { major: spec >> 16, minor: spec & 0xffff };
        }
        let leads_to = u64::from(spec & !15);
        Ok(Header { next, leads_to, is_link: info & 7 == 0, name, data, attr })
    }

    /// The file of a number; of the number of a hard link, the file that it leads to.
    fn inode(&self, ino: Ino) -> Result<Header> {
        if !ino.0.is_multiple_of(16) || ino.0 < self.root || ino.0 >= self.size_bytes {
            return Err(Errno::ESTALE);
        }
        let mut header = self.header(ino.0)?;
        // A chain of links that is longer could go round.
        for _ in 0..8 {
            if header.is_link {
                header = self.header(header.leads_to)?;
            }
        }
        if header.is_link { Err(Errno::EUCLEAN) } else { Ok(header) }
    }

    /// Shows the members of a directory, from the first or from a place on, until `show` says that it is enough.
    fn members(
        &self,
        dir: Ino,
        from: u64,
        mut show: impl FnMut(&Header) -> Result<bool>,
    ) -> Result<()> {
        let header = self.inode(dir)?;
        if header.attr.kind != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        let mut at = if from == 0 { header.leads_to } else { from };
        while at != 0 && at < self.size_bytes {
            let member = self.header(at)?;
            if member.name != b"." && member.name != b".." {
                Name::new(&member.name).map_err(|_| Errno::EUCLEAN)?;
                if !show(&member)? {
                    break;
                }
            }
            at = member.next;
        }
        Ok(())
    }
}

/// There are no owners and no times; the permissions are the kernel's for each type.
fn attr(ino: Ino, info: u32, size_bytes: u64) -> Attr {
    let (kind, perm) = match info & 7 {
        1 => (FileKind::Directory, 0o644),
        3 => (FileKind::Symlink, 0o777),
        4 => (FileKind::BlockDevice, 0o600),
        5 => (FileKind::CharDevice, 0o600),
        6 => (FileKind::Socket, 0o644),
        7 => (FileKind::Fifo, 0o644),
        _ => (FileKind::Regular, 0o644),
    };
    let perm = if info & 8 != 0 { perm | 0o111 } else { perm };
    Attr { size_bytes, blocks_512: size_bytes.div_ceil(512), ..Attr::new(ino, kind, perm) }
}

impl FileSystem for Romfs {
    fn root(&self) -> Ino {
        Ino(self.root)
    }

    fn statfs(&self) -> Result<StatFs> {
        // `ROMFS_MAGIC` of linux/magic.h.
        Ok(StatFs { magic: 0x7275, blocks: self.size_bytes.div_ceil(4096), ..StatFs::default() })
    }

    fn lookup(&self, parent: Ino, name: Name<'_>) -> Result<Attr> {
        let mut found = None;
        self.members(parent, 0, |member| {
            found = (member.name == name.as_bytes()).then_some(member.attr.ino);
            Ok(found.is_none())
        })?;
        self.getattr(found.ok_or(Errno::ENOENT)?)
    }

    fn getattr(&self, ino: Ino) -> Result<Attr> {
        self.inode(ino).map(|header| header.attr)
    }

    fn readlink(&self, ino: Ino) -> Result<Vec<u8>> {
        let header = self.inode(ino)?;
        if header.attr.kind != FileKind::Symlink {
            return Err(Errno::EINVAL);
        }
        // PATH_MAX: what is longer leads nowhere.
        let mut target = vec![0; header.attr.size_bytes.min(4095) as usize];
        self.device.read_at(&mut target, header.data)?;
        Ok(target)
    }

    fn open(&self, _caller: Caller, ino: Ino, flags: OpenFlags) -> Result<Opened> {
        let attr = self.getattr(ino)?;
        if flags.intersects(OpenFlags::WRITE | OpenFlags::TRUNCATE) {
            return Err(Errno::EROFS);
        }
        match attr.kind {
            // Nothing is kept of an open file: its handle is its inode.
            FileKind::Regular | FileKind::Directory => Ok(Opened::Handle(Handle(attr.ino.0))),
            _ => Err(Errno::ENXIO),
        }
    }

    fn release(&self, _handle: Handle) {}

    fn read(&self, handle: Handle, buf: &mut [u8], offset: u64) -> Result<usize> {
        let header = self.inode(Ino(handle.0))?;
        if header.attr.kind == FileKind::Directory {
            return Err(Errno::EISDIR);
        }
        let start = offset.min(header.attr.size_bytes);
        let length = buf.len().min((header.attr.size_bytes - start) as usize);
        self.device.read_at(&mut buf[..length], header.data + start)?;
        Ok(length)
    }

    fn readdir(&self, handle: Handle, cookie: Cookie, sink: &mut DirSink<'_>) -> Result<()> {
        self.members(Ino(handle.0), cookie.0, |member| {
            let Attr { ino, kind, .. } = self.getattr(member.attr.ino)?;
            let next = Cookie(if member.next == 0 { self.size_bytes } else { member.next });
            Ok(sink(DirEntry { ino, kind: Some(kind), name: &member.name, next }))
        })
    }
}
