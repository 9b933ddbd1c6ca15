//! Random trees and random names, for tests that compare a view with the kernel.
//!
//! - [`Tree`]: directories, files and links with names of every sort, each inode with a time of its own, so
//!   that an inode can be recognised in a copy of the tree.
//! - [`paths()`]: names that lead through such a tree, or not.
//! - [`PROBE`]: a C program that does every call that looks a name up, and prints what it was told.
//! - [`compare()`]: the differences of two such prints, those of the shortest names first.
//!
//! All of it follows from a seed. Deliberately absent: views; the tests start them.

#![forbid(unsafe_code)]

mod compare;
mod noise;
mod paths;
mod tree;

pub use compare::{Mapping, compare, shown};
pub use noise::Noise;
pub use paths::paths;
pub use tree::{Node, Tree};

/// The source of the probe.
pub const PROBE: &str = include_str!("probe.c");
