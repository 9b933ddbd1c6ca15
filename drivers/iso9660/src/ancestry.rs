//! Every directory has one parent: what keeps walks of a hostile tree from going on for ever.
//!
//! The parent of a directory is what its second record says, or `PL` if it was relocated. Some writers fill in
//! that record badly, so a directory that was found elsewhere is *adopted* by the place where it was found
//! first, unless that place is below it. From then on it has that one parent. So whatever an image contains,
//! the directories that lookups reach make a tree, and an honest image needs no memory at all.

use crate::directory::Directory;
use crate::error::{Corrupt, Error};
use crate::rock::RockRidge;
use crate::volume::Volume;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// The most levels between a directory and the root.
const DEPTH_MAX: usize = 4096;
/// The most directories with a wrong second record.
const ADOPTED_MAX: usize = 1 << 16;

/// The directories whose own record of their parent is not true, with the parent they have instead.
#[derive(Default)]
pub(crate) struct Ancestry {
    adopted: Mutex<HashMap<u64, u64>>,
}

impl Ancestry {
    /// Checks that the directory at byte `child` may be found in the one at byte `parent`.
    ///
    /// # Errors
    /// - [`Corrupt::DirectoryLoop`] if it has another parent, or is itself above `parent`.
    /// - those of [`Directory::open`] for any directory on the way to the root.
    pub(crate) fn check(&self, volume: &Volume, child: u64, parent: u64) -> Result<(), Error> {
        let refused = Err(Corrupt::DirectoryLoop { start: child, parent }.into());
        if child == volume.root_start() {
            return refused;
        }
        match self.adopter(child) {
            Some(adopter) if adopter == parent => return Ok(()),
            Some(_) => return refused,
            None => {}
        }
        if recorded_parent(volume, child)? == Some(parent) {
            return Ok(());
        }
        if self.is_above(volume, child, parent)? {
            return refused;
        }
        let mut adopted = self.adopted.lock().unwrap_or_else(PoisonError::into_inner);
        if adopted.len() >= ADOPTED_MAX {
            return refused;
        }
        // Another thread may have found it elsewhere in the meantime: the first one counts.
        if *adopted.entry(child).or_insert(parent) == parent { Ok(()) } else { refused }
    }

    /// Whether `upper` is `lower` or above it, or `lower` does not lead to the root.
    fn is_above(&self, volume: &Volume, upper: u64, lower: u64) -> Result<bool, Error> {
        let root = volume.root_start();
        let mut current = lower;
        for _ in 0..DEPTH_MAX {
            if current == upper {
                return Ok(true);
            }
            if current == root {
                return Ok(false);
            }
            let parent = match self.adopter(current) {
                Some(adopter) => Some(adopter),
                None => recorded_parent(volume, current)?,
            };
            let Some(parent) = parent else { return Ok(true) };
            current = parent;
        }
        Ok(true)
    }

    fn adopter(&self, child: u64) -> Option<u64> {
        self.adopted.lock().unwrap_or_else(PoisonError::into_inner).get(&child).copied()
    }
}

/// The byte where the parent begins that the directory at byte `start` records.
fn recorded_parent(volume: &Volume, start: u64) -> Result<Option<u64>, Error> {
    let (directory, _) = Directory::open(volume, start)?;
    let Some(raw) = directory.parent_record(volume)? else { return Ok(None) };
    let record = raw.record();
    let rock = RockRidge::read(volume, &record)?;
    Ok(Some(volume.block_start(rock.parent_block.unwrap_or(record.data_block))))
}
