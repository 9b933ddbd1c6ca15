//! A directory of a file system in this process: a store, or a lower tree, on something virtual.

use super::file::TreeFile;
use super::{Dir, DirEntry, Move, OpenFile, Scanned};
use crate::path::{components, split};
use crate::stat::Stat;
use abi::dev::DevNum;
use abi::fs::{
    Attr, Caller, Cookie, FileKind, FileSystem, Ino, Name, OpenFlags, Opened, RenameFlags, SetAttr,
    SetTime, Timestamp, XattrFlags,
};
use abi::{Errno, Result};
use rustix::fs::OFlags;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most directories that are remembered.
const KNOWN_MAX: usize = 4096;

/// The tree below one inode of a [`FileSystem`]. A path is walked component by component and no link is
/// followed, so nothing leads out of it.
pub struct TreeDir {
    fs: Arc<dyn FileSystem>,
    root: Ino,
    dev: u64,
    caller: Caller,
    /// Directories by path, where nobody else moves them.
    known: Option<Mutex<Known>>,
}

/// What was found, since the last directory moved.
#[derive(Default)]
struct Known {
    moves: u64,
    directories: HashMap<Vec<u8>, Ino>,
}

impl TreeDir {
    /// The tree below `root`. `dev` is the `st_dev` that its files show where the file system itself does not
    /// say ([`FileSystem::visible`]); `caller` owns what is made.
    #[must_use]
    pub fn new(fs: Arc<dyn FileSystem>, root: Ino, dev: u64, caller: Caller) -> Self {
        Self { fs, root, dev, caller, known: None }
    }

    /// The same for a tree in which nobody else moves or removes directories, as a store's: what was found once is
    /// not looked for again.
    #[must_use]
    pub fn alone(mut self) -> Self {
        self.known = Some(Mutex::default());
        self
    }

    fn known(&self) -> Option<MutexGuard<'_, Known>> {
        self.known.as_ref().map(|known| known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Does what moves or removes a directory.
    fn moving<R>(&self, change: impl FnOnce() -> R) -> R {
        let done = change();
        if let Some(mut known) = self.known() {
            known.moves = known.moves.wrapping_add(1);
            known.directories.clear();
        }
        done
    }

    /// The inode of a directory.
    fn directory(&self, path: &[u8]) -> Result<Ino> {
        let mut moves = 0;
        if let Some(known) = self.known() {
            if let Some(&ino) = known.directories.get(path) {
                return Ok(ino);
            }
            moves = known.moves;
        }
        let attr = self.find(path)?;
        if attr.kind != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        if let Some(mut known) = self.known()
            && known.moves == moves
        {
            if known.directories.len() >= KNOWN_MAX {
                known.directories.clear();
            }
            known.directories.insert(path.to_vec(), attr.ino);
        }
        Ok(attr.ino)
    }

    /// The inode at `path`.
    fn find(&self, path: &[u8]) -> Result<Attr> {
        if self.known.is_some()
            && let Some((parent, name)) = split(path)
        {
            return self.fs.lookup(self.directory(parent)?, Name::new(name)?);
        }
        let mut attr = self.fs.getattr(self.root)?;
        for component in components(path) {
            if attr.kind != FileKind::Directory {
                return Err(Errno::ENOTDIR);
            }
            attr = self.fs.lookup(attr.ino, Name::new(component)?)?;
        }
        Ok(attr)
    }

    /// The inode of the directory that `path` is in, and its last name.
    fn parent<'p>(&self, path: &'p [u8]) -> Result<(Ino, Name<'p>)> {
        let (parent, name) = split(path).ok_or(Errno::EBUSY)?;
        Ok((self.directory(parent)?, Name::new(name)?))
    }

    fn stat_of(&self, attr: &Attr) -> Stat {
        let (dev, ino) = self.fs.visible(attr.ino).unwrap_or((self.dev, attr.ino.0));
        Stat { ino, ..Stat::of(attr, dev) }
    }

    fn file(&self, attr: &Attr, opened: Opened) -> OpenFile {
        match opened {
            Opened::Host(fd) => OpenFile::Host(fd),
            Opened::Handle(handle) => OpenFile::Tree(TreeFile::new(
                Arc::clone(&self.fs),
                attr.ino,
                self.dev,
                Some(handle),
            )),
        }
    }

