//! Group descriptors: where a group has its bitmaps and inode table, and what is free.

use crate::error::{Corrupt, Result};
use crate::le::{bytes_at_mut, high16, join, low16, low32, put_u16, u16_at, u32_at, us};
use crate::seal::Kind;
use crate::superblock::Super;
use crate::volume::Volume;

/// `EXT4_BG_INODE_UNINIT`: the inode bitmap and table are not in use.
pub(crate) const INODE_UNINIT: u16 = 1;
/// `EXT4_BG_BLOCK_UNINIT`: the block bitmap is not in use.
pub(crate) const BLOCK_UNINIT: u16 = 2;

/// The descriptor of one group, validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) block_bitmap: u64,
    pub(crate) inode_bitmap: u64,
    pub(crate) inode_table: u64,
    pub(crate) free_blocks: u32,
    pub(crate) free_inodes: u32,
    pub(crate) used_dirs: u32,
    pub(crate) itable_unused: u32,
    pub(crate) flags: u16,
    pub(crate) block_bitmap_csum: u32,
    pub(crate) inode_bitmap_csum: u32,
}

impl Group {
    /// Validates the descriptor of `group`.
    pub(crate) fn parse(sb: &Super, group: u32, raw: &[u8]) -> Result<Self> {
        let big = sb.desc_size >= 64;
        let high32 = |at| if big { u32_at(raw, at) } else { 0 };
        let wide16 = |low, high| {
            let high = if big { u16_at(raw, high) } else { 0 };
            u32::from(u16_at(raw, low)) | (u32::from(high) << 16)
        };
        let this = Self {
            block_bitmap: join(u32_at(raw, 0), high32(32)),
            inode_bitmap: join(u32_at(raw, 4), high32(36)),
            inode_table: join(u32_at(raw, 8), high32(40)),
            free_blocks: wide16(12, 44),
            free_inodes: wide16(14, 46),
            used_dirs: wide16(16, 48),
            itable_unused: wide16(28, 50),
            flags: if sb.has_group_csum() { u16_at(raw, 18) } else { 0 },
            block_bitmap_csum: wide16(24, 56),
            inode_bitmap_csum: wide16(26, 58),
        };
        let table = u64::from(sb.inode_blocks_per_group());
        for (what, block, count) in [
            ("block bitmap", this.block_bitmap, 1),
            ("inode bitmap", this.inode_bitmap, 1),
            ("inode table", this.inode_table, table),
        ] {
            if !sb.holds(block, count) {
                return Err(Corrupt::GroupBlock { group, what, block }.into());
            }
        }
        Ok(this)
    }

    /// Puts the fields that change into the bytes of a descriptor.
    fn emit(&self, raw: &mut [u8], sb: &Super) {
        let big = sb.desc_size >= 64;
        let mut halves = |low, high, value: u32| {
            put_u16(raw, low, low16(value));
            if big {
                put_u16(raw, high, high16(value));
            }
        };
        halves(12, 44, self.free_blocks);
        halves(14, 46, self.free_inodes);
        halves(16, 48, self.used_dirs);
        if sb.has_group_csum() {
            halves(28, 50, self.itable_unused);
        }
        if sb.has_metadata_csum() {
            halves(24, 56, self.block_bitmap_csum);
            halves(26, 58, self.inode_bitmap_csum);
        }
        if sb.has_group_csum() {
            put_u16(raw, 18, self.flags);
        }
    }
}

impl Volume {
    fn desc_place(&self, group: u32) -> (u32, usize) {
        let per_block = self.sb.descs_per_block();
        let index = group.checked_div(per_block).unwrap_or(0);
        let place = us(group.checked_rem(per_block).unwrap_or(0));
        (index, place.saturating_mul(us(self.sb.desc_size)))
    }

    /// The descriptor of `group`, which is below the count of groups.
    pub(crate) fn group(&self, group: u32) -> Result<Group> {
        let (index, at) = self.desc_place(group);
        let block = self.block(self.sb.desc_block(index), Kind::Descs(index))?;
        let raw = crate::le::bytes_at(&block, at, us(self.sb.desc_size));
        Group::parse(&self.sb, group, raw)
    }

    /// Stores the descriptor of `group`.
    pub(crate) fn store_group(&mut self, group: u32, value: &Group) -> Result<()> {
        let (index, at) = self.desc_place(group);
        let block = self.sb.desc_block(index);
        let sb = std::sync::Arc::clone(&self.sb);
        let bytes = self.edit(block, Kind::Descs(index))?;
        value.emit(bytes_at_mut(bytes, at, us(sb.desc_size)), &sb);
        Ok(())
    }

    /// The group of inode `ino`, its place there, and the block and byte of its bytes.
    pub(crate) fn inode_place(&self, ino: u32) -> Result<InodePlace> {
        let index = u64::from(ino.saturating_sub(1));
        let per_group = self.sb.inodes_per_group;
        let group = low32(index / per_group);
        let place = index % per_group;
        let bytes = place.saturating_mul(u64::from(self.sb.inode_size));
        let table = self.group(group)?.inode_table;
        Ok(InodePlace {
            group,
            index: low32(place),
            block: table.saturating_add(self.sb.block_of(bytes)),
            offset: self.sb.within(bytes),
        })
    }
}

/// Where an inode lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InodePlace {
    pub(crate) group: u32,
    pub(crate) index: u32,
    pub(crate) block: u64,
    pub(crate) offset: usize,
}
