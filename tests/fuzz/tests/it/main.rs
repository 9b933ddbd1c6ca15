//! Targets: what the outside gives us, damaged.

mod options;
mod requests;
mod tables;
mod volumes;
