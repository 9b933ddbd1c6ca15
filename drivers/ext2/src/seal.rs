//! The checksum of each kind of metadata block: checked when it comes in, put on when it goes out.

use crate::csum::{crc16, crc32c};
use crate::error::{Error, Result, Summed};
use crate::le::{high16, low16, put_u16, put_u32, u16_at, u32_at, us, wide};
use crate::superblock::{self, SUPER_BYTES, field};
use crate::volume::Volume;

/// What a metadata block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The superblock, somewhere in its block.
    Super,
    /// Group descriptors: block number `.0` of the table.
    Descs(u32),
    /// The block bitmap of a group.
    BlockBitmap(u32),
    /// The inode bitmap of a group.
    InodeBitmap(u32),
    /// Inodes, each with its own checksum, set as it is stored.
    Inodes,
    /// A block of a directory.
    Dir(DirKind),
    /// A block of the extent tree of the inode with this checksum seed.
    Extent(u32),
    /// Extended attributes.
    Xattr,
    /// Something without a checksum: pointers of the old block map, a link target.
    Plain,
}

/// Which block of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DirKind {
    /// The checksum seed of the directory's inode.
    pub(crate) seed: u32,
    /// Whether the directory has an index.
    pub(crate) indexed: bool,
    /// Whether it is the first block.
    pub(crate) first: bool,
}

/// Bytes of `struct ext4_dir_entry_tail`.
pub(crate) const DIR_TAIL: usize = 12;
/// Bytes of `struct dx_tail`.
pub(crate) const INDEX_TAIL: usize = 8;

/// Where `struct dx_countlimit` lies, if the block is a node of an index.
pub(crate) fn index_offset(bytes: &[u8], kind: DirKind) -> Option<usize> {
    if !kind.indexed {
        return None;
    }
    if kind.first {
        return Some(32);
    }
    let is_fake = u32_at(bytes, 0) == 0 && rec_len(bytes, 0) == bytes.len();
    is_fake.then_some(8)
}

/// The `rec_len` of the directory entry at `offset`, as `ext4_rec_len_from_disk`.
pub(crate) fn rec_len(bytes: &[u8], offset: usize) -> usize {
    let raw = u16_at(bytes, offset.saturating_add(4));
    if bytes.len() < 65536 {
        return us(raw);
    }
    match raw {
        0 | 65535 => 65536,
        other => us(other & 65532) | (us(other & 3) << 16),
    }
}

impl Volume {
    /// Checks the checksum of a block that came from the device.
    pub(crate) fn verify(&self, block: u64, kind: Kind, bytes: &[u8]) -> Result<()> {
        let wrong = |what| Err(Error::Checksum(what));
        match kind {
            Kind::Descs(index) => return self.verify_descs(index, bytes),
            _ if !self.sb.has_metadata_csum() => {}
            Kind::Dir(dir) => {
                let (at, sum) = dir_sum(bytes, dir);
                if at == 0 || u32_at(bytes, at) != sum {
                    return wrong(Summed::Directory(block));
                }
            }
            Kind::Extent(seed) => {
                let (at, sum) = extent_sum(bytes, seed);
                if u32_at(bytes, at) != sum {
                    return wrong(Summed::Extent(block));
                }
            }
            Kind::Xattr => {
                if u32_at(bytes, 16) != self.xattr_sum(block, bytes) {
                    return wrong(Summed::Xattr(block));
                }
            }
            Kind::BlockBitmap(group) => {
                let stored = self.group(group)?.block_bitmap_csum;
                if self.bitmap_sum(bytes, self.sb.clusters_per_group) & self.sum_mask() != stored {
                    return wrong(Summed::BlockBitmap(group));
                }
            }
            Kind::InodeBitmap(group) => {
                let stored = self.group(group)?.inode_bitmap_csum;
                let bits = crate::le::low32(self.sb.inodes_per_group.get());
                if self.bitmap_sum(bytes, bits) & self.sum_mask() != stored {
                    return wrong(Summed::InodeBitmap(group));
                }
            }
            Kind::Super | Kind::Inodes | Kind::Plain => {}
        }
        Ok(())
    }

