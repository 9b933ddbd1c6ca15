//! `umview`: from the words of the command line to a view, a nested view, or an answer about the view.

use crate::accounts::Account;
use crate::ask;
use crate::cli::{Engine, Umview};
use crate::exec::login_name;
use crate::finish::{Status, answer};
use crate::inspect::Question;
use crate::script::Script;
use crate::stage::{CAN_NOT_START, Stage};
use crate::start::{Start, modules_of, run};
use abi::Errno;
use anyhow::{Context, Error, Result, bail};
use clap::Parser;
use engine::BackEnd;
use monitor::control::Request;
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// Shells for a user whose own shell is umview.
const SHELLS: [&str; 2] = ["/bin/bash", "/bin/sh"];

/// Does what the words say, the first being the program's own name.
///
/// # Errors
/// What keeps the view from starting, with the status 125; else the command's own end is this process's end, and it
/// does not return.
pub fn umview(words: &[OsString]) -> Result<()> {
    let (own_name, rest) = words.split_first().context("no name")?;
    monitor::keeper::keep_if_asked(rest);
    if let Some((stage, command)) = Stage::read(rest) {
        return Err(stage.carry_out(command));
    }
    let outcome = if own_name.to_string_lossy().starts_with('-') {
        login(rest)
    } else if let Some(question) = Question::read(rest).filter(|_| is_in_view()) {
        return question.ask();
    } else {
        begin(read(words))
    };
    outcome.map_err(|cause| match cause.downcast::<Status>() {
        Ok(status) => Error::new(status),
        Err(cause) => Error::new(Status { code: CAN_NOT_START, cause }),
    })
}

/// A wrong option is a failure of ours, and not the command's, which may end with 2 as well.
fn read(words: &[OsString]) -> Umview {
    Umview::try_parse_from(words).unwrap_or_else(|error| {
        let _ = error.print();
        std::process::exit(if error.use_stderr() { i32::from(CAN_NOT_START) } else { 0 })
    })
}

fn is_in_view() -> bool {
    ask(&Request::Probe).is_ok()
}

/// The user's shell as a login shell in a view; the words are the shell's.
fn login(words: &[OsString]) -> Result<()> {
    let shell = shell_of_account();
    let mut arguments = Umview::parse_from(["umview"]);
    let own_name = Some(login_name(&shell));
    arguments.command = std::iter::once(shell).chain(words.iter().cloned()).collect();
    enter(arguments, own_name)
}

fn begin(mut arguments: Umview) -> Result<()> {
    if arguments.doctor {
        return doctor();
    }
    if let Some(line) = arguments.line.take() {
        arguments.command = vec![shell(), "-c".into(), line];
    } else if arguments.command.is_empty() {
        arguments.command.push(shell());
    }
    enter(arguments, None)
}

fn enter(arguments: Umview, own_name: Option<String>) -> Result<()> {
    let script = arguments.script.map(|file| Script { file, must_succeed: true });
    let mut stage = Stage { mounts: arguments.mount, script, su: arguments.su, own_name };
    if is_in_view() {
        if arguments.engine.is_some() || arguments.log.is_some() {
            bail!("--engine and --log are for the first view: a nested view shares its monitor");
        }
        return nested(&arguments.name, &arguments.preload, stage, &arguments.command);
    }
    // A nested view sees what ~/.viewosrc has mounted.
    stage.script = stage.script.or_else(Script::of_user);
    let start = Start {
        engine: match arguments.engine {
            Some(Engine::Notify) => Some(BackEnd::Notify),
            Some(Engine::Trace) => Some(BackEnd::Trace),
            None => arguments.no_notify.then_some(BackEnd::Trace),
        },
        no_fuse: arguments.no_fuse || arguments.no_userns,
        preload: arguments.preload,
        stage,
        name: arguments.name,
        no_nesting: arguments.no_nesting,
        quiet: arguments.quiet,
        log: arguments.log,
        command: arguments.command,
    };
    run(&start)?.follow()
}

fn nested(name: &str, preload: &[String], stage: Stage, command: &[OsString]) -> Result<()> {
    let name = (!name.is_empty()).then(|| name.to_owned());
    let needed = modules_of(&stage.mounts)?;
    ask(&Request::NewView { name })?;
    for module in preload.iter().chain(&needed) {
        match ask(&Request::AddService { name: module.clone(), permanent: false }) {
            // The view around this one has loaded it: it is there.
            Err(refused) if refused.errno == Errno::EEXIST => {}
            other => drop(other.with_context(|| format!("-p {module}"))?),
        }
    }
    Err(stage.carry_out(command))
}

/// Whether a shell is umview itself, which would start itself again and again.
fn is_umview(shell: &OsStr) -> bool {
    Path::new(shell).file_name() == Some(OsStr::new("umview"))
}

/// $SHELL, or else the account's.
fn shell() -> OsString {
    std::env::var_os("SHELL")
        .filter(|s| !s.is_empty() && !is_umview(s))
        .unwrap_or_else(shell_of_account)
}

/// The shell of /etc/passwd; for a user whose shell is umview the usual one.
fn shell_of_account() -> OsString {
    let account = Account::numbered(nix::unistd::getuid().as_raw()).ok();
    account.map(|a| a.shell).filter(|shell| !is_umview(shell)).unwrap_or_else(|| {
        let there = SHELLS.iter().find(|path| Path::new(path).exists());
        there.unwrap_or(&"/bin/sh").into()
    })
}

fn doctor() -> Result<()> {
    let mut text = String::new();
    for finding in engine::probe::doctor() {
        let mark = if finding.works { "yes" } else { "no " };
        text.push_str(&format!("{mark}  {:<22} {}\n", finding.name, finding.detail));
    }
    let chosen = engine::probe::choose();
    let name = match &chosen {
        Ok(BackEnd::Notify) => "notify",
        Ok(BackEnd::Trace) => "trace",
        Err(_) => "none",
    };
    answer(&format!("{text}engine: {name}\n"))?;
    chosen.map(drop).map_err(Error::new)
}

#[cfg(test)]
mod tests {
    use super::is_umview;
    use std::ffi::OsStr;

    #[test]
    fn umview_is_known_by_its_name_wherever_it_is() {
        for (shell, expect) in
            [("/usr/bin/umview", true), ("umview", true), ("/bin/bash", false), ("", false)]
        {
            assert_eq!(is_umview(OsStr::new(shell)), expect, "{shell}");
        }
    }
}
