//! Changing a directory on the device: a set of slots written, a set deleted, a cluster added.

use crate::alloc::Run;
use crate::entry::{DELETED, END, ENTRY_BYTES, RawEntry};
use crate::index::{DirIndex, Listed, Room};
use crate::le;
use crate::long::{self, DIRECTORY_SLOTS_MAX, slots_per_cluster};
use crate::short::Stored;
use crate::table::Table;
use crate::volume::Volume;
use abi::{Errno, Result};

/// A stretch of slots that lie side by side on the device.
#[derive(Clone, Copy)]
struct Stretch {
    at: u64,
    slots: u32,
}

impl DirIndex {
    /// The stretches of `count` slots from `first` on.
    fn stretches(&self, vol: &Volume, first: u32, count: u32) -> Result<Vec<Stretch>> {
        let mut stretches = Vec::new();
        let (mut slot, mut left) = (first, count);
        while left > 0 {
            let (at, slots) = self.locate(vol, slot).ok_or(Errno::EUCLEAN)?;
            let slots = slots.min(left);
            stretches.push(Stretch { at, slots });
            slot = slot.saturating_add(slots);
            left = left.saturating_sub(slots);
        }
        Ok(stretches)
    }

    /// Writes `entries` from slot `first` on: in order, so that the short entry comes last.
    fn write(&self, vol: &Volume, first: u32, entries: &[RawEntry]) -> Result<()> {
        let mut rest = entries;
        for stretch in self.stretches(vol, first, le::count(entries.len()))? {
            let (now, later) =
                rest.split_at_checked(le::index(stretch.slots)).unwrap_or((rest, &[]));
            let bytes = now.iter().flat_map(|entry| entry.0).collect::<Vec<_>>();
            vol.write(&bytes, stretch.at)?;
            rest = later;
        }
        Ok(())
    }

    /// Makes sure that `count` slots side by side are free, adding clusters where the directory can grow.
    ///
    /// # Errors
    /// - `ENOSPC` if the directory can't grow or the volume is full.
    pub(crate) fn reserve(&mut self, vol: &Volume, table: &mut Table, count: u32) -> Result<u32> {
        if let Err(missing) = self.find_room(vol, count) {
            self.extend(vol, table, missing)?;
        }
        match self.find_room(vol, count) {
            Ok(first) => Ok(first),
            // Clusters too small for the set, and apart.
            Err(_) => self.find_room_at_end(count).ok_or(Errno::ENOSPC),
        }
    }

    /// Adds clusters, zeroed and linked on the device before they are used.
    fn extend(&mut self, vol: &Volume, table: &mut Table, slots: u32) -> Result<()> {
        let per_cluster = slots_per_cluster(&vol.layout).max(1);
        let clusters = slots.div_ceil(per_cluster);
        let slots = clusters.saturating_mul(per_cluster);
        let Room::Chain(chain) = &mut self.room else { return Err(Errno::ENOSPC) };
        if self.slots.saturating_add(slots) > DIRECTORY_SLOTS_MAX {
            return Err(Errno::ENOSPC);
        }
        let mut taken = Vec::<Run>::new();
        let mut tail = chain.tail();
        let mut want = clusters;
        while want > 0 {
            let goal = tail.and_then(|tail| tail.checked_add(1));
            let Some(run) = table.allocate(vol, goal, want)? else {
                table.free_runs(vol, &taken)?;
                return Err(Errno::ENOSPC);
            };
            tail = run.clusters().last();
            taken.push(run);
            want = want.saturating_sub(run.length);
        }
        // After an error it is not known what is reachable on the device: at worst clusters are lost.
        link(vol, table, chain.tail(), &taken)?;
        for run in taken {
            chain.push(run);
        }
        self.grow(slots);
        Ok(())
    }

    /// Stores a file as `stored` in free slots from `first` on, and lists it.
    pub(crate) fn add(
        &mut self,
        vol: &Volume,
        first: u32,
        stored: &Stored,
        entry: RawEntry,
        name: Vec<u16>,
    ) -> Result<u32> {
        let mut entries = set_of(stored, entry);
        let slot = first.saturating_add(le::count(entries.len())).saturating_sub(1);
        let behind = slot.saturating_add(1);
        if self.has_garbage && behind >= self.end && behind < self.slots {
            // The end mark moves: the slot behind becomes it.
            entries.push(RawEntry([END; ENTRY_BYTES]));
        }
        if let Some(gap) = first.checked_sub(self.end).filter(|&gap| gap > 0) {
            // An end mark in between would hide the file.
            self.write(vol, self.end, &vec![blank(); le::index(gap)])?;
        }
        self.write(vol, first, &entries)?;
        let raw = with_name(stored, entry);
        self.insert(slot, Listed { first, raw, name }, vol.options.short_names);
        Ok(slot)
    }

