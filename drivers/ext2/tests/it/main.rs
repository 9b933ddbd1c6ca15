//! Tests of the driver through its public API.

#![allow(clippy::unwrap_used, reason = "a test that fails is what an unwrap here is for")]

mod crash;
mod cut;
mod device;
mod hostile;
mod limits;
mod manifest;
mod model;
mod tools;
mod tree;
mod written;
mod xattrs;
