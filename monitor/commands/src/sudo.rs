//! `viewsudo`: a command as another user of the view.

use crate::accounts::{Account, group};
use crate::cli::Viewsudo;
use crate::exec::become_program;
use crate::su::shell_command;
use crate::{ask, login};
use anyhow::{Context, Result, bail};
use nix::unistd::{getgid, getuid};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::Command;

/// The longest SUDO_COMMAND in bytes, as sudo(8) cuts it.
const COMMAND_BYTES_MAX: usize = 4096;

/// Becomes the command; returns only with a failure.
///
/// # Errors
/// In check order: no such user or group, no command, not in a view, the command can't be executed.
pub fn sudo(arguments: &Viewsudo) -> Result<()> {
    let caller = Account::numbered(getuid().as_raw())?;
    let caller_gid = getgid().as_raw();
    let mut account = match (&arguments.user, &arguments.group) {
        (Some(user), _) => Account::wanted(user)?,
        (None, Some(_)) => caller.clone(),
        (None, None) => Account::wanted("root")?,
    };
    if let Some(wanted) = &arguments.group {
        account = account.with_group(group(wanted)?);
    }
    let (variables, words) = split_variables(&arguments.words);
    if words.is_empty() && !arguments.login && !arguments.shell {
        bail!("no command; viewsudo -s starts a shell");
    }
    ask(&account.request()).with_context(|| format!("become {}", account.name))?;
    let mut command = command_of(arguments, &account, &words);
    command.envs(variables);
    command.env("SUDO_USER", &caller.name);
    command.env("SUDO_UID", caller.uid.to_string()).env("SUDO_GID", caller_gid.to_string());
    let line: Vec<u8> = words.iter().map(|w| w.as_bytes()).collect::<Vec<_>>().join(&b' ');
    let shown = line.into_iter().take(COMMAND_BYTES_MAX).collect();
    command.env("SUDO_COMMAND", OsString::from_vec(shown));
    Err(become_program(&mut command))
}

/// The command itself, or a shell with it as its line.
fn command_of(arguments: &Viewsudo, account: &Account, words: &[OsString]) -> Command {
    if arguments.login || arguments.shell {
        let own = std::env::var_os("SHELL").filter(|s| !s.is_empty() && arguments.shell);
        let shell = own.unwrap_or_else(|| account.shell.clone());
        let mut command = shell_command(&shell, account, arguments.login);
        if !arguments.login {
            of_sudo(&mut command, account);
        }
        if !words.is_empty() {
            command.arg("-c").arg(quoted(words));
        }
        return command;
    }
    let (program, rest) =
        words.split_first().map_or((OsString::new(), &[][..]), |(p, r)| (p.clone(), r));
    let mut command = Command::new(program);
    command.args(rest);
    of_sudo(&mut command, account);
    command
}

fn of_sudo(command: &mut Command, account: &Account) {
    login::of_user(command, account);
    command.env("USER", &account.name).env("LOGNAME", &account.name);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", login::with_root_path(&path));
}

/// A name and its value.
type Variable = (OsString, OsString);

/// `NAME=VALUE` words before the command are for its environment.
fn split_variables(words: &[OsString]) -> (Vec<Variable>, Vec<OsString>) {
    let mut variables = Vec::new();
    let mut rest = words.iter();
    for word in rest.by_ref() {
        let bytes = word.as_bytes();
        let at = bytes.iter().position(|&b| b == b'=').unwrap_or(0);
        let is_name = at > 0
            && bytes.iter().take(at).all(|b| b.is_ascii_alphanumeric() || *b == b'_')
            && !bytes.first().is_some_and(u8::is_ascii_digit);
        if !is_name {
            let command = std::iter::once(word).chain(rest).cloned().collect();
            return (variables, command);
        }
        let (name, value) = bytes.split_at(at);
        let value = value.strip_prefix(b"=").unwrap_or_default();
        variables.push((OsString::from_vec(name.to_vec()), OsString::from_vec(value.to_vec())));
    }
    (variables, Vec::new())
}

/// The words as one line that a shell takes apart into the same words.
fn quoted(words: &[OsString]) -> OsString {
    let mut line = Vec::new();
    for word in words {
        if !line.is_empty() {
            line.push(b' ');
        }
        if word.is_empty() {
            line.extend_from_slice(b"''");
        }
        for &byte in word.as_bytes() {
            match byte {
                b'\n' => line.extend_from_slice(b"'\n'"),
                b'_' | b'-' | b'$' | 0x80.. => line.push(byte),
                _ if byte.is_ascii_alphanumeric() => line.push(byte),
                _ => line.extend_from_slice(&[b'\\', byte]),
            }
        }
    }
    OsString::from_vec(line)
}

#[cfg(test)]
mod tests {
    use super::{quoted, split_variables};
    use std::ffi::OsString;

    fn words(list: &[&str]) -> Vec<OsString> {
        list.iter().map(OsString::from).collect()
    }

    #[test]
    fn variables_end_at_the_first_word_that_is_none() {
        let (variables, command) = split_variables(&words(&["A=1", "_b=", "dd", "if=x"]));
        assert_eq!(variables, [("A".into(), "1".into()), ("_b".into(), "".into())]);
        assert_eq!(command, words(&["dd", "if=x"]));
        let (variables, command) = split_variables(&words(&["=x", "A=1"]));
        assert_eq!((variables.len(), command), (0, words(&["=x", "A=1"])));
        assert_eq!(split_variables(&words(&["A=1"])).1, words(&[]));
    }

    #[test]
    fn a_shell_sees_the_words_again() {
        let list = ["printf", "%s,", "a b", "", "it's", "x\ny", "*;&|<>()`\"\\", "-n"];
        let line = quoted(&words(&list));
        let out = std::process::Command::new("/bin/sh").arg("-c").arg(line).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&out.stdout), "a b,,it's,x\ny,*;&|<>()`\"\\,-n,");
    }
}
