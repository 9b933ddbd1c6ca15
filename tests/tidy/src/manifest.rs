//! The crates of the workspace.

use crate::tree::root;
use std::fs;
use toml::{Table, Value};

/// A member of the workspace.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its folder below the root.
    pub folder: String,
    /// The name of its package.
    pub package: String,
    /// The folders of the members that its code, not its tests, depends on.
    pub arrows: Vec<String>,
    /// Whether it takes the workspace's lints.
    pub takes_lints: bool,
}

fn read(path: &str) -> Table {
    let text = fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    text.parse().unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn at<'a>(table: &'a Table, keys: &[&str]) -> Option<&'a Value> {
    let (first, rest) = keys.split_first()?;
    rest.iter().try_fold(table.get(*first)?, |value, key| value.get(key))
}

/// Every member, in the order of the root's manifest.
///
/// # Panics
/// If a manifest can't be read or is not the manifest of a package.
#[must_use]
pub fn crates() -> Vec<Member> {
    let workspace = read("Cargo.toml");
    let members = at(&workspace, &["workspace", "members"]).and_then(Value::as_array);
    let folders = members.into_iter().flatten().filter_map(Value::as_str);
    folders.map(|folder| member(folder, &workspace)).collect()
}

fn member(folder: &str, workspace: &Table) -> Member {
    let manifest = read(&format!("{folder}/Cargo.toml"));
    let package = at(&manifest, &["package", "name"]).and_then(Value::as_str);
    let tables = [at(&manifest, &["dependencies"]), at(&manifest, &["build-dependencies"])];
    let names = tables.into_iter().flatten().filter_map(Value::as_table).flatten();
    Member {
        folder: folder.to_owned(),
        package: package.unwrap_or_else(|| panic!("{folder} has a package name")).to_owned(),
        arrows: names.filter_map(|(name, value)| inside(folder, name, value, workspace)).collect(),
        takes_lints: at(&manifest, &["lints", "workspace"]).and_then(Value::as_bool) == Some(true),
    }
}

/// The folder of a dependency that is a member, by a path of its own or by the workspace's.
fn inside(folder: &str, name: &str, value: &Value, workspace: &Table) -> Option<String> {
    if let Some(path) = value.get("path") {
        panic!("{folder}: {name} = {path}: members are named in [workspace.dependencies]");
    }
    let path = at(workspace, &["workspace", "dependencies", name, "path"])?;
    path.as_str().map(str::to_owned)
}
