//! The superblock: what the whole volume looks like.
//!
//! 1,024 bytes at byte 1,024 of the volume, copied to some groups. Source of the layout: the
//! kernel's documentation, `Documentation/filesystems/ext4/super.rst`.

use crate::csum::crc32c;
use crate::error::{Corrupt, Error, Result, Summed, Unsupported};
use crate::features::{Compat, INCOMPAT_READ, Incompat, RoCompat};
use crate::le::{join, low32, u8_at, u16_at, u32_at, us, wide};
use core::num::NonZeroU64;

/// Bytes of the superblock.
pub(crate) const SUPER_BYTES: usize = 1024;
/// Where the first one lies.
pub(crate) const SUPER_OFFSET: u64 = 1024;
/// `s_magic`
const MAGIC: u16 = 0xef53;

/// Byte offsets of the fields that change while mounted.
pub(crate) mod field {
    pub(crate) const FREE_BLOCKS_LO: usize = 12;
    pub(crate) const FREE_INODES: usize = 16;
    pub(crate) const MTIME: usize = 44;
    pub(crate) const WTIME: usize = 48;
    pub(crate) const MNT_COUNT: usize = 52;
    pub(crate) const STATE: usize = 58;
    pub(crate) const REV_LEVEL: usize = 76;
    pub(crate) const COMPAT: usize = 92;
    pub(crate) const INCOMPAT: usize = 96;
    pub(crate) const RO_COMPAT: usize = 100;
    pub(crate) const LAST_ORPHAN: usize = 232;
    pub(crate) const FREE_BLOCKS_HI: usize = 344;
    pub(crate) const CHECKSUM: usize = 1020;
}

/// `EXT2_VALID_FS` of `s_state`: unmounted cleanly.
pub(crate) const STATE_CLEAN: u16 = 1;
/// `EXT2_ERROR_FS` of `s_state`: someone found errors.
pub(crate) const STATE_ERRORS: u16 = 2;

/// The validated superblock, without the fields that change while mounted.
#[derive(Clone, Debug)]
pub(crate) struct Super {
    pub(crate) block_bits: u32,
    pub(crate) blocks_count: u64,
    pub(crate) reserved_blocks: u64,
    pub(crate) first_data_block: u64,
    pub(crate) blocks_per_group: NonZeroU64,
    /// Bits of the block bitmap that mean something: clusters of a group.
    pub(crate) clusters_per_group: u32,
    /// A cluster is `1 << cluster_ratio_bits` blocks.
    pub(crate) cluster_ratio_bits: u32,
    pub(crate) inodes_per_group: NonZeroU64,
    pub(crate) inodes_count: u32,
    pub(crate) inode_size: u16,
    pub(crate) first_ino: u32,
    pub(crate) compat: Compat,
    pub(crate) incompat: Incompat,
    pub(crate) ro_compat: RoCompat,
    pub(crate) uuid: [u8; 16],
    pub(crate) hash_seed: [u32; 4],
    pub(crate) hash_version: u8,
    pub(crate) hash_unsigned: bool,
    pub(crate) desc_size: u16,
    pub(crate) first_meta_bg: u32,
    pub(crate) reserved_gdt_blocks: u16,
    pub(crate) groups: u32,
    pub(crate) csum_seed: u32,
    pub(crate) journal_ino: u32,
    pub(crate) orphan_file_ino: u32,
    pub(crate) want_extra_isize: u16,
    pub(crate) backup_groups: [u32; 2],
    /// The block that holds this superblock.
    pub(crate) super_block: u64,
}

