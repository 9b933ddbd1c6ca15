//! viewfs in the words of a file system: an [`Overlay`] answers by path, the name walk asks by inode.
//!
//! Files of the host are handed out as they are, so nothing of their data passes here; those of a driver are
//! served through handles. What a person sees as inode and device numbers are the overlay's own
//! ([`FileSystem::visible`]), which for untouched files are the lower tree's.

mod files;
mod ground;
mod numbers;

pub(crate) use ground::{Ground, Grounds};

use abi::dev::DevNum;
use abi::fs::{
    Attr, Caller, Cookie, DirSink, FallocateMode, FileKind, FileSystem, Handle, Ino, Name,
    OpenFlags, Opened, RenameFlags, SeekTo, SetAttr, StatFs, XattrFlags,
};
use abi::{Errno, Result};
use cow_store::dir::OpenFile;
use files::{Open, flags_of};
use numbers::{Numbers, ROOT};
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use viewfs::{OFlags, Overlay, Resolved, Stat};

/// The tree of one viewfs mount.
pub(crate) struct OverlayFs {
    overlay: Overlay,
    grounds: Grounds,
    table: Mutex<Table>,
    met: Mutex<Met>,
}

/// By device and inode number on the host: where files of the view are that were opened or found by a descriptor.
/// Nothing but a hint: who asks looks whether it is still so.
type Met = HashMap<(u64, u64), Vec<u8>>;

/// The most of them.
const MET_MAX: usize = 1024;

struct Table {
    numbers: Numbers,
    open: HashMap<u64, Open>,
}

