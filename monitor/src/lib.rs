//! The monitor: who answers a call.
//!
//! ```text
//! engine::Dispatcher -> table row -> name walk -> mount -> driver -> Answer
//! ```
//!
//! - [`Monitor`] implements [`engine::Dispatcher`]; `calls/` holds a file per family of system calls.
//! - `namei` resolves names in a view at an epoch; `quick` decides without it that a name is the host's.
//! - `view` and `mounts` are the registry: views, services, mounts, each with its epoch.
//! - `tasks` knows of each process its view, working directory, root and virtual ids.
//! - `vfiles` are the open virtual files and the real descriptors that stand for them.
//! - `keeper` is the process behind the monitor's own mount of `/dev/fuse`, which such descriptors may be of.
//! - `sockets` are the names of sockets that the kernel has in other words.
//! - `control` is the virtual system call by which the commands speak to the monitor.
//!
//! Lock order: views, mounts, tasks, a task's parts, `VFiles`, a `VFile`. No lock is held over a driver's call,
//! but a `VFile`'s own.
//!
//! Deliberately absent: registers, ptrace, any on-disk format.

#![forbid(unsafe_code)]

mod agent;
pub mod builtin;
mod calls;
pub mod control;
mod credentials;
mod dirnames;
mod elf;
mod hostview;
pub mod keeper;
mod loop_attributes;
mod loops;
mod monitor;
mod mounts;
mod namei;
mod overlayfs;
mod path;
mod placeholder;
mod procfs;
mod quick;
mod sockets;
mod statbuf;
mod stats;
mod sysfs;
mod tasks;
mod umask;
mod utab;
mod vfiles;
mod view;

pub use monitor::{Monitor, Settings};
