//! `ummisc`: the names of the system and the time, of a view's own.
//!
//! ```text
//! mount -t ummisctime none DIR    frequency, offset, base    -> TimeCalls  (clocks, sleeps, timers, timeouts)
//! mount -t ummiscuname none DIR   nodename, release, ...     -> UnameCalls (uname, sethostname, setdomainname)
//! ```
//!
//! - [`Ummisc`] is the module; each mount is a set of system calls and a small tree of text files that steers it.
//! - [`Timeline`] is the arithmetic of one mount's time: `virtual = (real - base) * frequency + base + offset`.
//! - A call that reads a clock is answered here. A call that waits is run by the kernel with the time it really
//!   has to wait, and what the kernel leaves of it is written back in virtual time (`CallAnswer::Run`).
//!
//! The frequency is for all clocks but those of CPU time; `offset` and `base` move the wall clock alone, as setting
//! the clock does. Locks: one over the watchers of a mount, which they are called
//! under, then one over its paces, under which nothing is called.
//!
//! Files are stamped by the host; what is shown of their times follows from the paces that the wall clock has had
//! (docs/decisions/0052-times-of-files.md). A mount runs over the clocks that the view had before, if those were
//! virtual: it counts in their seconds.
//!
//! Limits: a wait that is under way when the frequency changes ends when it was to end before. `SO_RCVTIMEO` and its
//! kin are the host's.
//!
//! Deliberately absent: the code that reads clocks inside the processes (`engine::vdso`).

#![forbid(unsafe_code)]

mod filetimes;
mod hostclock;
mod layout;
mod module;
mod reading;
mod sleeping;
mod time_calls;
mod timeline;
mod timeouts;
mod timers;
mod uname;

pub use module::Ummisc;
pub use time_calls::TimeCalls;
pub use timeline::{Setting, Timeline};
pub use uname::{Names, UnameCalls};
