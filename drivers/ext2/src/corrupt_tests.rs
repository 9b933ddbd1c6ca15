//! Every way to be corrupt has a name: small images built by hand, each wrong in one way.

use crate::error::{Corrupt, Error, Result, Unsupported};
use crate::inode::{Inode, InodeFlags};
use crate::journal::JournalSuper;
use crate::le::{put, put_be32, put_u8, put_u16, put_u32};
use crate::superblock::Super;
use crate::volume::Volume;
use abi::block::{BlockDevice, Geometry};
use abi::fs::Ino;
use abi::{Errno, module::MountError};
use std::sync::{Arc, Mutex};

struct Ram(Mutex<Vec<u8>>);

impl BlockDevice for Ram {
    fn geometry(&self) -> Geometry {
        let size_bytes = self.0.lock().unwrap().len() as u64;
        Geometry { block_size: 512, size_bytes, read_only: false }
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> abi::Result<()> {
        let bytes = self.0.lock().unwrap();
        buf.copy_from_slice(&bytes[offset as usize..][..buf.len()]);
        Ok(())
    }
    fn write_at(&self, buf: &[u8], offset: u64) -> abi::Result<()> {
        self.0.lock().unwrap()[offset as usize..][..buf.len()].copy_from_slice(buf);
        Ok(())
    }
    fn flush(&self) -> abi::Result<()> {
        Ok(())
    }
}

const BLOCK: usize = 1024;
/// The root directory's block.
const ROOT_BLOCK: usize = 20;

/// 64 blocks of 1 KiB, one group, 32 inodes of 256 bytes: 1 superblock, 2 descriptors, 3 and 4
/// bitmaps, 5 to 12 inodes, data from 13 on.
pub(crate) fn image() -> Vec<u8> {
    let mut bytes = vec![0; 64 * BLOCK];
    let sb = &mut bytes[BLOCK..2 * BLOCK];
    put_u32(sb, 0, 32); // s_inodes_count
    put_u32(sb, 4, 64); // s_blocks_count
    put_u32(sb, 20, 1); // s_first_data_block
    put_u32(sb, 32, 8192); // s_blocks_per_group
    put_u32(sb, 36, 8192);
    put_u32(sb, 40, 32); // s_inodes_per_group
    put_u16(sb, 56, 0xef53);
    put_u32(sb, 76, 1); // s_rev_level
    put_u32(sb, 84, 11); // s_first_ino
    put_u16(sb, 88, 256); // s_inode_size
    put_u32(sb, 92, 0x20); // dir_index
    put_u32(sb, 96, 0x2 | 0x40 | 0x8000); // filetype, extent, inline_data
    let gd = &mut bytes[2 * BLOCK..3 * BLOCK];
    put_u32(gd, 0, 3);
    put_u32(gd, 4, 4);
    put_u32(gd, 8, 5);
    put_inode(&mut bytes, 2, 0o040755, 1024, 0, &[ROOT_BLOCK as u32]);
    put_inode(&mut bytes, 12, 0o100644, 3000, 0, &[30, 31, 32]);
    put_dots(&mut bytes, ROOT_BLOCK);
    put_entry(&mut bytes, ROOT_BLOCK * BLOCK + 24, 12, 1000, 1, b"file");
    bytes
}

fn inode_at(ino: usize) -> usize {
    5 * BLOCK + (ino - 1) * 256
}

fn put_inode(bytes: &mut [u8], ino: usize, mode: u16, size: u32, flags: u32, i_block: &[u32]) {
    let raw = &mut bytes[inode_at(ino)..][..256];
    raw.fill(0);
    put_u16(raw, 0, mode);
    put_u32(raw, 4, size);
    put_u16(raw, 26, 1);
    put_u32(raw, 28, 2);
    put_u32(raw, 32, flags);
    for (slot, block) in i_block.iter().enumerate() {
        put_u32(raw, 40 + slot * 4, *block);
    }
    put_u16(raw, 128, 32);
}

fn put_entry(bytes: &mut [u8], at: usize, ino: u32, len: u16, kind: u8, name: &[u8]) {
    put_u32(bytes, at, ino);
    put_u16(bytes, at + 4, len);
    put_u8(bytes, at + 6, name.len() as u8);
    put_u8(bytes, at + 7, kind);
    put(bytes, at + 8, name);
}

fn put_dots(bytes: &mut [u8], block: usize) {
    put_entry(bytes, block * BLOCK, 2, 12, 2, b".");
    put_entry(bytes, block * BLOCK + 12, 2, 12, 2, b"..");
}

pub(crate) fn volume(bytes: Vec<u8>) -> Volume {
    let sb = Super::parse(&bytes[BLOCK..2 * BLOCK], 1024, bytes.len() as u64).unwrap();
    Volume::new(Arc::new(Ram(Mutex::new(bytes))), sb)
}

fn list(volume: &Volume) -> Result<usize> {
    let root = volume.inode(Ino(2))?;
    let mut count = 0;
    volume.list(&root, 0, &mut |_| {
        count += 1;
        true
    })?;
    Ok(count)
}

fn file(volume: &Volume) -> Result<Inode> {
    volume.inode(Ino(12))
}

fn read(volume: &Volume) -> Result<usize> {
    let inode = file(volume)?;
    volume.read_file(&inode, &mut [0; 5000], 0)
}

/// What a change to the good image leads to.
fn after<T>(change: impl Fn(&mut [u8]), look: impl Fn(&Volume) -> Result<T>) -> Error {
    let mut bytes = image();
    look(&volume(bytes.clone())).unwrap_or_else(|error| panic!("the good image: {error}"));
    change(&mut bytes);
    match look(&volume(bytes)) {
        Ok(_) => panic!("not noticed"),
        Err(error) => error,
    }
}

#[test]
fn fields_of_the_superblock_are_named() {
    let cases: [(usize, u32, &str); 9] = [
        (24, 7, "s_log_block_size"),
        (88, 96, "s_inode_size"),
        (84, 5, "s_first_ino"),
        (4, 65, "s_blocks_count"),
        (20, 0, "s_first_data_block"),
        (32, 0, "s_clusters_per_group"),
        (40, 0, "s_inodes_per_group"),
        (0, 31, "s_inodes_count"),
        (204, 0xffff_0000, "s_reserved_gdt_blocks"),
    ];
    for (offset, value, wanted) in cases {
        let mut bytes = image();
        put_u32(&mut bytes[BLOCK..], offset, value);
        let refusal = Super::parse(&bytes[BLOCK..2 * BLOCK], 1024, 64 * 1024).unwrap_err();
        let Error::Corrupt(Corrupt::Super { field, .. }) = refusal else { panic!("{refusal}") };
        assert_eq!(field, wanted);
        assert_eq!(MountError::from(refusal).errno, Errno::EUCLEAN);
    }
    let mut bytes = image();
    put_u32(&mut bytes[BLOCK..], 76, 2);
    let refusal = Super::parse(&bytes[BLOCK..2 * BLOCK], 1024, 64 * 1024).unwrap_err();
    assert_eq!(refusal, Error::Unsupported(Unsupported::Revision(2)));
}

#[test]
fn wrong_places_of_a_group_are_named() {
    for (offset, what) in [(0, "block bitmap"), (4, "inode bitmap"), (8, "inode table")] {
        let error = after(|b| put_u32(b, 2 * BLOCK + offset, 64), |v| v.group(0));
        assert_eq!(error, Corrupt::GroupBlock { group: 0, what, block: 64 }.into());
    }
}

#[test]
fn wrong_inodes_are_named() {
    let at = inode_at(12);
    let error = after(|b| put_u16(b, at, 0o030644), file);
    assert_eq!(error, Corrupt::Mode { ino: 12, mode: 0o030644 }.into());
    let error = after(|b| put_u16(b, at + 128, 132), file);
    assert_eq!(error, Corrupt::ExtraSize { ino: 12, size: 132 }.into());
    let error = after(|b| put_u32(b, at + 108, 0x8000_0000), file);
    assert_eq!(error, Corrupt::Size { ino: 12, size: 0x8000_0000_0000_0bb8 }.into());
    // Error: a number that names no inode is an answer and no corruption.
    assert_eq!(volume(image()).inode(Ino(33)), Err(Error::Answer(Errno::ESTALE)));
    assert_eq!(volume(image()).inode(Ino(7)), Err(Error::Answer(Errno::ESTALE)));
    assert_eq!(volume(image()).inode(Ino(13)), Err(Error::Answer(Errno::ESTALE)));
    // Error: unless a name leads there.
    let error = volume(image()).inode_of_entry(2, 24, 13).unwrap_err();
    assert_eq!(error, Corrupt::FreeInode { ino: 13 }.into());
    let error = volume(image()).inode_of_entry(2, 24, 7).unwrap_err();
    assert_eq!(error, Corrupt::DirTarget { ino: 2, offset: 24, target: 7 }.into());
}

#[test]
fn wrong_pointers_are_named() {
    let error = after(|b| put_u32(b, inode_at(12) + 44, 64), read);
    assert_eq!(error, Corrupt::Block { block: 64 }.into());
    // A pointer block outside.
    let deep = |b: &mut [u8]| {
        put_inode(b, 12, 0o100644, 20_000, 0, &[0; 12]);
        put_u32(b, inode_at(12) + 40 + 48, 99);
    };
    assert_eq!(after(deep, |v| v.map(&file(v)?, 12, 1)), Corrupt::Block { block: 99 }.into());
}

/// A file with extents: a root with one entry.
fn extents(b: &mut [u8], header: [u16; 4], first: u32, len: u16, block: u32) {
    put_inode(b, 12, 0o100644, 3000, InodeFlags::EXTENTS.bits(), &[]);
    let root = &mut b[inode_at(12) + 40..][..60];
    for (slot, value) in header.iter().enumerate() {
        put_u16(root, slot * 2, *value);
    }
    put_u32(root, 12, first);
    put_u16(root, 16, len);
    put_u32(root, 20, block);
}

#[test]
fn wrong_extents_are_named() {
    let good = [0xf30a, 1, 4, 0];
    let found = |header, first, len, block| {
        after(move |b| extents(b, header, first, len, block), |v| v.map(&file(v)?, 1, 5))
    };
    let header = |magic, entries, max, depth| {
        Error::from(Corrupt::ExtentHeader { ino: 12, magic, entries, max, depth })
    };
    assert_eq!(found([0xf30b, 1, 4, 0], 0, 1, 30), header(0xf30b, 1, 4, 0));
    assert_eq!(found([0xf30a, 5, 4, 0], 0, 1, 30), header(0xf30a, 5, 4, 0));
    assert_eq!(found([0xf30a, 1, 5, 0], 0, 1, 30), header(0xf30a, 1, 5, 0));
    assert_eq!(found([0xf30a, 1, 4, 6], 0, 1, 30), header(0xf30a, 1, 4, 6));
    let range = Corrupt::ExtentRange { ino: 12, file_block: 0, block: 60, len: 5 };
    assert_eq!(found(good, 0, 5, 60), range.into());
    let range = Corrupt::ExtentRange { ino: 12, file_block: 0, block: 30, len: 0 };
    assert_eq!(found(good, 0, 0, 30), range.into());
    // An index entry that leads to something that is no node, and one of another depth.
    let index = |b: &mut [u8], depth| {
        extents(b, [0xf30a, 1, 4, depth], 0, 0, 0);
        put_u32(b, inode_at(12) + 40 + 16, 40);
        for (slot, value) in [0xf30a, 0, 84, 1].into_iter().enumerate() {
            put_u16(b, 40 * BLOCK + slot * 2, value);
        }
    };
    let error = after(|b| index(b, 1), |v| v.map(&file(v)?, 1, 5));
    assert_eq!(error, Corrupt::ExtentDepth { ino: 12, found: 1, wanted: 0 }.into());
    let order = |b: &mut [u8]| {
        extents(b, [0xf30a, 2, 4, 0], 0, 9, 30);
        let second = inode_at(12) + 40 + 24;
        put_u32(b, second, 4);
        put_u16(b, second + 4, 1);
        put_u32(b, second + 8, 50);
    };
    let error = after(order, |v| v.map(&file(v)?, 1, 5));
    assert_eq!(error, Corrupt::ExtentOrder { ino: 12, block: 4 }.into());
}

#[test]
fn wrong_directories_are_named() {
    let at = ROOT_BLOCK * BLOCK + 24;
    let length = |rec_len| Error::from(Corrupt::DirEntryLength { ino: 2, offset: 24, rec_len });
    assert_eq!(after(|b| put_u16(b, at + 4, 0), list), length(0));
    assert_eq!(after(|b| put_u16(b, at + 4, 1004), list), length(1004));
    assert_eq!(after(|b| put_u16(b, at + 4, 13), list), length(13));
    let error = after(|b| put_entry(b, at, 12, 12, 1, b"12345"), list);
    let wanted = Corrupt::DirNameLength { ino: 2, offset: 24, rec_len: 12, name_len: 5 };
    assert_eq!(error, wanted.into());
    for name in [b"a/b".as_slice(), b"a\0", b""] {
        let error = after(|b| put_entry(b, at, 12, 1000, 1, name), list);
        assert_eq!(error, Corrupt::DirName { ino: 2, offset: 24 }.into());
    }
    let error = after(|b| put_u32(b, at, 33), list);
    assert_eq!(error, Corrupt::DirTarget { ino: 2, offset: 24, target: 33 }.into());
    let error = after(|b| put_u32(b, inode_at(2) + 4, 2048), list);
    assert_eq!(error, Corrupt::DirHole { ino: 2, block: 1 }.into());
    let error = after(|b| put_u32(b, inode_at(2) + 4, 1000), list);
    assert_eq!(error, Corrupt::Size { ino: 2, size: 1000 }.into());
    let error = after(|b| put_u8(b, at - 12 + 8, b'x'), |v| v.dotdot(&v.inode(Ino(2))?));
    assert_eq!(error, Corrupt::DirDots { ino: 2 }.into());
}

#[test]
fn wrong_indexes_are_named() {
    let index = |b: &mut [u8], version: u8, levels: u8, limit: u16, count: u16, child: u32| {
        put_u32(b, inode_at(2) + 32, InodeFlags::INDEX.bits());
        let root = &mut b[ROOT_BLOCK * BLOCK..][..BLOCK];
        put_u16(root, 16, 1012);
        root[24..].fill(0);
        put_u8(root, 28, version);
        put_u8(root, 29, 8);
        put_u8(root, 30, levels);
        put_u16(root, 32, limit);
        put_u16(root, 34, count);
        put_u32(root, 36, child);
    };
    let found = |version, levels, limit, count, child| {
        after(
            move |b| index(b, version, levels, limit, count, child),
            |v| v.find(&v.inode(Ino(2))?, b"none"),
        )
    };
    assert_eq!(found(7, 0, 124, 1, 1), Corrupt::IndexRoot { ino: 2, version: 7, levels: 0 }.into());
    assert_eq!(found(1, 2, 124, 1, 1), Corrupt::IndexRoot { ino: 2, version: 1, levels: 2 }.into());
    let node = |count, limit| Error::from(Corrupt::IndexNode { ino: 2, count, limit });
    assert_eq!(found(1, 0, 125, 1, 1), node(1, 125));
    assert_eq!(found(1, 0, 124, 125, 1), node(125, 124));
    assert_eq!(found(1, 0, 124, 0, 1), node(0, 124));
    assert_eq!(found(1, 0, 124, 1, 1), Corrupt::IndexBlock { ino: 2, block: 1 }.into());
    assert_eq!(found(1, 0, 124, 1, 0), Corrupt::IndexBlock { ino: 2, block: 0 }.into());
}

#[test]
fn wrong_links_and_inline_data_are_named() {
    let target = |v: &Volume| v.inode(Ino(12)).and_then(|inode| v.link_target(&inode));
    let link = |b: &mut [u8], size| {
        put_inode(b, 12, 0o120777, size, 0, &[0x7878_7878, 0]);
        put_u32(b, inode_at(12) + 28, 0);
    };
    for size in [0, 2000, 8] {
        let mut bytes = image();
        link(&mut bytes, size);
        let wanted = Corrupt::LinkTarget { ino: 12, len: u64::from(size) };
        assert_eq!(target(&volume(bytes)), Err(wanted.into()));
    }
    let mut bytes = image();
    put_inode(&mut bytes, 12, 0o100644, 3000, InodeFlags::INLINE_DATA.bits(), &[]);
    assert_eq!(read(&volume(bytes)), Err(Corrupt::Inline { ino: 12 }.into()));
}

#[test]
fn wrong_attributes_are_named() {
    let names = |v: &Volume| v.xattr_names(&file(v)?);
    let value = |v: &Volume| v.xattr(&file(v)?, b"user.a").map(|_| ());
    let mut bytes = image();
    put_u32(&mut bytes, inode_at(12) + 104, 40);
    assert_eq!(names(&volume(bytes)), Err(Corrupt::XattrBlock { block: 40 }.into()));
    let with = |name_len: u8, value_at: u16, value_ino: u32, value_len: u32| {
        let mut bytes = image();
        let area = &mut bytes[inode_at(12) + 160..][..96];
        put_u32(area, 0, 0xea02_0000);
        put_u8(area, 4, name_len);
        put_u8(area, 5, 1);
        put_u16(area, 6, value_at);
        put_u32(area, 8, value_ino);
        put_u32(area, 12, value_len);
        put(area, 20, b"a");
        volume(bytes)
    };
    assert_eq!(value(&with(1, 60, 0, 4)), Ok(()));
    let entry = |offset, len| Err(Error::from(Corrupt::XattrEntry { ino: 12, offset, len }));
    assert_eq!(value(&with(200, 60, 0, 4)), entry(0, 200));
    assert_eq!(value(&with(1, 90, 0, 4)), entry(90, 4));
    assert_eq!(value(&with(1, 0, 13, 4)), Err(Corrupt::Ino { ino: 13 }.into()));
    assert_eq!(value(&with(1, 0, 12, 70_000)), entry(0, 70_000));
}

#[test]
fn wrong_journals_are_named() {
    let good = || {
        let mut raw = vec![0; 1024];
        for (offset, value) in [(0, 0xc03b_3998), (4, 4), (12, 1024), (16, 100), (20, 1), (24, 5)] {
            put_be32(&mut raw, offset, value);
        }
        raw
    };
    assert!(JournalSuper::parse(&good(), 1024, 100).is_ok());
    let cases = [
        (0, 1, "magic number"),
        (4, 1, "h_blocktype"),
        (12, 2048, "s_blocksize"),
        (16, 101, "s_maxlen"),
        (20, 100, "s_first"),
        (28, 100, "s_start"),
    ];
    for (offset, value, field) in cases {
        let mut raw = good();
        put_be32(&mut raw, offset, value);
        let wanted = Corrupt::Journal { field, value: u64::from(value) };
        assert_eq!(JournalSuper::parse(&raw, 1024, 100).unwrap_err(), wanted.into());
    }
    let mut raw = good();
    put_be32(&mut raw, 40, 0x40);
    let wanted = Unsupported::JournalFeatures(0x40);
    assert_eq!(JournalSuper::parse(&raw, 1024, 100).unwrap_err(), Error::Unsupported(wanted));
}

#[test]
fn wrong_frees_and_orphans_are_named() {
    let mut volume = volume(image());
    volume.read_only = false;
    volume.is_marked = true;
    // The bitmaps of the image say that everything is free.
    let error = volume.change(|v| v.release_blocks(40, 1)).unwrap_err();
    assert_eq!(error, Corrupt::DoubleFree { group: 0, what: "a block" }.into());
    assert!(volume.has_failed(), "a doubt makes the volume read-only");
    assert_eq!(volume.change(|_| Ok(())), Err(Error::Answer(Errno::EROFS)));
    assert_eq!(volume.orphan(3), Err(Corrupt::Orphan { ino: 3 }.into()));
    assert_eq!(volume.orphan(14), Err(Corrupt::Orphan { ino: 14 }.into()));
}
