//! The contract: [`FileSystem`] over a [`Volume`].

use crate::handles::Handles;
use crate::inode::{Inode, ROOT_INO};
use crate::superblock::field;
use crate::le::{join, u32_at, us};
use crate::seal::Kind;
use crate::volume::Volume;
use abi::fs::{
    Attr, Caller, Cookie, DirSink, FileKind, FileSystem, Handle, Ino, Name, OpenFlags, Opened,
    SeekTo, StatFs,
};
use abi::{Errno, Result};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// `EXT4_SUPER_MAGIC` of statfs(2).
const STATFS_MAGIC: u64 = 0xef53;

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

    /// A panic of another thread can only have come between two changes of blocks, all of which can be undone.
    pub(crate) fn volume(&self) -> RwLockReadGuard<'_, Volume> {
        self.volume.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The inode, if it has a name or is open.
    fn live(&self, volume: &Volume, ino: Ino) -> Result<Inode> {
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
            blocks: volume.sb.blocks_count.saturating_sub(volume.overhead()?),
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
        Ok(Opened::Handle(self.handles.open(inode.ino, flags, caller.uid)))
    }

    fn release(&self, handle: Handle) {
        let _ = self.handles.close(handle);
    }

    fn read(&self, handle: Handle, buf: &mut [u8], offset: u64) -> Result<usize> {
        let file = self.handles.get(handle)?;
        let volume = self.volume();
        let inode = volume.inode(Ino(u64::from(file.ino)))?;
        if inode.is_dir() {
            return Err(Errno::EISDIR);
        }
        Ok(volume.read_file(&inode, buf, offset)?)
    }

    fn readdir(&self, handle: Handle, cookie: Cookie, sink: &mut DirSink<'_>) -> Result<()> {
        let file = self.handles.get(handle)?;
        let volume = self.volume();
        let inode = volume.inode(Ino(u64::from(file.ino)))?;
        if !inode.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        Ok(volume.list(&inode, cookie, sink)?)
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
}
