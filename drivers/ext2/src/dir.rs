//! Directories, read entry by entry.
//!
//! A block of a directory is a chain of entries that fills it: inode, `rec_len`, `name_len`, type,
//! name. An entry of inode 0 is free space; so nodes of an index and the checksum at the end look
//! like free space to a reader that walks the chain. Source:
//! `Documentation/filesystems/ext4/directory.rst`.

use crate::cache::Buf;
use crate::error::{Corrupt, Error, Result};
use crate::features::{Compat, Incompat};
use crate::handles::{Copied, Position};
use crate::inode::{Inode, InodeFlags};
use crate::le::{bytes_at, u8_at, u16_at, u32_at, us, wide};
use crate::map::Place;
use crate::seal::{DirKind, Kind, rec_len};
use crate::volume::Volume;
use abi::Errno;
use abi::fs::FileKind;

/// Bytes of an entry before its name.
pub(crate) const ENTRY_HEAD: usize = 8;
/// The shortest entry: a name of one to four bytes.
pub(crate) const ENTRY_MIN: usize = 12;
/// `ENOKEY`: the directory or file is encrypted and there is no key here.
pub(crate) const ENOKEY: Errno = Errno::from_raw(126);

/// One entry of a chain, its lengths checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// Where it begins in its block.
    pub(crate) at: usize,
    /// 0 for free space.
    pub(crate) inode: u32,
    pub(crate) rec_len: usize,
    pub(crate) file_type: u8,
    pub(crate) name: &'a [u8],
}

impl Entry<'_> {
    /// The type that the entry records, if it does.
    pub(crate) fn kind(&self) -> Option<FileKind> {
        match self.file_type & 7 {
            1 => Some(FileKind::Regular),
            2 => Some(FileKind::Directory),
            3 => Some(FileKind::CharDevice),
            4 => Some(FileKind::BlockDevice),
            5 => Some(FileKind::Fifo),
            6 => Some(FileKind::Socket),
            7 => Some(FileKind::Symlink),
            _ => None,
        }
    }

    pub(crate) fn is_dots(&self) -> bool {
        self.name == b"." || self.name == b".."
    }

    /// Where the entry after it begins.
    pub(crate) fn end(&self) -> usize {
        self.at.saturating_add(self.rec_len)
    }
}

/// Walks the chain of a block. It ends at the end of the block or with an error.
pub(crate) struct Entries<'a> {
    ino: u32,
    bytes: &'a [u8],
    /// The byte of the directory at which `bytes` begins.
    base: u64,
    has_type: bool,
    at: usize,
}

impl<'a> Entries<'a> {
    pub(crate) fn new(volume: &Volume, ino: u32, bytes: &'a [u8], base: u64) -> Self {
        let has_type = volume.sb.incompat.contains(Incompat::FILETYPE);
        Self { ino, bytes, base, has_type, at: 0 }
    }

    fn parse(&self, at: usize) -> Result<Entry<'a>> {
        let (ino, offset) = (self.ino, self.base.saturating_add(wide(at)));
        let len = rec_len(self.bytes, at);
        let left = self.bytes.len().saturating_sub(at);
        // In a small inline directory the last hole may be shorter than any entry.
        let is_entry = len >= ENTRY_MIN || len >= ENTRY_HEAD && u32_at(self.bytes, at) == 0;
        if !is_entry || len & 3 != 0 || len > left {
            let rec_len = u32::try_from(len).unwrap_or(0);
            return Err(Corrupt::DirEntryLength { ino, offset, rec_len }.into());
        }
        let inode = u32_at(self.bytes, at);
        let name_len = u8_at(self.bytes, at.saturating_add(6));
        let type_byte = u8_at(self.bytes, at.saturating_add(7));
        let is_long = !self.has_type && type_byte != 0 && inode != 0;
        if us(name_len).saturating_add(ENTRY_HEAD) > len && inode != 0 || is_long {
            let rec_len = u32::try_from(len).unwrap_or(0);
            return Err(Corrupt::DirNameLength { ino, offset, rec_len, name_len }.into());
        }
        Ok(Entry {
            at,
            inode,
            rec_len: len,
            file_type: if self.has_type { type_byte } else { 0 },
            name: bytes_at(self.bytes, at.saturating_add(ENTRY_HEAD), us(name_len)),
        })
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let entry = self.parse(self.at);
        self.at = entry.as_ref().map_or(self.bytes.len(), Entry::end);
        Some(entry)
    }
}

