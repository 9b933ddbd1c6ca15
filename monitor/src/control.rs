//! The virtual system call `viewctl`: how the commands speak to the monitor. Requests and replies are JSON.

use crate::calls;
use crate::credentials::Credentials;
use crate::monitor::Monitor;
use crate::namei::{Place, Walk};
use crate::path;
use crate::tasks::Proc;
use crate::view::View;
use abi::Errno;
use abi::module::{Module, MountError};
use engine::{Answer, Call, Tid, Tracee};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::{Arc, PoisonError};
use syscalls::GroupSet;

/// The longest request in bytes.
const REQUEST_BYTES_MAX: usize = 1 << 20;

/// What a command asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Request {
    /// Is this a view?
    Probe,
    /// Load a module.
    AddService {
        /// The module, with options after a comma.
        name: String,
        /// It can't be unloaded.
        permanent: bool,
    },
    /// List what is loaded and what could be.
    LsService,
    /// Unload a module.
    DelService {
        /// The module.
        name: String,
    },
    /// Make a name mean a file system type.
    Alias {
        /// The new name.
        alias: String,
        /// The type, or nothing to forget it.
        fs_type: Option<String>,
    },
    /// Take a running process into the caller's view.
    Attach {
        /// Its process id.
        pid: i32,
    },
    /// Read or set the name of the view.
    ViewName {
        /// The new name.
        name: Option<String>,
    },
    /// Put the caller into a new view inside its view.
    NewView {
        /// The name of the new view.
        name: Option<String>,
    },
    /// Give the caller the virtual ids of a user.
    Su {
        /// User id.
        uid: u32,
        /// Group id.
        gid: u32,
        /// Supplementary groups.
        groups: Vec<u32>,
    },
    /// End every process of the view.
    Shutdown {
        /// Seconds between TERM and KILL.
        seconds: u64,
        /// The caller is not one of them, and waits until they are gone.
        spares_caller: bool,
    },
    /// Counts of calls by answer.
    Stat,
    /// Counts by process and by mount.
    Top,
    /// Views, services, mounts and processes.
    Tree,
    /// Who answers for a name.
    Explain {
        /// The name, relative ones from the caller's directory.
        path: String,
    },
}

/// What the monitor answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reply {
    /// 0, or a number of errno(3).
    pub errno: i32,
    /// Cause and next step, for a refusal.
    pub message: String,
    /// What was asked for.
    pub value: Value,
}

/// The modules that can be loaded.
pub(crate) struct Modules {
    all: Vec<Arc<dyn Module>>,
}

impl Modules {
    pub(crate) fn new(all: Vec<Arc<dyn Module>>) -> Self {
        Self { all }
    }

    /// By the name after `um_add_service`; `.so` and a path before it are forgiven.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<dyn Module>> {
        let bare = name.rsplit('/').next().unwrap_or(name).trim_end_matches(".so");
        self.all.iter().find(|m| m.name() == bare).cloned()
    }

    pub(crate) fn list(&self) -> impl Iterator<Item = &Arc<dyn Module>> {
        self.all.iter()
    }

    /// The module that has a type, loaded or not.
    pub(crate) fn that_would_mount(&self, fs_type: &str) -> Option<&'static str> {
        use abi::module::Claim;
        let claims = |m: &&Arc<dyn Module>| {
            m.claims().iter().any(|c| match c {
                Claim::FsTypePrefix(prefix) => fs_type.starts_with(prefix.as_str()),
                Claim::FsType(exact) => fs_type == exact,
                _ => false,
            })
        };
        self.all.iter().find(claims).map(|m| m.name())
    }
}

type Outcome = Result<Value, MountError>;

fn refuse(errno: Errno, message: impl Into<String>) -> MountError {
    MountError::new(errno, message)
}

