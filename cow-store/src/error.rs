//! What can be wrong with a store, and the number each wrong thing becomes.

use crate::path::show;
use abi::Errno;

/// Every way an operation on a store can fail.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host refused a call.
    #[error("{call} {}: {errno}", show(.path))]
    Host {
        /// The system call.
        call: &'static str,
        /// The path in the store.
        path: Vec<u8>,
        /// The host's answer.
        errno: Errno,
    },
    /// An answer that POSIX prescribes: `ENOENT`, `EEXIST`, `ENOTDIR`, ...
    #[error("{}: {errno}", show(.path))]
    Refused {
        /// The path in the store.
        path: Vec<u8>,
        /// The prescribed number.
        errno: Errno,
    },
    /// A path that is not canonical.
    #[error("path {} is not canonical", show(.path))]
    BadPath {
        /// The path.
        path: Vec<u8>,
    },
    /// A component beyond 255 bytes.
    #[error("a name of {bytes} bytes")]
    NameTooLong {
        /// Its length.
        bytes: usize,
    },
    /// Another process writes this store.
    #[error("the store is in use by another writer")]
    Locked,
    /// The file system takes names that differ only in case for the same.
    #[error("a store can't lie on a file system that makes no difference between a and A")]
    CaseFolding,
    /// `.viewos/format` names a version or a form this build does not know.
    #[error("the store's format is not known: {text:?}")]
    Format {
        /// The text found.
        text: String,
    },
    /// A record of `.viewos/log` that is neither whole nor the torn end of the file.
    #[error("the log is corrupt at byte {offset}")]
    Log {
        /// Where the bad record begins.
        offset: usize,
    },
    /// A metadata xattr or record that cannot be read.
    #[error("metadata {key:?} of {} is not valid: {text:?}", show(.path))]
    Metadata {
        /// The path in the store.
        path: Vec<u8>,
        /// The key.
        key: String,
        /// The text found.
        text: String,
    },
    /// A write on a store opened read-only.
    #[error("the store is open for reading only")]
    ReadOnly,
    /// A write after an operation stopped half-way: the next open repairs it.
    #[error("the store stopped writing after a failure; open it again")]
    Doubt,
    /// The lower file is not what it was at copy-up.
    #[error("{} changed below since it was copied up", show(.path))]
    LowerChanged {
        /// The path in the store.
        path: Vec<u8>,
    },
    /// A tar archive that cannot be taken in.
    #[error("archive: {what}")]
    Archive {
        /// What is wrong with it.
        what: String,
    },
    /// A snapshot name that is empty, hidden or holds a slash.
    #[error("bad snapshot name {name:?}")]
    SnapshotName {
        /// The name given.
        name: String,
    },
}

impl Error {
    /// The number a tracee sees.
    #[must_use]
    pub fn errno(&self) -> Errno {
        match self {
            Self::Host { errno, .. } | Self::Refused { errno, .. } => *errno,
            Self::BadPath { .. } | Self::SnapshotName { .. } => Errno::EINVAL,
            Self::NameTooLong { .. } => Errno::ENAMETOOLONG,
            Self::Locked => Errno::EBUSY,
            Self::CaseFolding => Errno::EOPNOTSUPP,
            Self::Format { .. } | Self::Archive { .. } => Errno::EINVAL,
            Self::Log { .. } | Self::Metadata { .. } => Errno::EUCLEAN,
            Self::ReadOnly | Self::Doubt => Errno::EROFS,
            Self::LowerChanged { .. } => Errno::ESTALE,
        }
    }

    /// Whether the operation may have been half done, so that nothing more must be written.
    fn is_ordinary(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::NameTooLong { .. } | Self::ReadOnly)
            || matches!(
                self,
                Self::Host {
                    // What open(2) says to a program that asks for what is not so.
                    errno: Errno::ENOENT
                        | Errno::ENOTDIR
                        | Errno::EISDIR
                        | Errno::ELOOP
                        | Errno::ENXIO
                        | Errno::ETXTBSY
                        | Errno::EEXIST,
                    ..
                }
            )
    }

    /// An answer that POSIX prescribes.
    pub(crate) fn refused(path: &[u8], errno: Errno) -> Self {
        Self::Refused { path: path.to_vec(), errno }
    }
}

impl From<Error> for Errno {
    /// The number; the sentence is logged here, once, unless the answer is an everyday one.
    fn from(error: Error) -> Self {
        if !error.is_ordinary() {
            tracing::warn!(target: "cow_store", "{error}");
        }
        error.errno()
    }
}
