//! What each operation means, checked one by one; every image ends clean.

use crate::device::Ram;
use crate::tools::{assert_clean, extract, insert, mkfs};
use crate::volume::{ME, READ_WRITE, Volume, mount};
use abi::Errno;
use abi::fs::{Name, OpenFlags, RenameFlags, SeekTo, SetAttr, SetTime, Timestamp};
use std::sync::Arc;

const PLAIN: RenameFlags = RenameFlags::empty();

/// Small volumes of the three types, one sector a cluster.
fn images() -> [Vec<u8>; 3] {
    [
        mkfs(1440, &["-F", "12", "-s", "1"]),
        mkfs(4096, &["-F", "16", "-s", "1", "-n", "LABEL"]),
        mkfs(34 * 1024, &["-F", "32", "-s", "1", "-n", "LABEL"]),
    ]
}

#[test]
fn what_is_written_is_read_back_by_us_and_by_mtools() {
    for image in images() {
        let v = Volume::new(image);
        v.mkdir("Some Folder").unwrap();
        v.mkdir("Some Folder/inner").unwrap();
        let large = (0..100_000u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>();
        v.put("Some Folder/inner/numbers.bin", &large).unwrap();
        v.put("README.TXT", b"plain").unwrap();
        v.put("na\u{ef}ve \u{65e5}\u{672c}.text", b"unicode").unwrap();
        v.put("empty", b"").unwrap();
        let image = v.synced();
        assert_clean(&image);
        let tree = v.tree().unwrap();
        assert_eq!(tree.len(), 6);
        assert_eq!(Volume::read_only(image.clone()).tree().unwrap(), tree);
        let folder = tempfile::tempdir().unwrap();
        extract(&image, folder.path());
        for (path, contents) in &tree {
            let path = folder.path().join(path);
            match contents {
                None => assert!(path.is_dir()),
                Some(bytes) => assert!(std::fs::read(&path).unwrap() == *bytes, "{path:?}"),
            }
        }
    }
}

#[test]
fn each_operation_leaves_a_clean_volume() {
    for image in images() {
        let v = Volume::new(image);
        let check = || assert_clean(&v.synced());
        check();
        v.put("file", &[1; 3000]).unwrap();
        check();
        v.mkdir("dir").unwrap();
        check();
        v.set_length("file", 1000).unwrap();
        check();
        v.set_length("file", 10_000).unwrap();
        check();
        v.set_length("file", 0).unwrap();
        check();
        v.set_length("file", 513).unwrap();
        check();
        v.rename("file", "dir/a longer name than before", PLAIN).unwrap();
        check();
        v.mkdir("dir/sub").unwrap();
        v.rename("dir/sub", "moved", PLAIN).unwrap();
        check();
        v.rename("moved", "dir", RenameFlags::EXCHANGE).unwrap();
        check();
        v.unlink("moved/a longer name than before").unwrap();
        check();
        v.rmdir("moved").unwrap();
        v.rmdir("dir").unwrap();
        check();
        assert!(v.tree().unwrap().is_empty());
        let fresh = v.fs.statfs().unwrap();
        // What is taken still is the root directory of FAT32.
        assert!(fresh.blocks - fresh.blocks_free <= 1);
    }
}

#[test]
fn names_keep_their_case_and_are_found_in_any() {
    let [_, image, _] = images();
    let v = Volume::new(image);
    v.put("MiXed.Name", b"x").unwrap();
    assert_eq!(v.get("mixed.nAME").unwrap(), b"x");
    assert_eq!(v.create("MIXED.name").unwrap_err(), Errno::EEXIST);
    assert_eq!(v.get("mixed.name..").unwrap(), b"x");
    let ino = v.ino("mixed.name").unwrap();
    v.rename("mixed.name", "mixed.name", PLAIN).unwrap();
    assert_eq!(v.tree().unwrap().keys().collect::<Vec<_>>(), ["mixed.name"]);
    v.rename("mixed.name", "MIXED.NAME", PLAIN).unwrap();
    assert_eq!(v.tree().unwrap().keys().collect::<Vec<_>>(), ["MIXED.NAME"]);
    assert_eq!(v.ino("mixed.name").unwrap(), ino);
    let same = v.rename("MIXED.NAME", "MIXED.NAME", RenameFlags::NOREPLACE);
    assert_eq!(same, Err(Errno::EEXIST));
    // The short name of a long one is a name as well.
    v.put("a long name.text", b"y").unwrap();
    assert_eq!(v.get("ALONGN~1.TEX").unwrap(), b"y");
    assert_eq!(v.create("alongn~1.tex").unwrap_err(), Errno::EEXIST);
    assert_clean(&v.synced());
}

#[test]
fn names_that_do_not_fit_are_refused() {
    let [_, image, _] = images();
    let v = Volume::new(image);
    for bad in ["a:b", "a*", "what?", "back\\slash", "tab\t", "space ", "..."] {
        assert_eq!(v.create(bad).unwrap_err(), Errno::EINVAL, "{bad:?}");
        assert_eq!(v.mkdir(bad).unwrap_err(), Errno::EINVAL, "{bad:?}");
    }
    let (root, name) = (v.fs.root(), Name::new(b"\xff\xfe").unwrap());
    assert_eq!(v.fs.mkdir(ME, root, name, 0).unwrap_err(), Errno::EINVAL);
    assert_eq!(v.fs.lookup(root, name).unwrap_err(), Errno::ENOENT);
    v.put("\u{1f600} smiles", b"").unwrap();
    assert_eq!(v.attr("\u{1f600} smiles").unwrap().size_bytes, 0);
    v.unlink("\u{1f600} SMILES").unwrap();
    v.put("dots...", b"").unwrap();
    v.put(&"x".repeat(255), b"").unwrap();
    v.put(".profile", b"").unwrap();
    assert_eq!(v.attr("dots").unwrap().size_bytes, 0);
    assert_eq!(v.tree().unwrap().len(), 3);
    assert_clean(&v.synced());
}

#[test]
fn an_open_file_survives_growth_rename_replacement_and_unlink() {
    for image in images() {
        let v = Volume::new(image);
        v.mkdir("d").unwrap();
        let handle = v.create("file").unwrap();
        let ino = v.ino("file").unwrap();
        v.fs.write(handle, b"first", 0).unwrap();
        assert_eq!(v.ino("file").unwrap(), ino);
        v.rename("file", "d/other name", PLAIN).unwrap();
        assert_eq!(v.ino("d/other name").unwrap(), ino);
        v.fs.write(handle, b" second", 5).unwrap();
        assert_eq!(v.get("d/other name").unwrap(), b"first second");
        // Another file comes into the first place; it is not taken for this one.
        v.put("file", b"newcomer").unwrap();
        assert_ne!(v.ino("file").unwrap(), ino);
        v.rename("file", "d/other name", PLAIN).unwrap();
        assert_eq!(v.get("d/other name").unwrap(), b"newcomer");
        assert_eq!(v.contents(handle).unwrap(), b"first second");
        assert_eq!(v.fs.getattr(ino).unwrap().nlink, 0);
        v.fs.write(handle, &[7; 5000], 0).unwrap();
        assert_eq!(v.contents(handle).unwrap(), [7; 5000]);
        v.fs.release(handle);
        assert_clean(&v.synced());
    }
}

#[test]
fn numbers_are_stable_when_files_are_forgotten() {
    let [_, image, _] = images();
    let v = Volume::new(image);
    let root = v.fs.root();
    v.put("grows", b"").unwrap();
    let ino = v.ino("grows").unwrap();
    let handle = v.open("grows", READ_WRITE).unwrap();
    v.fs.write(handle, b"now it has a cluster", 0).unwrap();
    v.fs.release(handle);
    v.fs.forget(ino, u64::MAX);
    assert_eq!(v.list(root).unwrap()[0].2, ino);
    assert_eq!(v.ino("grows").unwrap(), ino);
    v.fs.forget(ino, u64::MAX);
    v.rename("grows", "renamed to something longer", PLAIN).unwrap();
    assert_eq!(v.ino("renamed to something longer").unwrap(), ino);
    v.put("grows", b"").unwrap();
    assert_ne!(v.ino("grows").unwrap(), ino);
    assert_eq!(v.fs.getattr(abi::fs::Ino(987_654)).unwrap_err(), Errno::ESTALE);
}

#[test]
fn gaps_and_growth_read_as_zeroes() {
    for image in images() {
        let v = Volume::new(image);
        // Fill the free space with bytes that are not zero, and free it.
        v.put("old", &[0xee; 60_000]).unwrap();
        v.unlink("old").unwrap();
        let handle = v.create("holes").unwrap();
        v.fs.write(handle, b"x", 10).unwrap();
        v.fs.write(handle, b"y", 20_000).unwrap();
        v.set_length("holes", 30_000).unwrap();
        v.set_length("holes", 29_000).unwrap();
        v.set_length("holes", 31_000).unwrap();
        let mut expected = vec![0; 31_000];
        expected[10] = b'x';
        expected[20_000] = b'y';
        assert_eq!(v.contents(handle).unwrap(), expected);
        assert_eq!(v.fs.lseek(handle, 15, SeekTo::Data), Ok(15));
        assert_eq!(v.fs.lseek(handle, 15, SeekTo::Hole), Ok(31_000));
        assert_eq!(v.fs.lseek(handle, 31_000, SeekTo::Data), Err(Errno::ENXIO));
        v.fs.release(handle);
        assert_clean(&v.synced());
    }
}

#[test]
fn what_passes_four_gibibytes_is_too_big() {
    let [_, image, _] = images();
    let v = Volume::new(image);
    let handle = v.create("f").unwrap();
    assert_eq!(v.fs.write(handle, b"x", 0xffff_ffff), Err(Errno::EFBIG));
    assert_eq!(v.set_length("f", 1 << 32).unwrap_err(), Errno::EFBIG);
    assert_eq!(v.set_length("f", 0xffff_ffff).unwrap_err(), Errno::ENOSPC);
    assert_eq!(v.fs.write(handle, b"x", 0xffff_fffe), Err(Errno::ENOSPC));
    v.fs.release(handle);
    assert_clean(&v.synced());
}

#[test]
fn a_full_volume_says_so_and_stays_clean() {
    for image in images() {
        let v = Volume::new(image);
        let free = v.fs.statfs().unwrap();
        let room = usize::try_from(free.blocks_free * u64::from(free.block_size)).unwrap();
        let handle = v.create("all").unwrap();
        let first = v.fs.write(handle, &vec![1; room + 5000], 0).unwrap();
        assert!(first <= room && first + 1024 >= room, "{first} of {room}");
        assert_eq!(v.fs.write(handle, b"x", first as u64), Err(Errno::ENOSPC));
        assert_eq!(v.fs.statfs().unwrap().blocks_free, 0);
        assert_eq!(v.mkdir("d").unwrap_err(), Errno::ENOSPC);
        v.fs.release(handle);
        assert_clean(&v.synced());
        v.unlink("all").unwrap();
        v.mkdir("d").unwrap();
        assert_clean(&v.synced());
    }
}

#[test]
fn a_fixed_root_directory_is_full_at_its_last_slot() {
    let v = Volume::new(mkfs(1440, &["-F", "12", "-r", "112"]));
    let mut made = 0;
    let refusal = loop {
        match v.put(&format!("F{made}"), b"") {
            Ok(()) => made += 1,
            Err(errno) => break errno,
        }
    };
    assert_eq!((made, refusal), (112, Errno::ENOSPC));
    assert_clean(&v.synced());
    // A name of the same length still fits, in the same slots; a longer one in none.
    v.rename("F5", "G5", PLAIN).unwrap();
    assert_eq!(v.rename("F6", "a longer name", PLAIN), Err(Errno::ENOSPC));
    v.mkdir("G").unwrap_err();
    v.unlink("F7").unwrap();
    v.mkdir("G").unwrap();
    assert_clean(&v.synced());
}

#[test]
fn rename_refuses_what_the_contract_says() {
    let [_, _, image] = images();
    let v = Volume::new(image);
    v.mkdir("a").unwrap();
    v.mkdir("a/b").unwrap();
    v.mkdir("empty").unwrap();
    v.put("f", b"f").unwrap();
    v.put("g", b"g").unwrap();
    let cases = [
        ("a", "a/b/c", PLAIN, Errno::EINVAL),
        ("a", "a/c", PLAIN, Errno::EINVAL),
        ("a/b", "a", RenameFlags::EXCHANGE, Errno::EINVAL),
        ("f", "g", RenameFlags::WHITEOUT, Errno::EINVAL),
        ("f", "g", RenameFlags::NOREPLACE | RenameFlags::EXCHANGE, Errno::EINVAL),
        ("none", "g", PLAIN, Errno::ENOENT),
        ("f", "none", RenameFlags::EXCHANGE, Errno::ENOENT),
        ("f", "f/x", PLAIN, Errno::ENOTDIR),
        ("f", "g", RenameFlags::NOREPLACE, Errno::EEXIST),
        ("f", "empty", PLAIN, Errno::EISDIR),
        ("empty", "f", PLAIN, Errno::ENOTDIR),
        ("empty", "a", PLAIN, Errno::ENOTEMPTY),
        ("f", "x:y", PLAIN, Errno::EINVAL),
    ];
    for (from, to, flags, errno) in cases {
        assert_eq!(v.rename(from, to, flags), Err(errno), "{from} {to} {flags:?}");
    }
    v.rename("a", "empty", PLAIN).unwrap();
    v.rename("f", "g", PLAIN).unwrap();
    assert_eq!(v.get("g").unwrap(), b"f");
    assert_eq!(v.tree().unwrap().keys().collect::<Vec<_>>(), ["empty", "empty/b", "g"]);
    assert_clean(&v.synced());
}

#[test]
fn removal_refuses_what_the_contract_says() {
    let [_, image, _] = images();
    let v = Volume::new(image);
    v.mkdir("d").unwrap();
    v.put("d/f", b"").unwrap();
    assert_eq!(v.rmdir("d"), Err(Errno::ENOTEMPTY));
    assert_eq!(v.unlink("d"), Err(Errno::EISDIR));
    assert_eq!(v.rmdir("d/f"), Err(Errno::ENOTDIR));
    assert_eq!(v.unlink("d/none"), Err(Errno::ENOENT));
    assert_eq!(v.unlink("d/f/x"), Err(Errno::ENOTDIR));
    let held = v.open("d", OpenFlags::READ).unwrap();
    let ino = v.ino("d").unwrap();
    v.unlink("d/f").unwrap();
    v.rmdir("d").unwrap();
    let made = v.fs.mkdir(ME, ino, Name::new(b"x").unwrap(), 0);
    assert_eq!(made.unwrap_err(), Errno::ENOENT);
    let mut seen = 0;
    v.fs.readdir(held, abi::fs::Cookie(0), &mut |_| {
        seen += 1;
        true
    })
    .unwrap();
    assert_eq!(seen, 0);
    v.fs.release(held);
    assert_clean(&v.synced());
}

#[test]
fn clusters_of_removed_directories_serve_again_while_these_are_remembered() {
    let v = Volume::new(mkfs(320, &["-F", "12", "-s", "1"]));
    for n in 0..1500 {
        let name = format!("D{n}");
        v.mkdir(&name).unwrap();
        v.rmdir(&name).unwrap();
    }
    assert_clean(&v.synced());
}

#[test]
fn the_mode_is_the_read_only_bit_and_the_owner_is_the_mounts() {
    let [_, image, _] = images();
    let v = mount(&Arc::new(Ram::new(image)), false, "uid=7,gid=8,umask=027").unwrap();
    v.put("f", b"x").unwrap();
    let ino = v.ino("f").unwrap();
    let attr = v.attr("f").unwrap();
    assert_eq!((attr.uid, attr.gid, attr.perm), (7, 8, 0o750));
    let set = |changes| v.fs.setattr(ME, ino, &changes);
    let locked = set(SetAttr { perm: Some(0o444), ..SetAttr::default() }).unwrap();
    assert_eq!(locked.perm, 0o550);
    let image = v.synced();
    assert_eq!(Volume::read_only(image).attr("f").unwrap().perm, 0o555);
    assert_eq!(set(SetAttr { perm: Some(0o600), ..SetAttr::default() }).unwrap().perm, 0o750);
    set(SetAttr { uid: Some(7), gid: Some(8), ..SetAttr::default() }).unwrap();
    let foreign = set(SetAttr { uid: Some(0), ..SetAttr::default() });
    assert_eq!(foreign.unwrap_err(), Errno::EPERM);
    let sticky = set(SetAttr { perm: Some(0o1755), ..SetAttr::default() });
    assert_eq!(sticky.unwrap_err(), Errno::EPERM);
    let times = SetAttr {
        mtime: Some(SetTime::At(Timestamp { seconds: 1_000_000_001, nanos: 5 })),
        atime: Some(SetTime::At(Timestamp { seconds: 1_000_000_001, nanos: 5 })),
        ..SetAttr::default()
    };
    let attr = set(times).unwrap();
    assert_eq!((attr.mtime.seconds, attr.atime.seconds), (1_000_000_000, 999_993_600));
    assert_eq!(Volume::read_only(v.synced()).attr("f").unwrap().mtime, attr.mtime);
    for made in [
        v.fs.symlink(ME, v.fs.root(), Name::new(b"l").unwrap(), b"f"),
        v.fs.link(ME, ino, v.fs.root(), Name::new(b"l").unwrap()),
    ] {
        assert_eq!(made.unwrap_err(), Errno::EPERM);
    }
}

#[test]
fn a_read_only_mount_refuses_and_writes_nothing() {
    let image = insert(&images()[2], "file", b"contents");
    let device = Arc::new(Ram::new(image.clone()));
    let v = mount(&device, true, "").unwrap();
    assert_eq!(v.get("file").unwrap(), b"contents");
    assert_eq!(v.create("x").unwrap_err(), Errno::EROFS);
    assert_eq!(v.unlink("file").unwrap_err(), Errno::EROFS);
    assert_eq!(v.open("file", READ_WRITE).unwrap_err(), Errno::EROFS);
    assert_eq!(v.set_length("file", 0).unwrap_err(), Errno::EROFS);
    v.fs.sync().unwrap();
    drop(v);
    assert!(device.bytes() == image);
}

#[test]
fn the_mark_is_set_while_writing_and_cleared_by_sync_unless_it_was_there() {
    for (image, at) in images().into_iter().zip([37, 37, 65]) {
        let v = Volume::new(image);
        assert_eq!(v.device.bytes()[at] & 1, 0);
        v.put("f", b"x").unwrap();
        assert_eq!(v.device.bytes()[at] & 1, 1);
        let mut image = v.synced();
        assert_eq!(image[at] & 1, 0);
        image[at] |= 1;
        let v = Volume::new(image);
        v.put("g", b"x").unwrap();
        assert_eq!(v.synced()[at] & 1, 1);
    }
}

#[test]
fn the_mark_stays_while_a_file_without_a_name_is_open() {
    let [_, image, _] = images();
    let v = Volume::new(image);
    let handle = v.create("f").unwrap();
    v.fs.write(handle, b"x", 0).unwrap();
    v.unlink("f").unwrap();
    assert_eq!(v.synced()[37] & 1, 1);
    v.fs.release(handle);
    let image = v.synced();
    assert_eq!(image[37] & 1, 0);
    assert_clean(&image);
}

#[test]
fn threads_work_side_by_side() {
    let [_, image, _] = images();
    let v = Volume::new(image);
    v.put("shared", &[8; 3000]).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let v = &v;
            scope.spawn(move || {
                let dir = format!("dir{thread}");
                v.mkdir(&dir).unwrap();
                for n in 0..60 {
                    let path = format!("{dir}/file number {n}");
                    v.put(&path, &[thread; 900]).unwrap();
                    assert_eq!(v.get("shared").unwrap(), [8; 3000]);
                    assert_eq!(v.get(&path).unwrap(), [thread; 900]);
                    if n % 2 == 0 {
                        v.unlink(&path).unwrap();
                    }
                }
            });
        }
    });
    assert_clean(&v.synced());
    assert_eq!(v.tree().unwrap().len(), 1 + 4 * 31);
}

