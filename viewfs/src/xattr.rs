//! Extended attributes.

use crate::overlay::{Actor, Overlay, Resolved, Source};
use abi::fs::{FileKind, XattrFlags};
use abi::{Errno, Result};
use cow_store::path::canonical;

impl Overlay {
    /// The value of the attribute `name` of `path`.
    ///
    /// # Errors
    /// In check order:
    /// - `EINVAL`, `ENAMETOOLONG` if `path` is not canonical.
    /// - `ENOENT`, `ENOTDIR` if it does not exist.
    /// - `ENODATA` if there is no such attribute; what the host answers.
    pub fn xattr(&self, path: &[u8], name: &[u8]) -> Result<Vec<u8>> {
        let path = canonical(path)?;
        match (self.resolve(path)?, self.source()) {
            (Resolved::Source | Resolved::Merged, Source::Tree(tree)) => tree.xattr(path, name),
            (Resolved::Upper(_) | Resolved::Merged, Source::Store(store)) if !path.is_empty() => {
                Ok(store.xattr(path, name)?)
            }
            (Resolved::Linked(group), Source::Store(store)) => Ok(store.group_xattr(&group, name)?),
            _ => self.lower().xattr(path, name),
        }
    }

    /// The names of all attributes of `path`.
    ///
    /// # Errors
    /// In check order:
    /// - `EINVAL`, `ENAMETOOLONG` if `path` is not canonical.
    /// - `ENOENT`, `ENOTDIR` if it does not exist; what the host answers.
    pub fn xattr_names(&self, path: &[u8]) -> Result<Vec<Vec<u8>>> {
        let path = canonical(path)?;
        match (self.resolve(path)?, self.source()) {
            (Resolved::Source | Resolved::Merged, Source::Tree(tree)) => tree.xattr_names(path),
            (Resolved::Upper(_) | Resolved::Merged, Source::Store(store)) if !path.is_empty() => {
                Ok(store.xattr_names(path)?)
            }
            (Resolved::Linked(group), Source::Store(store)) => Ok(store.group_xattr_names(&group)?),
            _ => self.lower().xattr_names(path),
        }
    }

    /// What a store takes of attributes: `user.` ones of files and directories; others only where the
    /// attributes of files are virtual.
    fn check_name(&self, kind: FileKind, name: &[u8]) -> Result<()> {
        if name.starts_with(b"user.") {
            let takes = matches!(kind, FileKind::Regular | FileKind::Directory);
            return if takes { Ok(()) } else { Err(Errno::EPERM) };
        }
        let is_known = [b"trusted.".as_slice(), b"security.", b"system."]
            .iter()
            .any(|space| name.starts_with(space));
        match (is_known, self.options().vstat) {
            (false, _) => Err(Errno::EOPNOTSUPP),
            (true, true) => Ok(()),
            (true, false) if name.starts_with(b"system.") => Err(Errno::EOPNOTSUPP),
            (true, false) => Err(Errno::EPERM),
        }
    }

    /// Sets the attribute `name` of `path`.
    ///
    /// # Errors
    /// In check order:
    /// - `EINVAL`, `ENAMETOOLONG` if `path` is not canonical.
    /// - `ENOENT`, `ENOTDIR` if it does not exist.
    /// - `EROFS` if it comes from the source of a merge or the store stopped.
    /// - `EOPNOTSUPP` for the root of a cow, whose attributes are the lower root's.
    /// - `EOPNOTSUPP` for a namespace that is not known; `EPERM` for one that needs rights, where attributes
    ///   are not virtual, and for `user.` on what is neither file nor directory.
    /// - `ERANGE`, `E2BIG` if name or value is too long; `EEXIST`, `ENODATA` as `flags` say.
    /// - what the host answers: `ENOSPC`.
    pub fn set_xattr(
        &self,
        path: &[u8],
        name: &[u8],
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<()> {
        let path = canonical(path)?;
        let _change = self.lock();
        let seen = self.find(path)?;
        let store = match self.actor(path)? {
            Actor::Real(tree) => return tree.try_set_xattr(path, name, value, flags),
            Actor::Store(store) => store,
        };
        if path.is_empty() && !self.is_mincow() {
            return Err(Errno::EOPNOTSUPP);
        }
        if self.try_lower(&seen, true, |lower| lower.try_set_xattr(path, name, value, flags))? {
            return Ok(());
        }
        if path.is_empty() {
            return Ok(());
        }
        self.check_name(seen.stat.kind(), name)?;
        self.copy_up(store, path, &seen, true)?;
        Ok(store.set_xattr(path, name, value, flags)?)
    }

    /// Removes the attribute `name` of `path`.
    ///
    /// # Errors
    /// In check order:
    /// - `EINVAL`, `ENAMETOOLONG` if `path` is not canonical.
    /// - `ENOENT`, `ENOTDIR` if it does not exist.
    /// - `EROFS` if it comes from the source of a merge or the store stopped.
    /// - `EOPNOTSUPP`, `EPERM` as [`set_xattr`](Self::set_xattr).
    /// - `ENODATA` if there is no such attribute; what the host answers.
    pub fn remove_xattr(&self, path: &[u8], name: &[u8]) -> Result<()> {
        let path = canonical(path)?;
        let _change = self.lock();
        let seen = self.find(path)?;
        let store = match self.actor(path)? {
            Actor::Real(tree) => return tree.try_remove_xattr(path, name),
            Actor::Store(store) => store,
        };
        if path.is_empty() && !self.is_mincow() {
            return Err(Errno::EOPNOTSUPP);
        }
        if self.try_lower(&seen, true, |lower| lower.try_remove_xattr(path, name))? {
            return Ok(());
        }
        if path.is_empty() {
            return Ok(());
        }
        self.check_name(seen.stat.kind(), name)?;
        self.xattr(path, name)?;
        self.copy_up(store, path, &seen, true)?;
        Ok(store.remove_xattr(path, name)?)
    }
}
