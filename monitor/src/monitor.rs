//! The monitor: tables, and the door through which the engine comes in.

use crate::calls;
use crate::control::Modules;
use crate::credentials;
use crate::hostview;
use crate::mounts::{Mount, MountTable};
use crate::namei::{Place, VirtualPlace, Walk};
use crate::quick::{Cache, Quick};
use crate::sockets::SocketNames;
use crate::statbuf::Info;
use crate::stats::Counts;
use crate::tasks::{Proc, Tasks};
use crate::vfiles::{VFile, VFiles, VKind, device_info};
use crate::view::{Clock, View};
use abi::fs::{Attr, FileKind};
use abi::{Errno, Result};
use engine::{Answer, Call, Dispatcher, Engine, TaskStart, Terms, Tid, Tracee};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use syscalls::GroupSet;

/// How a monitor is set up.
pub struct Settings {
    /// The modules that `um_add_service` can load.
    pub modules: Vec<Arc<dyn abi::module::Module>>,
    /// The name of the first view.
    pub name: String,
    /// Whether `umview` inside a view makes a nested view.
    pub may_nest: bool,
    /// Whether virtual files may be files of a mount of `/dev/fuse`, where that can be had.
    pub may_use_fuse: bool,
}

/// The monitor of one tree of views.
pub struct Monitor {
    engine: OnceLock<Arc<Engine>>,
    pub(crate) modules: Modules,
    pub(crate) clock: Clock,
    pub(crate) root_view: Arc<View>,
    pub(crate) may_nest: bool,
    pub(crate) mounts: MountTable,
    pub(crate) tasks: Tasks,
    pub(crate) vfiles: VFiles,
    pub(crate) sockets: SocketNames,
    pub(crate) quick: Quick,
    pub(crate) counts: Counts,
    pub(crate) next_id: AtomicU64,
    /// Views in the order of their making, for numbers and `umview tree`.
    pub(crate) views: Mutex<Vec<Arc<View>>>,
    pub(crate) loops: crate::loops::Loops,
    own_uid: u32,
    this: OnceLock<std::sync::Weak<Monitor>>,
}

impl Monitor {
    /// A monitor without processes.
    #[must_use]
    pub fn new(settings: Settings) -> Arc<Self> {
        let clock = Clock::default();
        let born = clock.tick();
        let root_view = View::new(0, settings.name, None, born);
        let monitor = Arc::new(Self {
            engine: OnceLock::new(),
            modules: Modules::new(settings.modules),
            clock,
            views: Mutex::new(vec![Arc::clone(&root_view)]),
            root_view,
            may_nest: settings.may_nest,
            mounts: MountTable::default(),
            tasks: Tasks::default(),
            vfiles: VFiles::default(),
            sockets: SocketNames::default(),
            quick: Arc::new(Cache::default()),
            counts: Counts::new(),
            next_id: AtomicU64::new(1),
            loops: crate::loops::Loops::default(),
            own_uid: nix::unistd::geteuid().as_raw(),
            this: OnceLock::new(),
        });
        if !settings.may_use_fuse {
            monitor.vfiles.accelerator.switch_off();
        }
        let _ = monitor.this.set(Arc::downgrade(&monitor));
        monitor
    }

    /// Gives the monitor its engine; once, before any process runs.
    pub fn set_engine(&self, engine: Arc<Engine>) {
        let teller = Arc::clone(&engine);
        self.vfiles.accelerator.set_listener(Box::new(move |device| {
            if let Some(agent) = teller.agent() {
                agent.distrust(device);
            }
        }));
        let _ = self.engine.set(engine);
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        self.engine.get().expect("the engine is set before the first call")
    }

    /// Before the first process there is none.
    pub(crate) fn engine_if_set(&self) -> Option<&Arc<Engine>> {
        self.engine.get()
    }

    pub(crate) fn arc(&self) -> Arc<Self> {
        self.this.get().and_then(std::sync::Weak::upgrade).expect("made by new, which sets it")
    }