    fn open_existing(&self, attr: &Attr, flags: OFlags) -> Result<OpenFile> {
        if flags.contains(OFlags::DIRECTORY) && attr.kind != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        if attr.kind == FileKind::Symlink && !flags.contains(OFlags::PATH) {
            return Err(Errno::ELOOP);
        }
        let bits = i32::try_from(flags.bits()).unwrap_or_default();
        if let Some(fd) = self.fs.open_host(self.caller, attr.ino, bits) {
            return fd.map(OpenFile::Host);
        }
        let is_bare = flags.contains(OFlags::PATH) || attr.kind == FileKind::Directory;
        if is_bare {
            let file = TreeFile::new(Arc::clone(&self.fs), attr.ino, self.dev, None);
            return Ok(OpenFile::Tree(file));
        }
        if attr.kind != FileKind::Regular {
            return Err(Errno::ENXIO);
        }
        Ok(self.file(attr, self.fs.open(self.caller, attr.ino, driver_flags(flags))?))
    }

    fn change(&self, path: &[u8], change: &SetAttr) -> Result<()> {
        let attr = self.find(path)?;
        self.fs.setattr(self.caller, attr.ino, change).map(drop)
    }
}

fn driver_flags(flags: OFlags) -> OpenFlags {
    let access = flags & OFlags::RWMODE;
    let mut out = OpenFlags::empty();
    out.set(OpenFlags::READ, access != OFlags::WRONLY);
    out.set(OpenFlags::WRITE, access == OFlags::WRONLY || access == OFlags::RDWR);
    out.set(OpenFlags::TRUNCATE, flags.contains(OFlags::TRUNC));
    out.set(OpenFlags::EXCLUSIVE, flags.contains(OFlags::EXCL));
    out.set(OpenFlags::APPEND, flags.contains(OFlags::APPEND));
    out
}

fn permissions(mode: u32) -> u16 {
    u16::try_from(mode & 0o7777).unwrap_or_default()
}

impl Dir for TreeDir {
    fn open(&self, path: &[u8], flags: OFlags, mode: u32) -> Result<OpenFile> {
        if flags.contains(OFlags::TMPFILE) {
            let dir = self.find(path)?;
            let made =
                self.fs.tmpfile(self.caller, dir.ino, permissions(mode), driver_flags(flags))?;
            return Ok(self.file(&made.0, made.1));
        }
        if !flags.contains(OFlags::CREATE) {
            return self.open_existing(&self.find(path)?, flags);
        }
        let (parent, name) = self.parent(path)?;
        match self.fs.lookup(parent, name) {
            Ok(_) if flags.contains(OFlags::EXCL) => Err(Errno::EEXIST),
            Ok(attr) if attr.kind == FileKind::Directory => Err(Errno::EISDIR),
            Ok(attr) => self.open_existing(&attr, flags.difference(OFlags::CREATE)),
            Err(Errno::ENOENT) => {
                let (perm, flags) = (permissions(mode), driver_flags(flags));
                let (attr, opened) = self.fs.create(self.caller, parent, name, perm, flags)?;
                Ok(self.file(&attr, opened))
            }
            Err(e) => Err(e),
        }
    }

    fn stat(&self, path: &[u8]) -> Result<Stat> {
        Ok(self.stat_of(&self.find(path)?))
    }

    fn list(&self, path: &[u8]) -> Result<Vec<DirEntry>> {
        let attr = self.find(path)?;
        if attr.kind != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        let Opened::Handle(handle) = self.fs.open(self.caller, attr.ino, OpenFlags::READ)? else {
            return Err(Errno::EIO);
        };
        let mut entries = Vec::new();
        let mut cookie = Cookie(0);
        let answer = loop {
            let before = cookie;
            let answer = self.fs.readdir(handle, cookie, &mut |entry| {
                entries.push(DirEntry {
                    name: entry.name.to_vec(),
                    kind: entry.kind,
                    ino: entry.ino.0,
                });
                cookie = entry.next;
                true
            });
            if answer.is_err() || before == cookie {
                break answer;
            }
        };
        self.fs.release(handle);
        answer.map(|()| entries)
    }

    fn scan(&self, path: &[u8], wanted: &[&[u8]]) -> Result<Vec<Scanned>> {
        let parent = self.find(path)?.ino;
        let mut found = Vec::new();
        for entry in self.list(path)? {
            let attr = self.fs.lookup(parent, Name::new(&entry.name)?)?;
            let mut xattrs = Vec::new();
            if matches!(attr.kind, FileKind::Regular | FileKind::Directory) {
                for name in self.fs.listxattr(attr.ino).unwrap_or_default() {
                    if wanted.contains(&name.as_slice())
                        && let Ok(value) = self.fs.getxattr(attr.ino, &name)
                    {
                        xattrs.push((name, value));
                    }
                }
            }
            found.push(Scanned { name: entry.name, stat: self.stat_of(&attr), xattrs });
        }
        Ok(found)
    }

    fn readlink(&self, path: &[u8]) -> Result<Vec<u8>> {
        self.fs.readlink(self.find(path)?.ino)
    }

