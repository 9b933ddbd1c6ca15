//! Writes partition tables, for tests of the reader.

use abi::block::BlockDevice;
use std::sync::Arc;
use umdev::block::Ramdisk;

/// A partition as a tool would be asked for it: first sector, sectors, type.
pub(crate) type Part = (u32, u32, u8);

pub(crate) fn disk(sectors: u64, block_size: u32) -> Arc<Ramdisk> {
    let disk = Ramdisk::new(sectors * u64::from(block_size)).unwrap();
    Arc::new(disk.with_block_size(block_size).unwrap())
}

fn entry(start: u32, sectors: u32, type_code: u8) -> [u8; 16] {
    let mut raw = [0u8; 16];
    raw[4] = type_code;
    raw[8..12].copy_from_slice(&start.to_le_bytes());
    raw[12..16].copy_from_slice(&sectors.to_le_bytes());
    raw
}

/// Writes a signed sector with up to four entries.
pub(crate) fn mbr_sector(disk: &dyn BlockDevice, lba: u64, entries: &[Part]) {
    let mut sector = [0u8; 512];
    sector[440..444].copy_from_slice(&0xd403_417du32.to_le_bytes());
    for (i, (start, sectors, type_code)) in entries.iter().enumerate() {
        let at = 446 + 16 * i;
        sector[at..at + 16].copy_from_slice(&entry(*start, *sectors, *type_code));
    }
    sector[510] = 0x55;
    sector[511] = 0xaa;
    let offset = lba * u64::from(disk.geometry().block_size);
    disk.write_at(&sector, offset).unwrap();
}

/// Writes an MBR with `primaries` in slots 1-3 and, if there are `logicals`, an extended partition
/// in slot 4 over them; each logical has its EBR in the sector before it.
pub(crate) fn mbr(disk: &dyn BlockDevice, primaries: &[Part], logicals: &[Part]) {
    let mut entries = vec![(0, 0, 0); 3];
    entries[..primaries.len()].copy_from_slice(primaries);
    if let (Some(first), Some(last)) = (logicals.first(), logicals.last()) {
        let extended = first.0 - 1;
        entries.push((extended, last.0 + last.1 - extended, 5));
        for (i, (start, sectors, type_code)) in logicals.iter().enumerate() {
            let mut ebr = vec![(1, *sectors, *type_code)];
            if let Some((next, next_sectors, _)) = logicals.get(i + 1) {
                ebr.push((next - 1 - extended, next_sectors + 1, 5));
            }
            mbr_sector(disk, u64::from(start - 1), &ebr);
        }
    }
    mbr_sector(disk, 0, &entries);
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

/// A GPT partition: number, first sector, last sector, name.
pub(crate) type GptPart = (u32, u64, u64, &'static str);

/// What a test may spoil before the checksums are made.
pub(crate) type Spoil<'a> = &'a dyn Fn(&mut [u8]);

/// A header at `lba` over `entries` at `entries_lba`.
fn gpt_header(
    disk: &dyn BlockDevice,
    lba: u64,
    entries_lba: u64,
    entries: &[u8],
    spoil: Spoil<'_>,
) {
    let geometry = disk.geometry();
    let last = geometry.size_bytes / u64::from(geometry.block_size) - 1;
    let mut header = vec![0u8; geometry.block_size as usize];
    header[..8].copy_from_slice(b"EFI PART");
    header[8..12].copy_from_slice(&0x0001_0000u32.to_le_bytes());
    header[12..16].copy_from_slice(&92u32.to_le_bytes());
    header[24..32].copy_from_slice(&lba.to_le_bytes());
    header[32..40].copy_from_slice(&(last + 1 - lba).to_le_bytes());
    header[40..48].copy_from_slice(&34u64.to_le_bytes());
    header[48..56].copy_from_slice(&(last - 33).to_le_bytes());
    header[56..72].copy_from_slice(&[7; 16]);
    header[72..80].copy_from_slice(&entries_lba.to_le_bytes());
    header[80..84].copy_from_slice(&128u32.to_le_bytes());
    header[84..88].copy_from_slice(&128u32.to_le_bytes());
    header[88..92].copy_from_slice(&crc32(entries).to_le_bytes());
    spoil(&mut header);
    let crc = crc32(&header[..92]);
    header[16..20].copy_from_slice(&crc.to_le_bytes());
    disk.write_at(&header, lba * u64::from(geometry.block_size)).unwrap();
}

/// Writes a protective MBR and both tables; `spoil` changes the first header before its checksum.
pub(crate) fn gpt(disk: &dyn BlockDevice, parts: &[GptPart], spoil: Spoil<'_>) {
    let geometry = disk.geometry();
    let block_size = u64::from(geometry.block_size);
    let last = geometry.size_bytes / block_size - 1;
    mbr_sector(disk, 0, &[(1, u32::try_from(last).unwrap_or(u32::MAX), 0xee)]);
    let mut entries = vec![0u8; 128 * 128];
    for (number, first, last, name) in parts {
        let raw = &mut entries[(*number as usize - 1) * 128..][..128];
        raw[..16].copy_from_slice(&[0xaf; 16]);
        raw[16..32].copy_from_slice(&[*number as u8; 16]);
        raw[32..40].copy_from_slice(&first.to_le_bytes());
        raw[40..48].copy_from_slice(&last.to_le_bytes());
        for (i, unit) in name.encode_utf16().enumerate() {
            raw[56 + 2 * i..58 + 2 * i].copy_from_slice(&unit.to_le_bytes());
        }
    }
    let taken = (entries.len() as u64).div_ceil(block_size);
    disk.write_at(&entries, 2 * block_size).unwrap();
    disk.write_at(&entries, (last - taken) * block_size).unwrap();
    gpt_header(disk, 1, 2, &entries, spoil);
    gpt_header(disk, last, last - taken, &entries, &|_| {});
}
