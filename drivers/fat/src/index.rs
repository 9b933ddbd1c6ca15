//! A directory in memory: every name with its place, and which slots are free.
//!
//! A slot is 32 bytes of the directory, numbered from 0. The index is a cache: each change is on the device
//! before it is here, so an index can be dropped at any time.

use crate::boot::Root;
use crate::chain::Chain;
use crate::entry::{ENTRY_BYTES, RawEntry};
use crate::le;
use crate::long::SET_SLOTS_MAX;
use crate::name;
use crate::options::ShortNames;
use crate::short;
use crate::volume::Volume;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

/// Where the slots lie.
#[derive(Clone, Debug)]
pub(crate) enum Room {
    /// The root directory of FAT12 and FAT16.
    Fixed { at: u64 },
    /// Clusters.
    Chain(Chain),
}

/// A file of the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// First slot of its long name, or that of the short entry.
    pub(crate) first: u32,
    pub(crate) raw: RawEntry,
    /// As shown.
    pub(crate) name: Vec<u16>,
}

pub(crate) struct DirIndex {
    pub(crate) room: Room,
    /// Slots that there is room for.
    pub(crate) slots: u32,
    /// Slots up to the end mark.
    pub(crate) end: u32,
    /// Something lies behind the end mark, which must not come to light when the mark moves.
    pub(crate) has_garbage: bool,
    /// One bit a slot: it is in use.
    used: Vec<u64>,
    /// For a set of n slots: below this slot there is no room for it.
    hints: [u32; SET_SLOTS_MAX + 1],
    /// By slot of the short entry.
    pub(crate) listed: BTreeMap<u32, Listed>,
    /// By folded name, long and short.
    names: HashMap<Box<[u16]>, u32>,
    /// Names that a case-sensitive writer put beside another that differs only in case.
    twins: HashMap<Vec<u16>, u32>,
    /// How many of the files are directories.
    pub(crate) directories: u32,
    /// When it was last used.
    pub(crate) stamp: u64,
}

impl DirIndex {
    pub(crate) fn new(room: Room, slots: u32) -> Self {
        Self {
            room,
            slots,
            end: 0,
            has_garbage: false,
            used: vec![0; le::index(slots).div_ceil(64)],
            hints: [0; SET_SLOTS_MAX + 1],
            listed: BTreeMap::new(),
            names: HashMap::new(),
            twins: HashMap::new(),
            directories: 0,
            stamp: 0,
        }
    }

    /// The place of the root directory of FAT12 and FAT16.
    pub(crate) fn fixed(root: Root) -> Option<Self> {
        match root {
            Root::Fixed { at, slots } => Some(Self::new(Room::Fixed { at }, slots)),
            Root::Chain { .. } => None,
        }
    }

    /// Where `slot` lies on the device, and how many slots follow it there.
    pub(crate) fn locate(&self, vol: &Volume, slot: u32) -> Option<(u64, u32)> {
        let left = self.slots.checked_sub(slot).filter(|&left| left > 0)?;
        let offset = u64::from(slot).checked_mul(le::wide(ENTRY_BYTES))?;
        match &self.room {
            Room::Fixed { at } => Some((at.checked_add(offset)?, left)),
            Room::Chain(chain) => {
                let (at, bytes) = chain.locate(vol, offset)?;
                let slots = bytes.checked_div(le::wide(ENTRY_BYTES))?;
                Some((at, u32::try_from(slots).unwrap_or(u32::MAX).min(left)))
            }
        }
    }

    /// Bytes of the directory, as stat(2) shows them.
    pub(crate) fn size_bytes(&self) -> u64 {
        u64::from(self.slots).saturating_mul(le::wide(ENTRY_BYTES))
    }

    /// The slot of the short entry of `units`, in whatever case.
    pub(crate) fn find(&self, units: &[u16]) -> Option<u32> {
        let units = name::strip_dots(units);
        if let Some(&slot) = self.twins.get(units) {
            return Some(slot);
        }
        self.names.get(&name::key(units)).copied()
    }

