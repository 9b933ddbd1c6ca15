//! What the engine keeps of one process (thread group).

use crate::agent::{Sites, Stage, Terms};
use crate::sys::process::pidfd_open;
use crate::vdso;
use abi::module::Paces;
use abi::{Errno, Result};
use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
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
    /// Where the vDSO is that shows virtual clocks; zeroes while it shows the host's.
    vdso: [AtomicU64; 2],
    paces: Mutex<Option<Paces>>,
    /// Until its next exec, another process may run in the same memory.
    shares_memory: AtomicBool,
    agent: Mutex<(Stage, Option<Terms>)>,
    sites: Mutex<Sites>,
    /// Calls that the kernel was given and an agent could have decided.
    pub(crate) looks: AtomicU32,
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
            vdso: [AtomicU64::new(0), AtomicU64::new(0)],
            paces: Mutex::new(None),
            shares_memory: AtomicBool::new(false),
            agent: Mutex::default(),
            sites: Mutex::default(),
            looks: AtomicU32::new(0),
        })
    }

    /// The process of a new child, with filters and clocks as its parent has them.
    pub(crate) fn child(&self, tgid: i32) -> Arc<Self> {
        let child = Self::new(tgid, self.installed(), self.required());
        child.set_vdso(self.vdso());
        *child.paces.lock().unwrap_or_else(PoisonError::into_inner) = self.paces();
        // Its memory is a copy of this one's, or the same.
        *child.agent() = *self.agent();
        *child.sites() = self.sites().clone();
        child
    }

    fn agent(&self) -> MutexGuard<'_, (Stage, Option<Terms>)> {
        self.agent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn agent_stage(&self) -> Stage {
        self.agent().0
    }

    pub(crate) fn set_agent_stage(&self, stage: Stage) {
        self.agent().0 = stage;
    }

    /// What its own page says, for as long as it has one.
    pub(crate) fn terms(&self) -> Option<Terms> {
        self.agent().1
    }

    pub(crate) fn note_terms(&self, terms: Terms) {
        self.agent().1 = Some(terms);
    }

    pub(crate) fn sites(&self) -> MutexGuard<'_, Sites> {
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another process has the same memory, or may have.
    pub(crate) fn note_shared_memory(&self) {
        self.shares_memory.store(true, Ordering::Release);
    }

    pub(crate) fn shares_memory(&self) -> bool {
        self.shares_memory.load(Ordering::Acquire)
    }

    /// Whether one thread alone runs in its memory.
    pub(crate) fn is_alone(&self) -> bool {
        // A link for each thread, one for `.`, one for the name.
        let threads = std::fs::metadata(format!("/proc/{}/task", self.tgid)).map(|m| m.nlink());
        !self.shares_memory() && threads.is_ok_and(|n| n == 3)
    }

    pub(crate) fn vdso(&self) -> vdso::Place {
        vdso::Place::from_words([&self.vdso[0], &self.vdso[1]].map(|w| w.load(Ordering::Acquire)))
    }

    pub(crate) fn set_vdso(&self, place: vdso::Place) {
        for (slot, word) in self.vdso.iter().zip(place.to_words()) {
            slot.store(word, Ordering::Release);
        }
    }

    /// The paces of its clocks; `None` for the host's.
    pub(crate) fn paces(&self) -> Option<Paces> {
        *self.paces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets no thread of it read a clock until its paces are set.
    pub(crate) fn hold_clocks(&self) {
        if let Err(error) = vdso::hold(self.tgid, self.vdso()) {
            tracing::debug!(tgid = self.tgid, %error, "the clocks of a process run on");
        }
    }

    /// Changes the paces of its clocks, also in its memory.
    pub(crate) fn set_paces(&self, paces: Option<Paces>) {
        let mut slot = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        *slot = paces;
        // Under the lock, so that two changes reach the memory in the same order.
        if let Err(error) = vdso::set_paces(self.tgid, self.vdso(), paces.as_ref()) {
            tracing::debug!(tgid = self.tgid, %error, "the clocks of a process keep their pace");
        }
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
        let before = self.required.fetch_or(groups.bits(), Ordering::AcqRel);
        let is_first = groups.bits() & !before & GroupSet::STAT.bits() != 0;
        if is_first && let Some(terms) = self.terms() {
            self.renew_terms(terms);
        }
    }

    pub(crate) fn note_installed(&self, groups: GroupSet) {
        self.installed.fetch_or(groups.bits(), Ordering::AcqRel);
        self.require(groups);
    }

    /// Whether some of its calls can only be ptrace-stops of ours: in another tracer's hands they would fail.
    #[must_use]
    pub fn needs_own_tracer(&self) -> bool {
        !(self.installed() - crate::inject::LISTENED - crate::inject::ALONGSIDE).is_empty()
    }

    /// Groups that the filters trap though nothing requires them yet.
    pub(crate) fn note_carried(&self, groups: GroupSet) {
        self.installed.fetch_or(groups.bits(), Ordering::AcqRel);
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
            let path = format!("/proc/{}/mem", self.tgid);
            let both = OpenOptions::new().read(true).write(true).open(&path);
            *slot = both.or_else(|_| File::open(&path)).ok().map(Arc::new);
        }
        slot.clone()
    }

    /// After exec: the descriptor would show the former program.
    pub(crate) fn forget_memory(&self) {
        *self.agent() = (Stage::None, None);
        *self.sites() = Sites::default();
        self.looks.store(0, Ordering::Relaxed);
        self.shares_memory.store(false, Ordering::Release);
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
