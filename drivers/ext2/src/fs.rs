//! The contract: [`FileSystem`] over a [`Volume`].

use crate::handles::{Copied, Handles, Position};
use crate::inode::InodeFlags;
use crate::inode::{Inode, ROOT_INO};
use crate::le::{join, u32_at, us};
use crate::make::Recipe;
use crate::seal::Kind;
use crate::superblock::field;
use crate::unmake::Place;
use crate::volume::Volume;
use abi::dev::DevNum;
use abi::fs::{
    Attr, Caller, Cookie, DirEntry, DirSink, FallocateMode, FileKind, FileSystem, Handle, Ino,
    Name, OpenFlags, Opened, RenameFlags, SeekTo, SetAttr, StatFs, XattrFlags,
};
use abi::{Errno, Result};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// `EXT4_SUPER_MAGIC` of statfs(2).
const STATFS_MAGIC: u64 = 0xef53;

/// Entries that are copied out of a directory at once.
const LIST_BATCH: usize = 128;

/// A mounted ext2, ext3 or ext4.
pub(crate) struct Ext2 {
    volume: RwLock<Volume>,
    handles: Handles,
    noatime: bool,
}

impl Ext2 {
    pub(crate) fn new(volume: Volume, noatime: bool) -> Self {
        Self { volume: RwLock::new(volume), handles: Handles::default(), noatime }
    }

    /// A panic of another thread can only have come between two changes of blocks, all of which can
    /// be undone.
    pub(crate) fn volume(&self) -> RwLockReadGuard<'_, Volume> {
        self.volume.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The volume, alone.
    pub(crate) fn volume_mut(&self) -> RwLockWriteGuard<'_, Volume> {
        self.volume.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn handles(&self) -> &Handles {
        &self.handles
    }

    pub(crate) fn is_noatime(&self) -> bool {
        self.noatime
    }

    /// Copies entries of a directory out, until the batch is full or the directory ends.
    fn list_batch(&self, ino: u32, from: Position, batch: &mut Vec<Copied>) -> Result<()> {
        let volume = self.volume();
        let dir = volume.inode(Ino(u64::from(ino)))?;
        if !dir.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        if dir.links == 0 {
            return Ok(());
        }
        let mut take = |entry| {
            batch.push(entry);
            batch.len() < LIST_BATCH
        };
        if volume.is_read_only() || !volume.is_listed_by_hash(&dir) {
            return Ok(volume.list(&dir, from.cookie, &mut take)?);
        }
        Ok(volume.list_by_hash(&dir, from, &mut take)?)
    }

    /// The inode, if it has a name or is open.
    pub(crate) fn live(&self, volume: &Volume, ino: Ino) -> Result<Inode> {
        let inode = volume.inode(ino)?;
        if inode.links == 0 && !self.handles.is_open(inode.ino) {
            return Err(Errno::ESTALE);
        }
        Ok(inode)
    }
}

impl FileSystem for Ext2 {
    fn root(&self) -> Ino {
        Ino(u64::from(ROOT_INO))
    }

    fn statfs(&self) -> Result<StatFs> {
        let volume = self.volume();
        let bytes = volume.block(volume.sb.super_block, Kind::Super)?;
        let raw = crate::le::bytes_at(&bytes, us(volume.super_offset()), 1024);
        let free = join(u32_at(raw, field::FREE_BLOCKS_LO), u32_at(raw, field::FREE_BLOCKS_HI));
        let free = free.min(volume.sb.blocks_count);
        Ok(StatFs {
            magic: STATFS_MAGIC,
            block_size: volume.sb.block_size(),
            blocks: volume.sb.blocks_count.saturating_sub(volume.overhead()),
            blocks_free: free,
            blocks_available: free.saturating_sub(volume.sb.reserved_blocks),
            files: u64::from(volume.sb.inodes_count),
            files_free: u64::from(u32_at(raw, field::FREE_INODES)),
            name_bytes_max: 255,
        })
    }

    fn is_read_only(&self) -> bool {
        self.volume().is_read_only()
    }

