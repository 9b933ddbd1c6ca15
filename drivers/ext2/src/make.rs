//! Files made: an inode, what belongs to its type, and its name.

use crate::dir_edit::NewEntry;
use crate::error::{Error, Result};
use crate::features::RoCompat;
use crate::inode::{FLAGS_INHERITED, FLAGS_SPECIAL, I_BLOCK_BYTES, Inode, InodeFlags};
use crate::le::{low32, put, us, wide};
use crate::map::{Place, Run};
use crate::seal::{Kind, inode_seed};
use crate::volume::Volume;
use abi::Errno;
use abi::dev::DevNum;
use abi::fs::{Caller, FileKind, Ino, Timestamp};

/// `S_ISGID`
const SET_GID: u16 = 0o2000;

/// What is to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recipe<'a> {
    pub(crate) caller: Caller,
    pub(crate) kind: FileKind,
    pub(crate) perm: u16,
    pub(crate) rdev: DevNum,
    /// Where a symbolic link leads.
    pub(crate) target: &'a [u8],
}

impl Volume {
    /// A directory that names can be put into.
    ///
    /// # Errors
    /// - `ENOTDIR`, `ENOENT` if it was removed, `EPERM` if it is immutable.
    pub(crate) fn dir_for_change(&self, parent: Ino) -> Result<Inode> {
        let dir = self.inode(parent)?;
        if !dir.is_dir() {
            return Error::answer(Errno::ENOTDIR);
        }
        if dir.links == 0 {
            return Error::answer(Errno::ENOENT);
        }
        if dir.has(InodeFlags::IMMUTABLE) {
            return Error::answer(Errno::EPERM);
        }
        Ok(dir)
    }

    /// The most links of an inode.
    pub(crate) fn links_max(&self) -> u16 {
        if self.sb.has_extents() || self.sb.ro_compat.contains(RoCompat::DIR_NLINK) {
            65000
        } else {
            32000
        }
    }

    /// One more directory in `dir`, as `ext4_inc_count`: past the most, 1 says "many".
    ///
    /// # Errors
    /// - `EMLINK`
    pub(crate) fn add_dir_link(&self, dir: &mut Inode) -> Result<()> {
        let may_be_many =
            self.sb.ro_compat.contains(RoCompat::DIR_NLINK) && dir.has(InodeFlags::INDEX);
        if dir.links == 1 && may_be_many {
            return Ok(());
        }
        if dir.links >= self.links_max() {
            if !may_be_many {
                return Error::answer(Errno::EMLINK);
            }
            dir.links = 1;
            return Ok(());
        }
        dir.links = dir.links.saturating_add(1);
        Ok(())
    }

    /// One directory less in `dir`, as `ext4_dec_count`.
    pub(crate) fn drop_dir_link(dir: &mut Inode) {
        if dir.links > 2 {
            dir.links = dir.links.saturating_sub(1);
        }
    }

    /// An inode for `recipe` in `dir`, without a name, stored. Its link count is 0.
    pub(crate) fn new_inode(&mut self, dir: &Inode, recipe: &Recipe<'_>) -> Result<Inode> {
        let is_dir = matches!(recipe.kind, FileKind::Directory);
        let ino = self.alloc_ino(dir.ino, is_dir)?;
        let now = Timestamp::now();
        let takes_group = dir.perm & SET_GID != 0;
        let perm = recipe.perm & 0o7777;
        let generation = self.next_generation(ino);
        let has_content = matches!(recipe.kind, FileKind::Regular | FileKind::Directory);
        let inherited = if has_content { FLAGS_INHERITED } else { FLAGS_SPECIAL };
        let mut inode = Inode {
            ino,
            kind: recipe.kind,
            perm: if takes_group && is_dir { perm | SET_GID } else { perm },
            uid: recipe.caller.uid,
            gid: if takes_group { dir.gid } else { recipe.caller.gid },
            links: 0,
            size: 0,
            blocks_512: 0,
            flags: InodeFlags::from_bits_retain(dir.flags.bits() & inherited),
            atime: now,
            mtime: now,
            ctime: now,
            btime: (self.sb.want_extra_isize >= 24).then_some(now),
            dtime: 0,
            generation,
            file_acl: 0,
            extra_isize: self.sb.want_extra_isize,
            i_block: [0; I_BLOCK_BYTES],
            seed: if self.sb.has_metadata_csum() {
                inode_seed(self.sb.csum_seed, ino, generation)
            } else {
                0
            },
        };
        if has_content && self.sb.has_extents() {
            inode.flags |= InodeFlags::EXTENTS;
            crate::extent_edit::init_root(&mut inode);
        }
        self.store_new_inode(&inode)?;
        match recipe.kind {
            FileKind::Symlink => self.init_link(&mut inode, recipe.target)?,
            FileKind::CharDevice | FileKind::BlockDevice => inode.set_rdev(recipe.rdev),
            FileKind::Directory => self.init_dir(&mut inode, dir.ino)?,
            FileKind::Regular | FileKind::Fifo | FileKind::Socket => {}
        }
        self.inherit_acl(dir, &mut inode)?;
        Ok(inode)
    }

