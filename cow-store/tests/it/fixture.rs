//! A store in a temporary directory, and its whole state as text.

use abi::fs::{FileKind, XattrFlags};
use cow_store::dir::{Dir, Faulty, HostDir, OpenFile};
use cow_store::path::join;
use cow_store::{Access, Form, Lower, OFlags, Stat, State, Store, WhiteoutForm};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use tempfile::TempDir;

/// Every form a store can take.
pub(crate) const FORMS: [Form; 4] = [
    Form { whiteout: WhiteoutForm::Device, xattrs: true },
    Form { whiteout: WhiteoutForm::Marker, xattrs: true },
    Form { whiteout: WhiteoutForm::Device, xattrs: false },
    Form { whiteout: WhiteoutForm::Marker, xattrs: false },
];

/// As in a view: what is made has the very mode that is asked for.
pub(crate) fn without_umask() {
    rustix::process::umask(rustix::fs::Mode::empty());
}

/// A temporary directory, in memory where that has what a store can use.
pub(crate) fn scratch() -> TempDir {
    if let Ok(dir) = TempDir::new_in("/dev/shm") {
        let file = dir.path().join("probe");
        std::fs::write(&file, "").unwrap();
        let host = host_dir(dir.path());
        if host.set_xattr(b"probe", b"user.probe", b"1", XattrFlags::empty()).is_ok() {
            std::fs::remove_file(file).unwrap();
            return dir;
        }
    }
    TempDir::new().unwrap()
}

pub(crate) fn handle(path: &Path) -> OwnedFd {
    OwnedFd::from(File::open(path).unwrap())
}

pub(crate) fn host_dir(path: &Path) -> HostDir {
    HostDir::new(handle(path))
}

pub(crate) fn open(dir: &TempDir, form: Form) -> Store {
    let store = Store::open_dir(Box::new(host_dir(dir.path())), Access::Write, Some(form)).unwrap();
    assert_eq!(store.form(), form, "this file system has xattrs and whiteouts");
    store
}

pub(crate) fn open_faulty(dir: &TempDir, form: Form, left: &Arc<AtomicUsize>, torn: bool) -> Store {
    let faulty = Faulty::new(host_dir(dir.path()), Arc::clone(left), torn);
    Store::open_dir(Box::new(faulty), Access::Write, Some(form)).unwrap()
}

/// A lower tree beside the store.
pub(crate) struct LowerTree {
    pub(crate) dir: TempDir,
}

impl LowerTree {
    /// `d/f` (7 bytes), `d/g` and `d/h` (one inode), `d/s` (link), `d/sub/x`, `e/y`.
    pub(crate) fn new() -> Self {
        let dir = scratch();
        let p = dir.path();
        std::fs::create_dir_all(p.join("d/sub")).unwrap();
        std::fs::create_dir(p.join("e")).unwrap();
        std::fs::write(p.join("d/f"), "lower f").unwrap();
        std::fs::write(p.join("d/g"), "linked").unwrap();
        std::fs::hard_link(p.join("d/g"), p.join("d/h")).unwrap();
        std::os::unix::fs::symlink("target", p.join("d/s")).unwrap();
        std::fs::write(p.join("d/sub/x"), "x").unwrap();
        std::fs::write(p.join("e/y"), "y").unwrap();
        Self { dir }
    }

    pub(crate) fn stat(&self, path: &str) -> Stat {
        host_dir(self.dir.path()).stat(path.as_bytes()).unwrap()
    }

    /// Copies `path` and its parents up.
    pub(crate) fn copy_up(&self, store: &Store, path: &str) -> Result<(), cow_store::Error> {
        let tree = host_dir(self.dir.path());
        let mut at = Vec::new();
        for name in cow_store::path::components(path.as_bytes()) {
            at = join(&at, name);
            let stat = tree.stat(&at).unwrap();
            let (mut data, mut target) = (None, Vec::new());
            match stat.kind() {
                FileKind::Regular => data = Some(tree.open(&at, OFlags::RDONLY, 0).unwrap()),
                FileKind::Symlink => target = tree.readlink(&at).unwrap(),
                _ => {}
            }
            let xattrs = [(b"user.kept".to_vec(), b"v".to_vec())];
            let xattrs: &[_] = if stat.kind() == FileKind::Regular { &xattrs } else { &[] };
            store.copy_up(
                &at,
                &Lower { stat: &stat, data: data.as_ref(), target: &target, xattrs },
            )?;
        }
        Ok(())
    }
}

