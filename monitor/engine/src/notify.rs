//! The notification back end: one listener per process that was given a filter, inherited by its children.
//!
//! One thread leads each listener: it waits for a call and answers it itself, on the caller's processor. The
//! watch looks at leaders every millisecond while there is work; where one takes longer than
//! [`BUSY_MICROS_MAX`], another thread takes the lead, so that one slow call stalls nobody else.

use crate::agent;
use crate::answer::{Answer, Call};
use crate::engine::{Command, Engine};
use crate::in_place;
use crate::process::Process;
use crate::rewrite::reopen;
use crate::sys::seccomp;
use crate::tracee::{HostTracee, Tracee};
use crate::tracer::family;
use crate::{TaskStart, Tid};
use abi::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use syscalls::GroupSet;

/// How long a leader may take over one call before another leads.
const BUSY_MICROS_MAX: u64 = 2_000;

/// How long agents believe what was published; half a second more where nothing is to do.
const BELIEF_MICROS: u64 = 1_000_000;

/// A notification descriptor and who leads it.
pub(crate) struct Listener {
    fd: OwnedFd,
    /// Counts leaders; a leader whose number is no longer this one ends.
    generation: AtomicU64,
    /// When the leader took its call, in microseconds of the watch; 0 while it waits.
    busy_since: AtomicU64,
}

/// Watches over leaders.
pub(crate) struct Watch {
    start: Instant,
    listeners: Mutex<Vec<Weak<Listener>>>,
    asleep: AtomicBool,
    wake: Condvar,
    sleep_lock: Mutex<()>,
    started: AtomicBool,
    last_call: AtomicU64,
}

impl Listener {
    /// Opens a file in a caller that waits for its answer, closed at exec; its number.
    pub(crate) fn give(&self, id: u64, file: BorrowedFd<'_>) -> io::Result<i32> {
        seccomp::add_fd(self.fd.as_fd(), id, file, true)
    }
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            listeners: Mutex::new(Vec::new()),
            asleep: AtomicBool::new(false),
            wake: Condvar::new(),
            sleep_lock: Mutex::new(()),
            started: AtomicBool::new(false),
            last_call: AtomicU64::new(0),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX).max(1)
    }

    /// Called by a leader for each call it takes.
    fn note_call(&self, now: u64) {
        self.last_call.store(now, Ordering::Relaxed);
        if self.asleep.load(Ordering::Acquire) {
            let _guard = self.sleep_lock.lock().unwrap_or_else(PoisonError::into_inner);
            self.asleep.store(false, Ordering::Release);
            self.wake.notify_one();
        }
    }
}

/// Starts to serve a listener.
pub(crate) fn serve(engine: &Arc<Engine>, fd: OwnedFd) {
    if let Err(error) = seccomp::wake_on_same_cpu(fd.as_fd()) {
        tracing::debug!(%error, "no wake-up on the caller's processor");
    }
    let listener =
        Arc::new(Listener { fd, generation: AtomicU64::new(1), busy_since: AtomicU64::new(0) });
    let watch = &engine.watch;
    watch.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&listener));
    if !watch.started.swap(true, Ordering::AcqRel) {
        let engine = Arc::clone(engine);
        engine.clone().pool.run(Box::new(move || watch_leaders(&engine)));
    }
    promote(engine, &listener, 1);
}

fn promote(engine: &Arc<Engine>, listener: &Arc<Listener>, generation: u64) {
    let (engine, listener) = (Arc::clone(engine), Arc::clone(listener));
    engine.clone().pool.run(Box::new(move || lead(&engine, &listener, generation)));
}

fn watch_leaders(engine: &Arc<Engine>) {
    let watch = &engine.watch;
    let mut believed_since = 0;
    while !engine.has_ended() {
        let now = watch.now();
        if now.saturating_sub(believed_since) >= BELIEF_MICROS
            && let Some(agent) = engine.agent()
        {
            believed_since = now;
            agent.forget_if_used();
        }
        let mut busy = now.saturating_sub(watch.last_call.load(Ordering::Relaxed)) < 20_000;
        let mut listeners = watch.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|weak| {
            let Some(listener) = weak.upgrade() else { return false };
            let since = listener.busy_since.load(Ordering::Acquire);
            if since != 0 {
                busy = true;
                if now.saturating_sub(since) > BUSY_MICROS_MAX
                    && listener
                        .busy_since
                        .compare_exchange(since, 0, Ordering::AcqRel, Ordering::Relaxed)
                        .is_ok()
                {
                    let next = listener.generation.fetch_add(1, Ordering::AcqRel) + 1;
                    promote(engine, &listener, next);
                }
            }
            true
        });
        drop(listeners);
        if busy {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        }
        let guard = watch.sleep_lock.lock().unwrap_or_else(PoisonError::into_inner);
        watch.asleep.store(true, Ordering::Release);
        let _ = watch.wake.wait_timeout_while(guard, Duration::from_millis(500), |()| {
            watch.asleep.load(Ordering::Acquire)
        });
        watch.asleep.store(false, Ordering::Release);
    }
}

