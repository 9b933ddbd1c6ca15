//! Random damage, and what all targets need for it.
//!
//! A case follows from its number: the damage, the options, what is done afterwards. [`run()`] tries the
//! numbers of the corpus first, then others for as long as the budget lasts: two seconds, or what
//! `VIEWOS_FUZZ_SECONDS` says. A case that panics or does not end fails the test with its number; put the
//! number into the corpus of its target, a text file, when it is mended.
//!
//! - [`Memory`]: a device in memory.
//! - [`damage()`]: changes some bytes where it may matter.
//! - [`use_up()`]: does everything with a file system that a view may do.
//! - `images` makes the images that are damaged, the same each time.
//! - [`fixtures()`], [`Places`], [`flip()`], [`Overlay`]: images of other tools, damaged in their structures, with
//!   checksums that are right again; [`run_images`] counts them.
//!
//! Deliberately absent: what is right. Only that an answer comes, soon and without much memory.

#![forbid(unsafe_code)]

mod damage;
mod ext_places;
mod ext_sums;
mod fat_places;
mod field;
mod fixtures;
mod flip;
mod images;
mod iso_places;
mod memory;
mod noise;
mod overlay;
mod places;
mod run;
mod sums;
mod table_places;
mod use_up;

pub use damage::damage;
pub use fixtures::{Fixture, fixtures};
pub use flip::flip;
pub use images::{ext, fat, iso};
pub use memory::Memory;
pub use noise::Noise;
pub use overlay::Overlay;
pub use places::{Format, Places};
pub use run::{images_wanted, run, run_images};
pub use sums::crc32;
pub use use_up::use_up;
