//! Images made by qemu-img, read by us; and images that lie.

use abi::Errno;
use abi::block::BlockDevice;
use abi::dev::{DeviceSource, DeviceType};
use abi::options::Options;
use proptest::prelude::*;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::sync::Arc;
use umdev::block::{Image, Ramdisk};
use umdev::qcow2::{Qcow2, Qcow2Error};
use umdev::submodules::Qcow2Type;

const SIZE: usize = 3 << 20;

/// 3 MiB: noise that does not pack, text that does, a hole, and an odd end.
fn content() -> Vec<u8> {
    let mut bytes = vec![0u8; SIZE];
    let mut state = 1u32;
    for byte in &mut bytes[100_000..900_000] {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = (state >> 24) as u8;
    }
    for (i, byte) in bytes[1_500_000..2_000_000].iter_mut().enumerate() {
        *byte = b"all the same old text "[i % 22];
    }
    bytes[SIZE - 1] = 9;
    bytes
}

fn qemu_img(args: &[&str]) {
    let output = Command::new("qemu-img").args(args).output();
    let output = output.unwrap_or_else(|e| panic!("qemu-img: {e}; install qemu-utils"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A qcow2 image of `content()`, as a file in a folder that lives as long.
fn image(args: &[&str]) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw");
    let made = folder.path().join("made.qcow2");
    std::fs::write(&raw, content()).unwrap();
    let names = [raw.to_str().unwrap(), made.to_str().unwrap()];
    qemu_img(&[&["convert", "-f", "raw", "-O", "qcow2"], args, &names].concat());
    (folder, made)
}

fn open(path: &std::path::Path) -> Result<Qcow2, Qcow2Error> {
    let file = std::fs::File::open(path).unwrap();
    Qcow2::open(Arc::new(Image::new(file, true).unwrap()))
}

#[test]
fn what_qemu_img_wrote_we_read() {
    let kinds: [&[&str]; 7] = [
        &[],
        &["-c"],
        &["-o", "compat=0.10"],
        &["-c", "-o", "compat=0.10,cluster_size=512"],
        &["-o", "cluster_size=512"],
        &["-o", "cluster_size=2M"],
        &["-c", "-o", "cluster_size=4K,lazy_refcounts=on"],
    ];
    let content = content();
    for kind in kinds {
        let (_folder, path) = image(kind);
        let disk = open(&path).unwrap();
        assert_eq!((disk.geometry().size_bytes, disk.geometry().read_only), (SIZE as u64, true));
        let mut bytes = vec![1u8; SIZE];
        disk.read_at(&mut bytes, 0).unwrap();
        assert!(bytes == content, "{kind:?}");
        for (offset, len) in [(99_990, 30), (SIZE - 7, 7), (1_499_999, 70_000), (65_535, 2)] {
            let mut bytes = vec![1u8; len];
            disk.read_at(&mut bytes, offset as u64).unwrap();
            assert!(bytes == content[offset..offset + len], "{kind:?} {offset}");
        }
        assert_eq!(disk.read_at(&mut [0; 2], SIZE as u64 - 1), Err(Errno::EINVAL));
        assert_eq!(disk.write_at(&[0], 0), Err(Errno::EROFS));
        assert_eq!(disk.discard(0..1), Err(Errno::EROFS));
        assert_eq!(disk.flush(), Ok(()));
    }
}

#[test]
fn each_image_that_can_t_be_read_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    qemu_img(&["create", "-q", "-f", "qcow2", &path("base"), "1M"]);
    let backed = ["-b", &path("base"), "-F", "qcow2", &path("backed")];
    qemu_img(&[&["create", "-q", "-f", "qcow2"], &backed[..]].concat());
    let data = format!("data_file={},extended_l2=off", path("data"));
    qemu_img(&["create", "-q", "-f", "qcow2", "-o", &data, &path("external"), "1M"]);
    qemu_img(&["create", "-q", "-f", "qcow2", "-o", "extended_l2=on", &path("extended"), "1M"]);
    let zstd = "compression_type=zstd";
    qemu_img(&["create", "-q", "-f", "qcow2", "-o", zstd, &path("zstd"), "1M"]);
    let cases = [
        ("zstd", "compression other than zlib"),
        ("backed", "a backing file"),
        ("external", "an external data file"),
        ("extended", "extended second-level entries"),
    ];
    for (name, what) in cases {
        let error = open(path(name).as_ref()).err().unwrap();
        assert_eq!(error, Qcow2Error::Unsupported(what));
        assert_eq!(error.to_errno(), Errno::EINVAL);
    }
}

/// An empty image of 1 MiB with some bytes of its header replaced.
fn patched(at: u64, bytes: &[u8]) -> Result<Qcow2, Qcow2Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("q");
    qemu_img(&["create", "-q", "-f", "qcow2", path.to_str().unwrap(), "1M"]);
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(bytes, at).unwrap();
    open(&path)
}

