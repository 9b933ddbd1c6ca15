//! Mount options: which names are shown, and what is refused.

use crate::image::{DIRECTORY, Image, record};
use crate::tree::{at, list, mount};
use crate::writers::{genisoimage, mounted, sample_tree};
use abi::Errno;
use abi::fs::{FileSystem, FileSystemType, FsSource, OpenFlags};
use abi::options::Options;
use std::sync::Arc;

fn names(fs: &Arc<dyn FileSystem>) -> Vec<String> {
    let entries = list(fs, fs.root()).unwrap();
    entries.into_iter().map(|(name, ..)| String::from_utf8(name).unwrap()).collect()
}

#[test]
fn rock_ridge_then_joliet_then_plain_names() {
    let tree = sample_tree();
    std::fs::write(tree.path().join("caf\u{e9} \u{4e2d}"), "x").unwrap();
    let image = genisoimage(&tree, &["-R", "-J"]);
    let long = "name with spaces and more than thirty-one characters.text";
    assert!(names(&mounted(image.clone(), "")).contains(&long.into()));
    let joliet = names(&mounted(image.clone(), "norock"));
    assert!(joliet.contains(&"caf\u{e9} \u{4e2d}".into()), "{joliet:?}");
    assert!(
        joliet.contains(&"name with spaces and more than thirty-one characters.text"[..57].into())
    );
    let plain = names(&mounted(image.clone(), "norock,nojoliet"));
    assert!(plain.contains(&"name_wit.tex".into()), "{plain:?}");
    let raw = names(&mounted(image, "norock,nojoliet,map=off"));
    assert!(raw.contains(&"NAME_WIT.TEX;1".into()), "{raw:?}");
}

#[test]
fn case_counts_unless_relaxed() {
    let image = genisoimage(&sample_tree(), &["-R"]);
    assert_eq!(at(&mounted(image.clone(), ""), "ONE").unwrap_err(), Errno::ENOENT);
    assert!(at(&mounted(image, "check=relaxed"), "A/B/C").is_ok());
}

#[test]
fn hidden_records_are_shown_when_asked() {
    let image = genisoimage(&sample_tree(), &["-R", "-hidden", "one"]);
    assert_eq!(at(&mounted(image.clone(), ""), "one").unwrap_err(), Errno::ENOENT);
    assert!(at(&mounted(image, "unhide"), "one").is_ok());
}

#[test]
fn acorn_names_have_their_file_type() {
    let mut system = b"ARCHIMEDES".to_vec();
    system.extend(0xfff0_1c00_u32.to_le_bytes()); // load address: type 01c
    system.extend([0; 4]); // execution address
    system.extend([0, 1]); // attributes: `_` is `!`
    system.resize(32, 0);
    let records =
        [record(b"_RUN.;1", 40, 1, 0, &system), record(b"_DIR", 30, 2048, DIRECTORY, &system)];
    let image = || {
        Image::new(2048, 64, 20, 2048)
            .directory(20, 20, 2048, b"", &records)
            .directory(30, 20, 2048, b"", &[])
            .device()
    };
    assert_eq!(names(&mount(image(), "").unwrap()), ["_run", "_dir"]);
    // The attribute byte is the third of its word, as the Acorn filing system counts.
    assert_eq!(names(&mount(image(), "map=acorn").unwrap()), ["!run,01c", "!dir"]);
}

#[test]
fn default_attributes_without_rock_ridge() {
    let image = genisoimage(&sample_tree(), &[]);
    let attr = at(&mounted(image.clone(), ""), "one").unwrap();
    assert_eq!((attr.perm, attr.uid, attr.nlink), (0o555, 0, 1));
    let fs = mounted(image, "uid=3,gid=4,mode=0640,dmode=0750");
    let attr = at(&fs, "one").unwrap();
    assert_eq!((attr.perm, attr.uid, attr.gid), (0o640, 3, 4));
    assert_eq!(fs.getattr(fs.root()).unwrap().perm, 0o750);
}

#[test]
fn writing_is_refused() {
    let device = Image::new(2048, 64, 20, 2048)
        .directory(20, 20, 2048, b"", &[record(b"A.;1", 40, 1, 0, b"")])
        .device();
    let source = FsSource::Device(Arc::clone(&device));
    let refusal = iso9660::Iso9660Type.mount(source, false, &mut Options::default()).err().unwrap();
    assert_eq!(refusal.errno, Errno::EROFS);
    let text = FsSource::Text("host:dir".into());
    let refusal = iso9660::Iso9660Type.mount(text, true, &mut Options::default()).err().unwrap();
    assert_eq!(refusal.errno, Errno::EINVAL);
    let fs = mount(device, "").unwrap();
    let ino = at(&fs, "a").unwrap().ino;
    let opened = fs.open(abi::fs::Caller::default(), ino, OpenFlags::READ | OpenFlags::WRITE);
    assert_eq!(opened.unwrap_err(), Errno::EROFS);
    let fs_type = iso9660::Iso9660Type;
    assert_eq!((fs_type.name(), fs_type.aliases()), ("umfuseiso9660", &["umfuseiso"][..]));
}
