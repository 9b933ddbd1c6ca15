//! Suites of others, run natively and in views: both must agree.
//!
//! - [`run`]: a module of CPython's own tests in one [`Setting`], as a map from case to outcome.
//! - [`differences`]: the cases that a view answers otherwise than the kernel does, each tried twice.
//! - [`Known`]: the checked-in list of differences, one reason a line; [`Known::judge`] complains of what is
//!   not in it, and of what is in it and is no difference any more.
//! - [`Row`]: the figures of one module, as a line of `docs/conformance.md`.
//!
//! `images.sh` mounts every fixture image in a view and compares it with the manifest that another tool made.
//!
//! Deliberately absent: opinions about what is right. The kernel is right, where it does not differ from itself.

#![forbid(unsafe_code)]

mod known;
mod python;
mod setting;

pub use known::Known;
pub use python::{Cases, Difference, PACKAGE, Row, differences, is_installed, run};
pub use setting::{Setting, settings};
