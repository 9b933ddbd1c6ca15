//! Where things end: space, links, sizes, levels of trees.

use crate::device::{Ram, mount};
use crate::tools::{e2fsck, mke2fs, store};
use crate::tree::{list, lookup, open};
use abi::fs::{
    Caller, Cookie, FallocateMode, FileSystem, Handle, Ino, Name, OpenFlags, Opened, SeekTo,
    SetAttr,
};
use abi::{Errno, Result};
use std::collections::HashMap;
use std::sync::Arc;

const ROOT: Caller = Caller { uid: 0, gid: 0, pid: 0 };
const USER: Caller = Caller { uid: 1000, gid: 1000, pid: 0 };

fn create(fs: &dyn FileSystem, caller: Caller, dir: Ino, name: &str) -> Result<(Ino, Handle)> {
    let flags = OpenFlags::READ | OpenFlags::WRITE;
    let (attr, opened) = fs.create(caller, dir, Name::new(name.as_bytes())?, 0o644, flags)?;
    let Opened::Handle(handle) = opened else { panic!("host") };
    Ok((attr.ino, handle))
}

fn unlink(fs: &dyn FileSystem, dir: Ino, name: &str) -> Result<()> {
    fs.unlink(ROOT, dir, Name::new(name.as_bytes())?)
}

fn check_clean(device: &Ram, fs: Arc<dyn FileSystem>) {
    drop(fs);
    assert_eq!(e2fsck(&store(&device.bytes()).path), None);
}

/// Writes files until nothing fits; returns what each holds.
fn fill(fs: &dyn FileSystem, caller: Caller, prefix: &str) -> Vec<(String, usize)> {
    let mut files = Vec::new();
    for number in 0.. {
        let name = format!("{prefix}{number}");
        let handle = match create(fs, caller, fs.root(), &name) {
            Ok((_, handle)) => handle,
            Err(errno) => {
                assert_eq!(errno, Errno::ENOSPC);
                break;
            }
        };
        let data = vec![number as u8; 150_000];
        let mut len = 0;
        let result = loop {
            match fs.write(handle, &data[..150_000 - len], len as u64) {
                Ok(written) if len + written < data.len() => len += written,
                Ok(written) => break Ok(len + written),
                Err(errno) => break Err(errno),
            }
        };
        fs.release(handle);
        files.push((name, result.unwrap_or(len)));
        if let Err(errno) = result {
            assert_eq!(errno, Errno::ENOSPC);
            break;
        }
    }
    files
}

#[test]
fn a_full_volume_says_so_and_loses_nothing() {
    for args in ["-t ext2 -b 1024", "-t ext3 -b 1024 -J size=1", "-t ext4 -b 1024 -J size=1"] {
        let device = mke2fs(6 * 1024, args);
        let fs = mount(device.clone(), false, "").unwrap();
        let before = fs.statfs().unwrap();
        let mut files = fill(&*fs, USER, "user");
        let full = fs.statfs().unwrap();
        assert!(full.blocks_available <= 2, "{args}: {full:?}");
        assert!(full.blocks_free > 100, "{args}: the reserve is kept");
        files.extend(fill(&*fs, ROOT, "root"));
        assert!(fs.statfs().unwrap().blocks_free <= 2, "{args}");
        // Names still come and go: they need no new block.
        unlink(&*fs, fs.root(), "user0").unwrap();
        files.remove(0);
        for (name, len) in &files {
            let attr = lookup(&*fs, fs.root(), name.as_bytes()).unwrap();
            assert_eq!(attr.size_bytes, *len as u64, "{args}: {name}");
        }
        fs.sync().unwrap();
        assert_eq!(e2fsck(&store(&device.bytes()).path), None, "{args}: full");
        for (name, _) in &files {
            unlink(&*fs, fs.root(), name).unwrap();
        }
        let after = fs.statfs().unwrap();
        // The root directory has grown, no more.
        assert!(before.blocks_free - after.blocks_free < 8, "{args}: {before:?} {after:?}");
        assert_eq!(before.files_free, after.files_free);
        check_clean(&device, fs);
    }
}

