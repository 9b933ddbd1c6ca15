//! `viewsu`: a shell as another user of the view.

use crate::accounts::Account;
use crate::cli::Viewsu;
use crate::exec::{become_program, login_name, sentence};
use crate::finish::say;
use crate::{ask, login};
use anyhow::{Context, Result};
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// What the words after the options say.
#[derive(Debug, PartialEq, Eq)]
struct Words {
    login: bool,
    user: String,
    arguments: Vec<OsString>,
}

/// A lone `-` means a login and may stand before the user; the rest is the shell's.
fn read_words(words: &[OsString]) -> Words {
    let login = words.first().is_some_and(|word| word == "-");
    let mut rest = words.iter().skip(usize::from(login));
    let user = rest.next().map_or_else(|| "root".to_owned(), |u| u.to_string_lossy().into_owned());
    Words { login, user, arguments: rest.cloned().collect() }
}

/// Becomes the shell; returns only with a failure.
///
/// # Errors
/// In check order: no such user, not in a view, the shell can't be executed.
pub fn su(arguments: &Viewsu) -> Result<()> {
    let words = read_words(&arguments.words);
    let is_login = arguments.login || words.login;
    let account = Account::named(&words.user)?;
    ask(&account.request()).with_context(|| format!("become {}", account.name))?;
    let shell = arguments.shell.clone().unwrap_or_else(|| account.shell.clone());
    let mut command = shell_command(&shell, &account, is_login);
    if !is_login && !arguments.preserve_environment {
        login::of_user(&mut command, &account);
    }
    if let Some(line) = &arguments.command {
        command.arg("-c").arg(line);
    }
    Err(become_program(command.args(&words.arguments)))
}

/// The shell of an account, as a login shell where that is wanted.
pub(crate) fn shell_command(shell: &OsStr, account: &Account, is_login: bool) -> Command {
    let mut command = Command::new(shell);
    if is_login {
        login::of_login(&mut command, account);
        command.env("SHELL", shell).arg0(login_name(shell));
        // As su(1): a home directory that can't be entered is told, and no reason to stop.
        if let Err(error) = std::env::set_current_dir(&account.home) {
            say("viewsu", &format!("{}: {}", account.home.display(), sentence(&error)));
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use super::{Words, read_words};
    use std::ffi::OsString;

    fn words(text: &str) -> Words {
        read_words(&text.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn a_dash_and_a_user_may_come_first() {
        let expect = |login, user: &str, rest: &[&str]| Words {
            login,
            user: user.into(),
            arguments: rest.iter().map(OsString::from).collect(),
        };
        assert_eq!(words(""), expect(false, "root", &[]));
        assert_eq!(words("-"), expect(true, "root", &[]));
        assert_eq!(words("- alice"), expect(true, "alice", &[]));
        assert_eq!(words("alice -x f"), expect(false, "alice", &["-x", "f"]));
    }
}
