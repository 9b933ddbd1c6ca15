//! Files over 4 GiB, directories with many names, small blocks, interleaved files.

use crate::image::{DIRECTORY, Image, MORE, record};
use crate::tree::{at, contents, list, mount, open};
use abi::Result;
use abi::block::{BlockDevice, Geometry};
use abi::fs::{Name, SeekTo};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A device of any length: an image in front, then bytes that tell their position.
struct Endless {
    front: Vec<u8>,
    size_bytes: u64,
}

fn pattern(position: u64) -> u8 {
    (position / 2048 % 251) as u8
}

impl BlockDevice for Endless {
    fn geometry(&self) -> Geometry {
        Geometry { block_size: 2048, size_bytes: self.size_bytes, read_only: true }
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        for (position, byte) in (offset..).zip(buf) {
            let front = self.front.get(usize::try_from(position).unwrap());
            *byte = front.copied().unwrap_or_else(|| pattern(position));
        }
        Ok(())
    }
    fn write_at(&self, _: &[u8], _: u64) -> Result<()> {
        unreachable!("nobody writes")
    }
    fn flush(&self) -> Result<()> {
        Ok(())
    }
}

#[test]
fn file_with_three_sections_reads_across_their_ends() {
    const FULL: u32 = 0xffff_f800; // as mkisofs cuts
    let records = [
        record(b"A.;1", 100, 5, 0, b""),
        record(b"BIG.;1", 1000, FULL, MORE, b""),
        record(b"BIG.;1", 3_000_000, FULL, MORE, b""),
        record(b"BIG.;1", 200, 1001, 0, b""),
        record(b"C.;1", 101, 6, 0, b""),
    ];
    let front = Image::new(2048, 64, 20, 2048).directory(20, 20, 2048, b"", &records).into_bytes();
    let device = Arc::new(Endless { front, size_bytes: 6_000_000 * 2048 });
    let fs = mount(device, "").unwrap();
    let names: Vec<_> = list(&fs, fs.root()).unwrap().into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, [&b"a"[..], b"big", b"c"]);
    let attr = at(&fs, "big").unwrap();
    let full = u64::from(FULL);
    assert_eq!(attr.size_bytes, 2 * full + 1001);
    assert_eq!(fs.getattr(attr.ino).unwrap(), attr);
    let handle = open(&fs, attr.ino).unwrap();
    let mut buf = [0; 20];
    for (offset, position) in [(0, 1000 * 2048), (full, 3_000_000 * 2048), (2 * full, 200 * 2048)] {
        assert_eq!(fs.read(handle, &mut buf, offset), Ok(20));
        assert_eq!(buf, [pattern(position); 20]);
    }
    assert_eq!(fs.read(handle, &mut buf, full - 10), Ok(20));
    assert_eq!(buf[..10], [pattern(1000 * 2048 + full - 10); 10]);
    assert_eq!(buf[10..], [pattern(3_000_000 * 2048); 10]);
    assert_eq!(fs.read(handle, &mut buf, attr.size_bytes - 3), Ok(3));
    assert_eq!(fs.read(handle, &mut buf, attr.size_bytes), Ok(0));
    assert_eq!(fs.lseek(handle, 7, SeekTo::Hole), Ok(attr.size_bytes));
    assert_eq!(fs.lseek(handle, full, SeekTo::Data), Ok(full));
    assert_eq!(fs.lseek(handle, attr.size_bytes, SeekTo::Data), Err(abi::Errno::ENXIO));
    fs.release(handle);
    assert_eq!(fs.read(handle, &mut buf, 0), Err(abi::Errno::EBADF));
}

/// Counts transfers.
struct Counted(Vec<u8>, AtomicUsize);

impl BlockDevice for Counted {
    fn geometry(&self) -> Geometry {
        Geometry { block_size: 2048, size_bytes: self.0.len() as u64, read_only: true }
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.1.fetch_add(1, Ordering::Relaxed);
        let start = usize::try_from(offset).unwrap();
        buf.copy_from_slice(self.0.get(start..start + buf.len()).ok_or(abi::Errno::EINVAL)?);
        Ok(())
    }
    fn write_at(&self, _: &[u8], _: u64) -> Result<()> {
        unreachable!("nobody writes")
    }
    fn flush(&self) -> Result<()> {
        Ok(())
    }
}

