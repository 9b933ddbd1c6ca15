//! The chain of sectors inside an extended partition.
//!
//! Each EBR is laid out as an MBR: usually one entry for a logical partition, counted from this
//! EBR, and one of an extended type for the next EBR, counted from the start of the whole extended
//! partition. Walked as the kernel's `parse_extended` does, with one more check: a sector is
//! visited once.

use super::mbr::{RawEntry, RawMbr, read_sector};
use super::{Entry, LeftOut, NUMBER_MAX, Table};
use abi::block::BlockDevice;
use std::collections::BTreeSet;

/// Links that may be followed without finding a partition.
const EMPTY_LINKS_MAX: u32 = 100;

/// The walk through the EBRs of one disk; logical partitions are numbered from 5 across all of
/// them.
pub(crate) struct Chain<'a> {
    device: &'a dyn BlockDevice,
    visited: BTreeSet<u64>,
    next_number: u32,
}

impl<'a> Chain<'a> {
    pub(crate) fn new(device: &'a dyn BlockDevice) -> Self {
        Self { device, visited: BTreeSet::new(), next_number: 5 }
    }

    /// Adds the logical partitions of the extended partition `first`, `sectors` long.
    ///
    /// A broken chain ends the walk and is told in [`Table::left_out`]; what was found before
    /// stays.
    pub(crate) fn follow(&mut self, table: &mut Table, first: u64, sectors: u64) {
        let mut link =
            Link { extended_first: first, extended_sectors: sectors, at: first, sectors };
        let mut empty_links = 0u32;
        loop {
            if !self.visited.insert(link.at) {
                return table.leave_out(LeftOut::ChainLoop { lba: link.at });
            }
            empty_links = empty_links.saturating_add(1);
            if empty_links > EMPTY_LINKS_MAX {
                return table.leave_out(LeftOut::ChainTooLong { lba: link.at });
            }
            let Ok(sector) = read_sector(self.device, link.at) else {
                return table.leave_out(LeftOut::ChainUnreadable { lba: link.at });
            };
            let raw = RawMbr(&sector);
            if !raw.has_signature() {
                return table.leave_out(LeftOut::ChainUnsigned { lba: link.at });
            }
            match self.take_partitions(table, &raw, &link) {
                Found::Full => return,
                Found::Some => empty_links = 0,
                Found::None => {}
            }
            let mut links = raw.entries().into_iter();
            let Some(next) = links.find(|e| e.sectors() != 0 && e.is_extended()) else {
                return;
            };
            // Both are 32 bits on disk, so the sum stays far below 2^64.
            link.at = first.saturating_add(next.start());
            link.sectors = next.sectors();
        }
    }

    fn take_partitions(&mut self, table: &mut Table, raw: &RawMbr<'_>, link: &Link) -> Found {
        let mut found = Found::None;
        for (slot, entry) in (1u32..).zip(raw.entries()) {
            if entry.sectors() == 0 || entry.is_extended() {
                continue;
            }
            if slot > 2 && !link.holds(&entry) {
                continue;
            }
            if self.next_number > NUMBER_MAX {
                table.leave_out(LeftOut::TooMany { lba: link.at });
                return Found::Full;
            }
            table.push(Entry {
                number: self.next_number,
                lba_first: link.at.saturating_add(entry.start()),
                sectors: entry.sectors(),
                kind: entry.kind(),
            });
            self.next_number = self.next_number.saturating_add(1);
            found = Found::Some;
        }
        found
    }
}

/// Whether an EBR had partitions, and whether more would have numbers.
enum Found {
    None,
    Some,
    Full,
}

/// One EBR: where it is, and the bounds that it must keep.
struct Link {
    extended_first: u64,
    extended_sectors: u64,
    at: u64,
    sectors: u64,
}

impl Link {
    /// Whether a third or fourth entry lies inside: some tools leave garbage there.
    fn holds(&self, entry: &RawEntry) -> bool {
        let end_in_link = entry.start().saturating_add(entry.sectors());
        let first = self.at.saturating_add(entry.start());
        let end = first.saturating_add(entry.sectors());
        end_in_link <= self.sectors
            && first >= self.extended_first
            && end <= self.extended_first.saturating_add(self.extended_sectors)
    }
}
