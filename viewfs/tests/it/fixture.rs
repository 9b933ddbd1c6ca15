//! Trees in temporary directories, and a lower tree that refuses.

use abi::dev::DevNum;
use abi::fs::{Caller, FileKind, RenameFlags, SetTime, XattrFlags};
use abi::{Errno, Result};
use cow_store::dir::{Dir, DirEntry, OpenFile};
use cow_store::{Access, OFlags, Stat, Store};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;
use viewfs::{DirectoryLower, Lower, Mode, MountOptions, Overlay, Source};

/// A temporary directory, in memory where that has what a store can use.
pub(crate) fn scratch() -> TempDir {
    let probe = |dir: &TempDir| {
        let lower = DirectoryLower::open(dir.path()).unwrap();
        std::fs::write(dir.path().join("probe"), "").unwrap();
        let set = lower.try_set_xattr(b"probe", b"user.probe", b"1", XattrFlags::empty());
        std::fs::remove_file(dir.path().join("probe")).unwrap();
        set.is_ok()
    };
    match TempDir::new_in("/dev/shm") {
        Ok(dir) if probe(&dir) => dir,
        _ => TempDir::new().unwrap(),
    }
}

pub(crate) fn handle(path: &Path) -> OwnedFd {
    File::open(path).unwrap().into()
}

/// The ids this process really has.
pub(crate) fn caller() -> Caller {
    // What is made for real has the very mode that was asked.
    rustix::process::umask(rustix::fs::Mode::empty());
    use std::os::unix::fs::MetadataExt;
    let meta = scratch().path().metadata().unwrap();
    Caller { uid: meta.uid(), gid: meta.gid(), pid: 0 }
}

/// Makes files: `name/` a directory, `name>target` a link, `name=text` a file, `name&old` a hard link.
pub(crate) fn make(root: &Path, entries: &[&str]) {
    for entry in entries {
        if let Some(name) = entry.strip_suffix('/') {
            std::fs::create_dir(root.join(name)).unwrap();
        } else if let Some((name, target)) = entry.split_once('>') {
            std::os::unix::fs::symlink(target, root.join(name)).unwrap();
        } else if let Some((name, old)) = entry.split_once('&') {
            std::fs::hard_link(root.join(old), root.join(name)).unwrap();
        } else if let Some((name, text)) = entry.split_once('=') {
            std::fs::write(root.join(name), text).unwrap();
        }
    }
}

/// The same below the directory `top` of any tree.
pub(crate) fn make_in(tree: &dyn Dir, top: &str, entries: &[&str]) {
    let at = |name: &str| format!("{top}/{name}").into_bytes();
    for entry in entries {
        if let Some(name) = entry.strip_suffix('/') {
            tree.mkdir(&at(name), 0o755).unwrap();
        } else if let Some((name, target)) = entry.split_once('>') {
            tree.symlink(target.as_bytes(), &at(name)).unwrap();
        } else if let Some((name, old)) = entry.split_once('&') {
            tree.link(&at(old), &at(name)).unwrap();
        } else if let Some((name, text)) = entry.split_once('=') {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
            let file = tree.open(&at(name), flags, 0o644).unwrap();
            file.write_all_at(text.as_bytes(), 0).unwrap();
        }
    }
}

/// Counts every question to the lower tree and refuses changes below some directories.
pub(crate) struct Watched {
    pub(crate) inner: DirectoryLower,
    pub(crate) refused: Vec<Vec<u8>>,
    pub(crate) calls: Arc<AtomicUsize>,
}

impl Watched {
    pub(crate) fn new(root: &Path, refused: &[&str]) -> Self {
        Self {
            inner: DirectoryLower::open(root).unwrap(),
            refused: refused.iter().map(|p| p.as_bytes().to_vec()).collect(),
            calls: Arc::default(),
        }
    }

    fn seen(&self) -> &DirectoryLower {
        self.calls.fetch_add(1, Ordering::SeqCst);
        &self.inner
    }

    /// What is below a refused directory is the superuser's.
    fn may(&self, path: &[u8]) -> Result<&DirectoryLower> {
        let below = |r: &Vec<u8>| cow_store::path::strip(path, r).is_some();
        if self.refused.iter().any(below) { Err(Errno::EACCES) } else { Ok(self.seen()) }
    }
}