impl OverlayFs {
    pub(crate) fn new(overlay: Overlay, grounds: Grounds) -> Self {
        let table = Table { numbers: Numbers::new(), open: HashMap::new() };
        Self { overlay, grounds, table: Mutex::new(table), met: Mutex::default() }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The path of an inode below the mount.
    pub(crate) fn path_of(&self, ino: Ino) -> Option<Vec<u8>> {
        self.table().numbers.path(ino.0).map(<[u8]>::to_vec)
    }

    fn path(&self, ino: Ino) -> Result<Vec<u8>> {
        self.path_of(ino).ok_or(Errno::ESTALE)
    }

    fn child(&self, parent: Ino, name: Name<'_>) -> Result<Vec<u8>> {
        Ok(join(&self.path(parent)?, name.as_bytes()))
    }

    /// The attributes of a path below the mount: one question, however deep it is.
    pub(crate) fn attr(&self, path: &[u8]) -> Result<Attr> {
        let stat = self.overlay.stat(path)?;
        Ok(self.numbered(path, &stat))
    }

    fn numbered(&self, path: &[u8], stat: &Stat) -> Attr {
        let mut attr = stat.to_attr();
        let has_others = stat.nlink > 1 && !stat.is_directory();
        attr.ino = Ino(self.table().numbers.number(path, (stat.dev, stat.ino), has_others));
        attr
    }

    /// The attributes of a canonical path below the mount.
    ///
    /// # Errors
    /// - `ENOENT`, `ENOTDIR` if it does not exist.
    pub(crate) fn attr_at(&self, path: &[u8]) -> Result<Attr> {
        self.attr(path)
    }

    /// Whether the store has a directory at this path, so that nothing on the way to it is a link.
    pub(crate) fn is_own_directory(&self, path: &[u8]) -> bool {
        match self.overlay.resolve(path) {
            Ok(Resolved::Merged) => self.overlay.store().is_some(),
            Ok(Resolved::Upper(entry)) => entry.is_directory(),
            _ => false,
        }
    }

    /// Whether the kernel finds the same as the view under this path, so that it may have calls that only look.
    pub(crate) fn is_lower(&self, path: &[u8]) -> bool {
        !self.overlay.options().wok
            && self.is_in_lower(path)
            && self.grounds.lower_is_the_hosts(path)
    }

    /// Whether the kernel may look at all names in the directory at `path` but those that the store's watcher heard of.
    pub(crate) fn leaves_names(&self, path: &[u8]) -> bool {
        let shows_lower =
            || matches!(self.overlay.resolve(path), Ok(Resolved::Lower | Resolved::Merged));
        !self.overlay.options().wok
            && self.overlay.store().is_some_and(|store| !store.has_groups())
            && shows_lower()
            && self.grounds.lower_is_the_hosts(path)
    }

    /// The device on which the files of the store lie, if the host has it.
    pub(crate) fn store_device(&self) -> Option<u64> {
        let path = self.grounds.source.host().filter(|_| self.overlay.store().is_some())?;
        crate::hostview::stat(path, false).ok().map(|s| s.st_dev)
    }

    /// Sets who hears of the names that the store gets.
    pub(crate) fn watch(&self, watcher: Arc<dyn cow_store::Watcher>) {
        if let Some(store) = self.overlay.store() {
            store.watch(watcher);
        }
    }

    /// Whether [`is_lower`](Self::is_lower) holds for every path but the root's.
    pub(crate) fn leaves_all_names(&self) -> bool {
        !self.overlay.options().wok
            && self.overlay.store().is_some_and(|store| store.is_blank())
            && self.grounds.is_all_the_hosts()
    }

    /// Whether the data of a file is in the tree below.
    fn is_in_lower(&self, path: &[u8]) -> bool {
        matches!(self.overlay.resolve(path), Ok(Resolved::Lower))
    }

    /// Attributes in the view of an open file of the store; `None` if it is not the store's.
    pub(crate) fn stat_of_descriptor(&self, own: &OpenFile, link: &[u8]) -> Option<Stat> {
        crate::path::below(link, self.grounds.source.host()?)?;
        self.overlay.stat_fd(own).ok()
    }

    /// Links an open file without a name that is the store's; false if it is not.
    pub(crate) fn link_nameless(
        &self,
        own: &OwnedFd,
        link: &[u8],
        parent: Ino,
        name: Name<'_>,
    ) -> Result<bool> {
        if !self.grounds.source.holds_nameless(link) {
            return Ok(false);
        }
        self.link_host(own, parent, name)?;
        Ok(true)
    }

    /// The path below the mount of a host's file, by its name in the store or in the tree below.
    pub(crate) fn path_of_host(&self, link: &[u8]) -> Option<Vec<u8>> {
        if let Some(path) = self.grounds.source.path_of_host(link) {
            return Some(path);
        }
        let below = self.grounds.path_in_lower(link)?;
        self.table().numbers.now_at(&below)
    }

    /// Whether access(2) shows a file as writable.
    ///
    /// # Errors
    /// - `EROFS` if it comes from the source of a merge.
    pub(crate) fn may_change(&self, ino: Ino) -> Result<()> {
        self.overlay.may_change(&self.path(ino)?)
    }

    /// The path below the mount of a file of the tree below, by its name on the host: where the view has it.
    pub(crate) fn lower_now_at(&self, link: &[u8]) -> Option<Vec<u8>> {
        let below = self.grounds.path_in_lower(link)?;
        self.table().numbers.now_at(&below)
    }

    /// The same, if a directory on the way was moved in the view alone.
    pub(crate) fn moved_to(&self, link: &[u8]) -> Option<Vec<u8>> {
        if !self.table().numbers.has_moved() {
            return None;
        }
        let below = self.grounds.path_in_lower(link)?;
        self.table().numbers.now_at(&below).filter(|now| *now != below)
    }

    /// The path below the mount of a file of the source, or of one that was moved, by its name on the host.
    pub(crate) fn path_in_view(&self, link: &[u8]) -> Option<Vec<u8>> {
        self.grounds.source.path_of_host(link).or_else(|| self.moved_to(link))
    }

    /// Whether the store of this mount is the directory `root` of `fs`.
    pub(crate) fn has_store(&self, fs: &Arc<dyn FileSystem>, root: Ino) -> bool {
        self.overlay.store().is_some()
            && self.grounds.source.is_in(fs)
            && self.grounds.source_root == root
    }

    /// Changes attributes, as [`FileSystem::setattr`] without a look at what has become of them; `file` is open of the
    /// inode.
    ///
    /// # Errors
    /// Those of setattr.
    pub(crate) fn change(
        &self,
        ino: Ino,
        changes: &SetAttr,
        file: Option<&OpenFile>,
    ) -> Result<()> {
        match self.path_of(ino) {
            Some(path) => self.overlay.change(&path, changes, file),
            None => self.change_nameless(ino, changes).map(drop),
        }
    }

    /// The inode of an open file of the host that was met before, by what fstat(2) says of it; `None` if it has to be
    /// found by its name.
    pub(crate) fn of_descriptor(&self, fstat: &Stat) -> Option<(Vec<u8>, Stat, Attr)> {
        let path = self.met().get(&(fstat.dev, fstat.ino))?.clone();
        let stat = self.overlay.stat_open(&path, fstat)?;
        let attr = self.numbered(&path, &stat);
        Some((path, stat, attr))
    }

    /// Notes that the open file of the host with these attributes is the one at `path`, as far as anybody knows.
    pub(crate) fn meet(&self, fstat: &Stat, path: &[u8]) {
        let mut met = self.met();
        if met.len() >= MET_MAX {
            met.clear();
        }
        met.insert((fstat.dev, fstat.ino), path.to_vec());
    }

    fn met(&self) -> MutexGuard<'_, Met> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is open of the file at `path`, of which the last name is about to go.
    fn kept(&self, path: &[u8]) -> Option<Arc<OpenFile>> {
        let table = self.table();
        let ino = table.numbers.open_at(path)?;
        table.open.values().find_map(|open| open.file_of(ino))
    }
}

fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    if dir.is_empty() { name.to_vec() } else { [dir, b"/", name].concat() }
}

