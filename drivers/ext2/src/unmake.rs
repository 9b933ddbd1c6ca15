//! Names taken away, and moved.

use crate::dir::Found;
use crate::dir_edit::NewEntry;
use crate::error::{Corrupt, Error, Result};
use crate::inode::{Inode, InodeFlags, ROOT_INO};
use crate::make::Recipe;
use crate::volume::Volume;
use abi::Errno;
use abi::dev::DevNum;
use abi::fs::{Caller, FileKind, Ino, RenameFlags, Timestamp};

/// Tells whether an inode is open.
pub(crate) type IsOpen<'a> = &'a dyn Fn(u32) -> bool;

/// A name and the directory it is in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) dir: Ino,
    pub(crate) name: &'a [u8],
}

impl Volume {
    fn found(&self, dir: &Inode, name: &[u8]) -> Result<Found> {
        self.find(dir, name)?.ok_or(Error::Answer(Errno::ENOENT))
    }

    fn target_of(&self, dir: &Inode, found: &Found) -> Result<Inode> {
        self.inode_of_entry(dir.ino, self.sb.byte_of(found.file_block), found.inode)
    }

    fn check_removable(dir: &Inode, inode: &Inode) -> Result<()> {
        let fixed = InodeFlags::IMMUTABLE | InodeFlags::APPEND;
        if inode.flags.intersects(fixed) || dir.has(InodeFlags::APPEND) {
            return Error::answer(Errno::EPERM);
        }
        Ok(())
    }

    /// After the last name of an inode went: it goes too, now, or when it is closed. Returns its
    /// number if there is more to free. The inode is stored.
    fn settle(&mut self, inode: &mut Inode, is_open: IsOpen<'_>) -> Result<Option<u32>> {
        if is_open(inode.ino) {
            self.add_orphan(inode)?;
            self.store_inode(inode)?;
            return Ok(None);
        }
        let is_done = self.evict_step(inode, false)?;
        Ok((!is_done).then_some(inode.ino))
    }

    /// One name less for an inode that is no directory.
    fn drop_link(&mut self, inode: &mut Inode, is_open: IsOpen<'_>) -> Result<Option<u32>> {
        inode.links = inode.links.saturating_sub(1);
        inode.ctime = Timestamp::now();
        if inode.links == 0 {
            return self.settle(inode, is_open);
        }
        self.store_inode(inode)?;
        Ok(None)
    }

    /// unlink(2). Part of a change; the number of an inode that there is more to free of.
    ///
    /// # Errors
    /// `ENOTDIR`, `ENOENT`, `EISDIR`.
    pub(crate) fn unlink(&mut self, place: Place<'_>, is_open: IsOpen<'_>) -> Result<Option<u32>> {
        let mut dir = self.dir_for_change(place.dir)?;
        let found = self.found(&dir, place.name)?;
        let mut inode = self.target_of(&dir, &found)?;
        if inode.is_dir() {
            return Error::answer(Errno::EISDIR);
        }
        Self::check_removable(&dir, &inode)?;
        self.mark_loss(&dir, found.block, &inode)?;
        self.remove_name(&dir, &found)?;
        Self::touch_dir(&mut dir);
        self.store_inode(&dir)?;
        self.drop_link(&mut inode, is_open)
    }

    /// rmdir(2). Part of a change.
    ///
    /// # Errors
    /// `ENOTDIR`, `ENOENT`, `ENOTDIR`, `ENOTEMPTY`.
    pub(crate) fn rmdir(&mut self, place: Place<'_>, is_open: IsOpen<'_>) -> Result<Option<u32>> {
        let mut dir = self.dir_for_change(place.dir)?;
        let found = self.found(&dir, place.name)?;
        let mut inode = self.target_of(&dir, &found)?;
        if !inode.is_dir() {
            return Error::answer(Errno::ENOTDIR);
        }
        if !self.is_empty_dir(&inode)? {
            return Error::answer(Errno::ENOTEMPTY);
        }
        Self::check_removable(&dir, &inode)?;
        self.mark_loss(&dir, found.block, &inode)?;
        self.remove_name(&dir, &found)?;
        Self::drop_dir_link(&mut dir);
        Self::touch_dir(&mut dir);
        self.store_inode(&dir)?;
        inode.links = 0;
        inode.ctime = Timestamp::now();
        self.settle(&mut inode, is_open)
    }

