//! Merged directories.

use crate::overlay::{Overlay, Resolved, Source};
use abi::Result;
use abi::fs::{Cookie, FileKind};
use abi::{Errno, fs::NAME_BYTES_MAX};
use cow_store::dir::DirEntry;
use cow_store::path::canonical;
use cow_store::{State, Store};
use std::collections::HashSet;

/// One name of a directory in the view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListEntry {
    /// The name.
    pub name: Vec<u8>,
    /// The inode number that `stat` tells too.
    pub ino: u64,
    /// The type, where it is known without asking.
    pub kind: Option<FileKind>,
}

/// The names of a directory at the moment of opening, so that positions stay what they are while others
/// change the directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    entries: Vec<ListEntry>,
}

impl Listing {
    /// All names; `.` and `..` are the caller's.
    #[must_use]
    pub fn entries(&self) -> &[ListEntry] {
        &self.entries
    }

    /// The names after the position `cookie`, each with the position after it.
    pub fn after(&self, cookie: Cookie) -> impl Iterator<Item = (&ListEntry, Cookie)> {
        let start = usize::try_from(cookie.0).unwrap_or(usize::MAX);
        let rest = self.entries.get(start..).unwrap_or_default();
        (cookie.0.saturating_add(1)..).zip(rest).map(|(next, entry)| (entry, Cookie(next)))
    }
}

impl Overlay {
    /// The names in the directory `path`, those of the source first.
    ///
    /// # Errors
    /// In check order:
    /// - those of [`resolve`](Self::resolve); `ENOENT` if it does not exist.
    /// - `ENOTDIR` if it is no directory.
    /// - `EACCES` if the host refuses the lower directory and the store has none.
    pub fn readdir(&self, path: &[u8]) -> Result<Listing> {
        let path = canonical(path)?;
        let at = self.resolve(path)?;
        let entries = match (at, self.source()) {
            (Resolved::Lower, _) => plain(self.lower().readdir(path)?),
            (Resolved::Source, Source::Tree(tree)) => plain(tree.readdir(path)?),
            (Resolved::Merged, Source::Tree(tree)) => {
                let mut entries = plain(tree.readdir(path)?);
                let known: HashSet<Vec<u8>> = entries.iter().map(|e| e.name.clone()).collect();
                let rest = plain(self.lower().readdir(path)?);
                entries.extend(rest.into_iter().filter(|e| !known.contains(&e.name)));
                entries
            }
            (Resolved::Merged, Source::Store(store)) => self.merge(store, path, true)?,
            (Resolved::Upper(e), Source::Store(store)) if e.is_directory() => {
                self.merge(store, path, false)?
            }
            _ => return Err(Errno::ENOTDIR),
        };
        Ok(Listing { entries })
    }

    fn merge(&self, store: &Store, path: &[u8], with_lower: bool) -> Result<Vec<ListEntry>> {
        let mut known: HashSet<Vec<u8>> = HashSet::new();
        let mut entries = Vec::new();
        for (name, state) in store.names(path)? {
            if let State::Entry(e) = state {
                let ino = e.origin.map_or(e.ino, |o| o.ino);
                entries.push(ListEntry { name: name.clone(), ino, kind: Some(e.kind()) });
            }
            known.insert(name);
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        if !with_lower {
            return Ok(entries);
        }
        let lower = match self.lower().readdir(path) {
            Ok(lower) => lower,
            Err(Errno::ENOENT | Errno::ENOTDIR) => Vec::new(),
            // The user may not read it, but may see what he made in it.
            Err(Errno::EACCES) if !known.is_empty() => Vec::new(),
            Err(e) => return Err(e),
        };
        entries.extend(plain(lower).into_iter().filter(|e| !known.contains(&e.name)));
        Ok(entries)
    }

    /// Whether the directory `path`, known to be one, holds a name in the view.
    pub(crate) fn has_names(&self, path: &[u8]) -> Result<bool> {
        Ok(!self.readdir(path)?.entries.is_empty())
    }
}

fn plain(entries: Vec<DirEntry>) -> Vec<ListEntry> {
    entries
        .into_iter()
        .filter(|e| e.name.len() <= NAME_BYTES_MAX)
        .map(|DirEntry { name, kind, ino }| ListEntry { name, ino, kind })
        .collect()
}
