//! The table in the first sector of a PC disk.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 440 | 4 | disk identifier |
//! | 446 | 4 x 16 | entries |
//! | 510 | 2 | signature 55 AA |
//!
//! An entry: boot indicator 0, CHS of the first sector 1-3, type 4, CHS of the last sector 5-7,
//! first sector 8 (le32), number of sectors 12 (le32). CHS is read by nobody since disks passed 8
//! GB. Sectors are of the device's size. Judged as the kernel's `msdos_partition` does.

use super::ebr;
use super::field::{field, le32};
use super::{Entry, Kind, Label, LeftOut, Table};
use abi::Errno;
use abi::block::BlockDevice;
use thiserror::Error;

/// The type of a protective entry: the disk has a GPT.
pub(crate) const TYPE_PROTECTIVE: u8 = 0xee;

/// Why a first sector is not a partition table.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MbrError {
    /// The disk could not give its first sector.
    #[error("sector 0 can't be read: {0}")]
    Read(Errno),
    /// Bytes 510 and 511 are not 55 AA: a disk without a table.
    #[error("no signature 55 AA in sector 0, but {0:02x?}")]
    NoSignature([u8; 2]),
    /// A boot indicator is neither 0 nor 80: the signature is of something else.
    #[error("entry {slot} has boot indicator {value:#04x}: a boot sector, not a table")]
    BootIndicator {
        /// 1 to 4.
        slot: u32,
        /// The byte.
        value: u8,
    },
    /// An entry of type EE, but no GPT behind it is valid.
    #[error("entry {slot} says that there is a GPT, and there is no valid one")]
    Protective {
        /// 1 to 4.
        slot: u32,
    },
}

/// The 512 bytes with their offsets; judges nothing. Also the layout of an EBR.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawMbr<'a>(pub(crate) &'a [u8; 512]);

impl RawMbr<'_> {
    pub(crate) fn disk_id(&self) -> u32 {
        le32(self.0, 440)
    }

    pub(crate) fn signature(&self) -> [u8; 2] {
        field(self.0, 510)
    }

    pub(crate) fn has_signature(&self) -> bool {
        self.signature() == [0x55, 0xaa]
    }

    /// The four entries in order.
    pub(crate) fn entries(&self) -> [RawEntry; 4] {
        [446, 462, 478, 494].map(|at| RawEntry(field(self.0, at)))
    }
}

/// The 16 bytes of an entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawEntry([u8; 16]);

impl RawEntry {
    pub(crate) fn boot_indicator(&self) -> u8 {
        u8::from_le_bytes(field(&self.0, 0))
    }

    pub(crate) fn type_code(&self) -> u8 {
        u8::from_le_bytes(field(&self.0, 4))
    }

    pub(crate) fn start(&self) -> u64 {
        u64::from(le32(&self.0, 8))
    }

    pub(crate) fn sectors(&self) -> u64 {
        u64::from(le32(&self.0, 12))
    }

    /// A container of logical partitions: DOS, Windows 95 with LBA, Linux.
    pub(crate) fn is_extended(&self) -> bool {
        matches!(self.type_code(), 0x05 | 0x0f | 0x85)
    }

    pub(crate) fn kind(&self) -> Kind {
        Kind::Mbr { type_code: self.type_code(), bootable: self.boot_indicator() == 0x80 }
    }
}

/// Reads the first 512 bytes of sector `lba`.
pub(crate) fn read_sector(device: &dyn BlockDevice, lba: u64) -> Result<[u8; 512], Errno> {
    let offset = lba.checked_mul(u64::from(device.geometry().block_size)).ok_or(Errno::EINVAL)?;
    let mut sector = [0u8; 512];
    device.read_at(&mut sector, offset)?;
    Ok(sector)
}

/// Reads and judges the table of `device` and its chain of logical partitions.
pub(crate) fn parse(device: &dyn BlockDevice) -> Result<Table, MbrError> {
    let sector = read_sector(device, 0).map_err(MbrError::Read)?;
    let raw = RawMbr(&sector);
    if !raw.has_signature() {
        return Err(MbrError::NoSignature(raw.signature()));
    }
    for (slot, entry) in (1..).zip(raw.entries()) {
        let value = entry.boot_indicator();
        if value & 0x7f != 0 {
            return Err(MbrError::BootIndicator { slot, value });
        }
    }
    for (slot, entry) in (1..).zip(raw.entries()) {
        if entry.type_code() == TYPE_PROTECTIVE {
            return Err(MbrError::Protective { slot });
        }
    }
    let mut table = Table::new(Label::Mbr { disk_id: raw.disk_id() });
    let mut logical = ebr::Chain::new(device);
    for (slot, entry) in (1..).zip(raw.entries()) {
        if entry.sectors() == 0 {
            continue;
        }
        let (lba_first, sectors) = (entry.start(), entry.sectors());
        table.push(Entry { number: slot, lba_first, sectors, kind: entry.kind() });
        if entry.is_extended() {
            if lba_first == 0 {
                // The chain would begin at the table itself.
                table.leave_out(LeftOut::ChainLoop { lba: 0 });
                continue;
            }
            logical.follow(&mut table, lba_first, sectors);
        }
    }
    Ok(table)
}
