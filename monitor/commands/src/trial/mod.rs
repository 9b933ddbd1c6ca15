//! `umview try`: a command in an overlay over everything, and what becomes of what it changed.

mod changes;
mod folder;

use crate::cli::Try;
use crate::finish::{Status, say};
use crate::stage::{MountLine, Stage};
use crate::start::Start;
use crate::trial::changes::Changes;
use crate::trial::folder::Folder;
use anyhow::{Context, Error, Result, bail};
use cow_store::Access;
use engine::front::Ended;
use nix::sys::termios::{FlushArg, tcflush};
use std::io::{self, IsTerminal, Write};
use std::path::Path;

/// The status for a commit that was asked for and could not be made.
const NOT_COMMITTED: u8 = 123;
/// Names of refused changes that are told, before only their number is.
const TOLD_MAX: usize = 10;

/// What becomes of the changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Commit,
    Keep,
    Throw,
}

/// Runs the command by `run`, which waits for all its processes, and settles what it changed; returns only where there was none, or with a failure.
///
/// # Errors
/// What keeps the view from starting; a commit that was asked for and not made, with a status of its own.
pub(crate) fn try_out(
    start: Start,
    wish: &Try,
    run: impl FnOnce(&Start) -> Result<Ended>,
) -> Result<()> {
    let folder = match &wish.store {
        Some(path) => Folder::named(path)?,
        None => Folder::temporary()?,
    };
    let ended = if wish.command.is_empty() && wish.store.is_some() {
        None
    } else {
        let ran = overlaid(start, wish, &folder).and_then(|start| run(&start));
        Some(ran.inspect_err(|_| forget(&folder))?)
    };
    settle(&folder, wish, ended).map_err(|cause| {
        keep(&folder);
        Error::new(Status { code: NOT_COMMITTED, cause })
    })?;
    match ended {
        Some(ended) => ended.follow(),
        None => Ok(()),
    }
}

/// Nothing has happened in it yet.
fn forget(folder: &Folder) {
    if folder.is_temporary {
        let _ = folder.remove();
    }
}

/// The start of a view whose root is the overlay.
fn overlaid(start: Start, wish: &Try, folder: &Folder) -> Result<Start> {
    let mut options =
        vec![if wish.mincow { "mincow" } else { "cow" }.to_owned(), "vstat".to_owned()];
    for path in &wish.except {
        let real = path.canonicalize().with_context(|| format!("--except {}", path.display()))?;
        let text = real.to_str().filter(|text| !text.contains(','));
        let text =
            text.with_context(|| format!("--except {}: has a comma in it", path.display()))?;
        options.push(format!("except={text}"));
    }
    let source = folder.path.to_str().context("the name of the store is no text")?;
    let overlay = MountLine {
        fs_type: "viewfs".to_owned(),
        source: source.to_owned(),
        target: "/".to_owned(),
        options: options.join(","),
    };
    let mut mounts = vec![overlay.write()];
    mounts.extend(start.stage.mounts);
    let is_root = !wish.own_ids && start.stage.su.is_none() && start.stage.ids.is_none();
    let stage = Stage { mounts, is_root, ..start.stage };
    Ok(Start { stage, ends_with_first: true, ..start })
}

fn settle(folder: &Folder, wish: &Try, ended: Option<Ended>) -> Result<()> {
    let changes = match Changes::read(&folder.path, Access::Write) {
        // It need not be readable to be thrown away; but not under the feet of another view.
        Err(cause) if wish.no && !is_in_use(&cause) => {
            say("umview", &format!("{cause:#}"));
            return throw(folder);
        }
        other => other?,
    };
    if changes.is_empty() {
        say("umview", "nothing was changed");
        drop(changes);
        if wish.no || folder.is_temporary {
            return folder.remove();
        }
        return Ok(());
    }
    let can_ask = io::stdin().is_terminal() && io::stderr().is_terminal();
    let count = changes.count();
    say("umview", &format!("{count} {}:", if count == 1 { "change" } else { "changes" }));
    let _ = io::stderr().write_all(changes.list(has_colors(), can_ask).as_bytes());
    let has_failed = ended.is_some_and(|ended| ended != Ended::Code(0));
    let fate = match decide(wish, has_failed) {
        Some(fate) => fate,
        None if can_ask => ask(&changes),
        None => Fate::Keep,
    };
    match fate {
        Fate::Keep if wish.yes => {
            keep(folder);
            say("umview", "nothing was committed: the command failed");
            Ok(())
        }
        Fate::Keep => {
            keep(folder);
            Ok(())
        }
        Fate::Throw => {
            drop(changes);
            throw(folder)
        }
        Fate::Commit => commit(changes, folder),
    }
}

fn is_in_use(cause: &Error) -> bool {
    matches!(cause.downcast_ref(), Some(cow_store::Error::Locked))
}

fn throw(folder: &Folder) -> Result<()> {
    folder.remove()?;
    say("umview", "thrown away");
    Ok(())
}

/// What the command line says; `None` for a question.
fn decide(wish: &Try, has_failed: bool) -> Option<Fate> {
    if wish.no {
        Some(Fate::Throw)
    } else if wish.yes {
        Some(if has_failed { Fate::Keep } else { Fate::Commit })
    } else if wish.store.is_some() && !wish.command.is_empty() {
        Some(Fate::Keep)
    } else {
        None
    }
}

fn has_colors() -> bool {
    let is_forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !is_forbidden && io::stderr().is_terminal()
}