#[test]
fn lookups_in_a_large_directory_do_not_walk_it() {
    let records: Vec<_> =
        (0..20_000).map(|i| record(format!("F{i:05}.;1").as_bytes(), 600, 1, 0, b"")).collect();
    let size = 500 * 2048;
    let image = Image::new(2048, 640, 20, size).directory(20, 20, size, b"", &records);
    let device = Arc::new(Counted(image.into_bytes(), AtomicUsize::new(0)));
    let fs = mount(Arc::<Counted>::clone(&device), "").unwrap();
    assert_eq!(list(&fs, fs.root()).unwrap().len(), 20_000);
    at(&fs, "f00000").unwrap();
    let before = device.1.load(Ordering::Relaxed);
    for i in 0..1000 {
        let name = format!("f{:05}", i * 20);
        fs.lookup(fs.root(), Name::new(name.as_bytes()).unwrap()).unwrap();
        let absent = format!("g{i:05}");
        let missing = fs.lookup(fs.root(), Name::new(absent.as_bytes()).unwrap());
        assert_eq!(missing.unwrap_err(), abi::Errno::ENOENT);
    }
    let reads = device.1.load(Ordering::Relaxed) - before;
    assert!(reads <= 1100, "{reads} transfers for 1,000 names and 1,000 absent ones");
}

#[test]
fn small_blocks_are_understood() {
    for block_bytes in [512, 1024] {
        // Records must not cross sectors of 2,048 bytes, which are four or two of these blocks.
        let records: Vec<_> = (0..100)
            .map(|i| record(format!("FILE{i:03}.TXT;1").as_bytes(), 200, 5, 0, b""))
            .chain([record(b"SUB", 180, 2048, DIRECTORY, b"")])
            .collect();
        let fs = mount(
            Image::new(block_bytes, 400, 160, 6144)
                .directory(160, 160, 6144, b"", &records)
                .directory(180, 160, 2048, b"", &[record(b"X.;1", 200, 4, 0, b"")])
                .put(200, b"12345")
                .device(),
            "",
        )
        .unwrap();
        assert_eq!(list(&fs, fs.root()).unwrap().len(), 101, "{block_bytes}");
        assert_eq!(contents(&fs, at(&fs, "file099.txt").unwrap().ino).unwrap(), b"12345");
        assert_eq!(contents(&fs, at(&fs, "sub/x").unwrap().ino).unwrap(), b"1234");
        assert_eq!(fs.statfs().unwrap().block_size, block_bytes);
    }
}

#[test]
fn interleaved_files_leave_out_the_gaps() {
    let mut woven = record(b"W.;1", 30, 5000, 0, b"");
    woven[26] = 1; // one block of data,
    woven[27] = 2; // two of a gap
    let fs = mount(
        Image::new(2048, 64, 20, 2048)
            .directory(20, 20, 2048, b"", &[woven])
            .put(30, &[1; 2048])
            .put(33, &[2; 2048])
            .put(36, &[3; 2048])
            .device(),
        "",
    )
    .unwrap();
    let bytes = contents(&fs, at(&fs, "w").unwrap().ino).unwrap();
    assert_eq!(bytes, [vec![1; 2048], vec![2; 2048], vec![3; 904]].concat());
}

#[test]
fn empty_files_are_inodes_of_their_own() {
    let records = [record(b"A.;1", 0, 0, 0, b""), record(b"B.;1", 0, 0, 0, b"")];
    let fs =
        mount(Image::new(2048, 64, 20, 2048).directory(20, 20, 2048, b"", &records).device(), "")
            .unwrap();
    let (a, b) = (at(&fs, "a").unwrap(), at(&fs, "b").unwrap());
    assert_ne!(a.ino, b.ino);
    assert_eq!(contents(&fs, a.ino).unwrap(), b"");
}
