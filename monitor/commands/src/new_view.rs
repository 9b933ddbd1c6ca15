//! A nested view: the caller moves into it, or a child does and is waited for.
//!
//! For `umview try` somebody must be inside, to end what runs on and to let go of the store, and somebody outside, to see
//! what became of it: the caller stays where it is and starts `umview --in-new-view NEW STAGE COMMAND...`, which moves,
//! starts `umview --inside STAGE COMMAND...` and clears up behind it.

use crate::ask;
use crate::stage::{INSIDE, Stage};
use crate::start::GRACE_SECONDS;
use abi::Errno;
use anyhow::{Context, Error, Result};
use engine::front::{Ended, heed_terminal_signals};
use monitor::control::Request;
use nix::mount::{MntFlags, umount2};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

/// The word behind `umview` that says: this is the process that makes the view and clears it up.
const IN_NEW_VIEW: &str = "--in-new-view";

/// What a nested view has before anything happens in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NewView {
    pub(crate) name: String,
    pub(crate) modules: Vec<String>,
}

impl NewView {
    /// Moves the caller into it.
    ///
    /// # Errors
    /// What the monitor says.
    pub(crate) fn enter(&self) -> Result<()> {
        let name = (!self.name.is_empty()).then(|| self.name.clone());
        ask(&Request::NewView { name })?;
        for module in &self.modules {
            match ask(&Request::AddService { name: module.clone(), permanent: false }) {
                // The view around this one has loaded it: it is there.
                Err(refused) if refused.errno == Errno::EEXIST => {}
                other => drop(other.with_context(|| format!("-p {module}"))?),
            }
        }
        Ok(())
    }

    /// Runs a command in it, in which it is the first process, and returns when all its processes are gone.
    ///
    /// # Errors
    /// If `umview` can't be started.
    pub(crate) fn run(&self, stage: &Stage, command: &[OsString]) -> Result<Ended> {
        let new = serde_json::to_string(self).context("the view as JSON")?;
        let stage = serde_json::to_string(stage).context("the stage as JSON")?;
        let words = [IN_NEW_VIEW.into(), new.into(), stage.into()];
        wait_for(own().args(words.into_iter().chain(command.iter().cloned())))
    }

    /// What [`run`](Self::run) made of a view, if the words behind `umview` are that.
    pub(crate) fn read(words: &[OsString]) -> Option<(Self, &[OsString])> {
        let [first, new, rest @ ..] = words else { return None };
        if first != IN_NEW_VIEW {
            return None;
        }
        Some((serde_json::from_str(new.to_str()?).ok()?, rest))
    }

    /// Makes the view, waits for the command, and clears up; returns only with a failure.
    pub(crate) fn carry_out(&self, rest: &[OsString]) -> Error {
        let waited = self.enter().and_then(|()| {
            let ended = wait_for(own().arg(INSIDE).args(rest))?;
            ask(&Request::Shutdown { seconds: GRACE_SECONDS, spares_caller: true })?;
            // Of a view that has no process the mounts stay; this one holds the store.
            let gone = std::env::set_current_dir("/").map_err(Error::new).and_then(|()| {
                let root = umount2("/", MntFlags::empty());
                Ok(root.or_else(|_| umount2("/", MntFlags::MNT_DETACH))?)
            });
            gone.context("umount the overlay")?;
            Ok(ended)
        });
        match waited {
            Ok(ended) => ended.follow(),
            Err(error) => error,
        }
    }
}

fn own() -> Command {
    Command::new("/proc/self/exe")
}

fn wait_for(command: &mut Command) -> Result<Ended> {
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Err(error).context("umview (/proc/self/exe)"),
    };
    heed_terminal_signals(false);
    let status = child.wait();
    heed_terminal_signals(true);
    let status = status.context("wait for the command")?;
    Ok(match (status.code(), status.signal()) {
        (Some(code), _) => Ended::Code(code),
        (None, Some(signal)) => Ended::Signal(signal),
        (None, None) => Ended::Lost,
    })
}

#[cfg(test)]
mod tests {
    use super::{IN_NEW_VIEW, NewView};
    use std::ffi::OsString;

    #[test]
    fn a_new_view_comes_through_the_command_line() {
        let new = NewView { name: "n".into(), modules: vec!["viewfs".into()] };
        let json = serde_json::to_string(&new).unwrap();
        let words: Vec<OsString> = [IN_NEW_VIEW, &json, "{}", "ls"].map(OsString::from).to_vec();
        assert_eq!(NewView::read(&words), Some((new, &words[2..])));
        assert_eq!(NewView::read(&words[1..]), None);
    }
}
