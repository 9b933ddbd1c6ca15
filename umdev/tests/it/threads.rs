//! Many threads on one disk: each byte is that of its own writer.

use crate::emit;
use crate::memory::{by_value, with_bytes};
use abi::block::BlockDevice;
use abi::dev::Device;
use std::num::NonZeroUsize;
use std::sync::Arc;
use umdev::block::{CacheShape, Cached, Snapshot};
use umdev::disk::Disk;
use umdev::disk::request::{BLKROSET, BLKRRPART};

const SECTOR: u64 = 512;

/// A disk with four partitions of 100 sectors over a cache over a snapshot.
fn disk() -> Disk {
    let ram = emit::disk(1024, 512);
    let parts: Vec<_> = (0..3).map(|i| (10 + 100 * i, 100, 0x83)).collect();
    emit::mbr(&*ram, &parts, &[(501, 100, 0x83)]);
    let blocks_max = NonZeroUsize::new(16).unwrap();
    let shape = CacheShape { block_bytes: 4096, blocks_max, readahead_blocks: 3 };
    let stack = Cached::new(Snapshot::in_memory(ram).unwrap(), shape).unwrap();
    Disk::new(Arc::new(stack), true).unwrap()
}

#[test]
fn writers_of_different_partitions_do_not_meet() {
    let disk = disk();
    std::thread::scope(|scope| {
        for number in [1u8, 2, 3, 5] {
            let part = disk.block(u32::from(number)).unwrap();
            scope.spawn(move || {
                for round in 0..20u64 {
                    for sector in 0..100u64 {
                        // Odd offsets, so that neighbours share blocks of the cache and chunks of
                        // the snapshot.
                        let bytes = [number.wrapping_mul(round as u8 + 1); 300];
                        part.write_at(&bytes, sector * SECTOR + round % 7).unwrap();
                        let mut buf = [0u8; 300];
                        part.read_at(&mut buf, sector * SECTOR + round % 7).unwrap();
                        assert_eq!(buf, bytes);
                    }
                    part.flush().unwrap();
                }
            });
        }
    });
}

#[test]
fn opens_rescans_and_transfers_do_not_lock_up() {
    let disk = disk();
    std::thread::scope(|scope| {
        for number in [1u32, 2, 5] {
            let disk = &disk;
            scope.spawn(move || {
                for _ in 0..200 {
                    if disk.open(number, true).is_ok() {
                        disk.block(number).unwrap().write_at(&[1; 64], 64).unwrap();
                        disk.release(number);
                    }
                    let _ = by_value(disk, 0, BLKRRPART, 0);
                    with_bytes(disk, number, BLKROSET, &0i32.to_ne_bytes()).unwrap();
                    assert_eq!(disk.subdevices().len(), 6);
                }
            });
        }
    });
    assert_eq!(by_value(&disk, 0, BLKRRPART, 0), Ok(0));
}
