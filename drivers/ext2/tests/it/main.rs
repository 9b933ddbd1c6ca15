//! Tests of the driver through its public API.

mod crash;
mod device;
mod hostile;
mod manifest;
mod model;
mod tools;
mod tree;
mod xattrs;