impl Lower for Watched {
    fn stat(&self, path: &[u8]) -> Result<Stat> {
        self.seen().stat(path)
    }
    fn open(&self, path: &[u8], flags: OFlags) -> Result<OpenFile> {
        self.seen().open(path, flags)
    }
    fn readdir(&self, path: &[u8]) -> Result<Vec<DirEntry>> {
        self.seen().readdir(path)
    }
    fn readlink(&self, path: &[u8]) -> Result<Vec<u8>> {
        self.seen().readlink(path)
    }
    fn xattr(&self, path: &[u8], name: &[u8]) -> Result<Vec<u8>> {
        self.seen().xattr(path, name)
    }
    fn xattr_names(&self, path: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.seen().xattr_names(path)
    }
    fn try_open(&self, path: &[u8], flags: OFlags, permissions: u32) -> Result<OpenFile> {
        self.may(path)?.try_open(path, flags, permissions)
    }
    fn try_mkdir(&self, path: &[u8], permissions: u32) -> Result<()> {
        self.may(path)?.try_mkdir(path, permissions)
    }
    fn try_mknod(&self, path: &[u8], kind: FileKind, number: DevNum, mode: u32) -> Result<()> {
        self.may(path)?.try_mknod(path, kind, number, mode)
    }
    fn try_symlink(&self, path: &[u8], target: &[u8]) -> Result<()> {
        self.may(path)?.try_symlink(path, target)
    }
    fn try_link(&self, old: &[u8], path: &[u8]) -> Result<()> {
        self.may(old)?;
        self.may(path)?.try_link(old, path)
    }
    fn try_unlink(&self, path: &[u8]) -> Result<()> {
        self.may(path)?.try_unlink(path)
    }
    fn try_rmdir(&self, path: &[u8]) -> Result<()> {
        self.may(path)?.try_rmdir(path)
    }
    fn try_rename(&self, from: &[u8], to: &[u8], flags: RenameFlags) -> Result<()> {
        self.may(from)?;
        self.may(to)?.try_rename(from, to, flags)
    }
    fn try_chmod(&self, path: &[u8], permissions: u32) -> Result<()> {
        self.may(path)?.try_chmod(path, permissions)
    }
    fn try_chown(&self, path: &[u8], uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        self.may(path)?;
        // Even a test that runs as root is told what a user is told.
        let stat = self.inner.stat(path)?;
        let same = uid.is_none_or(|u| u == stat.uid) && gid.is_none_or(|g| g == stat.gid);
        if same { self.seen().try_chown(path, uid, gid) } else { Err(Errno::EPERM) }
    }
    fn try_set_times(
        &self,
        path: &[u8],
        atime: Option<SetTime>,
        mtime: Option<SetTime>,
    ) -> Result<()> {
        self.may(path)?.try_set_times(path, atime, mtime)
    }
    fn try_truncate(&self, path: &[u8], size_bytes: u64) -> Result<()> {
        self.may(path)?.try_truncate(path, size_bytes)
    }
    fn try_set_xattr(
        &self,
        path: &[u8],
        name: &[u8],
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<()> {
        self.may(path)?.try_set_xattr(path, name, value, flags)
    }
    fn try_remove_xattr(&self, path: &[u8], name: &[u8]) -> Result<()> {
        self.may(path)?.try_remove_xattr(path, name)
    }
}

/// An overlay over `lower` with its store in `upper`.
pub(crate) fn overlay(
    lower: &Path,
    upper: &Path,
    mode: Mode,
    vstat: bool,
    refused: &[&str],
) -> (Overlay, Arc<AtomicUsize>) {
    let store = Store::open(handle(upper), Access::Write).unwrap();
    let watched = Watched::new(lower, refused);
    let calls = Arc::clone(&watched.calls);
    let options = MountOptions { mode, vstat, ..MountOptions::default() };
    let overlay = Overlay::new(Source::from(store), Box::new(watched), options).unwrap();
    (overlay, calls)
}

pub(crate) fn read(overlay: &Overlay, path: &str) -> String {
    let fd = overlay.open(path.as_bytes(), OFlags::RDONLY, 0, caller_zero()).unwrap();
    let mut text = String::new();
    fd.reader().read_to_string(&mut text).unwrap();
    text
}

pub(crate) fn write(overlay: &Overlay, path: &str, text: &str) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
    let fd = overlay.open(path.as_bytes(), flags, 0o644, caller_zero())?;
    File::from(fd.into_host()?).write_all(text.as_bytes()).map_err(Errno::from)
}

/// A caller whose ids do not matter.
pub(crate) fn caller_zero() -> Caller {
    Caller::default()
}

/// All names below `path` with type, mode and content: what a tree looks like.
pub(crate) fn picture(path: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open = vec![path.to_path_buf()];
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(&at).unwrap() {
            let entry = entry.unwrap();
            let meta = entry.metadata().unwrap();
            let content = if meta.is_file() {
                String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap()).into_owned()
            } else {
                String::new()
            };
            use std::os::unix::fs::MetadataExt;
            let name = entry.path().strip_prefix(path).unwrap().display().to_string();
            lines.push(format!("{name} {:o} {} {content}", meta.mode(), meta.nlink()));
            if meta.is_dir() {
                open.push(entry.path());
            }
        }
    }
    lines.sort();
    lines
}
