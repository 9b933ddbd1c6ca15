//! Copy-up: from the lower tree to the store, parents first.

use crate::lower::Lower;
use crate::overlay::{Overlay, Resolved, Seen};
use abi::fs::FileKind;
use abi::{Errno, Result};
use cow_store::path::{components, join, split};
use cow_store::{Lower as CopySource, OFlags, Stat, State, Store};

impl Overlay {
    /// Makes the directories on the way to `path` the store's own.
    ///
    /// # Errors
    /// In check order:
    /// - `ENOENT` if one does not exist; `ENOTDIR` if one is no directory.
    /// - those of [`Store::copy_up`].
    pub(crate) fn copy_up_parents(&self, store: &Store, path: &[u8]) -> Result<()> {
        let Some((parent, _)) = split(path) else { return Ok(()) };
        let mut at = Vec::new();
        for name in components(parent) {
            at = join(&at, name);
            match store.lookup(&at)? {
                State::Entry(e) if e.is_directory() => {}
                State::Entry(_) => return Err(Errno::ENOTDIR),
                State::Whiteout | State::Hidden => return Err(Errno::ENOENT),
                State::Absent | State::Shadow(_) => {
                    let stat = self.lower().stat(&at)?;
                    if !stat.is_directory() {
                        return Err(Errno::ENOTDIR);
                    }
                    self.copy_one(store, &at, &stat, false)?;
                }
            }
        }
        Ok(())
    }

    /// Makes `path`, which was seen as `seen`, the store's own, with its data if `with_data`.
    ///
    /// # Errors
    /// Those of [`copy_up_parents`](Self::copy_up_parents); `EACCES` if the lower file can't be read.
    pub(crate) fn copy_up(
        &self,
        store: &Store,
        path: &[u8],
        seen: &Seen,
        with_data: bool,
    ) -> Result<()> {
        match &seen.at {
            Resolved::Upper(_) | Resolved::Merged => Ok(()),
            Resolved::Linked(_) => {
                self.copy_up_parents(store, path)?;
                Ok(store.materialize(path, &self.lower().stat(path)?)?)
            }
            _ => {
                self.copy_up_parents(store, path)?;
                let stat = self.lower().stat(path)?;
                self.copy_one(store, path, &stat, with_data)
            }
        }
    }

    fn copy_one(&self, store: &Store, path: &[u8], stat: &Stat, with_data: bool) -> Result<()> {
        let lower = self.lower();
        let (mut data, mut target) = (None, Vec::new());
        match stat.kind() {
            // Other names of the file keep their data, so a copy for them is never empty.
            FileKind::Regular if with_data || stat.nlink > 1 => {
                data = self.readable(path)?;
            }
            FileKind::Symlink => target = lower.readlink(path)?,
            _ => {}
        }
        let xattrs = read_xattrs(lower, path)?;
        let empty = Stat { size_bytes: 0, ..*stat };
        let is_kept = data.is_some() || stat.kind() != FileKind::Regular || !with_data;
        let stat = if is_kept { stat } else { &empty };
        let source = CopySource { stat, data: data.as_ref(), target: &target, xattrs: &xattrs };
        store.copy_up(path, &source)?;
        self.note_change();
        Ok(())
    }

    /// The bytes of a lower file. With `vstat` one that the host keeps from the user is copied up empty: a
    /// virtual root adds to its own /etc/shadow and never sees the host's.
    fn readable(&self, path: &[u8]) -> Result<Option<cow_store::dir::OpenFile>> {
        match self.lower().open(path, OFlags::RDONLY | OFlags::NOFOLLOW) {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::EACCES) if self.options().vstat => {
                let path = String::from_utf8_lossy(path);
                tracing::warn!(%path, "not readable on the host: copied up as an empty file");
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    /// Makes all at and below `path` the store's own and every directory one that hides the lower tree. The
    /// view sees no difference at any moment; afterwards the tree can be moved as one.
    ///
    /// # Errors
    /// Those of [`copy_up`](Self::copy_up); `EBUSY` if something below stays as it was (`except`).
    pub(crate) fn copy_up_tree(&self, store: &Store, path: &[u8]) -> Result<()> {
        if self.options().holds_excepted(path) {
            return Err(Errno::EBUSY);
        }
        // Directories are pushed before what is in them, and made opaque in the opposite order.
        let mut open = vec![path.to_vec()];
        let mut directories = Vec::new();
        while let Some(full) = open.pop() {
            let seen = self.find(&full)?;
            self.copy_up(store, &full, &seen, true)?;
            if !seen.stat.is_directory() {
                continue;
            }
            let is_pure = matches!(store.lookup(&full)?, State::Entry(e) if !e.lower_visible);
            if !is_pure {
                let names = self.readdir(&full)?;
                open.extend(names.entries().iter().map(|e| join(&full, &e.name)));
                directories.push(full);
            }
        }
        for full in directories.iter().rev() {
            store.set_opaque(full)?;
        }
        Ok(())
    }
}

/// All xattrs that can be read; what privileged layers wrote for themselves is left out.
fn read_xattrs(lower: &dyn Lower, path: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut xattrs = Vec::new();
    for name in lower.xattr_names(path)? {
        if name.starts_with(b"trusted.overlay.") {
            continue;
        }
        match lower.xattr(path, &name) {
            Ok(value) => xattrs.push((name, value)),
            Err(Errno::ENODATA | Errno::EACCES | Errno::EPERM | Errno::EOPNOTSUPP) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(xattrs)
}
