//! `cargo xtask ci`: what a change must pass, cheapest first.

use crate::command::{self, cargo};
use crate::{syscalls_page, test};
use anyhow::Result;

/// Stops at the first step that fails.
pub(crate) fn run() -> Result<()> {
    command::run(cargo(&["fmt", "--all", "--check"]))?;
    // Crates of their own, which the tree does not know.
    for example in ["romfs", "label"] {
        let manifest = format!("examples/{example}/Cargo.toml");
        command::run(cargo(&["fmt", "--manifest-path", &manifest, "--check"]))?;
    }
    syscalls_page::check()?;
    command::run(cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    test::run(&[])?;
    let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--document-private-items"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    command::run(doc)
}
