//! The only place of this crate that talks to the kernel without a safe wrapper.
//!
//! One function per kernel request: typed arguments in, `io::Result` out, one unsafe expression inside.

pub(crate) mod mapping;
pub(crate) mod memory;
pub(crate) mod process;
pub(crate) mod ptrace;
pub(crate) mod seccomp;

use std::io;

/// The last error if `result` is negative, else `result`.
fn check(result: i64) -> io::Result<i64> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
