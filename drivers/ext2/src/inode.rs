//! Inodes: their 128 or more bytes, and what they mean.

use crate::error::{Corrupt, Error, Result, Summed};
use crate::features::{Incompat, RoCompat};
use crate::le::{
    bytes_at, high16, high32, join, low8, low16, low32, put, put_u16, put_u32, u16_at, u32_at, us,
    wide,
};
use crate::seal::{Kind, inode_seed, is_inode_sealed, seal_inode};
use crate::superblock::Super;
use crate::volume::Volume;
use abi::Errno;
use abi::dev::DevNum;
use abi::fs::{Attr, FileKind, Ino, Timestamp};
use bitflags::bitflags;

/// The root directory.
pub(crate) const ROOT_INO: u32 = 2;
/// Bytes of `i_block`.
pub(crate) const I_BLOCK_BYTES: usize = 60;
/// Bytes of the part of an inode that every revision has.
pub(crate) const OLD_INODE_BYTES: usize = 128;

bitflags! {
    /// `i_flags`
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct InodeFlags: u32 {
        const IMMUTABLE = 0x10;
        const APPEND = 0x20;
        const NOATIME = 0x80;
        const ENCRYPT = 0x800;
        const INDEX = 0x1000;
        const DIRSYNC = 0x1_0000;
        const TOPDIR = 0x2_0000;
        const HUGE_FILE = 0x4_0000;
        const EXTENTS = 0x8_0000;
        const EA_INODE = 0x20_0000;
        const INLINE_DATA = 0x1000_0000;
        const CASEFOLD = 0x4000_0000;
        const _ = !0;
    }
}

/// Flags that a new file takes from its directory, as `EXT4_FL_INHERITED` without what this driver
/// refuses.
pub(crate) const FLAGS_INHERITED: u32 = 0x1 | 0x2 | 0x4 | 0x8 | 0x40 | 0x80 | 0x400 | 0x1_0000;
/// Of these, what makes sense for something that is neither a file nor a directory.
pub(crate) const FLAGS_SPECIAL: u32 = 0x40 | 0x80;

/// A validated inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inode {
    pub(crate) ino: u32,
    pub(crate) kind: FileKind,
    pub(crate) perm: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) links: u16,
    pub(crate) size: u64,
    /// `i_blocks` in units of 512 bytes.
    pub(crate) blocks_512: u64,
    pub(crate) flags: InodeFlags,
    pub(crate) atime: Timestamp,
    pub(crate) mtime: Timestamp,
    pub(crate) ctime: Timestamp,
    pub(crate) btime: Option<Timestamp>,
    /// Seconds of the deletion, or the next orphan.
    pub(crate) dtime: u32,
    pub(crate) generation: u32,
    /// The block of extended attributes, 0 for none.
    pub(crate) file_acl: u64,
    pub(crate) extra_isize: u16,
    pub(crate) i_block: [u8; I_BLOCK_BYTES],
    /// The seed of the checksums of all that belongs to this inode.
    pub(crate) seed: u32,
}

