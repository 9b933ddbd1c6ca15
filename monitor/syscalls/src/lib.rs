//! The system call table: which calls the monitor is asked about, when, and what it promises.
//!
//! Support for a system call is data. One [`Row`] a call says which arguments are paths and
//! descriptors, which [`Handler`] answers it, in which [`Group`]s it is trapped and under which
//! conditions on its arguments, and how much of it is supported. Three readers share the rows:
//!
//! ```text
//! rows() --> program(groups, action)   the seccomp filter a process carries
//!        --> row(number)               the monitor, to find paths, descriptors and handler
//!        --> markdown()                docs/syscalls.md
//! ```
//!
//! - [`Row`], [`PathArg`], [`Follow`], [`FlagsIn`], [`Empty`]: the shape of a call.
//! - [`Group`], [`GroupSet`], [`Trap`], [`Test`]: when it is trapped. Groups are installed one
//!   after another as modules load; a filter never comes off, so each group is as small as it can.
//! - [`program`]: the groups as a classic BPF program; [`verdict`]: the same by plain code.
//!
//! Only x86-64 has rows. The i386 entry and the x32 numbers are a part of every filter, which
//! answers them `ENOSYS`, as a kernel without them does.
//!
//! Deliberately absent: the handlers, tracee memory, and the installing of filters.
//!
//! Source of the prototypes: `include/linux/syscalls.h` of Linux 6.18 and section 2 of the manual;
//! of the filter's data: seccomp(2), `struct seccomp_data`.

#![forbid(unsafe_code)]

mod document;
mod filter;
mod group;
mod handler;
mod row;
mod table;

pub use document::markdown;
pub use filter::{
    ARCH_I386, ARCH_X86_64, Action, INSTRUCTIONS_MAX, SeccompData, SockFilter, Verdict, X32_BIT,
    is_passed, program, program_with_pass, verdict, verdict_with_pass,
};
pub use group::{Group, GroupSet, Test, Trap};
pub use handler::Handler;
pub use row::{Empty, FlagsIn, Follow, PathArg, Row, Support};
pub use table::{KNOWN_MAX, MSOCKET, VIEWCTL, VIRTUAL, row, rows};
