//! Whether a store is what its format says.

use crate::diff::digest;
use crate::error::Error;
use crate::format::{LINKS_PATH, TMP_PATH};
use crate::store::Store;
use crate::tree::State;
use abi::fs::FileKind;
use rustix::fs::OFlags;

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The path in the store.
    pub path: Vec<u8>,
    /// What is wrong with it.
    pub what: String,
}

/// The result of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Names looked at.
    pub names: u64,
    /// Bytes of data read.
    pub bytes: u64,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

impl Store {
    /// Reads everything: every name, all metadata, all data.
    ///
    /// # Errors
    /// - [`Error::Host`] if the private directory cannot be read; what else cannot be is a problem told.
    pub fn verify(&self) -> Result<Verified, Error> {
        let mut found = Verified::default();
        for (path, state) in self.paths() {
            found.names = found.names.saturating_add(1);
            if let State::Entry(entry) = state
                && let Err(e) = self.verify_entry(&path, entry.real, &mut found)
            {
                found.problems.push(Problem { path, what: e.to_string() });
            }
        }
        self.verify_private(&mut found)?;
        Ok(found)
    }

    fn verify_entry(&self, path: &[u8], real: FileKind, found: &mut Verified) -> Result<(), Error> {
        let stat = self.dir().stat(path).map_err(self.host("stat", path))?;
        let mut problem = |what: String| {
            found.problems.push(Problem { path: path.to_vec(), what });
        };
        if stat.kind() != real {
            problem(format!("is a {:?} and was a {real:?}", stat.kind()));
        }
        let needed = match real {
            FileKind::Directory => 0o700,
            FileKind::Symlink => 0,
            _ => 0o600,
        };
        if stat.permissions() & needed != needed {
            problem(format!("its owner cannot use it: mode {:o}", stat.permissions()));
        }
        if stat.permissions() & 0o6000 != 0 {
            problem(format!("has set-id bits on the host: mode {:o}", stat.permissions()));
        }
        if self.carries_xattrs(real) {
            self.recorded(path)?;
        }
        self.xattr_names(path)?;
        if real == FileKind::Regular {
            let fd = self
                .dir()
                .open(path, OFlags::RDONLY | OFlags::NONBLOCK, 0)
                .map_err(self.host("open", path))?;
            digest(&fd).map_err(self.host("read", path))?;
            found.bytes = found.bytes.saturating_add(stat.size_bytes);
        }
        Ok(())
    }

    /// Groups have their extra name; nothing is left in the directory of temporary files.
    fn verify_private(&self, found: &mut Verified) -> Result<(), Error> {
        let groups: Vec<Vec<u8>> = self.index().facts.groups().keys().cloned().collect();
        for id in groups {
            let path = Self::group_path(&id);
            if self.dir().stat(&path).is_err() {
                let what = "a group of hard links without its file".to_owned();
                found.problems.push(Problem { path, what });
            }
        }
        for path in [TMP_PATH, LINKS_PATH] {
            let Ok(entries) = self.dir().list(path) else { continue };
            for entry in entries {
                let full = crate::path::join(path, &entry.name);
                let is_group = path == LINKS_PATH && self.index().facts.is_group(&full, LINKS_PATH);
                if !is_group {
                    let what = "left behind by an interrupted writer".to_owned();
                    found.problems.push(Problem { path: full, what });
                }
            }
        }
        Ok(())
    }
}
