//! Extended attributes of the store's own files, as the view sees them.
//!
//! `user.` attributes are the file's own. Others, which need privileges or mean something to the host, and
//! those that would be mistaken for the store's metadata, are kept under `user.viewos.xattr.NAME`.

use crate::error::Error;
use crate::log::Step;
use crate::origin::{ORIGIN_XATTR, Origin, RawOrigin};
use crate::override_stat::{OVERRIDE_XATTR, Override, RawOverride};
use crate::path::canonical;
use crate::store::{ORIGIN_KEY, STAT_KEY, Store};
use abi::Errno;
use abi::fs::XattrFlags;

/// Where an attribute goes that cannot be the file's own.
const ESCAPE: &[u8] = b"user.viewos.xattr.";

/// Names that are metadata of a layer, ours or of others.
const RESERVED: [&[u8]; 4] =
    [b"user.viewos.", b"user.overlay.", b"user.containers.", b"user.fuseoverlayfs."];

/// The most bytes of a name, `XATTR_NAME_MAX` of linux/limits.h.
const NAME_BYTES_MAX: usize = 255;
/// The most bytes of a value, `XATTR_SIZE_MAX`.
const VALUE_BYTES_MAX: usize = 65536;

impl Store {
    /// The name under which `name` is stored; `None` if it is too long to be.
    pub(crate) fn stored_xattr(&self, name: &[u8]) -> Option<Vec<u8>> {
        let own = name.starts_with(b"user.") && !RESERVED.iter().any(|r| name.starts_with(r));
        let stored = if own { name.to_vec() } else { [ESCAPE, name].concat() };
        (stored.len() <= NAME_BYTES_MAX).then_some(stored)
    }

    /// The name in the view of the stored attribute `stored`, if the view sees it.
    fn seen_xattr(stored: &[u8]) -> Option<&[u8]> {
        if let Some(name) = stored.strip_prefix(ESCAPE) {
            return Some(name);
        }
        let own = stored.starts_with(b"user.") && !RESERVED.iter().any(|r| stored.starts_with(r));
        own.then_some(stored)
    }

    /// The value of `name` on the store's own file at `path`.
    ///
    /// # Errors
    /// In check order:
    /// - `ENOENT` if the store has no file there.
    /// - `ENODATA` if there is no such attribute.
    pub fn xattr(&self, path: &[u8], name: &[u8]) -> Result<Vec<u8>, Error> {
        let path = canonical(path)?;
        let entry = self.entry(path)?;
        let none = || Error::refused(path, Errno::ENODATA);
        let stored = self.stored_xattr(name).ok_or_else(none)?;
        if !self.carries_xattrs(entry.real) {
            return self.index().facts.get(path, &stored).map(<[u8]>::to_vec).ok_or_else(none);
        }
        self.dir().xattr(path, &stored).map_err(self.host("getxattr", path))?.ok_or_else(none)
    }

    /// The names of all attributes of the store's own file at `path`, sorted.
    ///
    /// # Errors
    /// - `ENOENT` if the store has no file there.
    pub fn xattr_names(&self, path: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
        let path = canonical(path)?;
        let entry = self.entry(path)?;
        let stored: Vec<Vec<u8>> = if self.carries_xattrs(entry.real) {
            self.dir().xattr_names(path).map_err(self.host("listxattr", path))?
        } else {
            self.index().facts.of(path).map(|(key, _)| key.to_vec()).collect()
        };
        Ok(Self::seen_names(&stored))
    }

    /// Of stored names, those that the view sees, as it sees them.
    pub(crate) fn seen_names(stored: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut names: Vec<Vec<u8>> =
            stored.iter().filter_map(|s| Self::seen_xattr(s)).map(<[u8]>::to_vec).collect();
        names.sort();
        names
    }

    /// Sets `name` on the store's own file at `path`.
    ///
    /// # Errors
    /// In check order:
    /// - [`Error::ReadOnly`], [`Error::Doubt`].
    /// - `ENOENT` if the store has no file there.
    /// - `ERANGE`, `E2BIG` if name or value is too long.
    /// - `EPERM` for a `user.` attribute of what is neither file nor directory.
    /// - `EEXIST`, `ENODATA` as `flags` say.
    /// - [`Error::Host`] as the host refuses: `ENOSPC`.
    pub fn set_xattr(
        &self,
        path: &[u8],
        name: &[u8],
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<(), Error> {
        let path = self.begin(path)?;
        let mut writer = self.writer();
        let entry = self.entry(path)?;
        let refused = |errno| Error::refused(path, errno);
        let stored = self.stored_xattr(name).ok_or_else(|| refused(Errno::ERANGE))?;
        if value.len() > VALUE_BYTES_MAX {
            return Err(refused(Errno::E2BIG));
        }
        let kind = entry.kind();
        let takes_user = matches!(kind, abi::fs::FileKind::Regular | abi::fs::FileKind::Directory);
        if name.starts_with(b"user.") && !takes_user {
            return Err(refused(Errno::EPERM));
        }
        if !flags.is_empty() {
            let exists = match self.xattr(path, name) {
                Ok(_) => true,
                Err(e) if e.errno() == Errno::ENODATA => false,
                Err(e) => return Err(e),
            };
            if exists && flags.contains(XattrFlags::CREATE) {
                return Err(refused(Errno::EEXIST));
            }
            if !exists && flags.contains(XattrFlags::REPLACE) {
                return Err(refused(Errno::ENODATA));
            }
        }
        if self.carries_xattrs(entry.real) {
            return self
                .dir()
                .set_xattr(path, &stored, value, XattrFlags::empty())
                .map_err(self.host("setxattr", path));
        }
        let set = |path| Step::Set { path, key: stored.clone(), value: value.to_vec() };
        let steps = self.names_of(path, &entry).into_iter().map(set).collect();
        self.transact(&mut writer, steps)
    }

    /// Removes `name` from the store's own file at `path`.
    ///
    /// # Errors
    /// In check order:
    /// - [`Error::ReadOnly`], [`Error::Doubt`].
    /// - `ENOENT` if the store has no file there; `ENODATA` if there is no such attribute.
    pub fn remove_xattr(&self, path: &[u8], name: &[u8]) -> Result<(), Error> {
        let path = self.begin(path)?;
        let mut writer = self.writer();
        let entry = self.entry(path)?;
        self.xattr(path, name)?;
        let none = || Error::refused(path, Errno::ENODATA);
        let stored = self.stored_xattr(name).ok_or_else(none)?;
        if self.carries_xattrs(entry.real) {
            return self.dir().remove_xattr(path, &stored).map_err(self.host("removexattr", path));
        }
        let unset = |path| Step::Unset { path, key: stored.clone() };
        let steps = self.names_of(path, &entry).into_iter().map(unset).collect();
        self.transact(&mut writer, steps)
    }

    /// The attributes and the origin written on the file at the raw path `raw`.
    pub(crate) fn recorded(&self, raw: &[u8]) -> Result<(Option<Override>, Option<Origin>), Error> {
        let read = |name, key| match self.index().facts.get(raw, key) {
            Some(text) => Ok(Some(text.to_vec())),
            None => self.dir().xattr(raw, name).map_err(self.host("getxattr", raw)),
        };
        let attributes = match read(OVERRIDE_XATTR, STAT_KEY)? {
            Some(text) => Some(RawOverride(&text).check(raw)?),
            None => None,
        };
        let origin = match read(ORIGIN_XATTR, ORIGIN_KEY)? {
            Some(text) => Some(RawOrigin(&text).check(raw)?),
            None => None,
        };
        Ok((attributes, origin))
    }
}
