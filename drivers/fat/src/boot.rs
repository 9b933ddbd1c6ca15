//! The boot sector: where everything lies (Microsoft FAT specification 1.03, sections 3.1 to 3.5).

use crate::error::Error;
use crate::le;

/// Bytes of the boot sector that are read, whatever the sector size.
pub(crate) const BOOT_BYTES: usize = 512;

/// The first sector as it lies on the device.
///
/// | offset | field | | offset | field |
/// |---|---|---|---|---|
/// | 11 | `BPB_BytsPerSec` u16 | | 22 | `BPB_FATSz16` u16 |
/// | 13 | `BPB_SecPerClus` u8 | | 32 | `BPB_TotSec32` u32 |
/// | 14 | `BPB_RsvdSecCnt` u16 | | 36 | FAT32: `BPB_FATSz32` u32 |
/// | 16 | `BPB_NumFATs` u8 | | 40 | FAT32: `BPB_ExtFlags` u16 |
/// | 17 | `BPB_RootEntCnt` u16 | | 42 | FAT32: `BPB_FSVer` u16 |
/// | 19 | `BPB_TotSec16` u16 | | 44 | FAT32: `BPB_RootClus` u32 |
/// | 21 | `BPB_Media` u8 | | 48 | FAT32: `BPB_FSInfo` u16 |
///
/// The state byte (bit 0: mounted for writing and not yet unmounted) is at 37, guarded by the extended
/// boot signature at 38; on FAT32 at 65 and 66.
pub(crate) struct RawBoot(pub(crate) [u8; BOOT_BYTES]);

/// The width of a cell of the allocation table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Fat12,
    Fat16,
    Fat32,
}

/// Where the root directory lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Root {
    /// FAT12 and FAT16: a fixed range between the tables and the data.
    Fixed { at: u64, slots: u32 },
    /// FAT32: a chain like any other directory.
    Chain { start: u32 },
}

/// The state byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) at: u64,
    pub(crate) value: u8,
}

/// The bit of the state byte that says "mounted for writing".
pub(crate) const STATE_DIRTY: u8 = 1;

/// The boot sector, checked. Offsets in bytes from the beginning of the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) kind: Kind,
    /// Bytes of a cluster: `1 << cluster_shift`.
    pub(crate) cluster_bytes: u32,
    pub(crate) cluster_shift: u32,
    /// Where each copy of the table that is kept begins; the first is the one that is read.
    pub(crate) tables_at: Vec<u64>,
    /// Bytes of one copy.
    pub(crate) table_bytes: u64,
    pub(crate) root: Root,
    pub(crate) data_at: u64,
    /// Clusters of the data area, numbered from 2.
    pub(crate) clusters: u32,
    pub(crate) fsinfo_at: Option<u64>,
    pub(crate) state: Option<State>,
}

/// Cells 0 and 1 of the table are no clusters.
pub(crate) const FIRST_CLUSTER: u32 = 2;
const FAT12_CLUSTERS_MAX: u64 = 4084;
const FAT16_CLUSTERS_MAX: u64 = 65524;
const FAT32_CLUSTERS_MAX: u64 = 0x0fff_fff5;
const SLOT_BYTES: u64 = 32;

impl Layout {
    /// Whether `cluster` is one of the data area.
    pub(crate) fn is_cluster(&self, cluster: u32) -> bool {
        cluster.checked_sub(FIRST_CLUSTER).is_some_and(|n| n < self.clusters)
    }

    /// Where the bytes of `cluster` begin.
    pub(crate) fn cluster_at(&self, cluster: u32) -> u64 {
        let number = u64::from(cluster.saturating_sub(FIRST_CLUSTER));
        self.data_at.saturating_add(number.saturating_mul(u64::from(self.cluster_bytes)))
    }

    /// How many clusters hold `size_bytes`.
    pub(crate) fn clusters_for(&self, size_bytes: u64) -> u32 {
        let round = u64::from(self.cluster_bytes).saturating_sub(1);
        let clusters = size_bytes.saturating_add(round).checked_shr(self.cluster_shift);
        u32::try_from(clusters.unwrap_or_default()).unwrap_or(u32::MAX)
    }
}

/// Sizes in sectors, as far as they are common to all three types.
struct Sectors {
    bytes: u32,
    per_cluster: u32,
    reserved: u32,
    tables: u32,
    table: u32,
    root: u32,
    total: u32,
}

impl RawBoot {
    fn u16(&self, at: usize) -> u16 {
        le::u16_at(&self.0, at)
    }

    fn u32(&self, at: usize) -> u32 {
        le::u32_at(&self.0, at)
    }

