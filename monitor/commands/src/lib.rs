//! What the commands of a view share: the table of commands, how a request is made, how a refusal is told.
//!
//! `umview` (in `bin/umview.rs`) is the composition root: the only place that knows every module and driver.
//! The other commands are small clients of [`monitor::control`] by way of the virtual system call.
//!
//! Deliberately absent: any state. What a command knows, the monitor told it.

#![forbid(unsafe_code)]

mod request;
mod start;

pub use request::{Refused, ask};
pub use start::{Start, run};
