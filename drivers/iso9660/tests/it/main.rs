//! The driver by its public API, on images of independent writers and on images made byte by byte.

#![allow(clippy::unwrap_used, reason = "tests, and what only tests call, fail by panicking")]

mod device;
mod fixtures;
mod hostile;
mod image;
mod large;
mod options;
mod session;
mod tree;
mod writers;
mod zisofs;
