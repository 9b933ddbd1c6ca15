//! Images made and checked by e2fsprogs, the independent writer and reader.

use crate::device::Ram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

fn run(command: &mut Command) -> Output {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Ok(output) => output,
        Err(error) => panic!("{program}: {error} (Debian package e2fsprogs)"),
    }
}

/// A new image of `kib` KiB, made by `mke2fs ARGS`.
pub(crate) fn mke2fs(kib: u64, args: &str) -> Arc<Ram> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    std::fs::File::create(&path).unwrap().set_len(kib * 1024).unwrap();
    let mut command = Command::new("mke2fs");
    command.args(["-q", "-F", "-E", "lazy_itable_init=1,nodiscard"]);
    command.args(args.split_whitespace()).arg(&path);
    let output = run(&mut command);
    assert!(output.status.success(), "mke2fs {args}: {}", text(&output));
    Ram::new(std::fs::read(&path).unwrap())
}

fn text(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout);
    format!("{out}{}", String::from_utf8_lossy(&output.stderr))
}

/// An image in a file, for tools.
pub(crate) struct Stored {
    _folder: tempfile::TempDir,
    pub(crate) path: PathBuf,
}

/// In memory where there is a folder for that: tools make what they write durable.
pub(crate) fn store(bytes: &[u8]) -> Stored {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let path = folder.path().join("image");
    std::fs::write(&path, bytes).unwrap();
    Stored { _folder: folder, path }
}

/// What `e2fsck -fn` finds wrong, or `None`.
pub(crate) fn e2fsck(path: &Path) -> Option<String> {
    let output = run(Command::new("e2fsck").arg("-fn").arg(path));
    (!output.status.success()).then(|| text(&output))
}

/// Repairs as `e2fsck -fy` does, then checks again.
pub(crate) fn repair(path: &Path) -> Option<String> {
    let output = run(Command::new("e2fsck").arg("-fy").arg(path));
    // 1: errors were corrected.
    if output.status.code().is_none_or(|code| code > 1) {
        return Some(format!("repair failed: {}", text(&output)));
    }
    e2fsck(path).map(|message| format!("after the repair: {message}"))
}

/// Repairs as a machine does at boot, with `e2fsck -p`, then checks again.
pub(crate) fn preen(path: &Path) -> Option<String> {
    let output = run(Command::new("e2fsck").arg("-p").arg(path));
    // 1: errors were corrected.
    if output.status.code().is_none_or(|code| code > 1) {
        return Some(format!("e2fsck -p refused: {}", text(&output)));
    }
    e2fsck(path).map(|message| format!("after e2fsck -p: {message}"))
}

/// Has e2fsck replay the log and do nothing else.
pub(crate) fn replay(path: &Path) {
    let output = run(Command::new("e2fsck").args(["-y", "-E", "journal_only"]).arg(path));
    assert!(output.status.code().is_some_and(|code| code <= 1), "{}", text(&output));
}

/// Lets the kernel mount the image for writing, so that it replays the log; false, said aloud,
/// where loop mounts are not possible.
pub(crate) fn kernel_replay(path: &Path) -> bool {
    let point = tempfile::tempdir().unwrap();
    let output = Command::new("mount").args(["-o", "loop"]).arg(path).arg(point.path()).output();
    if !output.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: no loop mounts here, the kernel was not asked");
        return false;
    }
    assert!(Command::new("umount").arg(point.path()).status().unwrap().success(), "umount");
    true
}

/// The manifest of the image as the kernel sees it; `None`, said aloud, where loop mounts are not
/// possible.
pub(crate) fn kernel_manifest(path: &Path) -> Option<String> {
    let point = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount")
        .args(["-o", "loop,ro"])
        .arg(path)
        .arg(point.path())
        .output()
        .is_ok_and(|output| output.status.success());
    if !mounted {
        eprintln!("SKIPPED: no loop mounts here, the kernel was not asked");
        return None;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/manifest.py");
    let output = Command::new("python3").arg(script).arg(point.path()).output();
    let unmounted = Command::new("umount").arg(point.path()).status();
    assert!(unmounted.unwrap().success(), "umount");
    let output = output.unwrap();
    assert!(output.status.success(), "{}", text(&output));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// How many runs of neighbouring blocks the content of `/name` lies in, by debugfs.
pub(crate) fn runs(path: &Path, name: &str) -> usize {
    let output = run(Command::new("debugfs").args(["-R", &format!("blocks /{name}")]).arg(path));
    let blocks: Vec<u64> = String::from_utf8_lossy(&output.stdout)
        .split_whitespace()
        .map(|b| b.parse().unwrap())
        .collect();
    assert!(!blocks.is_empty(), "{}", text(&output));
    1 + blocks.windows(2).filter(|pair| pair[0] + 1 != pair[1]).count()
}
