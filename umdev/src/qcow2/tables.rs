//! The tables that lead from a cluster of the disk to one of the image, and what of them is not written yet.
//!
//! Changed second-level tables are kept in memory. [`Tables::commit`] writes, with a flush between: data and counts;
//! second-level tables; first-level entries; then the counts of what nothing leads to any more. So a cut leaves the
//! old contents of a cluster or the new, and at worst clusters that are counted for nothing.

use super::counts::Counts;
use super::{COPIED, OFFSET_MASK};
use abi::block::BlockDevice;
use abi::{Errno, Result};
use std::collections::{BTreeSet, HashMap};

/// Bytes of second-level tables that are kept.
const KEPT_BYTES_MAX: u64 = 8 << 20;
/// Clusters that wait to be given back.
const FREES_MAX: usize = 4096;

struct Table {
    entries: Vec<u64>,
    is_dirty: bool,
}

/// First level, and the second-level tables that a writer has in hand.
pub(super) struct Tables {
    pub(super) first: Vec<u64>,
    first_place: u64,
    cluster_bits: u32,
    kept: HashMap<usize, Table>,
    dirty_first: BTreeSet<usize>,
    /// Clusters that lose a user with the next commit.
    frees: Vec<u64>,
    /// `None` if the disk is read-only.
    pub(super) counts: Option<Counts>,
}

impl Tables {
    pub(super) fn new(
        first: Vec<u64>,
        first_place: u64,
        cluster_bits: u32,
        counts: Option<Counts>,
    ) -> Self {
        let (kept, dirty_first, frees) = (HashMap::new(), BTreeSet::new(), Vec::new());
        Self { first, first_place, cluster_bits, kept, dirty_first, frees, counts }
    }

    fn entries_per_table(&self) -> u64 {
        (1u64 << self.cluster_bits) / 8
    }

    /// Which table has cluster `number` of the disk, and which entry of it.
    pub(super) fn split(&self, number: u64) -> Result<(usize, usize)> {
        let per_table = self.entries_per_table();
        let table = number.checked_div(per_table).and_then(|table| usize::try_from(table).ok());
        let entry = number.checked_rem(per_table).and_then(|entry| usize::try_from(entry).ok());
        table.zip(entry).ok_or(Errno::EIO)
    }

    /// The second-level entry of cluster `number`; 0 where there is no table.
    ///
    /// # Errors
    /// - `EIO` if the table is not inside the image.
    pub(super) fn get(&self, image: &dyn BlockDevice, number: u64) -> Result<u64> {
        let (table, index) = self.split(number)?;
        if let Some(kept) = self.kept.get(&table) {
            return kept.entries.get(index).copied().ok_or(Errno::EIO);
        }
        let place = self.first.get(table).ok_or(Errno::EIO)? & OFFSET_MASK;
        if place == 0 {
            return Ok(0);
        }
        let at = place.saturating_add(u64::try_from(index).unwrap_or(0).saturating_mul(8));
        let mut raw = [0; 8];
        image.read_at(&mut raw, at).map_err(|_| Errno::EIO)?;
        Ok(u64::from_be_bytes(raw))
    }

    /// Sets the entry of cluster `number`.
    ///
    /// # Errors
    /// - `EROFS`, `ENOSPC`, `EIO`
    pub(super) fn set(&mut self, image: &dyn BlockDevice, number: u64, entry: u64) -> Result<()> {
        let (table, index) = self.split(number)?;
        if !self.kept.contains_key(&table) {
            let kept_bytes = u64::try_from(self.kept.len()).unwrap_or(0) << self.cluster_bits;
            if kept_bytes >= KEPT_BYTES_MAX {
                self.commit(image)?;
                self.kept.clear();
            }
            let entries = self.own_table(image, table)?;
            self.kept.insert(table, Table { entries, is_dirty: false });
        }
        let kept = self.kept.get_mut(&table).ok_or(Errno::EIO)?;
        *kept.entries.get_mut(index).ok_or(Errno::EIO)? = entry;
        kept.is_dirty = true;
        Ok(())
    }

    /// The entries of a table that only this disk uses: a new one where there is none, or where it is shared.
    fn own_table(&mut self, image: &dyn BlockDevice, table: usize) -> Result<Vec<u64>> {
        let first = self.first.get(table).copied().ok_or(Errno::EIO)?;
        let place = first & OFFSET_MASK;
        let mut bytes = vec![0u8; 1 << self.cluster_bits];
        if place != 0 {
            image.read_at(&mut bytes, place).map_err(|_| Errno::EIO)?;
        }
        if place == 0 || first & COPIED == 0 {
            let fresh = self.counts.as_mut().ok_or(Errno::EROFS)?.allocate(image)?;
            *self.first.get_mut(table).ok_or(Errno::EIO)? = fresh | COPIED;
            self.dirty_first.insert(table);
            if place != 0 {
                self.frees.push(place >> self.cluster_bits);
            }
            // Counted and led to: it must hold zeroes, whatever becomes of the entries.
            image.write_at(&bytes, fresh).map_err(|_| Errno::EIO)?;
        }
        Ok(bytes.as_chunks::<8>().0.iter().map(|entry| u64::from_be_bytes(*entry)).collect())
    }

    /// Says that the clusters of `range`, bytes of the image, lose a user.
    ///
    /// # Errors
    /// - `EIO`, if others wait already and can't be given back.
    pub(super) fn give_back(
        &mut self,
        image: &dyn BlockDevice,
        range: core::ops::Range<u64>,
    ) -> Result<()> {
        let last = range.end.saturating_sub(1) >> self.cluster_bits;
        self.frees.extend((range.start >> self.cluster_bits)..=last);
        if self.frees.len() >= FREES_MAX { self.commit(image) } else { Ok(()) }
    }

    /// Makes everything durable.
    ///
    /// # Errors
    /// - `EIO`
    pub(super) fn commit(&mut self, image: &dyn BlockDevice) -> Result<()> {
        image.flush()?;
        let mut has_written = false;
        for (&table, kept) in self.kept.iter_mut().filter(|(_, kept)| kept.is_dirty) {
            let place = self.first.get(table).ok_or(Errno::EIO)? & OFFSET_MASK;
            let bytes: Vec<u8> =
                kept.entries.iter().flat_map(|entry| entry.to_be_bytes()).collect();
            image.write_at(&bytes, place).map_err(|_| Errno::EIO)?;
            kept.is_dirty = false;
            has_written = true;
        }
        if has_written {
            image.flush()?;
        }
        if !self.dirty_first.is_empty() {
            for table in core::mem::take(&mut self.dirty_first) {
                let entry = self.first.get(table).copied().ok_or(Errno::EIO)?;
                let at = u64::try_from(table).unwrap_or(0).saturating_mul(8);
                let at = self.first_place.saturating_add(at);
                image.write_at(&entry.to_be_bytes(), at).map_err(|_| Errno::EIO)?;
            }
            image.flush()?;
        }
        let Some(counts) = &mut self.counts else { return Ok(()) };
        for cluster in core::mem::take(&mut self.frees) {
            if counts.free(image, cluster)? {
                let start = cluster << self.cluster_bits;
                let end = start.saturating_add(1 << self.cluster_bits);
                // Room on the host, if it takes it.
                let _ = image.discard(start..end.min(image.geometry().size_bytes));
            }
        }
        Ok(())
    }
}
