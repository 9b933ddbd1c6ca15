//! Disks: partition tables and qcow2.

use crate::measure::bounded;
use abi::block::BlockDevice;
use abi::dev::Device;
use abi::fs::{FileSystemType, FsSource};
use abi::options::Options;
use fuzz::{Fixture, Format, Noise, Overlay, fixtures, flip, run_images, use_up};
use std::sync::Arc;
use umdev::disk::Disk;
use umdev::qcow2::Qcow2;

/// Reads and writes each partition at its ends, mounts what is on it; nothing but it is written.
fn partitions(device: &Arc<Overlay>, noise: &mut Noise) {
    let Ok(disk) = Disk::new(device.clone(), true) else { return };
    let size = device.geometry().size_bytes;
    for sub in disk.subdevices() {
        let end = sub.start_bytes.checked_add(sub.size_bytes);
        assert!(end.is_some_and(|end| end <= size), "partition {} ends at {end:?}", sub.number);
        let Ok(block) = disk.block(sub.number) else { continue };
        let mut sector = [0; 512];
        for at in [0, sub.size_bytes / 2, sub.size_bytes.saturating_sub(512), sub.size_bytes] {
            if block.read_at(&mut sector, at).is_ok() {
                let _ = block.write_at(&sector, at);
            }
        }
        let source = FsSource::Device(block);
        if let Ok(fs) = ext2::Ext2Type.mount(source, false, &mut Options::parse("")) {
            use_up(&*fs, noise, true);
        }
        if let Some(written) = device.take_written() {
            let inside = sub.start_bytes <= written.start && Some(written.end) <= end;
            assert!(inside, "partition {}: {written:?} was written", sub.number);
        }
    }
    let _ = disk.rescan();
}

#[test]
fn a_hostile_table_gives_partitions_that_keep_to_themselves() {
    for fixture in fixtures(Format::Table) {
        let name = format!("hostile_{}", fixture.name);
        run_images(&name, move |number| {
            let mut noise = Noise::new(number);
            let device = Arc::new(Overlay::new(Arc::clone(&fixture.image), false));
            let classes = flip(&device, &fixture.places, &mut noise);
            let name = format!("{} {number} {classes:?}", fixture.name);
            bounded(&name, &device, || partitions(&device, &mut noise));
            assert_eq!(device.stray(), None, "{name}: a write outside the disk");
        });
    }
}

/// Reads and writes everywhere, and mounts what is inside.
fn qcow2(fixture: &Fixture, number: u64) {
    let mut noise = Noise::new(number);
    let writes = noise.chance(50);
    let device = Arc::new(Overlay::new(Arc::clone(&fixture.image), !writes));
    let classes = flip(&device, &fixture.places, &mut noise);
    bounded(&format!("{} {number} {classes:?}", fixture.name), &device, || {
        let open = if writes { Qcow2::open_writable } else { Qcow2::open };
        let Ok(disk) = open(device.clone()) else { return };
        let size = disk.geometry().size_bytes;
        let mut buffer = vec![0; 100_000];
        for _ in 0..20 {
            let at = noise.draw() % size.max(1);
            let _ = disk.read_at(&mut buffer, at);
            if writes {
                let _ = disk.write_at(&buffer[..noise.below(70_000)], at);
                let _ = disk.discard(at..size.min(at.saturating_add(1 << noise.below(63))));
                let _ = disk.flush();
            }
        }
        let source = FsSource::Device(Arc::new(disk));
        if let Ok(fs) = ext2::Ext2Type.mount(source, !writes, &mut Options::parse("")) {
            use_up(&*fs, &mut noise, writes);
        }
    });
    assert_eq!(device.stray(), None, "{} {number}: a write outside the image", fixture.name);
}

#[test]
fn a_hostile_qcow2_image_is_answered_for() {
    for fixture in fixtures(Format::Qcow2) {
        let name = format!("hostile_{}", fixture.name);
        run_images(&name, move |number| qcow2(&fixture, number));
    }
}
