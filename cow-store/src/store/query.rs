//! Questions that change nothing.

use super::{SHADOW_KEY, Store};
use crate::dir::OpenFile;
use crate::error::Error;
use crate::override_stat::RawOverride;
use crate::path::{canonical, is_private, join};
use crate::stat::Stat;
use crate::tree::{Entry, State};
use abi::Errno;
use rustix::fs::OFlags;
use std::sync::atomic::Ordering;

impl Store {
    /// What the store says about `path`. No system call is made.
    ///
    /// # Errors
    /// - [`Error::BadPath`], [`Error::NameTooLong`] if `path` is not canonical.
    pub fn lookup(&self, path: &[u8]) -> Result<State, Error> {
        let path = canonical(path)?;
        Ok(self.state(path))
    }

    /// Whether every name but the root's is the lower tree's alone. No system call is made.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        let index = self.index();
        index.facts.is_empty() && index.tree.is_blank()
    }

    /// [`lookup`](Self::lookup) of a path known to be canonical.
    pub(crate) fn state(&self, path: &[u8]) -> State {
        if is_private(path) {
            return State::Absent;
        }
        let index = self.index();
        match index.tree.lookup(path) {
            State::Absent => match index.facts.get(path, SHADOW_KEY) {
                Some(text) => match RawOverride(text).check(path) {
                    Ok(attributes) => State::Shadow(attributes),
                    Err(_) => State::Absent,
                },
                None => State::Absent,
            },
            state => state,
        }
    }

    /// The entry at `path`.
    ///
    /// # Errors
    /// - `ENOENT` if the store has no file there.
    pub(crate) fn entry(&self, path: &[u8]) -> Result<Entry, Error> {
        match self.state(path) {
            State::Entry(entry) => Ok(entry),
            _ => Err(Error::refused(path, Errno::ENOENT)),
        }
    }

    /// Opens the store's own file at `path` with flags of open(2); the result is the file that the caller
    /// of the view reads and writes.
    ///
    /// # Errors
    /// - `ENOENT` if the store has no file there; those of open(2).
    pub fn open_upper(&self, path: &[u8], flags: OFlags) -> Result<OpenFile, Error> {
        let path = canonical(path)?;
        self.entry(path)?;
        if self.is_read_only() && !(flags & (OFlags::RWMODE | OFlags::TRUNC)).is_empty() {
            return Err(Error::ReadOnly);
        }
        let flags = flags.difference(OFlags::CREATE | OFlags::EXCL);
        self.dir.open(path, flags, 0).map_err(self.host("open", path))
    }

    /// Where the store's own file at `path` lies on the host, if the store is there.
    #[must_use]
    pub fn host_path(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.dir.host_path(path)
    }

    /// The attributes of the store's own file at `path` as the view shows them; owner and group only if
    /// `with_owner`, else those the host has.
    ///
    /// # Errors
    /// - `ENOENT` if the store has no file there.
    pub fn stat(&self, path: &[u8], with_owner: bool) -> Result<Stat, Error> {
        let path = canonical(path)?;
        self.stat_of(path, &self.entry(path)?, with_owner)
    }

    /// The same of what [`lookup`](Self::lookup) found a moment ago at `path`, which is canonical.
    ///
    /// # Errors
    /// - [`Error::Host`] as the host refuses.
    pub fn stat_of(&self, path: &[u8], entry: &Entry, with_owner: bool) -> Result<Stat, Error> {
        let stat = self.dir.stat(path).map_err(self.host("stat", path))?;
        Ok(self.dressed(stat, entry, with_owner))
    }

    /// The attributes in the view of the store's own file `entry`, of which the host says `stat`.
    #[must_use]
    pub fn dressed(&self, mut stat: Stat, entry: &Entry, with_owner: bool) -> Stat {
        self.dress(&mut stat, entry, with_owner);
        stat
    }

    /// The attributes in the view of an open file of the store, named or not, from what fstat(2) says.
    ///
    /// # Errors
    /// - [`Error::Metadata`] if the attributes recorded on it are not valid.
    pub fn stat_fd(&self, fd: &OpenFile, with_owner: bool) -> Result<Stat, Error> {
        let mut stat = fd.stat().map_err(self.host("fstat", b""))?;
        if let Some(entry) = self.entry_by_ino(stat.ino) {
            self.dress(&mut stat, &entry, with_owner);
            return Ok(stat);
        }
        // The file has no name any more: what is known of it is on itself.
        if let Some(text) = fd.xattr(crate::override_stat::OVERRIDE_XATTR) {
            RawOverride(&text).check(b"")?.apply(&mut stat, with_owner);
        }
        Ok(stat)
    }

    /// Whether an open file with the attributes `fstat` is the store's own file `entry`.
    #[must_use]
    pub fn is_inode(&self, entry: &Entry, fstat: &Stat) -> bool {
        let device = self.device.load(Ordering::Relaxed);
        (device, entry.ino) == (fstat.dev, fstat.ino)
    }

    /// The entry that has the real inode number `ino`: what an fstat(2) of the host names.
    #[must_use]
    pub fn entry_by_ino(&self, ino: u64) -> Option<Entry> {
        let index = self.index();
        let &crate::tree::Inode { real, attributes, origin, names } = index.tree.inode(ino)?;
        Some(Entry { real, ino, attributes, origin, opaque: false, lower_visible: false, names })
    }

    /// Puts over `stat` what the store knows better than the host.
    pub(crate) fn dress(&self, stat: &mut Stat, entry: &Entry, with_owner: bool) {
        if let Some(attributes) = entry.attributes {
            attributes.apply(stat, with_owner);
        }
        if let Some(origin) = entry.origin {
            stat.ino = origin.ino;
            stat.dev = origin.dev;
        }
        if entry.is_directory() {
            // Copied up, it has names in two places: 1 means "not known" to find(1) and fts(3), as on overlayfs.
            stat.nlink = if entry.origin.is_some() { 1 } else { stat.nlink };
        } else {
            stat.nlink = entry.names.max(1);
            if let Some(remaining) = entry.origin.and_then(|o| self.remaining(o.dev, o.ino)) {
                stat.nlink = entry.names.saturating_add(remaining);
            }
        }
    }

    /// The target of the store's own symbolic link at `path`.
    ///
    /// # Errors
    /// - `ENOENT` if the store has no file there; `EINVAL` if it is no link.
    pub fn readlink(&self, path: &[u8]) -> Result<Vec<u8>, Error> {
        let path = canonical(path)?;
        self.entry(path)?;
        self.dir.readlink(path).map_err(self.host("readlink", path))
    }

    /// The names that the store has in the directory `path`, each with its state; the order is none.
    ///
    /// # Errors
    /// - `ENOENT` if the store has no directory there.
    pub fn names(&self, path: &[u8]) -> Result<Vec<(Vec<u8>, State)>, Error> {
        let path = canonical(path)?;
        let names: Vec<Vec<u8>> = {
            let index = self.index();
            let Some(directory) = index.tree.directory(path) else {
                return Err(Error::refused(path, Errno::ENOENT));
            };
            directory.children.keys().map(|name| name.to_vec()).collect()
        };
        Ok(names
            .into_iter()
            .map(|name| {
                let state = self.state(&join(path, &name));
                (name, state)
            })
            .collect())
    }

    /// Every path of the store with its state, parents before children; the root is not told.
    #[must_use]
    pub fn paths(&self) -> Vec<(Vec<u8>, State)> {
        let mut paths: Vec<Vec<u8>> = {
            let index = self.index();
            let shadows = index.facts.paths().filter(|p| index.tree.lookup(p) == State::Absent);
            let mut all: Vec<_> = index.tree.walk().into_iter().map(|(path, _)| path).collect();
            all.extend(shadows.map(<[u8]>::to_vec));
            all
        };
        paths.sort_by(|a, b| a.split(|&c| c == b'/').cmp(b.split(|&c| c == b'/')));
        paths.dedup();
        paths
            .into_iter()
            .map(|path| {
                let state = self.state(&path);
                (path, state)
            })
            .filter(|(_, state)| !matches!(state, State::Absent | State::Hidden))
            .collect()
    }

    /// Whether nothing of the lower tree is hidden or changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let index = self.index();
        index.facts.is_empty() && index.tree.directory(b"").is_none_or(|d| d.children.is_empty())
    }
}
