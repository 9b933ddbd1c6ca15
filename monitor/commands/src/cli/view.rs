//! `umview`, `um_attach`, `viewname`, `vuname`, `umshutdown`.

use crate::cli::trial::Try;
use clap::{Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

/// Runs a command with a view of the system of its own
///
/// Inside a view, umview makes a nested view: it sees the mounts made before it, its own stay private. The exit
/// status is the command's, and a command that a signal ends has umview end by that signal; 125 if the view
/// can't be started, 126 if the command can't be executed, 127 if it is not found.
///
/// As a login shell (-umview) it starts the user's shell of /etc/passwd in a view, as a login shell; for a user
/// whose shell is umview itself that is /bin/bash, or /bin/sh. ~/.viewosrc is run in the view first, by bash where
/// there is one: a failing line is reported with its number. The lines of a file given by -f must all succeed,
/// those of ~/.viewosrc need not.
#[derive(Debug, Parser)]
#[command(
    name = "umview",
    version,
    disable_version_flag = true,
    disable_help_subcommand = true,
    override_usage = "umview [OPTIONS] [COMMAND]...\n       umview [OPTIONS] try [OPTIONS] [COMMAND]...",
    after_help = "Inside a view, four questions about it take the place of a command. Each must be the first word, exactly \
                  as here; anything else, and whatever follows --, is a command:\n  \
                  umview stat [--json]             how many calls were answered, and how\n  \
                  umview tree [--json]             views, their services, mounts and processes\n  \
                  umview top [--once] [--json]     who makes the calls, and for which mounts (umview top --help)\n  \
                  umview explain PATH              who answers for a name\n\n\
                  Examples:\n  \
                  umview bash                      a shell in a view; load modules inside\n  \
                  umview -p umfuse -p umdev bash   the same, with modules loaded\n  \
                  umview -V try -f setup.sh make   run setup.sh in the view, then make\n  \
                  umview --mount umfuseext2:disk.img:/mnt:ro ls /mnt\n  \
                  umview --su id -un               as virtual root\n  \
                  umview --profile image --set image=disk.img ls /mnt\n  \
                  umview --print-profile > again.toml    in a view: to start one like it\n  \
                  umview try make install          look at what it changes, before it does\n  \
                  umview -- stat /etc/passwd       the command stat, even inside a view\n  \
                  umview --doctor                  what this machine offers"
)]
pub struct Umview {
    /// Load a module before the command starts (repeatable)
    #[arg(short, long = "preload", value_name = "MODULE[,OPTIONS]")]
    pub preload: Vec<String>,
    /// Mount before the command starts (repeatable, in order); the module of TYPE is loaded if it is not.
    /// A colon inside a part is written \:
    #[arg(short, long = "mount", value_name = "TYPE:SOURCE:TARGET[:OPTIONS]")]
    pub mount: Vec<String>,
    /// Start as this file, or the profile of this name, says (umview --list-profiles)
    #[arg(long, value_name = "FILE|NAME")]
    pub profile: Option<String>,
    /// Set a parameter of the profile (repeatable)
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// List the profiles that a name finds
    #[arg(long)]
    pub list_profiles: bool,
    /// Print the profile of the view that this runs in; with --profile that one, with its parameters filled in
    #[arg(long)]
    pub print_profile: bool,
    /// Run the command as this user of the view, by default root, after the mounts and the start script
    #[arg(long, value_name = "USER", num_args = 0..=1, require_equals = true, default_missing_value = "root")]
    pub su: Option<String>,
    /// Run this shell script in the view first, in place of ~/.viewosrc
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub script: Option<PathBuf>,
    /// Name the view
    #[arg(short = 'V', long = "viewname", value_name = "NAME", default_value = "")]
    pub name: String,
    /// Allow no nested views
    #[arg(short = 'x', long = "nonesting")]
    pub no_nesting: bool,
    /// No greeting, and only errors in the log
    #[arg(short, long)]
    pub quiet: bool,
    /// How calls are intercepted; by default the better one that works here
    #[arg(long, value_enum)]
    pub engine: Option<Engine>,
    /// Without seccomp notification, as --engine trace
    #[arg(long, conflicts_with = "engine")]
    pub no_notify: bool,
    /// Without /dev/fuse: placeholders stand for virtual files, and more calls are intercepted
    #[arg(long)]
    pub no_fuse: bool,
    /// Without user namespaces, and so without /dev/fuse
    #[arg(long)]
    pub no_userns: bool,
    /// Without code of ours in the processes: more calls are intercepted
    #[arg(long)]
    pub no_agent: bool,
    /// Log to standard error; without a filter, who answered each call and how long it took (as --no-agent, so that
    /// every call is seen)
    #[arg(long, value_name = "FILTER", num_args = 0..=1, require_equals = true, default_missing_value = "calls=debug,info")]
    pub log: Option<String>,
    /// Say what this machine offers, and what would be chosen
    #[arg(long)]
    pub doctor: bool,
    /// Print the version
    #[arg(long, action = clap::ArgAction::Version)]
    pub version: Option<bool>,
    /// A command line for the shell, in place of a command
    #[arg(
        short = 'c',
        value_name = "LINE",
        allow_hyphen_values = true,
        conflicts_with = "command"
    )]
    pub line: Option<OsString>,
    /// The command and its arguments; by default $SHELL
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
    /// What takes the place of a command
    #[command(subcommand)]
    pub action: Option<Action>,
}

