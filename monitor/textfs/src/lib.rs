//! A directory of text files that are read and set as a whole, like those of /proc/sys: what steers a module.
//!
//! - [`Texts`] says which files there are and what they hold; a module with a list of its own implements it.
//! - [`Settings`] is a fixed list of files, each made of two functions.
//! - [`TextFs`] is the file system: it belongs to who mounted it, files are neither made nor removed by others, each
//!   open reads anew, and one write is one setting.
//!
//! No lock is held here. Deliberately absent: folders below the directory, and partial writes.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::indexing_slicing)
)]

mod filesystem;
mod settings;

pub use filesystem::TextFs;
pub use settings::{Setting, Settings};

use abi::Result;

/// The files of a directory. Each has a number that is its own as long as it is there.
pub trait Texts: Send + Sync {
    /// `f_type` of statfs(2).
    fn magic(&self) -> u64;

    /// The files from a number on, in the order of their numbers.
    fn list(&self, from: u64) -> Vec<(u64, Vec<u8>)>;

    /// The number of a name.
    fn find(&self, name: &[u8]) -> Option<u64>;

    /// The permission bits of a file; `None` if there is none of this number.
    fn perm(&self, number: u64) -> Option<u16>;

    /// The contents.
    ///
    /// # Errors
    /// In check order:
    /// - `ESTALE` if there is no such file.
    /// - `EINVAL` if the file is only written.
    fn read(&self, number: u64) -> Result<Vec<u8>>;

    /// Takes what was written.
    ///
    /// # Errors
    /// In check order:
    /// - `ESTALE` if there is no such file.
    /// - `EINVAL`, or what the module says, if it does not mean anything.
    fn write(&self, number: u64, text: &[u8]) -> Result<()>;
}
