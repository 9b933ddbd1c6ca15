//! Documents that the sources make, and the page at the head of each crate.

use crate::none;
use tidy::{root, sources};

const PAGE_LINES_MIN: usize = 5;

#[test]
fn the_page_of_system_calls_is_current() {
    let page = std::fs::read_to_string(root().join("docs/syscalls.md")).unwrap_or_default();
    assert!(page == syscalls::markdown(), "docs/syscalls.md: run cargo xtask syscalls");
}

#[test]
fn every_crate_root_has_a_page() {
    none(sources().iter().filter(|source| is_root(&source.path)).filter_map(|source| {
        let has_code = source.lines().any(|(_, line)| {
            !line.trim().is_empty() && !line.starts_with("//") && !line.starts_with("#!")
        });
        let lines = source.lines().filter(|(_, line)| line.starts_with("//!")).count();
        (has_code && lines < PAGE_LINES_MIN).then(|| {
            format!("{}: the crate page has {lines} lines, not {PAGE_LINES_MIN}", source.path)
        })
    }));
}

/// The root that carries the page: the library's, or the program's where there is no library.
fn is_root(path: &str) -> bool {
    path.ends_with("src/lib.rs")
        || path
            .strip_suffix("src/main.rs")
            .is_some_and(|folder| !root().join(folder).join("src/lib.rs").exists())
}
