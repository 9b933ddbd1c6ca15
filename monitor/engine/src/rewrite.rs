//! Calls that run in place of the tracee's own: their arguments, and what follows their result.

use crate::Tid;
use crate::answer::{AfterCall, Answer, Arg, AtExec, Pointer, Rewrite};
use crate::inject::put_bytes;
use crate::sys::memory;
use crate::sys::ptrace::{self, Regs};
use crate::tracee::HostTracee;
use crate::tracer::{Phase, Tracer};
use abi::Errno;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

/// A call of ours under way.
pub(crate) struct Rewriting {
    /// What to put back, with the result in place.
    saved: Regs,
    /// The stop at entry is still to come.
    pub(crate) entering: bool,
    /// The argument registers that our call was made with.
    args: [u64; 6],
    stack: Option<(u64, Vec<u8>)>,
    pub(crate) comm: Option<Vec<u8>>,
    pub(crate) at_exec: Option<AtExec>,
    on_error: Option<Errno>,
    after: Option<AfterCall>,
    /// The tracee opens it by name: it lives until the call is over.
    keep: Vec<OwnedFd>,
}

impl Tracer {
    /// Starts a call of ours. `after` says that the tracee's own call is over (it was answered), so that ours
    /// is entered anew; else it stands in a seccomp stop and ours takes its place.
    pub(crate) fn begin_rewrite(
        &mut self,
        tid: Tid,
        saved: Regs,
        rewrite: Rewrite,
        after: bool,
    ) -> io::Result<()> {
        let mut regs = saved;
        let (args, stack) = match place_arguments(tid, &saved, &rewrite.args) {
            Ok(placed) => placed,
            Err(error) => {
                let errno = Errno::from(error);
                if after {
                    regs.rax = (-i64::from(errno.raw())) as u64;
                    ptrace::set_regs(tid, &regs)?;
                    return self.install_then_go_on(tid, 0);
                }
                return self.answer_stop(tid, saved, Answer::Return(Err(errno)));
            }
        };
        [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9] = args;
        if after {
            regs.rip -= 2;
            regs.rax = u64::from(rewrite.number);
            regs.orig_rax = u64::MAX;
        } else {
            regs.orig_rax = u64::from(rewrite.number);
        }
        ptrace::set_regs(tid, &regs)?;
        self.engine.set_bypass(tid, true);
        self.set_phase(
            tid,
            Phase::Rewriting(Box::new(Rewriting {
                saved,
                entering: after,
                args,
                stack,
                comm: rewrite.comm,
                at_exec: rewrite.at_exec,
                on_error: rewrite.on_error,
                after: rewrite.after,
                keep: rewrite.keep,
            })),
        );
        ptrace::syscall(tid, 0)
    }

    /// A signal that comes before a call of ours was entered: its handler would make the call that we take for
    /// ours. So the tracee's own call begins again behind the handler, and comes back to us.
    pub(crate) fn take_back(
        &mut self,
        tid: Tid,
        rewriting: Rewriting,
        signal: i32,
    ) -> io::Result<()> {
        self.engine.set_bypass(tid, false);
        if let Some((addr, old)) = &rewriting.stack {
            put_bytes(tid, *addr, old)?;
        }
        let mut regs = rewriting.saved;
        regs.rax = regs.orig_rax;
        regs.rip -= 2;
        ptrace::set_regs(tid, &regs)?;
        ptrace::cont(tid, signal)
    }

    /// The stop at the end of a call of ours.
    ///
    /// A result that means "interrupted" (`ERESTARTSYS` and its family in linux/errno.h) is left as it is: the
    /// kernel, on its way out, sees a call of the tracee's own number and does what the signal asks for, which
    /// is `EINTR` or the same call again.
    pub(crate) fn end_rewrite(&mut self, tid: Tid, rewriting: Rewriting) -> io::Result<()> {
        self.engine.set_bypass(tid, false);
        // Before the caller goes on: who closes a program that it wrote may run it at once, which is refused while
        // anybody has it open for writing.
        drop(rewriting.keep);
        let mut result = ptrace::get_regs(tid)?.rax as i64;
        if let Some(after) = rewriting.after
            && let Some(task) = self.tasks.get(&tid)
        {
            let tracee = HostTracee { tid, process: Arc::clone(&task.process) };
            result = after(&tracee, rewriting.args, result);
        }
        let mut regs = rewriting.saved;
        regs.rax = match rewriting.on_error {
            Some(errno) if result < 0 => (-i64::from(errno.raw())) as u64,
            _ => result as u64,
        };
        if let Some((addr, old)) = rewriting.stack {
            put_bytes(tid, addr, &old)?;
        }
        ptrace::set_regs(tid, &regs)?;
        self.set_phase(tid, Phase::Running);
        self.install_then_go_on(tid, 0)
    }
}

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
    // O_TMPFILE has the bit of O_DIRECTORY in it.
    let is_nameless = flags & libc::O_TMPFILE == libc::O_TMPFILE;
    let keep = if is_nameless { keep & !libc::O_DIRECTORY } else { keep };
    let flags = (flags & keep) | if cloexec { libc::O_CLOEXEC } else { 0 };
    Rewrite {
        number: libc::SYS_openat as u32,
        args: vec![
            Arg::Value(libc::AT_FDCWD as u64),
            Arg::Bytes(path.into_bytes()),
            Arg::Value(flags as u64),
            Arg::Value(0),
        ],
        keep: vec![file],
        ..Rewrite::default()
    }
}

/// Registers, and what stood where the memory arguments are.
type Placed = ([u64; 6], Option<(u64, Vec<u8>)>);

/// Copies the memory arguments below the red zone.
fn place_arguments(tid: Tid, regs: &Regs, args: &[Arg]) -> io::Result<Placed> {
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
