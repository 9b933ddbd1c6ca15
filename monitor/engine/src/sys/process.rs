//! Processes: fork, exec, pidfds, prctl, the doorbell signal.
#![allow(unsafe_code, reason = "the fence: fork(2) and friends have no safe form")]

use super::check;
use crate::Tid;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// fork(2): `None` in the child.
///
/// The caller must be the only thread of its process, so that the child may run any code.
pub(crate) fn fork() -> io::Result<Option<Tid>> {
    // SAFETY:
    // 1. The process has one thread (the callers' contract), so no lock is left held in the child.
    let pid = check(i64::from(unsafe { libc::fork() }))?;
    Ok((pid != 0).then_some(Tid(pid as i32)))
}

/// execvp(3); returns only on failure.
pub(crate) fn exec(program: &CStr, args: &[CString]) -> io::Error {
    let mut pointers: Vec<*const libc::c_char> = args.iter().map(|a| a.as_ptr()).collect();
    pointers.push(core::ptr::null());
    // SAFETY:
    // 1. `program` and each element of `pointers` is a C string that lives for the call.
    // 2. `pointers` ends in a null pointer.
    unsafe { libc::execvp(program.as_ptr(), pointers.as_ptr()) };
    io::Error::last_os_error()
}

/// _exit(2)
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY:
    // 1. Takes an integer and does not return.
    unsafe { libc::_exit(code) }
}

/// pidfd_open(2)
pub(crate) fn pidfd_open(tgid: i32) -> io::Result<OwnedFd> {
    // SAFETY:
    // 1. Takes integers only.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, tgid, 0) })?;
    // SAFETY:
    // 1. The kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// pidfd_getfd(2): our own descriptor of the open file behind `fd` of another process.
pub(crate) fn pidfd_getfd(pidfd: BorrowedFd<'_>, fd: i32) -> io::Result<OwnedFd> {
    // SAFETY:
    // 1. Takes integers only.
    let own = check(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), fd, 0) })?;
    // SAFETY:
    // 1. The kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(own as i32) })
}

/// `prctl(PR_SET_NO_NEW_PRIVS)`
pub(crate) fn set_no_new_privs() -> io::Result<()> {
    // SAFETY:
    // 1. Takes integers only.
    check(i64::from(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }))?;
    Ok(())
}

/// `prctl(PR_SET_PTRACER)`: lets `tracer` seize this process where Yama restricts it.
pub(crate) fn allow_tracer(tracer: i32) {
    // SAFETY:
    // 1. Takes integers only; a kernel without Yama refuses, which changes nothing.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, tracer, 0, 0, 0) };
}

/// tgkill(2) to a thread of this process.
pub(crate) fn signal_own_thread(tid: i32, signal: i32) {
    let tgid = std::process::id();
    // SAFETY:
    // 1. Takes integers only; the handler for the doorbell signal is installed before any ring.
    unsafe { libc::syscall(libc::SYS_tgkill, tgid, tid, signal) };
}

/// kill(2)
pub(crate) fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY:
    // 1. Takes integers only.
    check(i64::from(unsafe { libc::kill(pid, signal) })).map(drop)
}

/// gettid(2)
pub(crate) fn own_tid() -> i32 {
    // SAFETY:
    // 1. Takes nothing, always succeeds.
    unsafe { libc::gettid() }
}

extern "C" fn ring(_signal: libc::c_int) {}

/// Installs an empty handler without `SA_RESTART`: the signal makes waitpid(2) return `EINTR`.
pub(crate) fn install_doorbell(signal: i32) -> io::Result<()> {
    // SAFETY:
    // 1. All-zero bytes are a value of this struct of integers and a null pointer.
    let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
    action.sa_sigaction = ring as extern "C" fn(libc::c_int) as usize;
    // SAFETY:
    // 1. `action` is initialised; the handler does nothing, so it is async-signal-safe.
    check(i64::from(unsafe { libc::sigaction(signal, &raw const action, core::ptr::null_mut()) }))?;
    Ok(())
}