    /// The bits of a bitmap's checksum that a descriptor has room for.
    fn sum_mask(&self) -> u32 {
        if self.sb.desc_size >= 64 { u32::MAX } else { 0xffff }
    }

    /// The checksum of a bitmap with `bits` meaningful bits.
    pub(crate) fn bitmap_sum(&self, bytes: &[u8], bits: u32) -> u32 {
        crc32c(self.sb.csum_seed, bytes.get(..us(bits / 8)).unwrap_or_default())
    }

    fn verify_descs(&self, index: u32, bytes: &[u8]) -> Result<()> {
        if !self.sb.has_group_csum() {
            return Ok(());
        }
        let per_block = self.sb.descs_per_block();
        let first = index.saturating_mul(per_block);
        for place in 0..per_block {
            let group = first.saturating_add(place);
            if group >= self.sb.groups {
                break;
            }
            let size = us(self.sb.desc_size);
            let at = us(place).saturating_mul(size);
            let desc = crate::le::bytes_at(bytes, at, size);
            if u16_at(desc, 30) != self.desc_sum(group, desc) {
                return Err(Error::Checksum(Summed::Descriptor(group)));
            }
        }
        Ok(())
    }

    /// The checksum of one group descriptor, as `ext4_group_desc_csum`.
    pub(crate) fn desc_sum(&self, group: u32, desc: &[u8]) -> u16 {
        let head = desc.get(..30).unwrap_or_default();
        let tail = desc.get(32..).unwrap_or_default();
        if self.sb.has_metadata_csum() {
            let mut sum = crc32c(self.sb.csum_seed, &group.to_le_bytes());
            sum = crc32c(sum, head);
            sum = crc32c(sum, &[0; 2]);
            low16(crc32c(sum, tail))
        } else {
            let mut sum = crc16(!0, &self.sb.uuid);
            sum = crc16(sum, &group.to_le_bytes());
            sum = crc16(sum, head);
            crc16(sum, tail)
        }
    }

    fn xattr_sum(&self, block: u64, bytes: &[u8]) -> u32 {
        let mut sum = crc32c(self.sb.csum_seed, &block.to_le_bytes());
        sum = crc32c(sum, bytes.get(..16).unwrap_or_default());
        sum = crc32c(sum, &[0; 4]);
        crc32c(sum, bytes.get(20..).unwrap_or_default())
    }

    /// Puts the checksums on a block that is about to go out. Bitmaps have theirs in the
    /// descriptor.
    pub(crate) fn seal(&self, block: u64, kind: Kind, bytes: &mut [u8]) {
        match kind {
            Kind::Descs(index) => self.seal_descs(index, bytes),
            _ if !self.sb.has_metadata_csum() => {}
            Kind::Super => {
                let at = us(self.super_offset());
                let area = crate::le::bytes_at_mut(bytes, at, SUPER_BYTES);
                let sum = superblock::checksum(area);
                put_u32(area, field::CHECKSUM, sum);
            }
            Kind::Dir(dir) => {
                let (at, sum) = dir_sum(bytes, dir);
                if at != 0 {
                    put_u32(bytes, at, sum);
                }
            }
            Kind::Extent(seed) => {
                let (at, sum) = extent_sum(bytes, seed);
                put_u32(bytes, at, sum);
            }
            Kind::Xattr => {
                let sum = self.xattr_sum(block, bytes);
                put_u32(bytes, 16, sum);
            }
            Kind::BlockBitmap(_) | Kind::InodeBitmap(_) | Kind::Inodes | Kind::Plain => {}
        }
    }

    fn seal_descs(&self, index: u32, bytes: &mut [u8]) {
        if !self.sb.has_group_csum() {
            return;
        }
        let per_block = self.sb.descs_per_block();
        for place in 0..per_block {
            let group = index.saturating_mul(per_block).saturating_add(place);
            if group >= self.sb.groups {
                break;
            }
            let size = us(self.sb.desc_size);
            let at = us(place).saturating_mul(size);
            let desc = crate::le::bytes_at_mut(bytes, at, size);
            let sum = self.desc_sum(group, desc);
            put_u16(desc, 30, sum);
        }
    }

