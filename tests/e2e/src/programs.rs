//! Where the commands of this tree are: built when they are older than the sources, and readable for everybody.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// The folder of `umview` and its kin.
///
/// # Panics
/// If they can't be built.
pub fn programs() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = built();
        if is_open_to_all(&folder) { folder } else { copied(&folder) }
    })
}

pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// A test is `TARGET/PROFILE/deps/NAME-HASH`.
pub(crate) fn profile_folder() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows where it is");
    test.ancestors().nth(2).expect("a test is in deps of its profile").to_path_buf()
}

fn built() -> PathBuf {
    let folder = profile_folder();
    let age = |path: &Path| fs::metadata(path).and_then(|m| m.modified()).ok();
    let umview = age(&folder.join("umview"));
    if umview.is_some_and(|made| made >= newest(&root())) {
        return folder;
    }
    let mut cargo = cargo(&root(), "build");
    cargo.args(["-p", "viewos-commands", "--bins"]);
    let status = cargo.status().expect("cargo starts");
    assert!(status.success(), "{cargo:?}: {status}");
    folder
}

/// cargo with the folder of build results and the profile of this test.
pub(crate) fn cargo(folder: &Path, verb: &str) -> Command {
    let profile = profile_folder();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args([verb, "--quiet"]).current_dir(folder);
    if let Some(target) = profile.parent() {
        cargo.env("CARGO_TARGET_DIR", target);
    }
    match profile.file_name().and_then(OsStr::to_str) {
        Some("debug") | None => {}
        Some(profile) => drop(cargo.args(["--profile", profile])),
    }
    cargo
}

/// When a source was last changed; tests are no sources of the commands.
fn newest(folder: &Path) -> SystemTime {
    let mut last = SystemTime::UNIX_EPOCH;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(kind) = entry.file_type() else { continue };
        let changed = if kind.is_dir() {
            if name.starts_with('.')
                || ["target", "tests", "docs", "examples", "fixtures", "xtask"]
                    .contains(&name.as_str())
            {
                continue;
            }
            newest(&entry.path())
        } else if name.ends_with(".rs") || name.starts_with("Cargo.") {
            entry.metadata().and_then(|m| m.modified()).unwrap_or(last)
        } else {
            continue;
        };
        last = last.max(changed);
    }
    last
}

fn is_open_to_all(folder: &Path) -> bool {
    folder.ancestors().all(|f| fs::metadata(f).is_ok_and(|m| m.mode() & 0o5 == 0o5))
}

/// The commands in a folder of /tmp that has the time of their making in its name.
fn copied(folder: &Path) -> PathBuf {
    let made = fs::metadata(folder.join("umview")).expect("umview is built");
    let uid = nix::unistd::getuid();
    let base = std::env::temp_dir().join(format!("viewos-e2e-programs-{uid}"));
    fs::create_dir_all(&base).expect("a folder in /tmp");
    let to = base.join(format!("{}.{}", made.mtime(), made.mtime_nsec()));
    if to.exists() {
        return to;
    }
    for old in fs::read_dir(&base).into_iter().flatten().flatten() {
        let _ = fs::remove_dir_all(old.path());
    }
    let fresh = base.join(format!("new.{}", std::process::id()));
    fs::create_dir_all(&fresh).expect("a folder in /tmp");
    for entry in fs::read_dir(folder).expect("the profile's folder").flatten() {
        let is_program = entry.metadata().is_ok_and(|m| m.is_file() && m.mode() & 0o111 != 0);
        if is_program {
            fs::copy(entry.path(), fresh.join(entry.file_name())).expect("room in /tmp");
        }
    }
    for made in [&base, &fresh] {
        fs::set_permissions(made, Permissions::from_mode(0o755)).expect("its owner may chmod");
    }
    // Another test may have been faster: its copy is as good.
    if fs::rename(&fresh, &to).is_err() {
        let _ = fs::remove_dir_all(&fresh);
    }
    to
}
