//! alarm(2), setitimer(2), timer_settime(2), timerfd_settime(2), and what asks them.

use crate::hostclock::SECOND;
use crate::layout::{PAIR_BYTES, Timer, Unit};
use crate::time_calls::TimeCall;
use crate::timeline::{Timeline, real_of};
use abi::dev::UserMemory;
use abi::module::CallAnswer;
use std::sync::Arc;

pub(crate) const NUMBERS: &[i64] = &[
    libc::SYS_alarm,
    libc::SYS_getitimer,
    libc::SYS_setitimer,
    libc::SYS_timer_settime,
    libc::SYS_timer_gettime,
    libc::SYS_timerfd_settime,
    libc::SYS_timerfd_gettime,
];

/// `TIMER_ABSTIME` and `TFD_TIMER_ABSTIME` are the same bit.
const ABSTIME: i32 = 1;

pub(crate) fn answer(call: &TimeCall<'_>, memory: &mut dyn UserMemory) -> Option<CallAnswer> {
    match call.number {
        libc::SYS_alarm => alarm(call),
        libc::SYS_setitimer if call.int(0) == libc::ITIMER_REAL => setitimer(call, memory),
        libc::SYS_getitimer if call.int(0) == libc::ITIMER_REAL => show(call, Unit::Micros),
        libc::SYS_timer_settime => settime(call, memory, clock_of_timer(call)?),
        libc::SYS_timerfd_settime => settime(call, memory, clock_of_descriptor(call)?),
        libc::SYS_timer_gettime => {
            call.time.pace(clock_of_timer(call)?)?;
            show(call, Unit::Nanos)
        }
        libc::SYS_timerfd_gettime => show(call, Unit::Nanos),
        _ => None,
    }
}

/// alarm(2) is setitimer(2) of whole seconds.
fn alarm(call: &TimeCall<'_>) -> Option<CallAnswer> {
    if call.time.is_at_normal_pace() {
        return None;
    }
    let seconds = i128::from(call.arg(0) & u64::from(u32::MAX));
    let new = Timer { interval: 0, value: call.time.real_duration(seconds * SECOND) };
    let time = Arc::clone(call.time);
    Some(
        call.again()
            .number(libc::SYS_setitimer)
            .value(0, 0)
            .bytes(1, new.bytes(Unit::Micros))
            .bytes(2, vec![0; 2 * PAIR_BYTES])
            .then(move |memory, args, result| {
                if result != 0 {
                    return result;
                }
                let old = Timer::read(Unit::Micros, memory, args[2]).map_or(0, |old| old.value);
                let left = time.virtual_duration(old);
                // As alarm_setitimer of the kernel: to the nearest second, but never down to nothing.
                let rounded = (left + SECOND / 2) / SECOND;
                i64::try_from(rounded.max(i128::from(left > 0))).unwrap_or(i64::MAX)
            }),
    )
}

fn setitimer(call: &TimeCall<'_>, memory: &mut dyn UserMemory) -> Option<CallAnswer> {
    if call.time.is_at_normal_pace() {
        return None;
    }
    let mut again = call.again();
    if call.arg(1) != 0 {
        let new = real_timer(call.time, Timer::read(Unit::Micros, memory, call.arg(1))?);
        again = again.bytes(1, new.bytes(Unit::Micros));
    }
    let (time, old_at) = (Arc::clone(call.time), call.arg(2));
    Some(again.then(move |memory, _, result| {
        to_virtual(&time, Unit::Micros, memory, old_at, result);
        result
    }))
}

fn settime(call: &TimeCall<'_>, memory: &mut dyn UserMemory, clock: i32) -> Option<CallAnswer> {
    let pace = call.time.pace(clock)?;
    let is_absolute = call.int(1) & ABSTIME != 0;
    let wanted = Timer::read(Unit::Nanos, memory, call.arg(2))?;
    let mut new = real_timer(call.time, wanted);
    if is_absolute && wanted.value != 0 {
        // What is past by then goes off at once; nothing would disarm it.
        new.value = real_of(&pace, wanted.value).max(1);
    }
    if new == wanted && call.time.is_at_normal_pace() {
        return None;
    }
    let (time, old_at) = (Arc::clone(call.time), call.arg(3));
    Some(call.again().bytes(2, new.bytes(Unit::Nanos)).then(move |memory, _, result| {
        to_virtual(&time, Unit::Nanos, memory, old_at, result);
        result
    }))
}

/// A call that writes a timer to the address in its second argument.
fn show(call: &TimeCall<'_>, unit: Unit) -> Option<CallAnswer> {
    if call.time.is_at_normal_pace() {
        return None;
    }
    let (time, at) = (Arc::clone(call.time), call.arg(1));
    Some(call.again().then(move |memory, _, result| {
        to_virtual(&time, unit, memory, at, result);
        result
    }))
}

fn real_timer(time: &Timeline, timer: Timer) -> Timer {
    Timer { interval: time.real_duration(timer.interval), value: time.real_duration(timer.value) }
}

/// Puts what the kernel wrote of a timer into virtual time; both of its parts are durations.
fn to_virtual(time: &Timeline, unit: Unit, memory: &mut dyn UserMemory, at: u64, result: i64) {
    if result == 0
        && at != 0
        && let Some(real) = Timer::read(unit, memory, at)
    {
        let shown = Timer {
            interval: time.virtual_duration(real.interval),
            value: time.virtual_duration(real.value),
        };
        // It was written a moment before.
        let _ = memory.write(at, &shown.bytes(unit));
    }
}

/// The clock of a POSIX timer: /proc/PID/timers tells, so nothing is to be remembered of timers that were made
/// before the time was virtual.
fn clock_of_timer(call: &TimeCall<'_>) -> Option<i32> {
    let path = format!("/proc/{}/timers", call.caller.pid);
    let Ok(text) = std::fs::read_to_string(path) else { return Some(libc::CLOCK_MONOTONIC) };
    clock_in_list(&text, call.int(0))
}

/// `None` if there is no such timer, which the kernel will say.
fn clock_in_list(text: &str, id: i32) -> Option<i32> {
    let mut is_it = false;
    for line in text.lines() {
        if let Some(number) = line.strip_prefix("ID:") {
            is_it = number.trim().parse() == Ok(id);
        } else if is_it && let Some(clock) = line.strip_prefix("ClockID:") {
            return clock.trim().parse().ok();
        }
    }
    None
}

/// The clock of a timerfd: /proc/PID/fdinfo tells.
fn clock_of_descriptor(call: &TimeCall<'_>) -> Option<i32> {
    let path = format!("/proc/{}/fdinfo/{}", call.caller.pid, call.int(0));
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().find_map(|l| l.strip_prefix("clockid:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::clock_in_list;

    #[test]
    fn the_clock_of_a_timer_is_in_its_own_paragraph() {
        let text = "ID: 0\nsignal: 10/0\nnotify: signal/pid.7\nClockID: 0\n\
                    ID: 1\nsignal: 12/0\nnotify: signal/pid.7\nClockID: -6\n";
        assert_eq!(clock_in_list(text, 0), Some(0));
        assert_eq!(clock_in_list(text, 1), Some(-6));
        assert_eq!(clock_in_list(text, 2), None);
    }
}
