//! The structures of FAT12, FAT16 and FAT32.

use crate::field::{le16, le32, us};
use crate::places::{Places, Sum};
use std::ops::Range;

pub(crate) fn find(image: &[u8]) -> Places {
    let sector = us(le16(image, 11));
    let cluster = sector * us(image[13]);
    let reserved = us(le16(image, 14)) * sector;
    let is_fat32 = le16(image, 22) == 0;
    let table = sector * if is_fat32 { us(le32(image, 36)) } else { us(le16(image, 22)) };
    let root = reserved + us(image[16]) * table;
    let data = root + us(le16(image, 17)) * 32;
    let mut places = Places::default();
    places.add("boot sector", 0..90, Sum::None);
    if is_fat32 {
        let at = us(le16(image, 48)) * sector;
        places.add("information", at..at + 512, Sum::None);
    }
    for copy in 0..us(image[16]) {
        let from = reserved + copy * table;
        let class = if copy == 0 { "table" } else { "second table" };
        for piece in used(image, from..from + table, 64) {
            places.add(class, piece, Sum::None);
        }
    }
    for piece in used(image, root..data, 32) {
        places.add("root", piece, Sum::None);
    }
    let mut at = data;
    while at + cluster <= image.len() {
        // A directory begins with itself.
        if &image[at..at + 11] == b".          " && image[at + 11] & 0x10 != 0 {
            for piece in used(image, at..at + cluster, 32) {
                places.add("directory", piece, Sum::None);
            }
        }
        at += cluster;
    }
    if is_fat32 {
        let mut number = le32(image, 44);
        for _ in 0..64 {
            let at = data + us(number.saturating_sub(2)) * cluster;
            for piece in used(image, at..at + cluster, 32) {
                places.add("root", piece, Sum::None);
            }
            number = le32(image, reserved + 4 * us(number)) & 0x0fff_ffff;
            if !(2..0x0fff_fff0).contains(&number) {
                break;
            }
        }
    }
    places
}

/// The pieces of a range that are not all zeroes.
fn used(image: &[u8], range: Range<usize>, step: usize) -> Vec<Range<usize>> {
    let pieces = range.step_by(step).map(|at| at..at + step);
    pieces
        .filter(|piece| image.get(piece.clone()).is_some_and(|b| b.iter().any(|b| *b != 0)))
        .collect()
}
