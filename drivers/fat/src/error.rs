//! Every way in which an image can be wrong, and the one place that turns it into a number.

use abi::Errno;
use abi::module::MountError;

/// What is wrong with an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// `BPB_BytsPerSec` is not 512, 1024, 2048 or 4096.
    #[error("not FAT: sectors of {bytes} bytes")]
    SectorSize {
        /// As stored.
        bytes: u16,
    },
    /// `BPB_SecPerClus` is not a power of two.
    #[error("not FAT: clusters of {sectors} sectors")]
    ClusterSize {
        /// As stored.
        sectors: u8,
    },
    /// `BPB_RsvdSecCnt` is 0: there is no room for the boot sector.
    #[error("not FAT: no reserved sector")]
    NoReserved,
    /// `BPB_NumFATs` is neither 1 nor 2.
    #[error("not FAT: {count} allocation tables")]
    FatCount {
        /// As stored.
        count: u8,
    },
    /// `BPB_Media` is neither 0xf0 nor at least 0xf8.
    #[error("not FAT: media byte {media:#04x}")]
    Media {
        /// As stored.
        media: u8,
    },
    /// Both sizes of the allocation table are 0.
    #[error("not FAT: the allocation table has no sectors")]
    NoTable,
    /// FAT12 and FAT16 without a root directory.
    #[error("not FAT: the root directory has no entries")]
    NoRoot,
    /// Both counts of sectors are 0, or less than the tables take.
    #[error("not FAT: {sectors} sectors, of which the tables take {tables}")]
    TooFewSectors {
        /// As stored.
        sectors: u32,
        /// Reserved sectors, tables and root directory.
        tables: u64,
    },
    /// More clusters than the type of table can number.
    #[error("not FAT: {clusters} clusters are more than the table can number")]
    TooManyClusters {
        /// Computed from the sizes.
        clusters: u64,
    },
    /// `BPB_FSVer` is not 0.0.
    #[error("FAT32 of the unknown version {version:#06x}")]
    Version {
        /// As stored.
        version: u16,
    },
    /// `BPB_RootClus` names no cluster.
    #[error("the root directory begins at cluster {cluster}, which is none")]
    RootCluster {
        /// As stored.
        cluster: u32,
    },
    /// The device ends before the volume does.
    #[error("the volume needs {need_bytes} bytes, the device has {have_bytes}")]
    ShortDevice {
        /// Length of the volume.
        need_bytes: u64,
        /// Length of the device.
        have_bytes: u64,
    },
    /// A chain runs into a cluster that is free.
    #[error("the chain from cluster {start} holds the free cluster {at}")]
    FreeInChain {
        /// Where the chain begins.
        start: u32,
        /// Whose cell is 0.
        at: u32,
    },
    /// A chain runs into a cluster that is marked bad.
    #[error("the chain from cluster {start} holds the bad cluster {at}")]
    BadInChain {
        /// Where the chain begins.
        start: u32,
        /// Whose cell is the bad mark.
        at: u32,
    },
    /// A cell or an entry names a cluster that does not exist.
    #[error("the chain from cluster {start} leads to {value:#x}, which is no cluster")]
    OutOfRange {
        /// Where the chain begins.
        start: u32,
        /// What was found.
        value: u32,
    },
    /// A chain comes back to itself.
    #[error("the chain from cluster {start} never ends")]
    Loop {
        /// Where the chain begins.
        start: u32,
    },
    /// A file's length passes its chain.
    #[error("a file of {size_bytes} bytes has {clusters} clusters, from cluster {start}")]
    ShortChain {
        /// Where the chain begins.
        start: u32,
        /// Clusters of the chain.
        clusters: u32,
        /// Length as stored.
        size_bytes: u32,
    },
    /// A directory of more than 65,536 entries.
    #[error("the directory from cluster {start} is longer than 2 MiB")]
    DirectoryTooLong {
        /// Where the chain begins.
        start: u32,
    },
    /// One cluster begins two directories (or one that lies in itself).
    #[error("cluster {start} begins two directories")]
    DirectoryTwice {
        /// The cluster.
        start: u32,
    },
}

impl Error {
    /// The number of errno(3), without a word in the log.
    #[must_use]
    pub const fn errno(self) -> Errno {
        match self {
            Self::SectorSize { .. }
            | Self::ClusterSize { .. }
            | Self::NoReserved
            | Self::FatCount { .. }
            | Self::Media { .. }
            | Self::NoTable
            | Self::NoRoot
            | Self::TooFewSectors { .. }
            | Self::TooManyClusters { .. }
            | Self::Version { .. } => Errno::EINVAL,
            Self::ShortDevice { .. } => Errno::EIO,
            Self::RootCluster { .. }
            | Self::FreeInChain { .. }
            | Self::BadInChain { .. }
            | Self::OutOfRange { .. }
            | Self::Loop { .. }
            | Self::ShortChain { .. }
            | Self::DirectoryTooLong { .. }
            | Self::DirectoryTwice { .. } => Errno::EUCLEAN,
        }
    }
}

impl From<Error> for Errno {
    /// The number; the sentence goes to the log.
    fn from(error: Error) -> Self {
        tracing::warn!(%error, "the image is damaged");
        error.errno()
    }
}

impl From<Error> for MountError {
    /// The number and the sentence: the caller shows it.
    fn from(error: Error) -> Self {
        Self::new(error.errno(), error.to_string())
    }
}
