//! The tracer thread: every ptrace-stop of every tracee passes here.

use crate::agent;
use crate::answer::{Answer, Call};
use crate::engine::{Command, Engine, undisturbed};
use crate::inject::{self, Outcome};
use crate::newborn::Newborn;
use crate::notify::{self, Listener};
use crate::process::Process;
use crate::rewrite::{Rewriting, reopen};
use crate::sys::process as sys;
use crate::sys::ptrace::{self, Regs};
use crate::tracee::HostTracee;
use crate::{TaskStart, Tid};
use abi::{Errno, Result};
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use syscalls::GroupSet;

/// Where a task is, as far as the tracer must remember between two stops.
pub(crate) enum Phase {
    /// Made, not yet seen stopped for the first time.
    Unborn,
    /// Runs; its stops are its own.
    Running,
    /// Held in a seccomp stop until another thread has the answer.
    Held(Box<Regs>),
    /// Its notification was answered; the work is done when it stops on its way out.
    Leaving(Box<Answer>),
    /// Runs a call of ours in place of its own.
    Rewriting(Box<Rewriting>),
    /// On its way out of a call, to be given filters there.
    Installing,
    /// execve succeeded; what the kernel does not know of the new program is put into it when the call returns.
    Naming(Box<Newborn>),
}

pub(crate) struct Task {
    pub(crate) process: Arc<Process>,
    phase: Phase,
    /// Exec events are asked for.
    has_exec_event: bool,
}

/// An attach under way.
struct Attaching {
    parent: Tid,
    groups: GroupSet,
    done: Sender<Result<()>>,
}

pub(crate) struct Tracer {
    pub(crate) engine: Arc<Engine>,
    pub(crate) tasks: HashMap<Tid, Task>,
    /// Children that stopped before the event that tells whose they are.
    early: HashSet<Tid>,
    root: Tid,
    on_root_exit: Box<dyn FnMut(i32)>,
}

impl Tracer {
    /// Takes over the seized root task; `on_root_exit` hears its wait status.
    pub(crate) fn new(
        engine: Arc<Engine>,
        root: Tid,
        process: Arc<Process>,
        on_root_exit: Box<dyn FnMut(i32)>,
    ) -> Self {
        engine.set_tracer_thread();
        let has_exec_event = process.installed().contains(GroupSet::NAMES);
        let task = Task { process, phase: Phase::Running, has_exec_event };
        Self {
            engine,
            tasks: HashMap::from([(root, task)]),
            early: HashSet::new(),
            root,
            on_root_exit,
        }
    }

    /// Runs until no tracee is left.
    pub(crate) fn run(&mut self) {
        loop {
            while let Some(command) = self.engine.take_command() {
                self.command(command);
            }
            match ptrace::wait(None, false) {
                Ok(Some((tid, status))) => self.on_wait(tid, status),
                Ok(None) => {}
                Err(e) if e.raw_os_error() == Some(libc::EINTR) => {}
                // ECHILD: nobody is left.
                Err(_) if self.engine.tgids().is_empty() => break,
                Err(_) => {
                    self.forget_dead_strangers();
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
            }
        }
        self.engine.end();
    }

    /// Processes that a debugger had from us are not ours to wait for.
    fn forget_dead_strangers(&mut self) {
        for tgid in self.engine.tgids() {
            if !std::path::Path::new(&format!("/proc/{tgid}")).exists() {
                let gone: Vec<i32> = {
                    let map = self
                        .engine
                        .processes
                        .read()
                        .unwrap_or_else(std::sync::PoisonError::into_inner);
                    map.iter().filter(|(_, p)| p.tgid() == tgid).map(|(t, _)| *t).collect()
                };
                for tid in gone {
                    self.forget(Tid(tid));
                }
            }
        }
    }

    fn forget(&mut self, tid: Tid) {
        self.tasks.remove(&tid);
        self.engine.remove_task(tid);
        self.engine.dispatcher().task_exit(tid);
    }

    fn on_wait(&mut self, tid: Tid, status: i32) {
        if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
            self.on_exit(tid, status);
            return;
        }
        if !libc::WIFSTOPPED(status) {
            return;
        }
        self.engine.stops.fetch_add(1, Ordering::Relaxed);
        let signal = libc::WSTOPSIG(status);
        let event = status >> 16;
        if !self.tasks.contains_key(&tid) {
            self.early.insert(tid);
            return;
        }
        let result = match event {
            libc::PTRACE_EVENT_SECCOMP => self.on_seccomp(tid),
            libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE => {
                self.on_birth(tid, event)
            }
            libc::PTRACE_EVENT_EXEC => self.on_exec(tid),
            libc::PTRACE_EVENT_STOP => self.on_event_stop(tid, signal),
            0 if signal == (libc::SIGTRAP | 0x80) => self.on_syscall_stop(tid),
            0 => self.on_signal(tid, signal),
            _ => self.go_on(tid, 0),
        };
        if let Err(error) = result
            && error.raw_os_error() != Some(libc::ESRCH)
        {
            tracing::warn!(tid = tid.0, event, signal, %error, "a ptrace-stop was not handled");
            let _ = ptrace::cont(tid, 0);
        }
    }

