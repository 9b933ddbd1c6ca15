//! Attributes and numbers in the words of FUSE.

use abi::fs::{Attr, FileKind, Ino, SetTime, Timestamp};
use fuser::{FileAttr, FileType, INodeNo, TimeOrNow};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The root is 1 to the kernel whatever it is to the driver; the two numbers change places.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers {
    root: Ino,
}

impl Numbers {
    pub(super) fn new(root: Ino) -> Self {
        Self { root }
    }

    pub(super) fn to_driver(self, number: INodeNo) -> Ino {
        Ino(self.swap(number.0))
    }

    pub(super) fn to_kernel(self, ino: Ino) -> INodeNo {
        INodeNo(self.swap(ino.0))
    }

    fn swap(self, number: u64) -> u64 {
        match number {
            1 => self.root.0,
            n if n == self.root.0 => 1,
            n => n,
        }
    }

    pub(super) fn attr(self, attr: &Attr) -> FileAttr {
        FileAttr {
            ino: self.to_kernel(attr.ino),
            size: attr.size_bytes,
            blocks: attr.blocks_512,
            atime: system_time(attr.atime),
            mtime: system_time(attr.mtime),
            ctime: system_time(attr.ctime),
            crtime: system_time(attr.btime.unwrap_or_default()),
            kind: file_type(attr.kind),
            perm: attr.perm,
            nlink: attr.nlink,
            uid: attr.uid,
            gid: attr.gid,
            // FUSE has 32 bits: majors of 12 and minors of 20, as the kernel itself.
            rdev: u32::try_from(attr.rdev.to_raw()).unwrap_or(0),
            blksize: attr.block_size,
            flags: 0,
        }
    }
}

pub(super) fn file_type(kind: FileKind) -> FileType {
    match kind {
        FileKind::Regular => FileType::RegularFile,
        FileKind::Directory => FileType::Directory,
        FileKind::Symlink => FileType::Symlink,
        FileKind::CharDevice => FileType::CharDevice,
        FileKind::BlockDevice => FileType::BlockDevice,
        FileKind::Fifo => FileType::NamedPipe,
        FileKind::Socket => FileType::Socket,
    }
}

fn system_time(time: Timestamp) -> SystemTime {
    let whole = Duration::from_secs(time.seconds.unsigned_abs());
    let second = if time.seconds < 0 {
        UNIX_EPOCH.checked_sub(whole)
    } else {
        UNIX_EPOCH.checked_add(whole)
    };
    second
        .and_then(|t| t.checked_add(Duration::from_nanos(u64::from(time.nanos))))
        .unwrap_or(UNIX_EPOCH)
}

pub(super) fn set_time(time: TimeOrNow) -> SetTime {
    match time {
        TimeOrNow::Now => SetTime::Now,
        TimeOrNow::SpecificTime(time) => SetTime::At(timestamp(time)),
    }
}

fn timestamp(time: SystemTime) -> Timestamp {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => Timestamp {
            seconds: i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
            nanos: after.subsec_nanos(),
        },
        Err(before) => {
            // Nanoseconds count forward from a whole second, also before 1970.
            let before = before.duration();
            let whole = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
            match before.subsec_nanos() {
                0 => Timestamp { seconds: whole.saturating_neg(), nanos: 0 },
                nanos => Timestamp {
                    seconds: whole.saturating_neg().saturating_sub(1),
                    nanos: 1_000_000_000_u32.saturating_sub(nanos),
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Numbers, system_time, timestamp};
    use abi::fs::{Ino, Timestamp};
    use fuser::INodeNo;

    #[test]
    fn root_and_one_change_places() {
        let numbers = Numbers::new(Ino(40));
        for n in [1, 2, 40, u64::MAX] {
            assert_eq!(numbers.to_driver(numbers.to_kernel(Ino(n))), Ino(n));
        }
        assert_eq!(numbers.to_kernel(Ino(40)), INodeNo(1));
    }

    #[test]
    fn times_before_1970_survive() {
        for time in [(0, 0), (5, 7), (-1, 0), (-1, 999_999_999), (-1_000_000, 1)] {
            let time = Timestamp { seconds: time.0, nanos: time.1 };
            assert_eq!(timestamp(system_time(time)), time);
        }
    }
}
