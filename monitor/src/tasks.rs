//! What the monitor keeps of every process: its view, directories, ids and program.

use crate::credentials::Credentials;
use crate::namei::Place;
use crate::stats::Answers;
use crate::umask::Umask;
use crate::view::View;
use abi::fs::{FileSystem, Handle};
use engine::Tid;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// A process (thread group). Threads share it.
pub(crate) struct Proc {
    pub(crate) tgid: i32,
    pub(crate) view: RwLock<Arc<View>>,
    pub(crate) fs: Mutex<Directories>,
    pub(crate) umask: Umask,
    /// `None` while the host's ids are the ids.
    pub(crate) ids: RwLock<Option<Arc<Credentials>>>,
    /// The view's path of the program, where the host's /proc/PID/exe would say another.
    pub(crate) exe: Mutex<Option<Vec<u8>>>,
    /// What the next exec event makes of this process, if the exec that is under way succeeds.
    pub(crate) pending_exec: Mutex<Option<PendingExec>>,
    /// How its calls were answered.
    pub(crate) answers: Answers,
    /// By descriptor: what the view lists of a directory of the host that it has open.
    pub(crate) listings: Mutex<HashMap<i32, OpenListing>>,
}

/// A directory of a file system, open for its names; closed when dropped.
pub(crate) struct OpenListing {
    pub(crate) fs: Arc<dyn FileSystem>,
    pub(crate) handle: Handle,
}

impl Drop for OpenListing {
    fn drop(&mut self) {
        self.fs.release(self.handle);
    }
}

/// Working directory and root.
#[derive(Clone, Default)]
pub(crate) struct Directories {
    /// `None` while the kernel's own working directory is the view's.
    pub(crate) cwd: Option<Place>,
    /// `None` while the root is the view's.
    pub(crate) root: Option<Place>,
    /// The kernel's working directory as last read from /proc, until it can have changed.
    pub(crate) host_cwd: Option<Arc<[u8]>>,
}

/// An exec under way.
#[derive(Clone)]
pub(crate) struct PendingExec {
    pub(crate) exe: Option<Vec<u8>>,
    pub(crate) ids: Option<Arc<Credentials>>,
}

/// All tasks.
#[derive(Default)]
pub(crate) struct Tasks {
    map: RwLock<HashMap<i32, Arc<Proc>>>,
}

impl Tasks {
    pub(crate) fn get(&self, tid: Tid) -> Option<Arc<Proc>> {
        self.map.read().unwrap_or_else(PoisonError::into_inner).get(&tid.0).cloned()
    }

    pub(crate) fn insert(&self, tid: Tid, proc: Arc<Proc>) {
        self.map.write().unwrap_or_else(PoisonError::into_inner).insert(tid.0, proc);
    }

    /// Forgets a task; the process if this was its last thread.
    pub(crate) fn remove(&self, tid: Tid) -> Option<Arc<Proc>> {
        let proc = self.map.write().unwrap_or_else(PoisonError::into_inner).remove(&tid.0)?;
        (Arc::strong_count(&proc) == 1).then_some(proc)
    }

    /// Whether a process has one thread.
    pub(crate) fn is_alone(&self, proc: &Proc) -> bool {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        map.values().filter(|p| p.tgid == proc.tgid).count() < 2
    }

    /// Every process once.
    pub(crate) fn processes(&self) -> Vec<Arc<Proc>> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Arc<Proc>> = map.values().cloned().collect();
        all.sort_by_key(|p| p.tgid);
        all.dedup_by_key(|p| p.tgid);
        all
    }
}

impl Proc {
    pub(crate) fn root(tgid: i32, view: Arc<View>) -> Arc<Self> {
        Arc::new(Self {
            tgid,
            view: RwLock::new(view),
            fs: Mutex::new(Directories::default()),
            umask: Umask::default(),
            ids: RwLock::new(None),
            exe: Mutex::new(None),
            pending_exec: Mutex::new(None),
            answers: Answers::default(),
            listings: Mutex::default(),
        })
    }

    /// A child after fork(2).
    pub(crate) fn fork(&self, tgid: i32) -> Arc<Self> {
        Arc::new(Self {
            tgid,
            view: RwLock::new(self.view()),
            fs: Mutex::new(self.directories()),
            umask: self.umask.of_child(),
            ids: RwLock::new(self.ids()),
            exe: Mutex::new(self.exe.lock().unwrap_or_else(PoisonError::into_inner).clone()),
            pending_exec: Mutex::new(None),
            answers: Answers::default(),
            listings: Mutex::default(),
        })
    }

    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn directories(&self) -> Directories {
        self.fs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn ids(&self) -> Option<Arc<Credentials>> {
        self.ids.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_ids(&self, ids: Arc<Credentials>) {
        *self.ids.write().unwrap_or_else(PoisonError::into_inner) = Some(ids);
    }

    /// The ids that count in the view.
    pub(crate) fn credentials(&self) -> Arc<Credentials> {
        self.ids().unwrap_or_else(|| {
            Arc::new(
                Credentials::of_host(self.tgid)
                    .unwrap_or_else(|| Credentials::of_user(u32::MAX, u32::MAX, Vec::new())),
            )
        })
    }
}
