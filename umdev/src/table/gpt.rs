//! The GUID partition table (UEFI 2.10, section 5.3).
//!
//! Header, in sector 1 and again in the last:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | `EFI PART` |
//! | 12 | 4 | header size, 92 or more |
//! | 16 | 4 | CRC-32 of the header with this field zero |
//! | 24, 32 | 8 | sector of this header, of the other one |
//! | 40, 48 | 8 | first and last usable sector |
//! | 56 | 16 | disk GUID |
//! | 72 | 8 | first sector of the entries |
//! | 80, 84 | 4 | number and size of entries |
//! | 88 | 4 | CRC-32 of the entries |
//!
//! Entry: type GUID 0, own GUID 16, first sector 32, last sector 40 (inclusive), attributes 48,
//! name 56 (36 UTF-16 units). Judged as the kernel's `is_gpt_valid`, and with the spec's recovery:
//! where the first header is bad the one in the last sector counts.

use super::field::{field, le32, le64};
use super::guid::Guid;
use super::mbr::{RawMbr, TYPE_PROTECTIVE, read_sector};
use super::{Entry, Kind, Label, LeftOut, NUMBER_MAX, Table};
use abi::Errno;
use abi::block::BlockDevice;
use thiserror::Error;

const SIGNATURE: [u8; 8] = *b"EFI PART";
const HEADER_BYTES_MIN: u32 = 92;
const ENTRY_BYTES: u32 = 128;
/// The most that the entries may take: what the kernel allocates for them at most.
const ENTRIES_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Why a sector is not a valid GPT header.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GptError {
    /// The header's sector, or one of the entries', could not be read.
    #[error("sector {lba} can't be read: {errno}")]
    Read {
        /// The first sector of the transfer.
        lba: u64,
        /// What the disk said.
        errno: Errno,
    },
    /// There is no header.
    #[error("sector {lba} does not begin with \"EFI PART\"")]
    NoSignature {
        /// The sector.
        lba: u64,
    },
    /// The header's size is below 92 or beyond the sector.
    #[error("header at sector {lba} says it is {bytes} bytes long")]
    HeaderSize {
        /// The sector.
        lba: u64,
        /// The field.
        bytes: u32,
    },
    /// The header's checksum is wrong.
    #[error("header at sector {lba} has checksum {stored:#010x}, computed {computed:#010x}")]
    HeaderChecksum {
        /// The sector.
        lba: u64,
        /// On disk.
        stored: u32,
        /// Of the bytes.
        computed: u32,
    },
    /// The header says that it is somewhere else.
    #[error("header at sector {lba} says it is at {stored}")]
    WrongPlace {
        /// The sector.
        lba: u64,
        /// The field.
        stored: u64,
    },
    /// The usable area is inverted or passes the disk's last sector.
    #[error("usable sectors {first}-{last} on a disk whose last is {disk_last}")]
    UsableArea {
        /// First usable sector.
        first: u64,
        /// Last usable sector.
        last: u64,
        /// The disk's last sector.
        disk_last: u64,
    },
    /// Entries are not 128 bytes long.
    #[error("entries of {0} bytes, not 128")]
    EntrySize(u32),
    /// The entries take more than 4 MiB.
    #[error("{0} entries are too many")]
    EntryCount(u32),
    /// The entries' checksum is wrong.
    #[error("entries have checksum {computed:#010x}, the header says {stored:#010x}")]
    EntriesChecksum {
        /// In the header.
        stored: u32,
        /// Of the bytes.
        computed: u32,
    },
}

/// A header's bytes with their offsets; judges nothing.
struct RawHeader<'a>(&'a [u8]);

impl RawHeader<'_> {
    fn signature(&self) -> [u8; 8] {
        field(self.0, 0)
    }
    fn header_bytes(&self) -> u32 {
        le32(self.0, 12)
    }
    fn header_crc(&self) -> u32 {
        le32(self.0, 16)
    }
    fn my_lba(&self) -> u64 {
        le64(self.0, 24)
    }
    fn usable(&self) -> (u64, u64) {
        (le64(self.0, 40), le64(self.0, 48))
    }
    fn disk_guid(&self) -> Guid {
        Guid(field(self.0, 56))
    }
    fn entries_lba(&self) -> u64 {
        le64(self.0, 72)
    }
    fn entry_count(&self) -> u32 {
        le32(self.0, 80)
    }
    fn entry_bytes(&self) -> u32 {
        le32(self.0, 84)
    }
    fn entries_crc(&self) -> u32 {
        le32(self.0, 88)
    }
}

/// A header that was found valid, with its entries' bytes.
struct Header {
    disk: Guid,
    entries: Vec<u8>,
}

/// Whether sector 0 is a protective MBR: an entry of type EE that starts at sector 1.
fn is_protected(device: &dyn BlockDevice) -> bool {
    let Ok(sector) = read_sector(device, 0) else { return false };
    let raw = RawMbr(&sector);
    let guard = |e: &super::mbr::RawEntry| e.type_code() == TYPE_PROTECTIVE && e.start() == 1;
    raw.has_signature() && raw.entries().iter().any(guard)
}