/// Answers `viewctl(request, length, reply, room)`.
pub(crate) fn answer(m: &Monitor, tracee: &dyn Tracee, proc: &Arc<Proc>, call: Call) -> Answer {
    let request = match read_request(tracee, call) {
        Ok(request) => request,
        Err(errno) => return Answer::Return(Err(errno)),
    };
    let may_wait = matches!(request, Request::Attach { .. } | Request::Shutdown { .. });
    if may_wait {
        let (monitor, proc) = (m.arc(), Arc::clone(proc));
        return Answer::Later(Box::new(move |tracee| {
            let outcome = carry_out(&monitor, tracee.tid(), &proc, &request);
            deliver(tracee, call, outcome)
        }));
    }
    let needs = match &request {
        Request::AddService { .. } | Request::NewView { .. } => GroupSet::NAMES,
        Request::Su { .. } => GroupSet::NAMES | GroupSet::IDS,
        _ => GroupSet::empty(),
    };
    let outcome = carry_out(m, tracee.tid(), proc, &request);
    let answer = deliver(tracee, call, outcome);
    if needs.is_empty() { answer } else { Answer::Require(needs, Box::new(answer)) }
}

fn read_request(tracee: &dyn Tracee, call: Call) -> Result<Request, Errno> {
    let length = usize::try_from(call.args[1]).map_err(|_| Errno::EINVAL)?;
    if length > REQUEST_BYTES_MAX {
        return Err(Errno::E2BIG);
    }
    let mut bytes = vec![0; length];
    tracee.read(call.args[0], &mut bytes)?;
    serde_json::from_slice(&bytes).map_err(|_| Errno::EINVAL)
}

fn deliver(tracee: &dyn Tracee, call: Call, outcome: Outcome) -> Answer {
    let reply = match outcome {
        Ok(value) => Reply { errno: 0, message: String::new(), value },
        Err(e) => Reply { errno: e.errno.raw(), message: e.message, value: Value::Null },
    };
    let bytes = serde_json::to_vec(&reply).unwrap_or_default();
    let room = usize::try_from(call.args[3]).unwrap_or(0);
    if bytes.len() <= room
        && let Err(errno) = tracee.write(call.args[2], &bytes)
    {
        return Answer::Return(Err(errno));
    }
    Answer::Return(Ok(bytes.len() as u64))
}

fn carry_out(m: &Monitor, tid: Tid, proc: &Arc<Proc>, request: &Request) -> Outcome {
    let view = proc.view();
    match request {
        Request::Probe => {
            let ids = proc
                .ids()
                .map(|ids| json!({ "uid": ids.euid, "gid": ids.egid, "groups": ids.groups }));
            Ok(json!({ "view": name_of(&view), "number": view.id, "ids": ids }))
        }
        Request::AddService { name, permanent } => {
            m.add_service(&view, name, *permanent)?;
            m.require_names(&view);
            Ok(Value::Null)
        }
        Request::LsService => Ok(services(m, &view)),
        Request::DelService { name } => {
            view.del_service(name).map_err(|errno| match errno {
                Errno::EBUSY => refuse(
                    errno,
                    format!(
                        "{name} is in use: unmount what it has mounted first (mount | grep {name})"
                    ),
                ),
                Errno::EPERM => refuse(errno, format!("{name} was loaded as permanent")),
                _ => refuse(errno, format!("{name} is not loaded in this view; see um_ls_service")),
            })?;
            Ok(Value::Null)
        }
        Request::Alias { alias, fs_type } => {
            view.set_alias(alias, fs_type.as_deref());
            Ok(Value::Null)
        }
        Request::Attach { pid } => attach(m, tid, *pid),
        Request::ViewName { name } => {
            if let Some(name) = name {
                *view.name.write().unwrap_or_else(PoisonError::into_inner) = name.clone();
            }
            Ok(json!({ "name": name_of(&view), "number": view.id, "server": std::process::id() }))
        }
        Request::NewView { name } => new_view(m, proc, &view, name.as_deref()),
        Request::Su { uid, gid, groups } => {
            proc.set_ids(Arc::new(Credentials::of_user(*uid, *gid, groups.clone())));
            Ok(Value::Null)
        }
        Request::Shutdown { seconds, spares_caller } => {
            m.shutdown(&view, *seconds, spares_caller.then_some(proc.tgid));
            Ok(Value::Null)
        }
        Request::Stat => Ok(m.counts_as_json()),
        Request::Top => Ok(m.activity()),
        Request::Tree => Ok(tree(m)),
        Request::Explain { path } => explain(m, tid, proc, path),
    }
}

