//! Block and character devices: images, ramdisks, partition tables, their ioctls.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::as_conversions, clippy::arithmetic_side_effects, clippy::indexing_slicing)
)]

pub mod block;
pub mod table;
