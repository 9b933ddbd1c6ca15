//! FAT12, FAT16 and FAT32 with long names, read and written.
//!
//! [`FatType`] is the entry: it mounts a [`BlockDevice`](abi::block::BlockDevice) as a
//! [`FileSystem`]. The path of a call:
//!
//! ```text
//! fs          locks, flags, handles
//!   mounted   directories and inodes in use, writing back
//!     file, create, remove, rename, attributes    one family of operations each
//!       scan -> index <- slots        a directory: read, in memory, changed
//!       chain, alloc -> table         the clusters of a file; the allocation table
//!         volume                      the device, the barrier, the "mounted for writing" mark
//! ```
//!
//! On disk: `boot`, `fsinfo`, `entry`, `long`; names: `name`, `short`, `codepage`; `time`.
//!
//! **Order.** At any cut between two writes to the device the volume has at worst clusters that belong to nobody.
//! Clusters are filled, then chained, then entered; entries are removed, then their clusters freed. Changes of
//! directories are written at once. A file's growth is written when it is closed, fsynced or synced: the table in
//! long runs, the cell that makes a written chain longer after all others, the entry last. Barriers stand between
//! these steps in fsync and sync, where durability is asked, and nowhere else.
//!
//! **Lock.** One, in `fs`; reads of files whose chain is known share it.
//!
//! Deliberately absent: repair, formatting, VFAT case flags beyond those of Windows NT, code pages but 437, exFAT.
//!
//! References: Microsoft FAT specification 1.03 (2000) and its 2005 contribution; Linux `fs/fat` for what the
//! specification leaves open; `docs/formats/fat.md`.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::indexing_slicing)
)]

mod alloc;
mod attributes;
mod boot;
mod chain;
mod codepage;

mod create;
mod entry;
mod error;
mod file;
mod fs;
mod fsinfo;
mod index;
mod le;
mod long;
mod mounted;
mod name;
mod node;
mod options;
mod remove;
mod rename;
mod scan;
mod short;
mod slots;
mod table;
mod time;
mod volume;

pub use error::Error;

use abi::Errno;
use abi::fs::{FileSystem, FileSystemType, FsSource};
use abi::module::MountError;
use abi::options::Options;
use std::sync::Arc;

/// The type `umfusefat`. Analogous to `struct file_system_type` of vfat.
///
/// Options: `uid`, `gid`, `umask`, `fmask`, `dmask`, `codepage=437`, `iocharset=utf8`, `utf8`, `shortname`, `tz=UTC`,
/// `time_offset`, `quiet`, `noatime`, `sync`.
#[derive(Clone, Copy, Debug, Default)]
pub struct FatType;

impl FileSystemType for FatType {
    fn name(&self) -> &'static str {
        "umfusefat"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["umfusevfat", "umfusemsdos"]
    }

    fn needs_device(&self) -> bool {
        true
    }

    fn mount(
        &self,
        source: FsSource,
        read_only: bool,
        options: &mut Options,
    ) -> Result<Arc<dyn FileSystem>, MountError> {
        let FsSource::Device(device) = source else {
            return Err(MountError::new(Errno::EINVAL, "FAT is mounted from an image or a device"));
        };
        let options = options::MountOptions::take(options)?;
        let volume = volume::Volume::open(device, options, read_only)?;
        Ok(Arc::new(fs::FatFs::new(mounted::Mounted::new(volume)?)))
    }
}
