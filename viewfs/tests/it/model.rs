//! A file system in a `BTreeMap`, by POSIX, and operations that are done on it and on an overlay.

use abi::fs::{Caller, FileKind, RenameFlags, XattrFlags};
use abi::{Errno, Result};
use cow_store::OFlags;
use cow_store::path::{join, split, strip};
use std::collections::BTreeMap;
use viewfs::Overlay;

/// One operation.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Open { path: String, flags: OFlags, mode: u32, text: &'static str },
    Truncate { path: String, size: u64 },
    Mkdir { path: String, mode: u32 },
    Fifo { path: String },
    Symlink { path: String, target: &'static str },
    Link { old: String, path: String },
    Unlink { path: String },
    Rmdir { path: String },
    Rename { from: String, to: String, flags: RenameFlags },
    Chmod { path: String, mode: u32 },
    Chown { path: String, uid: u32 },
    SetXattr { path: String, value: &'static str, flags: XattrFlags },
    RemoveXattr { path: String },
}

pub(crate) const XATTR: &[u8] = b"user.test";

impl Op {
    /// The paths of which the file or the name is changed.
    pub(crate) fn changes(&self) -> Vec<&str> {
        match self {
            Self::Open { path, .. }
            | Self::Truncate { path, .. }
            | Self::Mkdir { path, .. }
            | Self::Fifo { path }
            | Self::Symlink { path, .. }
            | Self::Unlink { path }
            | Self::Rmdir { path }
            | Self::Chmod { path, .. }
            | Self::Chown { path, .. }
            | Self::SetXattr { path, .. }
            | Self::RemoveXattr { path } => vec![path],
            Self::Link { old, path } => vec![old, path],
            Self::Rename { from, to, .. } if from == to => Vec::new(),
            Self::Rename { from, to, .. } => vec![from, to],
        }
    }
}

/// What a name looks like from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File_ {
    pub(crate) kind: FileKind,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) content: Vec<u8>,
    pub(crate) xattr: Option<Vec<u8>>,
}

/// The model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) names: BTreeMap<Vec<u8>, usize>,
    pub(crate) files: BTreeMap<usize, File_>,
    next: usize,
    umask_owner: u32,
}

impl Model {
    /// The model of what `overlay` shows.
    pub(crate) fn of(overlay: &Overlay, owner: u32) -> Self {
        let mut model = Self { umask_owner: owner, ..Self::default() };
        let mut by_ino = BTreeMap::new();
        for (path, file, ino) in picture(overlay) {
            let next = model.next;
            let id = *by_ino.entry(ino).or_insert(next);
            model.next += 1;
            model.names.insert(path, id);
            model.files.insert(id, file);
        }
        model
    }

    fn get(&self, path: &[u8]) -> Option<&File_> {
        self.names.get(path).and_then(|id| self.files.get(id))
    }

    /// Whether an operation would open a FIFO.
    pub(crate) fn is_open_of_fifo(&self, op: &Op) -> bool {
        let Op::Open { path, .. } = op else { return false };
        self.get(path.as_bytes()).is_some_and(|f| f.kind == FileKind::Fifo)
    }

    fn find(&self, path: &[u8]) -> Result<usize> {
        self.check_parent(path)?;
        self.names.get(path).copied().ok_or(Errno::ENOENT)
    }

    fn file(&mut self, id: usize) -> &mut File_ {
        self.files.get_mut(&id).unwrap()
    }

    fn check_parent(&self, path: &[u8]) -> Result<()> {
        let Some((parent, _)) = split(path) else { return Ok(()) };
        if parent.is_empty() {
            return Ok(());
        }
        self.check_parent(parent)?;
        match self.get(parent) {
            None => Err(Errno::ENOENT),
            Some(f) if f.kind == FileKind::Directory => Ok(()),
            Some(_) => Err(Errno::ENOTDIR),
        }
    }

    fn has_children(&self, path: &[u8]) -> bool {
        self.names.keys().any(|n| n != path && strip(n, path).is_some())
    }

