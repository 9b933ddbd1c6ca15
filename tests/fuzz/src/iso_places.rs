//! The structures of ISO 9660: descriptors, path tables, records, and what System Use Sharing puts behind them.

use crate::field::{le32, us};
use crate::places::{Places, Sum};

const SECTOR: usize = 2048;

/// The most directories that are walked, and bytes of one.
const DIRECTORIES_MAX: usize = 400;
const DIRECTORY_MAX: usize = 1 << 18;

pub(crate) fn find(image: &[u8]) -> Places {
    let mut places = Places::default();
    let mut todo = Vec::new();
    for sector in 16..32 {
        let at = sector * SECTOR;
        let Some(&kind) = image.get(at) else { break };
        places.add("descriptor", at..at + 190, Sum::None);
        if kind == 255 {
            break;
        }
        if kind == 1 || kind == 2 {
            let path = us(le32(image, at + 140)) * SECTOR;
            places.add("path table", path..path + us(le32(image, at + 132)), Sum::None);
            todo.push((us(le32(image, at + 158)) * SECTOR, us(le32(image, at + 166))));
        }
    }
    let mut count = 0;
    while let Some((from, length)) = todo.pop() {
        count += 1;
        if count <= DIRECTORIES_MAX {
            directory(image, from, length.min(DIRECTORY_MAX), &mut places, &mut todo);
        }
    }
    places
}

fn directory(
    image: &[u8],
    from: usize,
    length: usize,
    places: &mut Places,
    todo: &mut Vec<(usize, usize)>,
) {
    let (mut at, mut place) = (from, 0);
    while at < from + length && at + 34 < image.len() {
        let size = usize::from(image[at]);
        if size < 34 {
            // Records do not cross sectors.
            at = (at / SECTOR + 1) * SECTOR;
            continue;
        }
        let name = usize::from(image[at + 32]);
        let system_use = at + 33 + name + (name + 1) % 2;
        let end = (at + size).min(image.len());
        places.add("record", at..at + 33 + name, Sum::None);
        places.add("system use", system_use.min(end)..end, Sum::None);
        continuation(image, system_use.min(end), end, places);
        if image[at + 25] & 2 != 0 && place >= 2 {
            todo.push((us(le32(image, at + 2)) * SECTOR, us(le32(image, at + 10))));
        }
        place += 1;
        at += size;
    }
}

/// Where an entry `CE` leads.
fn continuation(image: &[u8], from: usize, end: usize, places: &mut Places) {
    let mut at = from;
    while at + 4 <= end {
        let size = usize::from(image[at + 2]);
        if size < 4 {
            return;
        }
        if &image[at..at + 2] == b"CE" {
            let start = us(le32(image, at + 4)) * SECTOR + us(le32(image, at + 12));
            let stop = (start + us(le32(image, at + 20))).min(image.len());
            places.add("continuation", start..stop, Sum::None);
        }
        at += size;
    }
}