    /// Loads a module into the first view before its first process starts.
    ///
    /// # Errors
    /// As `um_add_service`: the sentence for the person.
    pub fn preload(&self, name: &str) -> std::result::Result<(), String> {
        let view = Arc::clone(&self.root_view);
        self.add_service(&view, name, false).map_err(|e| e.message)
    }

    /// Whether any module is loaded, so that names must be trapped from the start.
    #[must_use]
    pub fn needs_names(&self) -> bool {
        !self.root_view.services().is_empty()
    }

    pub(crate) fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether a task may hold descriptors of virtual files: it was given one, or inherited it.
    pub(crate) fn may_hold_virtual(&self, tid: i32) -> bool {
        self.engine().process(Tid(tid)).is_none_or(|p| p.required().contains(GroupSet::STAT))
    }

    /// Whether the monitor may act on the host's files for a task: it has the same user.
    pub(crate) fn acts_for(&self, tid: i32) -> bool {
        if self.own_uid != 0 {
            return true;
        }
        credentials::Credentials::of_host(tid).is_some_and(|c| c.fsuid == 0)
    }

    /// Attributes of an inode of a mount.
    pub(crate) fn virtual_info(&self, mount: &Mount, attr: Attr) -> Info {
        let mount_id = 1_000_000 + mount.id;
        match mount.tree().and_then(|fs| fs.visible(attr.ino)) {
            Some((dev, ino)) => {
                Info { dev, attr: Attr { ino: abi::fs::Ino(ino), ..attr }, mount_id }
            }
            None => Info { dev: mount.dev.to_raw(), attr, mount_id },
        }
    }

    /// Attributes of a place.
    pub(crate) fn info_of(&self, place: &Place) -> Result<Info> {
        match place {
            Place::Host(h) => {
                let path = place.host_path().ok_or(Errno::EIO)?;
                Ok(Info::of_host(&hostview::stat(path, h.is_magic)?))
            }
            Place::Virtual(v) => Ok(self.virtual_info(&v.mount, v.attr.clone())),
            Place::Device(d) => Ok(device_info(&d.mount, d.number)),
            Place::Proc(names, entry) => {
                // The host has a file of this name: its attributes, but the length of a link.
                let mut info = match hostview::lstat(names.view()) {
                    Ok(s) => Info::of_host(&s),
                    Err(_) => Info::of_host(&hostview::lstat(b"/proc/version")?),
                };
                info.attr.kind = entry.kind();
                info.attr.size_bytes = 0;
                if info.attr.kind == FileKind::Symlink {
                    info.attr.perm = 0o777;
                }
                Ok(info)
            }
        }
    }

    /// The place that an open virtual file is of.
    pub(crate) fn place_of_file(&self, file: &VFile, walk: &mut Walk<'_>) -> Result<Place> {
        if let (Some(gone), Some(mount)) = (file.gone(), file.mount()) {
            let names = crate::namei::Names::of(&file.view_path(), walk.epoch);
            let mut lost = VirtualPlace { names, mount: Arc::clone(mount), attr: gone.clone() };
            lost.lose();
            return Ok(Place::Virtual(lost));
        }
        match &file.kind {
            VKind::Directory(v) => {
                let now = file.view_path();
                if now == v.names.view() {
                    return Ok(Place::Virtual(v.clone()));
                }
                // It was renamed since.
                let names = match walk.canonical(&now) {
                    Ok(place) => place.names().clone(),
                    Err(_) => crate::namei::Names::of(&now, walk.epoch),
                };
                Ok(Place::Virtual(VirtualPlace { names, ..v.clone() }))
            }
            VKind::HostDirectory(p) | VKind::Other(p) => Ok(p.clone()),
            VKind::File { mount, ino } | VKind::Fifo { mount, ino } => {
                let fs = mount.tree().ok_or(Errno::EIO)?;
                // Nothing is below a file: its name in the view is enough.
                let names = crate::namei::Names::of(&file.view_path(), walk.epoch);
                Ok(Place::Virtual(VirtualPlace {
                    names,
                    mount: Arc::clone(mount),
                    attr: fs.getattr(*ino)?,
                }))
            }
            VKind::Device { mount, number } => Ok(Place::Device(crate::namei::DevicePlace {
                names: crate::namei::Names::of(&file.view_path(), walk.epoch),
                mount: Arc::clone(mount),
                number: *number,
            })),
        }
    }

