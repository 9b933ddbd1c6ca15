//! The log, written.

/// The log of a volume that is mounted for writing.
pub(crate) struct Journal {}
