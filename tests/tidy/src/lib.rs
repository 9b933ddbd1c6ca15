//! The house rules, as tests over the tree's own text.
//!
//! The library finds the sources and reads the crates' manifests; the rules are in `tests/it`, one
//! module a subject. A rule that fails names the file, the line and what to do.
//!
//! - [`sources`]: every file of the tree that people write.
//! - [`crates`]: every member of the workspace, with the members it depends on.
//!
//! Deliberately absent: a parser of Rust. Rules look at lines, and are made so that a line is
//! enough.

#![forbid(unsafe_code)]

mod manifest;
mod tree;

pub use manifest::{Member, crates};
pub use tree::{Source, root, sources};
