//! Exec of another path by a thread that a debugger has in our place: its registers are out of reach, so the
//! path is written over the one that it gave, and put back when the thread is heard of again.

use crate::Tid;
use crate::answer::{Arg, Call, Rewrite};
use crate::engine::Engine;
use crate::tracee::{HostTracee, Tracee};
use abi::{Errno, Result};
use std::collections::HashMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Paths that are to be put back.
#[derive(Default)]
pub(crate) struct Overwritten {
    count: AtomicUsize,
    by_thread: Mutex<HashMap<Tid, Former>>,
}

/// What stood there, and in which address space: the descriptor stays with that of the caller (or of the parent
/// that a vfork child shares it with), whatever the caller runs next.
struct Former {
    memory: File,
    address: u64,
    bytes: Vec<u8>,
    _keep: Vec<OwnedFd>,
}

impl Overwritten {
    /// Puts back what the last exec of a thread overwrote, if there was one.
    pub(crate) fn put_back(&self, tid: Tid) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let former = self.by_thread.lock().unwrap_or_else(PoisonError::into_inner).remove(&tid);
        if let Some(former) = former {
            self.count.fetch_sub(1, Ordering::AcqRel);
            // An address space that is gone takes nothing, and needs nothing.
            let _ = former.memory.write_all_at(&former.bytes, former.address);
        }
    }
}

/// Writes the path of an exec over the caller's.
///
/// # Errors
/// - `EPERM` if the call to run is no execve with the caller's own arguments.
/// - `EFAULT` if the memory can't be written.
pub(crate) fn overwrite(
    engine: &Engine,
    tracee: &HostTracee,
    call: Call,
    rewrite: Rewrite,
) -> Result<()> {
    let is_exec = call.number == libc::SYS_execve as u32 && rewrite.number == call.number;
    let (Some(Arg::Bytes(path)), Some(Arg::Value(argv))) =
        (rewrite.args.first(), rewrite.args.get(1))
    else {
        return Err(Errno::EPERM);
    };
    if !is_exec || *argv != call.args[1] {
        return Err(Errno::EPERM);
    }
    let address = call.args[0];
    let mut bytes = vec![0; path.len()];
    tracee.read(address, &mut bytes)?;
    // Through the mem file: a path in read-only memory is written all the same, in a copy of the page.
    let memory = File::options()
        .read(true)
        .write(true)
        .open(format!("/proc/{}/mem", tracee.tid().0))
        .map_err(|_| Errno::EPERM)?;
    memory.write_all_at(path, address).map_err(|_| Errno::EFAULT)?;
    let former = Former { memory, address, bytes, _keep: rewrite.keep };
    let all = &engine.overwritten;
    let old =
        all.by_thread.lock().unwrap_or_else(PoisonError::into_inner).insert(tracee.tid(), former);
    if old.is_none() {
        all.count.fetch_add(1, Ordering::AcqRel);
    }
    Ok(())
}
