//! `umview`: from the words of the command line to a view, a nested view, or an answer about the view.

use crate::accounts::Account;
use crate::cli::{Action, Engine, Try, Umview};
use crate::composition::Composition;
use crate::exec::login_name;
use crate::finish::{Status, answer};
use crate::inspect::Question;
use crate::new_view::NewView;
use crate::script::Script;
use crate::stage::{CAN_NOT_START, Stage};
use crate::start::{Start, modules_of, run};
use crate::trial::try_out;
use crate::{ask, profile};
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
pub(crate) fn umview(words: &[OsString], parts: &Composition) -> Result<()> {
    let (own_name, rest) = words.split_first().context("no name")?;
    monitor::keeper::keep_if_asked(rest);
    if let Some((stage, command)) = Stage::read(rest) {
        return Err(stage.carry_out(command));
    }
    if let Some((new, rest)) = NewView::read(rest) {
        let cause = new.carry_out(rest);
        return Err(Error::new(Status { code: CAN_NOT_START, cause }));
    }
    let outcome = if own_name.to_string_lossy().starts_with('-') {
        login(rest, parts)
    } else if let Some(question) = Question::read(rest).filter(|_| is_in_view()) {
        return question.ask();
    } else {
        begin(read(words), parts)
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
fn login(words: &[OsString], parts: &Composition) -> Result<()> {
    let shell = shell_of_account();
    let mut arguments = Umview::parse_from(["umview"]);
    let own_name = Some(login_name(&shell));
    arguments.command = std::iter::once(shell).chain(words.iter().cloned()).collect();
    enter(&arguments, own_name, parts)
}

fn begin(mut arguments: Umview, parts: &Composition) -> Result<()> {
    if arguments.doctor {
        return doctor();
    }
    if arguments.list_profiles {
        return answer(&profile::list());
    }
    if arguments.print_profile {
        return print_profile(&arguments);
    }
    if arguments.profile.is_none() && !arguments.set.is_empty() {
        bail!("--set is for the parameters of a --profile");
    }
    if let Some(Action::Try(wish)) = arguments.action.take() {
        return begin_trial(&arguments, &wish, parts);
    }
    if let Some(line) = arguments.line.take() {
        arguments.command = vec![shell(), "-c".into(), line];
    }
    enter(&arguments, None, parts)
}

fn print_profile(arguments: &Umview) -> Result<()> {
    let profile = match &arguments.profile {
        Some(wanted) => profile::load(wanted, &arguments.set)?,
        None => profile::running()?,
    };
    answer(&profile.to_text()?)
}

fn enter(arguments: &Umview, own_name: Option<String>, parts: &Composition) -> Result<()> {
    let mut start = start_of(arguments, &arguments.command)?;
    start.stage.own_name = own_name;
    if start.command.is_empty() {
        // The caller's shell may not be in another root.
        start.command = vec![if start.stage.root.is_some() { "/bin/sh".into() } else { shell() }];
    }
    if is_in_view() {
        if arguments.engine.is_some() || arguments.log.is_some() {
            bail!("--engine and --log are for the first view: a nested view shares its monitor");
        }
        new_view_of(&start, parts)?.enter()?;
        return Err(start.stage.carry_out(&start.command));
    }
    // A nested view sees what ~/.viewosrc has mounted.
    start.stage.script = start.stage.script.or_else(Script::of_user);
    run(&start, parts)?.follow()
}

/// A nested view, and what a start wants to be loaded in it.
fn new_view_of(start: &Start, parts: &Composition) -> Result<NewView> {
    let needed = modules_of(&start.stage.mounts, parts)?;
    let modules = start.preload.iter().cloned().chain(needed).collect();
    Ok(NewView { name: start.name.clone(), modules })
}

/// `umview try`: in a view, a nested one over what that shows.
fn begin_trial(arguments: &Umview, wish: &Try, parts: &Composition) -> Result<()> {
    if let Some(line) = &arguments.line {
        bail!("-c {}: try sh -c does that", line.to_string_lossy());
    }
    let mut start = start_of(arguments, &wish.command)?;
    if start.command.is_empty() {
        start.command.push(shell());
    }
    let is_nested = is_in_view();
    if is_nested && (arguments.engine.is_some() || arguments.log.is_some()) {
        bail!("--engine and --log are for the first view: a nested view shares its monitor");
    }
    try_out(start, wish, |start| {
        if is_nested {
            new_view_of(start, parts)?.run(&start.stage, &start.command)
        } else {
            run(start, parts)
        }
    })
}

/// What the command line says, behind the profile that it names.
fn start_of(arguments: &Umview, command: &[OsString]) -> Result<Start> {
    let script = arguments.script.clone().map(|file| Script { file, must_succeed: true });
    let (mounts, su) = (arguments.mount.clone(), arguments.su.clone());
    let mut start = Start {
        engine: match arguments.engine {
            Some(Engine::Notify) => Some(BackEnd::Notify),
            Some(Engine::Trace) => Some(BackEnd::Trace),
            None => arguments.no_notify.then_some(BackEnd::Trace),
        },
        no_fuse: arguments.no_fuse || arguments.no_userns,
        no_agent: arguments.no_agent,
        preload: arguments.preload.clone(),
        stage: Stage { mounts, script, su, ..Stage::default() },
        name: arguments.name.clone(),
        no_nesting: arguments.no_nesting,
        quiet: arguments.quiet,
        log: arguments.log.clone(),
        ends_with_first: false,
        command: command.to_vec(),
    };
    if let Some(wanted) = &arguments.profile {
        profile::load(wanted, &arguments.set)?.apply(&mut start)?;
    }
    Ok(start)
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