    fn add(&mut self, path: &[u8], kind: FileKind, mode: u32, content: &[u8]) -> Result<usize> {
        self.check_parent(path)?;
        if self.names.contains_key(path) {
            return Err(Errno::EEXIST);
        }
        let uid = self.umask_owner;
        let inherits = split(path)
            .and_then(|(parent, _)| self.get(parent))
            .is_some_and(|p| p.mode & 0o2000 != 0 && kind == FileKind::Directory);
        let mode = if inherits { mode | 0o2000 } else { mode };
        let file = File_ { kind, mode, uid, content: content.to_vec(), xattr: None };
        self.next += 1;
        self.names.insert(path.to_vec(), self.next);
        self.files.insert(self.next, file);
        Ok(self.next)
    }

    pub(crate) fn apply(&mut self, op: &Op) -> Result<()> {
        match op {
            Op::Open { path, flags, mode, text } => self.open(path.as_bytes(), *flags, *mode, text),
            Op::Truncate { path, size } => {
                let id = self.find(path.as_bytes())?;
                match self.file(id).kind {
                    FileKind::Regular => {}
                    FileKind::Directory => return Err(Errno::EISDIR),
                    _ => return Err(Errno::EINVAL),
                }
                self.file(id).content.resize(usize::try_from(*size).unwrap(), 0);
                Ok(())
            }
            Op::Mkdir { path, mode } => {
                self.add(path.as_bytes(), FileKind::Directory, *mode & 0o1777, b"").map(|_| ())
            }
            Op::Fifo { path } => self.add(path.as_bytes(), FileKind::Fifo, 0o640, b"").map(|_| ()),
            Op::Symlink { path, target } => {
                self.add(path.as_bytes(), FileKind::Symlink, 0o777, target.as_bytes()).map(|_| ())
            }
            Op::Link { old, path } => self.link(old.as_bytes(), path.as_bytes()),
            Op::Unlink { path } => {
                let id = self.find(path.as_bytes())?;
                if self.file(id).kind == FileKind::Directory {
                    return Err(Errno::EISDIR);
                }
                self.names.remove(path.as_bytes());
                Ok(())
            }
            Op::Rmdir { path } => {
                let id = self.find(path.as_bytes())?;
                if self.file(id).kind != FileKind::Directory {
                    return Err(Errno::ENOTDIR);
                }
                if self.has_children(path.as_bytes()) {
                    return Err(Errno::ENOTEMPTY);
                }
                self.names.remove(path.as_bytes());
                Ok(())
            }
            Op::Rename { from, to, flags } => self.rename(from.as_bytes(), to.as_bytes(), *flags),
            other => self.apply_attributes(other),
        }
    }

    fn apply_attributes(&mut self, op: &Op) -> Result<()> {
        match op {
            Op::Chmod { path, mode } => {
                let id = self.find(path.as_bytes())?;
                if self.file(id).kind == FileKind::Symlink {
                    return Err(Errno::EOPNOTSUPP);
                }
                self.file(id).mode = *mode;
                Ok(())
            }
            Op::Chown { path, uid } => {
                let id = self.find(path.as_bytes())?;
                let file = self.file(id);
                file.uid = *uid;
                if file.kind != FileKind::Directory {
                    file.mode &= !0o4000;
                    if file.mode & 0o010 != 0 {
                        file.mode &= !0o2000;
                    }
                }
                Ok(())
            }
            Op::SetXattr { path, value, flags } => {
                let id = self.find(path.as_bytes())?;
                let file = self.file(id);
                if !matches!(file.kind, FileKind::Regular | FileKind::Directory) {
                    return Err(Errno::EPERM);
                }
                match (file.xattr.is_some(), *flags) {
                    (true, XattrFlags::CREATE) => return Err(Errno::EEXIST),
                    (false, XattrFlags::REPLACE) => return Err(Errno::ENODATA),
                    _ => file.xattr = Some(value.as_bytes().to_vec()),
                }
                Ok(())
            }
            Op::RemoveXattr { path } => {
                let id = self.find(path.as_bytes())?;
                let file = self.file(id);
                if !matches!(file.kind, FileKind::Regular | FileKind::Directory) {
                    return Err(Errno::EPERM);
                }
                file.xattr.take().map(|_| ()).ok_or(Errno::ENODATA)
            }
            _ => unreachable!("the other operations are apply's"),
        }
    }

