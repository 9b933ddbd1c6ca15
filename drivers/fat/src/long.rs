//! Long names: up to 20 entries in front of the short one, last part first (specification section 7).

use crate::boot;
use crate::entry::{ATTR_LONG, ENTRY_BYTES, RawEntry, ShortBytes};
use crate::le;
use crate::name::UNITS_MAX;

/// Units in one entry.
const UNITS_PER_SLOT: usize = 13;
/// Where they lie in it.
const UNITS_AT: [usize; UNITS_PER_SLOT] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
/// Set in the number of the last part, which comes first.
const LAST: u8 = 0x40;
/// The most entries of one long name.
const SLOTS_MAX: u8 = 20;

/// The checksum that ties a long name to its short one.
pub(crate) fn checksum(short: &ShortBytes) -> u8 {
    short.iter().fold(0u8, |sum, &byte| sum.rotate_right(1).wrapping_add(byte))
}

/// How many entries the long name `units` takes.
pub(crate) fn slots_for(units: &[u16]) -> usize {
    units.len().div_ceil(UNITS_PER_SLOT)
}

/// The entries of `units`, in the order on disk, tied to `short`.
pub(crate) fn encode(units: &[u16], short: &ShortBytes) -> Vec<RawEntry> {
    let sum = checksum(short);
    let total = slots_for(units);
    let mut slots = Vec::with_capacity(total);
    for (number, part) in units.chunks(UNITS_PER_SLOT).enumerate() {
        let mut bytes = [0; ENTRY_BYTES];
        let ordinal = u8::try_from(number.saturating_add(1)).unwrap_or(SLOTS_MAX);
        let last = number.saturating_add(1) == total;
        le::put_u8(&mut bytes, 0, if last { ordinal | LAST } else { ordinal });
        le::put_u8(&mut bytes, 11, ATTR_LONG);
        le::put_u8(&mut bytes, 13, sum);
        // A part that is not full ends in a zero; behind it all bits are set.
        let padding = core::iter::once(0).chain(core::iter::repeat(0xffff));
        let padded = part.iter().copied().chain(padding);
        for (&at, unit) in UNITS_AT.iter().zip(padded) {
            le::put_u16(&mut bytes, at, unit);
        }
        slots.push(RawEntry(bytes));
    }
    slots.reverse();
    slots
}

/// Gathers the parts of a long name until its short entry comes; parts out of order are orphans and forgotten.
#[derive(Default)]
pub(crate) struct Collector {
    /// Parts, each 13 units, last part first.
    parts: Vec<[u16; UNITS_PER_SLOT]>,
    /// The number the next part must have; 0 when the name is complete.
    expected: u8,
    sum: u8,
    slot_first: u32,
}

impl Collector {
    /// Forgets what was gathered.
    pub(crate) fn reset(&mut self) {
        self.parts.clear();
    }

    /// Takes the part in `slot`.
    pub(crate) fn feed(&mut self, slot: u32, raw: &RawEntry) {
        let ordinal = raw.first() & !LAST;
        let sum = le::u8_at(&raw.0, 13);
        if raw.first() & LAST != 0 {
            self.reset();
            self.slot_first = slot;
            self.sum = sum;
        } else if self.parts.is_empty() || ordinal != self.expected || sum != self.sum {
            self.reset();
            return;
        }
        if !(1..=SLOTS_MAX).contains(&ordinal) {
            self.reset();
            return;
        }
        self.expected = ordinal.saturating_sub(1);
        self.parts.push(UNITS_AT.map(|at| le::u16_at(&raw.0, at)));
    }

    /// Ends the name at its short entry: the first slot and the units, if there is a long name at all and it
    /// belongs to `short`.
    pub(crate) fn take(&mut self, short: &ShortBytes) -> Option<(u32, Vec<u16>)> {
        let parts = core::mem::take(&mut self.parts);
        if parts.is_empty() || self.expected != 0 || self.sum != checksum(short) {
            return None;
        }
        let units = parts.iter().rev().flatten().copied();
        let units = units.take_while(|&unit| unit != 0).collect::<Vec<_>>();
        (!units.is_empty() && units.len() <= UNITS_MAX).then_some((self.slot_first, units))
    }
}

/// The most slots of a name, long and short together.
pub(crate) const SET_SLOTS_MAX: usize = 21;

/// Directories end here: 2 MiB (specification section 6.5).
pub(crate) const DIRECTORY_SLOTS_MAX: u32 = 65_536;

/// How many slots a cluster of `layout` holds.
pub(crate) fn slots_per_cluster(layout: &boot::Layout) -> u32 {
    layout.cluster_bytes / 32
}

#[cfg(test)]
mod tests {
    use super::{Collector, checksum, encode, slots_for};
    use crate::entry::RawEntry;

    const SHORT: &[u8; 11] = b"LONGNA~1TXT";

    fn collect(slots: &[RawEntry], short: &[u8; 11]) -> Option<(u32, String)> {
        let mut collector = Collector::default();
        for (n, raw) in slots.iter().enumerate() {
            collector.feed(u32::try_from(n).unwrap(), raw);
        }
        let (first, units) = collector.take(short)?;
        Some((first, String::from_utf16(&units).unwrap()))
    }

    #[test]
    fn every_length_survives_the_round_trip() {
        for length in 1..=255 {
            let text =
                "abcdefghijklmnopqrstuvwxyz".chars().cycle().take(length).collect::<String>();
            let units = text.encode_utf16().collect::<Vec<_>>();
            let slots = encode(&units, SHORT);
            assert_eq!(slots.len(), slots_for(&units));
            assert_eq!(collect(&slots, SHORT), Some((0, text)));
        }
    }

    #[test]
    fn orphans_are_forgotten() {
        let units = "a name of three parts, no less than that".encode_utf16().collect::<Vec<_>>();
        let slots = encode(&units, SHORT);
        assert_eq!(slots.len(), 4);
        // Error: the short entry is another's.
        assert_eq!(collect(&slots, b"OTHER   TXT"), None);
        // Error: the first, a middle or the last part is missing.
        assert_eq!(collect(&slots[1..], SHORT), None);
        assert_eq!(collect(&[slots[0], slots[2], slots[3]], SHORT), None);
        assert_eq!(collect(&slots[..3], SHORT), None);
        // An orphan in front does not hide the name.
        let behind_orphan = [&slots[..1], &slots[..]].concat();
        assert!(collect(&behind_orphan, SHORT).is_some_and(|(first, _)| first == 1));
        // Error: a part number of 0 or above 20.
        for ordinal in [0x40, 0x55] {
            let mut bad = slots[0];
            bad.0[0] = ordinal;
            assert_eq!(collect(&[bad], SHORT), None);
        }
    }

    #[test]
    fn the_checksum_is_the_rotating_one() {
        // (((0 rotated + 'A') rotated + ' ') ...): computed by hand for a name of one letter and ten spaces.
        let mut sum = 0u8;
        for byte in *b"A          " {
            sum = (if sum & 1 == 1 { 0x80u8 } else { 0 }).wrapping_add(sum >> 1).wrapping_add(byte);
        }
        assert_eq!(checksum(b"A          "), sum);
    }
}
