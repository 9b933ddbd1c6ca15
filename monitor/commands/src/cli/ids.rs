//! `viewsu`, `viewsudo`.

use clap::Parser;
use std::ffi::OsString;

/// Runs a shell, or a command, as another user of the view
///
/// As su(1), but virtual: nobody is asked for a password, because nothing is gained outside the view. What a process
/// may do to the host's files is still what the user who started the view may do.
///
/// Users and groups are those of the view's /etc/passwd and /etc/group. The exit status is the shell's; 126 if it
/// can't be executed, 127 if it is not found, 1 for any other failure.
#[derive(Debug, Parser)]
#[command(
    name = "viewsu",
    version,
    after_help = "Examples:\n  \
                  viewsu                      a shell as root\n  \
                  viewsu - alice              a login shell as alice, in her home directory\n  \
                  viewsu -c 'id -un' daemon   one command\n  \
                  viewsu -s /bin/sh nobody    a user whose own shell is nologin"
)]
pub struct Viewsu {
    /// Give the shell this command line by -c
    #[arg(short, long, value_name = "COMMAND", allow_hyphen_values = true)]
    pub command: Option<OsString>,
    /// A login shell: a clean environment, the user's home directory; a lone `-` says the same
    #[arg(short, long)]
    pub login: bool,
    /// Keep HOME, SHELL, USER and LOGNAME
    #[arg(short = 'p', short_alias = 'm', long, conflicts_with = "login")]
    pub preserve_environment: bool,
    /// The shell, in place of the one in the view's /etc/passwd
    #[arg(short, long, value_name = "SHELL")]
    pub shell: Option<OsString>,
    /// The user, by default root, and arguments for the shell; those with a dash behind --
    #[arg(value_name = "USER [ARGUMENT]")]
    pub words: Vec<OsString>,
}

/// Runs a command as another user of the view
///
/// As sudo(8), but virtual: nobody is asked for a password, because nothing is gained outside the view.
/// The environment is kept, but HOME, SHELL, USER and LOGNAME are the user's, SUDO_USER, SUDO_UID, SUDO_GID and
/// SUDO_COMMAND tell who asked, and PATH has the folders of the administrator's programs.
///
/// Users and groups are names, or numbers after a #. The exit status is the command's; 126 if it can't be executed,
/// 127 if it is not found, 1 for any other failure.
#[derive(Debug, Parser)]
#[command(
    name = "viewsudo",
    version,
    after_help = "Examples:\n  \
                  viewsudo mount -t umfuseext2 IMAGE /mnt\n  \
                  viewsudo -u daemon id\n  \
                  viewsudo -u '#1000' -g users touch /tmp/x\n  \
                  viewsudo DEBIAN_FRONTEND=noninteractive apt-get install hello\n  \
                  viewsudo -i              a login shell as root"
)]
pub struct Viewsudo {
    /// The user, by default root
    #[arg(short, long, value_name = "USER")]
    pub user: Option<String>,
    /// The first group, in place of the user's; without -u the user stays
    #[arg(short, long, value_name = "GROUP")]
    pub group: Option<String>,
    /// A login shell of the user, with the command if there is one
    #[arg(short = 'i', long)]
    pub login: bool,
    /// The shell of $SHELL, with the command if there is one
    #[arg(short, long, conflicts_with = "login")]
    pub shell: bool,
    /// HOME is the user's; it always is
    #[arg(short = 'H', long)]
    pub set_home: bool,
    /// Keep the environment; it always is
    #[arg(short = 'E', long)]
    pub preserve_env: bool,
    /// Ask for no password; nobody ever does
    #[arg(short, long)]
    pub non_interactive: bool,
    /// Variables for the environment, the command and its arguments
    #[arg(trailing_var_arg = true, value_name = "NAME=VALUE|COMMAND")]
    pub words: Vec<OsString>,
}
