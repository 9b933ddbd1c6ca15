//! Calls run inside a stopped tracee, and the filters that are installed by them.

use crate::engine::Engine;
use crate::process::Process;
use crate::sys::ptrace::{self, Regs};
use crate::sys::{memory, process as sys, seccomp};
use crate::{Tid, notify, vdso};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, OnceLock};
use syscalls::{Action, GroupSet, SockFilter};

/// Bytes below the stack pointer that leaf functions may use (x86-64 psABI 3.2.2).
const RED_ZONE_BYTES: u64 = 128;

/// A tracee that died while we worked on it is a state, not an error to report.
pub(crate) enum Outcome<T> {
    Done(T),
    Died(i32),
}

/// A stopped thread in which calls can be run. Holds what must be put back.
pub(crate) struct Injection {
    tid: Tid,
    saved: Regs,
    gadget: u64,
    /// Signals that arrived meanwhile, to be delivered afterwards.
    pub(crate) signals: Vec<i32>,
}

impl Injection {
    /// Prepares a thread that is in any ptrace-stop but a seccomp one.
    pub(crate) fn begin(tid: Tid) -> io::Result<Self> {
        let saved = ptrace::get_regs(tid)?;
        let gadget = syscall_instruction(tid)?;
        Ok(Self { tid, saved, gadget, signals: Vec::new() })
    }

    /// Runs one call and returns what the kernel left in the result register.
    pub(crate) fn call(&mut self, number: i64, args: [u64; 6]) -> io::Result<Outcome<i64>> {
        let mut regs = self.saved;
        regs.rip = self.gadget;
        regs.rax = number as u64;
        regs.orig_rax = u64::MAX;
        [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9] = args;
        ptrace::set_regs(self.tid, &regs)?;
        let mut entered = false;
        loop {
            ptrace::syscall(self.tid, 0)?;
            let status = wait_for_stop(self.tid)?;
            if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
                return Ok(Outcome::Died(status));
            }
            let signal = libc::WSTOPSIG(status);
            let event = status >> 16;
            if signal == (libc::SIGTRAP | 0x80) {
                if entered {
                    return Ok(Outcome::Done(ptrace::get_regs(self.tid)?.rax as i64));
                }
                entered = true;
            } else if event == 0 || (event == libc::PTRACE_EVENT_STOP && signal != libc::SIGTRAP) {
                self.signals.push(signal);
            }
        }
    }

    /// Puts the registers back. A call of the tracee's own that was interrupted is set to start again, as the
    /// kernel does on the way to user space (`arch_do_signal_or_restart`).
    pub(crate) fn end(self) -> io::Result<Vec<i32>> {
        let mut regs = self.saved;
        restart_interrupted(&mut regs);
        ptrace::set_regs(self.tid, &regs)?;
        Ok(self.signals)
    }

    /// Copies bytes below the red zone; the caller keeps what was there.
    fn put(&self, bytes: &[u8]) -> io::Result<(u64, Vec<u8>)> {
        let addr = (self.saved.rsp - RED_ZONE_BYTES - bytes.len() as u64) & !15;
        let mut old = vec![0; bytes.len()];
        memory::read(self.tid, addr, &mut old)?;
        put_bytes(self.tid, addr, bytes)?;
        Ok((addr, old))
    }
}

