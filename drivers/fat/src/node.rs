//! The inodes in use, and how they got their numbers.
//!
//! FAT has no inodes. A file that is not in use has a *natural* number: its start cluster, or where it has none the
//! place of its short entry. A file in use keeps the number it has, whatever happens to it; and if that is not its
//! natural one when it goes out of use, the number is kept with the place of its entry, for some tens of thousands
//! of files. A natural number that another file holds is replaced by a fresh one. The three ranges do not meet.

use crate::alloc::Run;
use crate::boot::Layout;
use crate::chain::Chain;
use crate::entry::{ENTRY_BYTES, RawEntry};
use crate::le;
use abi::fs::Ino;
use std::collections::{BTreeSet, HashMap, HashSet};

/// The mount root.
pub(crate) const ROOT: Ino = Ino(1);
/// Numbers from a place begin here: above every cluster.
const PLACES: u64 = 1 << 40;
/// Numbers from a counter begin here: above every place (a volume has less than 2^50 bytes).
const COUNTED: u64 = 1 << 46;
/// Numbers that are kept for files out of use.
const KEPT_MAX: usize = 1 << 16;

/// Where a file's short entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) dir: Ino,
    pub(crate) slot: u32,
    /// Byte on the device.
    pub(crate) at: u64,
}

/// A file in use.
#[derive(Debug)]
pub(crate) struct Node {
    /// `None` for the root and for files that were removed.
    pub(crate) place: Option<Place>,
    /// The short entry, which may be ahead of the device.
    pub(crate) raw: RawEntry,
    pub(crate) is_dir: bool,
    pub(crate) lookups: u64,
    pub(crate) opens: u32,
    /// Files in use whose entries are in this directory.
    pub(crate) children: u32,
    /// The clusters of a regular file, once they were needed.
    pub(crate) chain: Option<Chain>,
    /// The epoch of the table in which the last piece of the chain began.
    pub(crate) fresh: Option<u64>,
    /// `raw` is ahead of the device.
    pub(crate) is_dirty: bool,
}

impl Node {
    pub(crate) fn new(place: Option<Place>, raw: RawEntry, is_dir: bool) -> Self {
        Self {
            place,
            raw,
            is_dir,
            lookups: 0,
            opens: 0,
            children: 0,
            chain: None,
            fresh: None,
            is_dirty: false,
        }
    }

    /// Whether the file has no name any more.
    pub(crate) fn is_removed(&self, ino: Ino) -> bool {
        self.place.is_none() && ino != ROOT
    }

    /// Takes the chain away, for its clusters to be freed.
    pub(crate) fn take_runs(&mut self) -> Vec<Run> {
        self.chain.take().map(|chain| chain.runs()).unwrap_or_default()
    }
}

/// All files in use.
#[derive(Default)]
pub(crate) struct Nodes {
    map: HashMap<Ino, Node>,
    /// By place of the short entry: files in use, and kept numbers.
    by_place: HashMap<u64, Ino>,
    /// Start clusters of the directories in use.
    by_start: HashMap<u32, Ino>,
    kept: HashSet<Ino>,
    counted: u64,
    dirty: BTreeSet<Ino>,
}

impl Nodes {
    pub(crate) fn get(&self, ino: Ino) -> Option<&Node> {
        self.map.get(&ino)
    }

    pub(crate) fn get_mut(&mut self, ino: Ino) -> Option<&mut Node> {
        self.map.get_mut(&ino)
    }

    fn is_taken(&self, ino: Ino) -> bool {
        self.map.contains_key(&ino) || self.kept.contains(&ino)
    }

    fn natural(layout: &Layout, at: u64, raw: &RawEntry) -> Ino {
        let start = raw.start(layout.kind);
        if layout.is_cluster(start) {
            Ino(u64::from(start))
        } else {
            let slot = at.checked_div(le::wide(ENTRY_BYTES)).unwrap_or_default();
            Ino(slot.saturating_add(PLACES))
        }
    }

    /// The number of the file whose short entry `raw` is at byte `at` of the device.
    pub(crate) fn number(&mut self, layout: &Layout, at: u64, raw: &RawEntry) -> Ino {
        if let Some(&ino) = self.by_place.get(&at) {
            return ino;
        }
        let natural = Self::natural(layout, at, raw);
        if !self.is_taken(natural) {
            return natural;
        }
        let ino = Ino(COUNTED.saturating_add(self.counted));
        self.counted = self.counted.saturating_add(1);
        self.keep(at, ino);
        ino
    }

    fn keep(&mut self, at: u64, ino: Ino) {
        if self.kept.len() < KEPT_MAX {
            self.kept.insert(ino);
            self.by_place.insert(at, ino);
        }
    }

    /// The directory in use that begins at `start`.
    pub(crate) fn directory_at(&self, start: u32) -> Option<Ino> {
        self.by_start.get(&start).copied()
    }

    /// Notes that the directory `ino` begins at `start`.
    pub(crate) fn note_directory(&mut self, start: u32, ino: Ino) {
        self.by_start.insert(start, ino);
    }

    /// Notes that no directory begins at `start` any more.
    pub(crate) fn forget_directory(&mut self, start: u32) {
        self.by_start.remove(&start);
    }

