//! Directories, changed: names put in, taken out, pointed elsewhere.

use crate::dir::{ENTRY_HEAD, ENTRY_MIN, Entries, Found};
use crate::error::{Corrupt, Error, Result};
use crate::features::{Compat, Incompat};
use crate::inode::{Inode, InodeFlags, dir_type};
use crate::le::{low8, low16, low32, put, put_u8, put_u16, put_u32, round4, wide};
use crate::map::{Place, Run};
use crate::seal::{DIR_TAIL, Kind, rec_len};
use crate::volume::Volume;
use abi::Errno;
use abi::fs::FileKind;

/// A name on its way into a directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewEntry<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) ino: u32,
    /// The type byte; 0 where directories have none.
    pub(crate) file_type: u8,
}

impl NewEntry<'_> {
    /// Bytes of the entry.
    pub(crate) fn len(&self) -> usize {
        entry_len(self.name.len())
    }

    /// Writes the entry.
    pub(crate) fn emit(&self, bytes: &mut [u8], at: usize, len: usize) {
        put_u32(bytes, at, self.ino);
        put_rec_len(bytes, at, len);
        put_u8(bytes, at.saturating_add(6), low8(low32(wide(self.name.len()))));
        put_u8(bytes, at.saturating_add(7), self.file_type);
        put(bytes, at.saturating_add(ENTRY_HEAD), self.name);
    }
}

/// Bytes of an entry with a name of `name_len` bytes.
pub(crate) fn entry_len(name_len: usize) -> usize {
    round4(name_len.saturating_add(ENTRY_HEAD)).max(ENTRY_MIN)
}

/// Writes `rec_len`, as `ext4_rec_len_to_disk`.
pub(crate) fn put_rec_len(bytes: &mut [u8], at: usize, len: usize) {
    let raw = if len >= 65536 { 65535 } else { low16(low32(wide(len))) };
    put_u16(bytes, at.saturating_add(4), raw);
}

impl Volume {
    /// The type byte for `kind`, where directories have one.
    pub(crate) fn type_byte(&self, kind: FileKind) -> u8 {
        if self.sb.incompat.contains(Incompat::FILETYPE) { dir_type(kind) } else { 0 }
    }

    /// Bytes of a block that entries may fill.
    pub(crate) fn dir_room(&self) -> usize {
        let tail = if self.sb.has_metadata_csum() { DIR_TAIL } else { 0 };
        self.sb.block_bytes().saturating_sub(tail)
    }

    /// Makes `bytes` an empty block of a directory.
    pub(crate) fn init_dir_block(&self, bytes: &mut [u8]) {
        bytes.fill(0);
        let room = self.dir_room();
        put_rec_len(bytes, 0, room);
        if self.sb.has_metadata_csum() {
            put_rec_len(bytes, room, DIR_TAIL);
            put_u8(bytes, room.saturating_add(7), 0xde);
        }
    }

    /// Adds a block at the end of a directory, empty; returns its place in the file and its number.
    /// The inode is left to be stored.
    pub(crate) fn append_dir_block(&mut self, dir: &mut Inode) -> Result<(u64, u64)> {
        let file_block = self.dir_blocks(dir)?;
        if file_block >= self.file_blocks_max(dir) || file_block >= 1 << 28 {
            return Error::answer(Errno::ENOSPC);
        }
        let before = file_block.checked_sub(1);
        let goal = match before {
            Some(before) => self.map(dir, before, 1)?.block().map_or(0, |b| b.saturating_add(1)),
            None => self.home_goal(dir.ino),
        };
        let block = self.alloc_block(goal)?;
        self.insert_mapping(dir, file_block, Run { place: Place::Data(block), len: 1 })?;
        let size = self.sb.byte_of(file_block.saturating_add(1));
        self.set_size(dir, size)?;
        let kind = self.dir_kind(dir, file_block);
        let mut empty = vec![0; self.sb.block_bytes()];
        self.init_dir_block(&mut empty);
        self.fresh(block, kind)?.copy_from_slice(&empty);
        Ok((file_block, block))
    }

    /// Where in a block an entry of `len` bytes fits: the entry whose slack takes it, and whether
    /// that is in use.
    fn find_room(
        &self,
        dir: &Inode,
        bytes: &[u8],
        base: u64,
        len: usize,
    ) -> Result<Option<(usize, usize)>> {
        let room = self.dir_room();
        for entry in Entries::new(self, dir.ino, bytes, base) {
            let entry = entry?;
            let used = if entry.inode == 0 { 0 } else { entry_len(entry.name.len()) };
            if entry.at < room && entry.rec_len.saturating_sub(used) >= len {
                return Ok(Some((entry.at, used)));
            }
        }
        Ok(None)
    }

    /// Puts a name for inode `ino` into a copy of a leaf, if it fits and is not there: `#` and the
    /// number, as e2fsck gives it in `lost+found`.
    pub(crate) fn insert_stray(&self, bytes: &mut [u8], ino: u32) {
        let name = format!("#{ino}").into_bytes();
        let entry = NewEntry { name: &name, ino, file_type: 0 };
        let (mut place, room) = (None, self.dir_room());
        for other in Entries::new(self, 0, bytes, 0) {
            let Ok(other) = other else { return };
            if other.inode != 0 && other.name == name.as_slice() {
                return;
            }
            let used = if other.inode == 0 { 0 } else { entry_len(other.name.len()) };
            if other.at < room && other.rec_len.saturating_sub(used) >= entry.len() {
                place = Some((other.at, used, other.rec_len));
            }
        }
        let Some((at, used, len)) = place else { return };
        if used > 0 {
            put_rec_len(bytes, at, used);
        }
        entry.emit(bytes, at.saturating_add(used), len.saturating_sub(used));
    }