    pub(crate) fn on_exit(&mut self, tid: Tid, status: i32) {
        self.early.remove(&tid);
        if self.tasks.contains_key(&tid) || self.engine.process(tid).is_some() {
            self.forget(tid);
        }
        if tid == self.root {
            (self.on_root_exit)(status);
        }
        // A parent that died before its fork event was told leaves a child that nobody announces.
        for child in self.early.clone() {
            if let Some((tgid, parent)) = family(child)
                && (!self.tasks.contains_key(&Tid(parent)) || tgid != child.0)
            {
                self.early.remove(&child);
                let parent = self.tasks.contains_key(&Tid(tgid)).then_some(Tid(tgid));
                self.insert_child(child, tgid, parent);
                let _ = self.start(child);
            }
        }
    }

    /// Resumes a task after a stop that was its own business.
    fn go_on(&mut self, tid: Tid, signal: i32) -> io::Result<()> {
        match self.tasks.get(&tid).map(|t| &t.phase) {
            Some(Phase::Rewriting(_) | Phase::Installing | Phase::Naming(_)) => {
                ptrace::syscall(tid, signal)
            }
            _ => ptrace::cont(tid, signal),
        }
    }

    // ---- birth, exec ----

    fn on_birth(&mut self, parent: Tid, event: i32) -> io::Result<()> {
        let child = Tid(ptrace::event_message(parent)? as i32);
        if self.engine.process(child).is_none_or(|p| p.is_detached()) {
            let parent_tgid = self.tasks[&parent].process.tgid();
            let is_thread = event == libc::PTRACE_EVENT_CLONE
                && std::path::Path::new(&format!("/proc/{parent_tgid}/task/{}", child.0)).exists();
            self.insert_child(child, if is_thread { parent_tgid } else { child.0 }, Some(parent));
            if !is_thread && event != libc::PTRACE_EVENT_FORK {
                self.note_shared_memory(parent, child, event);
            }
            if self.early.remove(&child) {
                self.start(child)?;
            }
        }
        self.go_on(parent, 0)
    }

    /// vfork(2) and clone(2) with `CLONE_VM`: what is changed in the child's memory is changed in the parent's. That
    /// of vfork waits until the child has its own.
    fn note_shared_memory(&self, parent: Tid, child: Tid, event: i32) {
        for (tid, shares) in [(child, true), (parent, event == libc::PTRACE_EVENT_CLONE)] {
            if shares && let Some(task) = self.tasks.get(&tid) {
                task.process.note_shared_memory();
            }
        }
    }