    fn lookup(&self, parent: Ino, name: Name<'_>) -> Result<Attr> {
        let volume = self.volume();
        let dir = self.live(&volume, parent)?;
        if !dir.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        let found = volume.find(&dir, name.as_bytes())?.ok_or(Errno::ENOENT)?;
        let offset = volume.sb.byte_of(found.file_block);
        Ok(volume.inode_of_entry(dir.ino, offset, found.inode)?.attr(&volume.sb))
    }

    fn getattr(&self, ino: Ino) -> Result<Attr> {
        let volume = self.volume();
        Ok(self.live(&volume, ino)?.attr(&volume.sb))
    }

    fn readlink(&self, ino: Ino) -> Result<Vec<u8>> {
        let volume = self.volume();
        let inode = self.live(&volume, ino)?;
        if !matches!(inode.kind, FileKind::Symlink) {
            return Err(Errno::EINVAL);
        }
        Ok(volume.link_target(&inode)?)
    }

    fn open(&self, caller: Caller, ino: Ino, flags: OpenFlags) -> Result<Opened> {
        let volume = self.volume();
        let inode = self.live(&volume, ino)?;
        let writes = flags.intersects(OpenFlags::WRITE | OpenFlags::TRUNCATE);
        if writes {
            volume.check_writable()?;
        }
        match inode.kind {
            FileKind::Directory if writes => return Err(Errno::EISDIR),
            FileKind::Regular | FileKind::Directory => {}
            _ => return Err(Errno::ENXIO),
        }
        if writes && inode.has(InodeFlags::IMMUTABLE) {
            return Err(Errno::EPERM);
        }
        let handle = self.handles.open(inode.ino, flags, caller.uid);
        drop(volume);
        if flags.contains(OpenFlags::TRUNCATE)
            && let Err(errno) = self.cut(inode.ino)
        {
            self.close(handle);
            return Err(errno);
        }
        Ok(Opened::Handle(handle))
    }

    fn release(&self, handle: Handle) {
        self.close(handle);
    }

    fn read(&self, handle: Handle, buf: &mut [u8], offset: u64) -> Result<usize> {
        let file = self.handles.get(handle)?;
        let volume = self.volume();
        let inode = volume.inode(Ino(u64::from(file.ino)))?;
        if inode.is_dir() {
            return Err(Errno::EISDIR);
        }
        let len = volume.read_file(&inode, buf, offset)?;
        let is_writable = !volume.is_read_only();
        drop(volume);
        if is_writable {
            self.touch_atime(&inode);
        }
        Ok(len)
    }

    fn readdir(&self, handle: Handle, cookie: Cookie, sink: &mut DirSink<'_>) -> Result<()> {
        let file = self.handles.get(handle)?;
        let listing = || file.listing.lock().unwrap_or_else(PoisonError::into_inner);
        let stopped = *listing();
        let mut position = if stopped.cookie == cookie.0 {
            stopped
        } else {
            Position { cookie: cookie.0, given: 0 }
        };
        loop {
            // The sink may call back: it is not called under the lock.
            let mut batch = Vec::with_capacity(LIST_BATCH);
            let result = self.list_batch(file.ino, position, &mut batch);
            let is_last = batch.len() < LIST_BATCH;
            for entry in batch {
                let taken = sink(DirEntry {
                    ino: Ino(u64::from(entry.ino)),
                    kind: entry.kind,
                    name: &entry.name,
                    next: Cookie(entry.position.cookie),
                });
                if !taken {
                    *listing() = position;
                    return Ok(());
                }
                position = entry.position;
            }
            *listing() = position;
            result?;
            if is_last {
                return Ok(());
            }
        }
    }

    fn lseek(&self, handle: Handle, offset: u64, to: SeekTo) -> Result<u64> {
        let file = self.handles.get(handle)?;
        let volume = self.volume();
        let inode = volume.inode(Ino(u64::from(file.ino)))?;
        Ok(volume.seek(&inode, offset, to)?)
    }

    fn getxattr(&self, ino: Ino, name: &[u8]) -> Result<Vec<u8>> {
        let volume = self.volume();
        let inode = self.live(&volume, ino)?;
        Ok(volume.xattr(&inode, name)?)
    }

    fn listxattr(&self, ino: Ino) -> Result<Vec<Vec<u8>>> {
        let volume = self.volume();
        let inode = self.live(&volume, ino)?;
        Ok(volume.xattr_names(&inode)?)
    }

