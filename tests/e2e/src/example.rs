//! The crates of `examples/`: compiled as anybody's would be, in a folder that is not of the workspace.

use crate::programs::{cargo, profile_folder, root};
use std::fs;
use std::path::{Path, PathBuf};

/// An example that was compiled.
pub struct Example {
    folder: PathBuf,
}

impl Example {
    /// Copies `examples/NAME` out of the tree and compiles its programs, without a network and with the crates that
    /// the tree's own Cargo.lock names. The folder of build results is the tree's, so that what both need is there.
    ///
    /// # Panics
    /// If it does not compile.
    #[must_use]
    pub fn build(name: &str) -> Self {
        let target = profile_folder();
        let target = target.parent().expect("a profile's folder is in the target folder");
        let folder = target.join("tmp/examples").join(name);
        copy(&root().join("examples").join(name), &folder);
        put(&folder.join("Cargo.lock"), &read(&root().join("Cargo.lock")));
        let example = Self { folder };
        example.cargo("build", &["--bins"]);
        example
    }

    /// Passes its own tests.
    ///
    /// # Panics
    /// If one of them fails.
    pub fn test(&self) {
        self.cargo("test", &[]);
    }

    /// Copies one of its programs to a place that everybody can read.
    ///
    /// # Panics
    /// If there is no such program.
    pub fn install(&self, program: &str, to: &str) {
        let from = profile_folder().join(program);
        fs::copy(&from, to).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
    }

    fn cargo(&self, verb: &str, words: &[&str]) {
        let mut cargo = cargo(&self.folder, verb);
        let output = cargo.arg("--offline").args(words).output().expect("cargo starts");
        let text = String::from_utf8_lossy(&output.stderr);
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{cargo:?}: {}\n{stdout}\n{text}", output.status);
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Writes what differs: a file with a new time would be compiled again.
fn put(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return;
    }
    fs::write(path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

/// Copies the sources; what a manifest calls `../..` is the root of the tree.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap_or_else(|e| panic!("{}: {e}", to.display()));
    let entries = fs::read_dir(from).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
    for entry in entries.map(|entry| entry.expect("a folder of the tree can be read")) {
        let name = entry.file_name();
        if entry.path().is_dir() {
            copy(&entry.path(), &to.join(name));
        } else if name == "Cargo.toml" {
            let tree = format!("path = \"{}/", root().display());
            put(&to.join(name), &read(&entry.path()).replace("path = \"../../", &tree));
        } else {
            put(&to.join(name), &read(&entry.path()));
        }
    }
}
