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
//!
//! Deliberately absent: what is right. Only that an answer comes, soon and without much memory.

#![forbid(unsafe_code)]

mod damage;
mod images;
mod memory;
mod noise;
mod run;
mod use_up;

pub use damage::damage;
pub use images::{ext, fat, iso};
pub use memory::Memory;
pub use noise::Noise;
pub use run::run;
pub use use_up::use_up;