    /// Whether a task may look names up in a directory of a mount that enforces permissions.
    pub(crate) fn may_search(&self, proc: Option<&Proc>, dir: &VirtualPlace) -> Result<()> {
        match proc {
            Some(proc) if calls::permission::binds(&dir.mount, proc) => {
                calls::permission::check(&proc.credentials(), &dir.attr, libc::X_OK)
            }
            _ => Ok(()),
        }
    }

    /// All that can be mounted in a view, for /proc/filesystems.
    pub(crate) fn known_types(&self, view: &View) -> Vec<String> {
        let mut names: Vec<String> =
            view.services().iter().map(|s| s.module.name().to_owned()).collect();
        names.extend(view.aliases().into_iter().map(|(alias, _)| alias));
        names.sort();
        names
    }

    fn proc_of(&self, tracee: &dyn Tracee) -> Arc<Proc> {
        match self.tasks.get(tracee.tid()) {
            Some(proc) => proc,
            None => {
                let proc = Proc::root(tracee.tgid(), Arc::clone(&self.root_view));
                self.tasks.insert(tracee.tid(), Arc::clone(&proc));
                proc
            }
        }
    }
}

impl Dispatcher for Monitor {
    fn task_start(&self, start: TaskStart) {
        let parent = start.parent.and_then(|p| self.tasks.get(p));
        let proc = match parent {
            Some(parent) if parent.tgid == start.tgid => parent,
            Some(parent) => parent.fork(start.tgid),
            None => match self.tasks.get(Tid(start.tgid)) {
                Some(leader) => leader,
                None => Proc::root(start.tgid, Arc::clone(&self.root_view)),
            },
        };
        let is_new = start.tid.0 == start.tgid;
        self.tasks.insert(start.tid, Arc::clone(&proc));
        if is_new {
            self.refresh_clocks_of(&proc);
        }
    }

    fn task_exec(&self, tgid: i32, former: Tid) {
        let Some(proc) = self.tasks.get(former) else { return };
        if former.0 != tgid {
            self.tasks.remove(former);
            self.tasks.insert(Tid(tgid), Arc::clone(&proc));
        }
        let pending = proc.pending_exec.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut exe = proc.exe.lock().unwrap_or_else(PoisonError::into_inner);
        match pending {
            Some(pending) => {
                *exe = pending.exe;
                drop(exe);
                if let Some(ids) = pending.ids {
                    proc.set_ids(ids);
                }
            }
            None => *exe = None,
        }
    }

    fn task_exit(&self, tid: Tid) {
        if self.tasks.remove(tid).is_some() && self.vfiles.mapped.load(Ordering::Relaxed) > 0 {
            for file in self.vfiles.all() {
                if let Err(error) = file.flush_maps() {
                    tracing::error!(%error, "mapped pages were not written back");
                }
            }
        }
    }

    fn agent_terms(&self, tid: Tid) -> Option<Terms> {
        self.terms_of(&*self.tasks.get(tid)?)
    }

    fn call(&self, tracee: &dyn Tracee, call: Call) -> Answer {
        let start = self.counts.begin();
        let proc = self.proc_of(tracee);
        let guarded = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            calls::dispatch(self, tracee, &proc, call)
        }));
        let answer = guarded.unwrap_or_else(|_| {
            tracing::error!(number = call.number, args = ?call.args, "panic while answering a call: EIO");
            Answer::Return(Err(Errno::EIO))
        });
        self.counts.end(start, tracee.tid(), call, &answer);
        proc.answers.add(&answer);
        answer
    }
}
