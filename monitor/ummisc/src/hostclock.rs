//! The host's clocks, in nanoseconds.

use nix::time::{ClockId, clock_getres, clock_gettime};

/// Nanoseconds in a second.
pub(crate) const SECOND: i128 = 1_000_000_000;

/// What a clock of the host shows; `None` if it has no such clock.
pub(crate) fn now(clock: i32) -> Option<i128> {
    let t = clock_gettime(ClockId::from_raw(clock)).ok()?;
    Some(i128::from(t.tv_sec()) * SECOND + i128::from(t.tv_nsec()))
}

/// The step of a clock of the host.
pub(crate) fn resolution(clock: i32) -> Option<i128> {
    let t = clock_getres(ClockId::from_raw(clock)).ok()?;
    Some(i128::from(t.tv_sec()) * SECOND + i128::from(t.tv_nsec()))
}
