//! Changing owner, mode and times.

use crate::error::Error;
use crate::log::Step;
use crate::override_stat::{OVERRIDE_XATTR, Override};
use crate::stat::Stat;
use crate::store::{SHADOW_KEY, STAT_KEY, Store, Writer};
use crate::tree::{Entry, State};
use abi::Errno;
use abi::fs::{FileKind, Timestamp, XattrFlags};
use std::sync::MutexGuard;

/// What [`Store::set_stat`] changes; `None` leaves a field alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Permission, set-id and sticky bits.
    pub permissions: Option<u32>,
    /// Owner in the view.
    pub uid: Option<u32>,
    /// Group in the view.
    pub gid: Option<u32>,
}

impl Change {
    fn apply(&self, attributes: Override) -> Override {
        Override {
            uid: self.uid.unwrap_or(attributes.uid),
            gid: self.gid.unwrap_or(attributes.gid),
            permissions: self.permissions.map_or(attributes.permissions, |p| p & 0o7777),
            special: attributes.special,
        }
    }
}

impl Store {
    /// Changes mode and owner in the view of the store's own file at `path`.
    ///
    /// # Errors
    /// In check order:
    /// - [`Error::ReadOnly`], [`Error::Doubt`], [`Error::BadPath`].
    /// - `ENOENT` if the store has no file there.
    /// - [`Error::Host`] as the host refuses: `ENOSPC`.
    pub fn set_stat(&self, path: &[u8], change: &Change) -> Result<(), Error> {
        let path = self.begin(path)?;
        let writer = self.writer();
        let stat = self.dir().stat(path).map_err(self.host("stat", path))?;
        self.set_stat_locked(writer, path, change, &stat)
    }

    /// The same of a file of which [`stat`](Self::stat) said `seen`, and nobody has changed its attributes since.
    ///
    /// # Errors
    /// Those of [`set_stat`](Self::set_stat).
    pub fn set_stat_seen(&self, path: &[u8], change: &Change, seen: &Stat) -> Result<(), Error> {
        let path = self.begin(path)?;
        self.set_stat_locked(self.writer(), path, change, seen)
    }

    /// `stat` is what the host says of the file, or what the view says: they differ where something is recorded of
    /// it, and then that alone counts.
    fn set_stat_locked(
        &self,
        mut writer: MutexGuard<'_, Writer>,
        path: &[u8],
        change: &Change,
        stat: &Stat,
    ) -> Result<(), Error> {
        let entry = self.entry(path)?;
        let mut wanted = change.apply(entry.attributes.unwrap_or_else(|| Override::of(stat)));
        if entry.real == FileKind::Symlink {
            wanted.permissions = 0o777;
        }
        let permissions = match entry.real {
            FileKind::Symlink => 0o777,
            real => wanted.real_permissions(real),
        };
        let settled = Stat { mode: entry.real.to_mode_bits() | permissions, ..*stat };
        let recorded = entry.attributes.is_some() || !wanted.is_plain(&settled);
        if recorded && entry.attributes != Some(wanted) {
            self.record(&mut writer, path, &entry, wanted)?;
        }
        // The record is what the view believes; the open after a crash here makes the real mode fit. It is set even
        // where it fits, as the time of the change is the host's to keep.
        if entry.real == FileKind::Symlink {
            self.dir().chown(path, None, None).map_err(self.host("lchown", path))?;
        } else {
            self.dir().chmod(path, permissions).map_err(self.host("chmod", path))?;
        }
        if recorded && let Some(inode) = self.index_mut().tree.inode_mut(entry.ino) {
            inode.attributes = Some(wanted);
        }
        Ok(())
    }

    fn record(
        &self,
        writer: &mut Writer,
        path: &[u8],
        entry: &Entry,
        wanted: Override,
    ) -> Result<(), Error> {
        let text = wanted.to_text(entry.real).into_bytes();
        if self.carries_xattrs(entry.real) {
            return self
                .dir()
                .set_xattr(path, OVERRIDE_XATTR, &text, XattrFlags::empty())
                .map_err(self.host("setxattr", path));
        }
        let set = |path| Step::Set { path, key: STAT_KEY.to_vec(), value: text.clone() };
        let steps = self.names_of(path, entry).into_iter().map(set).collect();
        self.transact(writer, steps)
    }