    fn open(&mut self, path: &[u8], flags: OFlags, mode: u32, text: &str) -> Result<()> {
        let id = match self.find(path) {
            Ok(_) if flags.contains(OFlags::CREATE | OFlags::EXCL) => return Err(Errno::EEXIST),
            Ok(id) => match self.file(id).kind {
                FileKind::Directory => return Err(Errno::EISDIR),
                FileKind::Symlink => return Err(Errno::ELOOP),
                // Nobody reads from it.
                FileKind::Fifo if flags.contains(OFlags::WRONLY) => return Err(Errno::ENXIO),
                FileKind::Fifo => return Ok(()),
                _ => id,
            },
            Err(Errno::ENOENT) if flags.contains(OFlags::CREATE) => {
                self.add(path, FileKind::Regular, mode, b"")?
            }
            Err(e) => return Err(e),
        };
        let content = &mut self.file(id).content;
        if flags.contains(OFlags::TRUNC) {
            content.clear();
        }
        let at = if flags.contains(OFlags::APPEND) { content.len() } else { 0 };
        let end = at + text.len();
        if content.len() < end {
            content.resize(end, 0);
        }
        content[at..end].copy_from_slice(text.as_bytes());
        Ok(())
    }

    fn link(&mut self, old: &[u8], path: &[u8]) -> Result<()> {
        let id = self.find(old)?;
        self.check_parent(path)?;
        if self.names.contains_key(path) {
            return Err(Errno::EEXIST);
        }
        if self.file(id).kind == FileKind::Directory {
            return Err(Errno::EPERM);
        }
        self.names.insert(path.to_vec(), id);
        Ok(())
    }

    fn rename(&mut self, from: &[u8], to: &[u8], flags: RenameFlags) -> Result<()> {
        let exchange = flags == RenameFlags::EXCHANGE;
        self.check_parent(from)?;
        self.check_parent(to)?;
        let id = self.find(from)?;
        let target = self.names.get(to).copied();
        if flags == RenameFlags::NOREPLACE && target.is_some() {
            return Err(Errno::EEXIST);
        }
        if exchange && target.is_none() {
            return Err(Errno::ENOENT);
        }
        if from != to && strip(to, from).is_some() {
            return Err(Errno::EINVAL);
        }
        if from != to && strip(from, to).is_some() {
            return Err(if exchange { Errno::EINVAL } else { Errno::ENOTEMPTY });
        }
        if target == Some(id) {
            return Ok(());
        }
        let is_dir = |m: &Self, id: usize| m.files[&id].kind == FileKind::Directory;
        if let Some(target) = target.filter(|_| !exchange) {
            match (is_dir(self, id), is_dir(self, target)) {
                (true, false) => return Err(Errno::ENOTDIR),
                (false, true) => return Err(Errno::EISDIR),
                (true, true) if self.has_children(to) => return Err(Errno::ENOTEMPTY),
                _ => {}
            }
            self.names.remove(to);
        }
        let moved = self.take(from);
        let back = self.take(to);
        for (rest, id) in moved {
            self.names.insert([to, &rest].concat(), id);
        }
        for (rest, id) in back {
            self.names.insert([from, &rest].concat(), id);
        }
        Ok(())
    }

    fn take(&mut self, path: &[u8]) -> Vec<(Vec<u8>, usize)> {
        let keys: Vec<Vec<u8>> =
            self.names.keys().filter(|n| strip(n, path).is_some()).cloned().collect();
        keys.into_iter()
            .map(|k| (k[path.len()..].to_vec(), self.names.remove(&k).unwrap()))
            .collect()
    }
}

