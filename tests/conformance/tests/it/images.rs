//! Every image equals the manifest that other tools made of it.

use e2e::{Engine, combinations, need, programs};
use std::path::Path;
use std::process::Command;

const KINDS: [&str; 3] = ["ext", "fat", "iso"];

fn every_image_by(engine: Engine) {
    let Some(folder) = std::env::var_os("VIEWOS_FIXTURES") else {
        eprintln!("SKIPPED: VIEWOS_FIXTURES is not set (cargo xtask test sets it)");
        return;
    };
    if !combinations().iter().any(|&(works, _)| works == engine) {
        return;
    }
    need("python3", "python3");
    need("setpriv", "util-linux");
    let index = Path::new(&folder).join("INDEX");
    let index = std::fs::read_to_string(&index).unwrap_or_else(|e| panic!("{index:?}: {e}"));
    let is_mounted = |line: &&str| line.split(' ').nth(1).is_some_and(|kind| KINDS.contains(&kind));
    let images = index.lines().filter(is_mounted).count();
    let engine = if engine == Engine::Notify { "notify" } else { "trace" };
    let view = format!("{}/umview --engine={engine} -p umfuse -q --", programs().display());
    let mut script = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("images.sh"));
    script.env("VIEW_CMD", view).env("LIST", "1").env("SHOW", "3").env("KINDS", KINDS.join(" "));
    let output = script.output().expect("bash is there");
    let text = String::from_utf8_lossy(&output.stdout);
    let figures = text.lines().last().unwrap_or_default();
    assert!(images > 0, "no image in {folder:?}");
    assert_eq!(figures, format!("{images} passed, 0 failed"), "{text}\n{output:?}");
}

#[test]
fn every_image_equals_its_manifest_by_notification() {
    every_image_by(Engine::Notify);
}

#[test]
fn every_image_equals_its_manifest_by_ptrace() {
    every_image_by(Engine::Trace);
}
