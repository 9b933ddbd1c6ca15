//! The tasks of the tree, by `cargo xtask TASK`.
//!
//! A task is a module with a `run`; what it prints is its result, and it ends non-zero with the
//! cause when it fails. Tasks call cargo and the tools of Debian and write below `target/`, except
//! `syscalls` and `bench`, which write their pages of `docs/`.
//!
//! - `ci`: everything a change must pass: format, lints, tests, documents.
//! - `test`: the tools and fixtures that the tests need, then every test.
//! - `fixtures`: the images alone.
//! - `bench`: how fast views are, as `docs/benchmarks.md`.
//! - `tour`: the examples of the slides, played.
//! - `man`: manual pages and completions of the commands.
//! - `syscalls`: the page that the system call table makes.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "what a task prints is its result")]

mod bench;
mod ci;
mod command;
mod fixtures;
mod manual;
mod packages;
mod syscalls_page;
mod test;
mod tour;

use anyhow::{Result, bail};
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask TASK
  ci                  format, lints, tests, documents: what a change must pass
  test [FILTER...]    install missing tools (as root), make fixtures, run every test
  fixtures            make the images of target/fixtures (as root)
  bench [--quick] [--trace] [--rounds=N] [FILTER]
                      measure beside native, proot, fuse2fs ...; in full, write docs/benchmarks.md
  tour [FILTER]       play the examples of the slides in views
  man                 write target/man and target/completions
  syscalls [--check]  write docs/syscalls.md, or fail if it is not current";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<()> {
    match words {
        ["ci"] => ci::run(),
        ["test", filters @ ..] => test::run(filters),
        ["fixtures"] => fixtures::make().map(|folder| println!("{}", folder.display())),
        ["bench", words @ ..] => bench::run(words),
        // For bench itself, which runs it in views and mounts.
        ["probe", words @ ..] => bench::probe::run(words),
        ["tour"] => tour::run(None),
        ["tour", filter] => tour::run(Some(filter)),
        ["man"] => manual::write(),
        ["syscalls"] => syscalls_page::write(),
        ["syscalls", "--check"] => syscalls_page::check(),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => bail!("{USAGE}"),
    }
}

/// The folder of the workspace.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}
