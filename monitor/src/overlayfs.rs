//! viewfs in the words of a file system: an [`Overlay`] answers by path, the name walk asks by inode.
//!
//! Files are handed out as descriptors of the host, so nothing of their data passes here. What a person sees as
//! inode and device numbers are the overlay's own ([`FileSystem::visible`]), which for untouched files are the host's.

use crate::hostview;
use crate::path::os;
use abi::dev::DevNum;
use abi::fs::{
    Attr, Caller, Cookie, DirEntry, DirSink, FileKind, FileSystem, Handle, Ino, Name, OpenFlags,
    Opened, RenameFlags, SetAttr, StatFs, XattrFlags,
};
use abi::{Errno, Result};
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use viewfs::{Listing, OFlags, Overlay, Resolved};

/// The tree of one viewfs mount.
pub(crate) struct OverlayFs {
    overlay: Overlay,
    /// Where the tree below lies on the host, and where the store.
    lower_path: Vec<u8>,
    store_path: Vec<u8>,
    table: Mutex<Table>,
}

/// Numbers for paths. They live as long as the mount: a number is a few dozen bytes.
struct Table {
    next: u64,
    by_path: HashMap<Vec<u8>, u64>,
    by_ino: HashMap<u64, Vec<u8>>,
    listings: HashMap<u64, Arc<Listing>>,
}

const ROOT: u64 = 1;

impl OverlayFs {
    pub(crate) fn new(overlay: Overlay, lower_path: Vec<u8>, store_path: Vec<u8>) -> Self {
        let table = Table {
            next: ROOT + 1,
            by_path: HashMap::from([(Vec::new(), ROOT)]),
            by_ino: HashMap::from([(ROOT, Vec::new())]),
            listings: HashMap::new(),
        };
        Self { overlay, lower_path, store_path, table: Mutex::new(table) }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, ino: Ino) -> Result<Vec<u8>> {
        self.table().by_ino.get(&ino.0).cloned().ok_or(Errno::ESTALE)
    }

    fn child(&self, parent: Ino, name: Name<'_>) -> Result<Vec<u8>> {
        Ok(join(&self.path(parent)?, name.as_bytes()))
    }

    fn number(&self, path: &[u8]) -> Ino {
        let mut table = self.table();
        if let Some(&known) = table.by_path.get(path) {
            return Ino(known);
        }
        let number = table.next;
        table.next += 1;
        table.by_path.insert(path.to_vec(), number);
        table.by_ino.insert(number, path.to_vec());
        Ino(number)
    }

    fn attr(&self, path: &[u8]) -> Result<Attr> {
        let mut attr = self.overlay.stat(path)?.to_attr();
        attr.ino = self.number(path);
        Ok(attr)
    }

    fn forget_path(&self, path: &[u8]) {
        let mut table = self.table();
        if let Some(number) = table.by_path.remove(path) {
            table.by_ino.remove(&number);
        }
    }

    /// Whether the kernel finds the same as the view under this path, so that it may have calls that only look.
    pub(crate) fn is_lower(&self, path: &[u8]) -> bool {
        matches!(self.overlay.resolve(path), Ok(Resolved::Lower))
    }

    /// Attributes in the view of an open file of the store; `None` if it is not the store's.
    pub(crate) fn stat_of_descriptor(&self, own: &OwnedFd, link: &[u8]) -> Option<viewfs::Stat> {
        crate::path::below(link, &self.store_path)?;
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
        if crate::path::below(link, &self.store_path).is_none() {
            return Ok(false);
        }
        self.overlay.link_tmpfile(own, &self.child(parent, name)?)?;
        Ok(true)
    }

    /// The path below the mount of a host's file, by its name in the store or in the tree below.
    pub(crate) fn path_of_host(&self, link: &[u8]) -> Option<Vec<u8>> {
        crate::path::below(link, &self.store_path)
            .or_else(|| crate::path::below(link, &self.lower_path))
            .map(<[u8]>::to_vec)
    }
}

fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    if dir.is_empty() { name.to_vec() } else { [dir, b"/", name].concat() }
}

fn flags_of(flags: OpenFlags) -> OFlags {
    let mut f = match (flags.contains(OpenFlags::READ), flags.contains(OpenFlags::WRITE)) {
        (true, true) => OFlags::RDWR,
        (false, true) => OFlags::WRONLY,
        _ => OFlags::RDONLY,
    };
    f.set(OFlags::TRUNC, flags.contains(OpenFlags::TRUNCATE));
    f.set(OFlags::EXCL, flags.contains(OpenFlags::EXCLUSIVE));
    f.set(OFlags::APPEND, flags.contains(OpenFlags::APPEND));
    f.set(OFlags::SYNC, flags.contains(OpenFlags::SYNC));
    f | OFlags::CLOEXEC
}

impl FileSystem for OverlayFs {
    fn root(&self) -> Ino {
        Ino(ROOT)
    }

    fn is_read_only(&self) -> bool {
        self.overlay.store().is_some_and(|s| s.is_read_only())
    }

    fn statfs(&self) -> Result<StatFs> {
        let s = nix::sys::statfs::statfs(os(&self.lower_path)).map_err(hostview::errno)?;
        Ok(StatFs {
            magic: s.filesystem_type().0 as u64,
            block_size: u32::try_from(s.block_size()).unwrap_or(4096),
            blocks: s.blocks(),
            blocks_free: s.blocks_free(),
            blocks_available: s.blocks_available(),
            files: s.files(),
            files_free: s.files_free(),
            name_bytes_max: 255,
        })
    }