    /// Puts an entry into block `file_block`, if it fits.
    pub(crate) fn insert_in_block(
        &mut self,
        dir: &Inode,
        file_block: u64,
        entry: &NewEntry<'_>,
    ) -> Result<bool> {
        let (block, bytes) = self.dir_block(dir, file_block)?;
        let base = self.sb.byte_of(file_block);
        let Some((at, used)) = self.find_room(dir, &bytes, base, entry.len())? else {
            return Ok(false);
        };
        drop(bytes);
        let kind = self.dir_kind(dir, file_block);
        let bytes = self.edit(block, kind)?;
        let len = rec_len(bytes, at);
        if used > 0 {
            put_rec_len(bytes, at, used);
        }
        entry.emit(bytes, at.saturating_add(used), len.saturating_sub(used));
        Ok(true)
    }

    /// Puts a name into a directory that does not hold it. The directory's inode is changed, not
    /// stored.
    ///
    /// # Errors
    /// - `ENOSPC`
    pub(crate) fn add_name(&mut self, dir: &mut Inode, entry: &NewEntry<'_>) -> Result<()> {
        if let Some(hasher) = self.index_hasher(dir)? {
            return self.add_indexed(dir, hasher, entry);
        }
        if dir.has(InodeFlags::INDEX) {
            // The volume has no indexes: what this one says stops being true here.
            dir.flags.remove(InodeFlags::INDEX);
        }
        let blocks = self.dir_blocks(dir)?;
        // The last one first: in a directory that grows, that is where there is room.
        for file_block in (0..blocks).rev() {
            if self.insert_in_block(dir, file_block, entry)? {
                return Ok(());
            }
        }
        if blocks == 1
            && self.sb.compat.contains(Compat::DIR_INDEX)
            && let Some(hasher) = self.make_indexed(dir)?
        {
            return self.add_indexed(dir, hasher, entry);
        }
        let (file_block, _) = self.append_dir_block(dir)?;
        if self.insert_in_block(dir, file_block, entry)? {
            Ok(())
        } else {
            Err(Corrupt::DirHole { ino: dir.ino, block: file_block }.into())
        }
    }

    /// Takes a name out. Its space goes to the entry before it.
    pub(crate) fn remove_name(&mut self, dir: &Inode, found: &Found) -> Result<()> {
        let bytes = self.block(found.block, self.dir_kind(dir, found.file_block))?;
        let mut before = None;
        for entry in Entries::new(self, dir.ino, &bytes, self.sb.byte_of(found.file_block)) {
            let entry = entry?;
            if entry.at >= found.at {
                break;
            }
            before = Some(entry.at);
        }
        drop(bytes);
        let kind = self.dir_kind(dir, found.file_block);
        let bytes = self.edit(found.block, kind)?;
        let len = rec_len(bytes, found.at);
        match before {
            Some(before) => {
                let whole = rec_len(bytes, before).saturating_add(len);
                put_rec_len(bytes, before, whole);
                crate::le::zero(bytes, found.at, len);
            }
            None => {
                let len = len.saturating_sub(6);
                put_u32(bytes, found.at, 0);
                crate::le::zero(bytes, found.at.saturating_add(6), len);
            }
        }
        Ok(())
    }

    /// Points a name at another inode.
    pub(crate) fn point_name(
        &mut self,
        dir: &Inode,
        found: &Found,
        ino: u32,
        kind: FileKind,
    ) -> Result<()> {
        let type_byte = self.type_byte(kind);
        let has_type = self.sb.incompat.contains(Incompat::FILETYPE);
        let block_kind = self.dir_kind(dir, found.file_block);
        let bytes = self.edit(found.block, block_kind)?;
        put_u32(bytes, found.at, ino);
        if has_type {
            put_u8(bytes, found.at.saturating_add(7), type_byte);
        }
        Ok(())
    }

    /// Points `..` at another directory.
    pub(crate) fn point_dotdot(&mut self, dir: &Inode, parent: u32) -> Result<()> {
        let (_, block, at) = self.dotdot(dir)?;
        let kind = self.dir_kind(dir, 0);
        put_u32(self.edit(block, kind)?, at, parent);
        Ok(())
    }

    /// Gives a new directory its first block with the two dots.
    pub(crate) fn init_dir(&mut self, dir: &mut Inode, parent: u32) -> Result<()> {
        let (_, block) = self.append_dir_block(dir)?;
        let room = self.dir_room();
        let file_type = self.type_byte(FileKind::Directory);
        let kind = self.dir_kind(dir, 0);
        let ino = dir.ino;
        let bytes = self.edit(block, kind)?;
        NewEntry { name: b".", ino, file_type }.emit(bytes, 0, 12);
        NewEntry { name: b"..", ino: parent, file_type }.emit(bytes, 12, room.saturating_sub(12));
        Ok(())
    }

    /// Whether a directory is listed by hash: its entries may move between blocks.
    pub(crate) fn is_listed_by_hash(&self, dir: &Inode) -> bool {
        self.sb.compat.contains(Compat::DIR_INDEX)
            && !dir.flags.intersects(InodeFlags::CASEFOLD | InodeFlags::INLINE_DATA)
            && (dir.has(InodeFlags::INDEX) || self.sb.block_of(dir.size) == 1)
    }

    /// The kind of a block that is known to be a leaf.
    pub(crate) fn leaf_kind(&self, dir: &Inode, file_block: u64) -> Kind {
        self.dir_kind(dir, file_block)
    }
}
