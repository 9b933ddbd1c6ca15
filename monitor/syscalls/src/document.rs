//! The table as a page of Markdown.

/// The text of `docs/syscalls.md`.
#[must_use]
pub fn markdown() -> String {
    String::new()
}
