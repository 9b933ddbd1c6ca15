//! `cargo xtask syscalls`: the page that the system call table makes.

use crate::root;
use anyhow::{Context, Result, bail};

const PAGE: &str = "docs/syscalls.md";

/// Writes the page.
pub(crate) fn write() -> Result<()> {
    std::fs::write(root().join(PAGE), syscalls::markdown()).with_context(|| format!("write {PAGE}"))
}

/// Fails if the page is not what [`write()`] would write.
pub(crate) fn check() -> Result<()> {
    let page =
        std::fs::read_to_string(root().join(PAGE)).with_context(|| format!("read {PAGE}"))?;
    if page != syscalls::markdown() {
        bail!("{PAGE} is not current: run cargo xtask syscalls");
    }
    Ok(())
}