#[test]
fn inodes_run_out_cleanly() {
    let device = mke2fs(4 * 1024, "-t ext4 -b 1024 -N 64");
    let fs = mount(device.clone(), false, "").unwrap();
    let free = fs.statfs().unwrap().files_free;
    let made = (0..1000).take_while(|n| match create(&*fs, ROOT, fs.root(), &format!("f{n}")) {
        Ok((_, handle)) => {
            fs.release(handle);
            true
        }
        Err(errno) => {
            assert_eq!(errno, Errno::ENOSPC);
            false
        }
    });
    assert_eq!(made.count() as u64, free);
    let n = Name::new(b"d").unwrap();
    assert_eq!(fs.mkdir(ROOT, fs.root(), n, 0o755).unwrap_err(), Errno::ENOSPC);
    check_clean(&device, fs);
}

#[test]
fn sizes_reach_what_the_format_holds() {
    for (args, max) in [
        ("-t ext2 -b 1024", (12 + 256 + 256 * 256 + 256 * 256 * 256) * 1024),
        ("-t ext4 -b 1024", (u64::from(u32::MAX)) * 1024),
    ] {
        let device = mke2fs(8 * 1024, args);
        let fs = mount(device.clone(), false, "").unwrap();
        let (ino, handle) = create(&*fs, ROOT, fs.root(), "far").unwrap();
        for at in [0, 12, 267, 268, 65_000, 70_000, 1 << 20] {
            assert_eq!(fs.write(handle, b"here", at * 1024 + 7), Ok(4), "{args}");
        }
        assert_eq!(fs.write(handle, b"last", max - 4), Ok(4), "{args}");
        assert_eq!(fs.write(handle, b"last", max - 2), Ok(2), "{args}: a part fits");
        assert_eq!(fs.write(handle, b"last", max), Err(Errno::EFBIG), "{args}");
        let mut buf = [9; 8];
        assert_eq!(fs.read(handle, &mut buf, (1 << 30) + 5), Ok(8));
        assert_eq!(&buf, b"\0\0here\0\0");
        assert_eq!(fs.lseek(handle, 0, SeekTo::Hole), Ok(1024));
        assert_eq!(fs.lseek(handle, 1024, SeekTo::Data), Ok(12 * 1024));
        assert_eq!(fs.lseek(handle, (1 << 30) + 1024, SeekTo::Data), Ok(max - 1024));
        let changes = SetAttr { size_bytes: Some(max + 1), ..SetAttr::default() };
        assert_eq!(fs.setattr(ROOT, ino, &changes).unwrap_err(), Errno::EFBIG);
        fs.sync().unwrap();
        assert_eq!(e2fsck(&store(&device.bytes()).path), None, "{args}");
        let changes = SetAttr { size_bytes: Some(100), ..SetAttr::default() };
        assert_eq!(fs.setattr(ROOT, ino, &changes).unwrap().blocks_512, 2);
        fs.release(handle);
        check_clean(&device, fs);
    }
}

#[test]
fn a_fragmented_file_grows_its_tree_and_shrinks_it() {
    let device = mke2fs(16 * 1024, "-t ext4 -b 1024");
    let fs = mount(device.clone(), false, "").unwrap();
    let (ino, handle) = create(&*fs, ROOT, fs.root(), "holes").unwrap();
    let blocks = 8000;
    assert_eq!(fs.write(handle, &vec![7; blocks * 1024], 0), Ok(blocks * 1024));
    let punch = FallocateMode::PUNCH_HOLE | FallocateMode::KEEP_SIZE;
    for block in (1..blocks as u64).step_by(2) {
        fs.fallocate(handle, punch, block * 1024, 1024).unwrap();
    }
    fs.sync().unwrap();
    assert_eq!(e2fsck(&store(&device.bytes()).path), None, "with 4,000 extents");
    let mut buf = vec![1; 4096];
    fs.read(handle, &mut buf, 5000 * 1024).unwrap();
    assert!(buf[..1024].iter().all(|&b| b == 7) && buf[1024..2048].iter().all(|&b| b == 0));
    // Unwritten blocks in every hole, then data over all of them from the end.
    fs.fallocate(handle, FallocateMode::empty(), 0, blocks as u64 * 1024).unwrap();
    for block in (1..blocks as u64).rev().step_by(2) {
        assert_eq!(fs.write(handle, &[8; 1024], block * 1024), Ok(1024));
    }
    fs.sync().unwrap();
    assert_eq!(e2fsck(&store(&device.bytes()).path), None, "filled again");
    fs.read(handle, &mut buf, 5000 * 1024).unwrap();
    assert!(buf[..1024].iter().all(|&b| b == 7) && buf[1024..2048].iter().all(|&b| b == 8));
    let changes = SetAttr { size_bytes: Some(0), ..SetAttr::default() };
    assert_eq!(fs.setattr(ROOT, ino, &changes).unwrap().blocks_512, 0);
    fs.release(handle);
    check_clean(&device, fs);
}

