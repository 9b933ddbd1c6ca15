//! A program that has just been loaded by a call of ours: its name, and the marks of binfmt_misc.

use crate::Tid;
use crate::answer::AtExec;
use crate::inject::{Injection, Outcome, put_bytes};
use crate::sys::memory;
use crate::sys::ptrace;
use crate::tracer::Tracer;
use std::io;
use std::os::fd::AsRawFd;

/// `AT_EXECFD` of linux/auxvec.h.
const AT_EXECFD: u64 = 2;
const AT_FLAGS: u64 = 8;
/// `AT_FLAGS_PRESERVE_ARGV0` of linux/binfmts.h.
const AT_FLAGS_PRESERVE_ARGV0: u64 = 1;
/// The most bytes of pointers that are looked through: far more than `ARG_MAX` leaves room for.
const STACK_BYTES_MAX: u64 = 16 << 20;

/// What is to be put into a new program.
pub(crate) struct Newborn {
    pub(crate) comm: Option<Vec<u8>>,
    pub(crate) at_exec: Option<AtExec>,
}

impl Tracer {
    /// At the stop where execve returns into the new program.
    pub(crate) fn finish_newborn(&mut self, tid: Tid, newborn: Newborn) -> io::Result<()> {
        let mut injection = Injection::begin(tid)?;
        let below = (ptrace::get_regs(tid)?.rsp - 512) & !15;
        if let Some(comm) = newborn.comm {
            let mut name = [0_u8; 16];
            for (to, from) in name.iter_mut().take(15).zip(&comm) {
                *to = *from;
            }
            let args = [libc::PR_SET_NAME as u64, below, 0, 0, 0, 0];
            if let Outcome::Died(status) =
                with_bytes(&mut injection, tid, below, &name, libc::SYS_prctl, args)?
            {
                self.on_exit(tid, status);
                return Ok(());
            }
        }
        let mut descriptor = None;
        if let Some(program) = newborn.at_exec.as_ref().and_then(|a| a.program.as_ref()) {
            let path = format!("/proc/{}/fd/{}\0", std::process::id(), program.as_raw_fd());
            let args = [libc::AT_FDCWD as u64, below, libc::O_RDONLY as u64, 0, 0, 0];
            self.engine.set_bypass(tid, true);
            let opened =
                with_bytes(&mut injection, tid, below, path.as_bytes(), libc::SYS_openat, args);
            self.engine.set_bypass(tid, false);
            match opened? {
                Outcome::Died(status) => {
                    self.on_exit(tid, status);
                    return Ok(());
                }
                // Without it the interpreter opens the program by its name.
                Outcome::Done(fd) => descriptor = u64::try_from(fd).ok(),
            }
        }
        let signals = injection.end()?;
        if let Some(at_exec) = newborn.at_exec
            && let Err(error) = mark(tid, descriptor, at_exec.keeps_argv0)
        {
            tracing::warn!(tid = tid.0, %error, "no marks for the interpreter");
        }
        self.install_then_go_on(tid, signals.first().copied().unwrap_or(0))
    }
}

/// Runs a call one of whose arguments points to these bytes at `addr`, where nothing is yet.
fn with_bytes(
    injection: &mut Injection,
    tid: Tid,
    addr: u64,
    bytes: &[u8],
    number: i64,
    args: [u64; 6],
) -> io::Result<Outcome<i64>> {
    put_bytes(tid, addr, bytes)?;
    let outcome = injection.call(number, args)?;
    if matches!(outcome, Outcome::Done(_)) {
        put_bytes(tid, addr, &vec![0; bytes.len()])?;
    }
    Ok(outcome)
}

/// Sets the marks in the auxiliary vector. For another entry, the block of numbers and pointers at the top of the
/// stack, which nothing points into before the first instruction, moves down by its size.
fn mark(tid: Tid, descriptor: Option<u64>, keeps_argv0: bool) -> io::Result<()> {
    let mut regs = ptrace::get_regs(tid)?;
    let mut block = read_block(tid, regs.rsp)?;
    let auxv = auxv_start(&block).ok_or_else(|| io::Error::other("no auxiliary vector"))?;
    if keeps_argv0 {
        for pair in block[auxv..].chunks_exact_mut(2) {
            if pair[0] == AT_FLAGS {
                pair[1] |= AT_FLAGS_PRESERVE_ARGV0;
            }
        }
    }
    if let Some(fd) = descriptor {
        block.splice(auxv..auxv, [AT_EXECFD, fd]);
        regs.rsp -= 16;
    }
    let bytes: Vec<u8> = block.iter().flat_map(|word| word.to_ne_bytes()).collect();
    put_bytes(tid, regs.rsp, &bytes)?;
    ptrace::set_regs(tid, &regs)
}

/// The words from the stack pointer to the end of the auxiliary vector.
fn read_block(tid: Tid, rsp: u64) -> io::Result<Vec<u64>> {
    let mut words: Vec<u64> = Vec::new();
    let mut page = vec![0; 4096];
    let mut at = rsp;
    while at - rsp < STACK_BYTES_MAX {
        // Up to the end of a page: the next one need not be there.
        let want = 4096 - (at & 4095) as usize;
        let n = memory::read(tid, at, &mut page[..want])?;
        words.extend(
            page[..n].chunks_exact(8).map(|w| u64::from_ne_bytes(w.try_into().unwrap_or_default())),
        );
        if let Some(end) = auxv_start(&words).and_then(|start| auxv_end(&words, start)) {
            words.truncate(end);
            return Ok(words);
        }
        at += n as u64;
    }
    Err(io::Error::other("the stack has no end"))
}

/// Where the auxiliary vector begins: behind argc, argv and its null, the environment and its null.
fn auxv_start(words: &[u64]) -> Option<usize> {
    let argc = usize::try_from(*words.first()?).ok()?;
    let environment = argc.checked_add(2)?;
    let length = words.get(environment..)?.iter().position(|&w| w == 0)?;
    environment.checked_add(length)?.checked_add(1)
}

/// One behind its last pair, `AT_NULL`.
fn auxv_end(words: &[u64], start: usize) -> Option<usize> {
    let pairs = words.get(start..)?.chunks_exact(2);
    let last = pairs.enumerate().find(|(_, pair)| pair[0] == 0)?.0;
    Some(start + (last + 1) * 2)
}

#[cfg(test)]
mod tests {
    use super::{auxv_end, auxv_start};

    #[test]
    fn the_vector_is_behind_arguments_and_environment() {
        let words = [2, 100, 101, 0, 200, 0, 6, 4096, 8, 0, 0, 0, 7];
        assert_eq!(auxv_start(&words), Some(6));
        assert_eq!(auxv_end(&words, 6), Some(12));
        // Not all of it is read yet.
        for length in 0..12 {
            let start = auxv_start(&words[..length]);
            assert_eq!(start.and_then(|s| auxv_end(&words[..length], s)), None, "{length}");
        }
        assert_eq!(auxv_start(&[u64::MAX, 0, 0]), None);
    }
}
