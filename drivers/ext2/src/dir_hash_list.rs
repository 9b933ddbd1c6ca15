//! Directories, listed by hash.
//!
//! While names come and go, an index moves entries between blocks, so a byte offset is no place to
//! go on from. The hash of a name is: a cookie is 31 bits of the major hash and 12 of the minor
//! one. Names that share all of these are told apart by how many of them the handle has already
//! given.

use crate::dir::Entries;
use crate::dirhash::{Hasher, NameHash};
use crate::error::{Corrupt, Result};
use crate::handles::{Copied, Position};
use crate::htree::Frame;
use crate::inode::Inode;
use crate::volume::Volume;
use abi::fs::FileKind;

/// Behind all names.
const END: u64 = (1 << 43) - 1;

/// More names than this do not share one hash.
const BATCH_MAX: usize = 1 << 16;

/// An entry of a leaf, copied out.
struct Listed {
    key: u64,
    hash: NameHash,
    ino: u32,
    kind: Option<FileKind>,
    name: Vec<u8>,
}

/// The cookie of a hash, never 0.
fn key_of(hash: NameHash) -> u64 {
    let key = (u64::from(hash.major >> 1) << 12) | u64::from(hash.minor >> 20);
    key.clamp(1, END.saturating_sub(1))
}

impl Volume {
    /// Lists `dir` in the order of hashes from a position on.
    pub(crate) fn list_by_hash(
        &self,
        dir: &Inode,
        from: Position,
        take: &mut dyn FnMut(Copied) -> bool,
    ) -> Result<()> {
        let mut skip = from.given;
        let (hasher, mut way) = match self.index_hasher(dir)? {
            Some(hasher) => {
                let major = u32::try_from(from.cookie >> 12).unwrap_or(u32::MAX >> 1) << 1;
                (hasher, Some(self.index_way(dir, major)?))
            }
            None => (self.hasher(self.sb.hash_version), None),
        };
        // Names of the hash at which one leaf ends may go on in the next: they are sorted together.
        let mut batch: Vec<Listed> = Vec::new();
        for _ in 0..self.dir_blocks(dir)? {
            let leaf = way.as_deref().map_or(0, Self::index_leaf);
            self.collect(dir, hasher, leaf, from.cookie, &mut batch)?;
            let next = self.next_leaf(dir, &mut way)?;
            if next.is_some_and(|hash| hash & 1 == 1) {
                if batch.len() > BATCH_MAX {
                    let block = crate::le::low32(leaf);
                    return Err(Corrupt::IndexBlock { ino: dir.ino, block }.into());
                }
                continue;
            }
            batch.sort_by(|a, b| (a.key, a.hash, &a.name).cmp(&(b.key, b.hash, &b.name)));
            if !offer(&mut batch, next, &mut skip, take) || next.is_none() {
                return Ok(());
            }
        }
        // A tree has no more leaves than the directory has blocks.
        Err(Corrupt::IndexBlock { ino: dir.ino, block: 0 }.into())
    }

    fn next_leaf(&self, dir: &Inode, way: &mut Option<Vec<Frame>>) -> Result<Option<u32>> {
        match way {
            Some(way) => self.index_next(dir, way),
            None => Ok(None),
        }
    }

    fn collect(
        &self,
        dir: &Inode,
        hasher: Hasher,
        leaf: u64,
        from: u64,
        batch: &mut Vec<Listed>,
    ) -> Result<()> {
        let (_, bytes) = self.dir_block(dir, leaf)?;
        let base = self.sb.byte_of(leaf);
        for entry in Entries::new(self, dir.ino, &bytes, base) {
            let entry = entry?;
            if entry.inode == 0 || entry.is_dots() {
                continue;
            }
            self.check_entry(dir, base, &entry)?;
            let hash = hasher.hash(entry.name).unwrap_or_default();
            let key = key_of(hash);
            if key >= from {
                let (ino, kind, name) = (entry.inode, entry.kind(), entry.name.to_vec());
                batch.push(Listed { key, hash, ino, kind, name });
            }
        }
        Ok(())
    }
}

/// Offers a sorted batch; false if the taker had enough. The cookie of an entry is the key of the one
/// after it.
fn offer(
    batch: &mut Vec<Listed>,
    next_leaf: Option<u32>,
    skip: &mut usize,
    take: &mut dyn FnMut(Copied) -> bool,
) -> bool {
    let behind = next_leaf.map_or(END, |hash| key_of(NameHash { major: hash & !1, minor: 0 }));
    let mut same = (0, 0usize);
    let mut rest = batch.drain(..).peekable();
    while let Some(entry) = rest.next() {
        let times = if same.0 == entry.key { same.1.saturating_add(1) } else { 1 };
        same = (entry.key, times);
        if *skip > 0 {
            *skip = skip.saturating_sub(1);
            continue;
        }
        let next = rest.peek().map_or(behind, |after| after.key);
        let given = if next == entry.key { times } else { 0 };
        let Listed { ino, kind, name, .. } = entry;
        if !take(Copied { ino, kind, name, position: Position { cookie: next, given } }) {
            return false;
        }
    }
    true
}