fn name_of(view: &View) -> String {
    view.name.read().unwrap_or_else(PoisonError::into_inner).clone()
}

fn services(m: &Monitor, view: &View) -> Value {
    let loaded = view.services();
    let is_loaded = |name: &str| loaded.iter().any(|s| s.module.name() == name);
    let list: Vec<Value> = m
        .modules
        .list()
        .map(|module| {
            json!({
                "name": module.name(),
                "description": module.description(),
                "loaded": is_loaded(module.name()),
            })
        })
        .collect();
    json!({ "services": list, "aliases": view.all_aliases() })
}

fn attach(m: &Monitor, tid: Tid, pid: i32) -> Outcome {
    let groups = m.engine().process(tid).map_or(GroupSet::BASE, |p| p.required());
    m.engine().attach(pid, tid, groups | GroupSet::BASE).map_err(|errno| {
        let why = match errno {
            Errno::ESRCH => format!("there is no process {pid}"),
            Errno::EEXIST => format!("process {pid} is in a view of this monitor already"),
            Errno::EPERM => format!(
                "process {pid} can't be traced: it belongs to another user, has another tracer (a debugger, a view), \
                 or kernel.yama.ptrace_scope forbids it (see umview --doctor)"
            ),
            other => format!("process {pid}: {other}"),
        };
        refuse(errno, why)
    })?;
    Ok(Value::Null)
}

fn new_view(m: &Monitor, proc: &Proc, view: &Arc<View>, name: Option<&str>) -> Outcome {
    if !m.may_nest {
        return Err(refuse(Errno::EPERM, "this monitor was started with -x: no nested views"));
    }
    let mut views = m.views.lock().unwrap_or_else(PoisonError::into_inner);
    let id = views.last().map_or(0, |v| v.id) + 1;
    let name = name.unwrap_or_default().to_owned();
    let new = View::new(id, name, Some(Arc::clone(view)), m.clock.tick());
    views.push(Arc::clone(&new));
    *proc.view.write().unwrap_or_else(PoisonError::into_inner) = new;
    // Its agent was told of the view that it leaves.
    m.renew_agent(proc, proc.tgid);
    Ok(json!({ "number": id }))
}

fn tree(m: &Monitor) -> Value {
    let views = m.views.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mounts = m.mounts.snapshot();
    let processes = m.tasks.processes();
    let list: Vec<Value> = views
        .iter()
        .map(|v| {
            let own_mounts: Vec<Value> = mounts
                .all()
                .iter()
                .filter(|mount| mount.view == v.id && !mount.is_hidden)
                .map(|mount| {
                    json!({
                        "target": path::text(&mount.target),
                        "source": mount.source,
                        "full_source": mount.full_source,
                        "type": mount.fs_type,
                        "options": mount.options,
                        "epoch": mount.born.0,
                    })
                })
                .collect();
            let pids: Vec<i32> =
                processes.iter().filter(|p| p.view().id == v.id).map(|p| p.tgid).collect();
            json!({
                "number": v.id,
                "name": name_of(v),
                "parent": v.parent.as_ref().map(|p| p.id),
                "epoch": v.born.0,
                "services": v.services().iter().map(|s| s.module.name()).collect::<Vec<_>>(),
                "mounts": own_mounts,
                "processes": pids,
            })
        })
        .collect();
    json!({ "views": list })
}

