//! What this machine offers, tried and not guessed: for the choice of back end and for `umview --doctor`.

use crate::engine::BackEnd;
use crate::sys::{process as sys, ptrace, seccomp};
use std::io;
use syscalls::{Action, GroupSet};

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was tried.
    pub name: &'static str,
    /// Whether it works here.
    pub works: bool,
    /// The reason where it does not, or what it is good for where it does.
    pub detail: String,
}

/// Whether this process may install filters without giving up set-id programs.
#[must_use]
pub fn has_sys_admin() -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return false };
    status
        .lines()
        .find_map(|l| l.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .is_some_and(|bits| bits & (1 << 21) != 0)
}

/// Runs `attempt` in a forked child; an error is sent back by its number. Needs a process of one thread.
fn in_child(attempt: fn() -> io::Result<()>) -> io::Result<()> {
    let Some(child) = sys::fork()? else {
        let code = match attempt() {
            Ok(()) => 0,
            Err(e) => e.raw_os_error().unwrap_or(255),
        };
        sys::exit_now(code);
    };
    let (_, status) = ptrace::wait(Some(child), false)?
        .ok_or_else(|| io::Error::from_raw_os_error(libc::ECHILD))?;
    if libc::WIFEXITED(status) {
        match libc::WEXITSTATUS(status) {
            0 => Ok(()),
            255 => Err(io::Error::other("failed")),
            number => Err(io::Error::from_raw_os_error(number)),
        }
    } else {
        Err(io::Error::other(format!("killed by signal {}", libc::WTERMSIG(status))))
    }
}

fn confine() -> io::Result<()> {
    if has_sys_admin() { Ok(()) } else { sys::set_no_new_privs() }
}

fn try_filter() -> io::Result<()> {
    confine()?;
    seccomp::install(&syscalls::program(GroupSet::BASE, Action::Trace(0)), 0).map(drop)
}

fn try_listener() -> io::Result<()> {
    confine()?;
    let filter = syscalls::program(GroupSet::BASE | GroupSet::NAMES, Action::Notify);
    seccomp::install(&filter, seccomp::NEW_LISTENER | seccomp::WAIT_KILLABLE_RECV).map(drop)
}

/// Forks a child that waits and seizes it.
fn try_ptrace() -> io::Result<()> {
    let (read, write) = nix::unistd::pipe()?;
    let Some(child) = sys::fork()? else {
        drop(write);
        let mut byte = [0; 1];
        let _ = nix::unistd::read(&read, &mut byte);
        sys::exit_now(0);
    };
    drop(read);
    let seized = ptrace::seize(child, ptrace::OPTIONS_BASE);
    drop(write);
    let _ = ptrace::wait(Some(child), false);
    seized
}

fn try_user_namespace() -> io::Result<()> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER).map_err(io::Error::from)
}

fn try_fuse() -> io::Result<()> {
    std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse").map(drop)
}

fn finding(name: &'static str, good_for: &str, result: io::Result<()>) -> Finding {
    match result {
        Ok(()) => Finding { name, works: true, detail: good_for.to_owned() },
        Err(e) => Finding { name, works: false, detail: e.to_string() },
    }
}

/// Tries everything. Must be called while the process has one thread.
#[must_use]
pub fn doctor() -> Vec<Finding> {
    vec![
        finding("ptrace", "processes can be seized: every view needs it", try_ptrace()),
        finding("seccomp filter", "only calls that a view needs are stopped", in_child(try_filter)),
        finding(
            "seccomp notification",
            "calls are answered without ptrace-stops (--engine notify)",
            in_child(try_listener),
        ),
        finding(
            "user namespaces",
            "a place out of sight for /dev/fuse",
            in_child(try_user_namespace),
        ),
        finding(
            "/dev/fuse",
            "the kernel keeps the pages of virtual files (with user namespaces)",
            try_fuse(),
        ),
    ]
}

/// The better back end that works here.
///
/// # Errors
/// If neither works, with the reasons and the next step.
pub fn choose() -> io::Result<BackEnd> {
    try_ptrace().map_err(|e| {
        io::Error::other(format!(
            "ptrace does not work here ({e}); allow it (kernel.yama.ptrace_scope below 3, or the container's \
             seccomp profile) and run `umview --doctor`"
        ))
    })?;
    if in_child(try_listener).is_ok() {
        return Ok(BackEnd::Notify);
    }
    in_child(try_filter).map_err(|e| {
        io::Error::other(format!("seccomp filters do not work here ({e}); run `umview --doctor`"))
    })?;
    Ok(BackEnd::Trace)
}
