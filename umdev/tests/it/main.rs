//! Tests of the crate by its public face: devices in memory, images made by tools, no root.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

mod disk;
mod emit;
mod fixtures;
mod hostile;
mod loopdev;
mod memory;
mod model;
mod module;
mod nbd;
mod qcow2;
mod qcow2_written;
mod recorder;
mod table;
mod threads;
mod tools;
