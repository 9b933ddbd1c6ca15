//! The start of a view: which engine, which modules, what runs first.

use crate::composition::Composition;
use crate::stage::{MountLine, Stage};
use abi::module::Claim;
use anyhow::{Context, Result, bail};
use engine::front::{Ended, Report, Role};
use engine::launch::Launch;
use engine::{BackEnd, front, launch};
use monitor::{Monitor, Settings};
use std::cell::RefCell;
use std::ffi::{CString, OsString};
use std::io::{IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;
use std::sync::Arc;
use syscalls::GroupSet;

/// How a view is to be started.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// The back end, or `None` for the better one that works.
    pub engine: Option<BackEnd>,
    /// Modules to load first.
    pub preload: Vec<String>,
    /// What happens inside before the command.
    pub stage: Stage,
    /// The name of the view.
    pub name: String,
    /// No nested views.
    pub no_nesting: bool,
    /// Virtual files have placeholders, never files of `/dev/fuse`.
    pub no_fuse: bool,
    /// Processes get no agent.
    pub no_agent: bool,
    /// No greeting.
    pub quiet: bool,
    /// What to log, in the words of `tracing` filters.
    pub log: Option<String>,
    /// The other processes of the view end with the first one.
    pub ends_with_first: bool,
    /// The command and its arguments.
    pub command: Vec<OsString>,
}

/// Seconds between TERM and KILL for what runs on when the first process of such a view has ended.
pub(crate) const GRACE_SECONDS: u64 = 2;

/// Starts a view and returns how its first process ended; in the monitor process itself it does not return.
///
/// # Errors
/// What keeps the view from starting, with the next step.
pub fn run(start: &Start, parts: &Composition) -> Result<Ended> {
    let back_end = match start.engine {
        Some(chosen) => chosen,
        None => engine::probe::choose()?,
    };
    if start.command.is_empty() {
        bail!("no command");
    }
    let mut start = start.clone();
    load_for_mounts(&mut start, parts)?;
    greet(&start, back_end);
    let report = match front::split().context("fork of the monitor")? {
        Role::Front(waiting) if start.ends_with_first => return Ok(waiting.wait_for_all()),
        Role::Front(waiting) => return Ok(waiting.wait()),
        Role::Monitor(report) => report,
    };
    // The front ends when the report is gone, and we with it: not before the cause is told.
    let report = Rc::new(RefCell::new(report));
    if let Err(error) = be_the_monitor(&start, parts, back_end, &report) {
        crate::finish::say("umview", &format!("{error:#}"));
        std::process::exit(125);
    }
    std::process::exit(0);
}

fn be_the_monitor(
    start: &Start,
    parts: &Composition,
    back_end: BackEnd,
    report: &Rc<RefCell<Report>>,
) -> Result<()> {
    begin_log(start);
    let monitor = Monitor::new(Settings {
        modules: parts.modules(),
        name: start.name.clone(),
        may_nest: !start.no_nesting,
        may_use_fuse: !start.no_fuse,
    });
    for name in &start.preload {
        monitor.preload(name).map_err(anyhow::Error::msg).with_context(|| format!("-p {name}"))?;
    }
    let groups = if monitor.needs_names() { GroupSet::NAMES } else { GroupSet::empty() };
    let command = first_command(start)?;
    let launch = Launch {
        back_end,
        command,
        may_have_agent: !start.no_agent && start.log.is_none(),
        groups,
    };
    let on_exit = Rc::clone(report);
    let (at_end, ends_with_first) = (Arc::clone(&monitor), start.ends_with_first);
    launch::run(
        &launch,
        |engine| {
            monitor.set_engine(Arc::clone(engine));
            report.borrow().step_back();
            Arc::clone(&monitor) as Arc<dyn engine::Dispatcher>
        },
        Box::new(move |status| {
            at_end.end();
            on_exit.borrow_mut().tell(status);
            if ends_with_first {
                // Not here: this thread is the one that hears of their ends.
                let monitor = Arc::clone(&at_end);
                std::thread::spawn(move || monitor.end_all(GRACE_SECONDS));
            }
        }),
    )
    .context("the view could not be started")?;
    monitor.end();
    Ok(())
}

fn begin_log(start: &Start) {
    let filter = start.log.clone().or_else(|| std::env::var("UMVIEW_LOG").ok());
    let filter = filter.unwrap_or_else(|| "error".into());
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .without_time()
        .try_init();
}

/// The command, behind what comes before it.
fn first_command(start: &Start) -> Result<Vec<CString>> {
    let words = start.stage.before(&start.command)?;
    words
        .iter()
        .map(|w| CString::new(w.as_bytes()).context("an argument holds a NUL byte"))
        .collect()
}

/// The modules of the mounts that are not loaded by `-p`: from the first instruction on, which is cheaper than later.
fn load_for_mounts(start: &mut Start, parts: &Composition) -> Result<()> {
    let all = parts.modules();
    for text in &start.stage.mounts {
        let line = MountLine::read(text)?;
        let Some(module) = all.iter().find(|m| has_type(m.as_ref(), &line.fs_type)) else {
            continue;
        };
        let is_there = |name: &String| name.split(',').next() == Some(module.name());
        if !start.preload.iter().any(is_there) {
            start.preload.push(module.name().to_owned());
        }
    }
    Ok(())
}

fn has_type(module: &dyn abi::module::Module, fs_type: &str) -> bool {
    module.claims().iter().any(|claim| match claim {
        Claim::FsTypePrefix(prefix) => fs_type.starts_with(prefix.as_str()),
        Claim::FsType(exact) => fs_type == exact,
        _ => false,
    })
}

/// The modules that a nested view needs for its mounts.
pub(crate) fn modules_of(mounts: &[String], parts: &Composition) -> Result<Vec<String>> {
    let stage = Stage { mounts: mounts.to_vec(), ..Stage::default() };
    let mut start = Start { stage, ..Start::default() };
    load_for_mounts(&mut start, parts)?;
    Ok(start.preload)
}

/// One line for the person at a terminal.
fn greet(start: &Start, back_end: BackEnd) {
    if start.quiet || !std::io::stderr().is_terminal() {
        return;
    }
    let engine = if back_end == BackEnd::Notify { "notify" } else { "trace" };
    let mut line = format!("View-OS {}, engine {engine}", env!("CARGO_PKG_VERSION"));
    if !start.name.is_empty() {
        line.push_str(&format!(", view {}", start.name));
    }
    if !start.preload.is_empty() {
        line.push_str(&format!(", with {}", start.preload.join(" ")));
    }
    let _ = writeln!(std::io::stderr(), "{line}");
}
