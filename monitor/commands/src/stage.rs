//! What `umview` does inside the view before the command: mounts, the start script, another user.

use crate::accounts::Account;
use crate::exec::become_program;
use crate::finish::Status;
use crate::mount_options::MountOptions;
use crate::script::Script;
use crate::{ask, login, mount};
use anyhow::{Context, Error, Result, bail};
use monitor::control::Request;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// The word behind `umview` that says: this is the process inside, and the next word is its [`Stage`].
pub(crate) const INSIDE: &str = "--inside";

/// The status for a view that can't be started.
pub(crate) const CAN_NOT_START: u8 = 125;

/// What is to be done, in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stage {
    /// Variables for the script and the command.
    pub environment: BTreeMap<String, String>,
    /// Names that mean a file system type.
    pub aliases: Vec<(String, String)>,
    /// `TYPE:SOURCE:TARGET[:OPTIONS]` each.
    pub mounts: Vec<String>,
    /// Files to write, with what is written: the steering files of what was mounted.
    pub settings: Vec<(String, String)>,
    /// A script, read by the shell that becomes the rest.
    pub script: Option<Script>,
    /// The root, by chroot(2).
    pub root: Option<String>,
    /// The working directory, in that root.
    pub directory: Option<String>,
    /// The user who runs the command.
    pub su: Option<String>,
    /// The ids that run the command.
    pub ids: Option<Ids>,
    /// The command has root's ids, and the environment of who started the view.
    pub is_root: bool,
    /// The name that the command has for itself, where it is not its first word.
    pub own_name: Option<String>,
}

impl Stage {
    /// The first command of the view: this stage before the command, where there is anything to do.
    ///
    /// # Errors
    /// If `umview` can't be found.
    pub(crate) fn before(&self, command: &[OsString]) -> Result<Vec<OsString>> {
        if *self == Self::default() {
            return Ok(command.to_vec());
        }
        if let Some(script) = &self.script
            && *self == (Self { script: Some(script.clone()), ..Self::default() })
        {
            return Ok(script.before(command));
        }
        let umview = std::env::current_exe().context("where umview is (/proc/self/exe)")?;
        let stage = serde_json::to_string(self).context("the stage as JSON")?;
        let mut words = vec![umview.into_os_string(), INSIDE.into(), stage.into()];
        words.extend_from_slice(command);
        Ok(words)
    }

    /// What [`before`](Self::before) made of a stage, if the words behind `umview` are that.
    pub(crate) fn read(words: &[OsString]) -> Option<(Self, &[OsString])> {
        let [first, stage, command @ ..] = words else { return None };
        if first != INSIDE {
            return None;
        }
        let stage = serde_json::from_str(stage.to_str()?).ok()?;
        Some((stage, command))
    }

    /// Does it, and becomes the command; returns only with a failure.
    pub(crate) fn carry_out(mut self, command: &[OsString]) -> Error {
        match self.prepare(command) {
            Ok(mut program) => become_program(&mut program),
            Err(cause) => match cause.downcast::<Status>() {
                Ok(status) => Error::new(status),
                Err(cause) => Error::new(Status { code: CAN_NOT_START, cause }),
            },
        }
    }

    fn prepare(&mut self, command: &[OsString]) -> Result<Command> {
        for (alias, fs_type) in std::mem::take(&mut self.aliases) {
            ask(&Request::Alias { alias, fs_type: Some(fs_type) })?;
        }
        for text in std::mem::take(&mut self.mounts) {
            MountLine::read(&text)?.call().context("mount")?;
        }
        for (file, text) in std::mem::take(&mut self.settings) {
            let written = std::fs::write(&file, format!("{text}\n"));
            written.with_context(|| format!("write {text:?} to {file}"))?;
        }
        if let Some(script) = self.script.take() {
            let environment = self.environment.clone();
            let mut program = program(&script.before(&self.before(command)?))?;
            program.envs(environment);
            return Ok(program);
        }
        if let Some(root) = &self.root {
            nix::unistd::chroot(root.as_str()).with_context(|| format!("chroot to {root}"))?;
            std::env::set_current_dir("/").context("the new root")?;
        }
        if let Some(directory) = &self.directory {
            std::env::set_current_dir(directory).with_context(|| format!("cd to {directory}"))?;
        }
        let mut program = program(command)?;
        self.become_user(&mut program)?;
        program.envs(&self.environment);
        if let Some(name) = &self.own_name {
            program.arg0(name);
        }
        Ok(program)
    }

