//! Walks of a mounted image as a caller does them: names from readdir, inodes from lookup.

use abi::block::BlockDevice;
use abi::fs::{
    Attr, Caller, Cookie, FileKind, FileSystem, FileSystemType, FsSource, Handle, Ino, Name,
    OpenFlags, Opened,
};
use abi::module::MountError;
use abi::options::Options;
use abi::{Errno, Result};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A mounted image.
pub(crate) type Mounted = Arc<dyn FileSystem>;

/// Mounts with `options`, all of which the driver must take.
pub(crate) fn mount(
    device: Arc<dyn BlockDevice>,
    options: &str,
) -> core::result::Result<Mounted, MountError> {
    let mut options = Options::parse(options);
    let fs = iso9660::Iso9660Type.mount(FsSource::Device(device), true, &mut options)?;
    options.finish()?;
    Ok(fs)
}

pub(crate) fn open(fs: &Mounted, ino: Ino) -> Result<Handle> {
    match fs.open(Caller::default(), ino, OpenFlags::READ)? {
        Opened::Handle(handle) => Ok(handle),
        Opened::Host(_) => panic!("a driver has no host files"),
    }
}

/// Name, inode number and type as readdir offers them.
pub(crate) type Listed = (Vec<u8>, Ino, Option<FileKind>);

/// Names, inode numbers and types of a directory, a few at each call.
pub(crate) fn list(fs: &Mounted, ino: Ino) -> Result<Vec<Listed>> {
    let handle = open(fs, ino)?;
    let mut entries: Vec<Listed> = Vec::new();
    let mut cookie = Cookie(0);
    let result = loop {
        let before = entries.len();
        let result = fs.readdir(handle, cookie, &mut |entry| {
            if entries.len() == before + 7 {
                return false;
            }
            entries.push((entry.name.to_vec(), entry.ino, entry.kind));
            cookie = entry.next;
            true
        });
        if result.is_err() || entries.len() == before {
            break result;
        }
    };
    fs.release(handle);
    result.map(|()| entries)
}

/// The attributes of a path below the root.
pub(crate) fn at(fs: &Mounted, path: &str) -> Result<Attr> {
    let mut attr = fs.getattr(fs.root())?;
    for name in path.split('/').filter(|n| !n.is_empty()) {
        attr = fs.lookup(attr.ino, Name::new(name.as_bytes())?)?;
    }
    Ok(attr)
}

/// All bytes of a file, by reads of odd lengths.
pub(crate) fn contents(fs: &Mounted, ino: Ino) -> Result<Vec<u8>> {
    let handle = open(fs, ino)?;
    let mut bytes = Vec::new();
    let mut buf = vec![0; 70_001];
    let result = loop {
        match fs.read(handle, &mut buf, bytes.len() as u64) {
            Ok(0) => break Ok(bytes),
            Ok(n) => bytes.extend_from_slice(&buf[..n]),
            Err(errno) => break Err(errno),
        }
    };
    fs.release(handle);
    result
}

/// What the lines of a manifest say; the forms are those of `fixtures/manifest.py`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Plain,
    Iso,
}

/// The manifest of the whole image, without `skip`, sorted.
pub(crate) fn manifest(fs: &Mounted, form: Form, skip: &str) -> Vec<String> {
    let mut lines = Vec::new();
    walk(fs, fs.root(), "", &mut |path, attr| {
        if path == skip || path.starts_with(&format!("{skip}/")) {
            return;
        }
        lines.push(line(fs, form, path, attr));
    });
    lines.sort();
    lines
}

