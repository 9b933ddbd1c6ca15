//! `viewfs`: looks at a copy-on-write store from outside of any view, and works on it.
//!
//! Exit status: 0 if all was done; 1 if something was left (`commit`), wrong (`verify`) or different
//! (`diff --exit-code`); 2 if the command could not do its work.

#![forbid(unsafe_code)]

mod commit;
mod diff;
mod layers;
mod output;
mod verify;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::{Shell, generate_to};
use cow_store::{Access, Store};
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Works on the store of a `mount -t viewfs -o cow` or `mincow`.
#[derive(Parser)]
#[command(name = "viewfs", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Shows what the store changes of the tree below it
    #[command(after_help = "Each line is a letter and a path: A added, M changed, D deleted, \
        a mode, owner or attributes only.\n\nExamples:\n  viewfs diff ~/newroot\n  \
        viewfs diff --text ~/newroot\n  viewfs diff --json ~/newroot | jq '.[].path'")]
    Diff(diff::Arguments),
    /// Does for real what the view did in the store
    #[command(after_help = "A file that changed below since it was copied up is left alone and \
        named, and the exit status is 1.\n\nExamples:\n  viewfs commit --dry-run ~/newroot\n  \
        viewfs commit ~/newroot /etc/hosts\n  viewfs commit ~/newroot --lower ~/tree")]
    Commit(commit::Arguments),
    /// Keeps the state of the store under a name; without a name, lists the names
    #[command(after_help = "Examples:\n  viewfs snapshot ~/newroot before-upgrade\n  \
        viewfs snapshot ~/newroot\n  viewfs snapshot --remove ~/newroot before-upgrade")]
    Snapshot(layers::Snapshot),
    /// Makes the store what it was when a snapshot was taken
    #[command(after_help = "Example:\n  viewfs rollback ~/newroot before-upgrade")]
    Rollback(layers::Rollback),
    /// Writes the store as a tar archive
    #[command(after_help = "Examples:\n  viewfs export ~/newroot changes.tar\n  \
        viewfs export --oci ~/newroot layer.tar\n  viewfs export ~/newroot - | tar -t")]
    Export(layers::Export),
    /// Takes a tar archive or a layer of an OCI image into the store
    #[command(after_help = "Examples:\n  viewfs import ~/newroot layer.tar\n  \
        zcat layer.tar.gz | viewfs import ~/newroot -")]
    Import(layers::Import),
    /// Reads everything in the store and tells what is wrong
    #[command(after_help = "Example:\n  viewfs verify ~/newroot")]
    Verify(verify::Arguments),
    /// Writes manual pages and completions, for `cargo xtask man`
    #[command(hide = true)]
    Pages {
        /// The folder
        folder: PathBuf,
    },
}

/// What became of a command.
enum Outcome {
    /// All was done.
    Done,
    /// Something was left, wrong or different.
    Partly,
}

/// Writes `folder/man/viewfs*.1` and `folder/completions/`.
fn pages(folder: &Path) -> anyhow::Result<Outcome> {
    let (man, completions) = (folder.join("man"), folder.join("completions"));
    for made in [&man, &completions] {
        std::fs::create_dir_all(made).with_context(|| format!("make {}", made.display()))?;
    }
    clap_mangen::generate_to(Arguments::command(), man)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut Arguments::command(), "viewfs", &completions)?;
    }
    Ok(Outcome::Done)
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Command::Diff(arguments) => diff::run(&arguments),
        Command::Commit(arguments) => commit::run(&arguments),
        Command::Snapshot(arguments) => layers::snapshot(&arguments),
        Command::Rollback(arguments) => layers::rollback(&arguments),
        Command::Export(arguments) => layers::export(&arguments),
        Command::Import(arguments) => layers::import(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Pages { folder } => pages(&folder),
    };
    match outcome {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Partly) => ExitCode::from(1),
        // Whoever read from us has seen enough.
        Err(e) if output::is_broken_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => {
            output::complain(&format!("viewfs: {e:#}"));
            ExitCode::from(2)
        }
    }
}

fn open_store(path: &Path, access: Access) -> anyhow::Result<Store> {
    let dir = open_directory(path)?;
    Store::open(dir.into(), access).with_context(|| format!("store {}", path.display()))
}

fn open_directory(path: &Path) -> anyhow::Result<File> {
    let dir = File::open(path).with_context(|| path.display().to_string())?;
    anyhow::ensure!(dir.metadata()?.is_dir(), "{}: not a directory", path.display());
    Ok(dir)
}

fn open_lower(path: &Path) -> anyhow::Result<cow_store::dir::HostDir> {
    Ok(cow_store::dir::HostDir::new(open_directory(path)?.into()))
}

/// Paths of the view as given, absolute or not.
fn view_paths(paths: &[OsString]) -> anyhow::Result<Vec<Vec<u8>>> {
    use std::os::unix::ffi::OsStrExt;
    let mut out = Vec::new();
    for path in paths {
        let mut bytes = path.as_bytes();
        while let Some(rest) = bytes.strip_suffix(b"/") {
            bytes = rest;
        }
        let canonical = cow_store::path::canonical(bytes)
            .with_context(|| PathBuf::from(path).display().to_string())?;
        out.push(canonical.to_vec());
    }
    Ok(out)
}