    /// Where in its block the superblock lies, in bytes.
    pub(crate) fn super_offset(&self) -> u64 {
        if self.sb.block_bits == 10 || self.sb.super_block != 0 { 0 } else { 1024 }
    }
}

/// Where a directory block has its checksum and what it must be; at 0 if there is no room for one.
fn dir_sum(bytes: &[u8], kind: DirKind) -> (usize, u32) {
    if let Some(offset) = index_offset(bytes, kind) {
        let limit = us(u16_at(bytes, offset));
        let count = us(u16_at(bytes, offset.saturating_add(2)));
        let tail = offset.saturating_add(limit.saturating_mul(8));
        let used = offset.saturating_add(count.saturating_mul(8));
        if count > limit || tail.saturating_add(INDEX_TAIL) > bytes.len() {
            return (0, 0);
        }
        let mut sum = crc32c(kind.seed, bytes.get(..used).unwrap_or_default());
        sum = crc32c(sum, crate::le::bytes_at(bytes, tail, 4));
        return (tail.saturating_add(4), crc32c(sum, &[0; 4]));
    }
    let tail = bytes.len().saturating_sub(DIR_TAIL);
    let is_tail = u32_at(bytes, tail) == 0
        && u16_at(bytes, tail.saturating_add(4)) == 12
        && u16_at(bytes, tail.saturating_add(6)) == 0xde00;
    if !is_tail {
        return (0, 0);
    }
    (tail.saturating_add(8), crc32c(kind.seed, bytes.get(..tail).unwrap_or_default()))
}

/// Where an extent block has its checksum and what it must be.
fn extent_sum(bytes: &[u8], seed: u32) -> (usize, u32) {
    let max = us(u16_at(bytes, 4));
    let at = max.saturating_mul(12).saturating_add(12);
    (at, crc32c(seed, bytes.get(..at).unwrap_or_default()))
}

/// The seed of an inode's checksums.
pub(crate) fn inode_seed(volume_seed: u32, ino: u32, generation: u32) -> u32 {
    crc32c(crc32c(volume_seed, &ino.to_le_bytes()), &generation.to_le_bytes())
}

/// The checksum of the bytes of an inode, as `ext4_inode_csum`: 32 bits, of which small inodes keep
/// 16.
pub(crate) fn inode_sum(seed: u32, raw: &[u8]) -> u32 {
    let mut sum = crc32c(seed, raw.get(..124).unwrap_or_default());
    sum = crc32c(sum, &[0; 2]);
    sum = crc32c(sum, raw.get(126..128).unwrap_or_default());
    if raw.len() > 128 {
        sum = crc32c(sum, raw.get(128..130).unwrap_or_default());
        let has_high = u16_at(raw, 128) >= 4;
        if has_high {
            sum = crc32c(sum, &[0; 2]);
        }
        let from = if has_high { 132 } else { 130 };
        sum = crc32c(sum, raw.get(from..).unwrap_or_default());
    }
    sum
}

/// Whether the checksum in the bytes of an inode is right.
pub(crate) fn is_inode_sealed(seed: u32, raw: &[u8]) -> bool {
    let sum = inode_sum(seed, raw);
    let low_ok = u16_at(raw, 124) == low16(sum);
    let has_high = wide(raw.len()) > 128 && u16_at(raw, 128) >= 4;
    low_ok && (!has_high || u16_at(raw, 130) == high16(sum))
}

/// Puts the checksum on the bytes of an inode.
pub(crate) fn seal_inode(seed: u32, raw: &mut [u8]) {
    let sum = inode_sum(seed, raw);
    put_u16(raw, 124, low16(sum));
    if raw.len() > 128 && u16_at(raw, 128) >= 4 {
        put_u16(raw, 130, high16(sum));
    }
}
