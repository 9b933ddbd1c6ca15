//! The names of a directory, in the order in which they were made.

use abi::fs::{Ino, Name};
use std::collections::{BTreeMap, HashMap};

/// Each name has a position that no other name of this directory ever had: so a reader that goes on behind a
/// position meets what is there neither twice nor not at all, whatever came and went in between.
#[derive(Debug)]
pub(super) struct Directory {
    /// The directory that holds the name of this one.
    pub(super) parent: Ino,
    positions: HashMap<Vec<u8>, u64>,
    entries: BTreeMap<u64, (Vec<u8>, Ino)>,
    last_position: u64,
}

impl Directory {
    pub(super) fn new(parent: Ino) -> Self {
        Self { parent, positions: HashMap::new(), entries: BTreeMap::new(), last_position: 0 }
    }

    pub(super) fn find(&self, name: Name<'_>) -> Option<Ino> {
        let position = self.positions.get(name.as_bytes())?;
        self.entries.get(position).map(|(_, ino)| *ino)
    }

    /// Adds a name, or lets it stand for another inode.
    pub(super) fn insert(&mut self, name: Name<'_>, ino: Ino) {
        self.remove(name);
        self.last_position += 1;
        self.positions.insert(name.as_bytes().to_vec(), self.last_position);
        self.entries.insert(self.last_position, (name.as_bytes().to_vec(), ino));
    }

    pub(super) fn remove(&mut self, name: Name<'_>) {
        if let Some(position) = self.positions.remove(name.as_bytes()) {
            self.entries.remove(&position);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Position, name and inode of what comes after `position`.
    pub(super) fn after(&self, position: u64) -> impl Iterator<Item = (u64, &[u8], Ino)> {
        let from = position.saturating_add(1);
        self.entries.range(from..).map(|(at, (name, ino))| (*at, name.as_slice(), *ino))
    }
}