impl FileSystem for OverlayFs {
    fn root(&self) -> Ino {
        Ino(ROOT)
    }

    fn is_read_only(&self) -> bool {
        self.overlay.store().is_some_and(|s| s.is_read_only())
    }

    fn statfs(&self) -> Result<StatFs> {
        self.grounds.statfs()
    }

    fn sync(&self) -> Result<()> {
        self.grounds.source.sync()
    }

    fn visible(&self, ino: Ino) -> Option<(u64, u64)> {
        if let Some(known) = self.table().numbers.visible(ino.0) {
            return Some(known);
        }
        let stat = self.overlay.stat(&self.path(ino).ok()?).ok()?;
        Some((stat.dev, stat.ino))
    }

    fn host_path(&self, ino: Ino) -> Option<Vec<u8>> {
        self.overlay.host_path(&self.path(ino).ok()?)
    }

    fn open_host(&self, caller: Caller, ino: Ino, flags: i32) -> Option<Result<OwnedFd>> {
        let open = || {
            let path = self.path(ino)?;
            let flags = OFlags::from_bits_retain(flags as u32) | OFlags::CLOEXEC;
            self.overlay.open(&path, flags, 0, caller)
        };
        match open() {
            Ok(OpenFile::Host(fd)) => Some(Ok(fd)),
            Ok(OpenFile::Tree(_)) => None,
            Err(e) => Some(Err(e)),
        }
    }

    fn lookup(&self, parent: Ino, name: Name<'_>) -> Result<Attr> {
        self.attr(&self.child(parent, name)?)
    }

    fn getattr(&self, ino: Ino) -> Result<Attr> {
        match self.path_of(ino) {
            Some(path) => self.attr(&path),
            None => self.attr_of_nameless(ino),
        }
    }

    fn readlink(&self, ino: Ino) -> Result<Vec<u8>> {
        self.overlay.readlink(&self.path(ino)?)
    }

    fn open(&self, caller: Caller, ino: Ino, flags: OpenFlags) -> Result<Opened> {
        let path = self.path(ino)?;
        if self.overlay.stat(&path)?.kind() == FileKind::Directory {
            let listing = Arc::new(self.overlay.readdir(&path)?);
            return Ok(Opened::Handle(self.keep(Open::Listing(listing))));
        }
        let file = self.overlay.open(&path, flags_of(flags), 0, caller)?;
        Ok(self.opened(ino, &path, file))
    }

    fn release(&self, handle: Handle) {
        self.close(handle);
    }

    fn read(&self, handle: Handle, buf: &mut [u8], offset: u64) -> Result<usize> {
        self.current(handle)?.read_at(buf, offset)
    }

    fn lseek(&self, handle: Handle, offset: u64, to: SeekTo) -> Result<u64> {
        let file = self.current(handle)?;
        let (fs, handle) = files::of_driver(&file)?;
        fs.lseek(handle, offset, to)
    }

    fn readdir(&self, handle: Handle, cookie: Cookie, sink: &mut DirSink<'_>) -> Result<()> {
        self.list(handle, cookie, sink)
    }

    fn setattr(&self, _: Caller, ino: Ino, changes: &SetAttr) -> Result<Attr> {
        self.change(ino, changes, None)?;
        self.getattr(ino)
    }

    fn create(
        &self,
        caller: Caller,
        parent: Ino,
        name: Name<'_>,
        perm: u16,
        flags: OpenFlags,
    ) -> Result<(Attr, Opened)> {
        let path = self.child(parent, name)?;
        let flags = flags_of(flags) | OFlags::CREATE;
        let (file, seen) = self.overlay.open_seen(&path, flags, u32::from(perm), caller)?;
        let attr = match seen {
            Some(stat) => {
                // Nothing new has an origin: what is seen of it is its own number.
                self.meet(&stat, &path);
                self.numbered(&path, &stat)
            }
            None => self.attr(&path)?,
        };
        Ok((attr.clone(), self.opened(attr.ino, &path, file)))
    }

