//! Partition tables: read, judged, never written (fdisk and its like write).
//!
//! [`Table::read`] answers what the kernel would: a disk whose table is refused is a disk without
//! partitions, an entry that can't be is left out, one that passes the end is cut. What was refused
//! or left out is logged, and told in [`Table::left_out`]. Overlapping entries are kept, as the
//! kernel keeps them.

mod ebr;
mod field;
mod gpt;
mod guid;
mod mbr;

pub use gpt::GptError;
pub use guid::Guid;
pub use mbr::MbrError;

use abi::block::BlockDevice;
use abi::{Errno, Result};
use thiserror::Error;

/// The highest number of a partition: `DISK_MAX_PARTS` of the kernel, less the whole disk.
pub const NUMBER_MAX: u32 = 255;

/// The kind of table, with what names the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Label {
    /// None that is valid.
    #[default]
    None,
    /// A PC table.
    Mbr {
        /// The disk identifier.
        disk_id: u32,
    },
    /// A GUID table.
    Gpt {
        /// The disk's GUID.
        disk: Guid,
        /// The first header was refused, and the one in the last sector counts.
        from_backup: bool,
    },
}

/// What an entry says about its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// From an MBR or EBR.
    Mbr {
        /// The type: 83 is Linux.
        type_code: u8,
        /// The boot indicator is 80.
        bootable: bool,
    },
    /// From a GPT.
    Gpt {
        /// What it is for.
        type_guid: Guid,
        /// Which one it is.
        guid: Guid,
        /// The attribute bits.
        attributes: u64,
        /// The label.
        name: String,
    },
}

/// One partition, in sectors of the device's size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The suffix: 1 to 4 for slots of the MBR, from 5 for logical ones, the index from 1 in a GPT.
    pub number: u32,
    /// First sector.
    pub lba_first: u64,
    /// Number of sectors, at least 1.
    pub sectors: u64,
    /// What it is.
    pub kind: Kind,
}

impl Entry {
    /// Whether this is a container of logical partitions.
    #[must_use]
    pub fn is_extended(&self) -> bool {
        matches!(self.kind, Kind::Mbr { type_code: 0x05 | 0x0f | 0x85, .. })
    }

    /// The length in bytes of the block device that the kernel makes of it: of an extended
    /// partition only the first KiB (or sector), so that nobody makes a file system over the
    /// logical ones.
    #[must_use]
    pub fn device_bytes(&self, block_size: u32) -> u64 {
        let bytes = self.sectors.saturating_mul(u64::from(block_size));
        if self.is_extended() { bytes.min(u64::from(block_size.max(1024))) } else { bytes }
    }
}

/// What a table has that is not among its entries, or not as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LeftOut {
    /// The first sector is past the end of the disk.
    #[error("partition {number} starts at sector {lba_first}, past the end at {disk_sectors}")]
    BeyondEnd {
        /// The partition.
        number: u32,
        /// Its first sector.
        lba_first: u64,
        /// Sectors of the disk.
        disk_sectors: u64,
    },
    /// The last sector is past the end: the entry is there, shorter than written.
    #[error("partition {number} of {sectors} sectors is cut at the end at {disk_sectors}")]
    Cut {
        /// The partition.
        number: u32,
        /// What it says.
        sectors: u64,
        /// Sectors of the disk.
        disk_sectors: u64,
    },
    /// A GPT entry is inverted or passes the end.
    #[error("partition {number} has sectors {lba_first}-{lba_last}")]
    BadBounds {
        /// The partition.
        number: u32,
        /// First sector.
        lba_first: u64,
        /// Last sector.
        lba_last: u64,
    },
    /// The chain of logical partitions comes back to a sector.
    #[error("the chain of logical partitions loops at sector {lba}")]
    ChainLoop {
        /// The sector that was there before.
        lba: u64,
    },
    /// The chain has a hundred links without a partition.
    #[error("the chain of logical partitions is empty too long at sector {lba}")]
    ChainTooLong {
        /// The link that was not followed.
        lba: u64,
    },
    /// A link can't be read, most often because it is past the end.
    #[error("the chain of logical partitions breaks at unreadable sector {lba}")]
    ChainUnreadable {
        /// The sector.
        lba: u64,
    },
    /// A link is not signed 55 AA.
    #[error("the chain of logical partitions breaks at unsigned sector {lba}")]
    ChainUnsigned {
        /// The sector.
        lba: u64,
    },
    /// More than [`NUMBER_MAX`] partitions.
    #[error("partitions from sector {lba} on are too many")]
    TooMany {
        /// Where the first is that has no number.
        lba: u64,
    },
}