impl Inode {
    /// Validates the bytes of inode `ino`.
    ///
    /// # Errors
    /// `ESTALE` if the inode is free, then `Checksum(Inode)`, then `Corrupt`.
    pub(crate) fn parse(sb: &Super, ino: u32, raw: &[u8]) -> Result<Self> {
        let mode = u16_at(raw, 0);
        let links = u16_at(raw, 26);
        if mode == 0 && links == 0 {
            return Error::answer(Errno::ESTALE);
        }
        let generation = u32_at(raw, 100);
        let seed = if sb.has_metadata_csum() {
            let seed = inode_seed(sb.csum_seed, ino, generation);
            if !is_inode_sealed(seed, raw) {
                return Err(Error::Checksum(Summed::Inode(ino)));
            }
            seed
        } else {
            0
        };
        let kind = FileKind::from_mode_bits(u32::from(mode)).ok_or(Corrupt::Mode { ino, mode })?;
        let mut i_block = [0; I_BLOCK_BYTES];
        i_block.copy_from_slice(raw.get(40..100).ok_or(Corrupt::ExtraSize { ino, size: 0 })?);
        let extra_isize = if raw.len() > OLD_INODE_BYTES { u16_at(raw, 128) } else { 0 };
        if us(extra_isize).saturating_add(OLD_INODE_BYTES) > raw.len() || extra_isize & 3 != 0 {
            return Err(Corrupt::ExtraSize { ino, size: extra_isize }.into());
        }
        let flags = InodeFlags::from_bits_retain(u32_at(raw, 32));
        let has_high_size = matches!(kind, FileKind::Regular)
            || matches!(kind, FileKind::Directory) && sb.incompat.contains(Incompat::LARGEDIR);
        let size = join(u32_at(raw, 4), if has_high_size { u32_at(raw, 108) } else { 0 });
        if size > i64::MAX.unsigned_abs() {
            return Err(Corrupt::Size { ino, size }.into());
        }
        let acl_high =
            if sb.incompat.contains(Incompat::BIT64) { u32::from(u16_at(raw, 118)) } else { 0 };
        let time = |at: usize, extra: usize| time_at(raw, at, extra, extra_isize);
        Ok(Self {
            ino,
            kind,
            perm: mode & 0o7777,
            uid: u32::from(u16_at(raw, 2)) | (u32::from(u16_at(raw, 120)) << 16),
            gid: u32::from(u16_at(raw, 24)) | (u32::from(u16_at(raw, 122)) << 16),
            links,
            size,
            blocks_512: blocks_512(sb, flags, raw),
            flags,
            atime: time(8, 140),
            ctime: time(12, 132),
            mtime: time(16, 136),
            btime: (extra_isize >= 20).then(|| time(144, 148)),
            dtime: u32_at(raw, 20),
            generation,
            file_acl: join(u32_at(raw, 104), acl_high),
            extra_isize,
            i_block,
            seed,
        })
    }

    /// Puts the fields into the bytes of the inode and the checksum on them. Attributes behind
    /// `i_extra_isize` and fields that this driver does not know stay as they are.
    pub(crate) fn emit(&self, sb: &Super, raw: &mut [u8]) {
        put_u16(raw, 0, low16(self.kind.to_mode_bits()) | self.perm);
        put_u16(raw, 2, low16(self.uid));
        put_u16(raw, 120, high16(self.uid));
        put_u16(raw, 24, low16(self.gid));
        put_u16(raw, 122, high16(self.gid));
        put_u16(raw, 26, self.links);
        put_u32(raw, 4, low32(self.size));
        if matches!(self.kind, FileKind::Regular) || high32(self.size) != 0 {
            put_u32(raw, 108, high32(self.size));
        }
        let units = if self.flags.contains(InodeFlags::HUGE_FILE) {
            self.blocks_512 >> sb.block_bits.saturating_sub(9)
        } else {
            self.blocks_512
        };
        put_u32(raw, 28, low32(units));
        if sb.ro_compat.contains(RoCompat::HUGE_FILE) {
            put_u16(raw, 116, low16(high32(units)));
        }
        put_u32(raw, 32, self.flags.bits());
        if raw.len() > OLD_INODE_BYTES {
            put_u16(raw, 128, self.extra_isize);
        }
        self.put_time(raw, 8, 140, self.atime);
        self.put_time(raw, 12, 132, self.ctime);
        self.put_time(raw, 16, 136, self.mtime);
        if let Some(btime) = self.btime {
            self.put_time(raw, 144, 148, btime);
        }
        put_u32(raw, 20, self.dtime);
        put_u32(raw, 100, self.generation);
        put_u32(raw, 104, low32(self.file_acl));
        if sb.incompat.contains(Incompat::BIT64) {
            put_u16(raw, 118, low16(high32(self.file_acl)));
        }
        put(raw, 40, &self.i_block);
        if sb.has_metadata_csum() {
            seal_inode(self.seed, raw);
        }
    }

    fn put_time(&self, raw: &mut [u8], at: usize, extra: usize, time: Timestamp) {
        let has_extra = us(self.extra_isize) >= extra.saturating_sub(124);
        let seconds = if has_extra {
            time.seconds.clamp(i64::from(i32::MIN), EXTRA_SECONDS_MAX)
        } else {
            time.seconds.clamp(i64::from(i32::MIN), i64::from(i32::MAX))
        };
        if at != 144 || has_extra {
            put_u32(raw, at, low32(seconds.cast_unsigned()));
        }
        if has_extra {
            // What the signed low half does not say, in units of 2^32 seconds.
            let base = i64::from(low32(seconds.cast_unsigned()).cast_signed());
            let epoch = low32((seconds.wrapping_sub(base) >> 32).cast_unsigned()) & 3;
            put_u32(raw, extra, (time.nanos << 2) | epoch);
        }
    }

