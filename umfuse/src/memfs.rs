//! `umfusemem`: a file system in memory, complete and without a device.
//!
//! The model for new drivers: it has every operation of the contract, in the contract's order of errors. It is also
//! what tests of the layers above mount. Options: `size=` limits the bytes of data (1 GiB unless said), `inodes=` the
//! number of files (a quarter of the 4 KiB chunks of `size=`, at least 1,024), `mode=` is the permission of the root
//! (1777); `noatime`.
//!
//! A file lives while it has a name or is open; lookups are not counted. One lock covers everything: it is held
//! for copies between memory and never while a caller's code runs.

mod data;
mod directory;
mod inode;
mod tree;

use abi::dev::DevNum;
use abi::fs::{
    Attr, Caller, Cookie, DirEntry, DirSink, FallocateMode, FileKind, FileSystem, FileSystemType,
    FsSource, Handle, Ino, Name, OpenFlags, Opened, RenameFlags, SeekTo, SetAttr, StatFs,
    XattrFlags,
};
use abi::module::MountError;
use abi::options::Options;
use abi::{Errno, Result};
use data::CHUNK_BYTES;
use inode::Body;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tree::{Limits, Tree};

/// `TMPFS_MAGIC` of linux/magic.h.
const TMPFS_MAGIC: u64 = 0x0102_1994;
/// The limit of data without `size=`.
const DEFAULT_SIZE_BYTES: u64 = 1 << 30;
/// The longest target of a symbolic link, `PATH_MAX` without its NUL.
const TARGET_BYTES_MAX: usize = 4095;
/// Entries that readdir copies at once.
const READDIR_BATCH: usize = 128;

/// The type `umfusemem`.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemFsType;

impl FileSystemType for MemFsType {
    fn name(&self) -> &'static str {
        "umfusemem"
    }

    fn needs_device(&self) -> bool {
        false
    }

    fn mount(
        &self,
        _source: FsSource,
        read_only: bool,
        options: &mut Options,
    ) -> core::result::Result<Arc<dyn FileSystem>, MountError> {
        let size_bytes = options.take_size("size")?.unwrap_or(DEFAULT_SIZE_BYTES);
        let chunks = size_bytes.div_ceil(CHUNK_BYTES);
        let inodes = options.take_number("inodes")?.unwrap_or((chunks / 4).max(1024));
        let perm = match options.take_value("mode") {
            None => 0o1777,
            Some(text) => match u16::from_str_radix(&text, 8) {
                Ok(bits) if bits <= 0o7777 => bits,
                _ => {
                    let message = format!("option mode={text}: must be octal permission bits");
                    return Err(MountError::new(Errno::EINVAL, message));
                }
            },
        };
        let limits = Limits { chunks, inodes, no_atime: options.take_flag("noatime") };
        Ok(Arc::new(MemFs::with_limits(limits, perm, read_only)))
    }
}

/// Position, name, inode and type of an entry.
type Listed = (u64, Vec<u8>, Ino, FileKind);

/// A file system in memory.
pub struct MemFs {
    tree: Mutex<Tree>,
    limits: Limits,
    read_only: bool,
}

impl Default for MemFs {
    fn default() -> Self {
        Self::new(DEFAULT_SIZE_BYTES)
    }
}

impl MemFs {
    /// An empty file system for `size_bytes` of data, with a root of mode 1777 that belongs to user 0.
    #[must_use]
    pub fn new(size_bytes: u64) -> Self {
        let chunks = size_bytes.div_ceil(CHUNK_BYTES);
        let limits = Limits { chunks, inodes: (chunks / 4).max(1024), no_atime: false };
        Self::with_limits(limits, 0o1777, false)
    }

    fn with_limits(limits: Limits, root_perm: u16, read_only: bool) -> Self {
        Self { tree: Mutex::new(Tree::new(root_perm, limits)), limits, read_only }
    }

    fn lock(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tree, for a change.
    fn change(&self) -> Result<MutexGuard<'_, Tree>> {
        if self.read_only { Err(Errno::EROFS) } else { Ok(self.lock()) }
    }

