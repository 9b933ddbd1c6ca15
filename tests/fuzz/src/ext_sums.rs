//! The checksums of ext4's metadata (the kernel's `Documentation/filesystems/ext4/checksums.rst`), put on again after
//! damage.

use crate::field::{be32, le16, le32, us};
use crate::overlay::Overlay;
use crate::places::{Place, Sum};
use crate::sums::{crc16, crc32c};
use std::ops::Range;

const METADATA_CSUM: u32 = 0x400;
const GDT_CSUM: u32 = 0x10;
const BIT64: u32 = 0x80;
const CSUM_SEED: u32 = 0x2000;
const META_BG: u32 = 0x10;
const SPARSE_SUPER: u32 = 1;

/// What is known of an undamaged volume.
pub(crate) struct ExtSums {
    pub(crate) block_bytes: usize,
    pub(crate) inode_bytes: usize,
    pub(crate) inodes_per_group: u32,
    pub(crate) groups: u32,
    descriptor_bytes: usize,
    descriptor_blocks: Vec<u64>,
    tables: Vec<usize>,
    clusters_per_group: u32,
    uuid: Vec<u8>,
    seed: u32,
    ro_compat: u32,
}

impl ExtSums {
    pub(crate) fn new(image: &[u8]) -> Self {
        let raw = &image[1024..2048];
        let features = if le32(raw, 76) == 0 { [0; 2] } else { [le32(raw, 96), le32(raw, 100)] };
        let [incompat, ro_compat] = features;
        let block_bytes = 1024 << le32(raw, 24);
        let (first, per_group) = (le32(raw, 20), le32(raw, 32));
        let groups = (le32(raw, 4) - first).div_ceil(per_group);
        let descriptor_bytes = if incompat & BIT64 != 0 { us(le16(raw, 254)) } else { 32 };
        let in_block = u32::try_from(block_bytes / descriptor_bytes).unwrap_or(1);
        let place = |index: u32| {
            let first_meta = le32(raw, 260);
            if incompat & META_BG == 0 || index < first_meta {
                // Behind the block that has byte 1,024.
                return u64::from(block_bytes == 1024) + 1 + u64::from(index);
            }
            let group = index * in_block;
            let has_super = ro_compat & SPARSE_SUPER == 0 || has_copy(group);
            u64::from(first) + u64::from(group) * u64::from(per_group) + u64::from(has_super)
        };
        let inode_bytes = if le32(raw, 76) == 0 { 128 } else { us(le16(raw, 88)) };
        let seed =
            if incompat & CSUM_SEED != 0 { le32(raw, 624) } else { crc32c(!0, &raw[104..120]) };
        let mut sums = Self {
            block_bytes,
            inode_bytes,
            inodes_per_group: le32(raw, 40),
            groups,
            descriptor_bytes,
            descriptor_blocks: (0..groups.div_ceil(in_block)).map(place).collect(),
            tables: Vec::new(),
            clusters_per_group: le32(raw, 36),
            uuid: raw[104..120].to_vec(),
            seed,
            ro_compat,
        };
        let table = |group| us(sums.pointer(&image[sums.descriptor(group)], 8)) * block_bytes;
        sums.tables = (0..groups).map(table).collect();
        sums
    }

    /// Where a group's descriptor is.
    pub(crate) fn descriptor(&self, group: u32) -> Range<usize> {
        let in_block = self.block_bytes / self.descriptor_bytes;
        let block = us(self.descriptor_blocks[us(group) / in_block]);
        let from = block * self.block_bytes + us(group) % in_block * self.descriptor_bytes;
        from..from + self.descriptor_bytes
    }

    /// A block number in a descriptor, whose upper half is 32 bytes behind it.
    pub(crate) fn pointer(&self, descriptor: &[u8], at: usize) -> u64 {
        let high = if self.descriptor_bytes >= 64 { le32(descriptor, at + 32) } else { 0 };
        u64::from(le32(descriptor, at)) | u64::from(high) << 32
    }