    fn visible(&self, ino: Ino) -> Option<(u64, u64)> {
        let stat = self.overlay.stat(&self.path(ino).ok()?).ok()?;
        Some((stat.dev, stat.ino))
    }

    fn host_path(&self, ino: Ino) -> Option<Vec<u8>> {
        let path = self.path(ino).ok()?;
        let base = match self.overlay.resolve(&path).ok()? {
            Resolved::Lower | Resolved::Shadow(_) => &self.lower_path,
            Resolved::Linked(group) => return Some(crate::path::append(&self.store_path, &group)),
            Resolved::Merged if path.is_empty() => &self.lower_path,
            _ => &self.store_path,
        };
        Some(crate::path::append(base, &path))
    }

    fn open_host(&self, caller: Caller, ino: Ino, flags: i32) -> Option<Result<OwnedFd>> {
        let open = || {
            let path = self.path(ino)?;
            let flags = OFlags::from_bits_retain(flags as u32) | OFlags::CLOEXEC;
            self.overlay.open(&path, flags, 0, caller)
        };
        Some(open())
    }

    fn lookup(&self, parent: Ino, name: Name<'_>) -> Result<Attr> {
        self.attr(&self.child(parent, name)?)
    }

    fn getattr(&self, ino: Ino) -> Result<Attr> {
        self.attr(&self.path(ino)?)
    }

    fn readlink(&self, ino: Ino) -> Result<Vec<u8>> {
        self.overlay.readlink(&self.path(ino)?)
    }

    fn open(&self, caller: Caller, ino: Ino, flags: OpenFlags) -> Result<Opened> {
        let path = self.path(ino)?;
        if self.overlay.stat(&path)?.kind() != FileKind::Directory {
            return self.overlay.open(&path, flags_of(flags), 0, caller).map(Opened::Host);
        }
        let listing = Arc::new(self.overlay.readdir(&path)?);
        let mut table = self.table();
        let number = table.next;
        table.next += 1;
        table.listings.insert(number, listing);
        Ok(Opened::Handle(Handle(number)))
    }

    fn release(&self, handle: Handle) {
        self.table().listings.remove(&handle.0);
    }

    fn read(&self, _: Handle, _: &mut [u8], _: u64) -> Result<usize> {
        Err(Errno::EISDIR)
    }

    fn readdir(&self, handle: Handle, cookie: Cookie, sink: &mut DirSink<'_>) -> Result<()> {
        let listing = self.table().listings.get(&handle.0).cloned().ok_or(Errno::EBADF)?;
        for (entry, next) in listing.after(cookie) {
            let offered =
                DirEntry { ino: Ino(entry.ino), kind: entry.kind, name: &entry.name, next };
            if !sink(offered) {
                break;
            }
        }
        Ok(())
    }

    fn setattr(&self, _: Caller, ino: Ino, changes: &SetAttr) -> Result<Attr> {
        let path = self.path(ino)?;
        if let Some(size) = changes.size_bytes {
            self.overlay.truncate(&path, size)?;
        }
        if changes.uid.is_some() || changes.gid.is_some() {
            self.overlay.chown(&path, changes.uid, changes.gid)?;
        }
        if let Some(perm) = changes.perm {
            self.overlay.chmod(&path, u32::from(perm))?;
        }
        if changes.atime.is_some() || changes.mtime.is_some() {
            self.overlay.set_times(&path, changes.atime, changes.mtime)?;
        }
        self.attr(&path)
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
        let fd =
            self.overlay.open(&path, flags_of(flags) | OFlags::CREATE, u32::from(perm), caller)?;
        Ok((self.attr(&path)?, Opened::Host(fd)))
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
        let fd = self.overlay.open(&path, flags, u32::from(perm), caller)?;
        Ok((self.attr(&path)?, Opened::Host(fd)))
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
        self.overlay.link(&self.path(ino)?, &path)?;
        self.attr(&path)
    }

    fn unlink(&self, _: Caller, parent: Ino, name: Name<'_>) -> Result<()> {
        let path = self.child(parent, name)?;
        self.overlay.unlink(&path)?;
        self.forget_path(&path);
        Ok(())
    }

    fn rmdir(&self, _: Caller, parent: Ino, name: Name<'_>) -> Result<()> {
        let path = self.child(parent, name)?;
        self.overlay.rmdir(&path)?;
        self.forget_path(&path);
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
        self.overlay.rename(&from, &to, flags)?;
        self.table().moved(&from, &to, flags.contains(RenameFlags::EXCHANGE));
        Ok(())
    }

    fn write(&self, _: Handle, _: &[u8], _: u64) -> Result<usize> {
        Err(Errno::EBADF)
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

impl Table {
    /// Paths at and below `from` are at and below `to`; with `exchange` the other way too.
    fn moved(&mut self, from: &[u8], to: &[u8], exchange: bool) {
        let under = |path: &[u8], top: &[u8]| -> Option<Vec<u8>> {
            let rest = path.strip_prefix(top)?;
            (rest.is_empty() || rest.first() == Some(&b'/')).then(|| rest.to_vec())
        };
        let mut moves = Vec::new();
        for (path, number) in &self.by_path {
            if let Some(rest) = under(path, from) {
                moves.push((*number, path.clone(), Some([to, &rest].concat())));
            } else if let Some(rest) = under(path, to) {
                let back = exchange.then(|| [from, &rest].concat());
                moves.push((*number, path.clone(), back));
            }
        }
        for (number, old, _) in &moves {
            self.by_path.remove(old);
            self.by_ino.remove(number);
        }
        for (number, _, new) in moves {
            if let Some(new) = new {
                self.by_path.insert(new.clone(), number);
                self.by_ino.insert(number, new);
            }
        }
    }
}
