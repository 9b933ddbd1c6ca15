//! Overlays through their public interface.

#![allow(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

mod command;
mod fixture;
mod kernel;
mod model;
mod modes;
mod random;
mod virtual_layers;