    fn become_user(&self, program: &mut Command) -> Result<()> {
        if let Some(user) = &self.su {
            let account = Account::named(user).context("--su")?;
            ask(&account.request()).with_context(|| format!("--su: become {user}"))?;
            login::of_user(program, &account);
        }
        if let Some(Ids { uid, gid, groups }) = &self.ids {
            let request = Request::Su { uid: *uid, gid: *gid, groups: groups.clone() };
            ask(&request).with_context(|| format!("become user {uid}"))?;
        }
        if self.is_root {
            let account = Account::named("root")?;
            ask(&account.request()).context("become root")?;
            let path = std::env::var("PATH").unwrap_or_default();
            program.env("PATH", login::with_root_path(&path));
        }
        Ok(())
    }
}

/// Ids of a user who need not be in /etc/passwd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ids {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Further groups.
    pub groups: Vec<u32>,
}

fn program(words: &[OsString]) -> Result<Command> {
    let (program, rest) = words.split_first().context("no command")?;
    let mut command = Command::new(program);
    command.args(rest);
    Ok(command)
}

/// One `--mount`, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MountLine {
    pub(crate) fs_type: String,
    pub(crate) source: String,
    pub(crate) target: String,
    pub(crate) options: String,
}

impl MountLine {
    /// Divides at colons that have no backslash before them.
    ///
    /// # Errors
    /// If there are not three or four parts, or one of the first three is empty.
    pub(crate) fn read(text: &str) -> Result<Self> {
        let mut parts = vec![String::new()];
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '\\' if matches!(letters.peek(), Some(':' | '\\')) => {
                    let escaped = letters.next();
                    parts.last_mut().into_iter().for_each(|part| part.extend(escaped));
                }
                ':' => parts.push(String::new()),
                _ => parts.last_mut().into_iter().for_each(|part| part.push(letter)),
            }
        }
        let (fs_type, source, target, options) = match parts.as_slice() {
            [t, s, d] => (t, s, d, ""),
            [t, s, d, o] => (t, s, d, o.as_str()),
            _ => bail!(
                "--mount {text}: {} parts, not TYPE:SOURCE:TARGET[:OPTIONS]; write a colon inside a part as \\:",
                parts.len()
            ),
        };
        if fs_type.is_empty() || source.is_empty() || target.is_empty() {
            bail!("--mount {text}: TYPE, SOURCE and TARGET must not be empty; none is a source");
        }
        Ok(Self {
            fs_type: fs_type.clone(),
            source: source.clone(),
            target: target.clone(),
            options: options.to_owned(),
        })
    }

    /// The text that [`read`](Self::read) makes this of.
    pub(crate) fn write(&self) -> String {
        let part = |text: &str| text.replace('\\', "\\\\").replace(':', "\\:");
        let mut parts = vec![part(&self.fs_type), part(&self.source), part(&self.target)];
        if !self.options.is_empty() {
            parts.push(part(&self.options));
        }
        parts.join(":")
    }

    fn call(&self) -> Result<()> {
        let options = MountOptions::read([self.options.as_str()]);
        mount::call(&self.fs_type, Path::new(&self.source), Path::new(&self.target), &options)
    }
}

#[cfg(test)]
mod tests {
    use super::{MountLine, Stage};
    use std::ffi::OsString;

    #[test]
    fn a_mount_is_three_parts_or_four() {
        let line = |t: &str, s: &str, d: &str, o: &str| MountLine {
            fs_type: t.into(),
            source: s.into(),
            target: d.into(),
            options: o.into(),
        };
        let table = [
            ("umfuseext2:disk.img:/mnt", line("umfuseext2", "disk.img", "/mnt", "")),
            (
                "umfuseext2:disk.img:/mnt:ro,noexec",
                line("umfuseext2", "disk.img", "/mnt", "ro,noexec"),
            ),
            ("umdevnbd:nbd\\://h\\:10809:/dev/x", line("umdevnbd", "nbd://h:10809", "/dev/x", "")),
            ("t:a\\\\:b\\n", line("t", "a\\", "b\\n", "")),
        ];
        for (text, expect) in table {
            let read = MountLine::read(text).unwrap();
            assert_eq!(read, expect, "{text}");
            assert_eq!(MountLine::read(&read.write()).unwrap(), expect, "{text}");
        }
        // Error: too few parts, too many, an empty one.
        for text in ["", "a:b", "a:b:c:d:e", "a::c", ":b:c"] {
            assert!(MountLine::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_stage_comes_through_the_command_line() {
        let stage =
            Stage { mounts: vec!["a:b:c".into()], su: Some("root".into()), ..Stage::default() };
        let command: Vec<OsString> = vec!["ls".into(), "-l".into()];
        let words = stage.before(&command).unwrap();
        assert_eq!(Stage::read(&words[1..]), Some((stage, &command[..])));
        assert_eq!(Stage::default().before(&command).unwrap(), command);
        assert_eq!(Stage::read(&command), None);
    }
}
