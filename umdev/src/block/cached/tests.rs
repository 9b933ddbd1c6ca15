//! What the cache saves, and what it never loses.

use super::{CacheShape, Cached};
use crate::block::{Fault, Faulty, Ramdisk, Traced, Volatile};
use abi::Errno;
use abi::block::BlockDevice;
use core::num::NonZeroUsize;
use std::sync::Arc;

fn shape(blocks: usize, readahead: usize) -> CacheShape {
    CacheShape {
        block_bytes: 512,
        blocks_max: NonZeroUsize::new(blocks).unwrap(),
        readahead_blocks: readahead,
    }
}

#[test]
fn sequential_reads_are_fetched_ahead_and_random_ones_are_not() {
    let disk = Arc::new(Traced::new(Ramdisk::new(1 << 20).unwrap(), "below"));
    let cached = Cached::new(disk.clone(), shape(64, 16)).unwrap();
    let mut buf = [0u8; 512];
    for sector in 0..17 {
        cached.read_at(&mut buf, sector * 512).unwrap();
    }
    assert_eq!(disk.counts().reads, 1);
    cached.read_at(&mut buf, 1000 * 512).unwrap();
    assert_eq!((disk.counts().reads, disk.counts().read_bytes), (2, 18 * 512));
    cached.read_at(&mut buf, 1000 * 512).unwrap();
    assert_eq!(disk.counts().reads, 2);
}

#[test]
fn writes_wait_for_the_flush_and_go_down_in_runs() {
    let disk = Arc::new(Traced::new(Ramdisk::new(1 << 20).unwrap(), "below"));
    let cached = Cached::new(disk.clone(), shape(64, 0)).unwrap();
    for sector in [3u64, 1, 2, 9, 0] {
        cached.write_at(&[7; 512], sector * 512).unwrap();
    }
    assert_eq!(disk.counts().writes, 0);
    cached.flush().unwrap();
    // Sectors 0-3 in one, 9 in another; none was read before.
    assert_eq!((disk.counts().writes, disk.counts().reads, disk.counts().flushes), (2, 0, 1));
    assert_eq!(cached.held(), (5, 0));
}

#[test]
fn the_cache_stays_within_its_bound() {
    let disk = Ramdisk::new(1 << 20).unwrap();
    let cached = Cached::new(disk, shape(8, 64)).unwrap();
    let mut buf = vec![0u8; 1 << 19];
    cached.read_at(&mut buf, 0).unwrap();
    assert!(cached.held().0 <= 8);
    cached.write_at(&buf, 1000).unwrap();
    assert!(cached.held().0 <= 8);
    assert!(
        Cached::new(Ramdisk::new(512).unwrap(), CacheShape { block_bytes: 500, ..shape(1, 0) })
            .is_err()
    );
}

#[test]
fn a_block_whose_write_back_failed_is_not_lost() {
    let disk = Arc::new(Ramdisk::new(1 << 16).unwrap());
    let faulty = Arc::new(Faulty::new(disk.clone(), [Fault::FailWrite(0)]));
    let cached = Cached::new(faulty.clone(), shape(8, 0)).unwrap();
    cached.write_at(b"kept", 100).unwrap();
    assert_eq!(cached.flush(), Err(Errno::EIO));
    // Error: the disk below was not told that all is well.
    assert_eq!(faulty.flushes(), 0);
    assert_eq!(cached.held().1, 1);
    cached.flush().unwrap();
    let mut buf = [0u8; 4];
    disk.read_at(&mut buf, 100).unwrap();
    assert_eq!(&buf, b"kept");
}

#[test]
fn after_a_flush_a_power_cut_loses_nothing() {
    let disk = Arc::new(Ramdisk::new(1 << 16).unwrap());
    let volatile = Arc::new(Volatile::new(disk.clone()));
    let cached = Cached::new(volatile.clone(), shape(2, 0)).unwrap();
    for sector in 0..20u64 {
        cached.write_at(&[1; 512], sector * 512).unwrap();
    }
    cached.flush().unwrap();
    cached.write_at(&[2; 512], 0).unwrap();
    volatile.crash(|_| false).unwrap();
    let mut buf = [0u8; 20 * 512];
    disk.read_at(&mut buf, 0).unwrap();
    assert!(buf.iter().all(|b| *b == 1));
}

#[test]
fn dropping_writes_back() {
    let disk = Arc::new(Ramdisk::new(4096).unwrap());
    Cached::new(disk.clone(), shape(4, 0)).unwrap().write_at(b"late", 0).unwrap();
    let mut buf = [0u8; 4];
    disk.read_at(&mut buf, 0).unwrap();
    assert_eq!(&buf, b"late");
}