impl Super {
    /// Validates the 1,024 bytes read at byte `at` of a device of `device_bytes`.
    ///
    /// # Errors
    /// `Unsupported`, then `Corrupt::Super` naming the field, then `Checksum(Super)`.
    pub(crate) fn parse(raw: &[u8], at: u64, device_bytes: u64) -> Result<Self> {
        let magic = u16_at(raw, 56);
        if magic != MAGIC {
            return Err(Error::Unsupported(Unsupported::Magic(magic)));
        }
        let revision = u32_at(raw, 76);
        if revision > 1 {
            return Err(Error::Unsupported(Unsupported::Revision(revision)));
        }
        let (compat, incompat, ro_compat) = if revision == 0 {
            (0, 0, 0)
        } else {
            (u32_at(raw, 92), u32_at(raw, 96), u32_at(raw, 100))
        };
        let incompat = Incompat::from_bits_retain(incompat);
        let unknown = incompat.bits() & !INCOMPAT_READ.bits();
        if unknown != 0 {
            return Err(Error::Unsupported(Unsupported::Incompat(unknown)));
        }
        let compat = Compat::from_bits_retain(compat);
        let ro_compat = RoCompat::from_bits_retain(ro_compat);
        check_checksum(raw, ro_compat)?;
        let shape = Shape::parse(raw, revision, incompat, ro_compat)?;
        let blocks = Blocks::parse(raw, &shape, incompat, ro_compat, device_bytes)?;
        let uuid = array(raw, 104);
        let flags = u32_at(raw, 352);
        let csum_seed = if incompat.contains(Incompat::CSUM_SEED) {
            u32_at(raw, 624)
        } else {
            crc32c(!0, &uuid)
        };
        Ok(Self {
            block_bits: shape.block_bits,
            blocks_count: blocks.count,
            reserved_blocks: blocks.reserved,
            first_data_block: blocks.first,
            blocks_per_group: blocks.per_group,
            clusters_per_group: blocks.clusters_per_group,
            cluster_ratio_bits: blocks.cluster_ratio_bits,
            inodes_per_group: blocks.inodes_per_group,
            inodes_count: blocks.inodes_count,
            inode_size: shape.inode_size,
            first_ino: shape.first_ino,
            compat,
            incompat,
            ro_compat,
            uuid,
            hash_seed: [u32_at(raw, 236), u32_at(raw, 240), u32_at(raw, 244), u32_at(raw, 248)],
            hash_version: u8_at(raw, 252),
            hash_unsigned: flags & 2 != 0,
            desc_size: shape.desc_size,
            first_meta_bg: u32_at(raw, 260),
            reserved_gdt_blocks: u16_at(raw, 206),
            groups: blocks.groups,
            csum_seed,
            journal_ino: u32_at(raw, 224),
            orphan_file_ino: u32_at(raw, 640),
            want_extra_isize: want_extra_isize(raw, shape.inode_size, ro_compat),
            backup_groups: [u32_at(raw, 588), u32_at(raw, 592)],
            super_block: at >> shape.block_bits,
        })
    }

    pub(crate) fn block_size(&self) -> u32 {
        1 << self.block_bits
    }

    pub(crate) fn block_bytes(&self) -> usize {
        us(self.block_size())
    }

    pub(crate) fn has_metadata_csum(&self) -> bool {
        self.ro_compat.contains(RoCompat::METADATA_CSUM)
    }

    /// Whether descriptors are summed and groups may be left uninitialised.
    pub(crate) fn has_group_csum(&self) -> bool {
        self.ro_compat.intersects(RoCompat::METADATA_CSUM | RoCompat::GDT_CSUM)
    }

    pub(crate) fn has_extents(&self) -> bool {
        self.incompat.contains(Incompat::EXTENTS)
    }

    /// Bytes before block `block`.
    pub(crate) fn byte_of(&self, block: u64) -> u64 {
        block.saturating_mul(u64::from(self.block_size()))
    }

    /// The block that byte `offset` lies in.
    pub(crate) fn block_of(&self, offset: u64) -> u64 {
        offset >> self.block_bits
    }

    /// Where in its block byte `offset` lies.
    pub(crate) fn within(&self, offset: u64) -> usize {
        us(offset & wide(self.block_bytes()).saturating_sub(1))
    }

    /// How many blocks hold `bytes` bytes.
    pub(crate) fn blocks_for(&self, bytes: u64) -> u64 {
        let whole = bytes >> self.block_bits;
        whole.saturating_add(u64::from(self.within(bytes) != 0))
    }

    /// The group of `block`, which lies on the volume.
    pub(crate) fn group_of(&self, block: u64) -> u32 {
        low32(block.saturating_sub(self.first_data_block) / self.blocks_per_group)
    }

    /// The first block of `group`.
    pub(crate) fn group_start(&self, group: u32) -> u64 {
        u64::from(group)
            .saturating_mul(self.blocks_per_group.get())
            .saturating_add(self.first_data_block)
    }

    /// The blocks that `group` has: the last may have fewer.
    pub(crate) fn group_blocks(&self, group: u32) -> u32 {
        let left = self.blocks_count.saturating_sub(self.group_start(group));
        low32(left.min(self.blocks_per_group.get()))
    }

    pub(crate) fn descs_per_block(&self) -> u32 {
        self.block_size().checked_div(u32::from(self.desc_size)).unwrap_or(1).max(1)
    }

    /// How many blocks hold descriptors.
    pub(crate) fn desc_blocks(&self) -> u32 {
        self.groups.div_ceil(self.descs_per_block())
    }

    pub(crate) fn inode_blocks_per_group(&self) -> u32 {
        low32(
            self.blocks_for(self.inodes_per_group.get().saturating_mul(u64::from(self.inode_size))),
        )
    }

