//! Clocks, timers, and every call that waits for a stated time.

use crate::group::{Group, Test, Trap};
use crate::handler::Handler;
use crate::row::Row;

const TIME: &[Trap] = &[Trap::always(Group::Time)];
/// What holds of every wait.
const UNDER_WAY: &str =
    "a wait under way when the frequency changes ends when it was to end before";

/// `FUTEX_PRIVATE_FLAG` and `FUTEX_CLOCK_REALTIME` taken away.
const FUTEX_COMMAND: u32 = !((libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME) as u32);

/// A timeout in milliseconds that is neither "return at once" nor "for ever".
const fn milliseconds(tests: &'static [Test]) -> Trap {
    Trap::when(Group::Time, tests)
}

/// The futex operations that wait; for the others the fourth argument is not a time.
const FUTEX: &[Trap] = &[
    Trap::when(Group::Time, &[futex(libc::FUTEX_WAIT), Test::NotNull(3)]),
    Trap::when(Group::Time, &[futex(libc::FUTEX_WAIT_BITSET), Test::NotNull(3)]),
    Trap::when(Group::Time, &[futex(libc::FUTEX_LOCK_PI), Test::NotNull(3)]),
    Trap::when(Group::Time, &[futex(libc::FUTEX_LOCK_PI2), Test::NotNull(3)]),
    Trap::when(Group::Time, &[futex(libc::FUTEX_WAIT_REQUEUE_PI), Test::NotNull(3)]),
];

const fn futex(command: i32) -> Test {
    Test::Masked(1, FUTEX_COMMAND, command as u32)
}

const POLL: &[Trap] = &[milliseconds(&[Test::IsNot(2, 0), Test::IsNot(2, u32::MAX)])];
const EPOLL: &[Trap] = &[milliseconds(&[Test::IsNot(3, 0), Test::IsNot(3, u32::MAX)])];
const POINTER_2: &[Trap] = &[Trap::when(Group::Time, &[Test::NotNull(2)])];
const POINTER_3: &[Trap] = &[Trap::when(Group::Time, &[Test::NotNull(3)])];
const POINTER_4: &[Trap] = &[Trap::when(Group::Time, &[Test::NotNull(4)])];

/// Clocks and timers.
pub(super) const CLOCKS: &[Row] = &[
    Row::new("time", 201, Handler::ReadClock, TIME),
    Row::new("gettimeofday", 96, Handler::ReadClock, TIME),
    Row::new("clock_gettime", 228, Handler::ReadClock, TIME),
    Row::new("clock_getres", 229, Handler::ReadClock, TIME),
    Row::new("times", 100, Handler::ReadClock, TIME),
    Row::new("sysinfo", 99, Handler::ReadClock, TIME),
    Row::new("settimeofday", 164, Handler::SetClock, TIME)
        .note("sets the time of the view; for root in the view and who mounted it"),
    Row::new("clock_settime", 227, Handler::SetClock, TIME)
        .note("sets the time of the view; for root in the view and who mounted it"),
    Row::new("adjtimex", 159, Handler::SetClock, TIME)
        .partial("EPERM for changes: the clock of a view is set, not slewed"),
    Row::new("clock_adjtime", 305, Handler::SetClock, TIME)
        .partial("EPERM for changes: the clock of a view is set, not slewed"),
    Row::new("nanosleep", 35, Handler::Sleep, TIME).partial(UNDER_WAY),
    Row::new("clock_nanosleep", 230, Handler::Sleep, TIME).partial(UNDER_WAY),
    Row::new("alarm", 37, Handler::Timer, TIME).partial(UNDER_WAY),
    Row::new("getitimer", 36, Handler::Timer, TIME),
    Row::new("setitimer", 38, Handler::Timer, TIME).partial(UNDER_WAY),
    Row::native("timer_create", 222).note("its clock is asked for when it is set"),
    Row::new("timer_settime", 223, Handler::Timer, TIME).partial(UNDER_WAY),
    Row::new("timer_gettime", 224, Handler::Timer, TIME),
    Row::native("timerfd_create", 283).note("its clock is asked for when it is set"),
    Row::new("timerfd_settime", 286, Handler::Timer, TIME).fds(&[0]).partial(UNDER_WAY),
    Row::new("timerfd_gettime", 287, Handler::Timer, TIME).fds(&[0]),
];

/// Waiting for something, but not longer than a time.
pub(super) const TIMEOUTS: &[Row] = &[
    Row::new("poll", 7, Handler::Timeout, POLL).partial(UNDER_WAY),
    Row::new("ppoll", 271, Handler::Timeout, POINTER_2).partial(UNDER_WAY),
    Row::new("select", 23, Handler::Timeout, POINTER_4).partial(UNDER_WAY),
    Row::new("pselect6", 270, Handler::Timeout, POINTER_4).partial(UNDER_WAY),
    Row::new("epoll_wait", 232, Handler::Timeout, EPOLL).fds(&[0]).partial(UNDER_WAY),
    Row::new("epoll_pwait", 281, Handler::Timeout, EPOLL).fds(&[0]).partial(UNDER_WAY),
    Row::new("epoll_pwait2", 441, Handler::Timeout, POINTER_3).fds(&[0]).partial(UNDER_WAY),
    Row::new("futex", 202, Handler::Timeout, FUTEX).partial(UNDER_WAY),
    Row::new("futex_waitv", 449, Handler::Timeout, POINTER_3).partial(UNDER_WAY),
    Row::new("futex_wait", 455, Handler::Timeout, POINTER_4).partial(UNDER_WAY),
    Row::new("semtimedop", 220, Handler::Timeout, POINTER_3).partial(UNDER_WAY),
    Row::new("rt_sigtimedwait", 128, Handler::Timeout, POINTER_2).partial(UNDER_WAY),
    Row::new("mq_timedsend", 242, Handler::Timeout, POINTER_4).fds(&[0]).partial(UNDER_WAY),
    Row::new("mq_timedreceive", 243, Handler::Timeout, POINTER_4).fds(&[0]).partial(UNDER_WAY),
    Row::new("io_getevents", 208, Handler::Timeout, POINTER_4).partial(UNDER_WAY),
    Row::new("io_pgetevents", 333, Handler::Timeout, POINTER_4).partial(UNDER_WAY),
];