    /// Puts a file into use.
    pub(crate) fn insert(&mut self, ino: Ino, node: Node) {
        if let Some(place) = node.place {
            self.kept.remove(&ino);
            self.by_place.insert(place.at, ino);
            if let Some(parent) = self.map.get_mut(&place.dir) {
                parent.children = parent.children.saturating_add(1);
            }
        }
        self.map.insert(ino, node);
    }

    /// Moves a file's entry, or with `None` takes its name away. Returns the directory that lost it.
    pub(crate) fn place(&mut self, ino: Ino, place: Option<Place>) -> Option<Ino> {
        let node = self.map.get_mut(&ino)?;
        let was = core::mem::replace(&mut node.place, place);
        if let Some(new) = place {
            self.by_place.insert(new.at, ino);
            if let Some(parent) = self.map.get_mut(&new.dir) {
                parent.children = parent.children.saturating_add(1);
            }
        }
        let was = was?;
        if place.is_none_or(|new| new.at != was.at) && self.by_place.get(&was.at) == Some(&ino) {
            self.by_place.remove(&was.at);
        }
        if let Some(parent) = self.map.get_mut(&was.dir) {
            parent.children = parent.children.saturating_sub(1);
        }
        Some(was.dir)
    }

    /// Takes a file out of use, if nothing holds it, and returns its directory.
    pub(crate) fn retire(&mut self, layout: &Layout, ino: Ino) -> Option<Ino> {
        let node = self.map.get(&ino)?;
        let held = node.lookups > 0 || node.opens > 0 || node.children > 0 || node.is_dirty;
        if held || ino == ROOT {
            return None;
        }
        let node = self.map.remove(&ino)?;
        let start = node.raw.start(layout.kind);
        if node.is_dir && self.by_start.get(&start) == Some(&ino) {
            self.by_start.remove(&start);
        }
        let place = node.place?;
        if Self::natural(layout, place.at, &node.raw) == ino {
            self.by_place.remove(&place.at);
        } else {
            self.by_place.remove(&place.at);
            self.keep(place.at, ino);
        }
        if let Some(parent) = self.map.get_mut(&place.dir) {
            parent.children = parent.children.saturating_sub(1);
        }
        Some(place.dir)
    }

    /// Notes whether a file's entry is ahead of the device.
    pub(crate) fn set_dirty(&mut self, ino: Ino, is_dirty: bool) {
        let Some(node) = self.map.get_mut(&ino) else { return };
        // A file without a name has no entry to be written.
        node.is_dirty = is_dirty && node.place.is_some();
        if node.is_dirty {
            self.dirty.insert(ino);
        } else {
            self.dirty.remove(&ino);
        }
    }

    /// The files whose entries are ahead of the device.
    pub(crate) fn dirty(&self) -> Vec<Ino> {
        self.dirty.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Node, Nodes, Place, ROOT};
    use crate::boot::{Kind, Layout, Root};
    use crate::entry::RawEntry;
    use crate::time::DosTime;
    use abi::fs::Ino;

    fn layout() -> Layout {
        Layout {
            kind: Kind::Fat16,
            cluster_bytes: 512,
            cluster_shift: 9,
            tables_at: vec![512],
            table_bytes: 512,
            root: Root::Fixed { at: 1024, slots: 16 },
            data_at: 1536,
            clusters: 100,
            fsinfo_at: None,
            state: None,
        }
    }

    fn raw(start: u32) -> RawEntry {
        let mut raw = RawEntry::make(*b"A          ", 0, DosTime::default());
        raw.set_start(Kind::Fat16, start);
        raw
    }

    #[test]
    fn a_number_survives_growth_rename_and_going_out_of_use() {
        let (layout, mut nodes) = (layout(), Nodes::default());
        nodes.insert(ROOT, Node::new(None, raw(0), true));
        let ino = nodes.number(&layout, 64, &raw(0));
        let place = |at| Some(Place { dir: ROOT, slot: 0, at });
        nodes.insert(ino, Node::new(place(64), raw(0), false));
        nodes.get_mut(ino).unwrap().raw = raw(5);
        nodes.place(ino, place(96));
        assert_eq!(nodes.number(&layout, 96, &raw(5)), ino);
        assert_eq!(nodes.retire(&layout, ino), Some(ROOT));
        assert_eq!(nodes.number(&layout, 96, &raw(5)), ino);
        // Another empty file in the old place gets another number.
        let other = nodes.number(&layout, 64, &raw(0));
        assert_ne!(other, ino);
        assert_eq!(nodes.number(&layout, 64, &raw(0)), other);
        assert_eq!(nodes.get(ROOT).unwrap().children, 0);
    }

    #[test]
    fn a_natural_number_is_the_start_cluster_while_nobody_has_it() {
        let (layout, mut nodes) = (layout(), Nodes::default());
        assert_eq!(nodes.number(&layout, 64, &raw(7)), Ino(7));
        nodes.insert(Ino(7), Node::new(None, raw(7), false));
        assert_ne!(nodes.number(&layout, 128, &raw(7)), Ino(7));
    }
}
