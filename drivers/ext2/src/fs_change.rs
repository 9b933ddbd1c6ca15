//! The mutations of the contract: each takes the volume alone, runs its changes, and lets go.

use crate::error::Error;
use crate::fs::Ext2;
use crate::inode::{Inode, InodeFlags};
use crate::le::wide;
use crate::make::Recipe;
use crate::unmake::Place;
use crate::volume::Volume;
use crate::write::CHUNK;
use abi::fs::{
    Attr, Caller, FallocateMode, FileKind, Handle, Ino, OpenFlags, Opened, RenameFlags, SetAttr,
    Timestamp, XattrFlags,
};
use abi::{Errno, Result};
use std::sync::Arc;

/// Runs (allocations, extents) that one change of fallocate(2) makes.
const STEPS: usize = 64;
/// A day: access times older than this move (relatime).
const DAY_SECONDS: i64 = 86_400;

impl Ext2 {
    /// Runs `change` on the volume, alone, on behalf of `uid`.
    fn change<T>(
        &self,
        uid: u32,
        change: impl FnMut(&mut Volume) -> crate::error::Result<T>,
    ) -> Result<T> {
        let mut volume = self.volume_mut();
        volume.check_writable()?;
        volume.uses_reserve = uid == 0;
        Ok(volume.change(change)?)
    }

    /// Makes a file and says what it is.
    pub(crate) fn make(&self, parent: Ino, name: &[u8], recipe: &Recipe<'_>) -> Result<Attr> {
        self.change(recipe.caller.uid, |volume| {
            let inode = volume.make(parent, name, recipe)?;
            Ok(inode.attr(&volume.sb))
        })
    }

    /// Makes a regular file, with a name or without, and opens it before anyone can remove it.
    pub(crate) fn make_open(
        &self,
        parent: Ino,
        name: Option<&[u8]>,
        recipe: &Recipe<'_>,
        flags: OpenFlags,
    ) -> Result<(Attr, Opened)> {
        let mut volume = self.volume_mut();
        volume.check_writable()?;
        volume.uses_reserve = recipe.caller.uid == 0;
        let inode = volume.change(|volume| match name {
            Some(name) => volume.make(parent, name, recipe),
            None => volume.make_unnamed(parent, recipe),
        })?;
        let handle = self.handles().open(inode.ino, flags, recipe.caller.uid);
        if name.is_none() {
            volume.unnamed.insert(inode.ino);
        }
        Ok((inode.attr(&volume.sb), Opened::Handle(handle)))
    }

    /// Runs a change that may take the last name of an inode away, and frees what is left of it.
    fn change_names(
        &self,
        uid: u32,
        mut change: impl FnMut(&mut Volume, &dyn Fn(u32) -> bool) -> crate::error::Result<Option<u32>>,
    ) -> Result<()> {
        let mut volume = self.volume_mut();
        volume.check_writable()?;
        volume.uses_reserve = uid == 0;
        let is_open = |ino| self.handles().is_open(ino);
        if let Some(ino) = volume.change(|volume| change(volume, &is_open))? {
            volume.evict(ino)?;
        }
        Ok(())
    }

    pub(crate) fn unlink_name(&self, caller: Caller, dir: Ino, name: &[u8]) -> Result<()> {
        self.change_names(caller.uid, |volume, is_open| volume.unlink(Place { dir, name }, is_open))
    }

    pub(crate) fn rmdir_name(&self, caller: Caller, dir: Ino, name: &[u8]) -> Result<()> {
        self.change_names(caller.uid, |volume, is_open| volume.rmdir(Place { dir, name }, is_open))
    }

    pub(crate) fn rename_name(
        &self,
        caller: Caller,
        from: Place<'_>,
        to: Place<'_>,
        flags: RenameFlags,
    ) -> Result<()> {
        self.change_names(caller.uid, |volume, is_open| {
            volume.rename(caller, from, to, flags, is_open)
        })
    }

    pub(crate) fn link_name(
        &self,
        caller: Caller,
        ino: Ino,
        parent: Ino,
        name: &[u8],
    ) -> Result<Attr> {
        let mut volume = self.volume_mut();
        volume.check_writable()?;
        self.live(&volume, ino)?;
        volume.uses_reserve = caller.uid == 0;
        let number = u32::try_from(ino.0).unwrap_or(0);
        let is_unnamed_ok = volume.unnamed.contains(&number);
        let inode = volume.change(|volume| volume.link(ino, parent, name, is_unnamed_ok))?;
        volume.unnamed.remove(&number);
        Ok(inode.attr(&volume.sb))
    }