    fn insert_child(&mut self, tid: Tid, tgid: i32, parent: Option<Tid>) {
        let family = parent.and_then(|p| self.tasks.get(&p));
        let (process, has_exec_event) = match family {
            Some(task) if task.process.tgid() == tgid => {
                (Arc::clone(&task.process), task.has_exec_event)
            }
            Some(task) => (task.process.child(tgid), task.has_exec_event),
            None => {
                let all = GroupSet::BASE | GroupSet::NAMES;
                (Process::new(tgid, all, all), false)
            }
        };
        self.engine.insert_process(tid, Arc::clone(&process));
        self.tasks.insert(tid, Task { process, phase: Phase::Unborn, has_exec_event });
        self.engine.dispatcher().task_start(TaskStart { tid, tgid, parent });
    }

    /// The first resume of a child.
    fn start(&mut self, tid: Tid) -> io::Result<()> {
        if let Some(task) = self.tasks.get_mut(&tid) {
            task.phase = Phase::Running;
            let process = &task.process;
            if process.tgid() == tid.0 && process.installed().contains(GroupSet::TIME) {
                // Its memory was copied while its parent's clocks may have been set.
                process.set_paces(process.paces());
            }
        }
        self.install_then_go_on(tid, 0)
    }

    fn on_exec(&mut self, tid: Tid) -> io::Result<()> {
        let former = Tid(ptrace::event_message(tid)? as i32);
        if former != tid
            && let Some(task) = self.tasks.remove(&former)
        {
            self.engine.remove_task(former);
            self.tasks.insert(tid, task);
        }
        let Some(task) = self.tasks.get_mut(&tid) else { return ptrace::cont(tid, 0) };
        let process = Arc::clone(&task.process);
        process.forget_memory();
        if process.installed().contains(GroupSet::TIME) {
            inject::redirect_clocks(tid, &process);
        }
        let phase = core::mem::replace(&mut task.phase, Phase::Running);
        self.engine.insert_process(tid, process);
        self.engine.set_bypass(former, false);
        self.engine.set_bypass(tid, false);
        self.engine.dispatcher().task_exec(tid.0, former);
        if let Phase::Rewriting(rewriting) = phase
            && (rewriting.comm.is_some() || rewriting.at_exec.is_some())
        {
            let newborn = Newborn { comm: rewriting.comm, at_exec: rewriting.at_exec };
            self.set_phase(tid, Phase::Naming(Box::new(newborn)));
            return ptrace::syscall(tid, 0);
        }
        ptrace::cont(tid, 0)
    }

    pub(crate) fn set_phase(&mut self, tid: Tid, phase: Phase) {
        if let Some(task) = self.tasks.get_mut(&tid) {
            task.phase = phase;
        }
    }

    // ---- stops ----

    fn on_event_stop(&mut self, tid: Tid, signal: i32) -> io::Result<()> {
        if signal != libc::SIGTRAP {
            return ptrace::listen(tid);
        }
        let task = self.tasks.get_mut(&tid).expect("the caller has looked it up");
        match core::mem::replace(&mut task.phase, Phase::Running) {
            Phase::Unborn => self.start(tid),
            Phase::Leaving(answer) => self.leave(tid, *answer),
            Phase::Running => self.install_then_go_on(tid, 0),
            other => {
                task.phase = other;
                self.go_on(tid, 0)
            }
        }
    }

    fn on_syscall_stop(&mut self, tid: Tid) -> io::Result<()> {
        let task = self.tasks.get_mut(&tid).expect("the caller has looked it up");
        match core::mem::replace(&mut task.phase, Phase::Running) {
            Phase::Rewriting(mut rewriting) if rewriting.entering => {
                rewriting.entering = false;
                task.phase = Phase::Rewriting(rewriting);
                ptrace::syscall(tid, 0)
            }
            Phase::Rewriting(rewriting) => self.end_rewrite(tid, *rewriting),
            Phase::Installing => self.install_then_go_on(tid, 0),
            Phase::Naming(newborn) => self.finish_newborn(tid, *newborn),
            other => {
                task.phase = other;
                ptrace::cont(tid, 0)
            }
        }
    }

