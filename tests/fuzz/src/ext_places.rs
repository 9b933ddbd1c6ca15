//! The structures of ext2, ext3 and ext4, found by a reader of their own: an image is trusted here, being made by
//! the format's tools.

use crate::ext_sums::ExtSums;
use crate::field::{be32, le16, le32};
use crate::places::{Places, Sum};
use std::ops::Range;

const EXTENTS: u32 = 0x8_0000;
const INLINE: u32 = 0x1000_0000;
const INDEXED: u32 = 0x1000;
const JOURNAL_INO: u32 = 8;
const JOURNAL_MAGIC: u32 = 0xc03b_3998;

pub(crate) fn find(image: &[u8]) -> Places {
    let shape = ExtSums::new(image);
    let mut finder = Finder { image, shape: &shape, places: Places::default() };
    finder.places.add("superblock", 1024..1024 + 512, Sum::Super);
    for group in 0..shape.groups {
        finder.group(group);
    }
    let mut places = finder.places;
    places.ext = Some(shape);
    places
}

struct Finder<'a> {
    image: &'a [u8],
    shape: &'a ExtSums,
    places: Places,
}

impl Finder<'_> {
    fn block(&self, block: u64) -> Range<usize> {
        let start =
            usize::try_from(block).unwrap_or(usize::MAX).saturating_mul(self.shape.block_bytes);
        start..start.saturating_add(self.shape.block_bytes)
    }

    fn bytes(&self, block: u64) -> &[u8] {
        self.image.get(self.block(block)).unwrap_or_default()
    }

    fn group(&mut self, group: u32) {
        let at = self.shape.descriptor(group);
        self.places.add("descriptor", at.clone(), Sum::Descriptor(group));
        let table = self.shape.pointer(&self.image[at.clone()], 8);
        // The map of a group that was never used is not on the image.
        let unused = le16(&self.image[at.clone()], 18);
        for (bit, field, class, sum) in [
            (2, 0, "block bitmap", Sum::BlockBitmap(group)),
            (1, 4, "inode bitmap", Sum::InodeBitmap(group)),
        ] {
            if unused & bit == 0 {
                let map = self.block(self.shape.pointer(&self.image[at.clone()], field));
                self.places.add(class, map, sum);
            }
        }
        let start = self.block(table).start;
        let image = self.image;
        for place in 0..self.shape.inodes_per_group {
            let number = group * self.shape.inodes_per_group + place + 1;
            let from = start + usize::try_from(place).unwrap_or(0) * self.shape.inode_bytes;
            let Some(raw) = image.get(from..from + self.shape.inode_bytes) else { break };
            if le16(raw, 0) != 0 && le16(raw, 26) != 0 {
                self.places.add("inode", from..from + self.shape.inode_bytes, Sum::Inode(number));
                self.inode(number, raw);
            }
        }
    }

    fn inode(&mut self, number: u32, raw: &[u8]) {
        let flags = le32(raw, 32);
        let acl = u64::from(le32(raw, 104));
        if acl != 0 {
            self.places.add("attributes", self.block(acl), Sum::Xattr);
        }
        let kind = le16(raw, 0) & 0xf000;
        if flags & INLINE != 0 || !matches!(kind, 0x4000 | 0x8000) {
            return;
        }
        let mut data = Vec::new();
        if flags & EXTENTS != 0 {
            self.extents(number, &raw[40..100], &mut data, 5);
        } else {
            for place in 0..15 {
                let level = u32::try_from(place).unwrap_or(0).saturating_sub(11);
                self.pointers(u64::from(le32(raw, 40 + 4 * place)), level, &mut data);
            }
        }
        match (kind, number) {
            (0x4000, _) => self.directory(number, flags & INDEXED != 0, &data),
            (_, JOURNAL_INO) => self.journal(&data),
            _ => {}
        }
    }

    fn extents(&mut self, number: u32, node: &[u8], data: &mut Vec<u64>, depth_max: u32) {
        let (entries, depth) = (le16(node, 2), le16(node, 6));
        for entry in 0..usize::from(entries) {
            let at = 12 + 12 * entry;
            if depth == 0 {
                let first = u64::from(le32(node, at + 8)) | u64::from(le16(node, at + 6)) << 32;
                data.extend(first..first + u64::from(le16(node, at + 4) & 0x7fff).min(4096));
            } else if depth_max > 0 {
                let below = u64::from(le32(node, at + 4)) | u64::from(le16(node, at + 8)) << 32;
                self.places.add("extents", self.block(below), Sum::Extent(number));
                let bytes = self.bytes(below).to_vec();
                self.extents(number, &bytes, data, depth_max - 1);
            }
        }
    }

    fn pointers(&mut self, block: u64, level: u32, data: &mut Vec<u64>) {
        if block == 0 {
            return;
        }
        if level == 0 {
            data.push(block);
            return;
        }
        self.places.add("pointers", self.block(block), Sum::None);
        let bytes = self.bytes(block).to_vec();
        for at in (0..bytes.len()).step_by(4) {
            self.pointers(u64::from(le32(&bytes, at)), level - 1, data);
        }
    }

    fn directory(&mut self, number: u32, indexed: bool, data: &[u64]) {
        for (place, &block) in data.iter().enumerate() {
            let bytes = self.bytes(block);
            let is_node = le32(bytes, 0) == 0 && usize::from(le16(bytes, 4)) == bytes.len();
            let counts = match (indexed, place) {
                (true, 0) => Some(32),
                (true, _) if is_node => Some(8),
                _ => None,
            };
            let class = if counts.is_some() { "index" } else { "directory" };
            self.places.add(class, self.block(block), Sum::Directory(number, counts));
        }
    }

    fn journal(&mut self, data: &[u64]) {
        for (place, &block) in data.iter().enumerate() {
            if place == 0 {
                let from = self.block(block).start;
                self.places.add("journal superblock", from..from + 1024, Sum::Journal);
            } else if be32(self.bytes(block), 0) == JOURNAL_MAGIC {
                self.places.add("journal", self.block(block), Sum::None);
            }
        }
    }
}
