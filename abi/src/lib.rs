//! The words and contracts of View-OS.
//!
//! Every other crate of the tree speaks in these types, and no crate but this one is known to all.
//! The path of a call through the contracts:
//!
//! ```text
//! engine -> monitor -> Module::mount -> FileSystem / Device -> BlockDevice -> image
//! ```
//!
//! - [`Errno`], [`Result`]: the error of every contract is a number of errno(3).
//! - [`block::BlockDevice`]: behaves like a disk.
//! - [`dev::Device`]: what `/dev/hda` is, with its partitions and ioctls.
//! - [`fs::FileSystem`]: inodes and single names; the vocabulary of low-level FUSE, synchronous.
//! - [`module::Module`]: what `um_add_service` loads.
//! - [`host::Host`]: the view at one epoch, as a module sees it.
//! - [`options::Options`]: the text behind `mount -o`.
//!
//! Deliberately absent: input and output, state, locks, threads, and any knowledge of a format.

#![forbid(unsafe_code)]

pub mod block;
pub mod dev;
mod errno;
pub mod fs;
pub mod host;
pub mod module;
pub mod options;

pub use errno::{Errno, Result};
