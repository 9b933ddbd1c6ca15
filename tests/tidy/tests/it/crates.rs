//! The graph of crates: arrows point down, siblings do not know one another.

use crate::none;
use tidy::{crates, root, sources};

/// What each crate may import of this tree. `*` is everything: the composition root and the tools.
const ARROWS: &[(&str, &[&str])] = &[
    ("abi", &[]),
    ("umdev", &["abi"]),
    ("drivers/ext2", &["abi"]),
    ("drivers/fat", &["abi"]),
    ("drivers/iso9660", &["abi"]),
    ("drivers/sftp", &["abi"]),
    ("drivers/enc", &["abi"]),
    ("umfuse", &["abi"]),
    ("cow-store", &["abi"]),
    ("viewfs", &["abi", "cow-store"]),
    ("monitor/syscalls", &["abi"]),
    // The engine installs the filter that the table makes.
    ("monitor/engine", &["abi", "monitor/syscalls"]),
    ("monitor/umnet", &["abi"]),
    // Modules are steered by a directory of text files.
    ("monitor/textfs", &["abi"]),
    ("monitor/ummisc", &["abi", "monitor/textfs"]),
    ("monitor/umproc", &["abi"]),
    ("monitor/umbinfmt", &["abi", "monitor/textfs"]),
    ("monitor", &["*"]),
    ("monitor/commands", &["*"]),
    ("xtask", &["*"]),
];

#[test]
fn arrows_point_down() {
    none(crates().into_iter().filter(|member| !member.folder.starts_with("tests/")).flat_map(
        |member| {
            let allowed = ARROWS.iter().find(|(folder, _)| *folder == member.folder);
            let Some((_, allowed)) = allowed else {
                return vec![format!("{}: say in ARROWS what it may import", member.folder)];
            };
            let wrong = member
                .arrows
                .iter()
                .filter(|arrow| !allowed.contains(&"*") && !allowed.contains(&arrow.as_str()));
            wrong.map(|arrow| format!("{} must not import {arrow}", member.folder)).collect()
        },
    ));
}

#[test]
fn every_folder_with_a_manifest_is_a_member_that_takes_the_lints() {
    let members = crates();
    none(
        members
            .iter()
            .filter(|member| !member.takes_lints)
            .map(|member| format!("{}/Cargo.toml: add [lints] workspace = true", member.folder)),
    );
    none(sources().iter().filter_map(|source| {
        let folder = source.path.strip_suffix("/Cargo.toml")?;
        // A crate of fuzz targets is built by its own tool, and the examples are as crates of others would be.
        let is_outside = folder.contains("fuzz") || folder.starts_with("examples/");
        let known = members.iter().any(|member| member.folder == folder);
        (!known && !is_outside).then(|| format!("{folder} is no member"))
    }));
}

#[test]
fn packages_are_named_after_their_folder() {
    none(crates().iter().filter_map(|member| {
        let last = member.folder.rsplit('/').next()?;
        let name = format!("viewos-{last}");
        (member.package != name).then(|| format!("{}: the package is {name}", member.folder))
    }));
}

#[test]
fn every_third_party_crate_names_its_owner() {
    let text = std::fs::read_to_string(root().join("Cargo.toml")).expect("the root's manifest");
    let section = text.split("[workspace.dependencies]").nth(1).expect("it has dependencies");
    let section = section.split("\n[").next().unwrap_or_default();
    let foreign = section.lines().filter(|line| line.contains('=') && !line.starts_with('#'));
    none(
        foreign
            .filter(|line| !line.contains("path = ") && !line.contains('#'))
            .map(|line| format!("Cargo.toml: name the owner of {line} in a comment")),
    );
}
