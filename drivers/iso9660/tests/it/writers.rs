//! Images by genisoimage and xorriso.

use crate::device::Ram;
use crate::tree::{Mounted, at, contents, list, mount};
use abi::fs::FileKind;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use tempfile::TempDir;

/// Runs a tool; a missing one fails the test with the package that has it.
pub(crate) fn run(tool: &str, package: &str, args: &[&str]) {
    let output = Command::new(tool)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("{tool}: {e}: install the Debian package {package}"));
    assert!(output.status.success(), "{tool}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Makes an image of `tree` with these options.
pub(crate) fn genisoimage(tree: &TempDir, options: &[&str]) -> Vec<u8> {
    let out = tempfile::tempdir().unwrap();
    let image = out.path().join("image");
    let mut args = vec!["-quiet", "-input-charset", "utf-8"];
    args.extend(options);
    args.extend(["-o", image.to_str().unwrap(), tree.path().to_str().unwrap()]);
    run("genisoimage", "genisoimage", &args);
    std::fs::read(image).unwrap()
}

/// Makes an image of `tree`; `before` come in front of the mapping, `after` behind it.
pub(crate) fn xorriso(tree: &TempDir, before: &[&str], after: &[&str]) -> Vec<u8> {
    let out = tempfile::tempdir().unwrap();
    let image = out.path().join("image");
    let mut args = vec!["-outdev", image.to_str().unwrap(), "-padding", "0"];
    args.extend(before);
    args.extend(["-map", tree.path().to_str().unwrap(), "/"]);
    args.extend(after);
    args.push("-commit");
    run("xorriso", "xorriso", &args);
    std::fs::read(image).unwrap()
}

pub(crate) fn mounted(image: Vec<u8>, options: &str) -> Mounted {
    mount(Arc::new(Ram(image)), options).unwrap()
}

/// A small tree with one of everything that needs no privilege.
pub(crate) fn sample_tree() -> TempDir {
    let tree = tempfile::tempdir().unwrap();
    let root = tree.path();
    let write = |name: &str, text: &str| std::fs::write(root.join(name), text).unwrap();
    write("one", "1\n");
    std::fs::hard_link(root.join("one"), root.join("uno")).unwrap();
    write("same", "1\n");
    write("empty", "");
    std::fs::hard_link(root.join("empty"), root.join("vacuo")).unwrap();
    write("name with spaces and more than thirty-one characters.text", "long\n");
    symlink("one", root.join("link")).unwrap();
    symlink("../..//./one", root.join("up")).unwrap();
    symlink("/", root.join("root")).unwrap();
    symlink("/usr/../lib/", root.join("absolute")).unwrap();
    symlink("..", root.join("parent")).unwrap();
    symlink("x".repeat(250) + "/" + &"y".repeat(250), root.join("long")).unwrap();
    let deep = root.join("a/b/c/d/e/f/g/h/i/j");
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(deep.join("bottom"), "deep\n").unwrap();
    symlink("../../up", deep.join("up")).unwrap();
    run("mkfifo", "coreutils", &[root.join("fifo").to_str().unwrap()]);
    tree
}

fn check_sample(fs: &Mounted) {
    let link = |path: &str| {
        let attr = at(fs, path).unwrap();
        assert_eq!(attr.kind, FileKind::Symlink, "{path}");
        String::from_utf8(fs.readlink(attr.ino).unwrap()).unwrap()
    };
    assert_eq!(link("link"), "one");
    assert_eq!(link("root"), "/");
    assert_eq!(link("parent"), "..");
    assert_eq!(link("a/b/c/d/e/f/g/h/i/j/up"), "../../up");
    assert_eq!(link("long"), "x".repeat(250) + "/" + &"y".repeat(250));
    assert_eq!(link("up"), "../..//./one");
    assert_eq!(link("absolute").trim_end_matches('/'), "/usr/../lib");
    assert_eq!(at(fs, "fifo").unwrap().kind, FileKind::Fifo);
    let bottom = at(fs, "a/b/c/d/e/f/g/h/i/j/bottom").unwrap();
    assert_eq!(contents(fs, bottom.ino).unwrap(), b"deep\n");
    let (one, uno, same) =
        (at(fs, "one").unwrap(), at(fs, "uno").unwrap(), at(fs, "same").unwrap());
    assert_eq!((one.ino, one.nlink), (uno.ino, 2));
    assert_ne!(one.ino, same.ino);
    assert_ne!(at(fs, "empty").unwrap().ino, one.ino);
    assert_eq!(fs.getattr(one.ino).unwrap(), one);
    // Nobody holds it any longer, then somebody does again.
    fs.forget(one.ino, 2);
    assert_eq!(fs.getattr(one.ino).unwrap_err(), abi::Errno::ESTALE);
    assert_eq!(at(fs, "uno").unwrap().ino, one.ino);
    assert_eq!(contents(fs, one.ino).unwrap(), b"1\n");
}

#[test]
fn links_and_deep_directories_by_genisoimage() {
    let fs = mounted(genisoimage(&sample_tree(), &["-R"]), "");
    check_sample(&fs);
    // What was relocated is shown in its place and not where it was put.
    let moved = at(&fs, "rr_moved").unwrap();
    assert_eq!(list(&fs, moved.ino).unwrap(), []);
    // Without Rock Ridge it is the other way around.
    let fs = mounted(genisoimage(&sample_tree(), &["-R"]), "norock");
    assert_eq!(contents(&fs, at(&fs, "rr_moved/h/i/j/bottom").unwrap().ino).unwrap(), b"deep\n");
    assert_eq!(at(&fs, "a/b/c/d/e/f/g/h").unwrap().kind, FileKind::Regular);
}

#[test]
fn links_and_deep_directories_by_xorriso() {
    let fs = mounted(xorriso(&sample_tree(), &["-hardlinks", "on"], &[]), "");
    check_sample(&fs);
    // Serial numbers tell that two empty files are one.
    assert_eq!(at(&fs, "empty").unwrap().ino, at(&fs, "vacuo").unwrap().ino);
    let fs = mounted(
        xorriso(&sample_tree(), &["-rr_reloc_dir", "moved", "-compliance", "deep_paths_off"], &[]),
        "",
    );
    assert!(at(&fs, "a/b/c/d/e/f/g/h/i/j/bottom").is_ok());
}

#[test]
fn modes_and_owners_are_what_rock_ridge_says() {
    use std::os::unix::fs::PermissionsExt;
    let tree = sample_tree();
    let mode = std::fs::Permissions::from_mode(0o4751);
    std::fs::set_permissions(tree.path().join("one"), mode).unwrap();
    let image = genisoimage(&tree, &["-R"]);
    let fs = mounted(image.clone(), "");
    assert_eq!(at(&fs, "one").unwrap().perm, 0o4751);
    let fs = mounted(image, "uid=7,gid=8,mode=0444,dmode=0500");
    let attr = at(&fs, "one").unwrap();
    assert_eq!((attr.uid, attr.gid, attr.perm), (7, 8, 0o4751));
}

#[test]
fn reads_follow_the_writer_to_the_last_byte() {
    let tree = tempfile::tempdir().unwrap();
    for size in [0_usize, 1, 2047, 2048, 2049, 100_000] {
        let bytes: Vec<u8> = (0..size).map(|i| (i * 7 % 251) as u8).collect();
        std::fs::write(tree.path().join(format!("f{size}")), bytes).unwrap();
    }
    let fs = mounted(genisoimage(&tree, &["-R"]), "");
    for (name, ino, _) in list(&fs, fs.root()).unwrap() {
        let path = tree.path().join(String::from_utf8(name).unwrap());
        assert_eq!(
            contents(&fs, ino).unwrap(),
            std::fs::read(&path).unwrap(),
            "{}",
            path.display()
        );
    }
    let _: &Path = tree.path();
}