    fn tmpfile(
        &self,
        caller: Caller,
        parent: Ino,
        perm: u16,
        flags: OpenFlags,
    ) -> Result<(Attr, Opened)> {
        let path = self.path(parent)?;
        let flags = flags_of(flags) | OFlags::TMPFILE;
        match self.overlay.open(&path, flags, u32::from(perm), caller)? {
            OpenFile::Host(fd) => Ok((self.attr(&path)?, Opened::Host(fd))),
            // A driver's file without a name has no path that could be asked for.
            OpenFile::Tree(_) => Err(Errno::EOPNOTSUPP),
        }
    }

    fn mknod(
        &self,
        caller: Caller,
        parent: Ino,
        name: Name<'_>,
        kind: FileKind,
        perm: u16,
        rdev: DevNum,
    ) -> Result<Attr> {
        let path = self.child(parent, name)?;
        self.overlay.mknod(&path, kind, rdev, u32::from(perm), caller)?;
        self.attr(&path)
    }

    fn mkdir(&self, caller: Caller, parent: Ino, name: Name<'_>, perm: u16) -> Result<Attr> {
        let path = self.child(parent, name)?;
        self.overlay.mkdir(&path, u32::from(perm), caller)?;
        self.attr(&path)
    }

    fn symlink(&self, caller: Caller, parent: Ino, name: Name<'_>, target: &[u8]) -> Result<Attr> {
        let path = self.child(parent, name)?;
        self.overlay.symlink(&path, target, caller)?;
        self.attr(&path)
    }

    fn link(&self, _: Caller, ino: Ino, parent: Ino, name: Name<'_>) -> Result<Attr> {
        let path = self.child(parent, name)?;
        let old = self.path(ino)?;
        self.overlay.link(&old, &path)?;
        self.table().numbers.add_name(ino.0, &path);
        self.attr(&path)
    }

    fn link_host(&self, file: &OwnedFd, parent: Ino, name: Name<'_>) -> Result<()> {
        let file = file.try_clone()?.into();
        self.overlay.link_tmpfile(&file, &self.child(parent, name)?)
    }

    fn unlink(&self, _: Caller, parent: Ino, name: Name<'_>) -> Result<()> {
        let path = self.child(parent, name)?;
        let kept = self.kept(&path);
        self.overlay.unlink(&path)?;
        self.table().numbers.removed(&path, kept);
        Ok(())
    }

    fn rmdir(&self, _: Caller, parent: Ino, name: Name<'_>) -> Result<()> {
        let path = self.child(parent, name)?;
        self.overlay.rmdir(&path)?;
        self.table().numbers.removed(&path, None);
        Ok(())
    }

    fn rename(
        &self,
        _: Caller,
        parent: Ino,
        name: Name<'_>,
        new_parent: Ino,
        new_name: Name<'_>,
        flags: RenameFlags,
    ) -> Result<()> {
        let (from, to) = (self.child(parent, name)?, self.child(new_parent, new_name)?);
        let exchange = flags.contains(RenameFlags::EXCHANGE);
        let before = [self.host_directory(&from), self.host_directory(&to).filter(|_| exchange)];
        let kept = self.kept(&to);
        self.overlay.rename(&from, &to, flags)?;
        let mut table = self.table();
        table.numbers.renamed(&from, &to, exchange, kept);
        for (path, ino) in before.into_iter().flatten() {
            if self.overlay.lower_has_directory(&path) {
                table.numbers.moved_from(path, ino.0);
            }
        }
        Ok(())
    }

    fn write(&self, handle: Handle, buf: &[u8], offset: u64) -> Result<usize> {
        let file = self.current(handle)?;
        let (fs, handle) = files::of_driver(&file)?;
        fs.write(handle, buf, offset)
    }

    fn fsync(&self, handle: Handle, data_only: bool) -> Result<()> {
        self.current(handle)?.sync(data_only)
    }

    fn fallocate(
        &self,
        handle: Handle,
        mode: FallocateMode,
        offset: u64,
        length: u64,
    ) -> Result<()> {
        let file = self.current(handle)?;
        let (fs, handle) = files::of_driver(&file)?;
        fs.fallocate(handle, mode, offset, length)
    }

    fn getxattr(&self, ino: Ino, name: &[u8]) -> Result<Vec<u8>> {
        self.overlay.xattr(&self.path(ino)?, name)
    }

    fn listxattr(&self, ino: Ino) -> Result<Vec<Vec<u8>>> {
        self.overlay.xattr_names(&self.path(ino)?)
    }

    fn setxattr(&self, ino: Ino, name: &[u8], value: &[u8], flags: XattrFlags) -> Result<()> {
        self.overlay.set_xattr(&self.path(ino)?, name, value, flags)
    }

    fn removexattr(&self, ino: Ino, name: &[u8]) -> Result<()> {
        self.overlay.remove_xattr(&self.path(ino)?, name)
    }
}
