//! Every fixture is read as the kernel reads it.

use crate::device::{fixtures, image, mount};
use crate::tree::manifest;

fn differences(found: &str, wanted: &str) -> String {
    let wanted_lines: std::collections::BTreeSet<&str> = wanted.lines().collect();
    let found_lines: std::collections::BTreeSet<&str> = found.lines().collect();
    let missing = wanted_lines.difference(&found_lines).take(5).map(|l| format!("- {l}\n"));
    let extra = found_lines.difference(&wanted_lines).take(5).map(|l| format!("+ {l}\n"));
    missing.chain(extra).collect()
}

fn check(name: &str, options: &str, suffix: &str) -> Option<String> {
    let folder = fixtures()?;
    let wanted = std::fs::read_to_string(folder.join(format!("{name}{suffix}.manifest"))).unwrap();
    let fs = match mount(image(&folder, name), true, options) {
        Ok(fs) => fs,
        Err(error) => return Some(format!("{name}: {error}")),
    };
    match manifest(&*fs) {
        Ok(found) if found == wanted => None,
        Ok(found) => Some(format!("{name}{suffix}:\n{}", differences(&found, &wanted))),
        Err(error) => Some(format!("{name}{suffix}: {error}")),
    }
}

#[test]
fn every_fixture_reads_as_its_manifest_says() {
    let Some(folder) = fixtures() else { return };
    let index = std::fs::read_to_string(folder.join("INDEX")).unwrap();
    let names: Vec<&str> = index
        .lines()
        .filter(|line| line.split(' ').nth(1) == Some("ext"))
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(names.len() >= 18, "{names:?}");
    let wrong: Vec<String> = names.iter().filter_map(|name| check(name, "", "")).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn noload_shows_the_bare_state() {
    let wrong: Vec<String> = ["ext3-dirty", "ext4-dirty"]
        .into_iter()
        .filter_map(|name| check(name, "noload", ".noload"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
