//! Running other programs, with the command line in every error.

use crate::root;
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

/// A program that will run in the folder of the workspace.
pub(crate) fn program(name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.args(arguments).current_dir(root());
    command
}

/// The cargo that started this task.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    program(&std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()), arguments)
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Runs to the end; an error if it can't start or does not end with 0.
pub(crate) fn run(mut command: Command) -> Result<()> {
    let line = line(&command);
    eprintln!("$ {line}");
    let status = command.status().with_context(|| format!("start {line}"))?;
    if !status.success() {
        bail!("{line}: {status}");
    }
    Ok(())
}

/// Whether the program can be started and ends with 0; what it prints is dropped.
pub(crate) fn works(mut command: Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

/// Runs to the end, passes its output on, and returns whether it ended with 0 and the lines of
/// both streams that contain one of `marks`.
pub(crate) fn watch(mut command: Command, marks: &'static [&'static str]) -> Result<Watched> {
    let line = line(&command);
    eprintln!("$ {line}");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("start {line}"))?;
    let stdout = child.stdout.take().context("stdout is a pipe")?;
    let stderr = child.stderr.take().context("stderr is a pipe")?;
    let below = std::thread::spawn(move || pass(stderr, std::io::stderr(), marks));
    let mut lines = pass(stdout, std::io::stdout(), marks);
    lines.extend(below.join().unwrap_or_default());
    let status = child.wait().with_context(|| format!("wait for {line}"))?;
    Ok(Watched { success: status.success(), lines })
}

/// What [`watch`] saw.
pub(crate) struct Watched {
    pub(crate) success: bool,
    pub(crate) lines: Vec<String>,
}

/// Copies line by line until the end and keeps the marked lines; bytes need not be UTF-8.
fn pass(from: impl Read, mut to: impl Write, marks: &[&str]) -> Vec<String> {
    let mut kept = Vec::new();
    for bytes in BufReader::new(from).split(b'\n').map_while(Result::ok) {
        let text = String::from_utf8_lossy(&bytes);
        // A closed terminal is no reason to stop the tests.
        let _ = writeln!(to, "{text}");
        if marks.iter().any(|mark| text.contains(mark)) {
            kept.push(text.into_owned());
        }
    }
    kept
}
