//! Mode, owner, times and length.

use crate::lower::{Lower, Set};
use crate::open::libc_bits::{S_ISGID, S_ISUID, S_IXGRP};
use crate::overlay::{Actor, Overlay, Resolved, Seen};
use abi::fs::{FileKind, SetAttr, SetTime};
use abi::{Errno, Result};
use cow_store::dir::OpenFile;
use cow_store::path::canonical;
use cow_store::{Change, Store};

/// A change of a lower file, by what is open of it if anything is.
fn by(lower: &dyn Lower, path: &[u8], file: Option<&OpenFile>, set: &Set) -> Result<()> {
    match file {
        Some(file) => lower.try_set_open(path, file, set),
        None => lower.try_set(path, set),
    }
}

impl Overlay {
    /// Does all of `changes` to `path`, one after another; by `file`, which is open of it, where that saves a look.
    ///
    /// # Errors
    /// Those of [`truncate`](Self::truncate), [`chown`](Self::chown), [`chmod`](Self::chmod) and
    /// [`set_times`](Self::set_times), in this order; what was done before stays.
    pub fn change(&self, path: &[u8], changes: &SetAttr, file: Option<&OpenFile>) -> Result<()> {
        if let Some(size) = changes.size_bytes {
            self.truncate(path, size)?;
        }
        if changes.uid.is_some() || changes.gid.is_some() {
            self.chown_by(path, changes.uid, changes.gid, file)?;
        }
        if let Some(perm) = changes.perm {
            self.chmod_by(path, u32::from(perm), file)?;
        }
        if changes.atime.is_some() || changes.mtime.is_some() {
            self.set_times_by(path, changes.atime, changes.mtime, file)?;
        }
        Ok(())
    }

    /// Changes the permission, set-id and sticky bits of `path`.
    ///
    /// # Errors
    /// In check order:
    /// - `EINVAL`, `ENAMETOOLONG` if `path` is not canonical.
    /// - `ENOENT`, `ENOTDIR` if it does not exist.
    /// - `EOPNOTSUPP` for a symbolic link.
    /// - `EROFS` if it comes from the source of a merge or the store stopped; what the host answers.
    pub fn chmod(&self, path: &[u8], permissions: u32) -> Result<()> {
        self.chmod_by(path, permissions, None)
    }

    fn chmod_by(&self, path: &[u8], permissions: u32, file: Option<&OpenFile>) -> Result<()> {
        let path = canonical(path)?;
        let _change = self.lock();
        let seen = self.find(path)?;
        if seen.stat.kind() == FileKind::Symlink {
            return Err(Errno::EOPNOTSUPP);
        }
        let permissions = permissions & 0o7777;
        let store = match self.actor(path)? {
            Actor::Real(tree) => return tree.try_chmod(path, permissions),
            Actor::Store(store) => store,
        };
        let change = Change { permissions: Some(permissions), ..Change::default() };
        // Where modes are virtual, one that would shut us out of the file below stays virtual.
        let own = if seen.stat.is_directory() { 0o700 } else { 0o600 };
        let is_shut = self.options().vstat && permissions & own != own;
        if !is_shut
            && self.try_lower(&seen, false, |lower| {
                by(lower, path, file, &Set::Permissions(permissions))
            })?
        {
            return Ok(());
        }
        self.set_stat(store, path, &seen, &change)
    }

    /// Changes owner and group of `path`; `None` leaves one alone. The set-id bits of what is no directory
    /// go, as chown(2) says.
    ///
    /// # Errors
    /// In check order:
    /// - `EINVAL`, `ENAMETOOLONG` if `path` is not canonical.
    /// - `ENOENT`, `ENOTDIR` if it does not exist.
    /// - `EROFS` if it comes from the source of a merge or the store stopped.
    /// - `EPERM` if owners are not virtual and the host refuses it.
    pub fn chown(&self, path: &[u8], uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        self.chown_by(path, uid, gid, None)
    }

    fn chown_by(
        &self,
        path: &[u8],
        uid: Option<u32>,
        gid: Option<u32>,
        file: Option<&OpenFile>,
    ) -> Result<()> {
        let path = canonical(path)?;
        let _change = self.lock();
        let seen = self.find(path)?;
        let store = match self.actor(path)? {
            Actor::Real(tree) => return tree.try_chown(path, uid, gid),
            Actor::Store(store) => store,
        };
        if self.try_lower(&seen, false, |lower| by(lower, path, file, &Set::Owner(uid, gid)))? {
            return Ok(());
        }
        let is_other = uid.is_some_and(|uid| uid != seen.stat.uid)
            || gid.is_some_and(|gid| gid != seen.stat.gid);
        if !self.options().vstat && is_other {
            return Err(Errno::EPERM);
        }
        let mut permissions = seen.stat.permissions();
        if !seen.stat.is_directory() {
            permissions &= !S_ISUID;
            if permissions & S_IXGRP != 0 {
                permissions &= !S_ISGID;
            }
        }
        let change = Change { permissions: Some(permissions), uid, gid };
        self.set_stat(store, path, &seen, &change)
    }

