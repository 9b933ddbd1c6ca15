//! Calls that wait for something, but not longer than a time.

use crate::layout::Unit;
use crate::time_calls::TimeCall;
use crate::timeline::{is_native, real_of};
use abi::dev::UserMemory;
use abi::module::CallAnswer;
use std::sync::Arc;

pub(crate) const NUMBERS: &[i64] = &[
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_select,
    libc::SYS_pselect6,
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_futex,
    libc::SYS_futex_waitv,
    FUTEX_WAIT_CALL,
    libc::SYS_semtimedop,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_mq_timedsend,
    libc::SYS_mq_timedreceive,
    libc::SYS_io_getevents,
    IO_PGETEVENTS,
    libc::SYS_recvmmsg,
];

/// futex_wait(2) of Linux 6.7.
const FUTEX_WAIT_CALL: i64 = 455;
/// io_pgetevents(2) of Linux 4.18.
const IO_PGETEVENTS: i64 = 333;
/// Nanoseconds in a millisecond.
const MILLI: i128 = 1_000_000;
/// From here on rounding to milliseconds is less than a hundredth.
const MILLIS_PRECISE: i128 = 100;

pub(crate) fn answer(call: &TimeCall<'_>, memory: &mut dyn UserMemory) -> Option<CallAnswer> {
    match call.number {
        libc::SYS_poll => milliseconds(call, 2, |again, nanos| {
            again.number(libc::SYS_ppoll).bytes(2, nanos).value(3, 0).value(4, 8)
        }),
        libc::SYS_epoll_wait => milliseconds(call, 3, |again, nanos| {
            again.number(libc::SYS_epoll_pwait2).bytes(3, nanos).value(4, 0).value(5, 8)
        }),
        libc::SYS_epoll_pwait => milliseconds(call, 3, |again, nanos| {
            again.number(libc::SYS_epoll_pwait2).bytes(3, nanos)
        }),
        libc::SYS_ppoll => remaining(call, memory, 2, Unit::Nanos),
        libc::SYS_select => remaining(call, memory, 4, Unit::Micros),
        libc::SYS_pselect6 | libc::SYS_recvmmsg => remaining(call, memory, 4, Unit::Nanos),
        libc::SYS_epoll_pwait2 | libc::SYS_semtimedop => relative(call, memory, 3),
        libc::SYS_rt_sigtimedwait => relative(call, memory, 2),
        libc::SYS_io_getevents | IO_PGETEVENTS => relative(call, memory, 4),
        libc::SYS_mq_timedsend | libc::SYS_mq_timedreceive => {
            absolute(call, memory, 4, libc::CLOCK_REALTIME)
        }
        libc::SYS_futex_waitv => absolute(call, memory, 3, call.int(4)),
        FUTEX_WAIT_CALL => absolute(call, memory, 4, call.int(5)),
        libc::SYS_futex => futex(call, memory),
        _ => None,
    }
}

/// A timeout in whole milliseconds. Where rounding would show, the sister call with nanoseconds is run, which `fine`
/// makes of it.
fn milliseconds(
    call: &TimeCall<'_>,
    index: usize,
    fine: impl FnOnce(crate::time_calls::Again, [u8; 16]) -> crate::time_calls::Again,
) -> Option<CallAnswer> {
    let wanted = call.int(index);
    if wanted <= 0 || call.time.is_at_normal_pace() {
        return None;
    }
    let real = call.time.real_duration(i128::from(wanted) * MILLI);
    if real < MILLIS_PRECISE * MILLI {
        return Some(fine(call.again(), Unit::Nanos.bytes(real)).run());
    }
    let millis = (real + MILLI - 1) / MILLI;
    let millis = u64::try_from(millis).unwrap_or(u64::MAX).min(i32::MAX.unsigned_abs().into());
    Some(call.again().value(index, millis).run())
}

/// A duration in memory that nobody writes to.
fn relative(call: &TimeCall<'_>, memory: &dyn UserMemory, index: usize) -> Option<CallAnswer> {
    let wanted = scaled(call, memory, index, Unit::Nanos)?;
    Some(
        call.again()
            .bytes(index, Unit::Nanos.bytes_rounded_up(call.time.real_duration(wanted)))
            .run(),
    )
}

/// A duration in memory that the kernel replaces by what is left of it.
fn remaining(
    call: &TimeCall<'_>,
    memory: &dyn UserMemory,
    index: usize,
    unit: Unit,
) -> Option<CallAnswer> {
    let wanted = scaled(call, memory, index, unit)?;
    let real = call.time.real_duration(wanted);
    let (time, own_at) = (Arc::clone(call.time), call.arg(index));
    Some(call.again().bytes(index, unit.bytes_rounded_up(real)).then(
        move |memory, args, result| {
            let left = args.get(index).and_then(|&at| unit.read(memory, at));
            if let Some(left) = left {
                let _ = unit.write(memory, own_at, time.virtual_duration(left).min(wanted));
            }
            result
        },
    ))
}

/// A duration in memory that is to be changed: not nothing, and not the same in real time.
fn scaled(call: &TimeCall<'_>, memory: &dyn UserMemory, index: usize, unit: Unit) -> Option<i128> {
    if call.time.is_at_normal_pace() {
        return None;
    }
    unit.read(memory, call.arg(index)).filter(|&nanos| nanos != 0)
}

/// A point in time of a clock.
fn absolute(
    call: &TimeCall<'_>,
    memory: &dyn UserMemory,
    index: usize,
    clock: i32,
) -> Option<CallAnswer> {
    let pace = call.time.pace(clock).filter(|p| !is_native(p))?;
    let real = real_of(&pace, Unit::Nanos.read(memory, call.arg(index))?);
    Some(call.again().bytes(index, Unit::Nanos.bytes(real)).run())
}

/// futex(2): the operation says whether its fourth argument is a duration, a point in time, or no time at all.
fn futex(call: &TimeCall<'_>, memory: &dyn UserMemory) -> Option<CallAnswer> {
    let operation = call.int(1);
    let is_real = operation & libc::FUTEX_CLOCK_REALTIME != 0;
    let clock = if is_real { libc::CLOCK_REALTIME } else { libc::CLOCK_MONOTONIC };
    match operation & !(libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME) {
        libc::FUTEX_WAIT => relative(call, memory, 3),
        libc::FUTEX_LOCK_PI => absolute(call, memory, 3, libc::CLOCK_REALTIME),
        libc::FUTEX_WAIT_BITSET | libc::FUTEX_LOCK_PI2 | libc::FUTEX_WAIT_REQUEUE_PI => {
            absolute(call, memory, 3, clock)
        }
        _ => None,
    }
}