#[test]
fn ext2_directories_hold_32000_links() {
    let device = mke2fs(48 * 1024, "-t ext2 -b 1024 -N 33000");
    let fs = mount(device.clone(), false, "").unwrap();
    let mut made = 0;
    let refusal = loop {
        let name = format!("d{made}");
        match fs.mkdir(ROOT, fs.root(), Name::new(name.as_bytes()).unwrap(), 0o755) {
            Ok(_) => made += 1,
            Err(errno) => break errno,
        }
    };
    // The directory itself, its parent (itself again), and lost+found.
    assert_eq!((refusal, made), (Errno::EMLINK, 32000 - 3));
    assert_eq!(fs.getattr(fs.root()).unwrap().nlink, 32000);
    check_clean(&device, fs);
}

/// Lists a directory while names around those that stay come and go.
fn list_while_changing(args: &str, names: usize) {
    let device = mke2fs(24 * 1024, args);
    let fs = mount(device.clone(), false, "").unwrap();
    let dir = fs.mkdir(ROOT, fs.root(), Name::new(b"d").unwrap(), 0o755).unwrap().ino;
    let name =
        |kind: &str, number: usize| format!("{kind}-{number:06}-{}", "z".repeat(number % 40));
    for number in 0..names {
        for kind in ["stays", "goes"] {
            let (_, handle) = create(&*fs, ROOT, dir, &name(kind, number)).unwrap();
            fs.release(handle);
        }
    }
    let handle = open(&*fs, dir, OpenFlags::READ).unwrap();
    let mut seen: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut cookie = Cookie(0);
    for round in 0.. {
        let mut taken = 0;
        fs.readdir(handle, cookie, &mut |entry| {
            if taken == 37 {
                return false;
            }
            taken += 1;
            *seen.entry(entry.name.to_vec()).or_default() += 1;
            cookie = entry.next;
            true
        })
        .unwrap();
        if taken == 0 {
            break;
        }
        for number in (round * 20..round * 20 + 20).filter(|&n| n < names) {
            unlink(&*fs, dir, &name("goes", number)).unwrap();
            let (_, handle) = create(&*fs, ROOT, dir, &name("comes", number)).unwrap();
            fs.release(handle);
        }
    }
    fs.release(handle);
    for number in 0..names {
        let name = name("stays", number);
        assert_eq!(seen.get(name.as_bytes()), Some(&1), "{args}: {name}");
    }
    assert!(seen.values().all(|&times| times == 1), "{args}");
    for (found, _) in list(&*fs, dir, 100).unwrap() {
        assert!(lookup(&*fs, dir, &found).is_ok());
        fs.unlink(ROOT, dir, Name::new(&found).unwrap()).unwrap();
    }
    fs.rmdir(ROOT, fs.root(), Name::new(b"d").unwrap()).unwrap();
    check_clean(&device, fs);
}

#[test]
fn a_listing_of_an_index_is_exact_while_names_come_and_go() {
    list_while_changing("-t ext4 -b 1024 -N 12000", 3000);
    list_while_changing("-t ext3 -b 1024 -O dir_index -N 8000 -J size=1", 1000);
}

#[test]
fn a_listing_of_a_plain_directory_is_exact_while_names_come_and_go() {
    list_while_changing("-t ext2 -b 1024 -O ^dir_index -N 4000", 300);
}

#[test]
fn a_copy_of_the_superblock_serves_where_the_first_is_lost() {
    let device = mke2fs(24 * 1024, "-t ext4 -b 1024");
    let fs = mount(device.clone(), false, "").unwrap();
    let (ino, handle) = create(&*fs, ROOT, fs.root(), "file").unwrap();
    fs.release(handle);
    drop(fs);
    let mut bytes = device.bytes();
    bytes[1024..2048].fill(0);
    let refusal = mount(Ram::new(bytes.clone()), true, "").map(|_| ()).unwrap_err();
    assert_eq!(refusal.errno, Errno::EINVAL);
    let refusal = mount(Ram::new(bytes.clone()), false, "sb=8193").map(|_| ()).unwrap_err();
    assert_eq!(refusal.errno, Errno::EROFS);
    let fs = mount(Ram::new(bytes), true, "sb=8193").unwrap();
    assert_eq!(lookup(&*fs, fs.root(), b"file").unwrap().ino, ino);
}

