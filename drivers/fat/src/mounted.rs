//! The state of a mounted volume, and what all operations share: directories, inodes, writing back.

use crate::boot::Root;
use crate::entry::{ATTR_DIRECTORY, RawEntry};
use crate::error::Error;
use crate::fsinfo::FsInfo;
use crate::index::DirIndex;
use crate::name;
use crate::node::{Node, Nodes, Place, ROOT};
use crate::scan;
use crate::table::Table;
use crate::time::DosTime;
use crate::volume::Volume;
use abi::fs::{Ino, Name, StatFs};
use abi::module::MountError;
use abi::{Errno, Result};
use std::collections::HashMap;

/// Directories whose index is in memory, and names in all of them.
const INDEXES_MAX: usize = 512;
const NAMES_MAX: usize = 1 << 18;

/// `MSDOS_SUPER_MAGIC` of linux/magic.h.
const MAGIC: u64 = 0x4d44;

/// An open file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenFile {
    pub(crate) ino: Ino,
    pub(crate) is_dir: bool,
    pub(crate) writable: bool,
    pub(crate) sync: bool,
}

pub(crate) struct Mounted {
    pub(crate) vol: Volume,
    pub(crate) table: Table,
    pub(crate) nodes: Nodes,
    pub(crate) dirs: HashMap<Ino, DirIndex>,
    /// Counts uses of indexes.
    clock: u64,
    pub(crate) handles: HashMap<u64, OpenFile>,
    handle_last: u64,
    /// What the FSINFO sector holds; `None` where there is no such sector.
    fsinfo: Option<FsInfo>,
}

impl Mounted {
    /// Mounts `vol`.
    pub(crate) fn new(vol: Volume) -> core::result::Result<Self, MountError> {
        let fsinfo = vol.read_fsinfo()?;
        let hints = fsinfo.unwrap_or_default();
        // After a crash the count is not to be believed.
        let free = if vol.was_dirty() { None } else { hints.free };
        let table = Table::new(&vol, hints.next, free);
        let mut nodes = Nodes::default();
        let mut raw = RawEntry::make(*b"           ", ATTR_DIRECTORY, DosTime::default());
        if let Root::Chain { start } = vol.layout.root {
            raw.set_start(vol.layout.kind, start);
            nodes.note_directory(start, ROOT);
        }
        nodes.insert(ROOT, Node::new(None, raw, true));
        Ok(Self {
            vol,
            table,
            nodes,
            dirs: HashMap::new(),
            clock: 0,
            handles: HashMap::new(),
            handle_last: 0,
            fsinfo,
        })
    }

    pub(crate) fn node(&self, ino: Ino) -> Result<&Node> {
        self.nodes.get(ino).ok_or(Errno::ESTALE)
    }

    pub(crate) fn node_mut(&mut self, ino: Ino) -> Result<&mut Node> {
        self.nodes.get_mut(ino).ok_or(Errno::ESTALE)
    }

    /// The open file behind `handle`.
    pub(crate) fn open_file(&self, handle: u64) -> Result<OpenFile> {
        self.handles.get(&handle).copied().ok_or(Errno::EBADF)
    }

    /// Opens `ino`, which is known.
    pub(crate) fn add_handle(&mut self, file: OpenFile) -> u64 {
        if let Some(node) = self.nodes.get_mut(file.ino) {
            node.opens = node.opens.saturating_add(1);
        }
        self.handle_last = self.handle_last.wrapping_add(1);
        self.handles.insert(self.handle_last, file);
        self.handle_last
    }

    /// Gives the directory `ino` with its index, reading it where necessary.
    ///
    /// # Errors
    /// In check order: `ESTALE`, `ENOTDIR`, `ENOENT` if it was removed, `EUCLEAN`, `EIO`.
    pub(crate) fn dir(&mut self, ino: Ino) -> Result<(&Volume, &mut Table, &mut DirIndex)> {
        let node = self.node(ino)?;
        if !node.is_dir {
            return Err(Errno::ENOTDIR);
        }
        if node.is_removed(ino) {
            return Err(Errno::ENOENT);
        }
        if !self.dirs.contains_key(&ino) {
            let start = (ino != ROOT).then(|| node.raw.start(self.vol.layout.kind));
            let index = scan::load(&self.vol, &mut self.table, start)?;
            self.make_room_for_index();
            self.dirs.insert(ino, index);
        }
        self.clock = self.clock.wrapping_add(1);
        let index = self.dirs.get_mut(&ino).ok_or(Errno::EIO)?;
        index.stamp = self.clock;
        Ok((&self.vol, &mut self.table, index))
    }

    /// Drops the indexes that were not used for the longest time.
    fn make_room_for_index(&mut self) {
        let mut names = self.dirs.values().map(|i| i.listed.len()).fold(0, usize::saturating_add);
        while self.dirs.len() >= INDEXES_MAX || names > NAMES_MAX {
            let oldest = self.dirs.iter().min_by_key(|(_, index)| index.stamp).map(|(&ino, _)| ino);
            let Some(ino) = oldest else { break };
            if let Some(index) = self.dirs.remove(&ino) {
                names = names.saturating_sub(index.listed.len());
            }
            self.retire(ino);
        }
    }

