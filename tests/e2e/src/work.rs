//! Folders for tests.

use crate::view::User;
use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder that is gone with the test; its user owns it, everybody may look into it.
pub struct Work {
    folder: TempDir,
    user: User,
}

impl Work {
    /// A new folder.
    ///
    /// # Panics
    /// If it can't be made.
    #[must_use]
    pub fn new(user: User) -> Self {
        Self::below(&std::env::temp_dir(), user)
    }

    /// A new folder in memory, for what makes much durable.
    ///
    /// # Panics
    /// If it can't be made.
    #[must_use]
    pub fn in_memory(user: User) -> Self {
        Self::below(Path::new("/dev/shm"), user)
    }

    fn below(place: &Path, user: User) -> Self {
        let folder = tempfile::Builder::new().prefix("viewos-e2e-").tempdir_in(place);
        let folder = folder.unwrap_or_else(|e| panic!("a folder in {}: {e}", place.display()));
        set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("its owner may chmod");
        let work = Self { folder, user };
        work.give(work.path());
        work
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A name in it, as text.
    #[must_use]
    pub fn name(&self, relative: &str) -> String {
        self.path().join(relative).to_string_lossy().into_owned()
    }

    /// Writes a file.
    ///
    /// # Panics
    /// If it can't be written.
    pub fn write(&self, relative: &str, text: &str) -> String {
        let path = self.path().join(relative);
        std::fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        self.give(&path);
        self.name(relative)
    }

    /// Makes a folder.
    ///
    /// # Panics
    /// If it can't be made.
    pub fn folder(&self, relative: &str) -> String {
        let path = self.path().join(relative);
        std::fs::create_dir_all(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        self.give(&path);
        self.name(relative)
    }

    fn give(&self, path: &Path) {
        let Some((uid, gid)) = self.user.ids() else { return };
        let path = PathBuf::from(path);
        std::os::unix::fs::chown(&path, Some(uid), Some(gid)).expect("root may chown");
    }
}
