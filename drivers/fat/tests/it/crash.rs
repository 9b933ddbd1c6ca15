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
    // What was added and not yet written takes part in a rename, then is cut in the middle.
    v.fs.write(handle, &[4; 4000], 3600).unwrap();
    v.rename("grows", "renamed while it grows", PLAIN).unwrap();
    v.fs.write(handle, &[4; 2000], 7600).unwrap();
    v.rename("renamed while it grows", "RENAMED while it grows", PLAIN).unwrap();
    v.fs.write(handle, &[4; 2000], 9600).unwrap();
    v.set_length("renamed while it grows", 9000).unwrap();
    v.rename("renamed while it grows", "grows", PLAIN).unwrap();
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

/// A file whose chain jumps between distant pages of the table: up, then back to the first. All between them is
/// taken and written, so the pages are written one by one.
#[test]
fn chains_over_distant_pages_survive_a_cut_after_each_write() {
    let v = Volume::new(mkfs(8192, &["-F", "16", "-s", "1"]));
    v.put("early", &[1; 2048]).unwrap();
    let handle = v.create("jumps").unwrap();
    v.fs.write(handle, &[2; 1024], 0).unwrap();
    v.put("filler", &vec![3; 12_000 * 512]).unwrap();
    let before = v.synced();
    v.device.record();
    // More than fits is taken back; what fits then is linked with the same care.
    assert_eq!(v.fs.write(handle, &[5; 10], 7 << 20), Err(abi::Errno::ENOSPC));
    // Up: from page 0 to page 5.
    v.fs.write(handle, &[4; 1024], 1024).unwrap();
    v.fs.fsync(handle, false).unwrap();
    v.unlink("early").unwrap();
    let full = v.create("rest").unwrap();
    let taken = v.fs.write(full, &vec![6; 8 << 20], 0).unwrap();
    v.fs.release(full);
    v.set_length("rest", taken as u64 - 4096).unwrap();
    v.unlink("filler").unwrap();
    v.fs.write(handle, &vec![7; 300 * 512], 2048).unwrap();
    v.fs.fsync(handle, false).unwrap();
    // Back and forth: cuts whose freed cells lie in pages before and behind the new end.
    for length in [150_000u64, 5000, 2000] {
        v.set_length("jumps", length).unwrap();
        v.fs.sync().unwrap();
    }
    v.fs.release(handle);
    let log = v.device.log();
    prefixes(&before, &log, |n, image| check(image, &format!("after write {n} of {}", log.len())));
}

/// The end of a chain in the last page, freed cells in the first: the end is written before they are.
#[test]
fn a_cut_before_the_freed_cells_survives_a_power_cut() {
    let v = Volume::new(mkfs(8192, &["-F", "16", "-s", "1"]));
    v.put("early", &[1; 2048]).unwrap();
    let filler = v.create("filler").unwrap();
    let room = v.fs.write(filler, &vec![3; 9 << 20], 0).unwrap();
    v.fs.release(filler);
    v.set_length("filler", room as u64 - 1024).unwrap();
    let handle = v.create("jumps").unwrap();
    v.fs.write(handle, &[2; 1024], 0).unwrap();
    v.unlink("early").unwrap();
    v.fs.sync().unwrap();
    v.fs.write(handle, &[4; 2048], 1024).unwrap();
    let before = v.synced();
    v.device.record();
    v.set_length("jumps", 700).unwrap();
    v.fs.sync().unwrap();
    // The same after an extension that failed half way.
    assert_eq!(v.fs.write(handle, &[5; 10], 7 << 20), Err(abi::Errno::ENOSPC));
    v.fs.write(handle, &[4; 2048], 1024).unwrap();
    v.fs.release(handle);
    let log = v.device.log();
    assert!(log.len() > 8);
    prefixes(&before, &log, |n, image| check(image, &format!("after write {n} of {}", log.len())));
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
