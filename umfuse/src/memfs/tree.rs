//! All inodes of a mount, and what changes more than one of them.

use super::data::SparseBytes;
use super::directory::Directory;
use super::inode::{Body, Inode};
use abi::fs::{Attr, Caller, FallocateMode, FileKind, Handle, Ino, Name, OpenFlags, RenameFlags};
use abi::{Errno, Result};
use std::collections::HashMap;

/// The root directory.
pub(super) const ROOT: Ino = Ino(1);
const S_ISGID: u16 = 0o2000;

/// What the mount options allow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) chunks: u64,
    pub(super) inodes: u64,
    pub(super) no_atime: bool,
}

/// An open file.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenFile {
    pub(super) ino: Ino,
    pub(super) flags: OpenFlags,
}

/// All inodes of a mount.
#[derive(Debug)]
pub(super) struct Tree {
    inodes: HashMap<Ino, Inode>,
    open: HashMap<Handle, OpenFile>,
    last_ino: u64,
    last_handle: u64,
    used_chunks: u64,
    limits: Limits,
}

impl Tree {
    pub(super) fn new(root_perm: u16, limits: Limits) -> Self {
        let root = Inode::new(Body::Directory(Directory::new(ROOT)), root_perm, 0, 0);
        Self {
            inodes: HashMap::from([(ROOT, root)]),
            open: HashMap::new(),
            last_ino: ROOT.0,
            last_handle: 0,
            used_chunks: 0,
            limits,
        }
    }

    pub(super) fn used_chunks(&self) -> u64 {
        self.used_chunks
    }

    pub(super) fn used_inodes(&self) -> u64 {
        self.inodes.len() as u64
    }

    pub(super) fn inode(&self, ino: Ino) -> Result<&Inode> {
        self.inodes.get(&ino).ok_or(Errno::ESTALE)
    }

    pub(super) fn inode_mut(&mut self, ino: Ino) -> Result<&mut Inode> {
        self.inodes.get_mut(&ino).ok_or(Errno::ESTALE)
    }

    pub(super) fn attr(&self, ino: Ino) -> Result<Attr> {
        self.inode(ino).map(|inode| inode.attr(ino))
    }

