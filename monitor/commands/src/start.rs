//! The start of a view: which engine, which modules, what runs first.

use anyhow::{Context, Result, bail};
use engine::front::{Ended, Report, Role};
use engine::launch::Launch;
use engine::{BackEnd, front, launch};
use monitor::{Monitor, Settings};
use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use syscalls::GroupSet;

/// How a view is to be started.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// The back end, or `None` for the better one that works.
    pub engine: Option<BackEnd>,
    /// Modules to load first.
    pub preload: Vec<String>,
    /// A script to run before the command, in place of the user's rc files.
    pub script: Option<PathBuf>,
    /// The name of the view.
    pub name: String,
    /// No nested views.
    pub no_nesting: bool,
    /// No greeting.
    pub quiet: bool,
    /// What to log, in the words of `tracing` filters.
    pub log: Option<String>,
    /// The command and its arguments.
    pub command: Vec<OsString>,
}

/// Every module and driver that this build has.
fn modules() -> Vec<Arc<dyn abi::module::Module>> {
    let drivers: Vec<Arc<dyn abi::fs::FileSystemType>> = vec![
        Arc::new(ext2::Ext2Type),
        Arc::new(fat::FatType),
        Arc::new(iso9660::Iso9660Type),
    ];
    let mut all: Vec<Arc<dyn abi::module::Module>> =
        vec![Arc::new(umfuse::Umfuse::new(drivers)), Arc::new(umdev::Umdev::new()), Arc::new(ummisc::Ummisc)];
    all.extend(monitor::builtin::modules());
    all
}

/// Starts a view and returns how its first process ended; in the monitor process itself it does not return.
///
/// # Errors
/// What keeps the view from starting, with the next step.
pub fn run(start: &Start) -> Result<Ended> {
    let back_end = match start.engine {
        Some(chosen) => chosen,
        None => engine::probe::choose()?,
    };
    if start.command.is_empty() {
        bail!("no command");
    }
    let report = match front::split().context("fork of the monitor")? {
        Role::Front(waiting) => return Ok(waiting.wait()),
        Role::Monitor(report) => report,
    };
    if let Err(error) = be_the_monitor(start, back_end, report) {
        let _ = std::io::Write::write_fmt(
            &mut std::io::stderr(),
            format_args!("umview: {error:#}\n"),
        );
        std::process::exit(125);
    }
    std::process::exit(0);
}

fn be_the_monitor(start: &Start, back_end: BackEnd, report: Report) -> Result<()> {
    begin_log(start);
    let monitor = Monitor::new(Settings {
        modules: modules(),
        name: start.name.clone(),
        may_nest: !start.no_nesting,
    });
    for name in &start.preload {
        monitor.preload(name).map_err(anyhow::Error::msg).with_context(|| format!("-p {name}"))?;
    }
    let groups = if monitor.needs_names() { GroupSet::NAMES } else { GroupSet::empty() };
    let launch = Launch { back_end, command: first_command(start)?, groups };
    let shared = std::rc::Rc::new(std::cell::RefCell::new(report));
    let on_exit = std::rc::Rc::clone(&shared);
    let at_end = Arc::clone(&monitor);
    launch::run(
        &launch,
        |engine| {
            monitor.set_engine(Arc::clone(engine));
            shared.borrow().step_back();
            Arc::clone(&monitor) as Arc<dyn engine::Dispatcher>
        },
        Box::new(move |status| {
            at_end.sync_all();
            on_exit.borrow_mut().tell(status);
        }),
    )
    .context("the view could not be started")?;
    monitor.sync_all();
    Ok(())
}

fn begin_log(start: &Start) {
    let filter = start.log.clone().or_else(|| std::env::var("UMVIEW_LOG").ok());
    let filter = filter.unwrap_or_else(|| if start.quiet { "error".into() } else { "warn".into() });
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .without_time()
        .try_init();
}

/// The command, behind a script where there is one.
fn first_command(start: &Start) -> Result<Vec<CString>> {
    let mut words: Vec<OsString> = Vec::new();
    if let Some(script) = start.script.clone().or_else(rc_file) {
        let text = ". \"$0\"; exec \"$@\"";
        words.extend(["/bin/sh".into(), "-c".into(), text.into(), script.into_os_string()]);
    }
    words.extend(start.command.iter().cloned());
    words
        .iter()
        .map(|w| CString::new(w.as_bytes()).context("an argument holds a NUL byte"))
        .collect()
}

/// The user's own start script, if there is one.
fn rc_file() -> Option<PathBuf> {
    let home = std::env::var_os("HOME")?;
    let own = PathBuf::from(home).join(".viewosrc");
    own.is_file().then_some(own)
}
