//! How a command ends.

use anyhow::{Error, Result};
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

/// A failure that has an exit status of its own; all others have 1.
#[derive(Debug)]
pub struct Status {
    /// The status.
    pub code: u8,
    /// Cause and next step.
    pub cause: Error,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.cause)
    }
}

impl std::error::Error for Status {}

/// The status of a command, and for a failure its cause on standard error.
#[must_use]
pub fn finish(command: &str, result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(command, &format!("{error:#}"));
            ExitCode::from(error.downcast_ref::<Status>().map_or(1, |status| status.code))
        }
    }
}

/// A line on standard error. Who has closed it does not want to know.
pub(crate) fn say(command: &str, sentence: &str) {
    let _ = writeln!(io::stderr(), "{command}: {sentence}");
}

/// The answer. A reader that has seen enough is no failure.
pub(crate) fn answer(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::new(error).context("standard output"))
        }
        _ => Ok(()),
    }
}
