//! `umbinfmt`: binary formats of a view's own, with the syntax of the kernel's binfmt_misc.
//!
//! ```text
//! mount -t umbinfmt PREFIX|none DIR
//! echo ':arm64:M::\x7fELF\x02...:\xff\xff...:/usr/bin/qemu-aarch64:P' > DIR/register
//! ```
//!
//! - [`Entry`] is one registration: parsed from its line, shown as the kernel shows it.
//! - [`Registry`] holds the entries of one mount and chooses the interpreter of a program; it does no input or output.
//! - `formats` are the files of the directory: `register`, `status`, and one for each entry (`textfs`).
//! - [`Umbinfmt`] is the module. With a PREFIX only programs below it are looked at.
//!
//! The lists are of one mount and begin empty; the kernel's own entries stay what they are. Flag `F` checks the
//! interpreter when it is registered and then means its path in the view, whatever root the process has; the
//! kernel means the open file, which goes on living when the path is gone.
//!
//! Locks: one over the entries; nothing is called while it is held. References: Documentation/admin-guide/
//! binfmt-misc.rst and the errors of fs/binfmt_misc.c, Linux 6.18.
//!
//! Deliberately absent: exec itself (`monitor::calls::exec`).

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::indexing_slicing)
)]

mod entry;
mod formats;
mod module;
mod registry;

pub use entry::{Entry, EntryError, Flags, HEAD_BYTES, Recognition};
pub use module::Umbinfmt;
pub use registry::{Command, Registry};