    pub(crate) fn is_dir(&self) -> bool {
        matches!(self.kind, FileKind::Directory)
    }

    pub(crate) fn has(&self, flag: InodeFlags) -> bool {
        self.flags.contains(flag)
    }

    /// The device of a special file: the old encoding in the first word, else the kernel's in the
    /// second.
    pub(crate) fn rdev(&self) -> DevNum {
        if !matches!(self.kind, FileKind::CharDevice | FileKind::BlockDevice) {
            return DevNum::default();
        }
        let old = u32_at(&self.i_block, 0);
        if old != 0 {
            return DevNum { major: (old >> 8) & 0xff, minor: old & 0xff };
        }
        let raw = u32_at(&self.i_block, 4);
        DevNum { major: (raw & 0xf_ff00) >> 8, minor: (raw & 0xff) | ((raw >> 12) & 0xf_ff00) }
    }

    /// Stores the device of a special file.
    pub(crate) fn set_rdev(&mut self, device: DevNum) {
        self.i_block = [0; I_BLOCK_BYTES];
        if device.major < 256 && device.minor < 256 {
            put_u32(&mut self.i_block, 0, (device.major << 8) | device.minor);
        } else {
            let minor = device.minor;
            let raw = (minor & 0xff) | ((device.major & 0xfff) << 8) | ((minor & 0xf_ff00) << 12);
            put_u32(&mut self.i_block, 4, raw);
        }
    }

    /// What stat(2) shows.
    pub(crate) fn attr(&self, sb: &Super) -> Attr {
        Attr {
            ino: Ino(u64::from(self.ino)),
            kind: self.kind,
            perm: self.perm,
            // A directory with more links than the field holds says 1 (`dir_nlink`).
            nlink: u32::from(self.links),
            uid: self.uid,
            gid: self.gid,
            rdev: self.rdev(),
            size_bytes: self.size,
            blocks_512: self.blocks_512,
            block_size: sb.block_size(),
            atime: self.atime,
            mtime: self.mtime,
            ctime: self.ctime,
            btime: self.btime,
        }
    }
}

/// The last second that 34 bits hold: 2446-05-10.
const EXTRA_SECONDS_MAX: i64 = 0x3_7fff_ffff;

fn blocks_512(sb: &Super, flags: InodeFlags, raw: &[u8]) -> u64 {
    if !sb.ro_compat.contains(RoCompat::HUGE_FILE) {
        return u64::from(u32_at(raw, 28));
    }
    let units = join(u32_at(raw, 28), u32::from(u16_at(raw, 116)));
    if flags.contains(InodeFlags::HUGE_FILE) {
        units << sb.block_bits.saturating_sub(9)
    } else {
        units
    }
}

/// A time of 32 bits at `at`, with 2 more bits and nanoseconds at `extra` where the inode has them.
fn time_at(raw: &[u8], at: usize, extra: usize, extra_isize: u16) -> Timestamp {
    let seconds = i64::from(u32_at(raw, at).cast_signed());
    if us(extra_isize) < extra.saturating_sub(124) {
        return Timestamp { seconds, nanos: 0 };
    }
    let more = u32_at(raw, extra);
    Timestamp {
        seconds: seconds.saturating_add(i64::from(more & 3) << 32),
        nanos: (more >> 2).min(999_999_999),
    }
}

/// The type byte of a directory entry for `kind`.
pub(crate) fn dir_type(kind: FileKind) -> u8 {
    low8(match kind {
        FileKind::Regular => 1,
        FileKind::Directory => 2,
        FileKind::CharDevice => 3,
        FileKind::BlockDevice => 4,
        FileKind::Fifo => 5,
        FileKind::Socket => 6,
        FileKind::Symlink => 7,
    })
}

impl Volume {
    /// Reads inode `ino`, whichever it is.
    ///
    /// # Errors
    /// `ESTALE` if the number names no inode in use.
    pub(crate) fn inode_any(&self, ino: u32) -> Result<Inode> {
        if ino == 0 || ino > self.sb.inodes_count {
            return Error::answer(Errno::ESTALE);
        }
        let place = self.inode_place(ino)?;
        let block = self.block(place.block, Kind::Inodes)?;
        Inode::parse(&self.sb, ino, bytes_at(&block, place.offset, us(self.sb.inode_size)))
    }

