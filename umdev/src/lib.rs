//! Block and character devices: images, ramdisks, partition tables, their ioctls.
//!
//! ```text
//! mount -t umdevmbr disk.img /dev/hda
//!   -> Umdev::mount -> DeviceType::attach -> Disk (a Device: hda, hda1, ... and their ioctls)
//! read of /dev/hda1
//!   -> Disk::block(1) -> Partition over the whole -> layers -> Image -> pread(2)
//! ```
//!
//! - [`block`]: disks and layers over disks; each is an `abi` `BlockDevice`, so any stack of them
//!   is one.
//! - [`table`]: MBR with logical partitions and GPT, as the kernel reads them.
//! - [`disk::Disk`]: the whole and its partitions, open counts, ioctls, re-reading of the table.
//! - [`submodules`]: the submodules; [`Umdev`] is the module that has them.
//! - [`NodeOptions`], [`DevNumbers`]: what stat(2) says of the special files, for the monitor.
//! - [`nbd`], [`qcow2`]: disks behind a socket, and in the image format of QEMU.
//! - [`loopdev`]: `/dev/loop-control` and `/dev/loopN` of a view.
//!
//! Lock order: a loop device's state, then its disk's state, then a layer's own lock.
//!
//! Deliberately absent: opening files (images come through the `Host`), permission checks (the
//! monitor knows who asks), writing of partition tables (fdisk and its like do that), memory maps
//! of images.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::as_conversions, clippy::arithmetic_side_effects, clippy::indexing_slicing)
)]

pub mod block;
pub mod disk;
pub mod loopdev;
pub mod nbd;
mod node;
pub mod qcow2;
pub mod submodules;
pub mod table;
mod umdev;

pub use node::{DevNumbers, NodeOptions};
pub use umdev::Umdev;
