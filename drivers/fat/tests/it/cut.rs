//! A power cut on a disk that keeps no order between flushes: whatever part of the later writes lands, a file that was
//! durable and is not touched any more has its contents, before fsck.vfat mends the volume and after.
//!
//! What FAT can't promise: a file that is being renamed or cut. Its old entry may be gone before the new one lands.

use crate::device::Write;
use crate::random::Random;
use crate::tools::{fsck, mended, mkfs};
use crate::volume::{READ_WRITE, Volume};
use abi::fs::RenameFlags;

const PLAIN: RenameFlags = RenameFlags::empty();

/// A file, and after how many writes it is durable.
struct Promise {
    writes: usize,
    path: String,
    contents: Vec<u8>,
}

struct Session {
    volume: Volume,
    promises: Vec<Promise>,
    random: Random,
}

impl Session {
    /// Makes a file durable that is not touched any more.
    fn keep(&mut self, path: &str, length: usize) {
        let contents = self.random.bytes(length);
        let handle = self.volume.create(path).unwrap();
        self.volume.fs.write(handle, &contents, 0).unwrap();
        self.volume.fs.fsync(handle, false).unwrap();
        self.volume.fs.release(handle);
        let writes = self.volume.device.log().len();
        self.promises.push(Promise { writes, path: path.to_owned(), contents });
    }

    fn put(&mut self, path: &str, length: usize) {
        let contents = self.random.bytes(length);
        self.volume.put(path, &contents).unwrap();
    }

    /// Appends to a file that exists.
    fn append(&mut self, path: &str, length: usize) {
        let handle = self.volume.open(path, READ_WRITE).unwrap();
        let at = self.volume.attr(path).unwrap().size_bytes;
        let contents = self.random.bytes(length);
        self.volume.fs.write(handle, &contents, at).unwrap();
        self.volume.fs.release(handle);
    }

    fn play(&mut self) {
        self.keep("first kept file", 3000);
        self.put("a", 5000);
        self.volume.mkdir("folder").unwrap();
        self.keep("folder/second kept file", 9000);
        self.append("a", 7000);
        self.volume.rename("a", "folder/moved with a long name", PLAIN).unwrap();
        for n in 0..20 {
            self.put(&format!("folder/one of many files {n}"), 700);
        }
        self.keep("folder/third", 100);
        for n in 0..20 {
            self.volume.unlink(&format!("folder/one of many files {n}")).unwrap();
        }
        self.put("takes what was freed", 9000);
        self.volume.set_length("folder/moved with a long name", 1000).unwrap();
        self.keep("fourth kept file", 4000);
        self.put("tmp", 2000);
        self.volume.rename("tmp", "takes what was freed", PLAIN).unwrap();
        self.volume.mkdir("folder/below").unwrap();
        self.keep("folder/below/fifth", 600);
        self.volume.rename("folder/moved with a long name", "back", PLAIN).unwrap();
        self.volume.unlink("back").unwrap();
        self.append("takes what was freed", 5000);
        self.volume.fs.sync().unwrap();
    }
}

/// The image after `count` writes, of those behind the last flush each with an even chance.
fn torn(
    start: &[u8],
    log: &[Write],
    flushes: &[usize],
    count: usize,
    random: &mut Random,
) -> Vec<u8> {
    let mut image = start.to_vec();
    let durable = flushes.iter().rev().find(|writes| **writes <= count).copied().unwrap_or(0);
    for (n, write) in log[..count].iter().enumerate() {
        if n < durable || random.below(2) == 0 {
            image[write.at..write.at + write.bytes.len()].copy_from_slice(&write.bytes);
        }
    }
    image
}

fn check(image: Vec<u8>, promises: &[Promise], count: usize, what: &str) {
    let volume = Volume::read_only(image);
    for promise in promises.iter().filter(|promise| promise.writes <= count) {
        let found =
            volume.get(&promise.path).unwrap_or_else(|e| panic!("{what}: {}: {e}", promise.path));
        assert!(found == promise.contents, "{what}: {} holds something else", promise.path);
    }
}

fn run(image: Vec<u8>) {
    let volume = Volume::new(image);
    let start = volume.synced();
    volume.device.record();
    let mut session = Session { volume, promises: Vec::new(), random: Random::new(5) };
    session.play();
    let (log, flushes) = (session.volume.device.log(), session.volume.device.flushes());
    let mut random = Random::new(6);
    for count in 0..=log.len() {
        for part in 0..3 {
            let image = torn(&start, &log, &flushes, count, &mut random);
            let what = format!("{count} of {} writes, part {part}", log.len());
            check(image.clone(), &session.promises, count, &what);
            if part == 0 && count % 3 == 0 {
                // What it mends first may show it more.
                let image = (0..3).fold(image, |image, _| mended(&image));
                check(image.clone(), &session.promises, count, &format!("{what}, mended"));
                let (is_clean, text) = fsck(&image);
                assert!(is_clean, "{what}: {text}");
            }
        }
    }
}

#[test]
fn fat12_keeps_what_was_durable_without_order() {
    run(mkfs(720, &["-F", "12", "-s", "1"]));
}

#[test]
fn fat16_keeps_what_was_durable_without_order() {
    run(mkfs(2500, &["-F", "16", "-s", "1"]));
}

#[test]
fn fat32_keeps_what_was_durable_without_order() {
    run(mkfs(2048, &["-F", "32", "-s", "1"]));
}
