//! The handle by which the monitor and the threads of the engine reach one another.

use crate::agent::{Agent, Terms};
use crate::answer::{Answer, Dispatcher};
use crate::notify::Listener;
use crate::pool::Pool;
use crate::process::Process;
use crate::sys::process as sys;
use crate::{Tid, notify};
use abi::module::Paces;
use abi::{Errno, Result};
use std::collections::{HashMap, HashSet, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;
use syscalls::GroupSet;

/// How calls are intercepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackEnd {
    /// By seccomp notification, with ptrace for life and for calls whose arguments must change.
    Notify,
    /// By ptrace stops alone.
    Trace,
}

/// What only the tracer thread can do.
pub(crate) enum Command {
    /// Stop the process soon: it lacks a filter.
    Interrupt(Tid),
    /// Answer a notification, then do `work` before the thread runs its next instruction.
    Reply { tid: Tid, listener: Arc<Listener>, id: u64, answer: Box<Answer> },
    /// The answer to a call that is held in a ptrace stop.
    Complete { tid: Tid, answer: Box<Answer> },
    /// Seize a process that runs outside.
    Attach { pid: i32, parent: Tid, groups: GroupSet, done: Sender<Result<()>> },
    /// Let threads go to a debugger of the view.
    Detach { tids: Vec<Tid>, done: Sender<()> },
}

/// The signal that makes the tracer thread look at its commands.
const DOORBELL: i32 = libc::SIGURG;

/// Does something in the tracer's thread that the doorbell must not break off. It rings again afterwards.
pub(crate) fn undisturbed<T>(work: impl FnOnce() -> T) -> T {
    let mut doorbell = nix::sys::signal::SigSet::empty();
    doorbell.add(nix::sys::signal::Signal::SIGURG);
    let blocked = doorbell.thread_block().is_ok();
    let done = work();
    if blocked {
        let _ = doorbell.thread_unblock();
    }
    done
}

/// The shared state of the engine. One per monitor.
pub struct Engine {
    back_end: BackEnd,
    agent: Option<Agent>,
    pub(crate) needs_no_new_privs: bool,
    pub(crate) processes: RwLock<HashMap<i32, Arc<Process>>>,
    pub(crate) dispatcher: OnceLock<Arc<dyn Dispatcher>>,
    pub(crate) pool: Arc<Pool>,
    commands: Mutex<VecDeque<Command>>,
    taken: Condvar,
    pending: AtomicUsize,
    tracer_tid: AtomicI32,
    bypass: RwLock<HashSet<i32>>,
    bypass_count: AtomicUsize,
    pub(crate) watch: notify::Watch,
    pub(crate) overwritten: crate::in_place::Overwritten,
    ended: AtomicBool,
    /// Stops and notifications since start, for `umview stat`.
    pub(crate) stops: AtomicUsize,
    pub(crate) notifications: AtomicUsize,
}

impl Engine {
    /// `pass` is what filters let an agent's calls pass by, if there is to be one.
    pub(crate) fn new(back_end: BackEnd, pass: Option<u64>) -> std::io::Result<Arc<Self>> {
        sys::install_doorbell(DOORBELL)?;
        let agent = pass.and_then(|pass| {
            Agent::new(pass)
                .inspect_err(|error| tracing::warn!(%error, "no agent in the processes"))
                .ok()
        });
        Ok(Arc::new(Self {
            back_end,
            agent,
            needs_no_new_privs: !crate::probe::has_sys_admin(),
            processes: RwLock::new(HashMap::new()),
            dispatcher: OnceLock::new(),
            pool: Arc::new(Pool::new()),
            commands: Mutex::new(VecDeque::new()),
            taken: Condvar::new(),
            pending: AtomicUsize::new(0),
            tracer_tid: AtomicI32::new(0),
            bypass: RwLock::new(HashSet::new()),
            bypass_count: AtomicUsize::new(0),
            watch: notify::Watch::new(),
            overwritten: crate::in_place::Overwritten::default(),
            ended: AtomicBool::new(false),
            stops: AtomicUsize::new(0),
            notifications: AtomicUsize::new(0),
        }))
    }

    /// The back end that was chosen at start.
    #[must_use]
    pub fn back_end(&self) -> BackEnd {
        self.back_end
    }

