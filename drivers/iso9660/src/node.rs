//! An inode: attributes, and what is behind it.
//!
//! The image does not change, so that an inode is read once while it is in use.

use crate::directory::Directory;
use crate::entry::Entry;
use crate::error::Error;
use crate::extent::{self, Section};
use crate::record::DirectoryRecord;
use crate::rock::{Compressed, RockRidge};
use crate::volume::Volume;
use abi::dev::DevNum;
use abi::fs::{Attr, FileKind, Ino};
use lru::LruCache;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most inodes that are kept.
const CACHED_NODES_MAX: NonZeroUsize = NonZeroUsize::new(4096).unwrap();
/// A file in more pieces than this is read anew each time: an image must not decide how much memory is used.
const CACHED_SECTIONS_MAX: usize = 64;

/// What everybody may do with files and directories of which nothing is said.
const DEFAULT_PERM: u16 = 0o555;

/// How the stored bytes become the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// They are the file.
    Stored,
    /// zisofs
    Compressed(Compressed),
    /// `SF`
    Sparse,
}

/// The data of a regular file.
#[derive(Clone, Debug)]
pub(crate) struct FileData {
    /// Position of the first directory record, for messages and as the key of the cache.
    pub(crate) position: u64,
    /// Where it lies.
    pub(crate) sections: Vec<Section>,
    /// How it is to be read.
    pub(crate) coding: Coding,
}

/// What is behind an inode.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Directory(Directory),
    File(FileData),
    Link(Vec<u8>),
    Special,
}

/// An inode.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) attr: Attr,
    pub(crate) content: Content,
}

/// The inodes used last.
pub(crate) struct NodeCache(Mutex<LruCache<u64, Arc<Node>>>);

impl Default for NodeCache {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(CACHED_NODES_MAX)))
    }
}

impl NodeCache {
    fn lock(&self) -> MutexGuard<'_, LruCache<u64, Arc<Node>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The inode of this number, if it is kept.
    pub(crate) fn get(&self, ino: Ino) -> Option<Arc<Node>> {
        self.lock().get(&ino.0).map(Arc::clone)
    }

    /// Keeps an inode.
    pub(crate) fn keep(&self, node: Node) -> Arc<Node> {
        let node = Arc::new(node);
        let is_small = match &node.content {
            Content::File(data) => data.sections.len() <= CACHED_SECTIONS_MAX,
            Content::Link(target) => target.len() <= 4096,
            Content::Directory(_) | Content::Special => true,
        };
        if is_small {
            self.lock().put(node.attr.ino.0, Arc::clone(&node));
        }
        node
    }
}

impl Node {
    /// The directory that begins at byte `start`.
    ///
    /// # Errors
    /// Those of [`Directory::open`] and [`RockRidge::read`].
    pub(crate) fn of_directory(volume: &Volume, start: u64) -> Result<Self, Error> {
        let (directory, own) = Directory::open(volume, start)?;
        let record = own.record();
        let rock = RockRidge::read(volume, &record)?;
        let mut attr = base_attr(volume, Ino(start), FileKind::Directory, &record, &rock);
        set_size(&mut attr, u64::from(directory.size_bytes), u64::from(directory.size_bytes));
        Ok(Self { attr, content: Content::Directory(directory) })
    }

    /// What `entry` stands for, if it is not a directory.
    ///
    /// # Errors
    /// - [`Corrupt::LinkTarget`](crate::Corrupt::LinkTarget)
    pub(crate) fn of_entry(volume: &Volume, entry: Entry) -> Result<Self, Error> {
        let (kind, ino) = (entry.kind(volume), entry.ino(volume));
        let mut attr = base_attr(volume, ino, kind, &entry.record(), &entry.rock);
        let position = entry.record().position;
        let Entry { sections, rock, .. } = entry;
        let stored_bytes = extent::total_bytes(&sections);
        let content = match kind {
            FileKind::Symlink => {
                let target = rock.link.finish(position)?;
                set_size(&mut attr, crate::numeric::wide(target.len()), 0);
                Content::Link(target)
            }
            FileKind::Regular => {
                let (coding, size_bytes) = coding(volume, &rock, stored_bytes);
                set_size(&mut attr, size_bytes, stored_bytes);
                Content::File(FileData { position, sections, coding })
            }
            _ => {
                attr.rdev = rock.device.unwrap_or_default();
                Content::Special
            }
        };
        Ok(Self { attr, content })
    }
}

fn coding(volume: &Volume, rock: &RockRidge, stored_bytes: u64) -> (Coding, u64) {
    match (rock.compressed, rock.sparse_bytes) {
        (Some(c), _) if !volume.options.no_compress => (Coding::Compressed(c), c.size_bytes),
        (None, Some(size_bytes)) => (Coding::Sparse, size_bytes),
        _ => (Coding::Stored, stored_bytes),
    }
}

fn set_size(attr: &mut Attr, size_bytes: u64, stored_bytes: u64) {
    // No file offset is larger; an image that says so reads as if it ended there.
    attr.size_bytes = size_bytes.min(i64::MAX.unsigned_abs());
    attr.blocks_512 = stored_bytes.div_ceil(512);
}

fn base_attr(
    volume: &Volume,
    ino: Ino,
    kind: FileKind,
    record: &DirectoryRecord<'_>,
    rock: &RockRidge,
) -> Attr {
    let options = &volume.options;
    let wished = match kind {
        FileKind::Directory => options.directory_perm,
        _ => options.file_perm,
    };
    let rock_perm = rock.posix.map(|p| u16::try_from(p.mode & 0o7777).unwrap_or_default());
    let perm = if options.override_rock_perm { wished.or(rock_perm) } else { rock_perm.or(wished) };
    let times = &rock.times;
    let mtime = times.modify.unwrap_or(record.date);
    Attr {
        ino,
        kind,
        perm: perm.unwrap_or(DEFAULT_PERM),
        // Without Rock Ridge the number of subdirectories is not known; 1 keeps find(1) from counting on it.
        nlink: rock.posix.map_or(1, |p| p.links.max(1)),
        uid: options.uid.or(rock.posix.map(|p| p.uid)).unwrap_or(0),
        gid: options.gid.or(rock.posix.map(|p| p.gid)).unwrap_or(0),
        rdev: DevNum::default(),
        size_bytes: 0,
        blocks_512: 0,
        block_size: volume.tree.block_bytes,
        atime: times.access.unwrap_or(mtime),
        mtime,
        ctime: times.attributes.or(times.creation).unwrap_or(mtime),
        btime: times.creation,
    }
}
