//! Partition tables.

use abi::dev::Device;
use fuzz::{Memory, Noise, crc32, damage, run};
use std::sync::Arc;
use umdev::disk::Disk;

const SECTORS: usize = 4096;

/// An MBR with a logical partition, as bytes of a disk.
fn mbr() -> Vec<u8> {
    let mut bytes = vec![0; SECTORS * 512];
    entry(&mut bytes, 446, 0x83, 64, 1000);
    entry(&mut bytes, 462, 0x05, 2000, 2000);
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    let extended = 2000 * 512;
    entry(&mut bytes, extended + 446, 0x83, 10, 500);
    entry(&mut bytes, extended + 462, 0x05, 1000, 900);
    bytes[extended + 510..extended + 512].copy_from_slice(&[0x55, 0xaa]);
    bytes
}

/// A partition of a table: type, first sector, sectors.
fn entry(bytes: &mut [u8], at: usize, kind: u8, first: u32, count: u32) {
    bytes[at + 4] = kind;
    bytes[at + 8..at + 12].copy_from_slice(&first.to_le_bytes());
    bytes[at + 12..at + 16].copy_from_slice(&count.to_le_bytes());
}

/// A GPT with one partition; its sums are made by [`seal`].
fn gpt() -> Vec<u8> {
    let mut bytes = vec![0; SECTORS * 512];
    entry(&mut bytes, 446, 0xee, 1, 4095);
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    bytes[512..520].copy_from_slice(b"EFI PART");
    let fields: [(usize, u64, usize); 10] = [
        (8, 0x1_0000, 4),
        (12, 92, 4),
        (24, 1, 8),
        (32, 4095, 8),
        (40, 34, 8),
        (48, 4062, 8),
        (56, 77, 8),
        (72, 2, 8),
        (80, 128, 4),
        (84, 128, 4),
    ];
    for (at, value, width) in fields {
        bytes[512 + at..512 + at + width].copy_from_slice(&value.to_le_bytes()[..width]);
    }
    bytes[1024..1040].fill(7);
    bytes[1040..1056].fill(9);
    bytes[1056..1064].copy_from_slice(&64_u64.to_le_bytes());
    bytes[1064..1072].copy_from_slice(&2000_u64.to_le_bytes());
    bytes
}

/// Makes the sums of a damaged GPT right, so that what is behind them is looked at.
fn seal(bytes: &mut [u8]) {
    let sum = crc32(&bytes[1024..1024 + 128 * 128]);
    bytes[512 + 88..512 + 92].copy_from_slice(&sum.to_le_bytes());
    bytes[512 + 16..512 + 20].fill(0);
    let sum = crc32(&bytes[512..512 + 92]);
    bytes[512 + 16..512 + 20].copy_from_slice(&sum.to_le_bytes());
}

/// Partitions lie inside the disk, and reading one reads nothing else.
fn disk(bytes: Vec<u8>) {
    let size = u64::try_from(bytes.len()).expect("a small disk");
    let Ok(disk) = Disk::new(Arc::new(Memory::new(bytes, true)), true) else { return };
    for sub in disk.subdevices() {
        let end = sub.start_bytes.checked_add(sub.size_bytes);
        assert!(end.is_some_and(|end| end <= size), "partition {} ends at {end:?}", sub.number);
        let Ok(block) = disk.block(sub.number) else { continue };
        let mut sector = [0; 512];
        let _ = block.read_at(&mut sector, 0);
        assert!(block.read_at(&mut sector, sub.size_bytes).is_err(), "it ends where it ends");
    }
}

#[test]
fn a_damaged_mbr_gives_partitions_inside_the_disk() {
    run("mbr", |number| {
        let mut bytes = mbr();
        let noise = &mut Noise::new(number);
        damage(&mut bytes[..512], noise);
        damage(&mut bytes[2000 * 512..2000 * 512 + 512], noise);
        for at in [510, 2000 * 512 + 510] {
            bytes[at..at + 2].copy_from_slice(&[0x55, 0xaa]);
        }
        disk(bytes);
    });
}

#[test]
fn a_damaged_gpt_gives_partitions_inside_the_disk() {
    run("gpt", |number| {
        let mut bytes = gpt();
        let noise = &mut Noise::new(number);
        damage(&mut bytes[512..1536], noise);
        if noise.chance(80) {
            seal(&mut bytes);
        }
        disk(bytes);
    });
}

#[test]
fn an_undamaged_table_is_read() {
    let mut sealed = gpt();
    seal(&mut sealed);
    for (bytes, count) in [(mbr(), 3), (sealed, 1)] {
        let disk = Disk::new(Arc::new(Memory::new(bytes, true)), true).expect("a disk");
        assert!(disk.subdevices().len() > count, "{:?}", disk.subdevices().len());
    }
}
