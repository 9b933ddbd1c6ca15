//! The contract: locks taken, flags checked, handles resolved; the work is done by `Mounted`.

use crate::mounted::{Mounted, OpenFile};
use crate::name;
use crate::node::ROOT;
use crate::rename::End;
use abi::dev::DevNum;
use abi::fs::{
    Attr, Caller, Cookie, DirEntry, DirSink, FallocateMode, FileKind, FileSystem, Handle, Ino,
    Name, OpenFlags, Opened, RenameFlags, SeekTo, SetAttr, StatFs,
};
use abi::{Errno, Result};
use core::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Entries gathered at once for a reader of a directory.
const READDIR_BATCH: usize = 256;

/// A mounted volume. Reads of known files share the lock, all else has it alone.
pub(crate) struct FatFs {
    core: RwLock<Mounted>,
    read_only: bool,
}

impl FatFs {
    pub(crate) fn new(core: Mounted) -> Self {
        let read_only = core.vol.read_only;
        Self { core: RwLock::new(core), read_only }
    }

    fn shared(&self) -> RwLockReadGuard<'_, Mounted> {
        self.core.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn alone(&self) -> RwLockWriteGuard<'_, Mounted> {
        self.core.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn for_mutation(&self) -> Result<RwLockWriteGuard<'_, Mounted>> {
        if self.read_only { Err(Errno::EROFS) } else { Ok(self.alone()) }
    }
}

/// The file behind `handle`, which must be a regular file open for writing.
fn for_writing(core: &Mounted, handle: Handle) -> Result<OpenFile> {
    let file = core.open_file(handle.0)?;
    if file.writable && !file.is_dir { Ok(file) } else { Err(Errno::EBADF) }
}

fn finish_write(core: &mut Mounted, file: OpenFile) -> Result<()> {
    if file.sync || core.vol.options.sync {
        core.write_back(true)?;
        core.vol.barrier()?;
    }
    Ok(())
}

fn open(core: &mut Mounted, ino: Ino, is_dir: bool, flags: OpenFlags) -> Handle {
    Handle(core.add_handle(OpenFile {
        ino,
        is_dir,
        writable: flags.contains(OpenFlags::WRITE),
        sync: flags.contains(OpenFlags::SYNC),
    }))
}

/// Counts one more use by the caller and answers the attributes.
fn looked_up(core: &mut Mounted, ino: Ino) -> Result<Attr> {
    let attr = core.attr(ino)?;
    let node = core.node_mut(ino)?;
    node.lookups = node.lookups.saturating_add(1);
    Ok(attr)
}

impl FileSystem for FatFs {
    fn root(&self) -> Ino {
        ROOT
    }

    fn statfs(&self) -> Result<StatFs> {
        self.alone().statfs()
    }

    fn sync(&self) -> Result<()> {
        if self.read_only { Ok(()) } else { self.alone().sync() }
    }

    fn is_read_only(&self) -> bool {
        self.read_only
    }

    fn lookup(&self, parent: Ino, name: Name<'_>) -> Result<Attr> {
        let mut core = self.alone();
        let slot = core.find(parent, name)?.ok_or(Errno::ENOENT)?;
        let ino = core.adopt(parent, slot)?;
        looked_up(&mut core, ino)
    }

    fn forget(&self, ino: Ino, count: u64) {
        let mut core = self.alone();
        if let Some(node) = core.nodes.get_mut(ino) {
            node.lookups = node.lookups.saturating_sub(count);
            core.retire(ino);
        }
    }

    fn getattr(&self, ino: Ino) -> Result<Attr> {
        self.alone().attr(ino)
    }

    fn readlink(&self, ino: Ino) -> Result<Vec<u8>> {
        self.shared().node(ino)?;
        Err(Errno::EINVAL)
    }

