//! The start of a view: the first process, seized before its first instruction.

use crate::agent::Agent;
use crate::answer::Dispatcher;
use crate::engine::{BackEnd, Engine};
use crate::inject::{ALONGSIDE, LISTENED};
use crate::process::Process;
use crate::sys::{process as sys, ptrace, seccomp};
use crate::tracer::Tracer;
use crate::{TaskStart, notify};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use syscalls::{Action, GroupSet};

/// What to run, and how.
pub struct Launch {
    /// The back end to use.
    pub back_end: BackEnd,
    /// The program, looked up in PATH, and its arguments.
    pub command: Vec<CString>,
    /// Whether processes may be given an agent, where the back end is notify.
    pub may_have_agent: bool,
    /// Groups that are trapped from the first instruction on; `Base` always is.
    pub groups: GroupSet,
}

/// Runs the command in a view and returns when its last process is gone.
///
/// Must be called while the process has one thread: it forks. The calling thread becomes the tracer.
/// `prepare` gets the engine and gives the dispatcher, before any tracee runs. `on_root_exit` hears the wait
/// status of the first process when it ends, which may be long before the last.
///
/// # Errors
/// What fork(2), ptrace(2) and seccomp(2) say, with what was tried.
pub fn run(
    launch: &Launch,
    prepare: impl FnOnce(&Arc<Engine>) -> Arc<dyn Dispatcher>,
    on_root_exit: Box<dyn FnMut(i32)>,
) -> io::Result<()> {
    let limits = sys::raise_descriptor_limit().ok();
    let (to_child_read, to_child_write) = pipe()?;
    let (to_parent_read, to_parent_write) = pipe()?;
    let groups = launch.groups | GroupSet::BASE;
    let has_agent = launch.may_have_agent && launch.back_end == BackEnd::Notify;
    let pass = has_agent.then(Agent::new_pass);
    let Some(child) = sys::fork()? else {
        drop(to_child_write);
        drop(to_parent_read);
        let error = be_the_child(launch, (groups, pass), limits, to_child_read, to_parent_write);
        let name = launch.command.first().map(|c| c.to_string_lossy().into_owned());
        let _ = writeln!(io::stderr(), "umview: {}: {error}", name.unwrap_or_default());
        sys::exit_now(if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 });
    };
    drop(to_child_read);
    drop(to_parent_write);
    ptrace::seize(child, ptrace::OPTIONS_NAMES).map_err(|e| {
        let _ = sys::kill(child.0, libc::SIGKILL);
        explain(e, "ptrace does not seize the first process")
    })?;
    let has_names = groups.contains(GroupSet::NAMES);
    let engine = Engine::new(launch.back_end, pass)?;
    let dispatcher = prepare(&engine);
    engine
        .dispatcher
        .set(Arc::clone(&dispatcher))
        .map_err(|_| io::Error::other("the dispatcher is set once"))?;
    let process = Process::new(child.0, groups, groups);
    if has_names && launch.back_end == BackEnd::Notify {
        process.note_carried(ALONGSIDE);
    }
    engine.insert_process(child, Arc::clone(&process));
    dispatcher.task_start(TaskStart { tid: child, tgid: child.0, parent: None });
    File::from(to_child_write).write_all(b"g")?;
    if has_names && launch.back_end == BackEnd::Notify {
        let mut number = [0; 4];
        File::from(to_parent_read)
            .read_exact(&mut number)
            .map_err(|e| explain(e, "the first process could not install its filter"))?;
        let pidfd = sys::pidfd_open(child.0)?;
        let listener = sys::pidfd_getfd(pidfd.as_fd(), i32::from_ne_bytes(number))?;
        notify::serve(&engine, listener);
    }
    Tracer::new(engine, child, process, on_root_exit).run();
    Ok(())
}

/// What filters trap, and the word that an agent's calls pass by.
type Trapped = (GroupSet, Option<u64>);

fn explain(error: io::Error, what: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(io::Error::from)
}

/// The child between fork and exec; returns only with an error.
fn be_the_child(
    launch: &Launch,
    trapped: Trapped,
    limits: Option<(u64, u64)>,
    wait: OwnedFd,
    tell: OwnedFd,
) -> io::Error {
    sys::allow_tracer(parent_of_child());
    let mut go = [0; 1];
    if let Err(error) = File::from(wait).read_exact(&mut go) {
        return error;
    }
    match prepare_child(launch, trapped, limits, tell) {
        Ok(()) => match launch.command.first() {
            Some(program) => sys::exec(program, &launch.command),
            None => io::Error::from_raw_os_error(libc::ENOENT),
        },
        Err(error) => error,
    }
}

fn parent_of_child() -> i32 {
    nix::unistd::getppid().as_raw()
}

fn prepare_child(
    launch: &Launch,
    (groups, pass): Trapped,
    limits: Option<(u64, u64)>,
    tell: OwnedFd,
) -> io::Result<()> {
    if let Some((soft, hard)) = limits {
        sys::set_descriptor_limit(soft, hard)?;
    }
    sys::restore_sigpipe();
    if !crate::probe::has_sys_admin() {
        sys::set_no_new_privs()?;
    }
    let notify = launch.back_end == BackEnd::Notify && groups.contains(GroupSet::NAMES);
    let by_stop = if notify { groups - LISTENED } else { groups };
    if !by_stop.is_empty() {
        seccomp::install(&syscalls::program_with_pass(by_stop, Action::Trace(0), pass), 0)?;
    }
    if notify {
        let groups = groups & LISTENED | ALONGSIDE;
        let filter = syscalls::program_with_pass(groups, Action::Notify, pass);
        let flags = seccomp::NEW_LISTENER | seccomp::WAIT_KILLABLE_RECV;
        let listener = seccomp::install(&filter, flags)?
            .ok_or_else(|| io::Error::other("seccomp gave no listener"))?;
        File::from(tell).write_all(&listener.as_raw_fd().to_ne_bytes())?;
        // Kept until exec: it is close-on-exec, and the monitor takes its copy from here.
        let _ = std::mem::ManuallyDrop::new(listener);
    }
    Ok(())
}
