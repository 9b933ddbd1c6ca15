//! The agent in the processes: code of ours that decides inside them that a call which only looks is the kernel's.
//!
//! ```text
//! call site (patched) -> stub -> agent: look at the board -> the call itself, past the filters    no stop
//!                                       `-> not ours to decide -> the call as it stood            a notification
//! ```
//!
//! A process gets the agent when it has made [`LOOKS_MIN`] calls that the kernel was given; the engine then maps one
//! file into it, and patches the call sites from which such calls come, one by one, as they come. What the agent
//! may believe is on the board, a part of that file that the monitor writes ([`Agent`]). Whatever does not fit is left
//! as it is: the agent saves stops and has no meaning of its own (docs/decisions/0061-agent-in-the-processes.md).

mod board;
mod sites;

#[cfg(test)]
mod tests;

#[path = "../agent/decide.rs"]
#[allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "compiled into the agent; here for its tests"
)]
#[cfg(test)]
mod decide;
#[path = "../agent/layout.rs"]
#[allow(dead_code, unreachable_pub, reason = "some of it is the agent's alone")]
pub(crate) mod layout;

pub use board::{AGENT_MAP, Agent, Directory};
pub use layout::Path;
pub(crate) use sites::Sites;

use crate::Tid;
use crate::answer::Call;
use crate::engine::Engine;
use crate::inject::{Injection, Outcome};
use crate::notify::Listener;
use crate::process::Process;
use crate::sys::ptrace;
use crate::tracee::{HostTracee, Tracee};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;

include!(concat!(env!("OUT_DIR"), "/agent_labels.rs"));
static IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/agent.bin"));
const _: () = assert!(IMAGE.len() <= layout::CODE_BYTES);

/// How many calls that the kernel was given make an agent worth its while: it costs about as much as ten stops.
const LOOKS_MIN: u32 = 12;

/// What a process is to have in its own page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// A number that is different in each view.
    pub view: u64,
    /// The kernel's working directory is not the view's.
    pub has_other_cwd: bool,
}

/// Where a process is on its way to an agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    #[default]
    None,
    /// The file is open in it under this number; the tracer is to map it.
    Given { fd: i32, terms: Terms },
    /// Mapped here.
    At(u64),
    /// Not to be had until the next exec.
    Refused,
}

/// Called when the kernel is given a call that an agent could decide. True if the caller has to stop for the
/// tracer: the file was handed over.
pub(crate) fn note_native(
    engine: &Engine,
    listener: &Listener,
    id: u64,
    tracee: &HostTracee,
    call: &Call,
    ip: u64,
) -> bool {
    let Some(agent) = engine.agent() else { return false };
    let process = &tracee.process;
    match process.agent_stage() {
        Stage::At(base) => {
            if process.sites().is_new(ip) {
                sites::patch(process, base, call, ip);
            }
            false
        }
        Stage::None => {
            if process.looks.fetch_add(1, Ordering::Relaxed) + 1 < LOOKS_MIN {
                return false;
            }
            let terms = engine.dispatcher().agent_terms(tracee.tid);
            let is_fit = tracee.is_traced() && process.is_alone();
            let given = terms.filter(|_| is_fit).and_then(|terms| {
                let fd = listener.give(id, agent.file()).ok()?;
                Some(Stage::Given { fd, terms })
            });
            process.set_agent_stage(given.unwrap_or(Stage::Refused));
            given.is_some()
        }
        Stage::Given { .. } | Stage::Refused => false,
    }
}

/// Maps the file that was handed over; the thread is in a ptrace-stop. The signals that arrived meanwhile come
/// back.
pub(crate) fn install(tid: Tid, process: &Process) -> io::Result<Outcome<Vec<i32>>> {
    let Stage::Given { fd, terms } = process.agent_stage() else {
        return Ok(Outcome::Done(Vec::new()));
    };
    process.set_agent_stage(Stage::Refused);
    let mut injection = Injection::begin(tid)?;
    let rights = (libc::PROT_READ | libc::PROT_EXEC) as u64;
    let args = [0, layout::MAPPING_BYTES as u64, rights, libc::MAP_PRIVATE as u64, fd as u64, 0];
    let at = match injection.call(libc::SYS_mmap, args)? {
        Outcome::Died(status) => return Ok(Outcome::Died(status)),
        Outcome::Done(at) => at,
    };
    if let Outcome::Died(status) = injection.call(libc::SYS_close, [fd as u64, 0, 0, 0, 0, 0])? {
        return Ok(Outcome::Died(status));
    }
    let signals = injection.end()?;
    // An errno is the last page of addresses.
    if let Ok(base) = u64::try_from(at)
        && process.set_terms(base, terms).is_ok()
    {
        process.set_agent_stage(Stage::At(base));
    }
    Ok(Outcome::Done(signals))
}

/// Where a thread whose agent ran into memory that is not there goes on.
pub(crate) fn after_fault(tid: Tid, process: &Process) -> io::Result<bool> {
    let Stage::At(base) = process.agent_stage() else { return Ok(false) };
    let mut regs = ptrace::get_regs(tid)?;
    regs.rip = match regs.rip.wrapping_sub(base) {
        TEXT_AT => base + TEXT_BAD,
        BYTES_AT => base + BYTES_BAD,
        _ => return Ok(false),
    };
    ptrace::set_regs(tid, &regs)?;
    Ok(true)
}

impl Process {
    /// Writes its own page.
    fn set_terms(&self, base: u64, terms: Terms) -> io::Result<()> {
        let mut off = 0;
        if terms.has_other_cwd {
            off |= layout::OFF_CWD;
        }
        if self.required().contains(syscalls::GroupSet::STAT) {
            off |= layout::OFF_FSTAT;
        }
        let page = base + layout::CODE_BYTES as u64;
        let memory = self.memory().ok_or(io::ErrorKind::PermissionDenied)?;
        let view_before = self.terms().map(|t| t.view);
        self.note_terms(terms);
        if self.shares_memory() {
            // It is another's page too: that one loses what this one must not have, and gains nothing.
            let mut before = [0; 8];
            memory.read_exact_at(&mut before, page)?;
            off |= u64::from_ne_bytes(before);
            if view_before.is_some_and(|view| view != terms.view) {
                off |= layout::OFF_ALL;
            }
            return memory.write_all_at(&off.to_ne_bytes(), page);
        }
        let mut words = [0; 16];
        words[..8].copy_from_slice(&off.to_ne_bytes());
        words[8..].copy_from_slice(&terms.view.to_ne_bytes());
        memory.write_all_at(&words, page)
    }

    /// Brings its own page to what it is now; before a call is answered that changes it.
    pub(crate) fn renew_terms(&self, terms: Terms) {
        if let Stage::At(base) = self.agent_stage()
            && let Err(error) = self.set_terms(base, terms)
        {
            tracing::error!(tgid = self.tgid(), %error, "an agent does not hear of a change");
        }
    }

    /// Lets the agent decide nothing any more.
    pub(crate) fn silence_agent(&self) {
        if let Stage::At(base) = self.agent_stage()
            && let Some(memory) = self.memory()
        {
            let at = base + layout::CODE_BYTES as u64;
            let _ = memory.write_all_at(&layout::OFF_ALL.to_ne_bytes(), at);
        }
        self.set_agent_stage(Stage::Refused);
    }
}
