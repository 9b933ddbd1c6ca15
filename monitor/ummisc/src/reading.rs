//! Reading and setting clocks.

use crate::hostclock::{self, SECOND};
use crate::layout::Unit;
use crate::time_calls::TimeCall;
use crate::timeline::is_native;
use abi::dev::UserMemory;
use abi::module::CallAnswer;
use abi::{Errno, Result};
use std::sync::Arc;

pub(crate) const NUMBERS: &[i64] = &[
    libc::SYS_clock_gettime,
    libc::SYS_gettimeofday,
    libc::SYS_time,
    libc::SYS_clock_getres,
    libc::SYS_times,
    libc::SYS_sysinfo,
    libc::SYS_clock_settime,
    libc::SYS_settimeofday,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
];

/// Nanoseconds of a tick of times(2): `USER_HZ` is 100.
const TICK: i128 = SECOND / 100;
/// `struct timex`: the modes, the status, and the time.
const TIMEX_STATUS: u64 = 40;
const TIMEX_TIME: u64 = 72;
/// `ADJ_OFFSET_SS_READ`: looks and changes nothing.
const ADJ_OFFSET_SS_READ: u32 = 0xa001;
/// `STA_NANO`: the part of the second counts nanoseconds.
const STA_NANO: i32 = 0x2000;

pub(crate) fn answer(call: &TimeCall<'_>, memory: &mut dyn UserMemory) -> Option<CallAnswer> {
    match call.number {
        libc::SYS_clock_gettime => {
            let now = call.time.now(call.int(0))?;
            Some(settle(Unit::Nanos.write(memory, call.arg(1), now), 0))
        }
        libc::SYS_gettimeofday => Some(settle(gettimeofday(call, memory), 0)),
        libc::SYS_time => {
            let now = call.time.now(libc::CLOCK_REALTIME_COARSE)? / SECOND;
            let seconds = i64::try_from(now).unwrap_or(i64::MAX);
            let written = match call.arg(0) {
                0 => Ok(()),
                addr => memory.write(addr, &seconds.to_ne_bytes()),
            };
            Some(settle(written, seconds.unsigned_abs()))
        }
        libc::SYS_clock_getres => {
            let pace = call.time.pace(call.int(0))?;
            let step = hostclock::resolution(call.int(0))?.saturating_mul(i128::from(pace.rate));
            let written = match call.arg(1) {
                0 => Ok(()),
                addr => Unit::Nanos.write(memory, addr, (step >> 32).max(1)),
            };
            Some(settle(written, 0))
        }
        libc::SYS_times => times(call),
        libc::SYS_sysinfo => sysinfo(call),
        libc::SYS_clock_settime => Some(settle(clock_settime(call, memory), 0)),
        libc::SYS_settimeofday => Some(settle(settimeofday(call, memory), 0)),
        libc::SYS_adjtimex => adjust(call, memory, 0),
        libc::SYS_clock_adjtime => {
            call.time.pace(call.int(0))?;
            adjust(call, memory, 1)
        }
        _ => None,
    }
}

fn settle(done: Result<()>, value: u64) -> CallAnswer {
    CallAnswer::Return(done.map(|()| value))
}

fn gettimeofday(call: &TimeCall<'_>, memory: &mut dyn UserMemory) -> Result<()> {
    let now = call.time.now(libc::CLOCK_REALTIME).ok_or(Errno::EINVAL)?;
    if call.arg(0) != 0 {
        Unit::Micros.write(memory, call.arg(0), now)?;
    }
    if call.arg(1) != 0 {
        // `struct timezone`, which nothing sets any more.
        memory.write(call.arg(1), &[0; 8])?;
    }
    Ok(())
}

/// The ticks since some moment of the past follow the monotonic clock; the CPU times are the kernel's.
fn times(call: &TimeCall<'_>) -> Option<CallAnswer> {
    if is_native(&call.time.pace(libc::CLOCK_MONOTONIC)?) {
        return None;
    }
    let real = hostclock::now(libc::CLOCK_MONOTONIC)?;
    let ahead = (call.time.now(libc::CLOCK_MONOTONIC)? - real) / TICK;
    let ahead = i64::try_from(ahead).ok()?;
    Some(call.again().then(
        move |_, _, result| {
            if result < 0 { result } else { result.saturating_add(ahead).max(0) }
        },
    ))
}

/// The uptime, which is the first word, follows the boot clock.
fn sysinfo(call: &TimeCall<'_>) -> Option<CallAnswer> {
    let time = Arc::clone(call.time);
    Some(call.again().then(move |memory, args, result| {
        if result == 0
            && let Some(now) = time.now(libc::CLOCK_BOOTTIME)
        {
            let seconds = i64::try_from(now / SECOND).unwrap_or(i64::MAX);
            let _ = memory.write(args[0], &seconds.to_ne_bytes());
        }
        result
    }))
}

fn clock_settime(call: &TimeCall<'_>, memory: &mut dyn UserMemory) -> Result<()> {
    if call.int(0) != libc::CLOCK_REALTIME {
        return Err(Errno::EINVAL);
    }
    let mut bytes = [0; 16];
    memory.read(call.arg(1), &mut bytes)?;
    let nanos = Unit::Nanos.parse(&bytes).ok_or(Errno::EINVAL)?;
    if !call.may_set {
        return Err(Errno::EPERM);
    }
    call.time.set_wall(nanos);
    Ok(())
}

fn settimeofday(call: &TimeCall<'_>, memory: &mut dyn UserMemory) -> Result<()> {
    if call.arg(0) == 0 {
        // A time zone alone: the kernel's own is nobody's business in a view.
        return if call.may_set { Ok(()) } else { Err(Errno::EPERM) };
    }
    let mut bytes = [0; 16];
    memory.read(call.arg(0), &mut bytes)?;
    let nanos = Unit::Micros.parse(&bytes).ok_or(Errno::EINVAL)?;
    if !call.may_set {
        return Err(Errno::EPERM);
    }
    call.time.set_wall(nanos);
    Ok(())
}

/// adjtimex(2), clock_adjtime(2): looking shows the view's time, slewing the host's clock is refused.
fn adjust(call: &TimeCall<'_>, memory: &mut dyn UserMemory, index: usize) -> Option<CallAnswer> {
    let addr = call.arg(index);
    let mut modes = [0; 4];
    if let Err(errno) = memory.read(addr, &mut modes) {
        return Some(CallAnswer::Return(Err(errno)));
    }
    if !matches!(u32::from_ne_bytes(modes), 0 | ADJ_OFFSET_SS_READ) {
        return Some(CallAnswer::Return(Err(Errno::EPERM)));
    }
    let time = Arc::clone(call.time);
    Some(call.again().then(move |memory, _, result| {
        let mut status = [0; 4];
        if result >= 0
            && memory.read(addr + TIMEX_STATUS, &mut status).is_ok()
            && let Some(now) = time.now(libc::CLOCK_REALTIME)
        {
            let is_nanos = i32::from_ne_bytes(status) & STA_NANO != 0;
            let unit = if is_nanos { Unit::Nanos } else { Unit::Micros };
            let _ = unit.write(memory, addr + TIMEX_TIME, now);
        }
        result
    }))
}