    /// Reads inode `ino` on behalf of a caller: the root or one that names may lead to.
    ///
    /// # Errors
    /// `ESTALE` if the number names no inode in use.
    pub(crate) fn inode(&self, ino: Ino) -> Result<Inode> {
        let Ok(number) = u32::try_from(ino.0) else { return Error::answer(Errno::ESTALE) };
        if number != ROOT_INO && number < self.sb.first_ino {
            return Error::answer(Errno::ESTALE);
        }
        let inode = self.inode_any(number)?;
        if inode.has(InodeFlags::EA_INODE) {
            return Error::answer(Errno::ESTALE);
        }
        Ok(inode)
    }

    /// Reads the inode that an entry of directory `dir` at `offset` names.
    ///
    /// # Errors
    /// `Corrupt::DirTarget`, `Corrupt::FreeInode`.
    pub(crate) fn inode_of_entry(&self, dir: u32, offset: u64, target: u32) -> Result<Inode> {
        if target != ROOT_INO && target < self.sb.first_ino || target > self.sb.inodes_count {
            return Err(Corrupt::DirTarget { ino: dir, offset, target }.into());
        }
        match self.inode(Ino(u64::from(target))) {
            Ok(inode) if inode.links == 0 => Err(Corrupt::FreeInode { ino: target }.into()),
            Err(Error::Answer(_)) => Err(Corrupt::FreeInode { ino: target }.into()),
            other => other,
        }
    }

    /// Stores an inode.
    pub(crate) fn store_inode(&mut self, inode: &Inode) -> Result<()> {
        let place = self.inode_place(inode.ino)?;
        let sb = std::sync::Arc::clone(&self.sb);
        let block = self.edit(place.block, Kind::Inodes)?;
        inode.emit(&sb, crate::le::bytes_at_mut(block, place.offset, us(sb.inode_size)));
        Ok(())
    }

    /// The bytes of an inode, attributes included.
    pub(crate) fn inode_bytes(&self, ino: u32) -> Result<Vec<u8>> {
        let place = self.inode_place(ino)?;
        let block = self.block(place.block, Kind::Inodes)?;
        Ok(bytes_at(&block, place.offset, us(self.sb.inode_size)).to_vec())
    }

    /// Whether the target of symbolic link `inode` lies in its `i_block`.
    pub(crate) fn is_fast_link(&self, inode: &Inode) -> bool {
        let cluster = u64::from(self.sb.block_size()) << self.sb.cluster_ratio_bits.min(20);
        let attributes = if inode.file_acl == 0 { 0 } else { cluster >> 9 };
        inode.size < wide(I_BLOCK_BYTES)
            && inode.blocks_512 <= attributes
            && !inode.flags.intersects(InodeFlags::EXTENTS | InodeFlags::INLINE_DATA)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_pass_2038_and_1970_both_ways() {
        let mut inode = Inode {
            ino: 11,
            kind: FileKind::Regular,
            perm: 0,
            uid: 0,
            gid: 0,
            links: 1,
            size: 0,
            blocks_512: 0,
            flags: InodeFlags::empty(),
            atime: Timestamp::default(),
            mtime: Timestamp::default(),
            ctime: Timestamp::default(),
            btime: None,
            dtime: 0,
            generation: 0,
            file_acl: 0,
            extra_isize: 32,
            i_block: [0; I_BLOCK_BYTES],
            seed: 0,
        };
        for seconds in [-1, 0, 1, -(1 << 31), (1 << 31) - 1, 1 << 31, 1 << 32, EXTRA_SECONDS_MAX] {
            let mut raw = vec![0; 256];
            let time = Timestamp { seconds, nanos: 123_456_789 };
            inode.put_time(&mut raw, 8, 140, time);
            assert_eq!(time_at(&raw, 8, 140, 32), time);
        }
        inode.set_rdev(DevNum { major: 300, minor: 70000 });
        inode.kind = FileKind::CharDevice;
        assert_eq!(inode.rdev(), DevNum { major: 300, minor: 70000 });
        inode.set_rdev(DevNum { major: 8, minor: 1 });
        assert_eq!(u32_at(&inode.i_block, 0), 0x801);
        assert_eq!(inode.rdev(), DevNum { major: 8, minor: 1 });
    }
}