    /// Interceptions since start: ptrace stops, notifications.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.stops.load(Ordering::Relaxed), self.notifications.load(Ordering::Relaxed))
    }

    /// The agent that processes can be given, if there is one.
    #[must_use]
    pub fn agent(&self) -> Option<&Agent> {
        self.agent.as_ref()
    }

    /// Whether the process of `tid` has an agent.
    #[must_use]
    pub fn has_agent(&self, tid: Tid) -> bool {
        self.process(tid).is_some_and(|p| p.terms().is_some())
    }

    /// Tells the agent of the process of `tid`, if it has one, what the process is now; `None` silences it until the
    /// next exec. Before the call is answered that changed it.
    pub fn set_agent_terms(&self, tid: Tid, terms: Option<Terms>) {
        let Some(process) = self.process(tid) else { return };
        match terms {
            Some(terms) if process.terms() == Some(terms) => {}
            Some(terms) => process.renew_terms(terms),
            None => process.silence_agent(),
        }
    }

    pub(crate) fn pass(&self) -> Option<u64> {
        self.agent.as_ref().map(Agent::pass)
    }

    /// The process of a thread, if the engine has it.
    #[must_use]
    pub fn process(&self, tid: Tid) -> Option<Arc<Process>> {
        self.processes.read().unwrap_or_else(PoisonError::into_inner).get(&tid.0).cloned()
    }

    /// The thread groups that the engine has.
    #[must_use]
    pub fn tgids(&self) -> Vec<i32> {
        let map = self.processes.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<i32> = map.values().map(|p| p.tgid()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Demands that the process of `tid` be trapped for `groups` before its next instruction.
    pub fn require(&self, tid: Tid, groups: GroupSet) {
        let Some(process) = self.process(tid) else { return };
        process.require(groups);
        if !process.missing().is_empty() && !process.is_detached() {
            self.command(Command::Interrupt(tid));
        }
    }

    /// Makes readers of clocks in the process of `tid` wait until [`set_paces`](Self::set_paces): between the two,
    /// paces can change without a clock going back.
    pub fn hold_clocks(&self, tid: Tid) {
        if let Some(process) = self.process(tid) {
            process.hold_clocks();
        }
    }

    /// Gives the process of `tid` clocks of its own, or the host's for `None`. They show from the moment on that its
    /// calls of the group Time are trapped, and at once where they are.
    pub fn set_paces(&self, tid: Tid, paces: Option<Paces>) {
        if let Some(process) = self.process(tid) {
            process.set_paces(paces);
        }
    }

    /// Seizes a running process with all its threads; its view is that of `parent`. Waits: not to be called
    /// from the tracer thread, so only from [`Answer::Later`].
    ///
    /// # Errors
    /// In check order:
    /// - `ESRCH` if there is no such process.
    /// - `EPERM` if the kernel does not let this user trace it, or another tracer has it.
    pub fn attach(&self, pid: i32, parent: Tid, groups: GroupSet) -> Result<()> {
        let (done, result) = channel();
        self.command(Command::Attach { pid, parent, groups, done });
        result.recv().unwrap_or(Err(Errno::EIO))
    }

    /// kill(2), for the end of a view.
    ///
    /// # Errors
    /// Those of kill(2).
    pub fn kill(&self, pid: i32, signal: i32) -> Result<()> {
        sys::kill(pid, signal).map_err(Errno::from)
    }

    /// Our own descriptor of the open file behind `fd` of the process of `tid`.
    ///
    /// # Errors
    /// - `EBADF` if it is not open, `ESRCH` if the process is gone.
    pub fn descriptor(&self, tid: Tid, fd: i32) -> Result<OwnedFd> {
        use std::os::fd::AsFd;
        let process = self.process(tid).ok_or(Errno::ESRCH)?;
        sys::pidfd_getfd(process.pidfd()?.as_fd(), fd).map_err(Errno::from)
    }

    // ---- between the threads of the engine ----

    pub(crate) fn dispatcher(&self) -> &Arc<dyn Dispatcher> {
        self.dispatcher.get().expect("the dispatcher is set before the first tracee starts")
    }

    pub(crate) fn is_notify(&self) -> bool {
        self.back_end == BackEnd::Notify
    }

    pub(crate) fn set_tracer_thread(&self) {
        self.tracer_tid.store(sys::own_tid(), Ordering::Release);
    }

    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Hands a command to the tracer thread and wakes it.
    ///
    /// waitpid(2) takes no signal mask, so a ring that comes just before it sleeps would be lost: the ring is
    /// repeated until the command was taken. From the tracer thread itself it is only queued.
    pub(crate) fn command(&self, command: Command) {
        let mut queue = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        queue.push_back(command);
        let ticket = self.pending.fetch_add(1, Ordering::AcqRel);
        let tracer = self.tracer_tid.load(Ordering::Acquire);
        if tracer == sys::own_tid() || tracer == 0 {
            return;
        }
        let _ = ticket;
        while !queue.is_empty() && !self.has_ended() {
            sys::signal_own_thread(tracer, DOORBELL);
            let (next, _) = self
                .taken
                .wait_timeout(queue, Duration::from_micros(300))
                .unwrap_or_else(PoisonError::into_inner);
            queue = next;
        }
    }

    pub(crate) fn take_command(&self) -> Option<Command> {
        if self.pending.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut queue = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        let command = queue.pop_front();
        if command.is_some() {
            self.pending.fetch_sub(1, Ordering::AcqRel);
        }
        if queue.is_empty() {
            self.taken.notify_all();
        }
        command
    }

    /// Marks that calls of `tid` are the engine's own and not to be dispatched.
    pub(crate) fn set_bypass(&self, tid: Tid, on: bool) {
        let mut set = self.bypass.write().unwrap_or_else(PoisonError::into_inner);
        let changed = if on { set.insert(tid.0) } else { set.remove(&tid.0) };
        if changed {
            if on {
                self.bypass_count.fetch_add(1, Ordering::AcqRel);
            } else {
                self.bypass_count.fetch_sub(1, Ordering::AcqRel);
            }
        }
    }

    pub(crate) fn is_bypass(&self, tid: Tid) -> bool {
        self.bypass_count.load(Ordering::Acquire) != 0
            && self.bypass.read().unwrap_or_else(PoisonError::into_inner).contains(&tid.0)
    }

    pub(crate) fn insert_process(&self, tid: Tid, process: Arc<Process>) {
        self.processes.write().unwrap_or_else(PoisonError::into_inner).insert(tid.0, process);
    }

    pub(crate) fn remove_task(&self, tid: Tid) {
        self.processes.write().unwrap_or_else(PoisonError::into_inner).remove(&tid.0);
        self.set_bypass(tid, false);
    }
}
