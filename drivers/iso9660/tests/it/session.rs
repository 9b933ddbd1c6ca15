//! Images of several sessions.

use crate::device::{ImageFile, Ram};
use crate::fixtures::folder;
use crate::tree::{at, contents, mount};
use crate::writers::{genisoimage, mounted, run};
use abi::Errno;
use std::sync::Arc;

/// Two sessions by genisoimage, the second one `gap` sectors behind the end of the first.
fn two_sessions(gap: usize) -> (Vec<u8>, usize) {
    let tree = tempfile::tempdir().unwrap();
    std::fs::write(tree.path().join("first"), "1").unwrap();
    let mut image = genisoimage(&tree, &["-R"]);
    let next = (image.len() / 2048).next_multiple_of(32) + gap;
    let out = tempfile::tempdir().unwrap();
    let path = |name: &str| out.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("one"), &image).unwrap();
    std::fs::create_dir(path("tree")).unwrap();
    std::fs::write(path("tree/second"), "2").unwrap();
    let start = format!("0,{next}");
    let args =
        ["-quiet", "-R", "-C", &start, "-M", &path("one"), "-o", &path("two"), &path("tree")];
    run("genisoimage", "genisoimage", &args);
    image.resize(next * 2048, 0);
    image.extend(std::fs::read(path("two")).unwrap());
    (image, next)
}

#[test]
fn last_of_two_sessions_is_shown() {
    for gap in [0, 150, 11_400] {
        let (image, next) = two_sessions(gap);
        let fs = mounted(image.clone(), "");
        assert_eq!(contents(&fs, at(&fs, "second").unwrap().ino).unwrap(), b"2", "{gap}");
        assert_eq!(contents(&fs, at(&fs, "first").unwrap().ino).unwrap(), b"1", "{gap}");
        let fs = mounted(image.clone(), "session=0");
        assert_eq!(at(&fs, "second").unwrap_err(), Errno::ENOENT);
        assert!(at(&mounted(image.clone(), "session=1"), "second").is_ok());
        assert!(at(&mounted(image.clone(), &format!("sbsector={next}")), "second").is_ok());
        // Error: no such session.
        let refusal = mount(Arc::new(Ram(image.clone())), "session=2").err().unwrap();
        assert_eq!(refusal.errno, Errno::EINVAL);
        let refusal = mount(Arc::new(Ram(image)), "sbsector=999999999999").err().unwrap();
        assert_eq!(refusal.errno, Errno::EINVAL);
    }
}

#[test]
fn image_in_the_free_space_behind_a_session_is_no_session() {
    let tree = tempfile::tempdir().unwrap();
    std::fs::write(tree.path().join("outer"), "1").unwrap();
    let mut image = genisoimage(&tree, &["-R"]);
    std::fs::rename(tree.path().join("outer"), tree.path().join("inner")).unwrap();
    image.resize(image.len() + (1 << 20), 0);
    image.extend(genisoimage(&tree, &["-R"]));
    assert!(at(&mounted(image, ""), "outer").is_ok());
}

#[test]
fn sessions_written_over_in_place_are_counted_from_the_copies() {
    let Some(folder) = folder() else { return };
    let image = || ImageFile::open(&folder.join("iso-multi.img"));
    assert!(at(&mount(image(), "").unwrap(), "second.txt").is_ok());
    assert_eq!(at(&mount(image(), "session=0").unwrap(), "second.txt").unwrap_err(), Errno::ENOENT);
    assert!(at(&mount(image(), "session=0").unwrap(), "hello.txt").is_ok());
    assert!(at(&mount(image(), "session=1").unwrap(), "second.txt").is_ok());
}