/// In a forked child: SIGPIPE as exec(2) would leave it; Rust's runtime ignores it in the monitor.
pub(crate) fn restore_sigpipe() {
    // SAFETY:
    // 1. Takes integers and a constant.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// getrlimit(2) and setrlimit(2) of RLIMIT_NOFILE: raises the soft limit to the hard one, returns the old pair.
pub(crate) fn raise_descriptor_limit() -> io::Result<(u64, u64)> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY:
    // 1. `limit` is a live struct that the call fills.
    check(i64::from(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) }))?;
    let old = (limit.rlim_cur, limit.rlim_max);
    set_descriptor_limit(limit.rlim_max, limit.rlim_max)?;
    Ok(old)
}

/// setrlimit(2) of RLIMIT_NOFILE.
pub(crate) fn set_descriptor_limit(soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY:
    // 1. `limit` is a live struct that the call only reads.
    check(i64::from(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })).map(drop)
}

/// Address of this process' vDSO, 0 where there is none (getauxval(3)).
pub(crate) fn own_vdso() -> u64 {
    // SAFETY:
    // 1. Takes an integer, reads the auxiliary vector of this process.
    unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) }
}

/// `fcntl(F_SETLEASE)` with a write lease, taken back at once: `false` if the kernel refuses it because
/// another open file or a map of the same inode exists.
pub(crate) fn take_write_lease(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY:
    // 1. Takes integers only.
    check(i64::from(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK) }))?;
    // SAFETY:
    // 1. Takes integers only.
    check(i64::from(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK) }))?;
    Ok(())
}

/// The virtual call `viewctl(request, length, reply, room)`: the length of the reply, which is complete if it
/// is not above `reply.len()`.
pub(crate) fn viewctl(request: &[u8], reply: &mut [u8]) -> io::Result<usize> {
    // SAFETY:
    // 1. Both buffers live for the call, and their lengths are given.
    // 2. Outside a view the kernel knows no such number and touches nothing.
    let n = check(unsafe {
        libc::syscall(
            i64::from(syscalls::VIEWCTL),
            request.as_ptr(),
            request.len(),
            reply.as_mut_ptr(),
            reply.len(),
        )
    })?;
    Ok(n as usize)
}

/// getdents64(2), or getdents(2).
pub(crate) fn getdents(fd: BorrowedFd<'_>, buf: &mut [u8], old: bool) -> io::Result<usize> {
    let number = if old { libc::SYS_getdents } else { libc::SYS_getdents64 };
    // SAFETY:
    // 1. `buf` is borrowed mutably for the call and its length is given.
    let n = check(unsafe { libc::syscall(number, fd.as_raw_fd(), buf.as_mut_ptr(), buf.len()) })?;
    Ok(n as usize)
}

/// `prctl(PR_SET_PDEATHSIG)`: SIGKILL when the parent dies, or nothing.
pub(crate) fn die_with_parent(on: bool) -> io::Result<()> {
    let signal = if on { libc::SIGKILL } else { 0 };
    // SAFETY:
    // 1. Takes integers only.
    check(i64::from(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal, 0, 0, 0) })).map(drop)
}

/// The terminal's INT and QUIT are for the process that the caller started, not for who waits for it.
pub(crate) fn ignore_terminal_signals() {
    set_terminal_signals(libc::SIG_IGN);
}

/// They end this process again.
pub(crate) fn heed_terminal_signals() {
    set_terminal_signals(libc::SIG_DFL);
}

fn set_terminal_signals(disposition: libc::sighandler_t) {
    for signal in [libc::SIGINT, libc::SIGQUIT] {
        // SAFETY:
        // 1. Takes integers; the callers pass a constant and never a function.
        unsafe { libc::signal(signal, disposition) };
    }
}

/// Ends this process by a signal, without a core file; returns where the signal does not kill.
pub(crate) fn die_by(signal: i32) {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY:
    // 1. `none` is a live struct that the call only reads.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
    // SAFETY:
    // 1. Takes integers and a constant.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
    // SAFETY:
    // 1. Takes an integer.
    unsafe { libc::raise(signal) };
}

/// dup2(2) over a descriptor that nobody owns: 0, 1 or 2.
pub(crate) fn replace_descriptor(with: &std::fs::File, number: i32) -> io::Result<()> {
    // SAFETY:
    // 1. The callers pass 0, 1 or 2, which no `OwnedFd` of this process holds.
    check(i64::from(unsafe { libc::dup2(with.as_raw_fd(), number) })).map(drop)
}