/// Why a disk has no valid table.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TableError {
    /// What its sector 0 is instead.
    #[error(transparent)]
    Mbr(#[from] MbrError),
    /// What is wrong with its GPT.
    #[error(transparent)]
    Gpt(#[from] GptError),
}

impl TableError {
    /// The number for a caller who needs a table: `EIO` for a disk that fails, else `EINVAL`.
    #[must_use]
    pub fn to_errno(&self) -> Errno {
        match self {
            Self::Mbr(MbrError::Read(_)) | Self::Gpt(GptError::Read { .. }) => Errno::EIO,
            Self::Mbr(
                MbrError::NoSignature(_)
                | MbrError::BootIndicator { .. }
                | MbrError::Protective { .. },
            )
            | Self::Gpt(
                GptError::NoSignature { .. }
                | GptError::HeaderSize { .. }
                | GptError::HeaderChecksum { .. }
                | GptError::WrongPlace { .. }
                | GptError::UsableArea { .. }
                | GptError::EntrySize(_)
                | GptError::EntryCount(_)
                | GptError::EntriesChecksum { .. },
            ) => Errno::EINVAL,
        }
    }
}

/// A disk's partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The kind of table.
    pub label: Label,
    /// The partitions, in the order of the table.
    pub entries: Vec<Entry>,
    /// What is not among them.
    pub left_out: Vec<LeftOut>,
}

impl Table {
    fn new(label: Label) -> Self {
        Self { label, ..Self::default() }
    }

    fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    fn leave_out(&mut self, what: LeftOut) {
        self.left_out.push(what);
    }

    /// Reads the table of `device`; one that is refused is logged and reads as no partitions.
    ///
    /// # Errors
    /// - `EIO` if the first sector can't be read.
    pub fn read(device: &dyn BlockDevice) -> Result<Self> {
        if device.geometry().size_bytes < 512 {
            return Ok(Self::default());
        }
        match Self::read_valid(device) {
            Ok(table) => Ok(table),
            Err(error @ TableError::Mbr(MbrError::Read(_))) => {
                tracing::warn!(%error, "partition table can't be read");
                Err(error.to_errno())
            }
            Err(error @ TableError::Mbr(MbrError::NoSignature(_))) => {
                tracing::debug!(%error, "disk without partition table");
                Ok(Self::default())
            }
            Err(error) => {
                tracing::warn!(%error, "partition table refused");
                Ok(Self::default())
            }
        }
    }

    /// Reads the table of `device`, and says why where it has no valid one.
    ///
    /// # Errors
    /// - what is wrong with it: the GPT, where sector 0 announces one, else sector 0.
    pub fn read_valid(device: &dyn BlockDevice) -> core::result::Result<Self, TableError> {
        let mut table = match gpt::parse(device)? {
            Some(table) => table,
            None => mbr::parse(device)?,
        };
        let geometry = device.geometry();
        let block_size = u64::from(geometry.block_size);
        table.fit(geometry.size_bytes.checked_div(block_size).unwrap_or(0));
        for what in &table.left_out {
            tracing::warn!("{what}");
        }
        Ok(table)
    }

    /// Leaves out what begins past the end, and cuts what ends there.
    fn fit(&mut self, disk_sectors: u64) {
        let left_out = &mut self.left_out;
        self.entries.retain_mut(|entry| {
            let (number, lba_first, sectors) = (entry.number, entry.lba_first, entry.sectors);
            let room = disk_sectors.saturating_sub(lba_first);
            if room == 0 {
                left_out.push(LeftOut::BeyondEnd { number, lba_first, disk_sectors });
            } else if sectors > room {
                left_out.push(LeftOut::Cut { number, sectors, disk_sectors });
                entry.sectors = room;
            }
            room != 0
        });
    }
}
