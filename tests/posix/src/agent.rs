//! Processes with other ids, which make the calls that they are told.

use crate::op::{Answer, Op, perform};
use nix::errno::Errno;
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid};
use std::io::{BufRead, BufReader, Error, Result, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};

/// Whom a process may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: &'static [u32],
}

/// The owner of most files.
pub(crate) const ALICE: Ids = Ids { uid: 60001, gid: 60001, groups: &[60010] };
/// A stranger to her.
pub(crate) const BOB: Ids = Ids { uid: 60002, gid: 60002, groups: &[] };
/// A stranger who is in her group.
pub(crate) const CAROL: Ids = Ids { uid: 60003, gid: 60003, groups: &[60001] };

/// A process of somebody. It ends when its input does.
pub(crate) struct Agent {
    pub(crate) ids: Ids,
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Agent {
    /// Starts it.
    ///
    /// # Errors
    /// Those of the start, and of a change of ids that is refused.
    pub(crate) fn start(ids: Ids) -> Result<Self> {
        let groups: Vec<String> = ids.groups.iter().map(u32::to_string).collect();
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--agent", &ids.uid.to_string(), &ids.gid.to_string(), &groups.join(",")]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (to, from) = (child.stdin.take(), child.stdout.take());
        let (Some(to), Some(from)) = (to, from) else { return Err(Error::other("no pipes")) };
        let mut agent = Self { ids, child, to, from: BufReader::new(from) };
        let mut greeting = String::new();
        agent.from.read_line(&mut greeting)?;
        if greeting != "ready\n" {
            return Err(Error::other(format!("an agent for {ids:?} said {greeting:?}")));
        }
        Ok(agent)
    }

    /// Has it make a call.
    ///
    /// # Errors
    /// - `EPIPE` if it is gone; else the call's.
    pub(crate) fn call(&mut self, op: &Op) -> core::result::Result<Answer, Errno> {
        self.talk(op).unwrap_or(Err(Errno::EPIPE))
    }

    fn talk(&mut self, op: &Op) -> Result<core::result::Result<Answer, Errno>> {
        let line = serde_json::to_string(op)?;
        writeln!(self.to, "{line}")?;
        let mut answer = String::new();
        self.from.read_line(&mut answer)?;
        let answer: core::result::Result<Answer, i32> = serde_json::from_str(&answer)?;
        Ok(answer.map_err(Errno::from_raw))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Its input is still open here, and it waits for it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The other side: becomes who it is told, then answers line by line.
pub(crate) fn serve(uid: &str, gid: &str, groups: &str) -> ExitCode {
    match become_and_answer(uid, gid, groups) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("agent for {uid}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn become_and_answer(uid: &str, gid: &str, groups: &str) -> Result<()> {
    let number = |text: &str| text.parse::<u32>().map_err(Error::other);
    let groups: Vec<Gid> = groups
        .split(',')
        .filter(|group| !group.is_empty())
        .map(|group| number(group).map(Gid::from_raw))
        .collect::<Result<_>>()?;
    let (uid, gid) = (Uid::from_raw(number(uid)?), Gid::from_raw(number(gid)?));
    nix::unistd::setgroups(&groups)?;
    nix::unistd::setresgid(gid, gid, gid)?;
    nix::unistd::setresuid(uid, uid, uid)?;
    nix::sys::stat::umask(Mode::empty());
    let mut out = std::io::stdout();
    writeln!(out, "ready")?;
    for line in std::io::stdin().lines() {
        let op: Op = serde_json::from_str(&line?)?;
        let answer = perform(&op).map_err(|errno| errno as i32);
        writeln!(out, "{}", serde_json::to_string(&answer)?)?;
        out.flush()?;
    }
    Ok(())
}