    /// Gives the lower file at `path`, whose attributes are `lower`, other attributes without a copy of its
    /// data. It is no directory, and the store has nothing there.
    ///
    /// # Errors
    /// In check order:
    /// - [`Error::ReadOnly`], [`Error::Doubt`], [`Error::BadPath`].
    /// - `EEXIST` if the store has a file there; `ENOENT` if the name is hidden.
    /// - `EISDIR` for a directory.
    pub fn shadow(&self, path: &[u8], lower: &Stat, change: &Change) -> Result<(), Error> {
        let path = self.begin(path)?;
        let mut writer = self.writer();
        let attributes = match self.state(path) {
            State::Absent => Override { special: None, ..Override::of(lower) },
            State::Shadow(attributes) => attributes,
            State::Entry(_) => return Err(Error::refused(path, Errno::EEXIST)),
            State::Whiteout | State::Hidden => return Err(Error::refused(path, Errno::ENOENT)),
        };
        if lower.is_directory() {
            return Err(Error::refused(path, Errno::EISDIR));
        }
        let text = change.apply(attributes).to_text(lower.kind()).into_bytes();
        let step = Step::Set { path: path.to_vec(), key: SHADOW_KEY.to_vec(), value: text };
        self.transact(&mut writer, vec![step])
    }

    /// Moves the attributes given by [`shadow`](Self::shadow) along with a lower file that was renamed.
    ///
    /// # Errors
    /// - [`Error::ReadOnly`], [`Error::Doubt`], [`Error::BadPath`].
    pub fn move_shadows(&self, from: &[u8], to: &[u8]) -> Result<(), Error> {
        let (from, to) = (self.begin(from)?, self.begin(to)?);
        let mut writer = self.writer();
        if self.index().facts.below(from).is_empty() && self.index().facts.below(to).is_empty() {
            return Ok(());
        }
        self.transact(&mut writer, vec![Step::Carry { from: from.to_vec(), to: to.to_vec() }])
    }

    /// The attributes given by [`shadow`](Self::shadow) change places with those of a lower file that was
    /// exchanged with it.
    ///
    /// # Errors
    /// - [`Error::ReadOnly`], [`Error::Doubt`], [`Error::BadPath`].
    pub fn swap_shadows(&self, a: &[u8], b: &[u8]) -> Result<(), Error> {
        let (a, b) = (self.begin(a)?, self.begin(b)?);
        let mut writer = self.writer();
        if self.index().facts.below(a).is_empty() && self.index().facts.below(b).is_empty() {
            return Ok(());
        }
        self.transact(&mut writer, vec![Step::Swap { a: a.to_vec(), b: b.to_vec() }])
    }

    /// Sets times of the store's own file at `path`; `None` leaves one alone.
    ///
    /// # Errors
    /// In check order:
    /// - [`Error::ReadOnly`], [`Error::Doubt`], [`Error::BadPath`].
    /// - `ENOENT` if the store has no file there.
    pub fn set_times(
        &self,
        path: &[u8],
        atime: Option<Timestamp>,
        mtime: Option<Timestamp>,
    ) -> Result<(), Error> {
        let path = self.begin(path)?;
        self.entry(path)?;
        self.dir().set_times(path, atime, mtime).map_err(self.host("utimensat", path))
    }

    /// Cuts or lengthens the store's own regular file at `path`.
    ///
    /// # Errors
    /// In check order:
    /// - [`Error::ReadOnly`], [`Error::Doubt`], [`Error::BadPath`].
    /// - `ENOENT` if the store has no file there; `EISDIR`, `EINVAL` if it is not a regular file.
    /// - [`Error::Host`] as the host refuses: `EFBIG`.
    pub fn truncate(&self, path: &[u8], size_bytes: u64) -> Result<(), Error> {
        let path = self.begin(path)?;
        let entry = self.entry(path)?;
        match entry.kind() {
            FileKind::Regular => {}
            FileKind::Directory => return Err(Error::refused(path, Errno::EISDIR)),
            _ => return Err(Error::refused(path, Errno::EINVAL)),
        }
        self.dir().truncate(path, size_bytes).map_err(self.host("truncate", path))
    }
}
