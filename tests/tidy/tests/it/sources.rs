//! Length, letters, and what is left to do.

use crate::none;
use tidy::{Source, sources};

const LINES_MAX: usize = 800;

/// Tables of data may be as long as the data.
const LONG: [&str; 1] = ["monitor/syscalls/src/table/"];

#[test]
fn files_are_short_enough_to_read() {
    let rust = sources().into_iter().filter(Source::is_rust);
    none(
        rust.filter(|source| !LONG.iter().any(|path| source.path.starts_with(path)))
            .map(|source| (source.lines().count(), source.path))
            .filter(|(lines, _)| *lines > LINES_MAX)
            .map(|(lines, path)| format!("{path}: {lines} lines, not {LINES_MAX}")),
    );
}

#[test]
fn sources_are_ascii() {
    let written = |source: &Source| !source.path.ends_with(".py") && !source.path.ends_with(".sh");
    none(sources().into_iter().filter(written).flat_map(|source| {
        let foreign = source.lines().filter(|(_, line)| !line.is_ascii());
        foreign
            .map(|(number, _)| format!("{}:{number}: not ASCII", source.path))
            .collect::<Vec<_>>()
    }));
}

#[test]
fn what_is_left_to_do_names_an_issue() {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let numbered = concat!("TO", "DO(#");
    none(sources().into_iter().filter(|source| !source.path.ends_with(".md")).flat_map(|source| {
        let open = source.lines().filter(|(_, line)| {
            let word = |mark: &str| line.split(|c: char| !c.is_alphanumeric()).any(|w| w == mark);
            marks.iter().any(|mark| word(mark)) && !line.contains(numbered)
        });
        open.map(|(number, _)| format!("{}:{number}: name the issue, or do it", source.path))
            .collect::<Vec<_>>()
    }));
}
