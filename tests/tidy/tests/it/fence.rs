//! Where unsafe code is.

use crate::none;
use tidy::{Source, root, sources};

const LIST: &str = "tests/tidy/unsafe-files.txt";

/// Roots of libraries and programs: `src/lib.rs`, `src/main.rs`, `src/bin/NAME.rs`.
fn is_root(source: &Source) -> bool {
    let in_bin =
        source.path.rsplit_once('/').is_some_and(|(folder, _)| folder.ends_with("src/bin"));
    source.path.ends_with("src/lib.rs") || source.path.ends_with("src/main.rs") || in_bin
}

/// A block, function, implementation or trait that is unsafe, outside comments and attributes.
fn has_unsafe(source: &Source) -> bool {
    let word = concat!("un", "safe");
    source.lines().map(|(_, line)| line.split("//").next().unwrap_or_default()).any(|line| {
        let code = line.split_whitespace().collect::<Vec<_>>().join(" ");
        ["{", "fn", "impl", "extern", "trait"]
            .iter()
            .any(|next| code.contains(&format!("{word} {next}")))
            || code.contains(&format!("allow({word}_code"))
            || code.contains(&format!("expect({word}_code"))
    })
}

#[test]
fn files_with_unsafe_code_are_the_listed_ones() {
    let listed = std::fs::read_to_string(root().join(LIST)).expect(LIST);
    let listed: Vec<&str> = listed.lines().filter(|line| !line.starts_with('#')).collect();
    let sources = sources();
    let found = sources.iter().filter(|source| source.is_rust() && has_unsafe(source));
    let found: Vec<&str> = found.map(|source| source.path.as_str()).collect();
    none(found.iter().filter(|path| !listed.contains(path)).map(|path| {
        format!("{path} has unsafe code: move it behind the fence, or add it to {LIST}")
    }));
    none(
        listed
            .iter()
            .filter(|path| !found.contains(path))
            .map(|path| format!("{path} has no unsafe code: strike it from {LIST}")),
    );
}

#[test]
fn the_list_holds_the_engine_and_one_file_of_umdev_alone() {
    let listed = std::fs::read_to_string(root().join(LIST)).expect(LIST);
    let outside: Vec<&str> = listed
        .lines()
        .filter(|line| !line.starts_with('#') && !line.starts_with("monitor/engine/"))
        .collect();
    assert!(outside.len() <= 1 && outside.iter().all(|p| p.starts_with("umdev/")), "{outside:?}");
}

#[test]
fn every_other_crate_root_forbids_unsafe_code() {
    let forbid = concat!("#![forbid(un", "safe_code)]");
    let listed = std::fs::read_to_string(root().join(LIST)).expect(LIST);
    let inside = |path: &str| {
        path.starts_with("monitor/engine/")
            || path.starts_with("umdev/") && listed.lines().any(|line| line.starts_with("umdev/"))
    };
    none(
        sources()
            .iter()
            .filter(|source| is_root(source) && !inside(&source.path))
            .filter(|source| source.lines().all(|(_, line)| line != forbid))
            .map(|source| format!("{}: add {forbid}", source.path)),
    );
}