    /// Whether `group` begins with a copy of the superblock.
    pub(crate) fn has_super(&self, group: u32) -> bool {
        if group == 0 {
            return true;
        }
        if self.compat.contains(Compat::SPARSE_SUPER2) {
            return self.backup_groups.contains(&group);
        }
        !self.ro_compat.contains(RoCompat::SPARSE_SUPER)
            || group == 1
            || [3, 5, 7].into_iter().any(|base| is_power_of(group, base))
    }

    /// Blocks at the start of `group` for the superblock and descriptors, as
    /// `ext4_num_base_meta_clusters`.
    pub(crate) fn base_blocks(&self, group: u32) -> u32 {
        let has_super = u32::from(self.has_super(group));
        let first_meta = self.first_meta_bg.saturating_mul(self.descs_per_block());
        if !self.incompat.contains(Incompat::META_BG) || group < first_meta {
            let table = if self.incompat.contains(Incompat::META_BG) {
                self.first_meta_bg
            } else {
                self.desc_blocks().saturating_add(u32::from(self.reserved_gdt_blocks))
            };
            return has_super.saturating_mul(table.saturating_add(1));
        }
        let place = group.checked_rem(self.descs_per_block()).unwrap_or(0);
        let last = self.descs_per_block().saturating_sub(1);
        has_super.saturating_add(u32::from(place == 0 || place == 1 || place == last))
    }

    /// Where descriptor block number `index` lies, as `descriptor_loc`.
    pub(crate) fn desc_block(&self, index: u32) -> u64 {
        if !self.incompat.contains(Incompat::META_BG) || index < self.first_meta_bg {
            return self.super_block.saturating_add(1).saturating_add(u64::from(index));
        }
        let group = self.descs_per_block().saturating_mul(index);
        let mut skip = u64::from(self.has_super(group));
        if self.block_bits == 10 && index == 0 && self.first_data_block == 0 {
            skip = skip.saturating_add(1);
        }
        self.group_start(group).saturating_add(skip)
    }

    /// Whether `count` blocks from `block` may be pointed to.
    pub(crate) fn holds(&self, block: u64, count: u64) -> bool {
        block > self.first_data_block
            && block.checked_add(count).is_some_and(|end| end <= self.blocks_count)
    }
}

/// `s_def_resuid` and the like are not used; this is `s_want_extra_isize` as `ext4_fill_super`
/// bounds it.
fn want_extra_isize(raw: &[u8], inode_size: u16, ro_compat: RoCompat) -> u16 {
    if inode_size <= 128 {
        return 0;
    }
    let room = inode_size.saturating_sub(128);
    let mut want = 32;
    if ro_compat.contains(RoCompat::EXTRA_ISIZE) {
        want = want.max(u16_at(raw, 348)).max(u16_at(raw, 350));
    }
    if want > room || want & 3 != 0 { 32.min(room) } else { want }
}

fn check_checksum(raw: &[u8], ro_compat: RoCompat) -> Result<()> {
    if !ro_compat.contains(RoCompat::METADATA_CSUM) {
        return Ok(());
    }
    let kind = u8_at(raw, 373);
    if kind != 1 {
        return Err(Error::Unsupported(Unsupported::ChecksumType(kind)));
    }
    if checksum(raw) != u32_at(raw, field::CHECKSUM) {
        return Err(Error::Checksum(Summed::Super));
    }
    Ok(())
}

/// The checksum that belongs into a superblock.
pub(crate) fn checksum(raw: &[u8]) -> u32 {
    crc32c(!0, raw.get(..field::CHECKSUM).unwrap_or_default())
}

fn array<const N: usize>(raw: &[u8], offset: usize) -> [u8; N] {
    let mut bytes = [0; N];
    for (at, byte) in (offset..).zip(bytes.iter_mut()) {
        *byte = u8_at(raw, at);
    }
    bytes
}

fn is_power_of(number: u32, base: u32) -> bool {
    let mut power = base;
    while power < number {
        match power.checked_mul(base) {
            Some(next) => power = next,
            None => return false,
        }
    }
    power == number
}

fn check(good: bool, field: &'static str, value: impl Into<u64>) -> Result<()> {
    if good { Ok(()) } else { Err(Corrupt::Super { field, value: value.into() }.into()) }
}

/// Sizes of things.
struct Shape {
    block_bits: u32,
    inode_size: u16,
    first_ino: u32,
    desc_size: u16,
}

