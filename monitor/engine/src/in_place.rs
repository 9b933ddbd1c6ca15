//! Exec of another path by a thread that a debugger has in our place: its registers are out of reach, so the
//! path is written over the one that it gave, and put back if the exec fails.
//!
//! The path may be longer than the one it is written over, and `argv[0]` is often the same string: arguments and
//! environment strings that the path runs into are moved below the stack first, and their pointers follow.

use crate::Tid;
use crate::answer::{Arg, Call, Rewrite};
use crate::engine::Engine;
use crate::tracee::{HostTracee, Tracee};
use abi::{Errno, Result};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
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
    /// Of the program that called: another one means that the exec succeeded.
    auxv: Vec<u8>,
    /// Addresses and bytes, in the order in which they were overwritten.
    pieces: Vec<(u64, Vec<u8>)>,
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
            if auxiliary_vector(tid) != former.auxv {
                // Another program runs: the memory is gone, or a parent's that goes its own way again.
                return;
            }
            // An address space that is gone takes nothing, and needs nothing.
            for (address, bytes) in former.pieces.iter().rev() {
                let _ = former.memory.write_all_at(bytes, *address);
            }
        }
    }
}

/// Writes the path of an exec over the caller's. `lend` gives the caller a descriptor of the program, by whose
/// short name the kernel opens it.
///
/// # Errors
/// - `EPERM` if the call to run is no execve with the caller's own arguments.
/// - `EPERM` if even the short path does not fit and the memory is a vfork parent's, which runs on before it
///   can be put back.
/// - `EFAULT` if the memory can't be written.
pub(crate) fn overwrite(
    engine: &Engine,
    tracee: &HostTracee,
    call: Call,
    rewrite: Rewrite,
    lend: &dyn Fn(&File) -> io::Result<i32>,
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
    // Through the mem file: a path in read-only memory is written all the same, in a copy of the page.
    let memory = File::options()
        .read(true)
        .write(true)
        .open(format!("/proc/{}/mem", tracee.tid().0))
        .map_err(|_| Errno::EPERM)?;
    let program =
        File::open(std::ffi::OsStr::from_bytes(path.strip_suffix(b"\0").unwrap_or(path)))?;
    let path = format!("/dev/fd/{}\0", lend(&program)?).into_bytes();
    let fits = tracee.read_path(call.args[0])?.len() + 1 >= path.len();
    let is_shared = shares_memory(tracee.tid());
    if !fits && is_shared {
        return Err(Errno::EPERM);
    }
    let auxv = auxiliary_vector(tracee.tid());
    let mut former = Former { memory, auxv, pieces: Vec::new(), _keep: rewrite.keep };
    let range = call.args[0]..call.args[0] + path.len() as u64;
    let mut scratch = stack_pointer(tracee.tid()).ok_or(Errno::EPERM)? - 512;
    // A vfork parent runs on with what is changed here: its pointers stay, and argv[0] may be the short name.
    for array in [call.args[1], call.args[2]].into_iter().filter(|_| !is_shared) {
        move_strings(tracee, &mut former, array, &range, &mut scratch)?;
    }
    former.replace(tracee, call.args[0], &path)?;
    let all = &engine.overwritten;
    let old =
        all.by_thread.lock().unwrap_or_else(PoisonError::into_inner).insert(tracee.tid(), former);
    if old.is_none() {
        all.count.fetch_add(1, Ordering::AcqRel);
    }
    Ok(())
}

impl Former {
    fn replace(&mut self, tracee: &HostTracee, address: u64, with: &[u8]) -> Result<()> {
        let mut bytes = vec![0; with.len()];
        tracee.read(address, &mut bytes)?;
        self.pieces.push((address, bytes));
        self.memory.write_all_at(with, address).map_err(|_| Errno::EFAULT)
    }
}

/// The most strings of argv or of the environment that are looked at.
const STRINGS_MAX: u64 = 1 << 14;

/// Copies the strings of an array that lie in `range` to `scratch`, downwards, and lets the array point there.
fn move_strings(
    tracee: &HostTracee,
    former: &mut Former,
    array: u64,
    range: &std::ops::Range<u64>,
    scratch: &mut u64,
) -> Result<()> {
    if array == 0 {
        return Ok(());
    }
    for index in 0..STRINGS_MAX {
        let slot = array + index * 8;
        let mut word = [0; 8];
        tracee.read(slot, &mut word)?;
        let at = u64::from_ne_bytes(word);
        if at == 0 {
            break;
        }
        // A string before the range may reach into it; one that begins far before does not.
        if at >= range.end || at + 65_536 < range.start {
            continue;
        }
        let mut text = tracee.read_string(at, 131_072)?;
        text.push(0);
        if at + text.len() as u64 <= range.start {
            continue;
        }
        *scratch = (*scratch - text.len() as u64) & !15;
        former.replace(tracee, *scratch, &text)?;
        former.replace(tracee, slot, &scratch.to_ne_bytes())?;
    }
    Ok(())
}

fn auxiliary_vector(tid: Tid) -> Vec<u8> {
    std::fs::read(format!("/proc/{}/auxv", tid.0)).unwrap_or_default()
}

/// Whether the parent waits in vfork(2) or its like for this child, in the same address space.
fn shares_memory(tid: Tid) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", tid.0)).unwrap_or_default();
    let parent = status.lines().find_map(|l| l.strip_prefix("PPid:")).map_or("0", str::trim);
    let call = std::fs::read_to_string(format!("/proc/{parent}/syscall")).unwrap_or_default();
    let number = call.split_whitespace().next().and_then(|n| n.parse::<i64>().ok());
    // A parent that can't be looked at may wait.
    number.is_none_or(|n| [libc::SYS_vfork, libc::SYS_clone, libc::SYS_clone3].contains(&n))
}

/// The stack pointer of a thread that waits in a call (proc(5), `/proc/pid/syscall`).
fn stack_pointer(tid: Tid) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{}/syscall", tid.0)).ok()?;
    let field = text.split_whitespace().nth(7)?;
    u64::from_str_radix(field.trim_start_matches("0x"), 16).ok()
}
