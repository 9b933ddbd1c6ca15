//! Tests of the FAT driver through its public API, with dosfstools and mtools as judges.

#![allow(clippy::unwrap_used, reason = "a test fails by its panic, in what it calls as well")]

mod crash;
mod cut;
mod device;
mod fixtures;
mod hostile;
mod many;
mod model;
mod random;
mod semantics;
mod tools;
mod volume;
