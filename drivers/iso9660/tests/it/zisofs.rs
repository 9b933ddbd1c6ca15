//! Compressed files by mkzftree with genisoimage, and by xorriso.

use crate::tree::{at, contents, mount, open};
use crate::writers::{genisoimage, mounted, run, xorriso};
use crate::{device::Ram, image};
use abi::Errno;
use std::sync::Arc;
use tempfile::TempDir;

/// Text, zeroes, noise, an empty file: all shorter and longer than a block.
fn tree() -> TempDir {
    let tree = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(tree.path().join(name), bytes).unwrap();
    write(
        "text",
        &(0..20_000).flat_map(|i| format!("line {i}\n").into_bytes()).collect::<Vec<_>>(),
    );
    write("zero", &[0; 300_000]);
    let mut state = 1_u32;
    let noise: Vec<u8> = (0..100_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    write("noise", &noise);
    let mixed = [vec![0; 70_000], b"in between".repeat(9000), vec![0; 70_000]].concat();
    write("mixed", &mixed);
    write("short", b"short");
    write("empty", b"");
    tree
}

fn check(image: Vec<u8>, tree: &TempDir, must_be_smaller: bool) {
    let stored = mounted(image.clone(), "nocompress");
    let fs = mounted(image, "");
    for name in ["text", "zero", "noise", "mixed", "short", "empty"] {
        let expected = std::fs::read(tree.path().join(name)).unwrap();
        let attr = at(&fs, name).unwrap();
        assert_eq!(attr.size_bytes, expected.len() as u64, "{name}");
        let found = contents(&fs, attr.ino).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(found == expected, "{name}");
        // From the end to the beginning, across blocks.
        let handle = open(&fs, attr.ino).unwrap();
        let mut buf = vec![0; 33_000];
        for start in (0..expected.len()).step_by(30_000).rev() {
            let n = fs.read(handle, &mut buf, start as u64).unwrap();
            assert!(buf[..n] == expected[start..][..n], "{name} at {start}");
            assert_eq!(n, buf.len().min(expected.len() - start), "{name} at {start}");
        }
        assert_eq!(fs.read(handle, &mut buf, u64::MAX), Ok(0));
        fs.release(handle);
        if must_be_smaller && name == "text" {
            assert!(at(&stored, name).unwrap().size_bytes < attr.size_bytes / 2);
        }
    }
}

#[test]
fn mkzftree_files_read_as_they_were() {
    let tree = tree();
    let out = tempfile::tempdir().unwrap();
    let compressed = out.path().join("z");
    let (from, to) = (tree.path().to_str().unwrap(), compressed.to_str().unwrap());
    run("mkzftree", "zisofs-tools", &[from, to]);
    let out = TempDir::with_prefix("z").unwrap();
    std::fs::rename(&compressed, out.path().join("z")).unwrap();
    let image = genisoimage(&out, &["-R", "-z"]);
    let fs = mounted(image.clone(), "");
    let text = std::fs::read(tree.path().join("text")).unwrap();
    assert!(contents(&fs, at(&fs, "z/text").unwrap().ino).unwrap() == text);
    let inner = std::fs::read(out.path().join("z/text")).unwrap();
    let fs = mounted(image, "nocompress");
    assert!(contents(&fs, at(&fs, "z/text").unwrap().ino).unwrap() == inner);
}

#[test]
fn blocks_of_all_sizes_by_xorriso() {
    let tree = tree();
    let filter = ["-set_filter_r", "--zisofs", "/", "--"];
    for size in ["32k", "64k", "128k"] {
        let zisofs = format!("level=9:block_size={size}");
        check(xorriso(&tree, &["-zisofs", &zisofs], &filter), &tree, true);
    }
    for size in ["32k", "1m"] {
        let zisofs = format!("level=9:version_2=on:block_size_v2={size}");
        check(xorriso(&tree, &["-zisofs", &zisofs], &filter), &tree, true);
    }
    check(xorriso(&tree, &["-zisofs", "version_2=on:susp_z2=on"], &filter), &tree, true);
    check(xorriso(&tree, &[], &[]), &tree, false);
}

/// One compressed file whose directory record says these things.
fn one_file(algorithm: &[u8; 2], log2_block: u8, size: u32, stored: &[u8]) -> image::Image {
    let zf = [&algorithm[..], &[4, log2_block], &image::both(size)].concat();
    let system = [image::posix(0o100_644, 1, 0), image::entry(b"ZF", &zf)].concat();
    let record = image::record(b"Z.;1", 30, stored.len() as u32, 0, &system);
    image::Image::new(2048, 64, 20, 2048)
        .directory(20, 20, 2048, &image::rock_sign(), &[record])
        .put(30, stored)
}

fn header(size: u32, pointers: &[u32]) -> Vec<u8> {
    let mut bytes = b"\x37\xe4\x53\x96\xc9\xdb\xd6\x07".to_vec();
    bytes.extend(size.to_le_bytes());
    bytes.extend([4, 15, 0, 0]);
    bytes.extend(pointers.iter().flat_map(|p| p.to_le_bytes()));
    bytes
}

fn read_z(image: image::Image) -> Result<Vec<u8>, Errno> {
    let fs = mount(Arc::new(Ram(image.into_bytes())), "").unwrap();
    let ino = at(&fs, "z").unwrap().ino;
    contents(&fs, ino)
}

#[test]
fn lies_about_compression_are_named() {
    // No lie: a block of no bytes is zeroes.
    let honest = one_file(b"pz", 15, 5, &header(5, &[24, 24]));
    assert_eq!(read_z(honest).unwrap(), [0; 5]);
    // Error: an algorithm nobody knows, a block size that would be a gigabyte.
    let unknown = one_file(b"xz", 15, 5, &header(5, &[24, 24]));
    assert_eq!(read_z(unknown).unwrap_err(), Errno::EOPNOTSUPP);
    assert_eq!(
        read_z(one_file(b"pz", 30, 5, &header(5, &[24, 24]))).unwrap_err(),
        Errno::EOPNOTSUPP
    );
    // Error: the header says another length than the record.
    assert_eq!(read_z(one_file(b"pz", 15, 6, &header(5, &[24, 24]))).unwrap_err(), Errno::EUCLEAN);
    // Error: no header.
    assert_eq!(read_z(one_file(b"pz", 15, 5, b"hello")).unwrap_err(), Errno::EUCLEAN);
    // Error: pointers that go back, pass the end, or span what no block can be.
    for pointers in [[24, 20], [24, 4000], [24, u32::MAX]] {
        let bad = one_file(b"pz", 15, 5, &header(5, &pointers));
        assert_eq!(read_z(bad).unwrap_err(), Errno::EUCLEAN, "{pointers:?}");
    }
    // Error: no pointers at all for a file that says it is long.
    let endless = one_file(b"pz", 15, u32::MAX, &header(u32::MAX, &[]));
    assert_eq!(read_z(endless).unwrap_err(), Errno::EUCLEAN);
    // Error: bytes that are no stream.
    let noise = [header(5, &[24, 28]), vec![1, 2, 3, 4]].concat();
    assert_eq!(read_z(one_file(b"pz", 15, 5, &noise)).unwrap_err(), Errno::EUCLEAN);
}