    /// Whether a name is used by a file other than the one in slot `except`.
    pub(crate) fn is_taken(&self, units: &[u16], except: Option<u32>) -> bool {
        self.names.get(&name::key(units)).is_some_and(|&slot| Some(slot) != except)
    }

    /// Lists a file whose set takes the slots `first ..= slot`.
    pub(crate) fn insert(&mut self, slot: u32, listed: Listed, options: ShortNames) {
        self.mark(listed.first, slot.saturating_add(1), true);
        if listed.raw.is_directory() {
            self.directories = self.directories.saturating_add(1);
        }
        let long = name::key(&listed.name);
        match self.names.entry(long) {
            Entry::Vacant(vacant) => {
                vacant.insert(slot);
            }
            Entry::Occupied(_) => {
                let exact = name::strip_dots(&listed.name).to_vec();
                self.twins.entry(exact).or_insert(slot);
            }
        }
        let short = name::key(&short::display(&listed.raw, options));
        self.names.entry(short).or_insert(slot);
        self.listed.insert(slot, listed);
    }

    /// Forgets the file in `slot` and frees its slots.
    pub(crate) fn remove(&mut self, slot: u32, options: ShortNames) -> Option<Listed> {
        let listed = self.listed.remove(&slot)?;
        self.mark(listed.first, slot.saturating_add(1), false);
        if listed.raw.is_directory() {
            self.directories = self.directories.saturating_sub(1);
        }
        let short = short::display(&listed.raw, options);
        for key in [name::key(&listed.name), name::key(&short)] {
            if self.names.get(&key) == Some(&slot) {
                self.names.remove(&key);
            }
        }
        let stripped = name::strip_dots(&listed.name);
        if self.twins.get(stripped) == Some(&slot) {
            self.twins.remove(stripped);
        } else if !self.twins.is_empty() {
            self.promote_twin(&name::key(&listed.name));
        }
        Some(listed)
    }

    /// Gives a folded name that became free to a twin that waits for it.
    fn promote_twin(&mut self, key: &[u16]) {
        let twin = self.twins.iter().find(|(units, _)| *name::key(units) == *key);
        if let Some((units, slot)) = twin.map(|(units, &slot)| (units.clone(), slot)) {
            self.twins.remove(&units);
            self.names.insert(key.into(), slot);
        }
    }

    /// Notes that the slots `from .. to` are in use, or are not.
    pub(crate) fn mark(&mut self, from: u32, to: u32, in_use: bool) {
        for slot in from..to.min(self.slots) {
            if let Some(word) = self.used.get_mut(le::index(slot / 64)) {
                let bit = 1u64.checked_shl(slot % 64).unwrap_or_default();
                *word = if in_use { *word | bit } else { *word & !bit };
            }
        }
        if in_use {
            self.end = self.end.max(to);
        } else {
            // A set that begins up to a set's length before may have room.
            let reach = from.saturating_sub(le::count(SET_SLOTS_MAX));
            for hint in &mut self.hints {
                *hint = (*hint).min(reach);
            }
        }
    }

    fn is_used(&self, slot: u32) -> bool {
        let word = self.used.get(le::index(slot / 64)).copied().unwrap_or_default();
        word.checked_shr(slot % 64).unwrap_or_default() & 1 == 1
    }

    /// Finds `count` free slots side by side: `Ok(first)`, or `Err` with how many slots are missing at the end.
    ///
    /// They lie side by side on the device too, so that one write makes or removes the file.
    pub(crate) fn find_room(&mut self, vol: &Volume, count: u32) -> Result<u32, u32> {
        let from = self.hints.get(le::index(count)).copied().unwrap_or_default();
        let mut run = 0u32;
        let mut slot = from;
        let mut stretch_end = from;
        while slot < self.slots && run < count {
            if slot >= stretch_end {
                run = 0;
                let left = self.locate(vol, slot).map_or(1, |(_, left)| left);
                stretch_end = slot.saturating_add(left);
            }
            if slot % 64 == 0 && self.used.get(le::index(slot / 64)) == Some(&u64::MAX) {
                run = 0;
                slot = slot.saturating_add(64);
                continue;
            }
            run = if self.is_used(slot) { 0 } else { run.saturating_add(1) };
            slot = slot.saturating_add(1);
        }
        let first = slot.min(self.slots).saturating_sub(run);
        // No set of at least `count` slots has room before `first`.
        for hint in self.hints.iter_mut().skip(le::index(count)) {
            *hint = (*hint).max(first);
        }
        if run < count { Err(count.saturating_sub(run)) } else { Ok(first) }
    }

