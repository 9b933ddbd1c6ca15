//! The module by its public API, with drivers and hosts made here.

#![allow(clippy::unwrap_used, reason = "tests, and what only tests call, fail by panicking")]

mod against_host;
mod doubles;
#[cfg(feature = "export")]
mod export;
mod layers;
mod memfs;
mod mounts;
