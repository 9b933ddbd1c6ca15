//! Large directories cost what their files cost: counted in writes, not in time.

use crate::device::Ram;
use crate::tools::{assert_clean, mkfs};
use crate::volume::{Volume, mount};
use std::sync::Arc;

/// Writes to the device for each thousand of `count` creations in one directory.
fn writes_per_thousand(volume: &Volume, count: usize) -> Vec<usize> {
    let mut counts = Vec::new();
    for thousand in 0..count / 1000 {
        volume.device.record();
        for n in 0..1000 {
            let name = format!("d/a file of many, number {}.text", thousand * 1000 + n);
            let handle = volume.create(&name).unwrap();
            volume.fs.release(handle);
        }
        counts.push(volume.device.log().len());
    }
    counts
}

#[test]
fn twenty_thousand_creations_cost_the_same_at_the_end_as_at_the_beginning() {
    let image = mkfs(64 * 1024, &["-F", "32", "-s", "1"]);
    let volume = mount(&Arc::new(Ram::new(image)), false, "").unwrap();
    volume.mkdir("d").unwrap();
    let counts = writes_per_thousand(&volume, 16_000);
    let (first, last) = (counts[1], counts[15]);
    assert!(last <= first + first / 10, "{counts:?}");
    // One for the entry, and a share of the directory's growth: one cluster for five files.
    assert!(last < 3000, "{counts:?}");
    assert_clean(&volume.synced());
    let again = Volume::read_only(volume.device.bytes());
    assert_eq!(again.list(again.ino("d").unwrap()).unwrap().len(), 16_000);
    for n in 0..16_000 {
        volume.unlink(&format!("d/a file of many, number {n}.text")).unwrap();
    }
    volume.rmdir("d").unwrap();
    assert_clean(&volume.synced());
}

#[test]
fn twenty_thousand_short_names_fit_into_one_directory() {
    let image = mkfs(64 * 1024, &["-F", "32", "-s", "8"]);
    let volume = mount(&Arc::new(Ram::new(image)), false, "").unwrap();
    volume.device.record();
    for n in 0..20_000 {
        volume.put(&format!("file number {n}"), b"").unwrap();
    }
    let writes = volume.device.log().len();
    assert!(writes < 25_000, "{writes} writes");
    assert_clean(&volume.synced());
}

#[test]
fn a_sequential_file_is_written_in_long_runs() {
    let image = mkfs(34 * 1024, &["-F", "32", "-s", "1"]);
    let volume = mount(&Arc::new(Ram::new(image)), false, "").unwrap();
    let handle = volume.create("large").unwrap();
    volume.device.record();
    let chunk = vec![5; 1 << 20];
    for n in 0..20u64 {
        assert_eq!(volume.fs.write(handle, &chunk, n << 20), Ok(1 << 20));
    }
    volume.fs.release(handle);
    // One for each chunk, the mark, two copies of the table, the entry.
    let writes = volume.device.log().len();
    assert!(writes < 40, "{writes} writes");
    assert_clean(&volume.synced());
}
