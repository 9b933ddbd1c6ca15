//! `umview`: starts a view, or inside a view a nested one.

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use commands::{Start, ask, run};
use engine::BackEnd;
use monitor::control::Request;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

/// Runs a command with a view of the system of its own
#[derive(Parser)]
#[command(
    version,
    disable_version_flag = true,
    after_help = "Examples:\n  umview bash                      a shell in a view; load modules inside\n  \
                  umview -p umfuse -p umdev bash   the same, with modules loaded\n  \
                  umview -V try -f setup.sh make   run setup.sh in the view, then make\n  \
                  umview --doctor                  what this machine offers\n\n\
                  Inside a view, umview makes a nested view: it sees the mounts made before it, its own stay private."
)]
struct Arguments {
    /// Load a module before the command starts (repeatable)
    #[arg(short, long = "preload", value_name = "MODULE[,OPTIONS]")]
    preload: Vec<String>,
    /// Run this script in the view first, in place of ~/.viewosrc
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    script: Option<PathBuf>,
    /// Name the view
    #[arg(short = 'V', long = "viewname", value_name = "NAME", default_value = "")]
    name: String,
    /// Allow no nested views
    #[arg(short = 'x', long = "nonesting")]
    no_nesting: bool,
    /// No greeting, and only errors in the log
    #[arg(short, long)]
    quiet: bool,
    /// How calls are intercepted; by default the better one that works here
    #[arg(long, value_enum)]
    engine: Option<Engine>,
    /// Log to standard error; without a filter, who answered each call and how long it took
    #[arg(long, value_name = "FILTER", num_args = 0..=1, require_equals = true, default_missing_value = "calls=debug,info")]
    log: Option<String>,
    /// Say what this machine offers, and what would be chosen
    #[arg(long)]
    doctor: bool,
    /// The command and its arguments; by default $SHELL
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Engine {
    /// Seccomp notification
    Notify,
    /// ptrace alone
    Trace,
}

fn main() {
    let is_login = std::env::args().next().is_some_and(|a| a.starts_with('-'));
    let arguments = if is_login { Arguments::parse_from(["umview"]) } else { Arguments::parse() };
    if let Err(error) = start(arguments) {
        eprintln!("umview: {error:#}");
        std::process::exit(125);
    }
}

fn start(arguments: Arguments) -> Result<()> {
    if arguments.doctor {
        return doctor();
    }
    let mut command = arguments.command;
    if command.is_empty() {
        command.push(std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into()));
    }
    if ask(&Request::Probe).is_ok() {
        return nested(&arguments.name, &arguments.preload, &command);
    }
    let start = Start {
        engine: arguments.engine.map(|e| match e {
            Engine::Notify => BackEnd::Notify,
            Engine::Trace => BackEnd::Trace,
        }),
        preload: arguments.preload,
        script: arguments.script,
        name: arguments.name,
        no_nesting: arguments.no_nesting,
        quiet: arguments.quiet,
        log: arguments.log,
        command,
    };
    run(&start)?.follow()
}

fn nested(name: &str, preload: &[String], command: &[OsString]) -> Result<()> {
    let name = (!name.is_empty()).then(|| name.to_owned());
    ask(&Request::NewView { name })?;
    for module in preload {
        ask(&Request::AddService { name: module.clone(), permanent: false })
            .with_context(|| format!("-p {module}"))?;
    }
    let (program, rest) = command.split_first().context("no command")?;
    let error = std::process::Command::new(program).args(rest).exec();
    Err(error).with_context(|| program.to_string_lossy().into_owned())
}

fn doctor() -> Result<()> {
    for finding in engine::probe::doctor() {
        let mark = if finding.works { "yes" } else { "no " };
        eprintln!("{mark}  {:<22} {}", finding.name, finding.detail);
    }
    let chosen = engine::probe::choose()?;
    eprintln!("engine: {}", if chosen == BackEnd::Notify { "notify" } else { "trace" });
    Ok(())
}
