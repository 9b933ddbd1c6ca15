//! Writing: in place where a cluster is the disk's own, else to a new one.

use super::tables::Tables;
use super::{COPIED, Cluster, Qcow2};
use crate::block::{check_discard, check_write};
use abi::block::BlockDevice;
use abi::{Errno, Result};
use core::ops::Range;
use std::sync::PoisonError;

impl Qcow2 {
    /// The clusters that bytes `range` of the disk touch: number, first byte in it, length.
    fn pieces(&self, range: Range<u64>) -> impl Iterator<Item = (u64, u64, usize)> {
        let cluster_bytes = self.header.cluster_bytes();
        let mut at = range.start;
        core::iter::from_fn(move || {
            if at >= range.end {
                return None;
            }
            let skip = at & cluster_bytes.saturating_sub(1);
            let len = cluster_bytes.saturating_sub(skip).min(range.end.saturating_sub(at));
            let number = at >> cluster_bytes.trailing_zeros();
            at = at.saturating_add(len);
            Some((number, skip, usize::try_from(len).ok()?))
        })
    }

    /// Writes what is to be written of one cluster.
    fn write_piece(&self, tables: &mut Tables, number: u64, skip: u64, bytes: &[u8]) -> Result<()> {
        let entry = tables.get(&*self.image, number)?;
        let cluster = self.judge(entry);
        if let Cluster::At(place) = cluster
            && entry & COPIED != 0
        {
            return self.write_in_place(place, skip, bytes);
        }
        let cluster_bytes = self.header.cluster_bytes();
        let mut whole = vec![0u8; usize::try_from(cluster_bytes).map_err(|_| Errno::EIO)?];
        if bytes.len() < whole.len() {
            self.read_cluster(&mut whole, cluster, entry, 0)?;
        }
        let from = usize::try_from(skip).map_err(|_| Errno::EIO)?;
        let place = whole.get_mut(from..).and_then(|rest| rest.get_mut(..bytes.len()));
        place.ok_or(Errno::EIO)?.copy_from_slice(bytes);
        let fresh = tables.counts.as_mut().ok_or(Errno::EROFS)?.allocate(&*self.image)?;
        self.image.write_at(&whole, fresh).map_err(crate::block::from_below)?;
        tables.set(&*self.image, number, fresh | COPIED)?;
        self.give_back(tables, entry)
    }

    /// Writes into a cluster of the image, of which the image's end may be a part.
    fn write_in_place(&self, place: u64, skip: u64, bytes: &[u8]) -> Result<()> {
        let image_bytes = self.image.geometry().size_bytes;
        let end = place.checked_add(self.header.cluster_bytes()).ok_or(Errno::EIO)?;
        if place >= image_bytes {
            return Err(self.corrupt("cluster past the end of the image", place));
        }
        if end > image_bytes {
            self.image.grow(end)?;
        }
        let at = place.checked_add(skip).ok_or(Errno::EIO)?;
        self.image.write_at(bytes, at).map_err(crate::block::from_below)
    }

    /// Gives back what a second-level entry leads to.
    fn give_back(&self, tables: &mut Tables, entry: u64) -> Result<()> {
        let range = match self.judge(entry) {
            Cluster::Packed(place, len) => place..place.saturating_add(len),
            Cluster::At(place) => place..place.saturating_add(1),
            // A cluster of zeroes may have room in the image.
            Cluster::Zero => match entry & super::OFFSET_MASK {
                0 => return Ok(()),
                place => place..place.saturating_add(1),
            },
        };
        tables.give_back(&*self.image, range)
    }

    pub(super) fn write(&self, buf: &[u8], offset: u64) -> Result<()> {
        let end = check_write(&self.geometry(), buf.len(), offset)?;
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let mut rest = buf;
        for (number, skip, len) in self.pieces(offset..end) {
            let (part, tail) = rest.split_at_checked(len).ok_or(Errno::EIO)?;
            self.write_piece(&mut tables, number, skip, part)?;
            rest = tail;
        }
        Ok(())
    }

    pub(super) fn drop_range(&self, range: Range<u64>) -> Result<()> {
        check_discard(&self.geometry(), &range)?;
        let cluster_bytes = self.header.cluster_bytes();
        let per_table = cluster_bytes / 8;
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let table_bytes = per_table.saturating_mul(cluster_bytes);
        let mut at = range.start;
        while at < range.end {
            let inside = at & table_bytes.saturating_sub(1);
            let next = at.saturating_sub(inside).saturating_add(table_bytes);
            let stop = next.min(range.end);
            let (table, _) = tables.split(at >> self.header.cluster_bits)?;
            // Without a table there is nothing to drop.
            if tables.first.get(table).is_some_and(|entry| entry & super::OFFSET_MASK != 0) {
                for (number, skip, len) in self.pieces(at..stop) {
                    self.drop_piece(&mut tables, number, skip, len)?;
                }
            }
            at = stop;
        }
        Ok(())
    }

    fn drop_piece(&self, tables: &mut Tables, number: u64, skip: u64, len: usize) -> Result<()> {
        let entry = tables.get(&*self.image, number)?;
        if entry == 0 {
            return Ok(());
        }
        if u64::try_from(len) == Ok(self.header.cluster_bytes()) {
            tables.set(&*self.image, number, 0)?;
            return self.give_back(tables, entry);
        }
        if self.judge(entry) == Cluster::Zero {
            return Ok(());
        }
        self.write_piece(tables, number, skip, &vec![0; len])
    }

    pub(super) fn commit(&self) -> Result<()> {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        if tables.counts.is_some() { tables.commit(&*self.image) } else { Ok(()) }
    }
}

impl Drop for Qcow2 {
    fn drop(&mut self) {
        if let Err(errno) = self.commit() {
            tracing::warn!(%errno, "the last changes of a qcow2 image may be lost");
        }
    }
}