    /// The entries after `cookie`, not more than a batch.
    fn batch(&self, handle: Handle, cookie: Cookie) -> Result<Vec<Listed>> {
        let tree = self.lock();
        let ino = tree.opened(handle)?.ino;
        let Body::Directory(directory) = &tree.inode(ino)?.body else {
            return Err(Errno::ENOTDIR);
        };
        let after = directory.after(cookie.0).take(READDIR_BATCH);
        after
            .map(|(position, name, ino)| {
                Ok((position, name.to_vec(), ino, tree.inode(ino)?.kind()))
            })
            .collect()
    }
}

impl FileSystem for MemFs {
    fn root(&self) -> Ino {
        tree::ROOT
    }

    fn statfs(&self) -> Result<StatFs> {
        let tree = self.lock();
        let free = self.limits.chunks.saturating_sub(tree.used_chunks());
        Ok(StatFs {
            magic: TMPFS_MAGIC,
            block_size: u32::try_from(CHUNK_BYTES).unwrap_or(4096),
            blocks: self.limits.chunks,
            blocks_free: free,
            blocks_available: free,
            files: self.limits.inodes,
            files_free: self.limits.inodes.saturating_sub(tree.used_inodes()),
            name_bytes_max: 255,
        })
    }

    fn is_read_only(&self) -> bool {
        self.read_only
    }

    fn lookup(&self, parent: Ino, name: Name<'_>) -> Result<Attr> {
        let tree = self.lock();
        let ino = tree.directory(parent)?.find(name).ok_or(Errno::ENOENT)?;
        tree.attr(ino)
    }

    fn getattr(&self, ino: Ino) -> Result<Attr> {
        self.lock().attr(ino)
    }

    fn readlink(&self, ino: Ino) -> Result<Vec<u8>> {
        match &self.lock().inode(ino)?.body {
            Body::Link(target) => Ok(target.clone()),
            _ => Err(Errno::EINVAL),
        }
    }

    fn open(&self, _caller: Caller, ino: Ino, flags: OpenFlags) -> Result<Opened> {
        let mut tree = self.lock();
        let kind = tree.inode(ino)?.kind();
        let writes = flags.intersects(OpenFlags::WRITE | OpenFlags::TRUNCATE);
        match kind {
            _ if writes && self.read_only => return Err(Errno::EROFS),
            FileKind::Directory if writes => return Err(Errno::EISDIR),
            FileKind::Directory | FileKind::Regular => {}
            _ => return Err(Errno::ENXIO),
        }
        if flags.contains(OpenFlags::TRUNCATE) {
            tree.resize(ino, 0)?;
        }
        tree.open(ino, flags).map(Opened::Handle)
    }

    fn release(&self, handle: Handle) {
        self.lock().release(handle);
    }

    fn read(&self, handle: Handle, buf: &mut [u8], offset: u64) -> Result<usize> {
        let mut tree = self.lock();
        let open = tree.opened(handle)?;
        if tree.inode(open.ino)?.kind() == FileKind::Directory {
            return Err(Errno::EISDIR);
        }
        if !open.flags.contains(OpenFlags::READ) {
            return Err(Errno::EBADF);
        }
        let done = tree.file(open.ino)?.read(buf, offset);
        if done > 0 && !self.limits.no_atime && !self.read_only {
            tree.inode_mut(open.ino)?.touch_atime();
        }
        Ok(done)
    }

    fn readdir(&self, handle: Handle, cookie: Cookie, sink: &mut DirSink<'_>) -> Result<()> {
        let mut cookie = cookie;
        loop {
            // The sink may call back: it runs without the lock.
            let batch = self.batch(handle, cookie)?;
            if batch.is_empty() {
                return Ok(());
            }
            for (position, name, ino, kind) in &batch {
                let next = Cookie(*position);
                if !sink(DirEntry { ino: *ino, kind: Some(*kind), name, next }) {
                    return Ok(());
                }
                cookie = next;
            }
        }
    }

    fn lseek(&self, handle: Handle, offset: u64, to: SeekTo) -> Result<u64> {
        let tree = self.lock();
        tree.file(tree.opened(handle)?.ino)?.seek(offset, to).ok_or(Errno::ENXIO)
    }

    fn getxattr(&self, ino: Ino, name: &[u8]) -> Result<Vec<u8>> {
        self.lock().inode(ino)?.xattr(name)
    }

    fn listxattr(&self, ino: Ino) -> Result<Vec<Vec<u8>>> {
        Ok(self.lock().inode(ino)?.xattrs.keys().cloned().collect())
    }