#[test]
fn a_device_error_is_passed_on_and_does_not_panic() {
    let [_, image, _] = images();
    let v = Volume::new(image);
    v.put("f", &[1; 3000]).unwrap();
    v.fs.sync().unwrap();
    v.device.fail_writes(true);
    let handle = v.open("f", READ_WRITE).unwrap();
    assert_eq!(v.fs.write(handle, &[2; 9000], 0), Err(Errno::EIO));
    assert_eq!(v.create("g").unwrap_err(), Errno::EIO);
    assert_eq!(v.mkdir("d").unwrap_err(), Errno::EIO);
    assert_eq!(v.unlink("f"), Err(Errno::EIO));
    v.device.fail_writes(false);
    v.fs.release(handle);
    assert_eq!(v.get("f").unwrap(), [1; 3000]);
    assert_clean(&v.synced());
}

#[test]
fn fsync_and_close_bring_a_file_to_the_device() {
    for image in images() {
        let v = Volume::new(image);
        let handle = v.create("file").unwrap();
        v.fs.write(handle, &[3; 2000], 0).unwrap();
        v.fs.fsync(handle, false).unwrap();
        let seen = Volume::read_only(v.device.bytes());
        assert_eq!(seen.get("file").unwrap(), [3; 2000]);
        v.fs.write(handle, &[4; 2000], 2000).unwrap();
        v.fs.release(handle);
        let seen = Volume::read_only(v.device.bytes());
        assert_eq!(seen.attr("file").unwrap().size_bytes, 4000);
    }
}

#[test]
fn unknown_options_and_sources_are_refused() {
    let device = Arc::new(Ram::new(images()[0].clone()));
    let refusal = mount(&device, true, "colour=blue").err().unwrap();
    assert_eq!(refusal.message, "unknown mount option: colour=blue");
    let device = Arc::new(Ram::new(vec![0; 4096]));
    let refusal = mount(&device, true, "").err().unwrap();
    assert_eq!((refusal.errno, &*refusal.message), (Errno::EINVAL, "not FAT: sectors of 0 bytes"));
    let device = Arc::new(Ram::new(vec![0; 100]));
    assert_eq!(mount(&device, true, "").err().unwrap().errno, Errno::EIO);
}
