//! `cargo xtask tour`: the examples of the founding slides, played in views.
//!
//! An example is a file beside this one. Its first line is its title; a line `needs: COMMANDS` leaves
//! it out, loudly, where the commands fail in a view; `host: COMMANDS` run before the view; lines with
//! a prompt are typed in it. A prompt not seen before belongs to the shell that the line above
//! starts. `other $` is a shell outside the view, whose process id is `$OTHER`; `! COMMAND` has to
//! fail; `> LINE` continues the command above.

mod script;

use crate::command::{cargo, run as run_command};
use crate::{fixtures, packages};
use anyhow::{Context, Result, bail};
use script::Example;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const EXAMPLES: [&str; 8] = [
    include_str!("1-install.tour"),
    include_str!("3-mount.tour"),
    include_str!("4-partition.tour"),
    include_str!("5-chroot.tour"),
    include_str!("6-ramdisk.tour"),
    include_str!("7-attach.tour"),
    include_str!("8-time.tour"),
    include_str!("9-try.tour"),
];

/// Each example ends long before this.
const LIMIT_SECONDS: &str = "60";

/// Plays every example, or those whose title contains the filter, as a plain user.
pub(crate) fn run(filter: Option<&str>) -> Result<()> {
    packages::install_missing()?;
    run_command(cargo(&["build", "--quiet", "-p", "viewos-commands"]))?;
    let stage = Stage::new()?;
    let mut failed = Vec::new();
    for text in EXAMPLES {
        let example = Example::parse(text)?;
        if !example.title.contains(filter.unwrap_or_default()) {
            continue;
        }
        println!("\n== {} ==", example.title);
        match stage.play(&example) {
            Ok(()) => {}
            Err(error) => {
                println!("FAILED: {error:#}");
                failed.push(example.title);
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { bail!("failed: {}", failed.join("; ")) }
}

/// Where the examples are played: a folder of the user's own, with the commands.
struct Stage {
    folder: PathBuf,
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("{} is left: {error}", self.folder.display());
        }
    }
}

impl Stage {
    fn new() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("view-tour-{}", std::process::id()));
        let programs = folder.join("bin");
        fs::create_dir_all(&programs).with_context(|| format!("make {}", folder.display()))?;
        let stage = Self { folder };
        let built = fixtures::target().join("debug");
        for entry in fs::read_dir(&built)?.flatten() {
            let meta = entry.metadata()?;
            let is_command = meta.is_file() && meta.permissions().mode() & 0o111 != 0;
            if is_command && entry.file_name() != "xtask" {
                fs::copy(entry.path(), programs.join(entry.file_name()))?;
            }
        }
        for folder in [&stage.folder, &programs] {
            fs::set_permissions(folder, Permissions::from_mode(0o755))?;
        }
        Ok(stage)
    }

    /// A command as a plain user, in a folder.
    fn command(&self, words: &[&str], folder: &Path) -> Command {
        let mut all = vec!["timeout", "-k", "5", LIMIT_SECONDS];
        if packages::is_root() {
            all.extend(["setpriv", "--reuid=nobody", "--regid=nogroup", "--init-groups"]);
        }
        all.extend(words);
        let mut command = Command::new(all[0]);
        command.args(&all[1..]).current_dir(folder).env_clear();
        let programs = self.folder.join("bin");
        let path = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";
        command.env("PATH", format!("{}:{path}", programs.display())).env("HOME", folder);
        command.env("LC_ALL", "C.UTF-8").env("TERM", "dumb").env("SHELL", "/bin/sh");
        command.stdin(Stdio::null());
        command
    }

    fn play(&self, example: &Example) -> Result<()> {
        let name: String = example.title.chars().filter(char::is_ascii_digit).collect();
        let folder = self.folder.join(format!("example-{name}"));
        self.make(&folder)?;
        if let Some(needs) = &example.needs {
            let script = format!("set -e\n{needs}");
            let mut probe = self.command(&["umview", "-q", "sh", "-c", &script], &folder);
            let output = probe.output().context("start timeout(1)")?;
            if !output.status.success() {
                let why = String::from_utf8_lossy(&output.stderr);
                println!("NOT SHOWN, this build lacks it: {}", why.trim());
                return Ok(());
            }
        }
        fs::remove_dir_all(&folder)?;
        self.make(&folder)?;
        for line in &example.host {
            let status = self.command(&["sh", "-ec", line], &folder).status()?;
            if !status.success() {
                bail!("{line}: {status}");
            }
        }
        let play = folder.with_extension("play");
        fs::write(&play, example.play())?;
        let driver = script::driver(example.has_other, &play);
        let status = self.command(&["sh", "-ec", &driver], &folder).status()?;
        if !status.success() {
            bail!("{status}");
        }
        Ok(())
    }

    fn make(&self, folder: &Path) -> Result<()> {
        fs::create_dir(folder)?;
        fs::set_permissions(folder, Permissions::from_mode(0o777))?;
        Ok(())
    }
}