fn explain(m: &Monitor, tid: Tid, proc: &Arc<Proc>, wanted: &str) -> Outcome {
    let mut walk = Walk::of(m, proc, tid.0);
    let start = match proc.directories().cwd {
        Some(place) => Ok(place),
        None => {
            let cwd = m.host_cwd(proc, tid.0).unwrap_or_else(|| b"/"[..].into());
            walk.canonical(&cwd)
        }
    };
    let found = start
        .and_then(|start| walk.walk(start, wanted.as_bytes(), true))
        .map_err(|e| refuse(e, format!("{wanted}: {e}")))?;
    let view_path = path::text(&found.view_path());
    let who = match &found.place {
        None => "nobody: it does not exist".to_owned(),
        Some(Place::Host(_)) => "the host's kernel".to_owned(),
        Some(Place::Virtual(v)) => format!(
            "{} mounted on {} from {} (epoch {}), inode {}",
            v.mount.fs_type,
            path::text(&v.mount.target),
            v.mount.source,
            v.mount.born.0,
            v.attr.ino.0
        ),
        Some(Place::Device(d)) => {
            format!(
                "{} on {}, sub-device {}",
                d.mount.fs_type,
                path::text(&d.mount.target),
                d.number
            )
        }
        Some(Place::Proc(..)) => "umproc".to_owned(),
    };
    let host = found.place.as_ref().and_then(|p| p.host_path()).map(path::text);
    Ok(json!({ "path": view_path, "answered_by": who, "host_path": host }))
}

impl Monitor {
    pub(crate) fn add_service(
        &self,
        view: &Arc<View>,
        wanted: &str,
        permanent: bool,
    ) -> Result<(), MountError> {
        let name = wanted.split(',').next().unwrap_or(wanted);
        let module = self.modules.find(name).ok_or_else(|| {
            let known: Vec<&str> = self.modules.list().map(|m| m.name()).collect();
            refuse(Errno::ENOENT, format!("no module {name}; there are: {}", known.join(", ")))
        })?;
        let short = module.name();
        if let Some((_, options)) =
            wanted.split_once(',').filter(|(_, options)| !options.is_empty())
        {
            return Err(refuse(
                Errno::EINVAL,
                format!("{short} has no option {options:?}: it takes none"),
            ));
        }
        view.add_service(module, self.clock.tick(), permanent)
            .map_err(|errno| refuse(errno, format!("{short} is loaded already")))?;
        if let Some(service) = view.service(short) {
            calls::mount_service(self, view, &service);
        }
        Ok(())
    }

    /// TERM, wait, KILL for every process of a view and of the views in it; but one, where that is said: then until
    /// the others are gone.
    fn shutdown(&self, view: &View, seconds: u64, spared: Option<i32>) {
        let members = || -> Vec<i32> {
            self.tasks
                .processes()
                .iter()
                .filter(|p| p.view().is_or_descends_from(view.id) && Some(p.tgid) != spared)
                .map(|p| p.tgid)
                .collect()
        };
        let pause = || std::thread::sleep(std::time::Duration::from_millis(20));
        for pid in members() {
            let _ = self.engine().kill(pid, libc::SIGTERM);
        }
        let end = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
        while std::time::Instant::now() < end && !members().is_empty() {
            pause();
        }
        loop {
            let left = members();
            for &pid in &left {
                let _ = self.engine().kill(pid, libc::SIGKILL);
            }
            if left.is_empty() || spared.is_none() {
                return;
            }
            pause();
        }
    }

    /// TERM, wait, KILL for every process of every view, until none is left.
    pub fn end_all(&self, seconds: u64) {
        self.shutdown(&self.root_view, seconds, None);
        // One that forked meanwhile has a child that heard nothing.
        while !self.tasks.processes().is_empty() {
            self.shutdown(&self.root_view, 0, None);
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// A sentence for the person who looks at the monitor's log.
    pub(crate) fn say(&self, sentence: &str) {
        tracing::info!("{sentence}");
    }
}