/// Reads the table of `device`: `None` where the MBR does not announce one.
///
/// # Errors
/// - why the first header is refused, where the second is refused too.
pub(crate) fn parse(device: &dyn BlockDevice) -> Result<Option<Table>, GptError> {
    if !is_protected(device) {
        return Ok(None);
    }
    let geometry = device.geometry();
    let sectors = geometry.size_bytes.checked_div(u64::from(geometry.block_size)).unwrap_or(0);
    let disk_last = sectors.saturating_sub(1);
    let (header, from_backup) = match read_header(device, 1, disk_last) {
        Ok(header) => (header, false),
        Err(error) => {
            tracing::warn!(%error, disk_last, "first GPT header refused, trying the last sector");
            match read_header(device, disk_last, disk_last) {
                Ok(header) => (header, true),
                Err(second) => {
                    tracing::warn!(error = %second, "second GPT header refused");
                    return Err(error);
                }
            }
        }
    };
    let mut table = Table::new(Label::Gpt { disk: header.disk, from_backup });
    for (number, entry) in (1u32..).zip(header.entries.chunks_exact(128)) {
        if Guid(field(entry, 0)).is_nil() {
            continue;
        }
        if number > NUMBER_MAX {
            table.leave_out(LeftOut::TooMany { lba: le64(entry, 32) });
            break;
        }
        push_entry(&mut table, number, entry, disk_last);
    }
    Ok(Some(table))
}

fn push_entry(table: &mut Table, number: u32, entry: &[u8], disk_last: u64) {
    let (lba_first, lba_last) = (le64(entry, 32), le64(entry, 40));
    let sectors = lba_last.checked_sub(lba_first).and_then(|n| n.checked_add(1));
    let (Some(sectors), true) = (sectors, lba_last <= disk_last) else {
        return table.leave_out(LeftOut::BadBounds { number, lba_first, lba_last });
    };
    let units = entry.get(56..128).unwrap_or_default().chunks_exact(2);
    let units = units.map(|u| u16::from_le_bytes(field(u, 0))).take_while(|u| *u != 0);
    let name =
        char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    let kind = Kind::Gpt {
        type_guid: Guid(field(entry, 0)),
        guid: Guid(field(entry, 16)),
        attributes: le64(entry, 48),
        name,
    };
    table.push(Entry { number, lba_first, sectors, kind });
}

fn read(device: &dyn BlockDevice, lba: u64, len: u64) -> Result<Vec<u8>, GptError> {
    let failed = |errno| GptError::Read { lba, errno };
    let geometry = device.geometry();
    let offset = lba.checked_mul(u64::from(geometry.block_size));
    let offset = offset.ok_or(failed(Errno::EINVAL))?;
    // Checked before memory is taken.
    let inside = offset.checked_add(len).is_some_and(|end| end <= geometry.size_bytes);
    if !inside {
        return Err(failed(Errno::EINVAL));
    }
    let mut bytes = vec![0u8; usize::try_from(len).map_err(|_| failed(Errno::EINVAL))?];
    device.read_at(&mut bytes, offset).map_err(failed)?;
    Ok(bytes)
}

/// Reads and judges the header at `lba`, in the kernel's order.
fn read_header(device: &dyn BlockDevice, lba: u64, disk_last: u64) -> Result<Header, GptError> {
    let block_size = device.geometry().block_size;
    let sector = read(device, lba, u64::from(block_size))?;
    let raw = RawHeader(&sector);
    if raw.signature() != SIGNATURE {
        return Err(GptError::NoSignature { lba });
    }
    let bytes = raw.header_bytes();
    if !(HEADER_BYTES_MIN..=block_size).contains(&bytes) {
        return Err(GptError::HeaderSize { lba, bytes });
    }
    let covered = usize::try_from(bytes).ok().and_then(|n| sector.get(..n)).unwrap_or_default();
    let (stored, computed) = (raw.header_crc(), header_crc(covered));
    if stored != computed {
        return Err(GptError::HeaderChecksum { lba, stored, computed });
    }
    if raw.my_lba() != lba {
        return Err(GptError::WrongPlace { lba, stored: raw.my_lba() });
    }
    let (first, last) = raw.usable();
    if first > disk_last || last > disk_last || last < first {
        return Err(GptError::UsableArea { first, last, disk_last });
    }
    if raw.entry_bytes() != ENTRY_BYTES {
        return Err(GptError::EntrySize(raw.entry_bytes()));
    }
    let count = raw.entry_count();
    let len = u64::from(count).saturating_mul(u64::from(ENTRY_BYTES));
    if len > ENTRIES_BYTES_MAX {
        return Err(GptError::EntryCount(count));
    }
    let entries = read(device, raw.entries_lba(), len)?;
    let (stored, computed) = (raw.entries_crc(), crc32fast::hash(&entries));
    if stored != computed {
        return Err(GptError::EntriesChecksum { stored, computed });
    }
    Ok(Header { disk: raw.disk_guid(), entries })
}

/// The CRC-32 of a header whose own checksum field counts as zero.
fn header_crc(header: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header.get(..16).unwrap_or_default());
    hasher.update(&[0; 4]);
    hasher.update(header.get(20..).unwrap_or_default());
    hasher.finalize()
}