    /// Ends an open file; one without names goes with its last handle.
    pub(crate) fn close(&self, handle: Handle) {
        let Some(ino) = self.handles().close(handle) else { return };
        let has_name = |volume: &Volume| {
            volume.is_read_only() || !matches!(volume.inode_any(ino), Ok(inode) if inode.links == 0)
        };
        {
            let volume = self.volume();
            if has_name(&volume) && !volume.windows.has(ino) {
                return;
            }
        }
        let mut volume = self.volume_mut();
        volume.windows.remove(ino);
        // Between the two locks someone may have opened, named or freed it.
        if has_name(&volume) || self.handles().is_open(ino) {
            return;
        }
        volume.unnamed.remove(&ino);
        if let Err(error) = volume.evict(ino) {
            tracing::warn!(target: "ext2", "inode {ino} stays on the list of orphans: {error}");
        }
    }

    /// Cuts a file to nothing, for `O_TRUNC`.
    pub(crate) fn cut(&self, ino: u32) -> Result<()> {
        let mut volume = self.volume_mut();
        volume.truncate(ino, 0, Timestamp::now())?;
        Ok(())
    }

    pub(crate) fn set_attributes(
        &self,
        caller: Caller,
        ino: Ino,
        changes: &SetAttr,
    ) -> Result<Attr> {
        let mut volume = self.volume_mut();
        volume.check_writable()?;
        volume.uses_reserve = caller.uid == 0;
        let inode = self.live(&volume, ino)?;
        if let Some(size) = changes.size_bytes {
            match inode.kind {
                FileKind::Regular => {}
                FileKind::Directory => return Err(Errno::EISDIR),
                _ => return Err(Errno::EINVAL),
            }
            if size > volume.size_max(&inode) {
                return Err(Errno::EFBIG);
            }
        }
        if inode.flags.intersects(InodeFlags::IMMUTABLE | InodeFlags::APPEND) {
            return Err(Errno::EPERM);
        }
        let number = inode.ino;
        if let Some(size) = changes.size_bytes {
            volume.truncate(number, size, Timestamp::now())?;
        }
        let inode = volume.change(|volume| {
            let mut inode = volume.inode_any(number)?;
            apply(&mut inode, changes);
            volume.store_inode(&inode)?;
            if changes.perm.is_some() {
                volume.follow_perm(&mut inode)?;
            }
            Ok(inode)
        })?;
        Ok(inode.attr(&volume.sb))
    }

    pub(crate) fn write_at(&self, handle: Handle, buf: &[u8], offset: u64) -> Result<usize> {
        let file = self.handles().get(handle)?;
        let mut volume = self.volume_mut();
        volume.check_writable()?;
        if !file.flags.contains(OpenFlags::WRITE) {
            return Err(Errno::EBADF);
        }
        volume.uses_reserve = file.uid == 0;
        let mut done = 0usize;
        while let Some(rest) = buf.get(done..).filter(|rest| !rest.is_empty()) {
            let chunk = rest.get(..rest.len().min(CHUNK)).unwrap_or_default();
            let at = offset.checked_add(wide(done)).ok_or(Errno::EFBIG)?;
            let result = volume.change(|volume| {
                let mut inode = volume.inode_any(file.ino)?;
                let len = volume.write_chunk(&mut inode, chunk, at)?;
                volume.store_inode(&inode)?;
                Ok(len)
            });
            match result {
                Ok(len) => done = done.saturating_add(len),
                Err(Error::Answer(_)) if done > 0 => break,
                Err(other) => return Err(other.into()),
            }
        }
        if file.flags.contains(OpenFlags::SYNC) {
            volume.commit()?;
        }
        Ok(done)
    }

    pub(crate) fn sync_file(&self, handle: Handle) -> Result<()> {
        self.handles().get(handle)?;
        let mut volume = self.volume_mut();
        if volume.is_read_only() {
            return if volume.has_failed() { Err(Errno::EIO) } else { Ok(()) };
        }
        if volume.tx.is_empty() {
            // Nothing but data: the others need not wait for the device.
            let device = Arc::clone(&volume.device);
            drop(volume);
            return Ok(device.flush().map_err(Error::Io)?);
        }
        Ok(volume.commit()?)
    }

