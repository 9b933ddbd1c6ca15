//! Images of file systems.

use abi::fs::{FileSystemType, FsSource};
use abi::options::Options;
use fuzz::{Memory, Noise, damage, run, use_up};
use std::sync::Arc;

/// Mounts a damaged image, in a third of the cases to write, and uses it up.
fn volume(fs_type: &dyn FileSystemType, images: &[Vec<u8>], number: u64, may_write: bool) {
    let mut noise = Noise::new(number);
    let mut bytes = images[noise.below(images.len())].clone();
    damage(&mut bytes, &mut noise);
    let writes = may_write && noise.chance(35);
    let device = Arc::new(Memory::new(bytes, !writes));
    let mounted = fs_type.mount(FsSource::Device(device), !writes, &mut Options::parse(""));
    if let Ok(fs) = mounted {
        use_up(&*fs, &mut noise, writes);
    }
}

#[test]
fn a_damaged_ext_image_is_answered_for() {
    let images = fuzz::ext();
    run("ext2_image", move |number| volume(&ext2::Ext2Type, &images, number, true));
}

#[test]
fn a_damaged_fat_image_is_answered_for() {
    let images = fuzz::fat();
    run("fat_image", move |number| volume(&fat::FatType, &images, number, true));
}

#[test]
fn a_damaged_iso_image_is_answered_for() {
    let images = fuzz::iso();
    run("iso_image", move |number| volume(&iso9660::Iso9660Type, &images, number, false));
}