    fn open(&self, _caller: Caller, ino: Ino, flags: OpenFlags) -> Result<Opened> {
        let mut core = self.alone();
        let node = core.node(ino)?;
        let (is_dir, gone) = (node.is_dir, node.is_removed(ino) && node.opens == 0);
        if gone {
            return Err(Errno::ESTALE);
        }
        if flags.intersects(OpenFlags::WRITE | OpenFlags::TRUNCATE) {
            if self.read_only {
                return Err(Errno::EROFS);
            }
            if is_dir {
                return Err(Errno::EISDIR);
            }
        }
        let handle = open(&mut core, ino, is_dir, flags);
        if flags.contains(OpenFlags::TRUNCATE)
            && let Err(errno) = core.set_length(ino, 0)
        {
            drop(core);
            self.release(handle);
            return Err(errno);
        }
        Ok(Opened::Handle(handle))
    }

    fn release(&self, handle: Handle) {
        let mut core = self.alone();
        let Some(file) = core.handles.remove(&handle.0) else { return };
        if let Some(node) = core.nodes.get_mut(file.ino) {
            node.opens = node.opens.saturating_sub(1);
        }
        if let Err(errno) = core.settle(file.ino) {
            tracing::warn!(ino = file.ino.0, %errno, "a file could not be written when it was closed");
        }
    }

    fn read(&self, handle: Handle, buf: &mut [u8], offset: u64) -> Result<usize> {
        let core = self.shared();
        let file = core.open_file(handle.0)?;
        if file.is_dir {
            return Err(Errno::EISDIR);
        }
        let news = core.is_access_news(&core.node(file.ino)?.raw);
        if !news && let Some(length) = core.read(file.ino, buf, offset)? {
            return Ok(length);
        }
        drop(core);
        let mut core = self.alone();
        core.open_file(handle.0)?;
        core.load_chain(file.ino)?;
        if news {
            core.note_access(file.ino);
        }
        core.read(file.ino, buf, offset)?.ok_or(Errno::EIO)
    }

    fn readdir(&self, handle: Handle, cookie: Cookie, sink: &mut DirSink<'_>) -> Result<()> {
        let mut next = cookie;
        loop {
            let batch = self.batch(handle, next)?;
            for (ino, kind, name, after) in &batch {
                let entry = DirEntry { ino: *ino, kind: Some(*kind), name, next: *after };
                if !sink(entry) {
                    return Ok(());
                }
                next = *after;
            }
            if batch.len() < READDIR_BATCH {
                return Ok(());
            }
        }
    }

    fn lseek(&self, handle: Handle, offset: u64, to: SeekTo) -> Result<u64> {
        let core = self.shared();
        let file = core.open_file(handle.0)?;
        let size = u64::from(core.node(file.ino)?.raw.size_bytes());
        if file.is_dir || offset >= size {
            return Err(Errno::ENXIO);
        }
        Ok(match to {
            SeekTo::Data => offset,
            SeekTo::Hole => size,
        })
    }

    fn setattr(&self, _caller: Caller, ino: Ino, changes: &SetAttr) -> Result<Attr> {
        let mut core = self.for_mutation()?;
        core.set_attributes(ino, changes)?;
        core.attr(ino)
    }

    fn create(
        &self,
        _caller: Caller,
        parent: Ino,
        name: Name<'_>,
        _perm: u16,
        flags: OpenFlags,
    ) -> Result<(Attr, Opened)> {
        let mut core = self.for_mutation()?;
        let ino = core.make_file(parent, name)?;
        let attr = looked_up(&mut core, ino)?;
        let handle = open(&mut core, ino, false, flags);
        Ok((attr, Opened::Handle(handle)))
    }

    fn mknod(
        &self,
        _caller: Caller,
        parent: Ino,
        name: Name<'_>,
        kind: FileKind,
        _perm: u16,
        _rdev: DevNum,
    ) -> Result<Attr> {
        let mut core = self.for_mutation()?;
        if kind != FileKind::Regular {
            return Err(Errno::EPERM);
        }
        let ino = core.make_file(parent, name)?;
        looked_up(&mut core, ino)
    }

    fn mkdir(&self, _caller: Caller, parent: Ino, name: Name<'_>, _perm: u16) -> Result<Attr> {
        let mut core = self.for_mutation()?;
        let ino = core.make_dir(parent, name)?;
        looked_up(&mut core, ino)
    }

