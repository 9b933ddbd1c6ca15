//! Images partitioned by the real tools, read by us: both must see the same.

use crate::emit;
use abi::block::BlockDevice;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use umdev::block::Image;
use umdev::table::{Kind, Label, Table};

/// A partition as `sfdisk --dump` tells it: start, sectors, type, bootable, name, uuid.
pub(crate) type Line = (u64, u64, String, bool, String, String);

/// Reads the lines of `sfdisk --dump`: `NODE : start= 1, size= 2, type=83, bootable`.
pub(crate) fn dump_lines(dump: &str) -> BTreeMap<u32, Line> {
    let mut lines = BTreeMap::new();
    for line in dump.lines() {
        let Some((node, rest)) = line.split_once(" : ") else { continue };
        let digits = node.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let fields: BTreeMap<&str, &str> = rest
            .split(", ")
            .map(|field| field.split_once('=').unwrap_or((field, "")))
            .map(|(key, value)| (key.trim(), value.trim().trim_matches('"')))
            .collect();
        let text = |key: &str| fields.get(key).copied().unwrap_or_default().to_owned();
        let number = |key: &str| text(key).parse::<u64>().unwrap();
        let bootable = fields.contains_key("bootable");
        let line =
            (number("start"), number("size"), text("type"), bootable, text("name"), text("uuid"));
        lines.insert(node[digits..].parse().unwrap(), line);
    }
    lines
}

/// Our reading in the same words.
pub(crate) fn ours(table: &Table) -> BTreeMap<u32, Line> {
    let one = |e: &umdev::table::Entry| {
        let (kind, bootable, name, uuid) = match &e.kind {
            Kind::Mbr { type_code, bootable } => {
                (format!("{type_code:x}"), *bootable, String::new(), String::new())
            }
            Kind::Gpt { type_guid, guid, name, .. } => {
                (type_guid.to_string(), false, name.clone(), guid.to_string())
            }
        };
        (e.number, (e.lba_first, e.sectors, kind, bootable, name, uuid))
    };
    table.entries.iter().map(one).collect()
}

/// Runs a tool, or fails with the name of its package.
fn run(package: &str, program: &str, args: &[&str], input: &str) -> String {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let child = Command::new(program)
        .args(args)
        .env("PATH", path)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap_or_else(|e| panic!("{program}: {e}; install {package}"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn image_of(bytes: u64) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(bytes).unwrap();
    file
}

fn open(path: &Path) -> Image {
    Image::new(std::fs::File::open(path).unwrap(), true).unwrap()
}

/// Compares our reading of `path` with that of sfdisk; returns the number of partitions.
fn agree(path: &Path) -> usize {
    let name = path.to_str().unwrap();
    let expected = dump_lines(&run("fdisk", "sfdisk", &["--dump", name], ""));
    let table = Table::read_valid(&open(path)).unwrap();
    assert_eq!(ours(&table), expected);
    expected.len()
}

fn sfdisk(path: &Path, script: &str) {
    run("fdisk", "sfdisk", &["-q", "--no-reread", path.to_str().unwrap()], script);
}

#[test]
fn what_sfdisk_wrote_we_read() {
    let scripts = [
        (
            "label: dos\n1 : size=4M, type=c, bootable\n2 : size=10M, type=f\n3 : type=83\n\
             5 : size=2M\n6 : size=3M, type=82\n",
            5,
        ),
        (
            "label: dos\n4 : start=5M, size=14M, type=85\n5 : size=2M\n6 : size=2M\n\
             7 : size=2M\n8 : size=1M\n1 : size=1M\n",
            6,
        ),
        ("label: dos\nlabel-id: 0x1\nstart=1, size=1, type=da\n", 1),
        ("label: gpt\n,4M,L,\n,5M,S,\nsize=1M, type=U, name=\"EFI system\"\n", 3),
        ("label: gpt\ntable-length: 256\n,4M\n,5M\n", 2),
    ];
    for (script, partitions) in scripts {
        let image = image_of(64 << 20);
        sfdisk(image.path(), script);
        assert_eq!(agree(image.path()), partitions, "{script}");
    }
}

#[test]
fn logical_partitions_are_renumbered_as_sfdisk_does() {
    let image = image_of(64 << 20);
    sfdisk(
        image.path(),
        "label: dos\n1 : size=60M, type=5\n5 : size=2M\n6 : size=2M\n7 : size=2M\n8 : size=2M\n",
    );
    let before = agree(image.path());
    let name = image.path().to_str().unwrap();
    run("fdisk", "sfdisk", &["-q", "--no-reread", "--delete", name, "6"], "");
    assert_eq!(agree(image.path()), before - 1);
}

#[test]
fn what_sgdisk_wrote_we_read() {
    let image = image_of(64 << 20);
    let name = image.path().to_str().unwrap();
    let args = [
        "-n",
        "1:2048:+4M",
        "-c",
        "1:first",
        "-n",
        "128:0:+1M",
        "-t",
        "128:ef00",
        "-n",
        "7:0:0",
        name,
    ];
    run("gdisk", "sgdisk", &args, "");
    assert_eq!(agree(image.path()), 3);
    // A hybrid MBR beside the GPT: the GPT counts.
    run("gdisk", "sgdisk", &["-h", "1:128", name], "");
    let table = Table::read_valid(&open(image.path())).unwrap();
    assert!(matches!(table.label, Label::Gpt { from_backup: false, .. }));
    assert_eq!(table.entries.len(), 3);
}

#[test]
fn the_backup_that_sgdisk_wrote_stands_in() {
    let image = image_of(64 << 20);
    let name = image.path().to_str().unwrap();
    run("gdisk", "sgdisk", &["-n", "1:2048:+4M", "-n", "3:0:+1M", name], "");
    let good = ours(&Table::read_valid(&open(image.path())).unwrap());
    use std::os::unix::fs::FileExt;
    image.as_file().write_all_at(&[0; 512], 512).unwrap();
    let table = Table::read_valid(&open(image.path())).unwrap();
    assert!(matches!(table.label, Label::Gpt { from_backup: true, .. }));
    assert_eq!(ours(&table), good);
}

#[test]
fn sfdisk_reads_what_our_test_writer_writes() {
    let ram = emit::disk(8192, 512);
    emit::mbr(&*ram, &[(64, 100, 0x83)], &[(301, 50, 0x83), (401, 60, 0x82)]);
    let mut bytes = vec![0u8; 8192 * 512];
    ram.read_at(&mut bytes, 0).unwrap();
    let image = image_of(0);
    std::fs::write(image.path(), &bytes).unwrap();
    assert_eq!(agree(image.path()), 4);
    emit::gpt(&*ram, &[(1, 40, 99, "one"), (9, 100, 200, "nine")], &|_| {});
    ram.read_at(&mut bytes, 0).unwrap();
    std::fs::write(image.path(), &bytes).unwrap();
    assert_eq!(agree(image.path()), 2);
}

#[test]
fn file_systems_are_no_tables() {
    let image = image_of(4 << 20);
    let name = image.path().to_str().unwrap();
    run("e2fsprogs", "mke2fs", &["-q", "-F", "-t", "ext2", name], "");
    assert_eq!(Table::read(&open(image.path())), Ok(Table::default()));
    let image = image_of(4 << 20);
    let name = image.path().to_str().unwrap();
    run("dosfstools", "mkfs.fat", &[name], "");
    assert!(Table::read(&open(image.path())).unwrap().entries.is_empty());
}
