//! The structures of disks: MBR, extended boot records, GPT; and of qcow2.

use crate::field::{be32, be64, le16, le32, le64, us};
use crate::overlay::Overlay;
use crate::places::{Places, Sum};
use crate::sums::crc32;

const SECTOR: usize = 512;

pub(crate) fn find_table(image: &[u8]) -> Places {
    let mut places = Places::default();
    places.add("boot record", 446..512, Sum::None);
    for entry in 0..4 {
        let at = 446 + 16 * entry;
        if matches!(image[at + 4], 5 | 0xf) {
            let start = us(le32(image, at + 8));
            let mut next = start;
            for _ in 0..16 {
                places.add("extended", next * SECTOR + 446..next * SECTOR + 512, Sum::None);
                let link = next * SECTOR + 462;
                if le32(image, link + 8) == 0 {
                    break;
                }
                next = start + us(le32(image, link + 8));
            }
        }
    }
    for header in [SECTOR, image.len() - SECTOR] {
        if image[header..].starts_with(b"EFI PART") {
            places.add("header", header..header + 92, Sum::Gpt(header));
            let table = us(le64(image, header + 72)) * SECTOR;
            for entry in 0..8 {
                places.add(
                    "entry",
                    table + 128 * entry..table + 128 * entry + 128,
                    Sum::Gpt(header),
                );
            }
        }
    }
    places
}

/// Makes both sums of a GPT right.
pub(crate) fn seal(image: &Overlay, header: usize) {
    let mut bytes = image.peek(header..header + SECTOR);
    let table = us(le64(&bytes, 72)).saturating_mul(SECTOR);
    let length = us(le32(&bytes, 80)).saturating_mul(us(le32(&bytes, 84)));
    if table.checked_add(length).is_some_and(|end| end <= image.size()) && length <= 1 << 20 {
        let sum = crc32(&image.peek(table..table + length));
        bytes[88..92].copy_from_slice(&sum.to_le_bytes());
    }
    bytes[16..20].fill(0);
    let size = us(le16(&bytes, 12)).clamp(92, SECTOR);
    let sum = crc32(&bytes[..size]);
    bytes[16..20].copy_from_slice(&sum.to_le_bytes());
    image.poke(header, &bytes);
}

pub(crate) fn find_qcow2(image: &[u8]) -> Places {
    let mut places = Places::default();
    let cluster = 1_usize << be32(image, 20);
    places.add("header", 0..112, Sum::None);
    let (entries, first) = (us(be32(image, 36)), us(be64(image, 40)));
    places.add("first level", first..first + 8 * entries, Sum::None);
    for entry in 0..entries {
        let table = us(be64(image, first + 8 * entry) & 0x00ff_ffff_ffff_fe00);
        if table != 0 {
            places.add("second level", table..table + cluster, Sum::None);
        }
    }
    let counts = us(be64(image, 48));
    places.add("count table", counts..counts + 512, Sum::None);
    let block = us(be64(image, counts));
    places.add("counts", block..block + 512, Sum::None);
    places
}
