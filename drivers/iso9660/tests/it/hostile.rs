//! Images that lie: each lie has its errno, and nothing panics, hangs or grows.

use crate::image::{DIRECTORY, Image, MORE, both, entry, named, posix, record, rock_sign};
use crate::tree::{Mounted, at, contents, exercise, list, mount, open};
use crate::{device::Ram, writers};
use abi::Errno;
use abi::fs::{Ino, Name};
use std::sync::Arc;

const ROOT: u32 = 20;

fn image(own_use: &[u8], records: &[Vec<u8>]) -> Image {
    Image::new(2048, 64, ROOT, 2048).directory(ROOT, ROOT, 2048, own_use, records)
}

fn directory(name: &[u8], block: u32) -> Vec<u8> {
    record(name, block, 2048, DIRECTORY, b"")
}

fn lookup(fs: &Mounted, parent: Ino, name: &str) -> Result<Ino, Errno> {
    fs.lookup(parent, Name::new(name.as_bytes()).unwrap()).map(|attr| attr.ino)
}

#[test]
fn directory_inside_itself_is_refused() {
    // Error: a child that is the root.
    let fs = mount(image(b"", &[directory(b"UP", ROOT)]).device(), "").unwrap();
    assert_eq!(at(&fs, "up").unwrap_err(), Errno::EUCLEAN);
    // Error: two directories that contain each other.
    let fs = mount(
        image(b"", &[directory(b"A", 30)])
            .directory(30, ROOT, 2048, b"", &[directory(b"B", 31), record(b"F.;1", 40, 1, 0, b"")])
            .directory(31, 30, 2048, b"", &[directory(b"A", 30)])
            .device(),
        "",
    )
    .unwrap();
    assert!(at(&fs, "a/b").is_ok());
    assert_eq!(at(&fs, "a/b/a").unwrap_err(), Errno::EUCLEAN);
    assert!(at(&fs, "a/f").is_ok());
    // Error: the same, and the lower one says what would make it true.
    let fs = mount(
        image(b"", &[directory(b"A", 30)])
            .directory(30, 31, 2048, b"", &[directory(b"B", 31)])
            .directory(31, 30, 2048, b"", &[directory(b"A", 30)])
            .device(),
        "",
    )
    .unwrap();
    assert_eq!(exercise(&fs).into_keys().collect::<Vec<_>>(), [Errno::EUCLEAN.raw()]);
}

#[test]
fn child_link_to_an_ancestor_is_refused() {
    let up = |block| {
        let system = [entry(b"CL", &both(block)), named("again"), posix(0o40_755, 2, 0)].concat();
        record(b"AGAIN.;1", block, 0, 0, &system)
    };
    let fs = mount(
        image(&rock_sign(), &[directory(b"A", 30)])
            .directory(30, ROOT, 2048, b"", &[up(30), record(b"F.;1", 40, 1, 0, b"")])
            .device(),
        "",
    )
    .unwrap();
    assert_eq!(at(&fs, "a/again").unwrap_err(), Errno::EUCLEAN);
    assert!(at(&fs, "a/f").is_ok());
    // Error: and one to where no directory is.
    let fs = mount(image(&rock_sign(), &[up(50)]).device(), "").unwrap();
    assert_eq!(at(&fs, "again").unwrap_err(), Errno::EUCLEAN);
    // Error: and one behind the end of the device.
    let fs = mount(image(&rock_sign(), &[up(u32::MAX)]).device(), "").unwrap();
    assert_eq!(at(&fs, "again").unwrap_err(), Errno::EUCLEAN);
}

#[test]
fn wrong_parent_record_is_forgiven_once() {
    let fs = mount(
        image(b"", &[directory(b"A", 30), directory(b"B", 31)])
            .directory(30, 55, 2048, b"", &[directory(b"C", 32)])
            .directory(31, ROOT, 2048, b"", &[directory(b"C", 32)])
            .directory(32, ROOT, 2048, b"", &[])
            .device(),
        "",
    )
    .unwrap();
    assert!(at(&fs, "a/c").is_ok());
    assert!(at(&fs, "a/c").is_ok());
    // Error: a second place for the same directory; two of them a level would be 2^n paths.
    assert_eq!(at(&fs, "b/c").unwrap_err(), Errno::EUCLEAN);
}