    /// The slot of `name` in the directory `dir`.
    pub(crate) fn find(&mut self, dir: Ino, name: Name<'_>) -> Result<Option<u32>> {
        let (_, _, index) = self.dir(dir)?;
        let units = name::from_bytes(name.as_bytes());
        Ok(units.filter(|u| !name::strip_dots(u).is_empty()).and_then(|units| index.find(&units)))
    }

    /// Puts the file in `slot` of `dir` into use.
    pub(crate) fn adopt(&mut self, dir: Ino, slot: u32) -> Result<Ino> {
        let (vol, _, index) = self.dir(dir)?;
        let (at, _) = index.locate(vol, slot).ok_or(Errno::EUCLEAN)?;
        let raw = index.listed.get(&slot).ok_or(Errno::ENOENT)?.raw;
        let layout = &self.vol.layout;
        let ino = self.nodes.number(layout, at, &raw);
        if self.nodes.get(ino).is_some() {
            return Ok(ino);
        }
        if raw.is_directory() {
            let start = raw.start(layout.kind);
            if self.nodes.directory_at(start).is_some() {
                return Err(Error::DirectoryTwice { start }.into());
            }
            self.nodes.note_directory(start, ino);
        }
        let place = Some(Place { dir, slot, at });
        self.nodes.insert(ino, Node::new(place, raw, raw.is_directory()));
        Ok(ino)
    }

    /// Takes `ino` out of use if nothing holds it, and then perhaps its directory.
    pub(crate) fn retire(&mut self, ino: Ino) {
        let mut next = Some(ino);
        while let Some(ino) = next {
            if self.dirs.contains_key(&ino) {
                return;
            }
            next = self.nodes.retire(&self.vol.layout, ino);
        }
    }

    /// Moves the change time of a directory, which is written with the next entry of a file.
    pub(crate) fn touch(&mut self, dir: Ino) {
        let now = self.vol.options.dos_now();
        let Some(node) = self.nodes.get_mut(dir) else { return };
        let before = node.raw;
        node.raw.set_modified(now);
        if node.raw != before {
            self.nodes.set_dirty(dir, true);
        }
    }

    /// Writes the short entry of `ino`. All that it leads to must be in the table on the device.
    pub(crate) fn write_entry(&mut self, ino: Ino) -> Result<()> {
        let node = self.node(ino)?;
        let raw = node.raw;
        if let Some(place) = node.place {
            self.vol.write(&raw.0, place.at)?;
            if let Some(index) = self.dirs.get_mut(&place.dir) {
                index.note(place.slot, raw);
            }
        }
        self.nodes.set_dirty(ino, false);
        Ok(())
    }

    /// Writes the table, then the entries that are ahead of the device; with `barrier`, durably at each step.
    pub(crate) fn write_back(&mut self, barrier: bool) -> Result<()> {
        self.table.commit(&self.vol, barrier)?;
        for ino in self.nodes.dirty() {
            self.write_entry(ino)?;
            self.retire(ino);
        }
        Ok(())
    }

    /// Makes everything durable and says on the device that it is.
    pub(crate) fn sync(&mut self) -> Result<()> {
        self.write_back(true)?;
        if self.vol.is_marked() {
            self.write_fsinfo()?;
            self.vol.barrier()?;
            if !self.has_nameless_files() {
                self.vol.clear_mark()?;
            }
        }
        self.vol.barrier()
    }

    /// Whether clusters are held that no entry leads to: a crash at this moment would lose them.
    fn has_nameless_files(&self) -> bool {
        self.handles.values().any(|file| {
            let node = self.nodes.get(file.ino);
            node.is_some_and(|node| !node.is_dir && node.is_removed(file.ino))
        })
    }

    fn write_fsinfo(&mut self) -> Result<()> {
        let Some(written) = self.fsinfo else { return Ok(()) };
        let free = match self.table.free {
            Some(free) => free,
            None => self.table.free_clusters(&self.vol)?,
        };
        let next = self.table.hint.clamp(2, self.vol.layout.clusters.saturating_add(1));
        let info = FsInfo { free: Some(free), next: Some(next) };
        if info != written {
            self.vol.write_fsinfo(info)?;
            self.fsinfo = Some(info);
        }
        Ok(())
    }

    /// The figures of statfs(2).
    pub(crate) fn statfs(&mut self) -> Result<StatFs> {
        let free = u64::from(self.table.free_clusters(&self.vol)?);
        Ok(StatFs {
            magic: MAGIC,
            block_size: self.vol.layout.cluster_bytes,
            blocks: u64::from(self.vol.layout.clusters),
            blocks_free: free,
            blocks_available: free,
            files: 0,
            files_free: 0,
            name_bytes_max: 255,
        })
    }
}
