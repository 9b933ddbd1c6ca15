//! ISO 9660 images as a read-only file system: levels 1 to 3, Rock Ridge, Joliet, zisofs, many sessions.
//!
//! ```text
//! Iso9660Type::mount -> session (which volume descriptors) -> volume (which tree, which names)
//! lookup / readdir   -> directory (records) -> susp, rock (system use) -> entry -> node
//! read               -> extent (sections) or zisofs (compressed blocks) -> BlockDevice
//! ```
//!
//! - An inode number is the byte position of the directory record that describes it; a directory's is that of
//!   its own `.` record, so that it is one inode however it was reached. Hard links share a number made from
//!   what they share. So nothing has to be remembered for an inode, and numbers are the same in every mount.
//! - Every record is copied out of the image and then validated: `Raw*` is bytes, the bare noun is checked.
//! - Bounds: indexes of directories are cached up to a fixed number of names, zisofs blocks up to a fixed number
//!   of bytes, and nothing else grows with what an image says.
//!
//! Lock order: none is held while another is taken, and none across a transfer.
//!
//! Deliberately absent: High Sierra, writing, path tables, extended attribute records, sparse file tables
//! (`SF`: the length is shown, reading answers `EOPNOTSUPP`).
//!
//! References: ECMA-119; IEEE P1281 (SUSP 1.12); IEEE P1282 (RRIP 1.12); the Joliet specification; the zisofs
//! and zisofs2 format descriptions. `docs/formats/iso9660.md` has the tables.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::indexing_slicing)
)]

mod ancestry;
mod date;
mod descriptor;
mod directory;
mod entry;
mod error;
mod extent;
mod filesystem;
mod index;
mod mount;
mod name;
mod node;
mod numeric;
mod options;
mod record;
mod rock;
mod session;
mod susp;
mod volume;
mod zisofs;

pub use error::{Corrupt, Error, Unsupported};
pub use mount::Iso9660Type;