    /// A generation that the inode number did not have before, by all likelihood.
    fn next_generation(&mut self, ino: u32) -> u32 {
        self.generation = self.generation.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.generation ^ ino
    }

    /// Stores where a symbolic link leads: in the inode if it fits, else in a block.
    fn init_link(&mut self, inode: &mut Inode, target: &[u8]) -> Result<()> {
        inode.size = wide(target.len());
        if target.len() < I_BLOCK_BYTES {
            put(&mut inode.i_block, 0, target);
            return Ok(());
        }
        if self.sb.has_extents() {
            inode.flags |= InodeFlags::EXTENTS;
            crate::extent_edit::init_root(inode);
        }
        let block = self.alloc_block(self.home_goal(inode.ino))?;
        self.insert_mapping(inode, 0, Run { place: Place::Data(block), len: 1 })?;
        put(self.fresh(block, Kind::Plain)?, 0, target);
        Ok(())
    }

    /// Makes a file of any type with a name.
    ///
    /// # Errors
    /// `ENOTDIR`, `ENOENT`, `EEXIST`, `ENAMETOOLONG` for a target, `EMLINK`, `ENOSPC`.
    pub(crate) fn make(&mut self, parent: Ino, name: &[u8], recipe: &Recipe<'_>) -> Result<Inode> {
        let mut dir = self.dir_for_change(parent)?;
        if self.find(&dir, name)?.is_some() {
            return Error::answer(Errno::EEXIST);
        }
        if matches!(recipe.kind, FileKind::Symlink) {
            let most = us(self.sb.block_size()).min(4096);
            match recipe.target.len() {
                0 => return Error::answer(Errno::ENOENT),
                len if len >= most => return Error::answer(Errno::ENAMETOOLONG),
                _ => {}
            }
        }
        let is_dir = matches!(recipe.kind, FileKind::Directory);
        if is_dir {
            self.add_dir_link(&mut dir)?;
        }
        let mut inode = self.new_inode(&dir, recipe)?;
        inode.links = if is_dir { 2 } else { 1 };
        self.store_inode(&inode)?;
        self.mark_born(inode.ino, dir.ino);
        self.name_inode(&mut dir, name, &inode)?;
        Ok(inode)
    }

    /// Puts a name for `inode` into `dir`, whose times move and which is stored.
    pub(crate) fn name_inode(&mut self, dir: &mut Inode, name: &[u8], inode: &Inode) -> Result<()> {
        let file_type = self.type_byte(inode.kind);
        self.add_name(dir, &NewEntry { name, ino: inode.ino, file_type })?;
        Self::touch_dir(dir);
        self.store_inode(dir)
    }

    pub(crate) fn touch_dir(dir: &mut Inode) {
        let now = Timestamp::now();
        dir.mtime = now;
        dir.ctime = now;
    }

    /// Gives an inode one more name. `is_unnamed_ok` if it may have none yet.
    ///
    /// # Errors
    /// `EPERM` for a directory, `ENOTDIR`, `EEXIST`, `ENOENT` if it has no name left, `EMLINK`,
    /// `ENOSPC`.
    pub(crate) fn link(
        &mut self,
        ino: Ino,
        parent: Ino,
        name: &[u8],
        is_unnamed_ok: bool,
    ) -> Result<Inode> {
        let mut inode = self.inode(ino)?;
        if inode.is_dir() || inode.flags.intersects(InodeFlags::IMMUTABLE | InodeFlags::APPEND) {
            return Error::answer(Errno::EPERM);
        }
        let mut dir = self.dir_for_change(parent)?;
        if self.find(&dir, name)?.is_some() {
            return Error::answer(Errno::EEXIST);
        }
        if inode.links == 0 {
            if !is_unnamed_ok {
                return Error::answer(Errno::ENOENT);
            }
            self.remove_orphan(&mut inode)?;
        }
        if inode.links >= self.links_max() {
            return Error::answer(Errno::EMLINK);
        }
        inode.links = inode.links.saturating_add(1);
        inode.ctime = Timestamp::now();
        self.store_inode(&inode)?;
        self.name_inode(&mut dir, name, &inode)?;
        self.mark_gain_of(&dir, name, &inode)?;
        Ok(inode)
    }

    /// Makes a file without a name, on the list of orphans.
    ///
    /// # Errors
    /// `ENOTDIR`, `ENOSPC`.
    pub(crate) fn make_unnamed(&mut self, parent: Ino, recipe: &Recipe<'_>) -> Result<Inode> {
        let dir = self.dir_for_change(parent)?;
        let mut inode = self.new_inode(&dir, recipe)?;
        self.add_orphan(&mut inode)?;
        self.store_inode(&inode)?;
        self.mark_born(inode.ino, dir.ino);
        Ok(inode)
    }

    /// A seed for generations: the time of the mount.
    pub(crate) fn seed_generation(&mut self) {
        let now = Timestamp::now();
        self.generation = low32(now.seconds.cast_unsigned()) ^ now.nanos;
    }
}