fn lead(engine: &Arc<Engine>, listener: &Arc<Listener>, generation: u64) {
    loop {
        let n = match seccomp::receive(listener.fd.as_fd()) {
            Ok(n) => n,
            // The caller died, or a signal came.
            Err(e) if e.raw_os_error() == Some(libc::EINTR) => continue,
            Err(_) if has_hung_up(listener) => return,
            Err(_) => continue,
        };
        let now = engine.watch.now();
        listener.busy_since.store(now, Ordering::Release);
        engine.watch.note_call(now);
        answer(engine, listener, &n);
        let mine =
            listener.busy_since.compare_exchange(now, 0, Ordering::AcqRel, Ordering::Relaxed);
        if mine.is_err() || listener.generation.load(Ordering::Acquire) != generation {
            return;
        }
    }
}

/// Whether no process with this filter is left.
fn has_hung_up(listener: &Listener) -> bool {
    let mut fds = [nix::poll::PollFd::new(listener.fd.as_fd(), nix::poll::PollFlags::POLLIN)];
    match nix::poll::poll(&mut fds, nix::poll::PollTimeout::ZERO) {
        Ok(_) => fds[0].revents().is_some_and(|r| r.contains(nix::poll::PollFlags::POLLHUP)),
        Err(_) => true,
    }
}

fn answer(engine: &Arc<Engine>, listener: &Arc<Listener>, n: &seccomp::Notification) {
    engine.notifications.fetch_add(1, Ordering::Relaxed);
    let tid = Tid(n.pid as i32);
    if engine.is_bypass(tid) {
        let _ = seccomp::answer_continue(listener.fd.as_fd(), n.id);
        return;
    }
    let Some(process) = engine.process(tid).or_else(|| adopt(engine, tid)) else {
        // Gone already.
        let _ = seccomp::answer_value(listener.fd.as_fd(), n.id, 0, libc::ESRCH);
        return;
    };
    let tracee = HostTracee { tid, process };
    let call = Call { number: n.nr as u32, args: n.args };
    if tracee.process.vdso().is_original(call.number, n.ip) {
        let _ = seccomp::answer_continue(listener.fd.as_fd(), n.id);
        return;
    }
    engine.overwritten.put_back(tid);
    let mut answer = engine.dispatcher().call(&tracee, call);
    if !tracee.is_traced() {
        answer = without_registers(engine, listener, n.id, &tracee, call, answer);
    }
    if matches!(answer, Answer::Native)
        && syscalls::is_passed(call.number)
        && agent::note_native(engine, listener, n.id, &tracee, &call, n.ip)
    {
        send_to_tracer(engine, listener, n.id, &tracee, Box::new(answer));
        return;
    }
    finish(engine, listener, n.id, &tracee, answer);
}

/// What can be done for a thread whose registers a debugger has.
fn without_registers(
    engine: &Engine,
    listener: &Listener,
    id: u64,
    tracee: &HostTracee,
    call: Call,
    answer: Answer,
) -> Answer {
    let Answer::Rewrite(rewrite) = answer else { return answer };
    let lend = |file: &std::fs::File| seccomp::add_fd(listener.fd.as_fd(), id, file.as_fd(), true);
    match in_place::overwrite(engine, tracee, call, *rewrite, &lend) {
        Ok(()) => Answer::Native,
        Err(errno) => Answer::Return(Err(errno)),
    }
}

/// A task that ptrace does not show us, because a debugger of the view has its family.
fn adopt(engine: &Arc<Engine>, tid: Tid) -> Option<Arc<Process>> {
    let (tgid, parent) = family(tid)?;
    let (process, parent) = if let Some(process) = engine.process(Tid(tgid)) {
        (process, Some(Tid(tgid)))
    } else {
        let groups =
            engine.process(Tid(parent)).map_or(GroupSet::BASE | GroupSet::NAMES, |p| p.installed());
        let process = Process::new(tgid, groups, groups);
        process.set_detached();
        (process, Some(Tid(parent)))
    };
    engine.insert_process(tid, Arc::clone(&process));
    engine.dispatcher().task_start(TaskStart { tid, tgid, parent });
    Some(process)
}

