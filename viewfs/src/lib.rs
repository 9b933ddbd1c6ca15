//! File system patchwork: `mount -t viewfs -o move|merge|cow|mincow,vstat,except=PATH SOURCE TARGET`.
//!
//! An [`Overlay`] lays a source over the view as it was before the mount ([`Lower`]) and answers by path,
//! relative to the mount point and canonical: links, `..` and mount points are the name walk's. What it hands
//! out for an open is a real descriptor of the host, of the lower file or of the store's, so that reading
//! and writing need nobody.
//!
//! Data path: [`Overlay::resolve`] asks the names that the store has in memory; a name of which nothing is
//! in the store is the lower tree's, without a system call. A change goes to the tree that the mode names
//! ([`Mode`]); for the store it is made complete first and then visible (crate `cow_store`).
//!
//! Lock order: the overlay's change lock, then the store's locks. Opening for reading and asking take none
//! of the overlay's.
//!
//! Deliberately absent: permission checks before a change (the monitor asks [`Overlay::access`]), links
//! followed, open files (they are the host's), and knowledge of the monitor.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::indexing_slicing)
)]

mod access;
mod attributes;
mod changes;
mod copy_up;
mod create;
mod looks;
mod lower;
mod open;
mod options;
mod overlay;
mod readdir;
mod remove;
mod rename;
mod xattr;

pub use access::{Credentials, Want, allows};
pub use changes::{line_of, show, write_line, write_text};
pub use cow_store::{OFlags, Stat};
pub use looks::OneCall;
pub use lower::{
    DirLower, DirectoryLower, FrozenLower, Lower, PatchedLower, TreeLower, is_refusal,
};
pub use options::{Mode, MountOptions};
pub use overlay::{Overlay, Resolved, Source};
pub use readdir::{ListEntry, Listing};