    /// The first of `count` free slots at the end of the directory, wherever they lie on the device.
    pub(crate) fn find_room_at_end(&self, count: u32) -> Option<u32> {
        let used = (0..self.slots).rev().find(|&slot| self.is_used(slot));
        let first = used.map_or(0, |slot| slot.saturating_add(1));
        (self.slots.saturating_sub(first) >= count).then_some(first)
    }

    /// Makes room for `slots` more.
    pub(crate) fn grow(&mut self, slots: u32) {
        self.slots = self.slots.saturating_add(slots);
        self.used.resize(le::index(self.slots).div_ceil(64), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::{DirIndex, Listed, Room};
    use crate::alloc::Run;
    use crate::chain::Chain;
    use crate::entry::RawEntry;
    use crate::options::{ShortNames, ShowShort};
    use crate::time::DosTime;
    use crate::volume::tests::volume;

    const MIXED: ShortNames = ShortNames { show: ShowShort::Flags, case_flags: false };

    fn listed(first: u32, name: &str, short: &[u8; 11]) -> Listed {
        let raw = RawEntry::make(*short, 0, DosTime::default());
        Listed { first, raw, name: name.encode_utf16().collect() }
    }

    fn find(index: &DirIndex, name: &str) -> Option<u32> {
        index.find(&name.encode_utf16().collect::<Vec<_>>())
    }

    #[test]
    fn names_are_found_in_any_case_by_either_form_and_twins_apart() {
        let mut index = DirIndex::new(Room::Fixed { at: 0 }, 64);
        index.insert(1, listed(0, "Long name", b"LONGNA~1   "), MIXED);
        index.insert(3, listed(2, "LONG NAME", b"LONGNA~2   "), MIXED);
        assert_eq!(find(&index, "long NAME."), Some(1));
        assert_eq!(find(&index, "LONG NAME"), Some(3));
        assert_eq!(find(&index, "longna~2"), Some(3));
        index.remove(1, MIXED).unwrap();
        assert_eq!(find(&index, "long name"), Some(3));
        assert_eq!(find(&index, "LONGNA~1"), None);
        index.remove(3, MIXED).unwrap();
        assert_eq!(find(&index, "long name"), None);
    }

    #[test]
    fn a_set_does_not_cross_clusters_that_lie_apart() {
        let vol = &volume();
        let mut chain = Chain::default();
        // 16 slots a cluster: 0 to 31 side by side, 32 to 47 elsewhere.
        for (first, length) in [(2, 2), (9, 1)] {
            chain.push(Run { first, length });
        }
        let mut index = DirIndex::new(Room::Chain(chain), 48);
        index.mark(0, 14, true);
        assert_eq!(index.find_room(vol, 4), Ok(14));
        index.mark(14, 30, true);
        assert_eq!(index.find_room(vol, 2), Ok(30));
        assert_eq!(index.find_room(vol, 3), Ok(32));
        assert_eq!(index.find_room(vol, 17), Err(1));
        assert_eq!(index.find_room_at_end(17), Some(30));
    }

    #[test]
    fn room_is_found_in_gaps_and_at_the_end() {
        let mut index = DirIndex::new(Room::Fixed { at: 0 }, 16);
        let vol = &volume();
        index.mark(0, 14, true);
        assert_eq!(index.find_room(vol, 2), Ok(14));
        assert_eq!(index.find_room(vol, 3), Err(1));
        index.mark(4, 7, false);
        assert_eq!(index.find_room(vol, 3), Ok(4));
        assert_eq!(index.find_room(vol, 1), Ok(4));
        index.mark(4, 7, true);
        index.grow(16);
        assert_eq!(index.find_room(vol, 3), Ok(14));
        assert_eq!(index.find_room_at_end(18), Some(14));
        assert_eq!(index.find_room_at_end(19), None);
    }
}
