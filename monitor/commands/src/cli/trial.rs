//! `umview try`.

use clap::Args;
use std::ffi::OsString;
use std::path::PathBuf;

/// The words behind `try`.
#[derive(Debug, Args)]
#[command(
    after_help = "Each change is a letter and a path: A added, M changed, D deleted, a mode, owner or attributes only.\n\n\
                  Examples:\n  \
                  umview try apt-get install -y cowsay           ask what becomes of it\n  \
                  umview try --no make install                   look at what it would do\n  \
                  umview try --store ~/new apt-get upgrade -y    keep it in a folder\n  \
                  umview try --store ~/new bash                  go on there\n  \
                  umview try --store ~/new                       show it, and ask\n  \
                  sudo umview try --store ~/new --yes            do it for real"
)]
pub struct Try {
    /// Commit without a question, if the command succeeds
    #[arg(short, long)]
    pub yes: bool,
    /// Throw away without a question
    #[arg(short, long, conflicts_with = "yes")]
    pub no: bool,
    /// The folder of the store, made if it is not there; without a flag it is kept. Without a command, only what
    /// becomes of it is asked
    #[arg(short, long, value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// Changes below this folder are real (repeatable)
    #[arg(long, value_name = "DIR")]
    pub except: Vec<PathBuf>,
    /// Change for real what the user may change, and only the rest in the store (viewfs -o mincow)
    #[arg(long)]
    pub mincow: bool,
    /// Run the command with one's own ids in place of root's
    #[arg(long)]
    pub own_ids: bool,
    /// The command and its arguments; by default $SHELL
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}