#[test]
fn directories_outside_of_the_device_are_refused() {
    // Error: length that passes the end.
    let far = Image::new(2048, 64, ROOT, u32::MAX).directory(ROOT, ROOT, u32::MAX, b"", &[]);
    let refusal = mount(far.device(), "").err().unwrap();
    assert_eq!(refusal.errno, Errno::EUCLEAN);
    assert!(refusal.message.contains("4294967295"), "{}", refusal.message);
    // Error: no length.
    let none = Image::new(2048, 64, ROOT, 0).put(ROOT, &record(&[0], ROOT, 0, DIRECTORY, b""));
    assert_eq!(mount(none.device(), "").err().unwrap().errno, Errno::EUCLEAN);
    // Error: no directory at all.
    let empty = Image::new(2048, 64, ROOT, 2048);
    assert_eq!(mount(empty.device(), "").err().unwrap().errno, Errno::EUCLEAN);
    // Error: begins behind the end.
    let fs = mount(image(b"", &[directory(b"A", 0xffff_ffff)]).device(), "").unwrap();
    assert_eq!(at(&fs, "a").unwrap_err(), Errno::EUCLEAN);
    assert_eq!(list(&fs, fs.root()).unwrap().len(), 1);
}

#[test]
fn file_behind_the_end_of_the_device_is_an_io_error() {
    let fs = mount(image(b"", &[record(b"A.;1", 63, 4096, 0, b"")]).device(), "").unwrap();
    let attr = at(&fs, "a").unwrap();
    assert_eq!(attr.size_bytes, 4096);
    let handle = open(&fs, attr.ino).unwrap();
    let mut buf = [0; 10];
    assert_eq!(fs.read(handle, &mut buf, 0), Ok(10));
    assert_eq!(fs.read(handle, &mut buf, 2048), Err(Errno::EIO));
}

#[test]
fn names_before_a_broken_record_are_still_found() {
    let mut broken = record(b"BAD.;1", 40, 1, 0, b"");
    broken[32] = 200; // a name longer than its record
    let records = [record(b"A.;1", 40, 1, 0, b""), broken, record(b"Z.;1", 40, 1, 0, b"")];
    let fs = mount(image(b"", &records).device(), "").unwrap();
    assert!(at(&fs, "a").is_ok());
    // Error: whether it exists is not known.
    assert_eq!(at(&fs, "z").unwrap_err(), Errno::EUCLEAN);
    assert_eq!(list(&fs, fs.root()).unwrap_err(), Errno::EUCLEAN);
}

#[test]
fn continuation_without_end_is_refused() {
    let back = entry(b"CE", &[30, 0, 28].map(both).concat());
    let records = [record(b"A.;1", 40, 1, 0, &back)];
    let fs = mount(image(&rock_sign(), &records).put(30, &back).device(), "").unwrap();
    assert_eq!(at(&fs, "a").unwrap_err(), Errno::EUCLEAN);
}

#[test]
fn sections_without_a_last_one_are_refused() {
    // Error: the directory ends.
    let fs = mount(image(b"", &[record(b"A.;1", 40, 2048, MORE, b"")]).device(), "").unwrap();
    assert_eq!(at(&fs, "a").unwrap_err(), Errno::EUCLEAN);
    // Error: another file begins.
    let records = [record(b"A.;1", 40, 2048, MORE, b""), record(b"B.;1", 41, 1, 0, b"")];
    let fs = mount(image(b"", &records).device(), "").unwrap();
    assert_eq!(at(&fs, "a").unwrap_err(), Errno::EUCLEAN);
}

