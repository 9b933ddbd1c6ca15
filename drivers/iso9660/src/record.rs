//! Directory records, ECMA-119 section 9.1.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | length of the record; 0 is padding to the end of the sector |
//! | 1 | 1 | length of the extended attribute record, in blocks before the data |
//! | 2 | 8 | first block of the extent, both byte orders |
//! | 10 | 8 | length of the data in bytes, both byte orders |
//! | 18 | 7 | date |
//! | 25 | 1 | flags |
//! | 26 | 1 | file unit size of an interleaved file, in blocks |
//! | 27 | 1 | gap between file units, in blocks |
//! | 28 | 4 | volume of the set |
//! | 32 | 1 | length of the name |
//! | 33 | n | name, padded to an odd length; then the system use area |
//!
//! Lengths come first so that a reader can walk records of later versions.

use crate::date;
use crate::error::Corrupt;
use crate::numeric::{byte, le32, slice};
use abi::fs::Timestamp;
use bitflags::bitflags;

/// The shortest record: the fields and a name of one byte.
const RECORD_BYTES_MIN: u8 = 34;

bitflags! {
    /// File flags, 9.1.6.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct RecordFlags: u8 {
        /// Not to be shown to the user.
        const HIDDEN = 1;
        /// A directory.
        const DIRECTORY = 1 << 1;
        /// A fork that belongs to the file of the same name.
        const ASSOCIATED = 1 << 2;
        /// Not the last section of its file.
        const MORE_SECTIONS = 1 << 7;
        const _ = !0;
    }
}

/// The bytes of one record, copied out of the image.
#[derive(Clone, Copy)]
pub(crate) struct RawDirectoryRecord {
    /// Where on the device.
    pub(crate) position: u64,
    bytes: [u8; 255],
}

/// A record whose lengths agree with one another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DirectoryRecord<'a> {
    /// Where on the device, in bytes.
    pub(crate) position: u64,
    /// First logical block of the data, behind the extended attribute record.
    pub(crate) data_block: u64,
    /// Length of the data of this section in bytes.
    pub(crate) size_bytes: u32,
    /// When it was recorded.
    pub(crate) date: Timestamp,
    /// File flags.
    pub(crate) flags: RecordFlags,
    /// Blocks of data between gaps; 0 if not interleaved.
    pub(crate) unit_blocks: u8,
    /// Blocks of a gap.
    pub(crate) gap_blocks: u8,
    /// The name, not translated; one byte 0 is the directory itself, one byte 1 its parent.
    pub(crate) name: &'a [u8],
    /// What follows the name.
    pub(crate) system_use: &'a [u8],
}

impl RawDirectoryRecord {
    /// Copies the record that begins `bytes`, which end where its sector ends. `None` if this is padding.
    ///
    /// # Errors
    /// - [`Corrupt::Record`] if it passes the end of `bytes` or is too short for its fields and name.
    pub(crate) fn copy_from(bytes: &[u8], position: u64) -> Result<Option<Self>, Corrupt> {
        let length = byte(bytes, 0);
        if length == 0 {
            return Ok(None);
        }
        let corrupt = Corrupt::Record { position, length };
        let source = bytes.get(..usize::from(length)).ok_or(corrupt)?;
        let name_length = byte(source, 32);
        if length < RECORD_BYTES_MIN || name_length == 0 || name_length > length.saturating_sub(33)
        {
            return Err(corrupt);
        }
        let mut copy = [0; 255];
        for (to, from) in copy.iter_mut().zip(source) {
            *to = *from;
        }
        Ok(Some(Self { position, bytes: copy }))
    }

    /// Length of the record in bytes.
    pub(crate) fn length(&self) -> u8 {
        byte(&self.bytes, 0)
    }

    /// The fields.
    pub(crate) fn record(&self) -> DirectoryRecord<'_> {
        let bytes = slice(&self.bytes, 0, usize::from(self.length()));
        let name_length = usize::from(byte(bytes, 32));
        // The name is padded so that what follows has an even offset.
        let behind_name = name_length.saturating_add(33).next_multiple_of(2);
        DirectoryRecord {
            position: self.position,
            data_block: u64::from(le32(bytes, 2)).saturating_add(u64::from(byte(bytes, 1))),
            size_bytes: le32(bytes, 10),
            date: date::from_short(slice(bytes, 18, 7)),
            flags: RecordFlags::from_bits_retain(byte(bytes, 25)),
            unit_blocks: byte(bytes, 26),
            gap_blocks: byte(bytes, 27),
            name: slice(bytes, 33, name_length),
            system_use: bytes.get(behind_name..).unwrap_or_default(),
        }
    }
}

impl DirectoryRecord<'_> {
    /// Whether it is the directory's own record or that of its parent.
    pub(crate) fn is_dot(&self) -> bool {
        matches!(self.name, [0 | 1])
    }
}

#[cfg(test)]
mod tests {
    use super::{RawDirectoryRecord, RecordFlags};
    use crate::error::Corrupt;

    fn bytes() -> Vec<u8> {
        let mut bytes = vec![0; 48];
        bytes[0] = 42; // 33 fields, 3 name, no padding needed after an odd name, 6 system use
        bytes[1] = 2;
        bytes[2..6].copy_from_slice(&100_u32.to_le_bytes());
        bytes[10..14].copy_from_slice(&5_u32.to_le_bytes());
        bytes[25] = 0x82;
        bytes[32] = 3;
        bytes[33..36].copy_from_slice(b"A.B");
        bytes[36..42].copy_from_slice(b"system");
        bytes
    }

    #[test]
    fn fields_are_where_the_standard_has_them() {
        let raw = RawDirectoryRecord::copy_from(&bytes(), 7).unwrap().unwrap();
        let record = raw.record();
        assert_eq!((record.position, record.data_block, record.size_bytes), (7, 102, 5));
        assert_eq!(record.flags, RecordFlags::DIRECTORY | RecordFlags::MORE_SECTIONS);
        assert_eq!((record.name, record.system_use), (&b"A.B"[..], &b"system"[..]));
        assert!(!record.is_dot());
    }

    #[test]
    fn zero_is_padding() {
        assert!(RawDirectoryRecord::copy_from(&[0; 40], 0).unwrap().is_none());
        assert!(RawDirectoryRecord::copy_from(&[], 0).unwrap().is_none());
    }

    #[test]
    fn impossible_lengths_are_named() {
        let with = |at: usize, value: u8| {
            let mut b = bytes();
            b[at] = value;
            RawDirectoryRecord::copy_from(&b, 7).map(|_| ())
        };
        // Error: longer than the rest of the sector.
        assert_eq!(with(0, 49), Err(Corrupt::Record { position: 7, length: 49 }));
        // Error: shorter than its fields.
        assert_eq!(with(0, 33), Err(Corrupt::Record { position: 7, length: 33 }));
        // Error: no name.
        assert_eq!(with(32, 0), Err(Corrupt::Record { position: 7, length: 42 }));
        // Error: the name passes the end of the record.
        assert_eq!(with(32, 10), Err(Corrupt::Record { position: 7, length: 42 }));
    }
}