fn line(fs: &Mounted, form: Form, path: &str, attr: &Attr) -> String {
    let plain = form == Form::Plain;
    let (letter, size, what) = match attr.kind {
        FileKind::Regular => {
            let bytes = contents(fs, attr.ino).unwrap();
            assert_eq!(bytes.len() as u64, attr.size_bytes, "{path}");
            ('f', attr.size_bytes.to_string(), format!("{:x}", Sha256::digest(&bytes)))
        }
        FileKind::Directory => ('d', "-".into(), "-".into()),
        FileKind::Symlink => {
            let target = fs.readlink(attr.ino).unwrap();
            assert_eq!(target.len() as u64, attr.size_bytes, "{path}");
            ('l', "-".into(), format!("->{}", String::from_utf8(target).unwrap()))
        }
        FileKind::CharDevice => {
            ('c', "-".into(), format!("{}:{}", attr.rdev.major, attr.rdev.minor))
        }
        FileKind::BlockDevice => {
            ('b', "-".into(), format!("{}:{}", attr.rdev.major, attr.rdev.minor))
        }
        FileKind::Fifo => ('p', "-".into(), "-".into()),
        FileKind::Socket => ('s', "-".into(), "-".into()),
    };
    let mode = match attr.kind {
        FileKind::Symlink => "-".into(),
        _ if plain => "-".into(),
        _ => format!("{:04o}", attr.perm & 0o555),
    };
    let links = match attr.kind {
        FileKind::Directory => "-".into(),
        _ if plain => "-".into(),
        _ => attr.nlink.to_string(),
    };
    let seconds = attr.mtime.seconds;
    let time = match attr.kind {
        FileKind::Regular if plain => (seconds / 2 * 2).to_string(),
        _ if plain => "-".into(),
        _ => seconds.to_string(),
    };
    format!("{letter} {mode} - - {links} {size} {time} {what} {path}")
}

/// Shows every path with its attributes; checks that the ways to an inode agree.
pub(crate) fn walk(fs: &Mounted, ino: Ino, prefix: &str, visit: &mut dyn FnMut(&str, &Attr)) {
    for (name, number, kind) in list(fs, ino).unwrap() {
        let path = format!("{prefix}{}", String::from_utf8(name.clone()).unwrap());
        let attr = fs.lookup(ino, Name::new(&name).unwrap()).unwrap();
        assert_eq!(attr.ino, number, "{path}: readdir and lookup");
        assert_eq!(Some(attr.kind), kind, "{path}: readdir and lookup");
        assert_eq!(fs.getattr(attr.ino), Ok(attr.clone()), "{path}: lookup and getattr");
        visit(&path, &attr);
        if attr.kind == FileKind::Directory {
            walk(fs, attr.ino, &format!("{path}/"), visit);
        }
        fs.forget(attr.ino, 1);
    }
}

/// Does everything with every inode and ignores what is refused; returns how often each error came.
pub(crate) fn exercise(fs: &Mounted) -> BTreeMap<i32, u32> {
    let mut errors = BTreeMap::new();
    let mut note = |errno: Errno| *errors.entry(errno.raw()).or_insert(0) += 1;
    let mut todo = vec![(fs.root(), 0)];
    let mut visited = 0;
    while let Some((ino, depth)) = todo.pop() {
        let entries = list(fs, ino).map_err(&mut note).unwrap_or_default();
        for (name, _, _) in entries {
            visited += 1;
            assert!(visited < 100_000, "the walk has no end");
            let Ok(name) = Name::new(&name) else { panic!("{name:?} is no name") };
            let Ok(attr) = fs.lookup(ino, name).map_err(&mut note) else { continue };
            match attr.kind {
                FileKind::Directory => {
                    assert!(depth < 100, "the tree has no bottom");
                    todo.push((attr.ino, depth + 1));
                }
                FileKind::Symlink => drop(fs.readlink(attr.ino).map_err(&mut note)),
                FileKind::Regular => read_some(fs, attr.ino, attr.size_bytes, &mut note),
                _ => {}
            }
            fs.forget(attr.ino, 1);
        }
    }
    errors
}

fn read_some(fs: &Mounted, ino: Ino, size_bytes: u64, note: &mut dyn FnMut(Errno)) {
    let Ok(handle) = open(fs, ino).map_err(&mut *note) else { return };
    let mut buf = vec![0; 4096];
    for offset in [0, size_bytes / 2, size_bytes.saturating_sub(10), u64::MAX] {
        if let Err(errno) = fs.read(handle, &mut buf, offset) {
            note(errno);
        }
    }
    fs.release(handle);
}
