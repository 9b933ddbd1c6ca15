//! The ways to run the same work: on the host, under a peer, in a view.

use crate::bench::inputs::text;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Longer than anything that works.
const LIMIT_SECONDS: &str = "600";

/// A way to run a script. Scripts find `$B`, the folder of inputs; `$M`, a mount point; `$P`, the
/// probe; and what their row adds.
pub(crate) struct Way {
    pub(crate) name: String,
    /// The words before `sh -c SCRIPT`.
    pub(crate) wrap: Vec<String>,
    /// Shell text that comes first in the script.
    pub(crate) before: String,
    /// The folder of inputs.
    pub(crate) folder: PathBuf,
    /// What comes before it here.
    pub(crate) prefix: &'static str,
    /// Why this way can't be gone.
    pub(crate) missing: Option<String>,
}

/// A piece of work.
pub(crate) struct Row {
    /// The labels that the script prints, and what they mean.
    pub(crate) measures: Vec<(&'static str, String)>,
    pub(crate) script: String,
    /// Shell text that runs on the host before each round.
    pub(crate) prepare: String,
    pub(crate) variables: Vec<(&'static str, String)>,
}

impl Row {
    pub(crate) fn new(label: &'static str, meaning: &str, script: &str) -> Self {
        Self {
            measures: vec![(label, meaning.to_owned())],
            script: script.to_owned(),
            prepare: String::new(),
            variables: Vec::new(),
        }
    }

    pub(crate) fn also(mut self, label: &'static str, meaning: &str) -> Self {
        self.measures.push((label, meaning.to_owned()));
        self
    }

    pub(crate) fn after(mut self, prepare: &str) -> Self {
        prepare.clone_into(&mut self.prepare);
        self
    }

    pub(crate) fn on(mut self, image: &Path, options: &str) -> Result<Self> {
        self.variables.push(("IMG", text(image)?.to_owned()));
        self.variables.push(("OPT", options.to_owned()));
        Ok(self)
    }
}

/// The label of rows that time a whole command from its start, not what a probe reports.
pub(crate) const START: &str = "start";

/// Programs and folders that every way needs.
pub(crate) struct Place {
    pub(crate) umview: PathBuf,
    pub(crate) folder: PathBuf,
}

impl Place {
    fn way(&self, name: &str, wrap: &[&str], before: &str) -> Way {
        Way {
            name: name.to_owned(),
            wrap: wrap.iter().map(|&word| word.to_owned()).collect(),
            before: before.to_owned(),
            folder: self.folder.clone(),
            prefix: "",
            missing: None,
        }
    }

    pub(crate) fn native(&self) -> Way {
        self.way("native", &[], "")
    }

    pub(crate) fn proot(&self, name: &str, words: &[&str]) -> Way {
        let mut way = self.way(name, words, "");
        way.missing = absent("/usr/bin/proot", "proot");
        way
    }

    pub(crate) fn view(&self, name: &str, words: &[&str], before: &str) -> Result<Way> {
        let mut wrap = vec![text(&self.umview)?, "-q"];
        wrap.extend(words);
        Ok(self.way(name, &wrap, before))
    }

    /// A program that others wrote, before the shell.
    pub(crate) fn peer(&self, name: &str, wrap: &[&str], before: &str, program: &str) -> Way {
        let mut way = self.way(name, wrap, before);
        let package = program.rsplit('/').next().unwrap_or(program);
        way.missing = absent(program, package);
        way
    }

    /// The host again under another name.
    pub(crate) fn unreal(&self, name: &str, words: &[&str]) -> Result<Way> {
        let words = [words, &["-p", "unreal"]].concat();
        let mut way = self.view(name, &words, "")?;
        way.prefix = "/unreal";
        Ok(way)
    }

    /// The kernel's own driver over a loop device.
    pub(crate) fn kernel(&self) -> Way {
        let before = "mount -o loop,$OPT $IMG $M; trap 'umount $M' EXIT";
        let mut way = self.way("kernel, loop mount", &[], before);
        way.missing = not_root();
        way
    }

    pub(crate) fn fuse2fs(&self) -> Way {
        let before = "fuse2fs -o $OPT $IMG $M >/dev/null; trap 'umount $M' EXIT";
        let mut way = self.way("fuse2fs", &[], before);
        way.missing = absent("/usr/bin/fuse2fs", "fuse2fs").or_else(no_fuse).or_else(not_root);
        way
    }

    pub(crate) fn fuseiso(&self) -> Way {
        let before = "fuseiso -n $IMG $M; trap 'fusermount -u $M' EXIT";
        let mut way = self.way("fuseiso", &[], before);
        way.missing = absent("/usr/bin/fuseiso", "fuseiso").or_else(no_fuse);
        way
    }

    /// A view that has the image mounted.
    pub(crate) fn mounted(&self, name: &str, words: &[&str], fs_type: &str) -> Result<Way> {
        // Drivers that write are asked for it by `rw+`.
        let options = "$(echo $OPT | sed 's/^rw/rw+/')";
        let before = format!("mount -t {fs_type} -o {options} $IMG $M; trap 'umount $M' EXIT");
        self.view(name, &[words, &["-p", "umfuse"]].concat(), &before)
    }
}

fn absent(program: &str, package: &str) -> Option<String> {
    (!Path::new(program).exists()).then(|| format!("the package {package} is not installed"))
}

pub(crate) fn no_fuse() -> Option<String> {
    (!Path::new("/dev/fuse").exists()).then(|| "there is no /dev/fuse".to_owned())
}

pub(crate) fn not_root() -> Option<String> {
    (!crate::packages::is_root()).then(|| "only root can mount".to_owned())
}

impl Way {
    /// Nanoseconds by label, of one round.
    pub(crate) fn sample(&self, row: &Row) -> Result<BTreeMap<String, u64>> {
        if !row.prepare.is_empty() {
            self.run(&[], "", &row.prepare, row)?;
        }
        let begin = Instant::now();
        let script = format!("{}\n{}", self.before, row.script);
        let printed = self.run(&self.wrap, self.prefix, &script, row)?;
        let whole = u64::try_from(begin.elapsed().as_nanos())?;
        if row.measures[0].0 == START {
            return Ok(BTreeMap::from([(START.to_owned(), whole)]));
        }
        let lines = printed.lines().filter_map(|line| line.split_once(' '));
        lines.map(|(label, nanos)| Ok((label.to_owned(), nanos.parse()?))).collect()
    }

    fn run(&self, wrap: &[String], prefix: &str, script: &str, row: &Row) -> Result<String> {
        let probe = std::env::current_exe()?;
        let base = format!("{prefix}{}", text(&self.folder)?);
        let mut command = Command::new("timeout");
        command.args(["-k", "5", LIMIT_SECONDS]).args(wrap).args(["/bin/sh", "-ec", script]);
        command.env("M", format!("{base}/mnt")).env("B", base);
        command.env("P", format!("{} probe", text(&probe)?));
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin");
        command.envs(row.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).current_dir("/");
        let output = command.output().context("start timeout(1)")?;
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            bail!("{}: {}: {}", self.name, output.status, errors.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
