//! The folder of a store: made, found, and removed whatever modes are in it.

use anyhow::{Context, Result, bail};
use std::fs::{self, DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What a store has at its top (`docs/formats/cow-store.md`).
const MARK: &str = ".viewos";
/// Where a folder is made when none is named: on a disk, and there after the next start.
const BASE: &str = "/var/tmp";

/// Where changes go.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    /// It was made for one trial, and goes with it.
    pub(crate) is_temporary: bool,
}

impl Folder {
    /// A new one, which nobody else may enter.
    ///
    /// # Errors
    /// If it can't be made in $TMPDIR, or else /var/tmp.
    pub(crate) fn temporary() -> Result<Self> {
        let base = std::env::var_os("TMPDIR").filter(|base| !base.is_empty());
        let base = base.map_or_else(|| PathBuf::from(BASE), PathBuf::from);
        let base = std::path::absolute(&base).unwrap_or(base);
        let path = nix::unistd::mkdtemp(&base.join("umview-try-XXXXXX"))
            .with_context(|| format!("a folder for the store in {} ($TMPDIR)", base.display()))?;
        Ok(Self { path, is_temporary: true })
    }

    /// The one with this name, made if it is not there.
    ///
    /// # Errors
    /// - if it can't be made or read.
    /// - if there is something in it that is no store.
    pub(crate) fn named(path: &Path) -> Result<Self> {
        let shown = path.display();
        let made = DirBuilder::new().mode(0o700).create(path);
        if let Err(error) = made
            && error.kind() != ErrorKind::AlreadyExists
        {
            return Err(error).with_context(|| format!("make the store {shown}"));
        }
        let path = path.canonicalize().with_context(|| format!("the store {shown}"))?;
        let mut entries = fs::read_dir(&path).with_context(|| format!("the store {shown}"))?;
        if !path.join(MARK).is_dir() && entries.next().is_some() {
            bail!(
                "{shown} is no store and not empty: name an empty folder, or one that is not there"
            );
        }
        Ok(Self { path, is_temporary: false })
    }

    /// Removes it with all that is in it.
    ///
    /// # Errors
    /// What can't be removed.
    pub(crate) fn remove(&self) -> Result<()> {
        // Directories that not even their owner may look into are opened first; root needs that for none.
        fs::remove_dir_all(&self.path)
            .or_else(|_| {
                unlock(&self.path);
                fs::remove_dir_all(&self.path)
            })
            .with_context(|| format!("remove {}", self.path.display()))
    }
}

/// Gives the owner every right on each directory, from the top down; what refuses is told by the removal.
fn unlock(top: &Path) {
    let mut todo = vec![top.to_path_buf()];
    while let Some(folder) = todo.pop() {
        let _ = fs::set_permissions(&folder, Permissions::from_mode(0o700));
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            // Not of a link: its target is none of ours.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                todo.push(entry.path());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Folder, unlock};
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_folder_with_something_else_in_it_is_never_taken() {
        let work = tempfile::tempdir().unwrap();
        let home = work.path().join("home");
        fs::create_dir(&home).unwrap();
        fs::write(home.join("thesis"), "").unwrap();
        // Error: not empty, and no store.
        let refused = Folder::named(&home).unwrap_err().to_string();
        assert!(refused.contains("is no store and not empty"), "{refused}");
        // Error: the folder around it is not there.
        assert!(Folder::named(&work.path().join("a/b")).is_err());
        let fresh = Folder::named(&work.path().join("new")).unwrap();
        assert!(fresh.path.is_dir() && !fresh.is_temporary);
        fs::create_dir(fresh.path.join(".viewos")).unwrap();
        assert!(Folder::named(&fresh.path).is_ok());
    }

    #[test]
    fn shut_directories_are_opened_and_links_not_followed() {
        let work = tempfile::tempdir().unwrap();
        let outside = work.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::set_permissions(&outside, Permissions::from_mode(0o500)).unwrap();
        let top = work.path().join("top");
        fs::create_dir_all(top.join("a/b")).unwrap();
        std::os::unix::fs::symlink(&outside, top.join("a/link")).unwrap();
        for shut in ["a/b", "a"] {
            fs::set_permissions(top.join(shut), Permissions::from_mode(0o0)).unwrap();
        }
        unlock(&top);
        let mode =
            |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&top.join("a/b")), mode(&outside)), (0o700, 0o500));
        let folder = Folder { path: top.clone(), is_temporary: true };
        folder.remove().unwrap();
        assert!(!top.exists() && outside.exists());
    }
}