    /// Stores the file in `slot` under another name in the slots it has, or `None` if they are too few.
    ///
    /// The short entry stays where it is. What the new name does not need of the old one's slots is deleted in
    /// the same write, so that within a sector the change is whole or not at all.
    pub(crate) fn rename_in_place(
        &mut self,
        vol: &Volume,
        slot: u32,
        stored: &Stored,
        name: Vec<u16>,
    ) -> Result<Option<RawEntry>> {
        let Some(listed) = self.listed.get(&slot) else { return Ok(None) };
        let (first, old) = (listed.first, listed.raw);
        let set = set_of(stored, old);
        let have = le::index(slot.saturating_sub(first)).saturating_add(1);
        let Some(spare) = have.checked_sub(set.len()) else { return Ok(None) };
        if self.stretches(vol, first, le::count(have))?.len() > 1 {
            return Ok(None);
        }
        let entries = core::iter::repeat_n(blank(), spare).chain(set).collect::<Vec<_>>();
        self.write(vol, first, &entries)?;
        let raw = with_name(stored, old);
        self.remove(slot, vol.options.short_names);
        let first = first.saturating_add(le::count(spare));
        self.insert(slot, Listed { first, raw, name }, vol.options.short_names);
        Ok(Some(raw))
    }

    /// Deletes the file in `slot` and its long name: the short entry first, whatever lies between.
    pub(crate) fn delete(&mut self, vol: &Volume, slot: u32) -> Result<()> {
        self.hide(vol, slot)?;
        self.remove(slot, vol.options.short_names);
        Ok(())
    }

    /// Deletes the file in `slot` on the device alone, and returns its entries for [`show`](Self::show).
    pub(crate) fn hide(&self, vol: &Volume, slot: u32) -> Result<Vec<RawEntry>> {
        let Some(listed) = self.listed.get(&slot) else { return Err(Errno::ENOENT) };
        let count = slot.saturating_sub(listed.first).saturating_add(1);
        let mut entries = Vec::new();
        for stretch in self.stretches(vol, listed.first, count)?.into_iter().rev() {
            let mut bytes = vec![0; le::index(stretch.slots).saturating_mul(ENTRY_BYTES)];
            vol.read(&mut bytes, stretch.at)?;
            entries.extend(bytes.as_chunks::<ENTRY_BYTES>().0.iter().rev().map(|&e| RawEntry(e)));
            for entry in bytes.as_chunks_mut::<ENTRY_BYTES>().0 {
                entry[0] = DELETED;
            }
            vol.write(&bytes, stretch.at)?;
        }
        entries.reverse();
        Ok(entries)
    }

    /// Brings the file in `slot`, whose `entries` were hidden, back to the device, with `raw` as its short entry.
    pub(crate) fn show(
        &mut self,
        vol: &Volume,
        slot: u32,
        mut entries: Vec<RawEntry>,
        raw: RawEntry,
    ) -> Result<()> {
        let Some(first) = self.listed.get(&slot).map(|listed| listed.first) else {
            return Err(Errno::ENOENT);
        };
        if let Some(last) = entries.last_mut() {
            *last = raw;
        }
        self.write(vol, first, &entries)?;
        self.note(slot, raw);
        Ok(())
    }

    /// Overwrites the short entry in `slot`, whose name stays.
    pub(crate) fn update(&mut self, vol: &Volume, slot: u32, raw: RawEntry) -> Result<()> {
        let (at, _) = self.locate(vol, slot).ok_or(Errno::EUCLEAN)?;
        vol.write(&raw.0, at)?;
        self.note(slot, raw);
        Ok(())
    }

    /// Notes what the short entry in `slot` has become.
    pub(crate) fn note(&mut self, slot: u32, raw: RawEntry) {
        if let Some(listed) = self.listed.get_mut(&slot) {
            let (was, is) = (listed.raw.is_directory(), raw.is_directory());
            listed.raw = raw;
            self.directories = match (was, is) {
                (false, true) => self.directories.saturating_add(1),
                (true, false) => self.directories.saturating_sub(1),
                _ => self.directories,
            };
        }
    }
}

/// Zeroes the clusters of `runs` and links them behind `tail`.
fn link(vol: &Volume, table: &mut Table, tail: Option<u32>, runs: &[Run]) -> Result<()> {
    let cluster_bytes = u64::from(vol.layout.cluster_bytes);
    let mut previous = tail;
    for run in runs {
        let bytes = u64::from(run.length).saturating_mul(cluster_bytes);
        vol.write_zeroes(vol.layout.cluster_at(run.first), bytes)?;
        if let Some(tail) = previous {
            table.join(tail, run.first);
        }
        previous = run.clusters().last();
    }
    table.commit(vol, false)
}

/// A deleted entry.
fn blank() -> RawEntry {
    let mut entry = RawEntry([0; ENTRY_BYTES]);
    entry.0[0] = DELETED;
    entry
}

fn with_name(stored: &Stored, mut entry: RawEntry) -> RawEntry {
    entry.set_name(stored.short);
    entry.set_nt_case(stored.nt_case);
    entry
}

/// The slots of a file: long name, then short entry.
fn set_of(stored: &Stored, entry: RawEntry) -> Vec<RawEntry> {
    let long = stored.long.as_deref().unwrap_or_default();
    let mut entries = long::encode(long, &stored.short);
    entries.push(with_name(stored, entry));
    entries
}

/// How many slots a name takes.
pub(crate) fn slots_of(stored: &Stored) -> u32 {
    let long = stored.long.as_deref().unwrap_or_default();
    le::count(long::slots_for(long).saturating_add(1))
}