#[test]
fn numbers_that_are_no_inodes_are_stale() {
    let fs =
        mount(image(b"", &[directory(b"A", 30)]).directory(30, ROOT, 2048, b"", &[]).device(), "")
            .unwrap();
    let root = fs.root().0;
    // Nothing, a volume descriptor, the record of the parent, the record of a directory in its parent, the middle of
    // a record, behind the device, shared numbers that nobody holds.
    let parent_record = root + 34;
    let child_record = root + 68;
    for number in
        [0, 1, 32_768, parent_record, child_record, root + 3, 1 << 40, (1 << 62) | 5, u64::MAX]
    {
        assert_eq!(fs.getattr(Ino(number)).unwrap_err(), Errno::ESTALE, "{number}");
        assert_eq!(lookup(&fs, Ino(number), "a").unwrap_err(), Errno::ESTALE, "{number}");
    }
}

#[test]
fn sparse_files_show_their_length_and_can_not_be_read() {
    let sparse = entry(b"SF", &[both(1), both(7), vec![2]].concat());
    let system = [named("holes"), posix(0o100_644, 1, 9), sparse].concat();
    let fs =
        mount(image(&rock_sign(), &[record(b"H.;1", 40, 100, 0, &system)]).device(), "").unwrap();
    let attr = at(&fs, "holes").unwrap();
    assert_eq!(attr.size_bytes, (1 << 32) + 7);
    assert_eq!(contents(&fs, attr.ino).unwrap_err(), Errno::EOPNOTSUPP);
}

#[test]
fn names_that_no_path_can_hold_are_not_shown() {
    let bad = |iso: &[u8], name: &str| {
        record(iso, 40, 1, 0, &[named(name), posix(0o100_644, 1, 0)].concat())
    };
    let records =
        [bad(b"A.;1", "a/b"), bad(b"B.;1", ".."), bad(b"C.;1", "nul\0"), bad(b"D.;1", "good")];
    let fs = mount(image(&rock_sign(), &records).device(), "").unwrap();
    let names: Vec<_> = list(&fs, fs.root()).unwrap().into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, [b"good"]);
}

#[test]
fn other_formats_are_refused() {
    let errno = |bytes: Vec<u8>| mount(Arc::new(Ram(bytes)), "").err().unwrap().errno;
    assert_eq!(errno(vec![]), Errno::EINVAL);
    assert_eq!(errno(vec![0; 1 << 20]), Errno::EINVAL);
    let mut sierra = vec![0; 1 << 17];
    sierra[32_768 + 9..32_768 + 14].copy_from_slice(b"CDROM");
    assert_eq!(errno(sierra), Errno::EINVAL);
    let odd = Image::new(4096, 64, ROOT, 4096);
    assert_eq!(mount(odd.device(), "").err().unwrap().errno, Errno::EINVAL);
}

/// Reproducible numbers (xorshift of Marsaglia).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }
}

fn flip(original: &[u8], rounds: u32, options: &str) {
    // Most bytes of an image are padding; only the others say something.
    let meaningful: Vec<usize> = (0..original.len()).filter(|&i| original[i] != 0).collect();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for _ in 0..rounds {
        let mut bytes = original.to_vec();
        for _ in 0..=dice.roll(8) {
            let at = meaningful[dice.roll(meaningful.len())];
            bytes[at] = match dice.roll(3) {
                0 => 0xff,
                1 => 0,
                _ => bytes[at] ^ (1 << dice.roll(8)),
            };
        }
        if let Ok(fs) = mount(Arc::new(Ram(bytes)), options) {
            exercise(&fs);
        }
    }
}

#[test]
fn flipped_bytes_never_panic_or_hang() {
    let tree = writers::sample_tree();
    // Small contents, so that most of the meaningful bytes are structure.
    flip(&writers::genisoimage(&tree, &["-R", "-J", "-z"]), 400, "");
    flip(&writers::genisoimage(&tree, &["-R", "-J", "-z"]), 200, "norock,check=relaxed");
    flip(&writers::genisoimage(&tree, &["-iso-level", "1"]), 200, "map=acorn,unhide");
}
