//! The count of promises kept and broken, and where they are checked.

use crate::agent::{ALICE, Agent, Ids};
use crate::op::{Answer, Op, Stat, perform};
use nix::errno::Errno;
use nix::sys::stat::Mode;
use std::fmt::Debug;
use std::io::Write;

/// A group of promises. It stops at a preparation that fails.
pub(crate) type Section = fn(&mut Checks) -> Result<(), Unprepared>;

/// What could not be prepared; it is counted as a broken promise.
pub(crate) struct Unprepared(String);

/// What is needed for a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    Links,
    Symlinks,
    Special,
    Owners,
    Modes,
    Times,
}

const LACKS: [(&str, Lack); 6] = [
    ("links", Lack::Links),
    ("symlinks", Lack::Symlinks),
    ("special", Lack::Special),
    ("owners", Lack::Owners),
    ("modes", Lack::Modes),
    ("times", Lack::Times),
];

/// The state of a run.
pub(crate) struct Checks {
    base: String,
    pub(crate) read_only: Option<String>,
    pub(crate) other: Option<String>,
    lacks: Vec<Lack>,
    only: Option<String>,
    agents: Vec<Agent>,
    section: &'static str,
    folders: u32,
    passed: u32,
    failed: u32,
}

impl Checks {
    /// Of the command line; `None` if it says nothing that is understood.
    pub(crate) fn from_words(words: &[&str]) -> Option<Self> {
        let (base, mut rest) = words.split_first()?;
        let mut checks = Self {
            base: (*base).to_owned(),
            read_only: None,
            other: None,
            lacks: Vec::new(),
            only: None,
            agents: Vec::new(),
            section: "",
            folders: 0,
            passed: 0,
            failed: 0,
        };
        while let [name, value, others @ ..] = rest {
            match *name {
                "--read-only" => checks.read_only = Some((*value).to_owned()),
                "--other" => checks.other = Some((*value).to_owned()),
                "--only" => checks.only = Some((*value).to_owned()),
                "--lacks" => {
                    for word in value.split(',').filter(|word| !word.is_empty()) {
                        checks.lacks.push(LACKS.iter().find(|(name, _)| *name == word)?.1);
                    }
                }
                _ => return None,
            }
            rest = others;
        }
        nix::sys::stat::umask(Mode::empty());
        rest.is_empty().then_some(checks)
    }

    /// Runs one section, if it is wanted.
    pub(crate) fn section(&mut self, name: &'static str, section: Section) {
        if self.only.as_ref().is_some_and(|only| only != name) {
            return;
        }
        self.section = name;
        if let Err(Unprepared(what)) = section(self) {
            self.result(&format!("{name}: prepared"), false, &what);
        }
    }

    /// Prints the sum and says whether all is well.
    pub(crate) fn finish(&mut self) -> bool {
        self.agents.clear();
        let sum = format!("{} passed, {} failed", self.passed, self.failed);
        let _ = writeln!(std::io::stdout(), "{sum}");
        self.failed == 0
    }

    fn result(&mut self, name: &str, is_kept: bool, detail: &str) {
        let mut out = std::io::stdout().lock();
        let _ = if is_kept {
            self.passed += 1;
            writeln!(out, "ok {name}")
        } else {
            self.failed += 1;
            writeln!(out, "not ok {name}: {detail}")
        };
    }

    /// What was found is what is wanted.
    pub(crate) fn same<T: PartialEq + Debug>(&mut self, name: &str, found: T, wanted: T) {
        let detail = format!("found {found:?}, wanted {wanted:?}");
        let name = format!("{}: {name}", self.section);
        self.result(&name, found == wanted, &detail);
    }

    /// A call by this process that fails with an errno.
    pub(crate) fn refuses(&mut self, name: &str, op: &Op, wanted: Errno) {
        let found = perform(op);
        self.same(&format!("{name}: {wanted:?}"), found, Err(wanted));
    }

    /// A call by this process that succeeds.
    pub(crate) fn allows(&mut self, name: &str, op: &Op) {
        let found = perform(op).map(drop);
        self.same(name, found, Ok(()));
    }

