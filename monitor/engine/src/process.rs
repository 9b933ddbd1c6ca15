//! What the engine keeps of one process (thread group).

use crate::sys::process::pidfd_open;
use abi::{Errno, Result};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use syscalls::GroupSet;

/// A process. Shared by its threads; replaced by none at exec, which only drops the memory descriptor.
#[derive(Debug)]
pub struct Process {
    tgid: i32,
    memory: Mutex<Option<Arc<File>>>,
    pidfd: OnceLock<OwnedFd>,
    installed: AtomicU32,
    required: AtomicU32,
    detached: AtomicBool,
}

impl Process {
    pub(crate) fn new(tgid: i32, installed: GroupSet, required: GroupSet) -> Arc<Self> {
        Arc::new(Self {
            tgid,
            memory: Mutex::new(None),
            pidfd: OnceLock::new(),
            installed: AtomicU32::new(installed.bits()),
            required: AtomicU32::new(required.bits()),
            detached: AtomicBool::new(false),
        })
    }

    /// The process id.
    #[must_use]
    pub fn tgid(&self) -> i32 {
        self.tgid
    }

    /// The groups that its filters trap.
    #[must_use]
    pub fn installed(&self) -> GroupSet {
        GroupSet::from_bits_truncate(self.installed.load(Ordering::Acquire))
    }

    /// The groups that are to be trapped before it runs on.
    #[must_use]
    pub fn required(&self) -> GroupSet {
        GroupSet::from_bits_truncate(self.required.load(Ordering::Acquire))
    }

    pub(crate) fn missing(&self) -> GroupSet {
        self.required() - self.installed()
    }

    pub(crate) fn require(&self, groups: GroupSet) {
        self.required.fetch_or(groups.bits(), Ordering::AcqRel);
    }

    pub(crate) fn note_installed(&self, groups: GroupSet) {
        self.installed.fetch_or(groups.bits(), Ordering::AcqRel);
        self.require(groups);
    }

    /// Whether a debugger of the view has it in place of us.
    #[must_use]
    pub fn is_detached(&self) -> bool {
        self.detached.load(Ordering::Acquire)
    }

    pub(crate) fn set_detached(&self) {
        self.detached.store(true, Ordering::Release);
    }

    /// The open `/proc/PID/mem`, if the kernel gives it.
    ///
    /// It is opened once per program, early: a process that makes itself non-dumpable later still has it.
    pub(crate) fn memory(&self) -> Option<Arc<File>> {
        let mut slot = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.is_none() {
            *slot = File::open(format!("/proc/{}/mem", self.tgid)).ok().map(Arc::new);
        }
        slot.clone()
    }

    /// After exec: the descriptor would show the former program.
    pub(crate) fn forget_memory(&self) {
        *self.memory.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn pidfd(&self) -> Result<&OwnedFd> {
        if let Some(fd) = self.pidfd.get() {
            return Ok(fd);
        }
        let fd = pidfd_open(self.tgid).map_err(Errno::from)?;
        Ok(self.pidfd.get_or_init(|| fd))
    }
}
