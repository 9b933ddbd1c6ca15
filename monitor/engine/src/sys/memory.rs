//! The address space of a tracee: process_vm_readv(2) and process_vm_writev(2).
#![allow(unsafe_code, reason = "the fence: another process' memory has no safe form")]

use super::check;
use crate::Tid;
use std::io;

/// Reads at most `buf.len()` bytes at `addr`; fewer where the range runs into unmapped pages.
pub(crate) fn read(tid: Tid, addr: u64, buf: &mut [u8]) -> io::Result<usize> {
    let local = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
    let remote = libc::iovec { iov_base: addr as *mut libc::c_void, iov_len: buf.len() };
    // SAFETY:
    // 1. `local` describes `buf`, which is borrowed mutably for the whole call.
    // 2. `remote` is only interpreted by the kernel, in the tracee's address space.
    let n =
        check(
            unsafe { libc::process_vm_readv(tid.0, &raw const local, 1, &raw const remote, 1, 0) }
                as i64,
        )?;
    Ok(n as usize)
}

/// Writes at most `buf.len()` bytes at `addr`; fewer where the range runs into pages not writable.
pub(crate) fn write(tid: Tid, addr: u64, buf: &[u8]) -> io::Result<usize> {
    let local = libc::iovec { iov_base: buf.as_ptr().cast_mut().cast(), iov_len: buf.len() };
    let remote = libc::iovec { iov_base: addr as *mut libc::c_void, iov_len: buf.len() };
    // SAFETY:
    // 1. `local` describes `buf`, which the call only reads.
    // 2. `remote` is only interpreted by the kernel, in the tracee's address space.
    let n = check(unsafe {
        libc::process_vm_writev(tid.0, &raw const local, 1, &raw const remote, 1, 0)
    } as i64)?;
    Ok(n as usize)
}
