//! The environment that a user's own session has.

use crate::accounts::Account;
use std::process::Command;

/// PATH of the administrator.
pub(crate) const PATH_ROOT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// PATH of everybody else.
const PATH_USER: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games";
/// What survives a login: the terminal's properties, and the wish for no colour.
const KEPT: [&str; 4] = ["TERM", "COLORTERM", "NO_COLOR", "LANG"];

/// Empties the environment and fills it as a login does.
pub(crate) fn of_login(command: &mut Command, account: &Account) {
    command.env_clear();
    for name in KEPT {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.env("PATH", if account.uid == 0 { PATH_ROOT } else { PATH_USER });
    of_user(command, account);
    command.env("USER", &account.name).env("LOGNAME", &account.name);
}

/// HOME and SHELL of the user, and for others than root the name.
///
/// As su(1): root keeps USER and LOGNAME, so that files show who has become root.
pub(crate) fn of_user(command: &mut Command, account: &Account) {
    command.env("HOME", &account.home).env("SHELL", &account.shell);
    if account.uid != 0 {
        command.env("USER", &account.name).env("LOGNAME", &account.name);
    }
}

/// `path` with the administrator's folders that it lacks at its end.
pub(crate) fn with_root_path(path: &str) -> String {
    let mut folders: Vec<&str> = path.split(':').filter(|folder| !folder.is_empty()).collect();
    for folder in PATH_ROOT.split(':') {
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders.join(":")
}

#[cfg(test)]
mod tests {
    use super::with_root_path;

    #[test]
    fn folders_of_the_administrator_come_last_and_once() {
        assert_eq!(
            with_root_path("/home/a/bin:/usr/bin:/bin"),
            "/home/a/bin:/usr/bin:/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin"
        );
    }
}
