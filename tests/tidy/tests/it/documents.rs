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

#[test]
fn the_walk_throughs_quote_what_is_compiled() {
    let examples: Vec<String> = sources()
        .into_iter()
        .filter(|source| source.path.starts_with("examples/") && source.is_rust())
        .map(|source| source.text)
        .collect();
    for page in ["docs/writing-a-driver.md", "docs/writing-a-module.md"] {
        let text = std::fs::read_to_string(root().join(page)).expect(page);
        let blocks = text.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next());
        let blocks: Vec<&str> = blocks.collect();
        assert!(blocks.len() > 3, "{page} shows code");
        none(
            blocks
                .iter()
                .filter(|block| !examples.iter().any(|code| code.contains(*block)))
                .map(|block| format!("{page}: no example has these lines:\n{block}")),
        );
    }
}

#[test]
fn the_example_driver_is_as_short_as_its_page_says() {
    let all = sources();
    let driver = all.iter().find(|source| source.path == "examples/romfs/src/lib.rs");
    let is_code = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
    let lines = driver.map_or(0, |source| source.lines().filter(|(_, line)| is_code(line)).count());
    assert!((1..=200).contains(&lines), "{lines} lines of code");
}
