//! Volumes that the kernel filled are changed here: what it laid out stays readable and whole.

use crate::device::{fixtures, image, mount};
use crate::tools::{e2fsck, kernel_manifest, store};
use crate::tree::{list, lookup, manifest, open};
use abi::Errno;
use abi::fs::{
    Caller, FileKind, FileSystem, Ino, Name, OpenFlags, Opened, RenameFlags, SetAttr, XattrFlags,
};

const ROOT: Caller = Caller { uid: 0, gid: 0, pid: 0 };

/// Fixtures that can be written; the others have features that this driver only reads.
const WRITABLE: [&str; 15] = [
    "ext2-1k",
    "ext2-4k",
    "ext2-rev0",
    "ext2-sparse",
    "ext3-1k",
    "ext3-htree",
    "ext4-default",
    "ext4-1k-nocsum",
    "ext4-64bit",
    "ext4-metabg",
    "ext4-largedir",
    "ext4-frag",
    "ext4-csumseed",
    "ext3-dirty",
    "ext4-dirty",
];

/// Names come and go in `dir`; space is short in some of these images, which is an answer too.
fn change_dir(fs: &dyn FileSystem, dir: Ino, has_xattrs: bool) {
    let before = list(fs, dir, 100).unwrap();
    for (index, (name, ino)) in before.iter().take(120).enumerate() {
        let n = Name::new(name).unwrap();
        let attr = fs.getattr(*ino).unwrap();
        if name == b"lost+found" || attr.kind == FileKind::Directory {
            continue;
        }
        match index % 5 {
            0 => fs.unlink(ROOT, dir, n).unwrap(),
            1 => {
                let to = [b"renamed-".as_slice(), &name[..name.len().min(200)]].concat();
                let to = Name::new(&to).unwrap();
                fs.rename(ROOT, dir, n, dir, to, RenameFlags::empty()).unwrap();
            }
            2 if attr.kind == FileKind::Regular => {
                let size_bytes = Some(attr.size_bytes / 2);
                let changes = SetAttr { size_bytes, ..SetAttr::default() };
                fs.setattr(ROOT, *ino, &changes).unwrap();
            }
            3 if attr.kind == FileKind::Regular => {
                let handle = open(fs, *ino, OpenFlags::READ | OpenFlags::WRITE).unwrap();
                let result = fs.write(handle, &[7; 9000], attr.size_bytes);
                assert!(matches!(result, Ok(_) | Err(Errno::ENOSPC)), "{result:?}");
                fs.release(handle);
            }
            _ if has_xattrs => {
                let result = fs.setxattr(*ino, b"user.mark", &[1; 40], XattrFlags::empty());
                assert!(matches!(result, Ok(()) | Err(Errno::ENOSPC)), "{result:?}");
            }
            _ => {}
        }
    }
    for number in 0..150 {
        let name = format!("new-{number:04}-{}", "w".repeat(number % 60));
        let n = Name::new(name.as_bytes()).unwrap();
        match fs.create(ROOT, dir, n, 0o640, OpenFlags::WRITE) {
            Ok((attr, Opened::Handle(handle))) => {
                let _ = fs.write(handle, name.as_bytes(), 3);
                fs.release(handle);
                assert_eq!(lookup(fs, dir, name.as_bytes()).unwrap().ino, attr.ino);
            }
            Ok(_) => panic!("host"),
            Err(errno) => {
                assert_eq!(errno, Errno::ENOSPC);
                break;
            }
        }
    }
}

#[test]
fn volumes_that_the_kernel_filled_can_be_changed() {
    let Some(folder) = fixtures() else { return };
    let index = std::fs::read_to_string(folder.join("INDEX")).unwrap();
    for line in index.lines().filter(|line| line.split(' ').nth(1) == Some("ext")) {
        let name = line.split(' ').next().unwrap();
        let device = image(&folder, name);
        let fs = match mount(device.clone(), false, "") {
            Ok(fs) if WRITABLE.contains(&name) || name == "ext4-nojournal" => fs,
            Ok(_) => panic!("{name} can be written"),
            Err(refusal) => {
                assert_eq!(refusal.errno, Errno::EROFS, "{name}: {refusal}");
                assert!(!WRITABLE.contains(&name), "{name}: {refusal}");
                continue;
            }
        };
        let has_xattrs = name != "ext2-rev0";
        change_dir(&*fs, fs.root(), has_xattrs);
        for below in ["many", "h", "dir"] {
            if let Ok(attr) = lookup(&*fs, fs.root(), below.as_bytes()) {
                change_dir(&*fs, attr.ino, has_xattrs);
            }
        }
        // Digests of files of 3 GiB and of 13,000 names take longer than what is tested here.
        let is_large = matches!(name, "ext2-sparse" | "ext4-largedir");
        let shown = if is_large { String::new() } else { manifest(&*fs).unwrap() };
        drop(fs);
        let stored = store(&device.bytes());
        assert_eq!(e2fsck(&stored.path), None, "{name}");
        if !is_large && let Some(seen) = kernel_manifest(&stored.path) {
            assert!(seen == shown, "{name}: the kernel sees something else");
        }
    }
}