    fn on_signal(&mut self, tid: Tid, signal: i32) -> io::Result<()> {
        let task = self.tasks.get_mut(&tid).expect("the caller has looked it up");
        let is_fault = matches!(signal, libc::SIGSEGV | libc::SIGBUS);
        if is_fault && agent::after_fault(tid, &task.process)? {
            return self.go_on(tid, 0);
        }
        match core::mem::replace(&mut task.phase, Phase::Running) {
            Phase::Rewriting(rewriting) if rewriting.entering => {
                self.take_back(tid, *rewriting, signal)
            }
            other => {
                task.phase = other;
                self.go_on(tid, signal)
            }
        }
    }

    fn on_seccomp(&mut self, tid: Tid) -> io::Result<()> {
        if matches!(self.tasks[&tid].phase, Phase::Rewriting(_)) || self.engine.is_bypass(tid) {
            return self.go_on(tid, 0);
        }
        let regs = ptrace::get_regs(tid)?;
        let call = Call {
            number: regs.orig_rax as u32,
            args: [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9],
        };
        let tracee = HostTracee { tid, process: Arc::clone(&self.tasks[&tid].process) };
        if tracee.process.vdso().is_original(call.number, regs.rip) {
            return self.go_on(tid, 0);
        }
        let answer = self.engine.dispatcher().call(&tracee, call);
        self.answer_stop(tid, regs, answer)
    }

    /// Carries out an answer for a task in a seccomp stop.
    pub(crate) fn answer_stop(
        &mut self,
        tid: Tid,
        mut regs: Regs,
        answer: Answer,
    ) -> io::Result<()> {
        self.set_phase(tid, Phase::Running);
        match answer {
            Answer::Native => self.resume_and_install(tid),
            Answer::Return(result) => {
                regs.orig_rax = u64::MAX;
                regs.rax = match result {
                    Ok(value) => value,
                    Err(errno) => (-i64::from(errno.raw())) as u64,
                };
                ptrace::set_regs(tid, &regs)?;
                self.resume_and_install(tid)
            }
            Answer::Fd(file, cloexec) => {
                let rewrite = reopen(file, cloexec);
                self.begin_rewrite(tid, regs, rewrite, false)
            }
            Answer::Rewrite(rewrite) => self.begin_rewrite(tid, regs, *rewrite, false),
            Answer::Later(work) => {
                self.set_phase(tid, Phase::Held(Box::new(regs)));
                let engine = Arc::clone(&self.engine);
                let tracee = HostTracee { tid, process: Arc::clone(&self.tasks[&tid].process) };
                self.engine.pool.run(Box::new(move || {
                    let answer = Box::new(work(&tracee));
                    engine.command(Command::Complete { tid, answer });
                }));
                Ok(())
            }
            Answer::Require(groups, inner) => {
                if let Some(task) = self.tasks.get(&tid) {
                    task.process.require(groups);
                }
                self.answer_stop(tid, regs, *inner)
            }
            Answer::DetachAndRestart => self.detach(tid, 0),
            Answer::DetachOthers(tids) => {
                for other in tids {
                    self.detach_running(other);
                }
                ptrace::cont(tid, 0)
            }
        }
    }

    /// Lets a task run on from a seccomp stop; one that lacks filters stops again at the end of its call.
    fn resume_and_install(&mut self, tid: Tid) -> io::Result<()> {
        let lacks = self.tasks.get(&tid).is_some_and(|t| !t.process.missing().is_empty());
        if lacks {
            self.set_phase(tid, Phase::Installing);
            return ptrace::syscall(tid, 0);
        }
        ptrace::cont(tid, 0)
    }

