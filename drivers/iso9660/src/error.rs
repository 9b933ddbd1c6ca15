//! What can be wrong with an image, by name.

use abi::Errno;

/// Why an operation on an image failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No volume descriptor where one must be.
    #[error("no ISO 9660 volume descriptor at sector {sector}")]
    NotIso9660 {
        /// The 2,048-byte sector that was looked at.
        sector: u64,
    },
    /// A structure contradicts the standard or itself.
    #[error("{0}")]
    Corrupt(#[from] Corrupt),
    /// A part of the format that this driver has not.
    #[error("{0}")]
    Unsupported(#[from] Unsupported),
    /// The device answered this.
    #[error("the device answered {0}")]
    Io(Errno),
}

/// Ways to be corrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Corrupt {
    /// A directory's extent passes the end of the device, or is empty.
    #[error("directory at byte {start} has {size_bytes} bytes on a device of {device_bytes}")]
    DirectoryRange {
        /// First byte.
        start: u64,
        /// Length it claims.
        size_bytes: u32,
        /// Length of the device.
        device_bytes: u64,
    },
    /// The first record of a directory is not its own.
    #[error("directory at byte {start} does not begin with a record of itself")]
    DirectorySelf {
        /// First byte.
        start: u64,
    },
    /// A directory would be below itself.
    #[error("directory at byte {start} can't be in the directory at byte {parent}")]
    DirectoryLoop {
        /// The child.
        start: u64,
        /// Where it was found.
        parent: u64,
    },
    /// A directory record is too short for its fields or passes the end of its sector.
    #[error("directory record at byte {position} has the impossible length {length}")]
    Record {
        /// Where.
        position: u64,
        /// Its length byte.
        length: u8,
    },
    /// A file of many sections has too many, or other records between them.
    #[error("file at byte {position}: after {count} sections the rest is missing")]
    Sections {
        /// The first record.
        position: u64,
        /// Sections found.
        count: usize,
    },
    /// A system use entry passes the end of its area or is too short for its fields.
    #[error("system use entry {signature:?} of the record at byte {position} has length {length}")]
    SystemUse {
        /// The record.
        position: u64,
        /// Two letters.
        signature: [u8; 2],
        /// Its length byte.
        length: u8,
    },
    /// A continuation area is larger than a block or passes the end of the device.
    #[error("record at byte {position} continues at byte {start} for {length} bytes")]
    ContinuationRange {
        /// The record.
        position: u64,
        /// First byte of the area.
        start: u64,
        /// Length of the area.
        length: u32,
    },
    /// Continuation areas follow one another without end.
    #[error("record at byte {position} continues more than {areas} times")]
    ContinuationLoop {
        /// The record.
        position: u64,
        /// The most areas that are followed.
        areas: usize,
    },
    /// The target of a symbolic link is empty or longer than a path can be.
    #[error("symbolic link at byte {position} has a target of {length} bytes")]
    LinkTarget {
        /// The record.
        position: u64,
        /// Length of the target.
        length: usize,
    },
    /// The header of a compressed file does not say what its directory record says.
    #[error("compressed file at byte {position}: bad header")]
    ZisofsHeader {
        /// The record.
        position: u64,
    },
    /// A block of a compressed file does not lie in the file or is no deflated block.
    #[error("compressed file at byte {position}: bad block {block}")]
    ZisofsBlock {
        /// The record.
        position: u64,
        /// Which block.
        block: u64,
    },
}

/// Parts of the format that are not in this driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// The predecessor of ISO 9660.
    #[error("a High Sierra volume: use an ISO 9660 image")]
    HighSierra,
    /// Logical blocks that are not 512, 1,024 or 2,048 bytes.
    #[error("logical blocks of {bytes} bytes")]
    BlockSize {
        /// Their size.
        bytes: u16,
    },
    /// `SF`: a file with an index of its holes.
    #[error("sparse file at byte {position}")]
    SparseFile {
        /// The record.
        position: u64,
    },
    /// `ZF` with an algorithm or a block size that is not zisofs' or zisofs2's.
    #[error(
        "compressed file at byte {position}: algorithm {algorithm:?}, blocks of 2^{log2_block}"
    )]
    Compression {
        /// The record.
        position: u64,
        /// Two letters.
        algorithm: [u8; 2],
        /// Logarithm of the block size.
        log2_block: u8,
    },
}

impl Error {
    /// The number for the caller.
    #[must_use]
    pub const fn errno(self) -> Errno {
        match self {
            Self::NotIso9660 { .. } => Errno::EINVAL,
            Self::Corrupt(_) => Errno::EUCLEAN,
            Self::Unsupported(Unsupported::HighSierra | Unsupported::BlockSize { .. }) => {
                Errno::EINVAL
            }
            Self::Unsupported(Unsupported::SparseFile { .. } | Unsupported::Compression { .. }) => {
                Errno::EOPNOTSUPP
            }
            Self::Io(errno) => errno,
        }
    }

    /// The number for the caller, after the detail went to the log.
    pub(crate) fn settle(self, doing: &'static str) -> Errno {
        let errno = self.errno();
        tracing::warn!(doing, ?errno, "iso9660: {self}");
        errno
    }
}
