//! The step from a command to the program that it is for.

use crate::finish::Status;
use anyhow::Error;
use nix::errno::Errno;
use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// A program that is not there.
const NOT_FOUND: u8 = 127;
/// A program that can't be executed.
const NOT_EXECUTABLE: u8 = 126;

/// Becomes the program; returns only with the reason why not, and the status that shells give it.
pub(crate) fn become_program(command: &mut Command) -> Error {
    let error = command.exec();
    let code = if error.kind() == ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE };
    let name = command.get_program().to_string_lossy().into_owned();
    let cause = Error::msg(format!("{name}: {}", sentence(&error)));
    Error::new(Status { code, cause })
}

/// An error of the system without its number, which says nothing that the words do not.
pub(crate) fn sentence(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => Errno::from_raw(number).desc().to_owned(),
        None => error.to_string(),
    }
}

/// What a login shell has as its own name.
pub(crate) fn login_name(shell: &OsStr) -> String {
    let text = shell.to_string_lossy();
    format!("-{}", text.rsplit('/').next().unwrap_or(&text))
}
