//! Where the names of a directory are: so that a lookup reads one record and not all of them.

use crate::directory::{Directory, RecordWalk};
use crate::entry::{Entry, fnv1a};
use crate::error::Error;
use crate::volume::Volume;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// The most names of one directory that are kept; a larger one is walked at each lookup. 8 bytes a name.
const NAMES_MAX: usize = 1 << 20;
/// The most names of all directories together that are kept.
const CACHED_NAMES_MAX: usize = 1 << 21;
/// The most directories that are kept.
const CACHED_DIRECTORIES_MAX: usize = 256;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Slot {
    hash: u32,
    offset: u32,
}

/// The names of one directory.
pub(crate) struct DirectoryIndex {
    directory: Directory,
    /// Sorted.
    slots: Vec<Slot>,
    /// Why the walk ended early: names behind that place are not known to be absent.
    broken: Option<Error>,
    /// There are more than [`NAMES_MAX`].
    is_partial: bool,
}

impl DirectoryIndex {
    fn build(volume: &Volume, directory: Directory) -> Self {
        let mut index = Self { directory, slots: Vec::new(), broken: None, is_partial: false };
        let mut walk = RecordWalk::over(volume, directory, 0);
        loop {
            match Entry::next(volume, &mut walk) {
                Ok(None) => break,
                Ok(Some(entry)) => {
                    let position = entry.record().position;
                    let offset = u32::try_from(position.saturating_sub(directory.start));
                    let (Some(name), Ok(offset)) = (entry.shown_name(volume), offset) else {
                        continue;
                    };
                    if index.slots.len() >= NAMES_MAX {
                        index.is_partial = true;
                        break;
                    }
                    index.slots.push(Slot { hash: hash(volume, &name), offset });
                }
                Err(error) => {
                    index.broken = Some(error);
                    break;
                }
            }
        }
        index.slots.sort_unstable();
        index.slots.shrink_to_fit();
        index
    }

    /// The entry that is shown as `name`.
    ///
    /// # Errors
    /// - what ended the walk over a corrupt directory, if the name is not in front of that place.
    /// - those of [`Entry::next`].
    pub(crate) fn find(&self, volume: &Volume, name: &[u8]) -> Result<Option<Entry>, Error> {
        let hash = hash(volume, name);
        let first = self.slots.partition_point(|slot| slot.hash < hash);
        let candidates = self.slots.get(first..).unwrap_or_default();
        for slot in candidates.iter().take_while(|slot| slot.hash == hash) {
            let mut walk = RecordWalk::over_one(volume, self.directory, u64::from(slot.offset));
            let entry = Entry::next(volume, &mut walk)?;
            if let Some(entry) = entry.filter(|e| is_named(volume, e, name)) {
                return Ok(Some(entry));
            }
        }
        if let Some(error) = self.broken {
            return Err(error);
        }
        if self.is_partial { self.walk_for(volume, name) } else { Ok(None) }
    }

    fn walk_for(&self, volume: &Volume, name: &[u8]) -> Result<Option<Entry>, Error> {
        let mut walk = RecordWalk::over(volume, self.directory, 0);
        while let Some(entry) = Entry::next(volume, &mut walk)? {
            if is_named(volume, &entry, name) {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }
}

fn is_named(volume: &Volume, entry: &Entry, name: &[u8]) -> bool {
    entry.shown_name(volume).is_some_and(|shown| {
        if volume.options.any_case { shown.eq_ignore_ascii_case(name) } else { shown == name }
    })
}

fn hash(volume: &Volume, name: &[u8]) -> u32 {
    let any_case = volume.options.any_case;
    let wide = fnv1a(name.iter().map(|c| if any_case { c.to_ascii_lowercase() } else { *c }));
    u32::try_from((wide ^ wide.wrapping_shr(32)) & 0xffff_ffff).unwrap_or_default()
}

/// The indexes used last.
#[derive(Default)]
pub(crate) struct DirectoryCache {
    /// The one used last is in front.
    recent: Mutex<VecDeque<Arc<DirectoryIndex>>>,
}

impl DirectoryCache {
    /// The index of the directory that begins at byte `start`, if it is kept.
    pub(crate) fn get(&self, start: u64) -> Option<Arc<DirectoryIndex>> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let at = recent.iter().position(|index| index.directory.start == start)?;
        let index = recent.remove(at)?;
        recent.push_front(Arc::clone(&index));
        Some(index)
    }

    /// The index of `directory`, made if it is not kept. Two threads may make it at the same time.
    pub(crate) fn get_or_build(
        &self,
        volume: &Volume,
        directory: Directory,
    ) -> Arc<DirectoryIndex> {
        if let Some(index) = self.get(directory.start) {
            return index;
        }
        let index = Arc::new(DirectoryIndex::build(volume, directory));
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|other| other.directory.start != directory.start);
        recent.push_front(Arc::clone(&index));
        let names = |recent: &VecDeque<Arc<DirectoryIndex>>| {
            recent.iter().fold(0_usize, |sum, i| sum.saturating_add(i.slots.len()))
        };
        while recent.len() > CACHED_DIRECTORIES_MAX || names(&recent) > CACHED_NAMES_MAX {
            recent.pop_back();
        }
        index
    }
}
