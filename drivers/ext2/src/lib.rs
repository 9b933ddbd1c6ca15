//! ext2, ext3 and ext4 as a [`FileSystem`](abi::fs::FileSystem) over any
//! [`BlockDevice`](abi::block::BlockDevice).
//!
//! The way of a call through the crate:
//!
//! ```text
//! fs (the contract) -> dir, htree, xattr, read (what it means) -> map: extent | pointers (where it
//! lies)
//!   -> volume: transaction, cache, overlay (metadata blocks) -> device
//! ```
//!
//! - [`Ext2Type`] is the type to register: `umfuseext2`, `umfuseext3`, `umfuseext4`.
//! - `superblock`, `group`, `inode`: validated values; `le` reads and writes the fields of the raw bytes.
//! - `seal`: the checksum of each kind of block, checked when it comes in, put on when it goes out.
//! - `journal`: the log of ext3 and ext4, read (`scan`) and written (`writer`).
//!
//! Locks, in order: the volume's (shared by readers, alone for a change), the table of open files,
//! a shard of the cache. File data is not cached here: the device below decides.
//!
//! Deliberately absent: permission checks, paths, threads. References: the kernel's
//! `Documentation/filesystems/ext4/`, and ext4(5).

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::indexing_slicing)
)]

mod acl;
mod balloc;
mod bitmap;
mod cache;
mod commit;
#[cfg(test)]
mod corrupt_tests;
mod csum;
mod dir;
mod dir_edit;
mod dir_hash_list;
mod dirhash;
mod error;
mod extent;
mod extent_edit;
mod features;
mod fs;
mod fs_change;
mod group;
mod handles;
mod htree;
mod htree_edit;
mod ialloc;
mod inline;
mod inode;
mod journal;
mod le;
mod make;
mod map;
mod mount;
mod order;
mod orphan_file;
mod pointers;
mod pointers_edit;
mod read;
mod seal;
mod superblock;
mod truncate;
mod tx;
mod unmake;
mod volume;
mod windows;
mod write;
mod xattr;
mod xattr_edit;

pub use error::{Corrupt, Error, Summed, Unsupported};
pub use mount::Ext2Type;