#[test]
fn every_wrong_header_has_its_name() {
    let first_level = |entries, offset| Qcow2Error::FirstLevel { entries, offset };
    let cases: [(u64, &[u8], Qcow2Error); 9] = [
        (3, &[0xfc], Qcow2Error::NoMagic(*b"QFI\xfc")),
        (7, &[4], Qcow2Error::Version(4)),
        (79, &[0x20], Qcow2Error::Features(0x20)),
        (35, &[1], Qcow2Error::Unsupported("encryption")),
        (23, &[8], Qcow2Error::ClusterBits(8)),
        (23, &[22], Qcow2Error::ClusterBits(22)),
        (24, &[0x80], Qcow2Error::Size(0x8000_0000_0010_0000)),
        (39, &[0], first_level(0, 0x3_0000)),
        (40, &[0x7f], first_level(1, 0x7f00_0000_0003_0000)),
    ];
    for (at, bytes, expected) in cases {
        assert_eq!(patched(at, bytes).err(), Some(expected), "byte {at}");
    }
    // A dirty image is fine for a reader, and so is the compression feature with the old
    // compression.
    assert!(patched(79, &[1]).is_ok() && patched(79, &[8]).is_ok());
    assert!(matches!(patched(36, &[1]), Err(Qcow2Error::FirstLevel { .. })));
    let empty = Qcow2::open(Arc::new(Ramdisk::new(3).unwrap()));
    assert_eq!(empty.err(), Some(Qcow2Error::NoMagic([0; 4])));
}

#[test]
fn a_mount_needs_ro_or_snapshot() {
    let (_folder, path) = image(&[]);
    let attach = |options: &str| {
        let image = Image::new(std::fs::File::open(&path).unwrap(), true).unwrap();
        let source = DeviceSource::Image(Arc::new(image));
        Qcow2Type.attach(source, &mut Options::parse(options))
    };
    assert_eq!(attach("").err().unwrap().errno, Errno::EROFS);
    assert_eq!(attach("ro").unwrap().open(0, true), Err(Errno::EROFS));
    let disk = attach("snapshot").unwrap().block(0).unwrap();
    disk.write_at(b"new", 100_001).unwrap();
    let mut bytes = [0u8; 5];
    disk.read_at(&mut bytes, 100_000).unwrap();
    let content = content();
    assert_eq!(bytes, [content[100_000], b'n', b'e', b'w', content[100_004]]);
    let text = DeviceSource::Text("none".to_owned());
    assert_eq!(
        Qcow2Type.attach(text, &mut Options::parse("ro")).err().unwrap().errno,
        Errno::EINVAL
    );
}

/// A small image built by hand: 512-byte clusters, first level at 512, one second-level table at 1024.
fn by_hand(version: u8) -> Vec<u8> {
    let mut bytes = vec![0u8; 4096];
    bytes[..4].copy_from_slice(b"QFI\xfb");
    bytes[7] = version;
    bytes[23] = 9;
    bytes[24..32].copy_from_slice(&20_000u64.to_be_bytes());
    bytes[39] = 1;
    bytes[40..48].copy_from_slice(&512u64.to_be_bytes());
    bytes[512..520].copy_from_slice(&1024u64.to_be_bytes());
    bytes
}

fn disk_of(bytes: &[u8]) -> Result<Qcow2, Qcow2Error> {
    let ram = Ramdisk::new(bytes.len() as u64).unwrap();
    ram.write_at(bytes, 0).unwrap();
    Qcow2::open(Arc::new(ram))
}

#[test]
fn a_cluster_marked_zero_reads_as_zero_from_version_3_on() {
    for (version, expected) in [(2, 7), (3, 0)] {
        let mut bytes = by_hand(version);
        bytes[1024..1032].copy_from_slice(&(2048u64 | 1).to_be_bytes());
        bytes[2048..2560].fill(7);
        let mut buf = [1u8; 512];
        disk_of(&bytes).unwrap().read_at(&mut buf, 0).unwrap();
        assert!(buf.iter().all(|b| *b == expected));
    }
}

#[test]
fn corruption_in_use_is_eio_and_a_short_tail_is_zero() {
    let mut bytes = by_hand(3);
    bytes.truncate(2100);
    bytes[1024..1032].copy_from_slice(&2048u64.to_be_bytes());
    bytes[1032..1040].copy_from_slice(&4096u64.to_be_bytes());
    bytes[1040..1048].copy_from_slice(&(1u64 << 62 | 1500).to_be_bytes());
    bytes[2048..2100].fill(7);
    let disk = disk_of(&bytes).unwrap();
    let mut buf = [1u8; 512];
    disk.read_at(&mut buf, 0).unwrap();
    assert!(buf[..52].iter().all(|b| *b == 7) && buf[52..].iter().all(|b| *b == 0));
    // Error: a cluster past the end, and bytes that do not unpack.
    assert_eq!(disk.read_at(&mut buf, 512), Err(Errno::EIO));
    assert_eq!(disk.read_at(&mut buf, 1024), Err(Errno::EIO));
    // Error: a second-level table past the end.
    bytes[512..520].copy_from_slice(&8192u64.to_be_bytes());
    assert_eq!(disk_of(&bytes).unwrap().read_at(&mut buf, 0), Err(Errno::EIO));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_the_reader_fail(
        patches in proptest::collection::vec((0usize..4096, any::<u8>()), 0..12),
        tables in proptest::collection::vec((0usize..64, any::<u64>()), 0..12),
    ) {
        let mut bytes = by_hand(3);
        for (slot, entry) in tables {
            bytes[1024 + 8 * slot..][..8].copy_from_slice(&entry.to_be_bytes());
        }
        for (at, byte) in patches {
            bytes[at] = byte;
        }
        if let Ok(disk) = disk_of(&bytes) {
            let size = disk.geometry().size_bytes;
            let mut buf = vec![0u8; size.min(20_000) as usize];
            for offset in [0, size - buf.len() as u64] {
                prop_assert!(matches!(disk.read_at(&mut buf, offset), Ok(()) | Err(Errno::EIO)));
            }
        }
    }
}
