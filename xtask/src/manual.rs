//! `cargo xtask man`: manual pages and completions of the commands.

use crate::command::{cargo, run};
use crate::fixtures;
use anyhow::Result;

/// Writes `target/man/*.1` and `target/completions/`, by an example of the commands' own crate: so that this
/// program is built without them.
pub(crate) fn write() -> Result<()> {
    let target = fixtures::target();
    let folder = target.to_string_lossy();
    run(cargo(&["run", "--quiet", "-p", "viewos-commands", "--example", "man", "--", &folder]))?;
    run(cargo(&[
        "run",
        "--quiet",
        "-p",
        "viewos-viewfs",
        "--bin",
        "viewfs",
        "--",
        "pages",
        &folder,
    ]))?;
    println!("{folder}/man\n{folder}/completions");
    Ok(())
}