    pub(crate) fn install_then_go_on(&mut self, tid: Tid, signal: i32) -> io::Result<()> {
        let Some(task) = self.tasks.get_mut(&tid) else { return ptrace::cont(tid, signal) };
        let process = Arc::clone(&task.process);
        if !task.has_exec_event && process.required().contains(GroupSet::NAMES) {
            ptrace::set_options(tid, ptrace::OPTIONS_NAMES)?;
            task.has_exec_event = true;
        }
        let mut deliver = signal;
        match agent::install(tid, &process) {
            Ok(Outcome::Done(signals)) => deliver_all(tid, &mut deliver, signals),
            Ok(Outcome::Died(status)) => {
                self.on_exit(tid, status);
                return Ok(());
            }
            Err(error) => tracing::debug!(tid = tid.0, %error, "no agent in a process"),
        }
        if !process.missing().is_empty() {
            match inject::install_missing(&self.engine, tid, &process) {
                Ok(Outcome::Done(signals)) => deliver_all(tid, &mut deliver, signals),
                Ok(Outcome::Died(status)) => {
                    self.on_exit(tid, status);
                    return Ok(());
                }
                Err(error) => {
                    tracing::error!(tid = tid.0, %error, "a filter could not be installed; the process is ended");
                    // It would run outside its view otherwise.
                    sys::kill(process.tgid(), libc::SIGKILL)?;
                }
            }
        }
        ptrace::cont(tid, deliver)
    }

    // ---- rewritten calls ----

    /// Does what an answered notification left to be done, at the stop on the way out.
    fn leave(&mut self, tid: Tid, answer: Answer) -> io::Result<()> {
        match answer {
            Answer::Rewrite(rewrite) => {
                let regs = ptrace::get_regs(tid)?;
                self.begin_rewrite(tid, regs, *rewrite, true)
            }
            Answer::DetachAndRestart => {
                let mut regs = ptrace::get_regs(tid)?;
                regs.rax = regs.orig_rax;
                regs.rip -= 2;
                ptrace::set_regs(tid, &regs)?;
                self.detach(tid, 0)
            }
            // The answer itself was sent; only filters were left.
            _ => self.install_then_go_on(tid, 0),
        }
    }

    // ---- letting go ----

    fn detach(&mut self, tid: Tid, signal: i32) -> io::Result<()> {
        if let Some(task) = self.tasks.remove(&tid) {
            task.process.silence_agent();
            task.process.set_detached();
        }
        self.early.remove(&tid);
        ptrace::detach(tid, signal)
    }

    fn detach_running(&mut self, tid: Tid) {
        if !self.tasks.contains_key(&tid) || ptrace::interrupt(tid).is_err() {
            return;
        }
        loop {
            match ptrace::wait(Some(tid), false) {
                Ok(Some((_, status))) if libc::WIFSTOPPED(status) => {
                    let signal = libc::WSTOPSIG(status);
                    let event = status >> 16;
                    if event == libc::PTRACE_EVENT_STOP {
                        let _ = self.detach(tid, 0);
                        return;
                    }
                    if event == 0 && signal & 0x80 == 0 {
                        let _ = self.detach(tid, signal);
                        return;
                    }
                    self.on_wait(tid, status);
                }
                Ok(Some((_, status))) => {
                    self.on_exit(tid, status);
                    return;
                }
                Ok(None) => {}
                Err(e) if e.raw_os_error() == Some(libc::EINTR) => {}
                Err(_) => return,
            }
        }
    }

    // ---- commands of other threads ----

    fn command(&mut self, command: Command) {
        match command {
            Command::Interrupt(tid) => {
                let Some(process) = self.tasks.get(&tid).map(|t| Arc::clone(&t.process)) else {
                    return;
                };
                let threads: Vec<Tid> = self
                    .tasks
                    .iter()
                    .filter(|(_, t)| Arc::ptr_eq(&t.process, &process))
                    .map(|(tid, _)| *tid)
                    .collect();
                for thread in threads {
                    let _ = ptrace::interrupt(thread);
                }
            }
            Command::Reply { tid, listener, id, answer } => self.reply(tid, &listener, id, *answer),
            Command::Complete { tid, answer } => {
                if let Some(task) = self.tasks.get_mut(&tid)
                    && matches!(task.phase, Phase::Held(_))
                    && let Phase::Held(regs) = core::mem::replace(&mut task.phase, Phase::Running)
                    && let Err(error) = self.answer_stop(tid, *regs, *answer)
                    && error.raw_os_error() != Some(libc::ESRCH)
                {
                    tracing::warn!(tid = tid.0, %error, "a held call was not answered");
                }
            }
            Command::Attach { pid, parent, groups, done } => {
                let attaching = Attaching { parent, groups, done };
                let result = self.attach(pid, &attaching);
                let _ = attaching.done.send(result);
            }
            Command::Detach { tids, done } => {
                for tid in tids {
                    self.detach_running(tid);
                }
                let _ = done.send(());
            }
        }
    }

