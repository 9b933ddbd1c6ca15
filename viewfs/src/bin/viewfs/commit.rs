//! `viewfs commit`.

use crate::output::{complain, has_colors};
use crate::{Outcome, open_lower, open_store, view_paths};
use anyhow::Result;
use cow_store::Access;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use viewfs::{show, write_line};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The directory of the store
    store: PathBuf,
    /// Only these paths of the view and what is below them
    paths: Vec<OsString>,
    /// The tree below the store, which is changed
    #[arg(long, default_value = "/", value_name = "DIR")]
    lower: PathBuf,
    /// Show what would be done
    #[arg(long, short = 'n')]
    dry_run: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Outcome> {
    let access = if arguments.dry_run { Access::ReadOnly } else { Access::Write };
    let store = open_store(&arguments.store, access)?;
    let lower = open_lower(&arguments.lower)?;
    let paths = view_paths(&arguments.paths)?;
    let commit = store.commit(&paths, &lower, arguments.dry_run)?;
    let mut out = std::io::stdout().lock();
    let colors = has_colors();
    for differs in &commit.done {
        write_line(&mut out, differs, colors)?;
    }
    out.flush()?;
    for (path, why) in &commit.left {
        complain(&format!("viewfs: left {}: {why}", show(path)));
    }
    Ok(if commit.left.is_empty() { Outcome::Done } else { Outcome::Partly })
}