    /// Whether directory `below` is `above` or in it.
    fn is_within(&self, below: u32, above: u32) -> Result<bool> {
        let mut at = below;
        for _ in 0..self.sb.inodes_count.min(1 << 20) {
            if at == above {
                return Ok(true);
            }
            if at == ROOT_INO {
                return Ok(false);
            }
            let dir = self.inode(Ino(u64::from(at)))?;
            at = self.dotdot(&dir)?.0;
        }
        Err(Corrupt::DirDots { ino: below }.into())
    }

    /// renameat2(2). Part of a change; the number of an inode that there is more to free of.
    ///
    /// # Errors
    /// As [`abi::fs::FileSystem::rename`] says.
    pub(crate) fn rename(
        &mut self,
        caller: Caller,
        from: Place<'_>,
        to: Place<'_>,
        flags: RenameFlags,
        is_open: IsOpen<'_>,
    ) -> Result<Option<u32>> {
        let both = RenameFlags::NOREPLACE | RenameFlags::WHITEOUT;
        let is_exchange = flags.contains(RenameFlags::EXCHANGE);
        let is_known = RenameFlags::all().contains(flags);
        if !is_known || is_exchange && flags.intersects(both) {
            return Error::answer(Errno::EINVAL);
        }
        let old_dir = self.dir_for_change(from.dir)?;
        let new_dir = self.dir_for_change(to.dir)?;
        let source = self.found(&old_dir, from.name)?;
        let target = self.find(&new_dir, to.name)?;
        if is_exchange && target.is_none() {
            return Error::answer(Errno::ENOENT);
        }
        let moved = self.target_of(&old_dir, &source)?;
        if moved.is_dir() && self.is_within(new_dir.ino, moved.ino)? {
            return Error::answer(Errno::EINVAL);
        }
        let replaced = match &target {
            Some(found) => Some(self.target_of(&new_dir, found)?),
            None => None,
        };
        if let Some(replaced) = &replaced {
            if is_exchange && replaced.is_dir() && self.is_within(old_dir.ino, replaced.ino)? {
                return Error::answer(Errno::EINVAL);
            }
            if flags.contains(RenameFlags::NOREPLACE) {
                return Error::answer(Errno::EEXIST);
            }
            if replaced.ino == moved.ino {
                return Ok(None);
            }
            Self::check_removable(&new_dir, replaced)?;
        }
        Self::check_removable(&old_dir, &moved)?;
        match (target, replaced) {
            (Some(target), Some(replaced)) if is_exchange => {
                self.exchange(&old_dir, &new_dir, (&source, moved), (&target, replaced))?;
                Ok(None)
            }
            (target, replaced) => {
                let is_whiteout = flags.contains(RenameFlags::WHITEOUT);
                let way = Move { caller, from, to, is_whiteout };
                self.do_move(way, moved, target.zip(replaced), is_open)
            }
        }
    }

    /// The two names trade inodes.
    fn exchange(
        &mut self,
        old_dir: &Inode,
        new_dir: &Inode,
        (source, mut moved): (&Found, Inode),
        (target, mut replaced): (&Found, Inode),
    ) -> Result<()> {
        self.point_name(old_dir, source, replaced.ino, replaced.kind)?;
        self.point_name(new_dir, target, moved.ino, moved.kind)?;
        let (mut old_dir, mut new_dir) = (old_dir.clone(), new_dir.clone());
        if old_dir.ino != new_dir.ino {
            if moved.is_dir() {
                self.point_dotdot(&moved, new_dir.ino)?;
                Self::drop_dir_link(&mut old_dir);
                if !replaced.is_dir() {
                    self.add_dir_link(&mut new_dir)?;
                }
            }
            if replaced.is_dir() {
                self.point_dotdot(&replaced, old_dir.ino)?;
                if moved.is_dir() {
                    self.add_dir_link(&mut old_dir)?;
                } else {
                    Self::drop_dir_link(&mut new_dir);
                    self.add_dir_link(&mut old_dir)?;
                }
            }
        }
        let now = Timestamp::now();
        for inode in [&mut moved, &mut replaced] {
            inode.ctime = now;
            self.store_inode(inode)?;
        }
        Self::touch_dir(&mut old_dir);
        Self::touch_dir(&mut new_dir);
        self.store_inode(&new_dir)?;
        if old_dir.ino != new_dir.ino {
            self.store_inode(&old_dir)?;
        }
        Ok(())
    }