pub(crate) fn write(fd: OpenFile, text: &str) {
    File::from(fd.into_host().unwrap()).write_all(text.as_bytes()).unwrap();
}

pub(crate) fn read(store: &Store, path: &str) -> String {
    let mut text = String::new();
    let fd = store.open_upper(path.as_bytes(), OFlags::RDONLY).unwrap();
    fd.reader().read_to_string(&mut text).unwrap();
    text
}

/// What a view of `store` over `lower` shows, one line a name.
pub(crate) fn describe(store: &Store, lower: &LowerTree) -> String {
    let mut paths: Vec<Vec<u8>> = store.paths().into_iter().map(|(path, _)| path).collect();
    let tree = host_dir(lower.dir.path());
    let mut open = vec![Vec::new()];
    while let Some(path) = open.pop() {
        for entry in tree.list(&path).unwrap() {
            let full = join(&path, &entry.name);
            if entry.kind == Some(FileKind::Directory) {
                open.push(full.clone());
            }
            paths.push(full);
        }
    }
    paths.sort();
    paths.dedup();
    let mut text = String::new();
    for path in paths {
        let name = String::from_utf8_lossy(&path).into_owned();
        let line = match store.lookup(&path).unwrap() {
            State::Whiteout | State::Hidden => continue,
            State::Absent => "lower".to_owned(),
            State::Shadow(a) => format!("shadow {:o} {}:{}", a.permissions, a.uid, a.gid),
            State::Entry(e) => describe_entry(store, &path, e.kind()),
        };
        text.push_str(&format!("{name}: {line}\n"));
    }
    text
}

fn describe_entry(store: &Store, path: &[u8], kind: FileKind) -> String {
    let s = store.stat(path, true).unwrap();
    let (content, size) = match kind {
        FileKind::Regular => (read(store, std::str::from_utf8(path).unwrap()), s.size_bytes),
        FileKind::Symlink => {
            (String::from_utf8(store.readlink(path).unwrap()).unwrap(), s.size_bytes)
        }
        _ => (String::new(), 0),
    };
    let xattrs: Vec<String> = store
        .xattr_names(path)
        .unwrap()
        .iter()
        .map(|x| {
            let value = store.xattr(path, x).unwrap();
            format!("{}={}", String::from_utf8_lossy(x), String::from_utf8_lossy(&value))
        })
        .collect();
    let State::Entry(e) = store.lookup(path).unwrap() else { unreachable!() };
    let origin = e.origin.map(|o| o.ino);
    // Links of a directory are those of the layer alone where nobody says what it was copied from.
    let links = if kind == FileKind::Directory { 1 } else { s.nlink };
    format!(
        "{:o} {}:{} nlink {} rdev {} size {size} origin {origin:?} {content:?} {xattrs:?}",
        s.mode, s.uid, s.gid, links, s.rdev
    )
}

/// Nothing is left that no name leads to.
pub(crate) fn check_tidy(dir: &TempDir) {
    let tmp: Vec<_> = std::fs::read_dir(dir.path().join(".viewos/tmp")).unwrap().collect();
    assert!(tmp.is_empty(), "left behind: {tmp:?}");
}

/// The real mode never needs privileges.
pub(crate) fn check_modes(dir: &Path) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let meta = entry.metadata().unwrap();
        if meta.is_file() {
            assert_eq!(meta.mode() & 0o6600, 0o600, "{:?}", entry.path());
        } else if meta.is_dir() {
            assert_eq!(meta.mode() & 0o6700, 0o700, "{:?}", entry.path());
            check_modes(&entry.path());
        }
    }
}
