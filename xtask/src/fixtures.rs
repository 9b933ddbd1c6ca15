//! `cargo xtask fixtures`: the images of `target/fixtures`, made anew when a recipe changes.

use crate::command::{program, run};
use crate::{packages, root};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// The recipes, as text: images made by the same text are the same.
fn recipes() -> Result<String> {
    let folder = root().join("fixtures");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .with_context(|| format!("read {}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    let mut text = String::new();
    for file in files {
        let recipe =
            fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        text.push_str(&recipe);
    }
    Ok(text)
}

/// Makes the images where they are absent or out of date, and returns their folder.
///
/// Fails for others than root, who can't make loop mounts, and where the recipe fails.
pub(crate) fn make() -> Result<PathBuf> {
    let folder = target().join("fixtures");
    let stamp = folder.join("RECIPES");
    let recipes = recipes()?;
    if fs::read_to_string(&stamp).is_ok_and(|made| made == recipes) {
        return Ok(folder);
    }
    if !packages::is_root() {
        bail!("the kernel writes the ext images through loop mounts, which only root can make");
    }
    packages::install_missing()?;
    let script = root().join("fixtures/fixtures.sh");
    run(program("bash", &[&script.to_string_lossy(), &folder.to_string_lossy()]))?;
    fs::write(&stamp, recipes).with_context(|| format!("write {}", stamp.display()))?;
    Ok(folder)
}

/// The folder of build results.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join("target"), |folder| root().join(Path::new(&folder)))
}