/// A name that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) inode: u32,
    /// The file block that holds the entry.
    pub(crate) file_block: u64,
    /// The block that holds the entry; 0 in an inline directory.
    pub(crate) block: u64,
    /// Where in the block.
    pub(crate) at: usize,
}

impl Volume {
    /// The bytes of a directory that lie in its inode: where they begin and what they are.
    fn inline_regions(&self, dir: &Inode) -> Result<[(u64, Vec<u8>); 2]> {
        let data = self.inline_data(dir)?;
        let first = data.get(4..60).unwrap_or_default().to_vec();
        let second = data.get(60..).unwrap_or_default().to_vec();
        Ok([(4, first), (60, second)])
    }

    /// How many blocks a directory has.
    pub(crate) fn dir_blocks(&self, dir: &Inode) -> Result<u64> {
        if dir.has(InodeFlags::INLINE_DATA) {
            return Ok(0);
        }
        // Offsets must fit a cookie, and no directory has more blocks than the volume: that bounds
        // every walk over one.
        let blocks = self.sb.block_of(dir.size);
        if self.sb.within(dir.size) != 0 || dir.size >> 43 != 0 || blocks > self.sb.blocks_count {
            return Err(Corrupt::Size { ino: dir.ino, size: dir.size }.into());
        }
        Ok(blocks)
    }

    /// How block `file_block` of `dir` is summed.
    pub(crate) fn dir_kind(&self, dir: &Inode, file_block: u64) -> Kind {
        let indexed = dir.has(InodeFlags::INDEX) && self.sb.compat.contains(Compat::DIR_INDEX);
        Kind::Dir(DirKind { seed: dir.seed, indexed, first: file_block == 0 })
    }

    /// Block `file_block` of a directory: its number and bytes.
    pub(crate) fn dir_block(&self, dir: &Inode, file_block: u64) -> Result<(u64, Buf)> {
        let Place::Data(block) = self.map(dir, file_block, 1)?.place else {
            return Err(Corrupt::DirHole { ino: dir.ino, block: file_block }.into());
        };
        if !self.sb.holds(block, 1) {
            return Err(Corrupt::Block { block }.into());
        }
        Ok((block, self.block(block, self.dir_kind(dir, file_block))?))
    }

    /// Looks for `name` in one chain.
    pub(crate) fn find_in(
        &self,
        dir: &Inode,
        bytes: &[u8],
        base: u64,
        name: &[u8],
    ) -> Result<Option<(usize, u32)>> {
        for entry in Entries::new(self, dir.ino, bytes, base) {
            let entry = entry?;
            if entry.inode != 0 && entry.name == name {
                return Ok(Some((entry.at, entry.inode)));
            }
        }
        Ok(None)
    }