    fn sync(&self) -> Result<()> {
        Ok(self.volume_mut().sync_all()?)
    }

    fn setattr(&self, caller: Caller, ino: Ino, changes: &SetAttr) -> Result<Attr> {
        self.set_attributes(caller, ino, changes)
    }

    fn create(
        &self,
        caller: Caller,
        parent: Ino,
        name: Name<'_>,
        perm: u16,
        flags: OpenFlags,
    ) -> Result<(Attr, Opened)> {
        let recipe = plain(caller, FileKind::Regular, perm);
        self.make_open(parent, Some(name.as_bytes()), &recipe, flags)
    }

    fn tmpfile(
        &self,
        caller: Caller,
        parent: Ino,
        perm: u16,
        flags: OpenFlags,
    ) -> Result<(Attr, Opened)> {
        self.make_open(parent, None, &plain(caller, FileKind::Regular, perm), flags)
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
        if matches!(kind, FileKind::Directory | FileKind::Symlink) {
            return Err(Errno::EINVAL);
        }
        self.make(parent, name.as_bytes(), &Recipe { rdev, ..plain(caller, kind, perm) })
    }

    fn mkdir(&self, caller: Caller, parent: Ino, name: Name<'_>, perm: u16) -> Result<Attr> {
        self.make(parent, name.as_bytes(), &plain(caller, FileKind::Directory, perm))
    }

    fn symlink(&self, caller: Caller, parent: Ino, name: Name<'_>, target: &[u8]) -> Result<Attr> {
        let recipe = Recipe { target, ..plain(caller, FileKind::Symlink, 0o777) };
        self.make(parent, name.as_bytes(), &recipe)
    }

    fn link(&self, caller: Caller, ino: Ino, parent: Ino, name: Name<'_>) -> Result<Attr> {
        self.link_name(caller, ino, parent, name.as_bytes())
    }

    fn unlink(&self, caller: Caller, parent: Ino, name: Name<'_>) -> Result<()> {
        self.unlink_name(caller, parent, name.as_bytes())
    }

    fn rmdir(&self, caller: Caller, parent: Ino, name: Name<'_>) -> Result<()> {
        self.rmdir_name(caller, parent, name.as_bytes())
    }

    fn rename(
        &self,
        caller: Caller,
        parent: Ino,
        name: Name<'_>,
        new_parent: Ino,
        new_name: Name<'_>,
        flags: RenameFlags,
    ) -> Result<()> {
        let from = Place { dir: parent, name: name.as_bytes() };
        let to = Place { dir: new_parent, name: new_name.as_bytes() };
        self.rename_name(caller, from, to, flags)
    }

    fn write(&self, handle: Handle, buf: &[u8], offset: u64) -> Result<usize> {
        self.write_at(handle, buf, offset)
    }

    fn fsync(&self, handle: Handle, _data_only: bool) -> Result<()> {
        self.sync_file(handle)
    }

    fn fallocate(
        &self,
        handle: Handle,
        mode: FallocateMode,
        offset: u64,
        length: u64,
    ) -> Result<()> {
        self.allocate(handle, mode, offset, length)
    }

    fn setxattr(&self, ino: Ino, name: &[u8], value: &[u8], flags: XattrFlags) -> Result<()> {
        self.set_xattr(ino, name, value, flags)
    }

    fn removexattr(&self, ino: Ino, name: &[u8]) -> Result<()> {
        self.remove_xattr(ino, name)
    }
}

fn plain(caller: Caller, kind: FileKind, perm: u16) -> Recipe<'static> {
    Recipe { caller, kind, perm, rdev: DevNum::default(), target: b"" }
}

impl Drop for Ext2 {
    /// The mount goes away: what is in memory becomes durable, and the volume clean.
    fn drop(&mut self) {
        let volume = self.volume.get_mut().unwrap_or_else(PoisonError::into_inner);
        if !volume.is_read_only()
            && let Err(error) = volume.process_orphans()
        {
            // Files without names that someone still had open; a later mount frees them.
            tracing::warn!(target: "ext2", "unmount: {error}");
        }
        if let Err(error) = volume.sync_all() {
            tracing::warn!(target: "ext2", "unmount: {error}");
        }
    }
}
