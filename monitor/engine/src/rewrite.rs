//! Calls of ours that run in a tracee in place of its own: where their arguments lie.

use crate::Tid;
use crate::answer::{Arg, Pointer, Rewrite};
use crate::inject::put_bytes;
use crate::sys::memory;
use crate::sys::ptrace::Regs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// A call that opens our descriptor in the tracee: by its name under /proc, with the flags it has.
pub(crate) fn reopen(file: OwnedFd, cloexec: bool) -> Rewrite {
    let path = format!("/proc/{}/fd/{}\0", std::process::id(), file.as_raw_fd());
    let flags = nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_GETFL).unwrap_or(0);
    let keep = libc::O_ACCMODE
        | libc::O_APPEND
        | libc::O_NONBLOCK
        | libc::O_DIRECTORY
        | libc::O_PATH
        | libc::O_DIRECT
        | libc::O_NOATIME
        | libc::O_SYNC;
    let flags = (flags & keep) | if cloexec { libc::O_CLOEXEC } else { 0 };
    Rewrite {
        number: libc::SYS_openat as u32,
        args: vec![
            Arg::Value(libc::AT_FDCWD as u64),
            Arg::Bytes(path.into_bytes()),
            Arg::Value(flags as u64),
            Arg::Value(0),
        ],
        comm: None,
        on_error: None,
        keep: vec![file],
    }
}

/// Registers, and what stood where the memory arguments are.
pub(crate) type Placed = ([u64; 6], Option<(u64, Vec<u8>)>);

/// Copies the memory arguments below the red zone.
pub(crate) fn place_arguments(tid: Tid, regs: &Regs, args: &[Arg]) -> io::Result<Placed> {
    let size: usize = args.iter().map(size_of_argument).sum();
    let base = (regs.rsp - 128 - size as u64) & !15;
    let mut bytes: Vec<u8> = Vec::with_capacity(size);
    let mut values = [0; 6];
    for (value, arg) in values.iter_mut().zip(args) {
        let here = base + bytes.len() as u64;
        match arg {
            Arg::Value(v) => {
                *value = *v;
                continue;
            }
            Arg::Bytes(b) => bytes.extend_from_slice(b),
            Arg::Pointers(pointers) => {
                let mut at = here + (pointers.len() as u64 + 1) * 8;
                let mut texts = Vec::new();
                for p in pointers {
                    match p {
                        Pointer::Address(a) => bytes.extend_from_slice(&a.to_ne_bytes()),
                        Pointer::Text(t) => {
                            bytes.extend_from_slice(&at.to_ne_bytes());
                            at += t.len() as u64 + 1;
                            texts.extend_from_slice(t);
                            texts.push(0);
                        }
                    }
                }
                bytes.extend_from_slice(&[0; 8]);
                bytes.extend_from_slice(&texts);
            }
        }
        *value = here;
        bytes.resize((bytes.len() + 15) & !15, 0);
    }
    if bytes.is_empty() {
        return Ok((values, None));
    }
    let mut old = vec![0; bytes.len()];
    // The stack may have to grow first: what can't be read is not there, so nothing is to be put back.
    let had = memory::read(tid, base, &mut old).unwrap_or(0) == old.len();
    put_bytes(tid, base, &bytes)?;
    Ok((values, had.then_some((base, old))))
}

fn size_of_argument(arg: &Arg) -> usize {
    let raw = match arg {
        Arg::Value(_) => 0,
        Arg::Bytes(b) => b.len(),
        Arg::Pointers(pointers) => {
            let texts: usize = pointers
                .iter()
                .map(|p| match p {
                    Pointer::Address(_) => 0,
                    Pointer::Text(t) => t.len() + 1,
                })
                .sum();
            (pointers.len() + 1) * 8 + texts
        }
    };
    (raw + 15) & !15
}