    fn check_replace(&self, moved: &Inode, replaced: &Inode) -> Result<()> {
        match (moved.is_dir(), replaced.is_dir()) {
            (false, true) => Error::answer(Errno::EISDIR),
            (true, false) => Error::answer(Errno::ENOTDIR),
            (true, true) if !self.is_empty_dir(replaced)? => Error::answer(Errno::ENOTEMPTY),
            _ => Ok(()),
        }
    }

    fn do_move(
        &mut self,
        way: Move<'_>,
        mut moved: Inode,
        replaced: Option<(Found, Inode)>,
        is_open: IsOpen<'_>,
    ) -> Result<Option<u32>> {
        let mut new_dir = self.dir_for_change(way.to.dir)?;
        let is_across = way.from.dir != way.to.dir;
        let mut left = None;
        // The block that has the new name, where no other name was in its place.
        let mut arrived = None;
        match replaced {
            Some((found, mut replaced)) => {
                self.check_replace(&moved, &replaced)?;
                self.mark_gain(&new_dir, found.block, &moved, Some(&replaced))?;
                self.point_name(&new_dir, &found, moved.ino, moved.kind)?;
                if replaced.is_dir() {
                    Self::drop_dir_link(&mut new_dir);
                    replaced.links = 0;
                    replaced.ctime = Timestamp::now();
                    left = self.settle(&mut replaced, is_open)?;
                } else {
                    left = self.drop_link(&mut replaced, is_open)?;
                }
            }
            None => {
                let file_type = self.type_byte(moved.kind);
                let entry = NewEntry { name: way.to.name, ino: moved.ino, file_type };
                self.add_name(&mut new_dir, &entry)?;
                arrived = self.find(&new_dir, way.to.name)?.map(|found| found.block);
            }
        }
        if moved.is_dir() && is_across {
            self.add_dir_link(&mut new_dir)?;
            self.point_dotdot(&moved, new_dir.ino)?;
        }
        Self::touch_dir(&mut new_dir);
        self.store_inode(&new_dir)?;
        // The list of orphans or a shared block of inodes may have moved under it: only its time is
        // set.
        moved.ctime = Timestamp::now();
        self.store_inode(&moved)?;
        self.leave_old(&way, &moved, (is_across, arrived))?;
        Ok(left)
    }

    /// The old name goes, or becomes a whiteout. It is looked up again: the new one may have moved
    /// it.
    fn leave_old(
        &mut self,
        way: &Move<'_>,
        moved: &Inode,
        (is_across, arrived): (bool, Option<u64>),
    ) -> Result<()> {
        let mut old_dir = self.dir_for_change(way.from.dir)?;
        let found = self.found(&old_dir, way.from.name)?;
        let new_dir = self.dir_for_change(way.to.dir)?;
        let new_block = match arrived {
            Some(block) => block,
            None => self.found(&new_dir, way.to.name)?.block,
        };
        // Within one block both happen at once.
        if new_block != found.block {
            if arrived.is_some() {
                self.mark_gain(&new_dir, new_block, moved, None)?;
            }
            self.mark_left(found.block, moved)?;
        }
        if way.is_whiteout {
            let recipe = Recipe {
                caller: way.caller,
                kind: FileKind::CharDevice,
                perm: 0,
                rdev: DevNum::default(),
                target: b"",
            };
            let mut whiteout = self.new_inode(&old_dir, &recipe)?;
            whiteout.links = 1;
            self.store_inode(&whiteout)?;
            self.point_name(&old_dir, &found, whiteout.ino, whiteout.kind)?;
        } else {
            self.remove_name(&old_dir, &found)?;
        }
        if moved.is_dir() && is_across {
            Self::drop_dir_link(&mut old_dir);
        }
        Self::touch_dir(&mut old_dir);
        self.store_inode(&old_dir)
    }
}

/// A rename that is no exchange.
#[derive(Clone, Copy)]
struct Move<'a> {
    caller: Caller,
    from: Place<'a>,
    to: Place<'a>,
    is_whiteout: bool,
}