/// Words that take the place of a command, after the options; behind -- they are commands.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Runs a command on a copy of the system that can be thrown away
    ///
    /// The command runs as virtual root, in the environment of the caller, and whatever it changes in files, anywhere,
    /// goes to a store: neither the system's files nor the user's own are touched. What is no file is the real
    /// thing: processes, the network, /proc, and devices.
    ///
    /// When the command has ended, what still runs of it is ended, too, and what it changed is shown. On a terminal
    /// the question is what becomes of it: commit does it for real, as the user that one really is, all of it or
    /// nothing; keep leaves it in the store, for another look or to go on; throw away forgets it. Without a
    /// terminal to ask on, it is kept, and said where. Nothing is committed after a command that failed.
    ///
    /// A store without a name of its own is in $TMPDIR, or else /var/tmp, as umview-try-*; it is left there if umview
    /// is killed.
    ///
    /// The exit status is the command's; 123 if a commit that was asked for could not be made; 125, 126 and 127 as
    /// for umview. Inside a view it is a nested view, and what is real is what the view around it shows.
    Try(Try),
}

/// How calls are intercepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// Seccomp notification
    Notify,
    /// ptrace alone
    Trace,
}

/// Takes a running process into the view
///
/// The process, all its threads and its future children see the view of the caller from here on; files that are
/// open stay what they are.
#[derive(Debug, Parser)]
#[command(
    name = "um_attach",
    version,
    after_help = "Examples:\n  \
                  um_attach 12345\n  \
                  um_attach $(pidof editor)"
)]
pub struct UmAttach {
    /// Process ids
    #[arg(required = true, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pub pids: Vec<i32>,
}

/// Prints or sets the name of the view
#[derive(Debug, Parser)]
#[command(
    name = "viewname",
    version,
    after_help = "Examples:\n  \
                  viewname                          print it\n  \
                  viewname build                    set it\n  \
                  PS1='\\u@$(viewname -p):\\w\\$ '     user@host[server:view]:~$ in a view, user@host:~$ outside"
)]
pub struct Viewname {
    /// Print the name for a prompt
    // The text is here because the documentation would take its brackets for a link.
    #[arg(
        short,
        long,
        conflicts_with = "name",
        help = "Print host[server:view] for a prompt: the monitor's process id, the name or else the number of \
                the view; outside a view the host alone"
    )]
    pub prompt: bool,
    /// The name to set
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
}

/// Prints what the system is, with the fields of the view
///
/// The options of uname(1), and -U, -V and -N for the view. Without options -s. Outside a view it is uname(1), and
/// -U, -V and -N fail.
#[derive(Debug, Default, Parser)]
#[command(
    name = "vuname",
    version,
    disable_version_flag = true,
    after_help = "Examples:\n  \
                  vuname -a        everything\n  \
                  vuname -nroUV    the line that greets: host, release, system, server, view"
)]
#[allow(clippy::struct_excessive_bools, reason = "one for each letter of the command line")]
pub struct Vuname {
    /// Everything, in the order of this list
    #[arg(short, long)]
    pub all: bool,
    /// The name of the kernel
    #[arg(short = 's', long)]
    pub kernel_name: bool,
    /// The name of the host
    #[arg(short = 'n', long)]
    pub nodename: bool,
    /// The release of the kernel
    #[arg(short = 'r', long)]
    pub kernel_release: bool,
    /// The version of the kernel
    #[arg(short = 'v', long)]
    pub kernel_version: bool,
    /// The hardware
    #[arg(short = 'm', long)]
    pub machine: bool,
    /// The name of the domain (NIS)
    #[arg(short = 'd', long)]
    pub domainname: bool,
    /// The processor; -a leaves it out where it is unknown
    #[arg(short = 'p', long)]
    pub processor: bool,
    /// The platform; -a leaves it out where it is unknown
    #[arg(short = 'i', long)]
    pub hardware_platform: bool,
    /// The operating system
    #[arg(short = 'o', long)]
    pub operating_system: bool,
    /// The monitor's process id
    #[arg(short = 'U', long)]
    pub server: bool,
    /// The number of the view
    #[arg(short = 'V', long)]
    pub view: bool,
    /// The name of the view
    #[arg(short = 'N', long)]
    pub viewname: bool,
    /// Print the version
    #[arg(long, action = clap::ArgAction::Version)]
    pub version: Option<bool>,
}

/// Ends every process of the view
///
/// TERM, wait for them, KILL; of the views inside it, too. The caller is one of them.
#[derive(Debug, Parser)]
#[command(
    name = "umshutdown",
    version,
    after_help = "Examples:\n  \
                  umshutdown        ten seconds to end in\n  \
                  umshutdown 0      at once"
)]
pub struct Umshutdown {
    /// Seconds between TERM and KILL
    #[arg(value_name = "SECONDS", default_value_t = 10)]
    pub seconds: u64,
}