    pub(crate) fn seal(&self, image: &Overlay, place: &Place) {
        let has_sums = self.ro_compat & METADATA_CSUM != 0;
        match place.sum {
            Sum::Descriptor(group) => self.seal_descriptor(image, group),
            Sum::Journal => seal_journal(image, place.range.start),
            _ if !has_sums => {}
            Sum::Super => {
                let sum = crc32c(!0, &image.peek(1024..2044));
                image.poke(2044, &sum.to_le_bytes());
            }
            Sum::BlockBitmap(group) => {
                self.seal_bitmap(image, place, group, self.clusters_per_group, 0x18)
            }
            Sum::InodeBitmap(group) => {
                self.seal_bitmap(image, place, group, self.inodes_per_group, 0x1a)
            }
            Sum::Inode(number) => self.seal_inode(image, number),
            Sum::Extent(number) => {
                let bytes = image.peek(place.range.clone());
                let tail = 12 + 12 * us(le16(&bytes, 4));
                if tail + 4 <= bytes.len() {
                    let sum = crc32c(self.inode_seed(image, number), &bytes[..tail]);
                    image.poke(place.range.start + tail, &sum.to_le_bytes());
                }
            }
            Sum::Directory(number, counts) => self.seal_directory(image, place, number, counts),
            Sum::Xattr => {
                let mut bytes = image.peek(place.range.clone());
                bytes[16..20].fill(0);
                let block = u64::try_from(place.range.start / self.block_bytes).unwrap_or(0);
                let sum = crc32c(crc32c(self.seed, &block.to_le_bytes()), &bytes);
                image.poke(place.range.start + 16, &sum.to_le_bytes());
            }
            Sum::None | Sum::Gpt(_) => {}
        }
    }

    fn seal_descriptor(&self, image: &Overlay, group: u32) {
        let at = self.descriptor(group);
        let mut bytes = image.peek(at.clone());
        bytes[30..32].fill(0);
        let number = group.to_le_bytes();
        let sum = if self.ro_compat & METADATA_CSUM != 0 {
            u16::try_from(crc32c(crc32c(self.seed, &number), &bytes) & 0xffff).unwrap_or(0)
        } else if self.ro_compat & GDT_CSUM != 0 {
            let sum = crc16(crc16(!0, &self.uuid), &number);
            crc16(crc16(sum, &bytes[..30]), &bytes[32..])
        } else {
            return;
        };
        image.poke(at.start + 30, &sum.to_le_bytes());
    }

    fn seal_bitmap(&self, image: &Overlay, place: &Place, group: u32, bits: u32, field: usize) {
        let bytes = image.peek(place.range.clone());
        let sum = crc32c(self.seed, &bytes[..(us(bits) / 8).min(bytes.len())]).to_le_bytes();
        let at = self.descriptor(group).start;
        image.poke(at + field, &sum[..2]);
        if self.descriptor_bytes >= 64 {
            image.poke(at + field + 32, &sum[2..]);
        }
        self.seal_descriptor(image, group);
    }

    fn inode_at(&self, number: u32) -> usize {
        let index = number - 1;
        let table = self.tables[us(index / self.inodes_per_group)];
        table + us(index % self.inodes_per_group) * self.inode_bytes
    }

    /// The seed that comes of an inode's number and generation.
    fn inode_seed(&self, image: &Overlay, number: u32) -> u32 {
        let at = self.inode_at(number);
        let generation = image.peek(at + 100..at + 104);
        crc32c(crc32c(self.seed, &number.to_le_bytes()), &generation)
    }

    fn seal_inode(&self, image: &Overlay, number: u32) {
        let at = self.inode_at(number);
        let mut bytes = image.peek(at..at + self.inode_bytes);
        let is_long = bytes.len() > 128 && le16(&bytes, 128) >= 4;
        bytes[0x7c..0x7e].fill(0);
        if is_long {
            bytes[0x82..0x84].fill(0);
        }
        let sum = crc32c(self.inode_seed(image, number), &bytes).to_le_bytes();
        image.poke(at + 0x7c, &sum[..2]);
        if is_long {
            image.poke(at + 0x82, &sum[2..]);
        }
    }

    fn seal_directory(&self, image: &Overlay, place: &Place, number: u32, counts: Option<usize>) {
        let bytes = image.peek(place.range.clone());
        let seed = self.inode_seed(image, number);
        let (at, sum) = match counts {
            None => (bytes.len() - 4, crc32c(seed, &bytes[..bytes.len() - 12])),
            Some(counts) => {
                let used = counts + 8 * us(le16(&bytes, counts + 2));
                let tail = counts + 8 * us(le16(&bytes, counts));
                if used > bytes.len() || tail + 8 > bytes.len() {
                    return;
                }
                let sum = crc32c(crc32c(seed, &bytes[..used]), &bytes[tail..tail + 4]);
                (tail + 4, crc32c(sum, &[0; 4]))
            }
        };
        image.poke(place.range.start + at, &sum.to_le_bytes());
    }
}

/// The journal's superblock has a checksum where its features say so.
fn seal_journal(image: &Overlay, at: usize) {
    let mut bytes = image.peek(at..at + 1024);
    if be32(&bytes, 0x28) & 0x18 != 0 {
        bytes[0xfc..0x100].fill(0);
        image.poke(at + 0xfc, &crc32c(!0, &bytes).to_be_bytes());
    }
}

/// Whether a group of a sparse volume has a copy of the superblock.
fn has_copy(group: u32) -> bool {
    let power = |base: u32| (0..20).any(|exponent| base.checked_pow(exponent) == Some(group));
    group == 0 || [3, 5, 7].into_iter().any(power)
}
