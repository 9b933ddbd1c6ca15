//! The two processes of `umview`: the front that the caller waits for, and the monitor behind it.
//!
//! The monitor has a session of its own, so that the terminal's signals reach the view's processes and the front
//! alone. It dies with the front until the first process of the view has ended; what runs on then has the
//! monitor to itself.

use crate::Tid;
use crate::sys::process as sys;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

/// Which of the two this is.
pub enum Role {
    /// The front: waits.
    Front(Front),
    /// The monitor: reports.
    Monitor(Report),
}

/// The waiting side.
pub struct Front {
    status: OwnedFd,
    monitor: Tid,
}

/// The telling side.
pub struct Report {
    status: Option<File>,
}

/// How the first process of a view ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By exit(2) with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Unknown: the monitor died.
    Lost,
}

/// Forks the monitor off. The process must have one thread.
///
/// # Errors
/// Those of pipe(2) and fork(2).
pub fn split() -> io::Result<Role> {
    let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    let parent = std::process::id();
    match sys::fork()? {
        Some(monitor) => {
            drop(write);
            sys::ignore_terminal_signals();
            Ok(Role::Front(Front { status: read, monitor }))
        }
        None => {
            drop(read);
            sys::die_with_parent(true)?;
            // The parent may have died before.
            if nix::unistd::getppid().as_raw() != parent as i32 {
                sys::exit_now(1);
            }
            Ok(Role::Monitor(Report { status: Some(File::from(write)) }))
        }
    }
}

impl Front {
    /// Waits until the first process of the view has ended, or the monitor has.
    #[must_use]
    pub fn wait(self) -> Ended {
        let mut bytes = [0; 4];
        if File::from(self.status).read_exact(&mut bytes).is_err() {
            return Ended::Lost;
        }
        let status = i32::from_ne_bytes(bytes);
        if libc::WIFSIGNALED(status) {
            Ended::Signal(libc::WTERMSIG(status))
        } else {
            Ended::Code(libc::WEXITSTATUS(status))
        }
    }
}

impl Front {
    /// Waits until the last process of the view has ended and the monitor with it, and tells how the first one
    /// ended. From here on the terminal's signals end this process as they end any other.
    #[must_use]
    pub fn wait_for_all(self) -> Ended {
        let monitor = nix::unistd::Pid::from_raw(self.monitor.0);
        let ended = self.wait();
        while nix::sys::wait::waitpid(monitor, None) == Err(nix::errno::Errno::EINTR) {}
        sys::heed_terminal_signals();
        ended
    }
}

/// Whether the terminal's signals (SIGINT, SIGQUIT) end this process: not while it waits for one that they are for, as
/// in system(3).
pub fn heed_terminal_signals(heeds: bool) {
    if heeds { sys::heed_terminal_signals() } else { sys::ignore_terminal_signals() }
}

impl Ended {
    /// Ends this process in the same way.
    pub fn follow(self) -> ! {
        match self {
            Self::Code(code) => std::process::exit(code),
            Self::Signal(signal) => {
                sys::die_by(signal);
                std::process::exit(128 + signal)
            }
            Self::Lost => std::process::exit(125),
        }
    }
}

impl Report {
    /// Tells the front how the first process ended. From here on the monitor lives for itself.
    pub fn tell(&mut self, status: i32) {
        let Some(mut file) = self.status.take() else { return };
        let _ = sys::die_with_parent(false);
        let _ = file.write_all(&status.to_ne_bytes());
        // Whoever reads our output must not wait for us.
        let _ = silence(&[0, 1, 2]);
    }

    /// Leaves the caller's session and its standard input and output, once the first process has them.
    pub fn step_back(&self) {
        let _ = nix::unistd::setsid();
        // What is made for a caller has the caller's mask applied already.
        nix::sys::stat::umask(nix::sys::stat::Mode::empty());
        let _ = silence(&[0, 1]);
        let _ = std::env::set_current_dir("/");
    }
}

fn silence(numbers: &[i32]) -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    for &number in numbers {
        sys::replace_descriptor(&null, number)?;
    }
    Ok(())
}
