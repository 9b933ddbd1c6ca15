//! dosfstools and mtools.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Output};

/// Runs `program`; a test that needs it fails where it is not installed.
fn run(program: &str, package: &str, args: &[&str]) -> Output {
    Command::new(program)
        .args(args)
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC")
        .env("MTOOLS_SKIP_CHECK", "1")
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}; install the Debian package {package}"))
}

/// A fresh image of `kib` KiB.
pub(crate) fn mkfs(kib: u32, options: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    let mut args = options.to_vec();
    let (path_text, kib_text) = (path.to_str().unwrap(), kib.to_string());
    args.extend(["-C", "-i", "12345678", path_text, &kib_text]);
    let out = run("mkfs.fat", "dosfstools", &args);
    assert!(out.status.success(), "mkfs.fat: {}", String::from_utf8_lossy(&out.stderr));
    std::fs::read(path).unwrap()
}

/// Writes `image` as a sparse file: most of it is zeroes.
fn save(path: &Path, image: &[u8]) {
    let file = File::create(path).unwrap();
    file.set_len(image.len() as u64).unwrap();
    for (n, chunk) in image.chunks(CHUNK).enumerate() {
        if chunk.iter().any(|&byte| byte != 0) {
            file.write_all_at(chunk, (n * CHUNK) as u64).unwrap();
        }
    }
}

const CHUNK: usize = 1 << 14;

/// What fsck.vfat says about `image`, and whether it is content.
pub(crate) fn fsck(image: &[u8]) -> (bool, String) {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let path = folder.path().join("image");
    save(&path, image);
    let out = run("fsck.vfat", "dosfstools", &["-n", path.to_str().unwrap()]);
    (out.status.success(), String::from_utf8_lossy(&out.stdout).into_owned())
}

/// The image after fsck.vfat mended it without asking.
pub(crate) fn mended(image: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let path = folder.path().join("image");
    save(&path, image);
    let out = run("fsck.vfat", "dosfstools", &["-a", path.to_str().unwrap()]);
    // 1: errors were corrected.
    assert!(out.status.code().is_some_and(|code| code <= 1), "fsck.vfat -a: {out:?}");
    std::fs::read(path).unwrap()
}

/// Fails unless fsck.vfat finds nothing.
#[track_caller]
pub(crate) fn assert_clean(image: &[u8]) {
    let (clean, text) = fsck(image);
    assert!(clean, "fsck.vfat: {text}");
}

/// Copies the whole tree of `image` into `folder`.
pub(crate) fn extract(image: &[u8], folder: &Path) {
    let holder = tempfile::tempdir().unwrap();
    let path = holder.path().join("image");
    save(&path, image);
    let (image, folder) = (path.to_str().unwrap(), folder.to_str().unwrap());
    let out = run("mcopy", "mtools", &["-i", image, "-s", "-n", "-m", "::/", folder]);
    assert!(out.status.success(), "mcopy: {}", String::from_utf8_lossy(&out.stderr));
}

/// Puts a file into `image` by mtools.
pub(crate) fn insert(image: &[u8], name: &str, contents: &[u8]) -> Vec<u8> {
    let holder = tempfile::tempdir().unwrap();
    let (path, file) = (holder.path().join("image"), holder.path().join("file"));
    save(&path, image);
    std::fs::write(&file, contents).unwrap();
    let target = format!("::/{name}");
    let args = ["-i", path.to_str().unwrap(), file.to_str().unwrap(), &target];
    let out = run("mcopy", "mtools", &args);
    assert!(out.status.success(), "mcopy: {}", String::from_utf8_lossy(&out.stderr));
    std::fs::read(path).unwrap()
}
