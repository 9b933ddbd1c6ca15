//! The images of `fixtures/fixtures.sh`, read and compared with what sfdisk said when they were
//! made.

use crate::tools::{Line, dump_lines, ours};
use abi::block::BlockDevice;
use abi::dev::Device;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use umdev::block::Image;
use umdev::disk::Disk;
use umdev::table::Table;

/// The folder of images, or a loud word on stderr.
fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("VIEWOS_FIXTURES").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("SKIPPED: VIEWOS_FIXTURES is not set (cargo xtask test sets it)");
    }
    folder
}

fn image(folder: &std::path::Path, name: &str) -> Arc<Image> {
    let file = std::fs::File::open(folder.join(name)).unwrap();
    Arc::new(Image::new(file, true).unwrap())
}

#[test]
fn tables_of_fixtures_are_what_sfdisk_said() {
    let Some(folder) = folder() else { return };
    for name in ["mbr", "gpt"] {
        let table = Table::read_valid(&*image(&folder, &format!("{name}.img"))).unwrap();
        let dump = std::fs::read_to_string(folder.join(format!("{name}.sfdisk"))).unwrap();
        let expected: BTreeMap<u32, Line> = dump_lines(&dump);
        assert!(expected.len() >= 2);
        assert_eq!(ours(&table), expected, "{name}");
        assert!(table.left_out.is_empty());
    }
}

#[test]
fn partitions_of_fixtures_begin_and_end_where_mbr_parts_says() {
    let Some(folder) = folder() else { return };
    let disk = Disk::new(image(&folder, "mbr.img"), true).unwrap();
    let parts = std::fs::read_to_string(folder.join("mbr.parts")).unwrap();
    let found: BTreeMap<u32, _> = disk.subdevices().into_iter().map(|s| (s.number, s)).collect();
    assert_eq!(found.len(), 1 + parts.lines().count());
    for line in parts.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [number, start, sectors] = [0, 1, 2].map(|i| words[i].parse::<u64>().unwrap());
        let part = &found[&u32::try_from(number).unwrap()];
        // An extended partition shows only its first KiB, as the kernel's does.
        let size = if words[3] == "5" { 1024 } else { sectors * 512 };
        assert_eq!((part.start_bytes, part.size_bytes), (start * 512, size), "{line}");
    }
    // Partitions 1 and 5 are ext2: the magic number is where it belongs.
    for number in [1, 5] {
        let mut magic = [0u8; 2];
        disk.block(number).unwrap().read_at(&mut magic, 1024 + 56).unwrap();
        assert_eq!(magic, [0x53, 0xef]);
    }
}