    fn setattr(&self, _caller: Caller, ino: Ino, changes: &SetAttr) -> Result<Attr> {
        let mut tree = self.change()?;
        tree.inode(ino)?;
        if let Some(size_bytes) = changes.size_bytes {
            tree.resize(ino, size_bytes)?;
        }
        tree.inode_mut(ino)?.change(changes);
        tree.attr(ino)
    }

    fn create(
        &self,
        caller: Caller,
        parent: Ino,
        name: Name<'_>,
        perm: u16,
        flags: OpenFlags,
    ) -> Result<(Attr, Opened)> {
        let mut tree = self.change()?;
        let body = Body::File(data::SparseBytes::default());
        let ino = tree.make(caller, parent, name, perm, body)?;
        let handle = tree.open(ino, flags)?;
        Ok((tree.attr(ino)?, Opened::Handle(handle)))
    }

    fn tmpfile(
        &self,
        caller: Caller,
        parent: Ino,
        perm: u16,
        flags: OpenFlags,
    ) -> Result<(Attr, Opened)> {
        let mut tree = self.change()?;
        let ino = tree.make_nameless(caller, parent, perm)?;
        let handle = tree.open(ino, flags)?;
        Ok((tree.attr(ino)?, Opened::Handle(handle)))
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
        let mut tree = self.change()?;
        let body = match kind {
            FileKind::Regular => Body::File(data::SparseBytes::default()),
            FileKind::Directory | FileKind::Symlink => return Err(Errno::EPERM),
            FileKind::CharDevice | FileKind::BlockDevice => Body::Special(kind, rdev),
            FileKind::Fifo | FileKind::Socket => Body::Special(kind, DevNum::default()),
        };
        let ino = tree.make(caller, parent, name, perm, body)?;
        tree.attr(ino)
    }

    fn mkdir(&self, caller: Caller, parent: Ino, name: Name<'_>, perm: u16) -> Result<Attr> {
        let mut tree = self.change()?;
        let body = Body::Directory(directory::Directory::new(parent));
        let ino = tree.make(caller, parent, name, perm, body)?;
        tree.attr(ino)
    }

    fn symlink(&self, caller: Caller, parent: Ino, name: Name<'_>, target: &[u8]) -> Result<Attr> {
        let mut tree = self.change()?;
        if target.len() > TARGET_BYTES_MAX {
            tree.check_new(parent, name)?;
            return Err(Errno::ENAMETOOLONG);
        }
        let ino = tree.make(caller, parent, name, 0o777, Body::Link(target.to_vec()))?;
        tree.attr(ino)
    }

    fn link(&self, _caller: Caller, ino: Ino, parent: Ino, name: Name<'_>) -> Result<Attr> {
        let mut tree = self.change()?;
        tree.link(ino, parent, name)?;
        tree.attr(ino)
    }

    fn unlink(&self, _caller: Caller, parent: Ino, name: Name<'_>) -> Result<()> {
        self.change()?.unlink(parent, name)
    }

    fn rmdir(&self, _caller: Caller, parent: Ino, name: Name<'_>) -> Result<()> {
        self.change()?.rmdir(parent, name)
    }

    fn rename(
        &self,
        _caller: Caller,
        parent: Ino,
        name: Name<'_>,
        new_parent: Ino,
        new_name: Name<'_>,
        flags: RenameFlags,
    ) -> Result<()> {
        self.change()?.rename(parent, name, new_parent, new_name, flags)
    }

    fn write(&self, handle: Handle, buf: &[u8], offset: u64) -> Result<usize> {
        let mut tree = self.change()?;
        let ino = tree.opened_for_writing(handle)?;
        tree.write(ino, buf, offset)
    }

    fn fallocate(
        &self,
        handle: Handle,
        mode: FallocateMode,
        offset: u64,
        length: u64,
    ) -> Result<()> {
        let mut tree = self.change()?;
        let ino = tree.opened_for_writing(handle)?;
        tree.fallocate(ino, mode, offset, length)
    }

    fn setxattr(&self, ino: Ino, name: &[u8], value: &[u8], flags: XattrFlags) -> Result<()> {
        let mut tree = self.change()?;
        tree.inode_mut(ino)?.set_xattr(name, value, flags)
    }

    fn removexattr(&self, ino: Ino, name: &[u8]) -> Result<()> {
        let mut tree = self.change()?;
        tree.inode_mut(ino)?.remove_xattr(name)
    }
}
