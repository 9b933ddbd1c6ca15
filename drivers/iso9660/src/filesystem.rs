//! A mounted image.

use crate::ancestry::Ancestry;
use crate::directory::{Directory, RecordWalk};
use crate::entry::{Entry, SHARED_BIT};
use crate::error::{Corrupt, Error, Unsupported};
use crate::extent;
use crate::index::DirectoryCache;
use crate::node::{Coding, Content, FileData, Node, NodeCache};
use crate::volume::Volume;
use crate::zisofs::{BlockCache, CompressedFile};
use abi::fs::{
    Attr, Caller, Cookie, DirEntry, DirSink, FileSystem, Handle, Ino, Name, OpenFlags, Opened,
    SeekTo, StatFs,
};
use abi::{Errno, Result};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// `ISOFS_SUPER_MAGIC` of linux/magic.h.
const ISOFS_MAGIC: u64 = 0x9660;

/// What an open file reads from.
#[derive(Debug)]
enum OpenFile {
    Directory(Directory),
    Stored(FileData),
    Compressed(CompressedFile),
}

/// A number that several records share, while somebody holds it.
struct Shared {
    /// The record that was looked up first: any of them describes the inode.
    position: u64,
    lookups: u64,
}

/// A mounted image.
pub(crate) struct Iso9660 {
    volume: Volume,
    indexes: DirectoryCache,
    nodes: NodeCache,
    blocks: BlockCache,
    ancestry: Ancestry,
    shared: Mutex<HashMap<u64, Shared>>,
    open: Mutex<HashMap<u64, (u64, Arc<OpenFile>)>>,
    next_handle: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Iso9660 {
    /// Checks the root directory.
    ///
    /// # Errors
    /// Those of [`Node::of_directory`].
    pub(crate) fn open(volume: Volume) -> core::result::Result<Self, Error> {
        Node::of_directory(&volume, volume.root_start())?;
        Ok(Self {
            volume,
            indexes: DirectoryCache::default(),
            nodes: NodeCache::default(),
            blocks: BlockCache::default(),
            ancestry: Ancestry::default(),
            shared: Mutex::default(),
            open: Mutex::default(),
            next_handle: AtomicU64::new(1),
        })
    }

    /// The inode behind a number that the caller holds.
    fn node(&self, ino: Ino) -> Result<Arc<Node>> {
        let position = if ino.0 & SHARED_BIT == 0 {
            ino.0
        } else {
            lock(&self.shared).get(&ino.0).ok_or(Errno::ESTALE)?.position
        };
        if let Some(node) = self.nodes.get(ino) {
            return Ok(node);
        }
        if position >= self.volume.device_bytes() {
            return Err(Errno::ESTALE);
        }
        let node = match self.read_node(position) {
            Ok(node) => node.ok_or(Errno::ESTALE)?,
            // No record, no inode: the number is not one that this driver gave.
            Err(Error::Corrupt(Corrupt::Record { .. } | Corrupt::DirectorySelf { .. })) => {
                return Err(Errno::ESTALE);
            }
            Err(error) => return Err(error.settle("read an inode")),
        };
        if node.attr.ino == ino { Ok(self.nodes.keep(node)) } else { Err(Errno::ESTALE) }
    }

    /// What the record at `position` describes; `None` if it is not the one that gives the inode its number.
    fn read_node(&self, position: u64) -> core::result::Result<Option<Node>, Error> {
        let mut walk = RecordWalk::of_one(&self.volume, position);
        let Some(raw) = walk.next()?.filter(|raw| raw.position == position) else {
            return Ok(None);
        };
        match raw.record().name {
            [0] => return Node::of_directory(&self.volume, position).map(Some),
            [1] => return Ok(None),
            _ => {}
        }
        let entry = Entry::begin(&self.volume, &mut walk, raw)?;
        if entry.directory_start(&self.volume).is_some() {
            return Ok(None);
        }
        Node::of_entry(&self.volume, entry).map(Some)
    }

    fn directory(&self, ino: Ino) -> Result<Directory> {
        match self.node(ino)?.content {
            Content::Directory(directory) => Ok(directory),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn find(&self, parent: Ino, name: Name<'_>) -> Result<Option<Entry>> {
        let index = match self.indexes.get(parent.0) {
            Some(index) => index,
            None => self.indexes.get_or_build(&self.volume, self.directory(parent)?),
        };
        index.find(&self.volume, name.as_bytes()).map_err(|error| error.settle("lookup"))
    }

    /// The inode of an entry of `parent`, counted if its number is shared.
    fn enter(&self, parent: Ino, entry: Entry) -> core::result::Result<Node, Error> {
        if let Some(start) = entry.directory_start(&self.volume) {
            self.ancestry.check(&self.volume, start, parent.0)?;
            return Node::of_directory(&self.volume, start);
        }
        let position = entry.record().position;
        let node = Node::of_entry(&self.volume, entry)?;
        let ino = node.attr.ino.0;
        if ino & SHARED_BIT != 0 {
            let mut shared = lock(&self.shared);
            let held = shared.entry(ino).or_insert(Shared { position, lookups: 0 });
            held.lookups = held.lookups.saturating_add(1);
        }
        Ok(node)
    }

    fn opened(&self, handle: Handle) -> Result<Arc<OpenFile>> {
        lock(&self.open).get(&handle.0).map(|(_, file)| Arc::clone(file)).ok_or(Errno::EBADF)
    }

    fn size_of(&self, handle: Handle) -> Result<u64> {
        lock(&self.open).get(&handle.0).map(|(size_bytes, _)| *size_bytes).ok_or(Errno::EBADF)
    }

    fn open_data(&self, data: FileData) -> core::result::Result<OpenFile, Error> {
        match data.coding {
            Coding::Stored => Ok(OpenFile::Stored(data)),
            Coding::Compressed(entry) => {
                CompressedFile::open(&self.volume, data, entry).map(OpenFile::Compressed)
            }
            Coding::Sparse => Err(Unsupported::SparseFile { position: data.position }.into()),
        }
    }
}

impl FileSystem for Iso9660 {
    fn root(&self) -> Ino {
        Ino(self.volume.root_start())
    }

    fn statfs(&self) -> Result<StatFs> {
        Ok(StatFs {
            magic: ISOFS_MAGIC,
            block_size: self.volume.tree.block_bytes,
            blocks: u64::from(self.volume.tree.volume_blocks),
            blocks_free: 0,
            blocks_available: 0,
            // The format counts no inodes.
            files: 0,
            files_free: 0,
            name_bytes_max: 255,
        })
    }

    fn lookup(&self, parent: Ino, name: Name<'_>) -> Result<Attr> {
        let entry = self.find(parent, name)?.ok_or(Errno::ENOENT)?;
        let node = self.enter(parent, entry).map_err(|error| error.settle("lookup"))?;
        Ok(self.nodes.keep(node).attr.clone())
    }

    fn forget(&self, ino: Ino, count: u64) {
        if ino.0 & SHARED_BIT == 0 {
            return;
        }
        let mut shared = lock(&self.shared);
        if let Some(held) = shared.get_mut(&ino.0) {
            held.lookups = held.lookups.saturating_sub(count);
            if held.lookups == 0 {
                shared.remove(&ino.0);
            }
        }
    }

    fn getattr(&self, ino: Ino) -> Result<Attr> {
        self.node(ino).map(|node| node.attr.clone())
    }

    fn readlink(&self, ino: Ino) -> Result<Vec<u8>> {
        match &self.node(ino)?.content {
            Content::Link(target) => Ok(target.clone()),
            _ => Err(Errno::EINVAL),
        }
    }

    fn open(&self, _caller: Caller, ino: Ino, flags: OpenFlags) -> Result<Opened> {
        let node = self.node(ino)?;
        if flags.intersects(OpenFlags::WRITE | OpenFlags::TRUNCATE) {
            return Err(Errno::EROFS);
        }
        let file = match &node.content {
            Content::Directory(directory) => OpenFile::Directory(*directory),
            Content::File(data) => {
                self.open_data(data.clone()).map_err(|error| error.settle("open"))?
            }
            Content::Link(_) | Content::Special => return Err(Errno::ENXIO),
        };
        let handle = self.next_handle.fetch_add(1, Ordering::Relaxed);
        lock(&self.open).insert(handle, (node.attr.size_bytes, Arc::new(file)));
        Ok(Opened::Handle(Handle(handle)))
    }

    fn release(&self, handle: Handle) {
        lock(&self.open).remove(&handle.0);
    }

    fn read(&self, handle: Handle, buf: &mut [u8], offset: u64) -> Result<usize> {
        let done = match &*self.opened(handle)? {
            OpenFile::Directory(_) => return Err(Errno::EISDIR),
            OpenFile::Stored(data) => extent::read(&self.volume, &data.sections, buf, offset),
            OpenFile::Compressed(file) => file.read(&self.volume, &self.blocks, buf, offset),
        };
        done.map_err(|error| error.settle("read"))
    }

    fn readdir(&self, handle: Handle, cookie: Cookie, sink: &mut DirSink<'_>) -> Result<()> {
        let OpenFile::Directory(directory) = *self.opened(handle)? else {
            return Err(Errno::ENOTDIR);
        };
        let mut walk = RecordWalk::over(&self.volume, directory, cookie.0);
        let mut is_first = true;
        loop {
            let entry = match Entry::next(&self.volume, &mut walk) {
                Ok(Some(entry)) => entry,
                Ok(None) => return Ok(()),
                // What was offered in this call counts; the next one begins at the bad place and says so.
                Err(_) if !is_first => return Ok(()),
                Err(error) => return Err(error.settle("readdir")),
            };
            let Some(name) = entry.shown_name(&self.volume) else { continue };
            is_first = false;
            let taken = sink(DirEntry {
                ino: entry.ino(&self.volume),
                kind: Some(entry.kind(&self.volume)),
                name: &name,
                next: Cookie(walk.offset()),
            });
            if !taken {
                return Ok(());
            }
        }
    }

    fn lseek(&self, handle: Handle, offset: u64, to: SeekTo) -> Result<u64> {
        let size_bytes = self.size_of(handle)?;
        match to {
            _ if offset >= size_bytes => Err(Errno::ENXIO),
            SeekTo::Data => Ok(offset),
            SeekTo::Hole => Ok(size_bytes),
        }
    }
}
