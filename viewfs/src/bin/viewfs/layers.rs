//! `viewfs snapshot`, `rollback`, `export` and `import`.

use crate::output::{Progress, complain};
use crate::{Outcome, open_store};
use anyhow::{Context, Result};
use cow_store::{Access, Flavor};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use viewfs::show;

#[derive(clap::Args)]
pub(crate) struct Snapshot {
    /// The directory of the store
    store: PathBuf,
    /// The name to keep the state under
    name: Option<String>,
    /// Remove the snapshot of this name
    #[arg(long, requires = "name")]
    remove: bool,
}

#[derive(clap::Args)]
pub(crate) struct Rollback {
    /// The directory of the store
    store: PathBuf,
    /// The name of the snapshot
    name: String,
}

#[derive(clap::Args)]
pub(crate) struct Export {
    /// The directory of the store
    store: PathBuf,
    /// The archive to write; - for standard output
    archive: PathBuf,
    /// Write a layer of an OCI image: removals too
    #[arg(long)]
    oci: bool,
}

#[derive(clap::Args)]
pub(crate) struct Import {
    /// The directory of the store; it is made if it is not there
    store: PathBuf,
    /// The archive to read; - for standard input
    archive: PathBuf,
}

pub(crate) fn snapshot(arguments: &Snapshot) -> Result<Outcome> {
    let Some(name) = &arguments.name else {
        let store = open_store(&arguments.store, Access::ReadOnly)?;
        let mut out = std::io::stdout().lock();
        for name in store.snapshots()? {
            writeln!(out, "{name}")?;
        }
        return Ok(Outcome::Done);
    };
    let store = open_store(&arguments.store, Access::Write)?;
    if arguments.remove { store.remove_snapshot(name) } else { store.snapshot(name) }
        .with_context(|| format!("snapshot {name}"))?;
    Ok(Outcome::Done)
}

pub(crate) fn rollback(arguments: &Rollback) -> Result<Outcome> {
    let store = open_store(&arguments.store, Access::Write)?;
    store.rollback(&arguments.name).with_context(|| format!("snapshot {}", arguments.name))?;
    Ok(Outcome::Done)
}

fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

pub(crate) fn export(arguments: &Export) -> Result<Outcome> {
    let store = open_store(&arguments.store, Access::ReadOnly)?;
    let out: Box<dyn Write> = if is_standard(&arguments.archive) {
        Box::new(std::io::stdout().lock())
    } else {
        let file = File::create(&arguments.archive);
        Box::new(file.with_context(|| arguments.archive.display().to_string())?)
    };
    let mut out = std::io::BufWriter::new(Progress::new(out, "written"));
    let flavor = if arguments.oci { Flavor::Oci } else { Flavor::Plain };
    let exported = store.export_tar(&mut out, flavor)?;
    out.flush()?;
    out.get_ref().finish();
    for path in &exported.left {
        complain(&format!("viewfs: {}: not in the archive", show(path)));
    }
    Ok(Outcome::Done)
}

pub(crate) fn import(arguments: &Import) -> Result<Outcome> {
    if !arguments.store.exists() {
        std::fs::create_dir(&arguments.store)
            .with_context(|| arguments.store.display().to_string())?;
    }
    let store = open_store(&arguments.store, Access::Write)?;
    let input: Box<dyn Read> = if is_standard(&arguments.archive) {
        Box::new(std::io::stdin().lock())
    } else {
        let file = File::open(&arguments.archive);
        Box::new(file.with_context(|| arguments.archive.display().to_string())?)
    };
    let mut input = Progress::new(std::io::BufReader::new(input), "read");
    let taken = store.import_tar(&mut input)?;
    input.finish();
    writeln!(std::io::stdout(), "{taken} entries")?;
    Ok(Outcome::Done)
}
