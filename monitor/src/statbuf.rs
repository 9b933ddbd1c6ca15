//! Attributes as the kernel lays them out: `struct stat`, `struct statx`, `struct statfs` of x86-64.

use abi::dev::DevNum;
use abi::fs::{Attr, FileKind, Ino, StatFs, Timestamp};
use nix::sys::stat::FileStat;

/// An inode's attributes and the device it is on.
#[derive(Clone, Debug)]
pub(crate) struct Info {
    pub(crate) dev: u64,
    pub(crate) attr: Attr,
    pub(crate) mount_id: u64,
}

impl Info {
    /// What the host says.
    pub(crate) fn of_host(s: &FileStat) -> Self {
        let time = |seconds: i64, nanos: i64| Timestamp {
            seconds,
            nanos: u32::try_from(nanos).unwrap_or(0),
        };
        let attr = Attr {
            ino: Ino(s.st_ino),
            kind: FileKind::from_mode_bits(s.st_mode).unwrap_or(FileKind::Regular),
            perm: (s.st_mode & 0o7777) as u16,
            nlink: u32::try_from(s.st_nlink).unwrap_or(u32::MAX),
            uid: s.st_uid,
            gid: s.st_gid,
            rdev: DevNum::from_raw(s.st_rdev),
            size_bytes: u64::try_from(s.st_size).unwrap_or(0),
            blocks_512: u64::try_from(s.st_blocks).unwrap_or(0),
            block_size: u32::try_from(s.st_blksize).unwrap_or(4096),
            atime: time(s.st_atime, s.st_atime_nsec),
            mtime: time(s.st_mtime, s.st_mtime_nsec),
            ctime: time(s.st_ctime, s.st_ctime_nsec),
            btime: None,
        };
        Self { dev: s.st_dev, attr, mount_id: 0 }
    }

    /// `struct stat`.
    pub(crate) fn to_stat(&self) -> [u8; 144] {
        let a = &self.attr;
        let mut b = Bytes([0; 144]);
        b.u64(0, self.dev);
        b.u64(8, a.ino.0);
        b.u64(16, u64::from(a.nlink));
        b.u32(24, a.mode());
        b.u32(28, a.uid);
        b.u32(32, a.gid);
        b.u64(40, a.rdev.to_raw());
        b.u64(48, a.size_bytes);
        b.u64(56, u64::from(a.block_size));
        b.u64(64, a.blocks_512);
        for (at, t) in [(72, a.atime), (88, a.mtime), (104, a.ctime)] {
            b.u64(at, t.seconds as u64);
            b.u64(at + 8, u64::from(t.nanos));
        }
        b.0
    }

    /// `struct statx` with `STATX_BASIC_STATS`, the birth where it is known, and the mount.
    pub(crate) fn to_statx(&self) -> [u8; 256] {
        let a = &self.attr;
        let mut b = Bytes([0; 256]);
        let mut mask = libc::STATX_BASIC_STATS;
        if a.btime.is_some() {
            mask |= libc::STATX_BTIME;
        }
        if self.mount_id != 0 {
            mask |= 0x1000; // STATX_MNT_ID
        }
        b.u32(0, mask);
        b.u32(4, a.block_size);
        b.u32(16, a.nlink);
        b.u32(20, a.uid);
        b.u32(24, a.gid);
        b.u32(28, a.mode());
        b.u64(32, a.ino.0);
        b.u64(40, a.size_bytes);
        b.u64(48, a.blocks_512);
        let times =
            [(64, a.atime), (80, a.btime.unwrap_or_default()), (96, a.ctime), (112, a.mtime)];
        for (at, t) in times {
            b.u64(at, t.seconds as u64);
            b.u32(at + 8, t.nanos);
        }
        let dev = DevNum::from_raw(self.dev);
        b.u32(128, a.rdev.major);
        b.u32(132, a.rdev.minor);
        b.u32(136, dev.major);
        b.u32(140, dev.minor);
        b.u64(144, self.mount_id);
        b.0
    }
}

/// `struct statfs`.
pub(crate) fn statfs(s: &StatFs, dev: u64, flags: u64) -> [u8; 120] {
    let mut b = Bytes([0; 120]);
    b.u64(0, s.magic);
    b.u64(8, u64::from(s.block_size));
    b.u64(16, s.blocks);
    b.u64(24, s.blocks_free);
    b.u64(32, s.blocks_available);
    b.u64(40, s.files);
    b.u64(48, s.files_free);
    b.u64(56, dev);
    b.u64(64, u64::from(s.name_bytes_max));
    b.u64(72, u64::from(s.block_size));
    b.u64(80, flags | 0x20); // ST_VALID
    b.0
}

struct Bytes<const N: usize>([u8; N]);

impl<const N: usize> Bytes<N> {
    fn u32(&mut self, at: usize, value: u32) {
        self.0[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }

    fn u64(&mut self, at: usize, value: u64) {
        self.0[at..at + 8].copy_from_slice(&value.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::Info;

    #[test]
    fn a_host_file_goes_through_unchanged() {
        let s = nix::sys::stat::stat("/").unwrap();
        let bytes = Info::of_host(&s).to_stat();
        let word = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
        assert_eq!(word(0), s.st_dev);
        assert_eq!(word(8), s.st_ino);
        assert_eq!(word(16), s.st_nlink);
        assert_eq!(word(24) as u32, s.st_mode);
        assert_eq!(word(48), s.st_size as u64);
        assert_eq!(word(88), s.st_mtime as u64);
        assert_eq!(word(96), s.st_mtime_nsec as u64);
    }
}
