//! seccomp(2) and the ioctls of its notification descriptor.
#![allow(unsafe_code, reason = "the fence: seccomp(2) has no safe form")]

use super::check;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use syscalls::SockFilter;

const IOCTL_RECV: libc::c_ulong = 0xc050_2100;
const IOCTL_SEND: libc::c_ulong = 0xc018_2101;
const IOCTL_ADDFD: libc::c_ulong = 0x4018_2103;
const IOCTL_SET_FLAGS: libc::c_ulong = 0x4008_2104;

/// `SECCOMP_FILTER_FLAG_NEW_LISTENER`
pub(crate) const NEW_LISTENER: u64 = 1 << 3;
/// `SECCOMP_FILTER_FLAG_TSYNC`
pub(crate) const TSYNC: u64 = 1;
/// `SECCOMP_FILTER_FLAG_TSYNC_ESRCH`
pub(crate) const TSYNC_ESRCH: u64 = 1 << 4;
/// `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`, Linux 5.19.
pub(crate) const WAIT_KILLABLE_RECV: u64 = 1 << 5;
/// `SECCOMP_SET_MODE_FILTER`
pub(crate) const SET_MODE_FILTER: u64 = 1;

/// What the kernel says of one intercepted call: `struct seccomp_notif`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Notification {
    pub(crate) id: u64,
    pub(crate) pid: u32,
    pub(crate) flags: u32,
    pub(crate) nr: i32,
    pub(crate) arch: u32,
    pub(crate) ip: u64,
    pub(crate) args: [u64; 6],
}
const _: () = assert!(size_of::<Notification>() == 80);

/// `struct seccomp_notif_resp`
#[repr(C)]
struct Response {
    id: u64,
    val: i64,
    error: i32,
    flags: u32,
}
const _: () = assert!(size_of::<Response>() == 24);

/// `struct seccomp_notif_addfd`
#[repr(C)]
struct AddFd {
    id: u64,
    flags: u32,
    srcfd: u32,
    newfd: u32,
    newfd_flags: u32,
}
const _: () = assert!(size_of::<AddFd>() == 24);

/// `struct sock_fprog`, as a value that can also be written into a tracee.
#[repr(C)]
pub(crate) struct Program {
    pub(crate) len: u16,
    pub(crate) pad: [u8; 6],
    pub(crate) filter: u64,
}
const _: () = assert!(size_of::<Program>() == 16);

/// Installs a filter in the calling thread; with `NEW_LISTENER` gives the descriptor.
pub(crate) fn install(filter: &[SockFilter], flags: u64) -> io::Result<Option<OwnedFd>> {
    let program = Program {
        len: u16::try_from(filter.len()).map_err(io::Error::other)?,
        pad: [0; 6],
        filter: filter.as_ptr() as u64,
    };
    // SAFETY:
    // 1. `program` has the layout of `struct sock_fprog` and points to `filter`, alive for the call.
    // 2. The kernel copies and verifies the instructions.
    let fd = check(unsafe {
        libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags, &raw const program)
    })?;
    if flags & NEW_LISTENER == 0 {
        return Ok(None);
    }
    // SAFETY:
    // 1. The kernel has just made this descriptor for us; nobody else knows its number.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(fd as i32) }))
}

/// Waits for the next intercepted call.
pub(crate) fn receive(listener: BorrowedFd<'_>) -> io::Result<Notification> {
    let mut n = Notification::default();
    // SAFETY:
    // 1. `n` has the layout and size of `struct seccomp_notif`, zeroed as the kernel demands.
    check(i64::from(unsafe { libc::ioctl(listener.as_raw_fd(), IOCTL_RECV, &raw mut n) }))?;
    Ok(n)
}

fn send(listener: BorrowedFd<'_>, response: &Response) -> io::Result<()> {
    // SAFETY:
    // 1. `response` has the layout of `struct seccomp_notif_resp` and is only read.
    check(i64::from(unsafe {
        libc::ioctl(listener.as_raw_fd(), IOCTL_SEND, core::ptr::from_ref(response))
    }))?;
    Ok(())
}

/// Lets the call run in the kernel.
pub(crate) fn answer_continue(listener: BorrowedFd<'_>, id: u64) -> io::Result<()> {
    send(listener, &Response { id, val: 0, error: 0, flags: 1 })
}

/// Answers with a value, or with an errno where `error` is not 0.
pub(crate) fn answer_value(
    listener: BorrowedFd<'_>,
    id: u64,
    val: u64,
    error: i32,
) -> io::Result<()> {
    send(listener, &Response { id, val: val as i64, error: -error, flags: 0 })
}

/// Puts `fd` into the caller at its lowest free number and answers with that number, in one step.
pub(crate) fn answer_fd(
    listener: BorrowedFd<'_>,
    id: u64,
    fd: BorrowedFd<'_>,
    cloexec: bool,
) -> io::Result<()> {
    let request = AddFd {
        id,
        flags: 2, // SECCOMP_ADDFD_FLAG_SEND
        srcfd: fd.as_raw_fd() as u32,
        newfd: 0,
        newfd_flags: if cloexec { libc::O_CLOEXEC as u32 } else { 0 },
    };
    // SAFETY:
    // 1. `request` has the layout of `struct seccomp_notif_addfd` and is only read.
    check(i64::from(unsafe {
        libc::ioctl(listener.as_raw_fd(), IOCTL_ADDFD, &raw const request)
    }))?;
    Ok(())
}

/// Puts `fd` into the caller at its lowest free number while it waits for its answer.
pub(crate) fn add_fd(
    listener: BorrowedFd<'_>,
    id: u64,
    fd: BorrowedFd<'_>,
    cloexec: bool,
) -> io::Result<i32> {
    let request = AddFd {
        id,
        flags: 0,
        srcfd: fd.as_raw_fd() as u32,
        newfd: 0,
        newfd_flags: if cloexec { libc::O_CLOEXEC as u32 } else { 0 },
    };
    // SAFETY:
    // 1. `request` has the layout of `struct seccomp_notif_addfd` and is only read.
    let number = check(i64::from(unsafe {
        libc::ioctl(listener.as_raw_fd(), IOCTL_ADDFD, &raw const request)
    }))?;
    Ok(number as i32)
}

/// Asks that the answering thread be woken on the caller's processor. Linux 6.6; an older kernel refuses.
pub(crate) fn wake_on_same_cpu(listener: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY:
    // 1. The request takes an integer, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP.
    check(i64::from(unsafe { libc::ioctl(listener.as_raw_fd(), IOCTL_SET_FLAGS, 1_u64) }))?;
    Ok(())
}