    pub(crate) fn allocate(
        &self,
        handle: Handle,
        mode: FallocateMode,
        offset: u64,
        length: u64,
    ) -> Result<()> {
        let file = self.handles().get(handle)?;
        let mut volume = self.volume_mut();
        volume.check_writable()?;
        if !file.flags.contains(OpenFlags::WRITE) {
            return Err(Errno::EBADF);
        }
        volume.uses_reserve = file.uid == 0;
        let inode = volume.inode_any(file.ino)?;
        let end = offset.checked_add(length).ok_or(Errno::EFBIG)?;
        let is_punch = mode == FallocateMode::PUNCH_HOLE | FallocateMode::KEEP_SIZE;
        let plain = mode.difference(FallocateMode::KEEP_SIZE);
        let is_zero = plain == FallocateMode::ZERO_RANGE;
        let can = is_punch || inode.has(InodeFlags::EXTENTS) && (is_zero || plain.is_empty());
        if !can || inode.is_dir() {
            return Err(Errno::EOPNOTSUPP);
        }
        if length == 0 {
            return Err(Errno::EINVAL);
        }
        let keep = mode.contains(FallocateMode::KEEP_SIZE);
        if !is_punch && end > volume.size_max(&inode) {
            return Err(Errno::EFBIG);
        }
        if is_punch || is_zero {
            punch(&mut volume, file.ino, offset, end)?;
        }
        if !is_punch {
            preallocate(&mut volume, file.ino, offset, end, keep)?;
        }
        Ok(())
    }

    pub(crate) fn set_xattr(
        &self,
        ino: Ino,
        name: &[u8],
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<()> {
        self.change_xattr(ino, |volume, inode| volume.set_xattr(inode, name, value, flags))
    }

    pub(crate) fn remove_xattr(&self, ino: Ino, name: &[u8]) -> Result<()> {
        self.change_xattr(ino, |volume, inode| volume.remove_xattr(inode, name))
    }

    fn change_xattr(
        &self,
        ino: Ino,
        mut change: impl FnMut(&mut Volume, &mut Inode) -> crate::error::Result<()>,
    ) -> Result<()> {
        let mut volume = self.volume_mut();
        volume.check_writable()?;
        volume.uses_reserve = true;
        let inode = self.live(&volume, ino)?;
        if inode.flags.intersects(InodeFlags::IMMUTABLE | InodeFlags::APPEND) {
            return Err(Errno::EPERM);
        }
        Ok(volume.change(|volume| change(volume, &mut inode.clone()))?)
    }

    /// Moves the access time where relatime wants it.
    pub(crate) fn touch_atime(&self, inode: &Inode) {
        if self.is_noatime() || inode.has(InodeFlags::NOATIME) {
            return;
        }
        let now = Timestamp::now();
        let is_old = now.seconds.saturating_sub(inode.atime.seconds) >= DAY_SECONDS;
        if !is_old && inode.atime > inode.mtime && inode.atime > inode.ctime {
            return;
        }
        let ino = inode.ino;
        let mut volume = self.volume_mut();
        if volume.is_read_only() {
            return;
        }
        let result = volume.change(|volume| {
            let mut inode = volume.inode_any(ino)?;
            inode.atime = now;
            volume.store_inode(&inode)
        });
        // A read has succeeded: it does not fail for its time.
        if let Err(error) = result {
            tracing::debug!(target: "ext2", "access time of inode {ino}: {error}");
        }
    }
}

/// Applies everything but the length.
fn apply(inode: &mut Inode, changes: &SetAttr) {
    if let Some(perm) = changes.perm {
        inode.perm = perm & 0o7777;
    }
    inode.uid = changes.uid.unwrap_or(inode.uid);
    inode.gid = changes.gid.unwrap_or(inode.gid);
    if let Some(time) = changes.atime {
        inode.atime = time.resolve();
    }
    if let Some(time) = changes.mtime {
        inode.mtime = time.resolve();
    }
    if *changes != SetAttr::default() {
        inode.ctime = Timestamp::now();
    }
}

/// Makes a hole, in as many changes as it takes.
fn punch(volume: &mut Volume, ino: u32, from: u64, end: u64) -> Result<()> {
    let mut end = end;
    while end > from {
        end = volume.change(|volume| {
            let mut inode = volume.inode_any(ino)?;
            let left = volume.punch(&mut inode, from, end, STEPS)?;
            inode.mtime = Timestamp::now();
            inode.ctime = inode.mtime;
            volume.store_inode(&inode)?;
            Ok(left)
        })?;
    }
    Ok(())
}

/// Allocates, in as many changes as it takes, and moves the end of the file if it may.
fn preallocate(volume: &mut Volume, ino: u32, from: u64, end: u64, keep: bool) -> Result<()> {
    let last = volume.sb.blocks_for(end);
    let mut at = volume.sb.block_of(from);
    loop {
        at = volume.change(|volume| {
            let mut inode = volume.inode_any(ino)?;
            let next = volume.preallocate(&mut inode, at, last, STEPS)?;
            if next >= last && !keep && end > inode.size {
                volume.zero_tail(&inode, inode.size, end)?;
                volume.set_size(&mut inode, end)?;
            }
            inode.mtime = Timestamp::now();
            inode.ctime = inode.mtime;
            volume.store_inode(&inode)?;
            Ok(next)
        })?;
        if at >= last {
            return Ok(());
        }
    }
}
