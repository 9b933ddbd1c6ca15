//! `viewfs verify`.

use crate::{Outcome, open_store};
use anyhow::Result;
use cow_store::Access;
use std::io::Write;
use std::path::PathBuf;
use viewfs::show;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The directory of the store
    store: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Outcome> {
    let store = open_store(&arguments.store, Access::ReadOnly)?;
    let found = store.verify()?;
    let mut out = std::io::stdout().lock();
    for problem in &found.problems {
        writeln!(out, "{}: {}", show(&problem.path), problem.what)?;
    }
    writeln!(
        out,
        "{} names, {} bytes of data, {} problems",
        found.names,
        found.bytes,
        found.problems.len()
    )?;
    Ok(if found.problems.is_empty() { Outcome::Done } else { Outcome::Partly })
}
