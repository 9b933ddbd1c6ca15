//! The files of the tree.

use std::fs;
use std::path::{Path, PathBuf};

/// The kinds of file that the rules speak of.
const EXTENSIONS: [&str; 5] = ["rs", "toml", "md", "sh", "py"];

/// One file that people write.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its path below the root of the tree, with `/`.
    pub path: String,
    /// Its text.
    pub text: String,
}

impl Source {
    /// Whether it is Rust.
    #[must_use]
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether it is all test: below a folder `tests`, or a file `tests.rs`.
    #[must_use]
    pub fn is_test(&self) -> bool {
        self.path.split('/').any(|part| part == "tests" || part == "tests.rs")
    }

    /// The lines with their numbers, from 1.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// The lines that are test code: all of a test file, else what follows `#[cfg(test)]`.
    pub fn test_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let whole = self.is_test();
        self.lines().skip_while(move |(_, line)| !whole && line.trim() != "#[cfg(test)]")
    }
}

/// The root of the tree.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// Every source of the tree, by path. Build results and hidden folders are not looked at.
///
/// # Panics
/// If a folder or a file can't be read, or a file is not UTF-8.
#[must_use]
pub fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    visit(&root(), "", &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn visit(folder: &Path, prefix: &str, found: &mut Vec<Source>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for entry in entries.map(|entry| entry.expect("a folder of the tree can be read")) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') || name == "target" {
            continue;
        }
        let path = format!("{prefix}{name}");
        let kind = entry.file_type().expect("the kind of an entry is known");
        if kind.is_dir() {
            visit(&entry.path(), &format!("{path}/"), found);
        } else if EXTENSIONS.iter().any(|extension| name.ends_with(&format!(".{extension}"))) {
            let text =
                fs::read_to_string(entry.path()).unwrap_or_else(|e| panic!("{path} is text: {e}"));
            found.push(Source { path, text });
        }
    }
}
