//! nanosleep(2), clock_nanosleep(2).

use crate::layout::Unit;
use crate::time_calls::TimeCall;
use crate::timeline::{is_native, real_of};
use abi::dev::UserMemory;
use abi::module::CallAnswer;
use std::sync::Arc;

pub(crate) const NUMBERS: &[i64] = &[libc::SYS_nanosleep, libc::SYS_clock_nanosleep];

/// `ERESTART_RESTARTBLOCK` of linux/errno.h: becomes `EINTR` if a handler runs.
const RESTART_BLOCK: i64 = -516;

pub(crate) fn answer(call: &TimeCall<'_>, memory: &mut dyn UserMemory) -> Option<CallAnswer> {
    let (request, remains, is_absolute) = match call.number {
        libc::SYS_nanosleep => (0, 1, false),
        _ => (2, 3, call.int(1) & libc::TIMER_ABSTIME != 0),
    };
    let wanted = Unit::Nanos.read(memory, call.arg(request))?;
    if is_absolute {
        let pace = call.time.pace(call.int(0)).filter(|p| !is_native(p))?;
        let real = real_of(&pace, wanted);
        return Some(call.again().bytes(request, Unit::Nanos.bytes(real)).run());
    }
    if call.number == libc::SYS_clock_nanosleep {
        // A clock of CPU time is the kernel's.
        call.time.pace(call.int(0))?;
    }
    if call.time.is_at_normal_pace() {
        return None;
    }
    let real = call.time.real_duration(wanted);
    let left_at = call.arg(remains);
    let time = Arc::clone(call.time);
    Some(call.again().bytes(request, Unit::Nanos.bytes(real)).then(move |memory, _, result| {
        let is_interrupted = matches!(result, RESTART_BLOCK) || result == -i64::from(libc::EINTR);
        if is_interrupted && left_at != 0 {
            Unit::Nanos.update(memory, left_at, |real| time.virtual_duration(real).min(wanted));
        }
        result
    }))
}