    fn xattr(&self, path: &[u8], name: &[u8]) -> Result<Option<Vec<u8>>> {
        match self.fs.getxattr(self.find(path)?.ino, name) {
            Ok(value) => Ok(Some(value)),
            Err(Errno::ENODATA | Errno::EOPNOTSUPP | Errno::EPERM) => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn xattr_names(&self, path: &[u8]) -> Result<Vec<Vec<u8>>> {
        match self.fs.listxattr(self.find(path)?.ino) {
            Err(Errno::EOPNOTSUPP) => Ok(Vec::new()),
            other => other,
        }
    }

    fn set_xattr(&self, path: &[u8], name: &[u8], value: &[u8], flags: XattrFlags) -> Result<()> {
        self.fs.setxattr(self.find(path)?.ino, name, value, flags)
    }

    fn remove_xattr(&self, path: &[u8], name: &[u8]) -> Result<()> {
        self.fs.removexattr(self.find(path)?.ino, name)
    }

    fn mkdir(&self, path: &[u8], mode: u32) -> Result<()> {
        // A name that is there is told from a parent that is not.
        let (parent, name) = self.parent(path)?;
        self.fs.mkdir(self.caller, parent, name, permissions(mode)).map(drop)
    }

    fn mknod(&self, path: &[u8], kind: FileKind, mode: u32) -> Result<()> {
        let (parent, name) = self.parent(path)?;
        let none = DevNum::default();
        self.fs.mknod(self.caller, parent, name, kind, permissions(mode), none).map(drop)
    }

    fn symlink(&self, target: &[u8], path: &[u8]) -> Result<()> {
        let (parent, name) = self.parent(path)?;
        self.fs.symlink(self.caller, parent, name, target).map(drop)
    }

    fn link(&self, from: &[u8], to: &[u8]) -> Result<()> {
        let file = self.find(from)?;
        let (parent, name) = self.parent(to)?;
        self.fs.link(self.caller, file.ino, parent, name).map(drop)
    }

    fn link_file(&self, file: &OpenFile, to: &[u8]) -> Result<()> {
        let (parent, name) = self.parent(to)?;
        match file {
            OpenFile::Tree(file) if Arc::ptr_eq(file.file_system(), &self.fs) => {
                self.fs.link(self.caller, file.ino(), parent, name).map(drop)
            }
            OpenFile::Tree(_) => Err(Errno::EXDEV),
            OpenFile::Host(fd) => self.fs.link_host(fd, parent, name),
        }
    }

    fn rename(&self, from: &[u8], to: &[u8], how: Move) -> Result<()> {
        let flags = match how {
            Move::Replace => RenameFlags::empty(),
            Move::NoReplace => RenameFlags::NOREPLACE,
            Move::Exchange => RenameFlags::EXCHANGE,
            Move::Whiteout => RenameFlags::WHITEOUT,
        };
        let ((from_dir, from), (to_dir, to)) = (self.parent(from)?, self.parent(to)?);
        self.moving(|| self.fs.rename(self.caller, from_dir, from, to_dir, to, flags))
    }

    fn unlink(&self, path: &[u8]) -> Result<()> {
        let (parent, name) = self.parent(path)?;
        self.fs.unlink(self.caller, parent, name)
    }

    fn rmdir(&self, path: &[u8]) -> Result<()> {
        let (parent, name) = self.parent(path)?;
        self.moving(|| self.fs.rmdir(self.caller, parent, name))
    }

    fn chmod(&self, path: &[u8], mode: u32) -> Result<()> {
        self.change(path, &SetAttr { perm: Some(permissions(mode)), ..SetAttr::default() })
    }

    fn chown(&self, path: &[u8], uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        self.change(path, &SetAttr { uid, gid, ..SetAttr::default() })
    }

    fn set_times(
        &self,
        path: &[u8],
        atime: Option<Timestamp>,
        mtime: Option<Timestamp>,
    ) -> Result<()> {
        let (atime, mtime) = (atime.map(SetTime::At), mtime.map(SetTime::At));
        self.change(path, &SetAttr { atime, mtime, ..SetAttr::default() })
    }

    fn copy_data(&self, from: &OpenFile, to: &OpenFile, sync: bool) -> Result<()> {
        super::copy::copy(from, to)?;
        if sync { to.sync(false) } else { Ok(()) }
    }

    fn append(&self, to: &OpenFile, bytes: &[u8]) -> Result<()> {
        to.write_all_at(bytes, to.stat()?.size_bytes)
    }

    fn truncate(&self, path: &[u8], size_bytes: u64) -> Result<()> {
        self.change(path, &SetAttr { size_bytes: Some(size_bytes), ..SetAttr::default() })
    }

    fn host_path(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.fs.host_path(self.find(path).ok()?.ino)
    }
}