    /// A call by somebody else that fails with an errno.
    pub(crate) fn refuses_to(
        &mut self,
        who: Ids,
        name: &str,
        op: &Op,
        wanted: Errno,
    ) -> Result<(), Unprepared> {
        let found = self.by(who, op)?;
        self.same(&format!("{name}: {wanted:?}"), found, Err(wanted));
        Ok(())
    }

    /// A call by somebody else that succeeds.
    pub(crate) fn allows_to(&mut self, who: Ids, name: &str, op: &Op) -> Result<(), Unprepared> {
        let found = self.by(who, op)?.map(drop);
        self.same(name, found, Ok(()));
        Ok(())
    }

    /// A call by somebody else.
    pub(crate) fn by(&mut self, who: Ids, op: &Op) -> Result<Result<Answer, Errno>, Unprepared> {
        let at = match self.agents.iter().position(|agent| agent.ids == who) {
            Some(at) => at,
            None => {
                let agent =
                    Agent::start(who).map_err(|e| Unprepared(format!("agent {who:?}: {e}")))?;
                self.agents.push(agent);
                self.agents.len() - 1
            }
        };
        Ok(self.agents[at].call(op))
    }

    /// Preparations: each must succeed.
    pub(crate) fn prepare(&mut self, ops: &[Op]) -> Result<(), Unprepared> {
        ops.iter().try_for_each(|op| {
            perform(op).map(drop).map_err(|errno| Unprepared(format!("{op:?}: {errno:?}")))
        })
    }

    /// A fresh folder of mode 755.
    pub(crate) fn folder(&mut self) -> Result<String, Unprepared> {
        self.folders += 1;
        let path = format!("{}/{}-{}", self.base, self.section, self.folders);
        self.prepare(&[Op::Mkdir(path.clone(), 0o755)])?;
        Ok(path)
    }

    /// A fresh folder of a user without rights, and who that is: Alice for root, else `None`, which means us.
    pub(crate) fn users_folder(&mut self) -> Result<(String, Option<Ids>), Unprepared> {
        let path = self.folder()?;
        if !self.is_root() || self.lacks(Lack::Owners) {
            return Ok((path, None));
        }
        self.prepare(&[Op::Chown(path.clone(), Some(ALICE.uid), Some(ALICE.gid))])?;
        Ok((path, Some(ALICE)))
    }

    /// A call by that user.
    pub(crate) fn user_call(
        &mut self,
        user: Option<Ids>,
        op: &Op,
    ) -> Result<Result<Answer, Errno>, Unprepared> {
        match user {
            Some(ids) => self.by(ids, op),
            None => Ok(perform(op)),
        }
    }

    /// What stat(2) says of a name, its link not followed.
    pub(crate) fn stat(&mut self, path: &str) -> Result<Stat, Unprepared> {
        match perform(&Op::Lstat(path.to_owned())) {
            Ok(Answer::Stat(stat)) => Ok(stat),
            other => Err(Unprepared(format!("lstat {path}: {other:?}"))),
        }
    }

    /// The kind, permissions, owner and links of a name, as text for comparisons.
    pub(crate) fn shows(&mut self, name: &str, path: &str, wanted: &str) {
        let found = match perform(&Op::Lstat(path.to_owned())) {
            Ok(Answer::Stat(s)) => format!("{}{:04o} {}:{}", s.kind, s.perm, s.uid, s.gid),
            other => format!("{other:?}"),
        };
        self.same(name, found.as_str(), wanted);
    }

    pub(crate) fn is_root(&self) -> bool {
        nix::unistd::geteuid().is_root()
    }

    pub(crate) fn has(&self, lack: Lack) -> bool {
        !self.lacks(lack)
    }

    pub(crate) fn lacks(&self, lack: Lack) -> bool {
        self.lacks.contains(&lack)
    }

    /// Whether other ids can be taken and are kept by files.
    pub(crate) fn has_users(&self) -> bool {
        self.is_root() && self.has(Lack::Owners)
    }
}