    /// Looks for `name` in `dir`.
    ///
    /// # Errors
    /// `ENOKEY` if the directory is encrypted.
    pub(crate) fn find(&self, dir: &Inode, name: &[u8]) -> Result<Option<Found>> {
        if dir.has(InodeFlags::ENCRYPT) {
            return Error::answer(ENOKEY);
        }
        if dir.has(InodeFlags::INLINE_DATA) {
            for (base, bytes) in self.inline_regions(dir)? {
                if let Some((at, inode)) = self.find_in(dir, &bytes, base, name)? {
                    return Ok(Some(Found { inode, file_block: 0, block: 0, at }));
                }
            }
            return Ok(None);
        }
        if let Some(hasher) = self.index_hasher(dir)? {
            return self.find_indexed(dir, hasher, name);
        }
        for file_block in 0..self.dir_blocks(dir)? {
            if let Some(found) = self.find_in_block(dir, file_block, name)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    pub(crate) fn find_in_block(
        &self,
        dir: &Inode,
        file_block: u64,
        name: &[u8],
    ) -> Result<Option<Found>> {
        let (block, bytes) = self.dir_block(dir, file_block)?;
        let found = self.find_in(dir, &bytes, self.sb.byte_of(file_block), name)?;
        Ok(found.map(|(at, inode)| Found { inode, file_block, block, at }))
    }

    /// Checks what a listing is about to say.
    pub(crate) fn check_entry(&self, dir: &Inode, base: u64, entry: &Entry<'_>) -> Result<()> {
        let (ino, offset) = (dir.ino, base.saturating_add(wide(entry.at)));
        if entry.inode > self.sb.inodes_count {
            return Err(Corrupt::DirTarget { ino, offset, target: entry.inode }.into());
        }
        if entry.name.is_empty() || entry.name.iter().any(|&b| b == b'/' || b == 0) {
            return Err(Corrupt::DirName { ino, offset }.into());
        }
        Ok(())
    }

    /// Offers the entries of one chain from byte `from` of the directory on; false if the sink was
    /// full. A `from` that is no longer the start of an entry means the first one behind it.
    fn list_chain(
        &self,
        dir: &Inode,
        base: u64,
        bytes: &[u8],
        from: u64,
        take: &mut dyn FnMut(Copied) -> bool,
    ) -> Result<bool> {
        for entry in Entries::new(self, dir.ino, bytes, base) {
            let entry = entry?;
            let offset = base.saturating_add(wide(entry.at));
            if offset < from || entry.inode == 0 || entry.is_dots() {
                continue;
            }
            self.check_entry(dir, base, &entry)?;
            let taken = take(Copied {
                ino: entry.inode,
                kind: entry.kind(),
                name: entry.name.to_vec(),
                position: Position { cookie: base.saturating_add(wide(entry.end())), given: 0 },
            });
            if !taken {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Lists a directory in the order of its blocks; cookies are byte offsets.
    pub(crate) fn list(
        &self,
        dir: &Inode,
        from: u64,
        take: &mut dyn FnMut(Copied) -> bool,
    ) -> Result<()> {
        if dir.has(InodeFlags::ENCRYPT) {
            return Error::answer(ENOKEY);
        }
        if dir.has(InodeFlags::INLINE_DATA) {
            for (base, bytes) in self.inline_regions(dir)? {
                if !self.list_chain(dir, base, &bytes, from, take)? {
                    break;
                }
            }
            return Ok(());
        }
        for file_block in self.sb.block_of(from)..self.dir_blocks(dir)? {
            let (_, bytes) = self.dir_block(dir, file_block)?;
            let base = self.sb.byte_of(file_block);
            if !self.list_chain(dir, base, &bytes, from, take)? {
                break;
            }
        }
        Ok(())
    }

    /// Whether a directory holds nothing but itself and its parent.
    pub(crate) fn is_empty_dir(&self, dir: &Inode) -> Result<bool> {
        for file_block in 0..self.dir_blocks(dir)? {
            let (_, bytes) = self.dir_block(dir, file_block)?;
            for entry in Entries::new(self, dir.ino, &bytes, self.sb.byte_of(file_block)) {
                let entry = entry?;
                if entry.inode != 0 && !entry.is_dots() {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// The inode that `..` names and where that entry lies: block, bytes, offset.
    pub(crate) fn dotdot(&self, dir: &Inode) -> Result<(u32, u64, usize)> {
        let (block, bytes) = self.dir_block(dir, 0)?;
        let dots = Corrupt::DirDots { ino: dir.ino };
        let mut entries = Entries::new(self, dir.ino, &bytes, 0);
        let dot = entries.next().ok_or(dots)??;
        let dotdot = entries.next().ok_or(dots)??;
        if dot.name != b"." || dotdot.name != b".." {
            return Err(dots.into());
        }
        Ok((dotdot.inode, block, dotdot.at))
    }
}

/// The block size must hold at least the two dots and a tail.
pub(crate) fn is_dots_chain(bytes: &[u8]) -> bool {
    u16_at(bytes, 4) == 12 && u8_at(bytes, 6) == 1 && u8_at(bytes, 18) == 2
}
