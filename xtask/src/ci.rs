//! `cargo xtask ci`: what a change must pass, cheapest first.

use crate::command::{self, cargo};
use crate::{syscalls_page, test};
use anyhow::Result;

/// Stops at the first step that fails.
pub(crate) fn run() -> Result<()> {
    command::run(cargo(&["fmt", "--all", "--check"]))?;
    syscalls_page::check()?;
    command::run(cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    test::run(&[])?;
    let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--document-private-items"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    command::run(doc)
}
