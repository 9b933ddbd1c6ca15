//! qcow2 images written: qemu-img finds nothing wrong and reads what was written; a cut leaves old or new.

use crate::recorder::Recorder;
use abi::Errno;
use abi::block::BlockDevice;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use umdev::block::Image;
use umdev::qcow2::{Qcow2, Qcow2Error};

fn qemu_img(args: &[&str]) -> std::process::Output {
    let output = Command::new("qemu-img").args(args).output();
    output.unwrap_or_else(|e| panic!("qemu-img: {e}; install qemu-utils"))
}

/// A folder with an image `q` made of `raw` by qemu-img.
struct Made {
    folder: tempfile::TempDir,
}

impl Made {
    fn new(raw: &[u8], options: &[&str]) -> Self {
        let made = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::write(made.path("raw"), raw).unwrap();
        let (from, to) = (made.text("raw"), made.text("q"));
        let words = [&["convert", "-f", "raw", "-O", "qcow2"], options, &[&from, &to]].concat();
        assert!(qemu_img(&words).status.success());
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn open(&self) -> Result<Qcow2, Qcow2Error> {
        open(&self.path("q"))
    }

    /// The disk as qemu-img reads it.
    fn disk(&self) -> Vec<u8> {
        let (from, to) = (self.text("q"), self.text("back"));
        assert!(qemu_img(&["convert", "-f", "qcow2", "-O", "raw", &from, &to]).status.success());
        std::fs::read(to).unwrap()
    }

    /// Neither corruption nor leaks.
    fn assert_clean(&self) {
        let output = qemu_img(&["check", "-f", "qcow2", &self.text("q")]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

fn open(path: &Path) -> Result<Qcow2, Qcow2Error> {
    let file = File::options().read(true).write(true).open(path).unwrap();
    Qcow2::open_writable(Arc::new(Image::new(file, false).unwrap()))
}

const KINDS: [&[&str]; 5] = [
    &[],
    &["-o", "compat=0.10"],
    &["-o", "cluster_size=512"],
    &["-c", "-o", "cluster_size=4K"],
    &["-o", "preallocation=metadata"],
];

/// A megabyte and a bit: noise, a hole, text.
fn content() -> Vec<u8> {
    let mut bytes = vec![0u8; (1 << 20) + 512];
    let mut state = 1u32;
    for byte in &mut bytes[10_000..300_000] {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = (state >> 24) as u8;
    }
    bytes[700_000..900_000].fill(b't');
    bytes
}

#[test]
fn what_is_written_is_read_by_qemu_img_and_nothing_is_wrong() {
    for kind in KINDS {
        let mut expect = content();
        let made = Made::new(&expect, kind);
        let disk = made.open().unwrap();
        let size = expect.len();
        for (at, len) in
            [(0, 100), (9_990, 70_000), (299_999, 200_001), (800_000, 4096), (size - 9, 9)]
        {
            let bytes: Vec<u8> = (0..len).map(|i| (i * 7 + at) as u8).collect();
            disk.write_at(&bytes, at as u64).unwrap();
            expect[at..at + len].copy_from_slice(&bytes);
        }
        let mut found = vec![0; size];
        disk.read_at(&mut found, 0).unwrap();
        assert!(found == expect, "{kind:?}: before the flush");
        disk.flush().unwrap();
        assert!(made.disk() == expect, "{kind:?}");
        disk.discard(20_000..600_000).unwrap();
        expect[20_000..600_000].fill(0);
        disk.read_at(&mut found, 0).unwrap();
        assert!(found == expect, "{kind:?}: after discard");
        assert_eq!(disk.write_at(&[1; 2], size as u64 - 1), Err(Errno::EINVAL));
        drop(disk);
        assert!(made.disk() == expect, "{kind:?}: after discard, by qemu-img");
        made.assert_clean();
    }
}

#[test]
fn an_empty_image_of_small_clusters_grows_its_tables() {
    // A table of counts of one cluster covers 8 MiB here.
    let mut expect = vec![0; 12 << 20];
    let made = Made::new(&expect, &["-o", "cluster_size=512"]);
    let disk = made.open().unwrap();
    for (number, chunk) in expect.chunks_mut(1 << 16).enumerate() {
        chunk.fill(number as u8 | 1);
        disk.write_at(chunk, (number << 16) as u64).unwrap();
    }
    drop(disk);
    let header = std::fs::read(made.path("q")).unwrap();
    assert!(header[59] > 1, "the table grew: {:?}", &header[48..60]);
    assert!(made.disk() == expect);
    made.assert_clean();
}

#[test]
fn an_image_that_is_only_read_says_why() {
    let made = Made::new(&content(), &[]);
    assert!(qemu_img(&["snapshot", "-c", "one", &made.text("q")]).status.success());
    assert_eq!(made.open().err(), Some(Qcow2Error::NotWritable("snapshots inside")));
    let narrow = Made::new(&content(), &["-o", "refcount_bits=8"]);
    let error = narrow.open().err().unwrap();
    assert_eq!(error, Qcow2Error::NotWritable("reference counts that are not of 16 bits"));
    assert_eq!(error.to_errno(), Errno::EROFS);
    let marked = Made::new(&content(), &[]);
    assert!(qemu_img(&["bitmap", "--add", &marked.text("q"), "b"]).status.success());
    assert_eq!(marked.open().err(), Some(Qcow2Error::NotWritable("extensions such as bitmaps")));
}

/// A change of the disk: where, how long, with what; a flush behind it or not.
type Step = (u32, u32, u8, bool, bool);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0u32..1 << 20, 1u32..100_000, any::<u8>(), any::<bool>(), any::<bool>());
    proptest::collection::vec(step, 1..24)
}

#[test]
fn any_writes_and_discards_leave_a_good_image() {
    let mut runner =
        TestRunner::new(Config { cases: 12, failure_persistence: None, ..Config::default() });
    let check = |steps: Vec<Step>| {
        for kind in KINDS {
            let mut expect = content();
            let made = Made::new(&expect, kind);
            let disk = made.open().unwrap();
            for &(at, len, byte, is_discard, flushes) in &steps {
                let end = (at as usize + len as usize).min(expect.len());
                let range = at as usize..end;
                if is_discard {
                    disk.discard(at as u64..end as u64).unwrap();
                    expect[range].fill(0);
                } else {
                    disk.write_at(&vec![byte; range.len()], at as u64).unwrap();
                    expect[range].fill(byte);
                }
                if flushes {
                    disk.flush().unwrap();
                }
            }
            drop(disk);
            assert!(made.disk() == expect, "{kind:?}");
            made.assert_clean();
        }
        Ok(())
    };
    runner.run(&steps(), check).unwrap();
}

/// The image is copied between all writes of a session: no copy is corrupt, at worst there are leaks, and what was
/// flushed is there.
#[test]
fn a_cut_after_each_write_leaves_no_corruption() {
    let made = Made::new(&content(), &["-o", "cluster_size=4K"]);
    let start = std::fs::read(made.path("q")).unwrap();
    let device = Arc::new(Recorder::new(start));
    let disk = Qcow2::open_writable(device.clone()).unwrap();
    let mut flushed = vec![(0, content())];
    let mut expect = content();
    for number in 0..6usize {
        let at = number * 150_000;
        disk.write_at(&vec![number as u8 + 1; 30_000], at as u64).unwrap();
        expect[at..at + 30_000].fill(number as u8 + 1);
        disk.flush().unwrap();
        flushed.push((device.writes(), expect.clone()));
    }
    drop(disk);
    for count in 0..=device.writes() {
        std::fs::write(made.path("q"), device.image_at(count)).unwrap();
        let output = qemu_img(&["check", "-f", "qcow2", &made.text("q")]);
        // 3: leaks, and nothing else.
        assert!(matches!(output.status.code(), Some(0 | 3)), "{count}: {output:?}");
        let found = made.disk();
        let (_, durable) = flushed.iter().rev().find(|(writes, _)| *writes <= count).unwrap();
        let (_, after) =
            flushed.iter().find(|(writes, _)| *writes > count).unwrap_or(flushed.last().unwrap());
        for (at, byte) in found.iter().enumerate() {
            assert!(
                *byte == durable[at] || *byte == after[at],
                "{count}: byte {at} is neither old nor new"
            );
        }
    }
}