#[test]
fn what_can_only_be_read_is_refused_for_writing() {
    for feature in ["inline_data", "bigalloc", "casefold", "quota", "ea_inode", "encrypt", "mmp"] {
        let device = mke2fs(16 * 1024, &format!("-t ext4 -O {feature}"));
        let refusal = mount(device.clone(), false, "").map(|_| ()).unwrap_err();
        assert_eq!(refusal.errno, Errno::EROFS, "{feature}");
        assert!(refusal.message.contains("feature"), "{}", refusal.message);
        let before = device.bytes();
        let fs = mount(device.clone(), true, "").unwrap();
        assert_eq!(list(&*fs, fs.root(), 9).unwrap().len(), 1);
        let n = Name::new(b"d").unwrap();
        assert_eq!(fs.mkdir(ROOT, fs.root(), n, 0o755).unwrap_err(), Errno::EROFS);
        drop(fs);
        assert!(device.bytes() == before, "{feature}: a read-only mount has written");
    }
    let refusal = mount(mke2fs(1024, ""), true, "nonsense").map(|_| ()).unwrap_err();
    assert_eq!((refusal.errno, refusal.message.contains("nonsense")), (Errno::EINVAL, true));
}

#[test]
fn threads_share_a_volume() {
    let device = mke2fs(32 * 1024, "-t ext4 -b 1024");
    let fs = mount(device.clone(), false, "").unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4_usize {
            let fs = &*fs;
            scope.spawn(move || {
                let name = format!("t{thread}");
                let n = Name::new(name.as_bytes()).unwrap();
                let dir = fs.mkdir(ROOT, fs.root(), n, 0o755).unwrap().ino;
                for number in 0..150 {
                    let name = format!("f{number}");
                    let (ino, handle) = create(fs, ROOT, dir, &name).unwrap();
                    let data = vec![(thread * 50 + number) as u8; 3000 + number * 10];
                    assert_eq!(fs.write(handle, &data, 0), Ok(data.len()));
                    let mut found = vec![0; data.len()];
                    assert_eq!(fs.read(handle, &mut found, 0), Ok(data.len()));
                    assert!(found == data);
                    if number % 40 == 0 {
                        fs.fsync(handle, false).unwrap();
                    }
                    if number % 3 == 0 {
                        unlink(fs, dir, &name).unwrap();
                        assert_eq!(fs.getattr(ino).unwrap().nlink, 0);
                    }
                    fs.release(handle);
                    // The number of a removed file may be another thread's by now.
                    assert!(number % 3 == 0 || fs.getattr(ino).is_ok());
                }
                assert_eq!(list(fs, dir, 9).unwrap().len(), 100);
            });
        }
    });
    check_clean(&device, fs);
}

#[test]
fn files_appended_by_turns_stay_in_long_runs() {
    // The runs of ext2 count the blocks of pointers between them.
    for (args, runs_max) in [("-t ext4 -b 1024", 20), ("-t ext2 -b 1024", 40)] {
        let device = mke2fs(32 * 1024, args);
        let fs = mount(device.clone(), false, "").unwrap();
        let files: Vec<Handle> =
            (0..4).map(|n| create(&*fs, ROOT, fs.root(), &format!("f{n}")).unwrap().1).collect();
        for at in 0..600 {
            for handle in &files {
                assert_eq!(fs.write(*handle, &[at as u8; 4096], at * 4096), Ok(4096));
            }
        }
        let mut holes = 0;
        for handle in files {
            let mut buf = vec![0; 600 * 4096];
            assert_eq!(fs.read(handle, &mut buf, 0), Ok(buf.len()));
            holes += buf.chunks(4096).enumerate().filter(|(at, c)| c[0] != *at as u8).count();
            fs.release(handle);
        }
        assert_eq!(holes, 0);
        drop(fs);
        let stored = store(&device.bytes());
        assert_eq!(e2fsck(&stored.path), None);
        for number in 0..4 {
            let runs = crate::tools::runs(&stored.path, &format!("f{number}"));
            assert!(runs <= runs_max, "{args}: file {number} lies in {runs} runs");
        }
    }
}