/// The next stop, or the end, of one task. The signal that tells the tracer of commands is no reason to give up:
/// they wait in their queue.
fn wait_for_stop(tid: Tid) -> io::Result<i32> {
    loop {
        match ptrace::wait(Some(tid), false) {
            Ok(Some((_, status))) => return Ok(status),
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Writes all of `bytes`; a short write is an error.
pub(crate) fn put_bytes(tid: Tid, addr: u64, bytes: &[u8]) -> io::Result<()> {
    match memory::write(tid, addr, bytes) {
        Ok(n) if n == bytes.len() => Ok(()),
        Ok(_) => Err(io::Error::from_raw_os_error(libc::EFAULT)),
        // A non-dumpable tracee: the mem file of the stopped thread still opens for its tracer.
        Err(_) => std::fs::OpenOptions::new()
            .write(true)
            .open(format!("/proc/{}/mem", tid.0))?
            .write_all_at(bytes, addr),
    }
}

/// Makes an interrupted call begin again; see `ERESTARTSYS` and its family in linux/errno.h.
pub(crate) fn restart_interrupted(regs: &mut Regs) {
    if (regs.orig_rax as i64) < 0 {
        return;
    }
    match -(regs.rax as i64) {
        512..=514 => {
            regs.rax = regs.orig_rax;
            regs.rip -= 2;
        }
        516 => {
            regs.rax = libc::SYS_restart_syscall as u64;
            regs.rip -= 2;
        }
        _ => {}
    }
}

/// Address of a `syscall` instruction in the tracee's vDSO, which is the same image as ours.
fn syscall_instruction(tid: Tid) -> io::Result<u64> {
    static OFFSET: OnceLock<Option<u64>> = OnceLock::new();
    let offset = OFFSET.get_or_init(|| {
        let base = sys::own_vdso();
        let mut image = vec![0; 8192];
        let n = File::open("/proc/self/mem").ok()?.read_at(&mut image, base).ok()?;
        image[..n].windows(2).position(|w| w == [0x0f, 0x05]).map(|p| p as u64)
    });
    if let (Some(offset), Some(base)) = (offset, vdso::base_of(tid)?) {
        return Ok(base + offset);
    }
    // No vDSO: a thread that stopped in or after a call has the instruction just behind it.
    let regs = ptrace::get_regs(tid)?;
    let mut code = [0; 2];
    memory::read(tid, regs.rip - 2, &mut code)?;
    if code == [0x0f, 0x05] {
        Ok(regs.rip - 2)
    } else {
        Err(io::Error::other("no syscall instruction found in the tracee"))
    }
}

/// The groups that a notification listener carries; the others are ptrace stops of the processes that need them.
pub(crate) const LISTENED: GroupSet = GroupSet::BASE
    .union(GroupSet::NAMES)
    .union(GroupSet::IDS)
    .union(GroupSet::UNAME)
    .union(GroupSet::TIME)
    .union(GroupSet::NET);

/// What a listener carries from the start, though only processes that hold virtual descriptors require it: a
/// later filter could only trace, and a debugger in our place would make each traced call fail
/// (docs/decisions/0006-attributes-by-notification.md).
pub(crate) const ALONGSIDE: GroupSet = GroupSet::STAT;

/// Installs what `process` lacks, in all its threads; `tid` is one of them, stopped. The signals that
/// arrived meanwhile come back.
pub(crate) fn install_missing(
    engine: &Arc<Engine>,
    tid: Tid,
    process: &Process,
) -> io::Result<Outcome<Vec<i32>>> {
    let missing = process.missing();
    if missing.is_empty() {
        return Ok(Outcome::Done(Vec::new()));
    }
    let mut injection = Injection::begin(tid)?;
    if engine.needs_no_new_privs {
        let args = [libc::PR_SET_NO_NEW_PRIVS as u64, 1, 0, 0, 0, 0];
        if let Outcome::Died(status) = injection.call(libc::SYS_prctl, args)? {
            return Ok(Outcome::Died(status));
        }
    }
    // A process has a listener or will never get one: only the filter that brings Names makes it.
    let listens = engine.is_notify() && missing.contains(GroupSet::NAMES);
    let (by_listener, by_stop) = if listens {
        (missing & LISTENED | GroupSet::BASE | ALONGSIDE, missing - LISTENED - ALONGSIDE)
    } else {
        (GroupSet::empty(), missing)
    };
    if missing.contains(GroupSet::NAMES) {
        let _ = ptrace::set_options(tid, ptrace::OPTIONS_NAMES);
    }
    if !by_stop.is_empty() {
        let filter = syscalls::program_with_pass(by_stop, Action::Trace(0), engine.pass());
        if let Outcome::Died(status) = install_filter(&mut injection, &filter, 0)? {
            return Ok(Outcome::Died(status));
        }
    }
    if !by_listener.is_empty() {
        let filter = syscalls::program_with_pass(by_listener, Action::Notify, engine.pass());
        let flags = seccomp::NEW_LISTENER | seccomp::TSYNC_ESRCH | seccomp::WAIT_KILLABLE_RECV;
        match install_filter(&mut injection, &filter, flags)? {
            Outcome::Died(status) => return Ok(Outcome::Died(status)),
            Outcome::Done(fd) => {
                let number = fd as i32;
                let own =
                    sys::pidfd_getfd(process.pidfd().map_err(io::Error::from)?.as_fd(), number);
                if let Outcome::Died(status) =
                    injection.call(libc::SYS_close, [number as u64, 0, 0, 0, 0, 0])?
                {
                    return Ok(Outcome::Died(status));
                }
                notify::serve(engine, own?);
            }
        }
    }
    if missing.contains(GroupSet::TIME) {
        redirect_clocks(tid, process);
    }
    process.note_installed(missing);
    if listens {
        process.note_carried(ALONGSIDE);
    }
    Ok(Outcome::Done(injection.end()?))
}

/// The filter that brings Time sees no clock that is read without a system call: the code that reads it is changed.
pub(crate) fn redirect_clocks(tid: Tid, process: &Process) {
    match vdso::redirect(tid, process.paces().as_ref()) {
        Ok(place) => process.set_vdso(place),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
        Err(error) => {
            tracing::warn!(tid = tid.0, %error, "the clocks of this process stay the host's");
        }
    }
}

/// seccomp(2) inside the tracee, for all its threads.
fn install_filter(
    injection: &mut Injection,
    filter: &[SockFilter],
    flags: u64,
) -> io::Result<Outcome<i64>> {
    let mut bytes = Vec::with_capacity(16 + filter.len() * 8);
    let total = 16 + filter.len() * 8;
    let addr = (injection.saved.rsp - RED_ZONE_BYTES - total as u64) & !15;
    bytes.extend_from_slice(&(filter.len() as u64).to_ne_bytes());
    bytes.extend_from_slice(&(addr + 16).to_ne_bytes());
    for i in filter {
        bytes.extend_from_slice(&i.code.to_ne_bytes());
        bytes.extend_from_slice(&[i.jt, i.jf]);
        bytes.extend_from_slice(&i.k.to_ne_bytes());
    }
    let (addr, old) = injection.put(&bytes)?;
    let args = [seccomp::SET_MODE_FILTER, flags | seccomp::TSYNC, addr, 0, 0, 0];
    let mut outcome = injection.call(libc::SYS_seccomp, args)?;
    if matches!(outcome, Outcome::Done(r) if r == -i64::from(libc::EACCES)) {
        // It was root and is no longer. As seccomp(2) asks of who is not, it gives up set-id programs.
        let promise = [libc::PR_SET_NO_NEW_PRIVS as u64, 1, 0, 0, 0, 0];
        if let Outcome::Died(status) = injection.call(libc::SYS_prctl, promise)? {
            return Ok(Outcome::Died(status));
        }
        outcome = injection.call(libc::SYS_seccomp, args)?;
    }
    if matches!(outcome, Outcome::Done(r) if r < 0) {
        // Threads whose filters differ from ours can't be synchronised: this thread at least.
        let alone = [args[0], flags & !seccomp::TSYNC_ESRCH, addr, 0, 0, 0];
        outcome = injection.call(libc::SYS_seccomp, alone)?;
    }
    if let Outcome::Done(result) = outcome {
        put_bytes(injection.tid, addr, &old)?;
        if result < 0 {
            return Err(io::Error::from_raw_os_error((-result) as i32));
        }
    }
    Ok(outcome)
}
