//! The store through its public interface.

#![allow(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

mod crash;
mod fixture;
mod interop;
mod layers;
mod operations;
