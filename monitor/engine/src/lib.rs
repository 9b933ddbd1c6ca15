//! The engine: the only crate that knows how system calls are intercepted.
//!
//! ```text
//! tracee --seccomp notification--> worker thread --> Dispatcher::call --> Answer --> tracee
//! tracee --ptrace stop-----------> tracer thread --> Dispatcher::call --> Answer --> tracee
//! ```
//!
//! Two back ends behind one contract (docs/decisions/0003-two-back-ends.md):
//!
//! - *notify*: calls that name something come by seccomp notification and are answered by threads in
//!   parallel; ptrace is there for fork, exec, exit, injection, and for calls whose arguments must change.
//! - *trace*: for kernels and containers without a free listener: every intercepted call is a ptrace stop.
//!
//! Key types: [`Dispatcher`] (what the monitor implements), [`Answer`], [`Tracee`], [`Engine`] (the handle
//! by which the monitor asks for more filters, attaches, detaches), [`launch::run`].
//!
//! Locks: `Engine::processes` is taken before any `Process` field; no lock is held while the dispatcher runs.
//!
//! Deliberately absent: any meaning of a path or a descriptor. A module never knows which back end carries it.
//! `unsafe` lives in `sys/` alone.

#![deny(unsafe_code)]

mod agent;
mod answer;
pub mod control;
pub mod descriptor;
mod engine;
pub mod front;
mod in_place;
mod inject;
pub mod launch;
mod newborn;
mod notify;
mod pool;
pub mod probe;
mod process;
mod rewrite;
mod sys;
mod tracee;
mod tracer;
mod vdso;

pub use agent::{AGENT_MAP, Agent, Directory, Path, Terms};
pub use answer::{
    AfterCall, Answer, Arg, AtExec, Call, Dispatcher, Later, Pointer, Rewrite, TaskStart,
};
pub use engine::{BackEnd, Engine};
pub use process::Process;
pub use tracee::Tracee;

/// A thread id of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tid(pub i32);
