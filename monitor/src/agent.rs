//! What agents in the processes are told: directories in which the kernel may look at names, and names that an
//! overlay has.
//!
//! `calls/name.rs` calls [`Monitor::publish`] when a name turned out to be the host's by the text as it stands, so only
//! the conditions for all other names of its directory are looked at here. Stores tell of their names by
//! themselves.

use crate::monitor::Monitor;
use crate::mounts::Snapshot;
use crate::overlayfs::OverlayFs;
use crate::path;
use crate::quick::crosses;
use crate::tasks::Proc;
use crate::view::{PRESENT, View};
use engine::{Directory, Engine, Terms, Tid};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, fstat};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, PoisonError};

/// How many directories that do not exist are looked through.
const MISSING_MAX: usize = 3;

/// Tells agents of the names of one store.
struct Nodes {
    engine: Arc<Engine>,
    target: Vec<u8>,
}

impl cow_store::Watcher for Nodes {
    fn appears(&self, path: &[u8]) {
        if let Some(agent) = self.engine.agent() {
            agent.add_node(agent.path(&path::append(&self.target, path)));
        }
    }

    fn copied(&self, dev: u64, ino: u64) {
        if let Some(agent) = self.engine.agent() {
            agent.add_file(dev, ino);
        }
    }

    fn shadowed(&self) {
        if let Some(agent) = self.engine.agent() {
            agent.distrust_all();
        }
    }

    fn doubts(&self) {
        if let Some(agent) = self.engine.agent() {
            agent.forget();
        }
    }
}

impl Monitor {
    /// What the agent of a process is to know. None for a process with a root of its own: the kernel's is another.
    pub(crate) fn terms_of(&self, proc: &Proc) -> Option<Terms> {
        let fs = proc.fs.lock().unwrap_or_else(PoisonError::into_inner);
        let has_other_cwd = fs.cwd.is_some();
        fs.root.is_none().then(|| Terms { view: proc.view().id, has_other_cwd })
    }

    /// After a change of a process' directories or view, before it hears of it.
    pub(crate) fn renew_agent(&self, proc: &Proc, tid: i32) {
        if self.engine().agent().is_some() {
            self.engine().set_agent_terms(Tid(tid), self.terms_of(proc));
        }
    }

    /// What was concluded of directories may be wrong now.
    pub(crate) fn forget_directories(&self) {
        self.quick.clear();
        if let Some(agent) = self.engine_if_set().and_then(|engine| engine.agent()) {
            // Times and names that a module shows are not the kernel's.
            agent.switch(!self.mounts.snapshot().has_call_sets());
            agent.forget();
        }
    }

    /// Lets agents know the names of an overlay's store, now and later. `target` is where it lies in the view.
    pub(crate) fn watch_store(&self, fs: &OverlayFs, target: &[u8]) {
        if let Some(agent) = self.engine().agent() {
            if let Some(dev) = fs.store_device() {
                agent.distrust(dev);
            }
            let engine = Arc::clone(self.engine());
            // The root shows the names of both.
            let nodes = Nodes { engine, target: target.to_vec() };
            cow_store::Watcher::appears(&nodes, b"");
            fs.watch(Arc::new(nodes));
        }
    }

    /// Tells agents of the directory in front of the last component of `text`, if the kernel may look at all names in
    /// it. `generation` is the agents' from before the name was decided.
    pub(crate) fn publish(
        &self,
        proc: &Proc,
        tid: i32,
        generation: u64,
        dirfd: Option<i32>,
        text: &[u8],
    ) -> Option<()> {
        let agent = self.engine().agent()?;
        let mounts = self.mounts.snapshot();
        if mounts.has_opaque_root() || mounts.has_call_sets() || self.has_root(proc) {
            return None;
        }
        let view = proc.view();
        let slash = text.iter().rposition(|&b| b == b'/');
        if let Some(directory) = slash.map(|slash| &text[..slash]) {
            let above = if text[0] == b'/' {
                Some(agent.path(b"/"))
            } else if dirfd.is_none() {
                self.host_cwd(proc, tid).map(|cwd| agent.path(&cwd).then(b"/"))
            } else {
                None
            };
            // A call site that is new, or a link: the directory was told before.
            if above.is_some_and(|a| agent.is_known(generation, view.id, a.then(directory))) {
                return Some(());
            }
        }
        let (base, above) = if text.first() == Some(&b'/') {
            (None, agent.path(b"/"))
        } else {
            let base = Opened::of_process(tid, dirfd)?;
            let above = agent.path(&base.path);
            if leaves_names(&view, &mounts, &base.path) {
                let (dev, ino) = base.numbers()?;
                agent.publish(generation, view.id, Directory::Inode { dev, ino }, above);
            }
            (Some(base), above.then(b"/"))
        };
        // Of a directory that is not there, the one above is told: an agent sees then that it is not there.
        let mut directory = &text[..slash?];
        for _ in 0..MISSING_MAX {
            let found = match &base {
                Some(base) => base.below(directory),
                None if directory.is_empty() => Opened::at(b"/"),
                None => Opened::at(directory),
            };
            if let Some(found) = found {
                if leaves_names(&view, &mounts, &found.path) {
                    let name = Directory::Text(above.then(directory));
                    agent.publish(generation, view.id, name, agent.path(&found.path));
                }
                return Some(());
            }
            directory = &directory[..directory.iter().rposition(|&b| b == b'/')?];
        }
        None
    }
}

/// A directory as the kernel finds it, with its canonical path.
struct Opened {
    fd: OwnedFd,
    path: Vec<u8>,
}

const HOW: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

impl Opened {
    fn at(text: &[u8]) -> Option<Self> {
        Self::of(openat(nix::fcntl::AT_FDCWD, path::os(text), HOW, Mode::empty()).ok()?)
    }

    fn of_process(tid: i32, dirfd: Option<i32>) -> Option<Self> {
        Self::at(
            match dirfd {
                Some(fd) => format!("/proc/{tid}/fd/{fd}"),
                None => format!("/proc/{tid}/cwd"),
            }
            .as_bytes(),
        )
    }

    fn below(&self, text: &[u8]) -> Option<Self> {
        Self::of(openat(&self.fd, path::os(text), HOW, Mode::empty()).ok()?)
    }

    fn of(fd: OwnedFd) -> Option<Self> {
        let path =
            crate::hostview::readlink(format!("/proc/self/fd/{}", fd.as_raw_fd()).as_bytes())
                .ok()?;
        path.starts_with(b"/").then_some(Self { fd, path })
    }

    fn numbers(&self) -> Option<(u64, u64)> {
        fstat(&self.fd).ok().map(|s| (s.st_dev, s.st_ino))
    }
}

/// Whether a view leaves to the kernel all names in a directory of the host but those that stores have told of.
fn leaves_names(view: &View, mounts: &Snapshot, dir: &[u8]) -> bool {
    if crosses(dir, mounts) || dir == b"/proc" || dir.ends_with(b" (deleted)") {
        return false;
    }
    mounts.all().iter().all(|m| {
        // Sub-devices, and what is mounted there now or comes later, are names beside the mount point.
        if path::split(&m.target).is_some_and(|(parent, _)| parent == dir) {
            return false;
        }
        let Some(fs) = m.overlay() else { return true };
        let Some(rest) = path::below(dir, &m.target) else { return true };
        !view.sees(m.view, m.born, PRESENT) || m.excepts(dir) || fs.leaves_names(rest)
    })
}