    /// Whether the attributes belong to more names than this one: then the file is copied up, and the store
    /// knows all its names.
    const fn has_other_lower_names(seen: &Seen) -> bool {
        seen.stat.nlink > 1
    }

    fn set_stat(&self, store: &Store, path: &[u8], seen: &Seen, change: &Change) -> Result<()> {
        let is_light = self.is_mincow()
            && self.options().vstat
            && !seen.stat.is_directory()
            && !Self::has_other_lower_names(seen)
            && matches!(seen.at, Resolved::Lower | Resolved::Shadow(_));
        if is_light {
            // The data stays the lower file's, where later changes are tried first.
            let lower = self.lower().stat(path)?;
            store.shadow(path, &lower, change)?;
            // The time of the change is the host's to keep, where it lets us: a mode that it has already tells it.
            if lower.kind() != FileKind::Symlink {
                let _ = self.lower().try_chmod(path, lower.permissions());
            }
            return Ok(());
        }
        self.copy_up(store, path, seen, true)?;
        if path.is_empty() {
            // The store's root is its owner's: what the view sees is the lower root's until now.
            let now = Change {
                permissions: change.permissions.or(Some(seen.stat.permissions())),
                uid: change.uid.or(Some(seen.stat.uid)),
                gid: change.gid.or(Some(seen.stat.gid)),
            };
            return Ok(store.set_stat(path, &now)?);
        }
        match &seen.at {
            // What is seen is what the host has, unless something is recorded, which counts then.
            Resolved::Upper(_) => Ok(store.set_stat_seen(path, change, &seen.stat)?),
            _ => Ok(store.set_stat(path, change)?),
        }
    }

    /// Sets times of `path`; `None` leaves one alone.
    ///
    /// # Errors
    /// In check order:
    /// - `EINVAL`, `ENAMETOOLONG` if `path` is not canonical.
    /// - `ENOENT`, `ENOTDIR` if it does not exist.
    /// - `EROFS` if it comes from the source of a merge or the store stopped; what the host answers.
    pub fn set_times(
        &self,
        path: &[u8],
        atime: Option<SetTime>,
        mtime: Option<SetTime>,
    ) -> Result<()> {
        self.set_times_by(path, atime, mtime, None)
    }

    fn set_times_by(
        &self,
        path: &[u8],
        atime: Option<SetTime>,
        mtime: Option<SetTime>,
        file: Option<&OpenFile>,
    ) -> Result<()> {
        let path = canonical(path)?;
        let _change = self.lock();
        let seen = self.find(path)?;
        let store = match self.actor(path)? {
            Actor::Real(tree) => return tree.try_set_times(path, atime, mtime),
            Actor::Store(store) => store,
        };
        if self.try_lower(&seen, true, |lower| by(lower, path, file, &Set::Times(atime, mtime)))? {
            return Ok(());
        }
        self.copy_up(store, path, &seen, true)?;
        // Two times that are now are one.
        let now = SetTime::At(SetTime::Now.resolve());
        let time =
            |time: Option<SetTime>| time.map(|t| if t == SetTime::Now { now } else { t }.resolve());
        Ok(store.set_times(path, time(atime), time(mtime))?)
    }

    /// Cuts or lengthens the regular file at `path`.
    ///
    /// # Errors
    /// In check order:
    /// - `EINVAL`, `ENAMETOOLONG` if `path` is not canonical.
    /// - `ENOENT`, `ENOTDIR` if it does not exist.
    /// - `EISDIR` for a directory, `EINVAL` for what else is no regular file.
    /// - `EROFS` if it comes from the source of a merge or the store stopped.
    /// - what the host answers: `EFBIG`, `ETXTBSY`.
    pub fn truncate(&self, path: &[u8], size_bytes: u64) -> Result<()> {
        let path = canonical(path)?;
        let _change = self.lock();
        let seen = self.find(path)?;
        match seen.stat.kind() {
            FileKind::Regular => {}
            FileKind::Directory => return Err(Errno::EISDIR),
            _ => return Err(Errno::EINVAL),
        }
        let store = match self.actor(path)? {
            Actor::Real(tree) => return tree.try_truncate(path, size_bytes),
            Actor::Store(store) => store,
        };
        if self.try_lower(&seen, true, |lower| lower.try_truncate(path, size_bytes))? {
            return Ok(());
        }
        self.copy_up(store, path, &seen, size_bytes > 0)?;
        Ok(store.truncate(path, size_bytes)?)
    }
}
