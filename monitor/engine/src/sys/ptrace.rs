//! ptrace(2) and waitpid(2), one function per request.
#![allow(unsafe_code, reason = "the fence: ptrace(2) has no safe form")]

use super::check;
use crate::Tid;
use std::io;

/// The general registers of a stopped tracee.
pub(crate) type Regs = libc::user_regs_struct;

/// Options of every tracee: all its children are ours, and nothing outlives us.
pub(crate) const OPTIONS_BASE: i32 = libc::PTRACE_O_EXITKILL
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACESECCOMP
    | libc::PTRACE_O_TRACESYSGOOD;

/// Options from the first module on: exec is an event.
pub(crate) const OPTIONS_NAMES: i32 = OPTIONS_BASE | libc::PTRACE_O_TRACEEXEC;

fn request(request: libc::c_uint, tid: Tid, addr: usize, data: usize) -> io::Result<i64> {
    // SAFETY:
    // 1. Every request passed to this function takes integers in `addr` and `data`, none a pointer into
    //    this process (those have functions of their own below).
    check(unsafe { libc::ptrace(request, tid.0, addr, data) })
}

/// PTRACE_SEIZE.
pub(crate) fn seize(tid: Tid, options: i32) -> io::Result<()> {
    request(libc::PTRACE_SEIZE, tid, 0, options as usize).map(drop)
}

/// PTRACE_SETOPTIONS.
pub(crate) fn set_options(tid: Tid, options: i32) -> io::Result<()> {
    request(libc::PTRACE_SETOPTIONS, tid, 0, options as usize).map(drop)
}

/// PTRACE_INTERRUPT.
pub(crate) fn interrupt(tid: Tid) -> io::Result<()> {
    request(libc::PTRACE_INTERRUPT, tid, 0, 0).map(drop)
}

/// PTRACE_LISTEN.
pub(crate) fn listen(tid: Tid) -> io::Result<()> {
    request(libc::PTRACE_LISTEN, tid, 0, 0).map(drop)
}

/// PTRACE_CONT with a signal to deliver, 0 for none.
pub(crate) fn cont(tid: Tid, signal: i32) -> io::Result<()> {
    request(libc::PTRACE_CONT, tid, 0, signal as usize).map(drop)
}

/// PTRACE_SYSCALL with a signal to deliver, 0 for none.
pub(crate) fn syscall(tid: Tid, signal: i32) -> io::Result<()> {
    request(libc::PTRACE_SYSCALL, tid, 0, signal as usize).map(drop)
}

/// PTRACE_DETACH with a signal to deliver, 0 for none.
pub(crate) fn detach(tid: Tid, signal: i32) -> io::Result<()> {
    request(libc::PTRACE_DETACH, tid, 0, signal as usize).map(drop)
}

/// PTRACE_GETEVENTMSG.
pub(crate) fn event_message(tid: Tid) -> io::Result<u64> {
    let mut message: libc::c_ulong = 0;
    // SAFETY:
    // 1. `data` points to a live unsigned long, which is what this request writes.
    check(unsafe { libc::ptrace(libc::PTRACE_GETEVENTMSG, tid.0, 0, &raw mut message) })?;
    Ok(message)
}

/// PTRACE_GETREGS.
pub(crate) fn get_regs(tid: Tid) -> io::Result<Regs> {
    let mut regs = core::mem::MaybeUninit::<Regs>::zeroed();
    // SAFETY:
    // 1. `data` points to storage of the size of `user_regs_struct`, which this request fills.
    check(unsafe { libc::ptrace(libc::PTRACE_GETREGS, tid.0, 0, regs.as_mut_ptr()) })?;
    // SAFETY:
    // 1. All bytes were zeroed above, and any bit pattern is a value of this struct of integers.
    Ok(unsafe { regs.assume_init() })
}

/// PTRACE_SETREGS.
pub(crate) fn set_regs(tid: Tid, regs: &Regs) -> io::Result<()> {
    // SAFETY:
    // 1. `data` points to a live `user_regs_struct` that the request only reads.
    check(unsafe { libc::ptrace(libc::PTRACE_SETREGS, tid.0, 0, core::ptr::from_ref(regs)) })?;
    Ok(())
}

/// waitpid(2) with `__WALL` on `tid`, or on any child or tracee of this thread for `None`: other threads wait for
/// their own. `nohang` answers `None` if nothing is there.
pub(crate) fn wait(tid: Option<Tid>, nohang: bool) -> io::Result<Option<(Tid, i32)>> {
    let mut status = 0;
    let whose = if tid.is_none() { libc::__WNOTHREAD } else { 0 };
    let options = libc::__WALL | whose | if nohang { libc::WNOHANG } else { 0 };
    // SAFETY:
    // 1. `status` is a live int that the call writes.
    let pid = check(i64::from(unsafe {
        libc::waitpid(tid.map_or(-1, |t| t.0), &raw mut status, options)
    }))?;
    Ok((pid != 0).then_some((Tid(pid as i32), status)))
}
