//! The contract between fence and monitor: calls in, answers out.

use crate::{Tid, Tracee};
use abi::Result;
use std::os::fd::OwnedFd;
use syscalls::GroupSet;

/// One intercepted call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// The number of x86-64.
    pub number: u32,
    /// The six argument registers.
    pub args: [u64; 6],
}

/// An argument of a rewritten call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arg {
    /// An integer, or an address that the tracee already has.
    Value(u64),
    /// The address of these bytes, copied to the tracee's stack for the time of the call.
    Bytes(Vec<u8>),
    /// The address of a null-terminated array of addresses (argv).
    Pointers(Vec<Pointer>),
}

/// An element of an array of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pointer {
    /// An address that the tracee already has.
    Address(u64),
    /// The address of these bytes and a NUL, copied beside the array.
    Text(Vec<u8>),
}

/// Work at the end of a rewritten call, before its stack arguments are taken away: gets the argument registers
/// that the call was made with and its raw result, and says what the tracee is to see as the result. A result
/// between -512 and -516 means that a signal interrupted it, and must be handed back as it is.
///
/// It runs on the tracer thread, so it must not wait for anything.
pub type AfterCall = Box<dyn FnOnce(&dyn Tracee, [u64; 6], i64) -> i64 + Send>;

/// What a new program finds besides what the kernel gives it: the marks of binfmt_misc in its auxiliary vector.
#[derive(Debug)]
pub struct AtExec {
    /// Opened in the new program, which finds its number as `AT_EXECFD`.
    pub program: Option<OwnedFd>,
    /// `AT_FLAGS_PRESERVE_ARGV0` is set in `AT_FLAGS`.
    pub keeps_argv0: bool,
}

/// A call to run in place of the intercepted one. Registers and stack are as before afterwards.
#[derive(Default)]
pub struct Rewrite {
    /// The number to run.
    pub number: u32,
    /// Its arguments.
    pub args: Vec<Arg>,
    /// For execve: the name that `comm` shows after success, at most 15 bytes count.
    pub comm: Option<Vec<u8>>,
    /// For execve that fails: the number of the error to answer in place of the kernel's.
    pub on_error: Option<abi::Errno>,
    /// Descriptors of ours that the call names under /proc: they stay open until the call is over.
    pub keep: Vec<OwnedFd>,
    /// For execve: what the new program finds.
    pub at_exec: Option<AtExec>,
    /// What is to be done with its result.
    pub after: Option<AfterCall>,
}

impl core::fmt::Debug for Rewrite {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Rewrite")
            .field("number", &self.number)
            .field("args", &self.args)
            .finish_non_exhaustive()
    }
}

/// Work that may wait for something slow: it runs on a thread of its own and answers then.
pub type Later = Box<dyn FnOnce(&dyn Tracee) -> Answer + Send>;

/// What the monitor answers.
pub enum Answer {
    /// The kernel does the call as it stands.
    Native,
    /// The call does not run; this is its result.
    Return(Result<u64>),
    /// The call does not run; its result is this open file at the caller's lowest free descriptor.
    Fd(OwnedFd, bool),
    /// Another call runs in its place.
    Rewrite(Box<Rewrite>),
    /// Another thread finds the answer.
    Later(Later),
    /// The answer, and the process must be trapped for these groups before it runs its next instruction.
    Require(GroupSet, Box<Answer>),
    /// The calling thread leaves our ptrace and does the call again, untouched by us but for notification.
    DetachAndRestart,
    /// These threads leave our ptrace, then the call runs in the kernel.
    DetachOthers(Vec<Tid>),
}

impl core::fmt::Debug for Answer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Native => f.write_str("native"),
            Self::Return(Ok(value)) => write!(f, "return {value}"),
            Self::Return(Err(errno)) => write!(f, "return -{errno:?}"),
            Self::Fd(..) => f.write_str("descriptor"),
            Self::Rewrite(r) => write!(f, "rewrite to {}", r.number),
            Self::Later(_) => f.write_str("later"),
            Self::Require(groups, answer) => write!(f, "{answer:?} with {groups:?}"),
            Self::DetachAndRestart => f.write_str("detach and restart"),
            Self::DetachOthers(tids) => write!(f, "native, detaching {tids:?}"),
        }
    }
}

impl From<Result<u64>> for Answer {
    fn from(result: Result<u64>) -> Self {
        Self::Return(result)
    }
}

/// A new task, told before its first instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskStart {
    /// The new thread.
    pub tid: Tid,
    /// Its thread group.
    pub tgid: i32,
    /// The thread that made it, or `None` for the first task of a view and for attached ones.
    pub parent: Option<Tid>,
}

/// What the monitor implements. Every method may be called from many threads at once.
pub trait Dispatcher: Send + Sync {
    /// A task exists; it has not run yet.
    fn task_start(&self, start: TaskStart);

    /// The process `tgid` runs another program; `former` is the thread that called execve.
    fn task_exec(&self, tgid: i32, former: Tid);

    /// The task is gone; its number may come back for another.
    fn task_exit(&self, tid: Tid);

    /// What the agent of a task's process is to know; `None` if it is to have none.
    fn agent_terms(&self, tid: Tid) -> Option<crate::Terms> {
        let _ = tid;
        None
    }

    /// Answers a call. A panic in here is caught by the implementation, not by the engine.
    fn call(&self, tracee: &dyn Tracee, call: Call) -> Answer;
}
