//! The directory, with a list of its own and with one that changes.
#![allow(clippy::unwrap_used, reason = "a test ends where something it needs is not there")]

mod changing;
mod settings;