    pub(super) fn directory(&self, ino: Ino) -> Result<&Directory> {
        match &self.inode(ino)?.body {
            Body::Directory(directory) => Ok(directory),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn directory_mut(&mut self, ino: Ino) -> Result<&mut Directory> {
        match &mut self.inode_mut(ino)?.body {
            Body::Directory(directory) => Ok(directory),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// The data of a regular file.
    pub(super) fn file(&self, ino: Ino) -> Result<&SparseBytes> {
        match &self.inode(ino)?.body {
            Body::File(data) => Ok(data),
            Body::Directory(_) => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }

    // ---- open files ----

    pub(super) fn open(&mut self, ino: Ino, flags: OpenFlags) -> Result<Handle> {
        self.inode_mut(ino)?.opens += 1;
        self.last_handle += 1;
        let handle = Handle(self.last_handle);
        self.open.insert(handle, OpenFile { ino, flags });
        Ok(handle)
    }

    pub(super) fn opened(&self, handle: Handle) -> Result<OpenFile> {
        self.open.get(&handle).copied().ok_or(Errno::EBADF)
    }

    pub(super) fn opened_for_writing(&self, handle: Handle) -> Result<Ino> {
        let open = self.opened(handle)?;
        if open.flags.contains(OpenFlags::WRITE) { Ok(open.ino) } else { Err(Errno::EBADF) }
    }

    pub(super) fn release(&mut self, handle: Handle) {
        let Some(open) = self.open.remove(&handle) else { return };
        if let Some(inode) = self.inodes.get_mut(&open.ino) {
            inode.opens = inode.opens.saturating_sub(1);
        }
        self.drop_if_unused(open.ino);
    }

    /// An inode with neither name nor open file is gone.
    fn drop_if_unused(&mut self, ino: Ino) {
        let is_unused = self.inodes.get(&ino).is_some_and(|i| i.nlink == 0 && i.opens == 0);
        if is_unused && let Some(Inode { body: Body::File(data), .. }) = self.inodes.remove(&ino) {
            self.used_chunks = self.used_chunks.saturating_sub(data.chunks());
        }
    }

    // ---- data ----

    /// Runs `change` on the data of `ino` with the budget of chunks that is left, and counts what it took or freed.
    fn with_data<T>(
        &mut self,
        ino: Ino,
        change: impl FnOnce(&mut SparseBytes, &mut u64) -> T,
    ) -> Result<T> {
        self.file(ino)?;
        let mut budget = self.limits.chunks.saturating_sub(self.used_chunks);
        let Body::File(data) = &mut self.inode_mut(ino)?.body else { return Err(Errno::EINVAL) };
        let before = data.chunks();
        let answer = change(data, &mut budget);
        let after = data.chunks();
        self.used_chunks = (self.used_chunks + after).saturating_sub(before);
        Ok(answer)
    }

    pub(super) fn resize(&mut self, ino: Ino, size_bytes: u64) -> Result<()> {
        self.file(ino)?;
        check_end(size_bytes, 0)?;
        self.with_data(ino, |data, _| data.resize(size_bytes))?;
        self.inode_mut(ino)?.touch_mtime();
        Ok(())
    }

    pub(super) fn write(&mut self, ino: Ino, buf: &[u8], offset: u64) -> Result<usize> {
        check_end(offset, buf.len() as u64)?;
        let done = self.with_data(ino, |data, budget| data.write(buf, offset, budget))?;
        if done == 0 && !buf.is_empty() {
            return Err(Errno::ENOSPC);
        }
        self.inode_mut(ino)?.touch_mtime();
        Ok(done)
    }

    pub(super) fn fallocate(
        &mut self,
        ino: Ino,
        mode: FallocateMode,
        offset: u64,
        length: u64,
    ) -> Result<()> {
        let (keep, punch) = (FallocateMode::KEEP_SIZE, FallocateMode::PUNCH_HOLE);
        let zero = FallocateMode::ZERO_RANGE;
        if mode != FallocateMode::empty()
            && ![keep, punch | keep, zero, zero | keep].contains(&mode)
        {
            return Err(Errno::EOPNOTSUPP);
        }
        let end = check_end(offset, length)?;
        let is_done = self.with_data(ino, |data, budget| {
            if mode.contains(punch) {
                data.punch(offset, length);
                return true;
            }
            if !data.allocate(offset, length, budget) {
                return false;
            }
            if mode.contains(zero) {
                data.clear(offset, length);
            }
            if !mode.contains(keep) && data.size_bytes() < end {
                data.resize(end);
            }
            true
        })?;
        self.inode_mut(ino)?.touch_mtime();
        if is_done { Ok(()) } else { Err(Errno::ENOSPC) }
    }

    // ---- names ----

    /// Checks that `name` can be made in `parent`.
    pub(super) fn check_new(&self, parent: Ino, name: Name<'_>) -> Result<()> {
        let directory = self.directory(parent)?;
        if self.inode(parent)?.nlink == 0 {
            return Err(Errno::ENOENT);
        }
        if directory.find(name).is_some() { Err(Errno::EEXIST) } else { Ok(()) }
    }

    /// A new inode, owned as Linux' `inode_init_owner` says.
    fn add(&mut self, caller: Caller, parent: Ino, perm: u16, body: Body) -> Result<Ino> {
        if self.used_inodes() >= self.limits.inodes {
            return Err(Errno::ENOSPC);
        }
        let above = self.inode(parent)?;
        let (mut perm, mut gid) = (perm & 0o7777, caller.gid);
        if above.perm & S_ISGID != 0 {
            gid = above.gid;
            if matches!(body, Body::Directory(_)) {
                perm |= S_ISGID;
            }
        }
        self.last_ino += 1;
        let ino = Ino(self.last_ino);
        self.inodes.insert(ino, Inode::new(body, perm, caller.uid, gid));
        Ok(ino)
    }

    pub(super) fn make(
        &mut self,
        caller: Caller,
        parent: Ino,
        name: Name<'_>,
        perm: u16,
        body: Body,
    ) -> Result<Ino> {
        self.check_new(parent, name)?;
        let is_directory = matches!(body, Body::Directory(_));
        let ino = self.add(caller, parent, perm, body)?;
        self.directory_mut(parent)?.insert(name, ino);
        let above = self.inode_mut(parent)?;
        above.nlink += u32::from(is_directory);
        above.touch_mtime();
        Ok(ino)
    }

    pub(super) fn make_nameless(&mut self, caller: Caller, parent: Ino, perm: u16) -> Result<Ino> {
        self.directory(parent)?;
        let ino = self.add(caller, parent, perm, Body::File(SparseBytes::default()))?;
        let inode = self.inode_mut(ino)?;
        inode.nlink = 0;
        inode.is_nameless = true;
        Ok(ino)
    }

    pub(super) fn link(&mut self, ino: Ino, parent: Ino, name: Name<'_>) -> Result<()> {
        let inode = self.inode(ino)?;
        let is_gone = inode.nlink == 0 && !inode.is_nameless;
        if inode.kind() == FileKind::Directory {
            return Err(Errno::EPERM);
        }
        self.check_new(parent, name)?;
        if is_gone {
            return Err(Errno::ENOENT);
        }
        let inode = self.inode_mut(ino)?;
        inode.nlink = inode.nlink.checked_add(1).ok_or(Errno::EMLINK)?;
        inode.is_nameless = false;
        inode.touch_ctime();
        self.directory_mut(parent)?.insert(name, ino);
        self.inode_mut(parent)?.touch_mtime();
        Ok(())
    }

    pub(super) fn unlink(&mut self, parent: Ino, name: Name<'_>) -> Result<()> {
        let ino = self.directory(parent)?.find(name).ok_or(Errno::ENOENT)?;
        if self.inode(ino)?.kind() == FileKind::Directory {
            return Err(Errno::EISDIR);
        }
        self.take_name(parent, name, ino)
    }

    pub(super) fn rmdir(&mut self, parent: Ino, name: Name<'_>) -> Result<()> {
        let ino = self.directory(parent)?.find(name).ok_or(Errno::ENOENT)?;
        if !self.directory(ino)?.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        self.take_name(parent, name, ino)
    }

    /// Removes a name and what nobody has any longer.
    fn take_name(&mut self, parent: Ino, name: Name<'_>, ino: Ino) -> Result<()> {
        self.directory_mut(parent)?.remove(name);
        let inode = self.inode_mut(ino)?;
        let is_directory = inode.kind() == FileKind::Directory;
        inode.nlink = if is_directory { 0 } else { inode.nlink.saturating_sub(1) };
        inode.touch_ctime();
        let above = self.inode_mut(parent)?;
        above.nlink = above.nlink.saturating_sub(u32::from(is_directory));
        above.touch_mtime();
        self.drop_if_unused(ino);
        Ok(())
    }

    pub(super) fn rename(
        &mut self,
        parent: Ino,
        name: Name<'_>,
        new_parent: Ino,
        new_name: Name<'_>,
        flags: RenameFlags,
    ) -> Result<()> {
        let exchange = flags.contains(RenameFlags::EXCHANGE);
        let no_replace = flags.contains(RenameFlags::NOREPLACE);
        if flags.contains(RenameFlags::WHITEOUT) || (exchange && no_replace) {
            return Err(Errno::EINVAL);
        }
        let (from, to) = (self.directory(parent)?, self.directory(new_parent)?);
        let ino = from.find(name).ok_or(Errno::ENOENT)?;
        let other = to.find(new_name);
        if (exchange && other.is_none()) || self.inode(new_parent)?.nlink == 0 {
            return Err(Errno::ENOENT);
        }
        let above_source = exchange && other.is_some_and(|other| self.is_below(parent, other));
        if self.is_below(new_parent, ino) || above_source {
            return Err(Errno::EINVAL);
        }
        match other {
            Some(_) if no_replace => return Err(Errno::EEXIST),
            Some(other) if other == ino => return Ok(()),
            Some(other) if exchange => {
                self.place(new_parent, new_name, ino, parent)?;
                return self.place(parent, name, other, new_parent);
            }
            // As Linux' name walk has it: what the source lies in is not empty, whatever the source is.
            Some(other) if self.is_below(parent, other) => return Err(Errno::ENOTEMPTY),
            Some(other) => {
                self.check_replace(ino, other)?;
                self.take_name(new_parent, new_name, other)?;
            }
            None => {}
        }
        self.directory_mut(parent)?.remove(name);
        self.inode_mut(parent)?.touch_mtime();
        self.place(new_parent, new_name, ino, parent)
    }

    fn check_replace(&self, ino: Ino, other: Ino) -> Result<()> {
        let is_directory = self.inode(ino)?.kind() == FileKind::Directory;
        match &self.inode(other)?.body {
            Body::Directory(_) if !is_directory => Err(Errno::EISDIR),
            Body::Directory(directory) if !directory.is_empty() => Err(Errno::ENOTEMPTY),
            Body::Directory(_) => Ok(()),
            _ if is_directory => Err(Errno::ENOTDIR),
            _ => Ok(()),
        }
    }

    /// Lets a name stand for an inode that had its name in `old_parent`.
    fn place(&mut self, parent: Ino, name: Name<'_>, ino: Ino, old_parent: Ino) -> Result<()> {
        self.directory_mut(parent)?.insert(name, ino);
        self.inode_mut(parent)?.touch_mtime();
        let inode = self.inode_mut(ino)?;
        inode.touch_ctime();
        if let Body::Directory(directory) = &mut inode.body {
            directory.parent = parent;
            let old = self.inode_mut(old_parent)?;
            old.nlink = old.nlink.saturating_sub(1);
            self.inode_mut(parent)?.nlink += 1;
        }
        Ok(())
    }

    /// Whether `lower` is `upper` or below it.
    fn is_below(&self, lower: Ino, upper: Ino) -> bool {
        let mut at = lower;
        loop {
            if at == upper {
                return true;
            }
            match self.directory(at) {
                Ok(directory) if at != ROOT => at = directory.parent,
                _ => return false,
            }
        }
    }
}

/// The end of a range, inside of what a file offset can be.
fn check_end(offset: u64, length: u64) -> Result<u64> {
    let end = offset.checked_add(length).filter(|end| *end <= i64::MAX.unsigned_abs());
    end.ok_or(Errno::EFBIG)
}