/// Asks until there is an answer; who has no more to say keeps. What was typed before the question is no answer.
fn ask(changes: &Changes) -> Fate {
    let _ = tcflush(io::stdin(), FlushArg::TCIFLUSH);
    loop {
        let mut err = io::stderr();
        let _ = write!(err, "[c]ommit, [k]eep, [d]iff, [t]hrow away? [t] ");
        let _ = err.flush();
        let mut line = String::new();
        match io::stdin().read_line(&mut line) {
            Ok(1..) => {}
            _ => {
                let _ = writeln!(err);
                return Fate::Keep;
            }
        }
        match understood(&line) {
            Some(Answer::Fate(fate)) => return fate,
            Some(Answer::Diff) => {
                let _ = changes.write_text(&mut err, has_colors());
            }
            None => {}
        }
    }
}

/// What was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Fate(Fate),
    Diff,
}

fn understood(line: &str) -> Option<Answer> {
    let word = line.trim().to_ascii_lowercase();
    // Throwing away can't be undone: only for the empty line and the beginning of its own word.
    match word.as_str() {
        "c" | "commit" => Some(Answer::Fate(Fate::Commit)),
        "k" | "keep" => Some(Answer::Fate(Fate::Keep)),
        "d" | "diff" => Some(Answer::Diff),
        "" | "t" | "throw" | "throw away" => Some(Answer::Fate(Fate::Throw)),
        _ => None,
    }
}

fn keep(folder: &Folder) {
    let name = shell_word(&folder.path);
    say("umview", &format!("kept in {name}"));
    say(
        "umview",
        &format!("`umview try --store {name} --yes' commits it, with --no it is thrown away"),
    );
}

/// The name as a shell reads it.
fn shell_word(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%".contains(c);
    if text.chars().all(is_plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// All of it, or nothing.
///
/// # Errors
/// If any of it can't be committed, or the store not removed.
fn commit(changes: Changes, folder: &Folder) -> Result<()> {
    let impossible = changes.impossible();
    if !impossible.is_empty() {
        tell_refused(&impossible);
        let who = if nix::unistd::geteuid().is_root() { "root" } else { "this user; root may" };
        bail!(
            "nothing was committed: {} of {} changes can't be made by {who}",
            impossible.len(),
            changes.count()
        );
    }
    let commit = changes.commit().context("commit")?;
    let done = commit.done.len();
    if !commit.disowned.is_empty() {
        let own = nix::unistd::geteuid();
        let own =
            nix::unistd::User::from_uid(own).ok().flatten().map_or(own.to_string(), |u| u.name);
        let count = commit.disowned.len();
        say("umview", &format!("of {count} the owner is {own}, and not the one in the view"));
    }
    if !commit.left.is_empty() {
        let plain = |why: &str| why.replace(char::is_control, "?");
        let left = commit.left.iter().map(|(path, why)| (viewfs::show(path), plain(why)));
        let left: Vec<(String, String)> = left.collect();
        tell_refused(&left);
        bail!("{done} changes were committed, {} were not", left.len());
    }
    say("umview", &format!("{done} {} committed", if done == 1 { "change" } else { "changes" }));
    drop(changes);
    if folder.is_temporary {
        folder.remove()?;
    }
    Ok(())
}

fn tell_refused(refused: &[(String, String)]) {
    for (path, why) in refused.iter().take(TOLD_MAX) {
        say("umview", &format!("{path}: {why}"));
    }
    if refused.len() > TOLD_MAX {
        say("umview", &format!("... and {} more", refused.len().saturating_sub(TOLD_MAX)));
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Fate, decide, shell_word, understood};
    use crate::cli::{Action, Try, Umview};
    use clap::Parser;
    use std::path::Path;

    fn wish(line: &str) -> Try {
        let words = ["umview", "try"].into_iter().chain(line.split_whitespace());
        match Umview::parse_from(words).action {
            Some(Action::Try(wish)) => wish,
            None => panic!("{line}"),
        }
    }

    #[test]
    fn flags_decide_and_nothing_is_committed_after_a_failure() {
        let table = [
            ("ls", false, None),
            ("--yes ls", false, Some(Fate::Commit)),
            ("--yes ls", true, Some(Fate::Keep)),
            ("--no ls", false, Some(Fate::Throw)),
            ("--no ls", true, Some(Fate::Throw)),
            ("--store d ls", false, Some(Fate::Keep)),
            ("--store d --yes", false, Some(Fate::Commit)),
            ("--store d", false, None),
            // The command's own.
            ("ls --yes", false, None),
        ];
        for (line, has_failed, expect) in table {
            assert_eq!(decide(&wish(line), has_failed), expect, "{line} {has_failed}");
        }
    }

    #[test]
    fn only_an_answer_is_one() {
        assert_eq!(understood("\n"), Some(Answer::Fate(Fate::Throw)));
        assert_eq!(understood("Commit\n"), Some(Answer::Fate(Fate::Commit)));
        assert_eq!(understood(" k \n"), Some(Answer::Fate(Fate::Keep)));
        assert_eq!(understood("d"), Some(Answer::Diff));
        for line in ["y", "yes", "no", "cc", "t c"] {
            assert_eq!(understood(line), None, "{line}");
        }
    }

    #[test]
    fn a_shell_reads_the_name_of_the_store_as_one_word() {
        assert_eq!(shell_word(Path::new("/var/tmp/umview-try-a_1")), "/var/tmp/umview-try-a_1");
        assert_eq!(shell_word(Path::new("/a b'c")), "'/a b'\\''c'");
    }
}