/// Carries out an answer to a notification.
pub(crate) fn finish(
    engine: &Arc<Engine>,
    listener: &Arc<Listener>,
    id: u64,
    tracee: &HostTracee,
    answer: Answer,
) {
    match by_name_if_path_only(tracee, answer) {
        Answer::Later(work) => {
            let (engine2, listener2) = (Arc::clone(engine), Arc::clone(listener));
            let tracee = HostTracee { tid: tracee.tid, process: Arc::clone(&tracee.process) };
            engine.pool.run(Box::new(move || {
                let answer = work(&tracee);
                finish(&engine2, &listener2, id, &tracee, answer);
            }));
        }
        Answer::Require(groups, inner) => {
            tracee.process.require(groups);
            if tracee.process.missing().is_empty() || !tracee.is_traced() {
                finish(engine, listener, id, tracee, *inner);
            } else {
                send_to_tracer(engine, listener, id, tracee, inner);
            }
        }
        Answer::Rewrite(_) if !tracee.is_traced() => {
            reply_now(listener, id, Answer::Return(Err(Errno::EPERM)));
        }
        rewrite @ (Answer::Rewrite(_) | Answer::DetachAndRestart) => {
            if tracee.is_traced() {
                send_to_tracer(engine, listener, id, tracee, Box::new(rewrite));
            } else {
                reply_now(listener, id, Answer::Native);
            }
        }
        Answer::DetachOthers(tids) => {
            let (done, wait) = std::sync::mpsc::channel();
            engine.command(Command::Detach { tids, done });
            let _ = wait.recv();
            reply_now(listener, id, Answer::Native);
        }
        direct => drop(reply_now(listener, id, direct)),
    }
}

/// A descriptor with `O_PATH` is opened by the caller: the kernel hands none over (`seccomp_notify_addfd` takes
/// it by `fget`, which refuses them with EBADF).
fn by_name_if_path_only(tracee: &HostTracee, answer: Answer) -> Answer {
    match answer {
        Answer::Fd(file, cloexec) if tracee.is_traced() && is_path_only(&file) => {
            Answer::Rewrite(Box::new(reopen(file, cloexec)))
        }
        Answer::Require(groups, inner) => {
            Answer::Require(groups, Box::new(by_name_if_path_only(tracee, *inner)))
        }
        other => other,
    }
}

fn is_path_only(file: &OwnedFd) -> bool {
    nix::fcntl::fcntl(file, nix::fcntl::FcntlArg::F_GETFL).is_ok_and(|f| f & libc::O_PATH != 0)
}

fn send_to_tracer(
    engine: &Arc<Engine>,
    listener: &Arc<Listener>,
    id: u64,
    tracee: &HostTracee,
    answer: Box<Answer>,
) {
    let listener = Arc::clone(listener);
    engine.command(Command::Reply { tid: tracee.tid, listener, id, answer });
}

/// Sends what needs no ptrace, and returns what is left of the answer. A caller that died in the meantime is no error.
pub(crate) fn reply_now(listener: &Listener, id: u64, answer: Answer) -> Answer {
    let fd = listener.fd.as_fd();
    let sent = match &answer {
        Answer::Native => seccomp::answer_continue(fd, id),
        Answer::Return(Ok(value)) => seccomp::answer_value(fd, id, *value, 0),
        Answer::Return(Err(errno)) => seccomp::answer_value(fd, id, 0, errno.raw()),
        Answer::Fd(..) => return hand_over(fd, id, answer),
        // The others are never sent from here; the value is overwritten by the tracer thread.
        _ => seccomp::answer_value(fd, id, 0, 0),
    };
    note(sent);
    answer
}

fn note(sent: io::Result<()>) {
    if let Err(error) = sent
        && error.raw_os_error() != Some(libc::ENOENT)
    {
        tracing::debug!(%error, "notification not answered");
    }
}

/// Gives the caller a descriptor. One for writing is ours no more when the caller has its answer: it may close the
/// file and run it at once, which is refused while anybody has it open for writing (`deny_write_access`).
fn hand_over(fd: BorrowedFd<'_>, id: u64, answer: Answer) -> Answer {
    let Answer::Fd(file, cloexec) = answer else { return answer };
    let flags = nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_GETFL).unwrap_or(0);
    let given = if flags & libc::O_ACCMODE == libc::O_RDONLY {
        seccomp::answer_fd(fd, id, file.as_fd(), cloexec)
    } else {
        seccomp::add_fd(fd, id, file.as_fd(), cloexec).and_then(|number| {
            drop(file);
            seccomp::answer_value(fd, id, u64::try_from(number).unwrap_or_default(), 0)
        })
    };
    note(given.or_else(|error| {
        // EMFILE of the caller: its answer, not ours.
        seccomp::answer_value(fd, id, 0, error.raw_os_error().unwrap_or(libc::EMFILE))
    }));
    Answer::Native
}
