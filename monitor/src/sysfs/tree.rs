//! The directory of one disk in /sys: its files, `queue/`, and a directory for each partition.

use abi::block::Geometry;
use abi::dev::{DevNum, Device, SubDevice};
use abi::fs::{
    Attr, Caller, Cookie, DirEntry, DirSink, FileKind, FileSystem, Handle, Ino, Name, OpenFlags,
    Opened, StatFs,
};
use abi::{Errno, Result};
use std::sync::Arc;

/// `SYSFS_MAGIC` of linux/magic.h.
const MAGIC: u64 = 0x6265_6572;
/// An inode number is a sub-device's number plus one, times this, and what it is of the sub-device.
const PER_SUBDEVICE: u64 = 256;
/// What else a number says: the directory itself, its files in the order of [`FILES`], then these.
const DIRECTORY: u64 = 0;
const FIRST_FILE: u64 = 1;
const FIRST_OF_QUEUE: u64 = 100;
const QUEUE: u64 = 200;
const HOLDERS: u64 = 201;
const SLAVES: u64 = 202;
const SUBSYSTEM: u64 = 203;

/// What the files are made from.
struct Facts {
    sub: SubDevice,
    numbers: DevNum,
    geometry: Geometry,
}

/// In which directories a file is.
#[derive(Clone, Copy, PartialEq)]
enum In {
    Both,
    Disk,
    Partition,
}

type Text = fn(&Facts) -> String;

/// The names that lsblk, libblkid, fdisk and parted ask for; sizes and places in sectors of 512 bytes. There is no
/// `uevent`: it would have libudev take the device for one that udev knows and has no properties of.
const FILES: &[(&str, In, Text)] = &[
    ("dev", In::Both, |f| format!("{}:{}", f.numbers.major, f.numbers.minor)),
    ("size", In::Both, |f| (f.sub.size_bytes / 512).to_string()),
    ("ro", In::Both, |f| u8::from(f.geometry.read_only).to_string()),
    ("alignment_offset", In::Both, |_| "0".into()),
    ("discard_alignment", In::Both, |_| "0".into()),
    ("removable", In::Disk, |_| "0".into()),
    ("hidden", In::Disk, |_| "0".into()),
    ("range", In::Disk, |_| "256".into()),
    ("ext_range", In::Disk, |_| "256".into()),
    ("capability", In::Disk, |_| "0".into()),
    ("partition", In::Partition, |f| f.sub.number.to_string()),
    ("start", In::Partition, |f| (f.sub.start_bytes / 512).to_string()),
];

/// The files of `queue/`.
const QUEUE_FILES: &[(&str, Text)] = &[
    ("logical_block_size", |f| f.geometry.block_size.to_string()),
    ("physical_block_size", |f| f.geometry.block_size.to_string()),
    ("hw_sector_size", |f| f.geometry.block_size.to_string()),
    ("minimum_io_size", |f| f.geometry.block_size.to_string()),
    ("optimal_io_size", |_| "0".into()),
    ("discard_granularity", |f| f.geometry.block_size.to_string()),
    ("discard_max_bytes", |f| f.sub.size_bytes.to_string()),
    ("discard_zeroes_data", |_| "0".into()),
    ("write_same_max_bytes", |_| "0".into()),
    ("max_sectors_kb", |_| "1024".into()),
    ("nr_requests", |_| "128".into()),
    ("read_ahead_kb", |_| "0".into()),
    ("rotational", |_| "0".into()),
    ("add_random", |_| "0".into()),
    ("dax", |_| "0".into()),
    ("scheduler", |_| "none".into()),
    ("zoned", |_| "none".into()),
];

/// The directory of a mounted device.
pub(super) struct SysTree {
    device: Arc<dyn Device>,
    numbers: DevNum,
    /// The special file of the disk, to name its partitions after.
    path: String,
    name: String,
}

impl SysTree {
    pub(super) fn new(
        device: Arc<dyn Device>,
        numbers: DevNum,
        path: String,
        name: String,
    ) -> Self {
        Self { device, numbers, path, name }
    }

    fn name_of(&self, number: u32) -> String {
        let between = if self.path.ends_with(|c: char| c.is_ascii_digit()) { "p" } else { "" };
        match number {
            0 => self.name.clone(),
            n => format!("{}{between}{n}", self.name),
        }
    }

    fn facts(&self, number: u32) -> Result<Facts> {
        let all = self.device.subdevices();
        let sub = all.into_iter().find(|s| s.number == number).ok_or(Errno::ESTALE)?;
        let geometry = self.device.block(number)?.geometry();
        let minor = self.numbers.minor.wrapping_add(number);
        let numbers = DevNum { minor, ..self.numbers };
        Ok(Facts { sub, numbers, geometry })
    }

    /// The sub-device of an inode, and what it is of it.
    fn parts(ino: Ino) -> Result<(u32, u64)> {
        let number = (ino.0 / PER_SUBDEVICE).checked_sub(1).ok_or(Errno::ESTALE)?;
        Ok((u32::try_from(number).map_err(|_| Errno::ESTALE)?, ino.0 % PER_SUBDEVICE))
    }

    fn ino(number: u32, what: u64) -> Ino {
        Ino((u64::from(number) + 1) * PER_SUBDEVICE + what)
    }