impl Shape {
    fn parse(raw: &[u8], revision: u32, incompat: Incompat, ro_compat: RoCompat) -> Result<Self> {
        let s_log_block_size = u32_at(raw, 24);
        check(s_log_block_size <= 6, "s_log_block_size", s_log_block_size)?;
        let block_bits = s_log_block_size.saturating_add(10);
        let block_size = 1u32 << block_bits.min(16);
        let (inode_size, first_ino) =
            if revision == 0 { (128, 11) } else { (u16_at(raw, 88), u32_at(raw, 84)) };
        check(
            inode_size.is_power_of_two()
                && inode_size >= 128
                && u32::from(inode_size) <= block_size,
            "s_inode_size",
            inode_size,
        )?;
        check(first_ino >= 11, "s_first_ino", first_ino)?;
        let desc_size = if incompat.contains(Incompat::BIT64) {
            let size = u16_at(raw, 254);
            check(size.is_power_of_two() && (64..=1024).contains(&size), "s_desc_size", size)?;
            size
        } else {
            32
        };
        let s_log_cluster_size = u32_at(raw, 28);
        if ro_compat.contains(RoCompat::BIGALLOC) {
            check(
                (s_log_block_size..=19).contains(&s_log_cluster_size),
                "s_log_cluster_size",
                s_log_cluster_size,
            )?;
        }
        Ok(Self { block_bits, inode_size, first_ino, desc_size })
    }
}

/// Counts of things.
struct Blocks {
    count: u64,
    reserved: u64,
    first: u64,
    per_group: NonZeroU64,
    clusters_per_group: u32,
    cluster_ratio_bits: u32,
    groups: u32,
    inodes_per_group: NonZeroU64,
    inodes_count: u32,
}

impl Blocks {
    fn parse(
        raw: &[u8],
        shape: &Shape,
        incompat: Incompat,
        ro_compat: RoCompat,
        device_bytes: u64,
    ) -> Result<Self> {
        let bit64 =
            |offset| if incompat.contains(Incompat::BIT64) { u32_at(raw, offset) } else { 0 };
        let count = join(u32_at(raw, 4), bit64(336));
        let fits =
            count.checked_mul(1 << shape.block_bits).is_some_and(|bytes| bytes <= device_bytes);
        check(fits, "s_blocks_count", count)?;
        let first = u32_at(raw, 20);
        let bigalloc = ro_compat.contains(RoCompat::BIGALLOC);
        let good_first =
            if shape.block_bits == 10 { first == 1 || bigalloc && first == 0 } else { first == 0 };
        check(good_first && u64::from(first) < count, "s_first_data_block", first)?;
        let bitmap_bits = 8u64 << shape.block_bits;
        let per_group = u32_at(raw, 32);
        let (clusters, ratio) = if bigalloc {
            (u32_at(raw, 36), u32_at(raw, 28).saturating_sub(u32_at(raw, 24)))
        } else {
            (per_group, 0)
        };
        let good_clusters = clusters > 0
            && clusters & 7 == 0
            && u64::from(clusters) <= bitmap_bits
            && u64::from(clusters) << ratio.min(20) == u64::from(per_group);
        check(good_clusters, "s_clusters_per_group", clusters)?;
        let bad_group = || Error::from(Corrupt::Super { field: "s_blocks_per_group", value: 0 });
        let per_group = NonZeroU64::new(u64::from(per_group)).ok_or_else(bad_group)?;
        let groups = count.saturating_sub(u64::from(first)).div_ceil(per_group.get());
        let inodes_per_group = u32_at(raw, 40);
        check(
            inodes_per_group > 0
                && inodes_per_group & 7 == 0
                && u64::from(inodes_per_group) <= bitmap_bits,
            "s_inodes_per_group",
            inodes_per_group,
        )?;
        let inodes_count = u32_at(raw, 0);
        let product = groups.checked_mul(u64::from(inodes_per_group));
        check(product == Some(u64::from(inodes_count)), "s_inodes_count", inodes_count)?;
        check(u16_at(raw, 206) <= 16384, "s_reserved_gdt_blocks", u16_at(raw, 206))?;
        let bad_inodes = || Error::from(Corrupt::Super { field: "s_inodes_per_group", value: 0 });
        Ok(Self {
            count,
            reserved: join(u32_at(raw, 8), bit64(340)),
            first: u64::from(first),
            per_group,
            clusters_per_group: clusters,
            cluster_ratio_bits: ratio,
            groups: low32(groups),
            inodes_per_group: NonZeroU64::new(u64::from(inodes_per_group))
                .ok_or_else(bad_inodes)?,
            inodes_count,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_found_and_nothing_else() {
        let found: Vec<u32> =
            (1..130).filter(|&n| [3, 5, 7].iter().any(|&b| is_power_of(n, b))).collect();
        assert_eq!(found, [3, 5, 7, 9, 25, 27, 49, 81, 125]);
        assert!(!is_power_of(u32::MAX, 3));
    }

    #[test]
    fn zeroes_are_no_superblock() {
        // Error: the magic number is missing.
        let refusal = Super::parse(&[0; 1024], 1024, 1 << 20).unwrap_err();
        assert_eq!(refusal, Error::Unsupported(Unsupported::Magic(0)));
    }
}