    /// Answers a notification so that the thread stops before its next instruction.
    fn reply(&mut self, tid: Tid, listener: &Listener, id: u64, answer: Answer) {
        if ptrace::interrupt(tid).is_err() || !self.tasks.contains_key(&tid) {
            notify::reply_now(listener, id, Answer::Return(Err(Errno::EPERM)));
            return;
        }
        // A signal while ADDFD with SEND waits for the caller to take the descriptor takes it back, but not the
        // answer, which is 0 then (`seccomp_notify_addfd`).
        let left = undisturbed(|| notify::reply_now(listener, id, answer));
        self.set_phase(tid, Phase::Leaving(Box::new(left)));
    }

    fn attach(&mut self, pid: i32, how: &Attaching) -> Result<()> {
        let (groups, parent) = (how.groups, how.parent);
        if self.tasks.contains_key(&Tid(pid)) {
            return Err(Errno::EEXIST);
        }
        let process = Process::new(pid, GroupSet::empty(), groups);
        let mut seized = Vec::new();
        // Threads may be made while we look: until a look finds none.
        loop {
            let mut found = false;
            let listing =
                std::fs::read_dir(format!("/proc/{pid}/task")).map_err(|_| Errno::ESRCH)?;
            for entry in listing.flatten() {
                let Some(tid) = entry.file_name().to_str().and_then(|s| s.parse().ok()).map(Tid)
                else {
                    continue;
                };
                if seized.contains(&tid) || self.tasks.contains_key(&tid) {
                    continue;
                }
                match ptrace::seize(tid, ptrace::OPTIONS_NAMES) {
                    Ok(()) => {}
                    Err(e) if e.raw_os_error() == Some(libc::ESRCH) => continue,
                    Err(e) => {
                        // What was seized before is let go by the kernel when it is interrupted and detached.
                        for tid in seized {
                            self.detach_running(tid);
                        }
                        return Err(Errno::from(e));
                    }
                }
                found = true;
                seized.push(tid);
                let task = Task {
                    process: Arc::clone(&process),
                    phase: Phase::Running,
                    has_exec_event: true,
                };
                self.engine.insert_process(tid, Arc::clone(&process));
                self.tasks.insert(tid, task);
                self.engine.dispatcher().task_start(TaskStart {
                    tid,
                    tgid: pid,
                    parent: Some(parent),
                });
            }
            if !found {
                break;
            }
        }
        for tid in &seized {
            let _ = ptrace::interrupt(*tid);
        }
        // The first thread that stops installs the filters for all.
        while !process.missing().is_empty() {
            let Some(first) = seized.iter().find(|t| self.tasks.contains_key(t)).copied() else {
                return Err(Errno::ESRCH);
            };
            match ptrace::wait(Some(first), false) {
                Ok(Some((_, status))) => self.on_wait(first, status),
                Ok(None) => {}
                Err(e) if e.raw_os_error() == Some(libc::EINTR) => {}
                Err(_) => return Err(Errno::ESRCH),
            }
        }
        Ok(())
    }
}

/// The first signal goes with the next resume, the others by kill(2).
fn deliver_all(tid: Tid, deliver: &mut i32, signals: Vec<i32>) {
    for signal in signals {
        if *deliver == 0 {
            *deliver = signal;
        } else {
            let _ = sys::kill(tid.0, signal);
        }
    }
}

/// Thread group and parent of a task, from /proc.
pub(crate) fn family(tid: Tid) -> Option<(i32, i32)> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", tid.0)).ok()?;
    let field = |name: &str| -> Option<i32> {
        status.lines().find_map(|l| l.strip_prefix(name))?.trim().parse().ok()
    };
    Some((field("Tgid:")?, field("PPid:")?))
}
