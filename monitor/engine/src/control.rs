//! The virtual system call, from the side of a program that makes it.

use crate::sys::process as sys;
use abi::{Errno, Result};

/// Sends `request` to the monitor of the view that this process is in and returns the reply.
///
/// # Errors
/// - `ENOSYS` outside any view: the kernel has no such call.
/// - what the request says.
pub fn call(request: &[u8]) -> Result<Vec<u8>> {
    let mut reply = vec![0; 64 << 10];
    loop {
        let n = sys::viewctl(request, &mut reply).map_err(Errno::from)?;
        if n <= reply.len() {
            reply.truncate(n);
            return Ok(reply);
        }
        // The reply is larger than the room: the answer was its length.
        reply.resize(n, 0);
    }
}
