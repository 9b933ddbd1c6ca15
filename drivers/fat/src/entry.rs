//! The 32 bytes of a directory entry (specification section 6).

use crate::boot::Kind;
use crate::le;
use crate::time::DosTime;

/// Bytes of an entry.
pub(crate) const ENTRY_BYTES: usize = 32;

pub(crate) const ATTR_READ_ONLY: u8 = 0x01;
pub(crate) const ATTR_VOLUME: u8 = 0x08;
pub(crate) const ATTR_DIRECTORY: u8 = 0x10;
pub(crate) const ATTR_ARCHIVE: u8 = 0x20;
/// All of read-only, hidden, system and volume: a part of a long name.
pub(crate) const ATTR_LONG: u8 = 0x0f;
const ATTR_LONG_MASK: u8 = 0x3f;

/// First byte of an entry that was deleted.
pub(crate) const DELETED: u8 = 0xe5;
/// First byte of an entry behind which there is none.
pub(crate) const END: u8 = 0;

/// A short entry.
///
/// | offset | field | | offset | field |
/// |---|---|---|---|---|
/// | 0 | `DIR_Name` 11 bytes | | 18 | `DIR_LstAccDate` u16 |
/// | 11 | `DIR_Attr` u8 | | 20 | `DIR_FstClusHI` u16 |
/// | 12 | `DIR_NTRes` u8 | | 22 | `DIR_WrtTime` u16 |
/// | 13 | `DIR_CrtTimeTenth` u8 | | 24 | `DIR_WrtDate` u16 |
/// | 14 | `DIR_CrtTime` u16 | | 26 | `DIR_FstClusLO` u16 |
/// | 16 | `DIR_CrtDate` u16 | | 28 | `DIR_FileSize` u32 |
///
/// Every pattern of bits has a meaning, so this is its own validated form; only the start cluster needs a
/// check, and gets it where the chain is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawEntry(pub(crate) [u8; ENTRY_BYTES]);

/// The 11 bytes of an 8.3 name.
pub(crate) type ShortBytes = [u8; 11];

impl RawEntry {
    /// An entry of nothing, for the given name and attributes, made at `now`.
    pub(crate) fn make(name: ShortBytes, attr: u8, now: DosTime) -> Self {
        let mut entry = Self([0; ENTRY_BYTES]);
        entry.set_name(name);
        entry.set_attr(attr);
        le::put_u8(&mut entry.0, 13, now.centis);
        le::put_u16(&mut entry.0, 14, now.time);
        le::put_u16(&mut entry.0, 16, now.date);
        entry.set_accessed(now.date);
        entry.set_modified(now);
        entry
    }

    pub(crate) fn name(&self) -> ShortBytes {
        self.0.first_chunk().copied().unwrap_or_default()
    }

    pub(crate) fn set_name(&mut self, name: ShortBytes) {
        if let Some(field) = self.0.first_chunk_mut() {
            *field = name;
        }
    }

    pub(crate) fn first(&self) -> u8 {
        self.0[0]
    }

    pub(crate) fn attr(&self) -> u8 {
        self.0[11]
    }

    pub(crate) fn set_attr(&mut self, attr: u8) {
        self.0[11] = attr;
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.attr() & ATTR_DIRECTORY != 0
    }

    pub(crate) fn is_long(&self) -> bool {
        self.attr() & ATTR_LONG_MASK == ATTR_LONG
    }

    pub(crate) fn nt_case(&self) -> u8 {
        self.0[12]
    }

    pub(crate) fn set_nt_case(&mut self, case: u8) {
        self.0[12] = case;
    }

    /// The first cluster, 0 for none. On FAT12 and FAT16 the upper half belongs to others (OS/2).
    pub(crate) fn start(&self, kind: Kind) -> u32 {
        let low = u32::from(le::u16_at(&self.0, 26));
        match kind {
            Kind::Fat32 => (u32::from(le::u16_at(&self.0, 20)) << 16) | low,
            Kind::Fat12 | Kind::Fat16 => low,
        }
    }

    pub(crate) fn set_start(&mut self, kind: Kind, cluster: u32) {
        let [a, b, c, d] = cluster.to_le_bytes();
        le::put_u16(&mut self.0, 26, u16::from_le_bytes([a, b]));
        if kind == Kind::Fat32 {
            le::put_u16(&mut self.0, 20, u16::from_le_bytes([c, d]));
        }
    }

    pub(crate) fn size_bytes(&self) -> u32 {
        le::u32_at(&self.0, 28)
    }

    pub(crate) fn set_size_bytes(&mut self, size: u32) {
        le::put_u32(&mut self.0, 28, size);
    }

    pub(crate) fn modified(&self) -> DosTime {
        DosTime { date: le::u16_at(&self.0, 24), time: le::u16_at(&self.0, 22), centis: 0 }
    }

    pub(crate) fn set_modified(&mut self, moment: DosTime) {
        le::put_u16(&mut self.0, 22, moment.time);
        le::put_u16(&mut self.0, 24, moment.date);
    }

    pub(crate) fn accessed(&self) -> u16 {
        le::u16_at(&self.0, 18)
    }

    pub(crate) fn set_accessed(&mut self, date: u16) {
        le::put_u16(&mut self.0, 18, date);
    }

    /// When the file was made; `None` where it was not recorded.
    pub(crate) fn created(&self) -> Option<DosTime> {
        let date = le::u16_at(&self.0, 16);
        let moment = DosTime { date, time: le::u16_at(&self.0, 14), centis: self.0[13] };
        (date != 0).then_some(moment)
    }

    /// This file's attributes, times and place under the name of `other`.
    pub(crate) fn named_as(&self, other: &Self) -> Self {
        let mut entry = *self;
        entry.set_name(other.name());
        entry.set_nt_case(other.nt_case());
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::{ATTR_ARCHIVE, RawEntry};
    use crate::boot::Kind;
    use crate::time::DosTime;

    #[test]
    fn the_upper_half_of_the_start_belongs_to_fat32_alone() {
        let mut e = RawEntry::make(*b"A       TXT", ATTR_ARCHIVE, DosTime::default());
        e.0[20] = 7;
        assert_eq!(e.start(Kind::Fat16), 0);
        e.set_start(Kind::Fat16, 0x1234);
        assert_eq!((e.0[20], e.start(Kind::Fat16), e.start(Kind::Fat32)), (7, 0x1234, 0x7_1234));
        e.set_start(Kind::Fat32, 0x0fed_cba9);
        assert_eq!(e.start(Kind::Fat32), 0x0fed_cba9);
    }
}