/// The same operation on an overlay.
pub(crate) fn apply(overlay: &Overlay, op: &Op, caller: Caller) -> Result<()> {
    let b = str::as_bytes;
    match op {
        Op::Open { path, flags, mode, text } => {
            let flags = *flags | OFlags::NOFOLLOW | OFlags::NONBLOCK;
            let fd = overlay.open(b(path), flags, *mode, caller)?;
            if overlay.stat(b(path))?.kind() == FileKind::Regular {
                let end = if flags.contains(OFlags::APPEND) { fd.stat()?.size_bytes } else { 0 };
                fd.write_all_at(text.as_bytes(), end)?;
            }
            Ok(())
        }
        Op::Truncate { path, size } => overlay.truncate(b(path), *size),
        Op::Mkdir { path, mode } => overlay.mkdir(b(path), *mode, caller),
        Op::Fifo { path } => {
            overlay.mknod(b(path), FileKind::Fifo, abi::dev::DevNum::default(), 0o640, caller)
        }
        Op::Symlink { path, target } => overlay.symlink(b(path), b(target), caller),
        Op::Link { old, path } => overlay.link(b(old), b(path)),
        Op::Unlink { path } => overlay.unlink(b(path)),
        Op::Rmdir { path } => overlay.rmdir(b(path)),
        Op::Rename { from, to, flags } => overlay.rename(b(from), b(to), *flags),
        Op::Chmod { path, mode } => overlay.chmod(b(path), *mode),
        Op::Chown { path, uid } => overlay.chown(b(path), Some(*uid), None),
        Op::SetXattr { path, value, flags } => overlay.set_xattr(b(path), XATTR, b(value), *flags),
        Op::RemoveXattr { path } => overlay.remove_xattr(b(path), XATTR),
    }
}

/// Everything that `overlay` shows, with device and inode numbers.
pub(crate) fn picture(overlay: &Overlay) -> Vec<(Vec<u8>, File_, (u64, u64))> {
    let mut found = Vec::new();
    let mut open = vec![Vec::new()];
    while let Some(path) = open.pop() {
        for entry in overlay.readdir(&path).unwrap().entries() {
            let full = join(&path, &entry.name);
            let stat = overlay
                .stat(&full)
                .unwrap_or_else(|e| panic!("{} is listed and {e}", String::from_utf8_lossy(&full)));
            if let Some(kind) = entry.kind {
                assert_eq!(kind, stat.kind());
            }
            assert_eq!(entry.ino, stat.ino, "d_ino of {}", String::from_utf8_lossy(&full));
            let mut content = Vec::new();
            match stat.kind() {
                FileKind::Directory => open.push(full.clone()),
                FileKind::Symlink => content = overlay.readlink(&full).unwrap(),
                FileKind::Regular => {
                    let fd = overlay.open(&full, OFlags::RDONLY, 0, Caller::default()).unwrap();
                    content = fd.read_whole().unwrap();
                    assert_eq!(u64::try_from(content.len()).unwrap(), stat.size_bytes);
                }
                _ => {}
            }
            let xattr = overlay.xattr(&full, XATTR).ok();
            let file = File_ {
                kind: stat.kind(),
                mode: stat.permissions(),
                uid: stat.uid,
                content,
                xattr,
            };
            found.push((full, file, (stat.dev, stat.ino)));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// Both show the same, and the same names are the same file.
pub(crate) fn check(model: &Model, overlay: &Overlay, inos: &mut BTreeMap<usize, (u64, u64)>) {
    let shown = picture(overlay);
    let names: Vec<_> = shown.iter().map(|(path, ..)| String::from_utf8_lossy(path)).collect();
    let wanted: Vec<_> = model.names.keys().map(|path| String::from_utf8_lossy(path)).collect();
    assert_eq!(names, wanted);
    inos.retain(|id, _| model.names.values().any(|n| n == id));
    for (path, file, ino) in shown {
        let name = String::from_utf8_lossy(&path);
        let id = model.names[&path];
        assert_eq!(file, model.files[&id], "{name}");
        let known = *inos.entry(id).or_insert(ino);
        assert_eq!(known, ino, "the inode number of {name} changed");
    }
    let mut seen: Vec<_> = inos.values().collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), inos.len(), "two files have one inode number");
}