    /// Checks everything and computes the layout.
    ///
    /// # Errors
    /// The variants of [`Error`] from `SectorSize` to `ShortDevice`, in that order of fields.
    pub(crate) fn validate(&self, device_bytes: u64) -> Result<Layout, Error> {
        let sectors = self.sectors()?;
        let sector = u64::from(sectors.bytes);
        let root_slots = u32::from(self.u16(17));
        let tables_end = u64::from(sectors.reserved)
            .saturating_add(u64::from(sectors.tables).saturating_mul(u64::from(sectors.table)));
        let data_first = tables_end.saturating_add(u64::from(sectors.root));
        let too_few = Error::TooFewSectors { sectors: sectors.total, tables: data_first };
        let data = u64::from(sectors.total).checked_sub(data_first).ok_or(too_few)?;
        let clusters = data.checked_div(u64::from(sectors.per_cluster)).unwrap_or_default();
        let kind = self.kind(clusters)?;
        let table_bytes = u64::from(sectors.table).saturating_mul(sector);
        // A table shorter than the data area is legal: the clusters without a cell do not exist.
        let numbered = cells_in(kind, table_bytes).saturating_sub(u64::from(FIRST_CLUSTER));
        let clusters = u32::try_from(clusters.min(numbered)).unwrap_or(u32::MAX);
        if clusters == 0 {
            return Err(too_few);
        }
        let need_bytes = u64::from(sectors.total).saturating_mul(sector);
        if need_bytes > device_bytes {
            return Err(Error::ShortDevice { need_bytes, have_bytes: device_bytes });
        }
        let cluster_bytes = sectors.bytes.saturating_mul(sectors.per_cluster);
        let mut layout = Layout {
            kind,
            cluster_bytes,
            cluster_shift: cluster_bytes.trailing_zeros(),
            tables_at: self.tables_at(&sectors, kind, table_bytes),
            table_bytes,
            root: Root::Fixed { at: tables_end.saturating_mul(sector), slots: root_slots },
            data_at: data_first.saturating_mul(sector),
            clusters,
            fsinfo_at: None,
            state: self.state(kind),
        };
        if kind == Kind::Fat32 {
            let start = self.u32(44);
            if !layout.is_cluster(start) {
                return Err(Error::RootCluster { cluster: start });
            }
            layout.root = Root::Chain { start };
            let fsinfo = u32::from(self.u16(48));
            if fsinfo != 0 && fsinfo < sectors.reserved {
                layout.fsinfo_at = Some(u64::from(fsinfo).saturating_mul(sector));
            }
        } else if root_slots == 0 {
            return Err(Error::NoRoot);
        }
        Ok(layout)
    }

    fn sectors(&self) -> Result<Sectors, Error> {
        let bytes = self.u16(11);
        if !matches!(bytes, 512 | 1024 | 2048 | 4096) {
            return Err(Error::SectorSize { bytes });
        }
        let per_cluster = le::u8_at(&self.0, 13);
        if !per_cluster.is_power_of_two() {
            return Err(Error::ClusterSize { sectors: per_cluster });
        }
        let reserved = u32::from(self.u16(14));
        if reserved == 0 {
            return Err(Error::NoReserved);
        }
        let tables = le::u8_at(&self.0, 16);
        if !matches!(tables, 1 | 2) {
            return Err(Error::FatCount { count: tables });
        }
        let media = le::u8_at(&self.0, 21);
        if media != 0xf0 && media < 0xf8 {
            return Err(Error::Media { media });
        }
        let table = match self.u16(22) {
            0 => self.u32(36),
            short => u32::from(short),
        };
        if table == 0 {
            return Err(Error::NoTable);
        }
        let total = match self.u16(19) {
            0 => self.u32(32),
            short => u32::from(short),
        };
        let root_bytes = u64::from(self.u16(17)).saturating_mul(SLOT_BYTES);
        let root = root_bytes.div_ceil(u64::from(bytes).max(1));
        Ok(Sectors {
            bytes: u32::from(bytes),
            per_cluster: u32::from(per_cluster),
            reserved,
            tables: u32::from(tables),
            table,
            root: u32::try_from(root).unwrap_or(u32::MAX),
            total,
        })
    }

    /// The type. `BPB_FATSz16` = 0 decides for FAT32, because it decides where the fields lie (so does Linux,
    /// `fat_fill_super`); otherwise the number of clusters does.
    fn kind(&self, clusters: u64) -> Result<Kind, Error> {
        let (kind, max) = if self.u16(22) == 0 {
            if self.u16(42) != 0 {
                return Err(Error::Version { version: self.u16(42) });
            }
            (Kind::Fat32, FAT32_CLUSTERS_MAX)
        } else if clusters <= FAT12_CLUSTERS_MAX {
            (Kind::Fat12, FAT12_CLUSTERS_MAX)
        } else {
            (Kind::Fat16, FAT16_CLUSTERS_MAX)
        };
        if clusters > max {
            return Err(Error::TooManyClusters { clusters });
        }
        Ok(kind)
    }

    /// The copies to keep: all, or on FAT32 with mirroring switched off (`BPB_ExtFlags` bit 7) the active one.
    fn tables_at(&self, sectors: &Sectors, kind: Kind, table_bytes: u64) -> Vec<u64> {
        let first = u64::from(sectors.reserved).saturating_mul(u64::from(sectors.bytes));
        let all = (0..u64::from(sectors.tables))
            .map(|n| first.saturating_add(n.saturating_mul(table_bytes)))
            .collect::<Vec<_>>();
        let flags = self.u16(40);
        if kind == Kind::Fat32
            && flags & 0x80 != 0
            && let Some(&active) = all.get(usize::from(flags & 0x0f))
        {
            return vec![active];
        }
        all
    }

    /// The state byte, where the extended boot signature says that there is one.
    fn state(&self, kind: Kind) -> Option<State> {
        let (at, signature_at) = if kind == Kind::Fat32 { (65, 66) } else { (37, 38) };
        let signature = le::u8_at(&self.0, signature_at);
        matches!(signature, 0x28 | 0x29)
            .then(|| State { at: le::wide(at), value: le::u8_at(&self.0, at) })
    }
}

/// How many cells a table of `bytes` holds.
fn cells_in(kind: Kind, bytes: u64) -> u64 {
    match kind {
        Kind::Fat12 => bytes.saturating_mul(2) / 3,
        Kind::Fat16 => bytes / 2,
        Kind::Fat32 => bytes / 4,
    }
}

#[cfg(test)]
mod tests;