    /// The contents of a file, with its newline.
    fn text(&self, ino: Ino) -> Result<Vec<u8>> {
        let (number, what) = Self::parts(ino)?;
        let at = |first: u64| what.checked_sub(first).and_then(|i| usize::try_from(i).ok());
        let (of_queue, of_files) = (at(FIRST_OF_QUEUE), at(FIRST_FILE));
        let make = match of_queue.and_then(|i| QUEUE_FILES.get(i)) {
            Some((_, make)) => make,
            None => &of_files.and_then(|i| FILES.get(i)).ok_or(Errno::ESTALE)?.2,
        };
        Ok(format!("{}\n", make(&self.facts(number)?)).into_bytes())
    }

    fn kind(what: u64) -> FileKind {
        match what {
            DIRECTORY | QUEUE | HOLDERS | SLAVES => FileKind::Directory,
            SUBSYSTEM => FileKind::Symlink,
            _ => FileKind::Regular,
        }
    }

    /// The members of a directory.
    fn members(&self, dir: Ino) -> Result<Vec<(String, Ino)>> {
        let (number, what) = Self::parts(dir)?;
        if Self::kind(what) != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        let own = |name: &str, what: u64| (name.to_owned(), Self::ino(number, what));
        if what == QUEUE {
            let files = QUEUE_FILES.iter().zip(FIRST_OF_QUEUE..);
            return Ok(files.map(|((name, _), what)| own(name, what)).collect());
        }
        if what != DIRECTORY {
            return Ok(Vec::new());
        }
        let here = if number == 0 { In::Disk } else { In::Partition };
        let files = FILES
            .iter()
            .zip(FIRST_FILE..)
            .filter(|((_, place, _), _)| *place == In::Both || *place == here);
        let mut all: Vec<_> = files.map(|((name, ..), what)| own(name, what)).collect();
        all.push(own("holders", HOLDERS));
        all.push(own("subsystem", SUBSYSTEM));
        if number == 0 {
            all.push(own("queue", QUEUE));
            all.push(own("slaves", SLAVES));
            let partitions = self.device.subdevices().into_iter().filter(|s| s.number != 0);
            all.extend(
                partitions.map(|s| (self.name_of(s.number), Self::ino(s.number, DIRECTORY))),
            );
        }
        Ok(all)
    }
}

impl FileSystem for SysTree {
    fn root(&self) -> Ino {
        Self::ino(0, DIRECTORY)
    }

    fn statfs(&self) -> Result<StatFs> {
        Ok(StatFs { magic: MAGIC, ..StatFs::default() })
    }

    fn has_live_files(&self) -> bool {
        true
    }

    fn lookup(&self, parent: Ino, name: Name<'_>) -> Result<Attr> {
        let members = self.members(parent)?;
        let found = members.iter().find(|(member, _)| member.as_bytes() == name.as_bytes());
        self.getattr(found.ok_or(Errno::ENOENT)?.1)
    }

    fn getattr(&self, ino: Ino) -> Result<Attr> {
        let (number, what) = Self::parts(ino)?;
        let kind = Self::kind(what);
        let perm = match kind {
            FileKind::Directory => 0o755,
            FileKind::Symlink => 0o777,
            _ => 0o444,
        };
        let size_bytes = match kind {
            FileKind::Regular => self.text(ino)?.len() as u64,
            _ => self.facts(number).map(|_| 0)?,
        };
        Ok(Attr { size_bytes, ..Attr::new(ino, kind, perm) })
    }

    fn readlink(&self, ino: Ino) -> Result<Vec<u8>> {
        match Self::parts(ino)? {
            // Up to /sys: from devices/virtual[/block]/NAME, and one more from a partition.
            (number, SUBSYSTEM) => {
                let depth = super::virtual_devices().split('/').count() + 1;
                let depth = depth + usize::from(number != 0);
                Ok(format!("{}class/block", "../".repeat(depth)).into_bytes())
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn open(&self, _caller: Caller, ino: Ino, flags: OpenFlags) -> Result<Opened> {
        let attr = self.getattr(ino)?;
        if flags.intersects(OpenFlags::WRITE | OpenFlags::TRUNCATE) {
            return Err(Errno::EROFS);
        }
        match attr.kind {
            FileKind::Symlink => Err(Errno::ENXIO),
            // Nothing is kept of an open file: its handle is its inode.
            _ => Ok(Opened::Handle(Handle(ino.0))),
        }
    }

    fn release(&self, _handle: Handle) {}

    fn read(&self, handle: Handle, buf: &mut [u8], offset: u64) -> Result<usize> {
        let (_, what) = Self::parts(Ino(handle.0))?;
        if Self::kind(what) == FileKind::Directory {
            return Err(Errno::EISDIR);
        }
        let text = self.text(Ino(handle.0))?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
        let length = buf.len().min(text.len() - start);
        buf[..length].copy_from_slice(&text[start..start + length]);
        Ok(length)
    }

    fn readdir(&self, handle: Handle, cookie: Cookie, sink: &mut DirSink<'_>) -> Result<()> {
        let done = usize::try_from(cookie.0).unwrap_or(usize::MAX);
        let members = self.members(Ino(handle.0))?;
        for ((name, ino), next) in members.iter().zip(1..).skip(done) {
            let kind = Some(Self::kind(ino.0 % PER_SUBDEVICE));
            let next = Cookie(next);
            if !sink(DirEntry { ino: *ino, kind, name: name.as_bytes(), next }) {
                break;
            }
        }
        Ok(())
    }
}