    fn symlink(&self, _: Caller, _: Ino, _: Name<'_>, _: &[u8]) -> Result<Attr> {
        self.for_mutation().and(Err(Errno::EPERM))
    }

    fn link(&self, _: Caller, _: Ino, _: Ino, _: Name<'_>) -> Result<Attr> {
        self.for_mutation().and(Err(Errno::EPERM))
    }

    fn unlink(&self, _caller: Caller, parent: Ino, name: Name<'_>) -> Result<()> {
        self.for_mutation()?.unlink(parent, name)
    }

    fn rmdir(&self, _caller: Caller, parent: Ino, name: Name<'_>) -> Result<()> {
        self.for_mutation()?.rmdir(parent, name)
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
        let to = End { dir: new_parent, name: new_name };
        self.for_mutation()?.rename(End { dir: parent, name }, to, flags)
    }

    fn write(&self, handle: Handle, buf: &[u8], offset: u64) -> Result<usize> {
        let mut core = self.for_mutation()?;
        let file = for_writing(&core, handle)?;
        let length = core.write(file.ino, buf, offset)?;
        finish_write(&mut core, file)?;
        Ok(length)
    }

    fn fsync(&self, handle: Handle, _data_only: bool) -> Result<()> {
        if self.read_only {
            return self.shared().open_file(handle.0).map(|_| ());
        }
        let mut core = self.alone();
        core.open_file(handle.0)?;
        core.write_back(true)?;
        core.vol.barrier()
    }

    /// Only the plain mode: FAT has no holes, so all that exists is allocated, and growth reads as zeroes.
    fn fallocate(&self, handle: Handle, mode: FallocateMode, at: u64, length: u64) -> Result<()> {
        let mut core = self.for_mutation()?;
        let file = for_writing(&core, handle)?;
        if !mode.is_empty() {
            return Err(Errno::EOPNOTSUPP);
        }
        let end = at.checked_add(length).ok_or(Errno::EFBIG)?;
        if end > u64::from(core.node(file.ino)?.raw.size_bytes()) {
            core.set_length(file.ino, end)?;
        }
        finish_write(&mut core, file)
    }
}

type Gathered = (Ino, FileKind, Vec<u8>, Cookie);

impl FatFs {
    /// The next entries after `cookie`: gathered under the lock, offered without it.
    fn batch(&self, handle: Handle, cookie: Cookie) -> Result<Vec<Gathered>> {
        let mut core = self.alone();
        let file = core.open_file(handle.0)?;
        if !file.is_dir {
            return Err(Errno::ENOTDIR);
        }
        if core.node(file.ino)?.is_removed(file.ino) {
            return Ok(Vec::new());
        }
        // A cookie is one more than the slot of the entry before.
        let Ok(from) = u32::try_from(cookie.0) else { return Ok(Vec::new()) };
        core.dir(file.ino)?;
        let Mounted { vol, nodes, dirs, .. } = &mut *core;
        let Some(index) = dirs.get(&file.ino) else { return Ok(Vec::new()) };
        let range = (Bound::Included(from), Bound::Unbounded);
        let listed = index.listed.range(range).take(READDIR_BATCH);
        let gathered = listed.filter_map(|(&slot, listed)| {
            let (at, _) = index.locate(vol, slot)?;
            let kind =
                if listed.raw.is_directory() { FileKind::Directory } else { FileKind::Regular };
            let ino = nodes.number(&vol.layout, at, &listed.raw);
            let next = Cookie(u64::from(slot).saturating_add(1));
            Some((ino, kind, name::to_bytes(&listed.name), next))
        });
        Ok(gathered.collect())
    }
}

impl Drop for FatFs {
    /// Mounts end with a `sync`; one that was dropped without is not left half written.
    fn drop(&mut self) {
        if let Err(errno) = self.sync() {
            tracing::warn!(%errno, "the volume could not be written when it was dropped");
        }
    }
}
