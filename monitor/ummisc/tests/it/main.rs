//! Calls of ummisc, without processes.
#![allow(clippy::unwrap_used, reason = "a test ends where something it needs is not there")]

mod calls;
mod memory;
mod names;
