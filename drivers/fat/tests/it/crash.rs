//! A power cut after each single write: what fsck.vfat finds is clusters that belong to nobody, and no more.

use crate::device::Write;
use crate::model::Run;
use crate::tools::{fsck, mkfs};
use crate::volume::{READ_WRITE, Volume};
use abi::fs::RenameFlags;

const PLAIN: RenameFlags = RenameFlags::empty();

/// What fsck.vfat may say after a cut: the mark, counts that are behind, the second table behind the first, clusters
/// without an owner, and a chain longer than its file.
const HARMLESS: [&str; 16] = [
    "fsck.fat",
    "Dirty bit is set",
    "Automatically removing dirty bit",
    "Free cluster summary wrong",
    "Auto-correcting",
    "FATs differ but appear to be intact",
    "Using first FAT",
    "Reclaimed",
    "Leaving filesystem unchanged",
    "There are differences between boot sector and its backup",
    "This is mostly harmless",
    "65:01/00",
    "Not automatically fixing this",
    "image: ",
    "cluster chain length is > ",
    "Truncating file to ",
];

fn check(image: &[u8], context: &str) {
    let (_, text) = fsck(image);
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        // A line that names a file comes before the one that says what is wrong with it.
        let name_only = line.starts_with('/');
        let known = HARMLESS.iter().any(|harmless| line.contains(harmless));
        assert!(name_only || known, "{context}: {text}");
    }
}

/// The states of the device after each write.
fn prefixes(image: &[u8], log: &[Write], mut visit: impl FnMut(usize, &[u8])) {
    let mut image = image.to_vec();
    for (n, write) in log.iter().enumerate() {
        image[write.at..write.at + write.bytes.len()].copy_from_slice(&write.bytes);
        visit(n, &image);
    }
}

/// Random operations, whatever they answer: only the order of the writes is of interest.
fn run_random(image: Vec<u8>, seed: u64) {
    let mut run = Run::new(image, seed);
    for _ in 0..150 {
        run.step();
    }
    let before = run.volume.synced();
    run.volume.device.record();
    for _ in 0..120 {
        run.step();
    }
    run.volume.fs.sync().unwrap();
    let log = run.volume.device.log();
    prefixes(&before, &log, |n, image| {
        check(image, &format!("seed {seed}, after write {n} of {}", log.len()));
    });
}

#[test]
fn random_operations_survive_a_cut_after_each_write() {
    let seeds = std::env::var("VIEWOS_FAT_SEEDS").ok().and_then(|text| text.parse().ok());
    for seed in 0..seeds.unwrap_or(2) {
        run_random(mkfs(720, &["-F", "12", "-s", "1"]), 100 + seed);
        run_random(mkfs(2500, &["-F", "16", "-s", "1"]), 200 + seed);
    }
}

fn operations(v: &Volume) {
    v.put("FRESH.TXT", &[1; 1500]).unwrap();
    v.mkdir("a directory with a long name").unwrap();
    v.rename("FRESH.TXT", "a directory with a long name/moved.txt", PLAIN).unwrap();
    let handle = v.open("grows", READ_WRITE).unwrap();
    v.fs.write(handle, &[2; 3000], 600).unwrap();
    v.fs.fsync(handle, false).unwrap();
    v.put("between", &[3; 700]).unwrap();
    v.fs.write(handle, &[4; 4000], 3600).unwrap();
    v.fs.release(handle);
    v.set_length("grows", 1800).unwrap();
    v.put("takes the freed clusters", &[5; 5000]).unwrap();
    v.set_length("grows", 9000).unwrap();
    v.mkdir("other").unwrap();
    v.rename("a directory with a long name", "other/name", PLAIN).unwrap();
    v.rename("other/name/moved.txt", "grows", PLAIN).unwrap();
    v.rename("grows", "takes the freed clusters", RenameFlags::EXCHANGE).unwrap();
    v.rename("other/name", "between", RenameFlags::EXCHANGE).unwrap();
    for n in 0..12 {
        v.put(&format!("between/file with a long name {n}"), &[6; 600]).unwrap();
    }
    for n in 0..12 {
        v.unlink(&format!("between/file with a long name {n}")).unwrap();
    }
    v.rmdir("between").unwrap();
    v.set_length("grows", 0).unwrap();
    v.fs.sync().unwrap();
}

fn run(image: Vec<u8>) {
    let v = Volume::new(image);
    v.put("grows", &[9; 1000]).unwrap();
    v.put("bystander of some length", &[7; 4321]).unwrap();
    v.mkdir("witness").unwrap();
    v.put("witness/file", b"untouched").unwrap();
    let before = v.synced();
    v.device.record();
    operations(&v);
    let log = v.device.log();
    prefixes(&before, &log, |n, image| {
        check(image, &format!("after write {n} of {}", log.len()));
        let seen = Volume::read_only(image.to_vec());
        assert_eq!(seen.get("bystander of some length").unwrap(), [7; 4321]);
        assert_eq!(seen.get("witness/file").unwrap(), b"untouched");
        seen.tree().unwrap();
    });
}

#[test]
fn fat12_survives_a_cut_after_each_write() {
    run(mkfs(720, &["-F", "12", "-s", "1"]));
}

#[test]
fn fat16_survives_a_cut_after_each_write() {
    run(mkfs(2500, &["-F", "16", "-s", "1"]));
}

#[test]
fn fat32_survives_a_cut_after_each_write() {
    run(mkfs(2048, &["-F", "32", "-s", "1"]));
}
