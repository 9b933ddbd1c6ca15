//! Images with bytes changed: any answer is right but a panic, a hang, or memory without bound.
//!
//! `VIEWOS_FAT_FLIPS` sets the number of changed images of each type; 300 without it.

use crate::device::Ram;
use crate::random::Random;
use crate::tools::mkfs;
use crate::volume::{READ_WRITE, Volume, mount};
use abi::Errno;
use abi::fs::{FileKind, Ino, Name, RenameFlags};
use std::sync::Arc;

/// Walks, reads and changes whatever the image shows, within a budget of files.
fn exercise(volume: &Volume, random: &mut Random) {
    let mut budget = 200;
    let root = volume.fs.root();
    visit(volume, root, &mut budget);
    let _ = volume.fs.statfs();
    for n in 0..20 {
        let name = format!("some new name {n}");
        let _ = volume.put(&name, &random.bytes(700));
        let _ = volume.mkdir(&format!("dir{n}"));
        let _ = volume.rename(&name, &format!("dir{n}/x"), RenameFlags::empty());
    }
    let Ok(entries) = volume.list(root) else { return };
    for (name, kind, _) in entries {
        let Ok(name) = std::str::from_utf8(&name) else { continue };
        let _ = volume.rename(name, "dir1", RenameFlags::EXCHANGE);
        let _ = volume.set_length(name, 3000);
        let _ = if kind == FileKind::Directory { volume.rmdir(name) } else { volume.unlink(name) };
    }
    let _ = volume.fs.sync();
}

fn visit(volume: &Volume, dir: Ino, budget: &mut u32) {
    let Ok(entries) = volume.list(dir) else { return };
    for (name, _, _) in entries {
        if *budget == 0 {
            return;
        }
        *budget -= 1;
        let name = Name::new(&name).expect("a listed name is a name");
        let Ok(attr) = volume.fs.lookup(dir, name) else { continue };
        if attr.kind == FileKind::Directory {
            visit(volume, attr.ino, budget);
        } else if let Ok(handle) = volume.open_ino(attr.ino, READ_WRITE) {
            let mut buf = [0; 4096];
            for offset in [0, 512, attr.size_bytes / 2, attr.size_bytes.saturating_sub(1)] {
                let _ = volume.fs.read(handle, &mut buf, offset);
            }
            let _ = volume.fs.write(handle, b"x", attr.size_bytes.min(100_000));
            volume.fs.release(handle);
        }
        if attr.ino.0 % 2 == 0 {
            volume.fs.forget(attr.ino, 1);
        }
    }
}

fn populated(image: Vec<u8>) -> Vec<u8> {
    let v = Volume::new(image);
    for n in 0..8 {
        v.mkdir(&format!("directory {n}")).unwrap();
        v.put(&format!("directory {n}/file"), &[1; 2000]).unwrap();
        v.put(&format!("file with a long name {n}"), &[2; 1300]).unwrap();
    }
    v.synced()
}

/// Flips bytes where the structures are, and mounts.
fn torture(image: &[u8], meta_bytes: usize, seed: u64) {
    let rounds = std::env::var("VIEWOS_FAT_FLIPS").ok().and_then(|text| text.parse().ok());
    let mut random = Random::new(seed);
    for _ in 0..rounds.unwrap_or(300) {
        let mut bytes = image.to_vec();
        for _ in 0..=random.below(12) {
            let near = random.below(3) == 0;
            let at = random.below(if near { 512 } else { meta_bytes });
            let fresh = random.below(256) as u8;
            bytes[at] = *random.pick(&[0, 0xff, fresh, fresh]);
        }
        if let Ok(volume) = mount(&Arc::new(Ram::new(bytes)), false, "") {
            exercise(&volume, &mut random);
        }
    }
}

#[test]
fn changed_bytes_of_fat12_do_no_harm() {
    torture(&populated(mkfs(320, &["-F", "12", "-s", "1"])), 24_000, 11);
}

#[test]
fn changed_bytes_of_fat16_do_no_harm() {
    torture(&populated(mkfs(2500, &["-F", "16", "-s", "1"])), 80_000, 12);
}

#[test]
fn changed_bytes_of_fat32_do_no_harm() {
    torture(&populated(mkfs(512, &["-F", "32", "-s", "1"])), 60_000, 13);
}

#[test]
fn random_bytes_behind_a_good_boot_sector_do_no_harm() {
    for seed in 1..60 {
        let mut random = Random::new(seed);
        let mut image = mkfs(128, &["-F", "12", "-s", "1"]);
        let length = image.len();
        image[512..].copy_from_slice(&random.bytes(length - 512));
        let volume = mount(&Arc::new(Ram::new(image)), false, "").unwrap();
        exercise(&volume, &mut random);
    }
}

/// Where the first table begins.
const TABLE: usize = 512;

fn patched(patch: impl FnOnce(&mut [u8], usize)) -> Volume {
    let v = Volume::new(mkfs(2500, &["-F", "16", "-s", "1", "-r", "512"]));
    v.mkdir("DIR").unwrap();
    v.put("FILE", &[1; 2000]).unwrap();
    let mut image = v.synced();
    let table_sectors = usize::from(u16::from_le_bytes([image[22], image[23]]));
    let root = TABLE + 2 * table_sectors * 512;
    patch(&mut image, root);
    Volume::new(image)
}

#[test]
fn each_kind_of_damage_has_its_answer() {
    // DIR has cluster 2, FILE 3 to 6. Cells of FAT16 are two bytes.
    let file = |value: [u8; 2]| {
        let v = patched(|image, _| image[TABLE + 8..TABLE + 10].copy_from_slice(&value));
        v.get("FILE").map(|bytes| bytes.len())
    };
    // Error: the chain runs into a free cluster.
    assert_eq!(file([0, 0]), Err(Errno::EUCLEAN));
    // Error: the chain holds a bad cluster.
    assert_eq!(file([0xf7, 0xff]), Err(Errno::EUCLEAN));
    // Error: the chain leads out of the volume.
    assert_eq!(file([0xf0, 0xf0]), Err(Errno::EUCLEAN));
    // Error: the chain comes back to itself.
    assert_eq!(file([3, 0]), Err(Errno::EUCLEAN));
    // Error: the chain is shorter than the file: what is there can be read.
    assert_eq!(file([0xff, 0xff]), Err(Errno::EUCLEAN));
    // Error: a directory without a cluster.
    let v = patched(|image, root| image[root + 26] = 0);
    assert_eq!(v.tree().unwrap_err(), Errno::EUCLEAN);
    // Error: a directory that lies in itself.
    let v = patched(|image, root| {
        let entry = image[root..root + 32].to_vec();
        let inside = 32 * 512 + root;
        image[inside + 64..inside + 96].copy_from_slice(&entry);
    });
    let dir = v.ino("DIR").unwrap();
    assert_eq!(v.fs.lookup(dir, Name::new(b"DIR").unwrap()).unwrap_err(), Errno::EUCLEAN);
}
