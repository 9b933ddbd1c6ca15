//! File systems.

use crate::measure::bounded;
use abi::Errno;
use abi::fs::{FileSystemType, FsSource};
use abi::options::Options;
use fuzz::{Fixture, Format, Noise, Overlay, fixtures, flip, images_wanted, run_images, use_up};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Damages the image, mounts it, uses it up. Whether it could be mounted.
fn volume(fs_type: &dyn FileSystemType, fixture: &Fixture, number: u64, may_write: bool) -> bool {
    let mut noise = Noise::new(number);
    let writes = may_write && noise.chance(75);
    let device = Arc::new(Overlay::new(Arc::clone(&fixture.image), !writes));
    let classes = flip(&device, &fixture.places, &mut noise);
    let mut mounted = false;
    bounded(&format!("{} {number} {classes:?}", fixture.name), &device, || {
        let mount = |read_only| {
            let source = FsSource::Device(device.clone());
            fs_type.mount(source, read_only, &mut Options::parse(""))
        };
        let mut is_written = writes;
        let mut result = mount(!writes);
        if result.as_ref().is_err_and(|error| error.errno == Errno::EROFS) {
            // A feature that is not written.
            is_written = false;
            result = mount(true);
        }
        if let Ok(fs) = result {
            mounted = true;
            use_up(&*fs, &mut noise, is_written);
        }
    });
    assert_eq!(device.stray(), None, "{} {number}: a write outside the image", fixture.name);
    mounted
}

/// All fixtures of a format; a good part of the images must be mounted, or nothing was tried.
fn volumes(fs_type: &'static (dyn FileSystemType + Sync), format: Format, may_write: bool) {
    for fixture in fixtures(format) {
        let name = format!("hostile_{}", fixture.name);
        let mounted = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&mounted);
        run_images(&name, move |number| {
            let is_mounted = volume(fs_type, &fixture, number, may_write);
            count.fetch_add(u64::from(is_mounted), Ordering::Relaxed);
        });
        let mounted = mounted.load(Ordering::Relaxed);
        assert!(mounted * 3 >= images_wanted(), "{name}: {mounted} could be mounted");
        eprintln!("{name}: {mounted} could be mounted");
    }
}

#[test]
fn a_hostile_ext_image_is_answered_for() {
    volumes(&ext2::Ext2Type, Format::Ext, true);
}

#[test]
fn a_hostile_fat_image_is_answered_for() {
    volumes(&fat::FatType, Format::Fat, true);
}

#[test]
fn a_hostile_iso_image_is_answered_for() {
    volumes(&iso9660::Iso9660Type, Format::Iso, false);
}

#[test]
fn an_undamaged_image_keeps_its_sums() {
    // What puts checksums on is right: sealing every structure of an image changes nothing.
    for format in [Format::Ext, Format::Table] {
        for fixture in fixtures(format) {
            let device = Overlay::new(Arc::clone(&fixture.image), true);
            fixture.places.seal_all(&device);
            for (at, bytes) in device.changes() {
                let from = usize::try_from(at).expect("an image is small");
                let base = &fixture.image[from..from + bytes.len()];
                let first = base.iter().zip(&bytes).position(|(old, new)| old != new);
                assert_eq!(first, None, "{}: behind byte {at}", fixture.name);
            }
        }
    }
}
