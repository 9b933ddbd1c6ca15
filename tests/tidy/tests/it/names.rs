//! Files are nouns of a format or families of calls.

use crate::none;
use tidy::sources;

const EMPTY_NAMES: [&str; 10] =
    ["utils", "util", "common", "helpers", "helper", "types", "misc", "prelude", "stuff", "shared"];

#[test]
fn no_file_or_folder_is_named_after_nothing() {
    none(sources().iter().filter_map(|source| {
        let part = source.path.split('/').find(|part| {
            let stem = part.split('.').next().unwrap_or_default();
            EMPTY_NAMES.contains(&stem)
        })?;
        Some(format!("{}: {part} says nothing", source.path))
    }));
}
