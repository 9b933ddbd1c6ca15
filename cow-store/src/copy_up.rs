//! Copy-up: a lower file becomes the store's own.

use crate::dir::OpenFile;
use crate::error::Error;
use crate::log::Step;
use crate::origin::Origin;
use crate::override_stat::Override;
use crate::path::split;
use crate::place::Made;
use crate::stat::Stat;
use crate::store::Store;
use crate::tree::{Entry, State};
use abi::Errno;
use abi::fs::{FileKind, XattrFlags};
use rustix::fs::OFlags;

/// A lower file to be copied up.
#[derive(Clone, Copy, Debug)]
pub struct Lower<'a> {
    /// Its attributes.
    pub stat: &'a Stat,
    /// Its data, of a regular file; `None` makes the copy empty, for an open that truncates.
    pub data: Option<&'a OpenFile>,
    /// Its target, of a symbolic link.
    pub target: &'a [u8],
    /// Its extended attributes, as many as the caller could read.
    pub xattrs: &'a [(Vec<u8>, Vec<u8>)],
}

impl Store {
    /// Makes the lower file at `path` the store's own: complete, or not at all. Its parent is the store's
    /// own already. A path that the store holds is left alone, and that is success.
    ///
    /// A file with other lower names becomes a *group*: the store keeps one more name for it, so that the
    /// other names find the same file ([`group_of`](Self::group_of), [`materialize`](Self::materialize)).
    ///
    /// # Errors
    /// In check order:
    /// - [`Error::ReadOnly`], [`Error::Doubt`], [`Error::BadPath`], [`Error::NameTooLong`], `EPERM` for
    ///   the private directory.
    /// - `ENOENT` if the name is whited out or hidden, or the parent is not in the store.
    /// - [`Error::Host`] as the host refuses: `ENOSPC`, `EDQUOT`, `EIO`.
    pub fn copy_up(&self, path: &[u8], lower: &Lower<'_>) -> Result<(), Error> {
        let path = self.begin(path)?;
        let shadow = match self.state(path) {
            State::Entry(_) => return Ok(()),
            State::Absent => None,
            State::Shadow(attributes) => Some(attributes),
            State::Whiteout | State::Hidden => return Err(Error::refused(path, Errno::ENOENT)),
        };
        let Some((parent, _)) = split(path) else { return Ok(()) };
        if !matches!(self.state(parent), State::Entry(e) if e.is_directory()) {
            return Err(Error::refused(path, Errno::ENOENT));
        }
        if self.remaining(lower.stat.dev, lower.stat.ino).is_some() {
            return self.materialize(path, lower.stat);
        }
        let tmp = self.tmp();
        let made = self.copy_to(&tmp, path, lower, shadow).inspect_err(|_| self.discard(&tmp))?;
        self.name_copy(path, parent, lower, made)
    }

    /// Makes the copy below `.viewos/tmp`, outside of every lock.
    fn copy_to(
        &self,
        tmp: &[u8],
        path: &[u8],
        lower: &Lower<'_>,
        shadow: Option<Override>,
    ) -> Result<Made, Error> {
        let host = |call| self.host(call, tmp);
        match lower.stat.kind() {
            FileKind::Directory => self.dir().mkdir(tmp, 0o700).map_err(host("mkdir"))?,
            FileKind::Symlink => {
                self.dir().symlink(lower.target, tmp).map_err(host("symlink"))?;
            }
            kind @ (FileKind::Fifo | FileKind::Socket) => {
                self.dir().mknod(tmp, kind, 0o600).map_err(host("mknod"))?;
            }
            FileKind::Regular | FileKind::CharDevice | FileKind::BlockDevice => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR;
                let fd = self.dir().open(tmp, flags, 0o600).map_err(host("open"))?;
                if let Some(data) = lower.data {
                    self.dir().copy_data(data, &fd, self.syncs()).map_err(host("copy"))?;
                }
            }
        }
        let mut wanted = Override::of(lower.stat);
        if let Some(shadow) = shadow {
            wanted = Override { special: wanted.special, ..shadow };
        }
        let mut made = self.describe(tmp, path, Some(wanted), Some(Origin::of(lower.stat)))?;
        for (name, value) in lower.xattrs {
            self.copy_xattr(&mut made, path, name, value)?;
        }
        self.dir()
            .set_times(tmp, Some(lower.stat.atime), Some(lower.stat.mtime))
            .map_err(host("utimensat"))?;
        Ok(made)
    }

    /// One xattr of the lower file. A file system that has no room for it loses the xattr, not the file.
    fn copy_xattr(
        &self,
        made: &mut Made,
        path: &[u8],
        name: &[u8],
        value: &[u8],
    ) -> Result<(), Error> {
        let Some(stored) = self.stored_xattr(name) else { return Ok(()) };
        if !self.carries_xattrs(made.inode.real) {
            made.facts.push(Step::Set { path: path.to_vec(), key: stored, value: value.to_vec() });
            return Ok(());
        }
        match self.dir().set_xattr(&made.tmp, &stored, value, XattrFlags::empty()) {
            Ok(()) => Ok(()),
            Err(Errno::ENOSPC | Errno::E2BIG | Errno::ERANGE | Errno::EOPNOTSUPP) => {
                let name = String::from_utf8_lossy(name);
                tracing::warn!(target: "cow_store", "xattr {name} does not fit the copy");
                Ok(())
            }
            Err(errno) => Err(self.host("setxattr", &made.tmp)(errno)),
        }
    }

    /// Names the finished copy. Between the copy and here another may have been faster.
    fn name_copy(
        &self,
        path: &[u8],
        parent: &[u8],
        lower: &Lower<'_>,
        mut made: Made,
    ) -> Result<(), Error> {
        let mut writer = self.writer();
        match self.state(path) {
            State::Absent | State::Shadow(_) => {}
            State::Entry(_) => {
                self.discard(&made.tmp);
                return Ok(());
            }
            State::Whiteout | State::Hidden => {
                self.discard(&made.tmp);
                return Err(Error::refused(path, Errno::ENOENT));
            }
        }
        let Stat { dev, ino, nlink, .. } = *lower.stat;
        let is_group = lower.stat.kind() != FileKind::Directory && nlink > 1;
        if is_group {
            let group = Self::group_path(&Self::group_id(dev, ino));
            // An extra name without a record in the log means nothing.
            let _ = self.dir().unlink(&group);
            if let Err(errno) = self.dir().link(&made.tmp, &group) {
                self.discard(&made.tmp);
                return Err(self.host("link", &group)(errno));
            }
            let remaining = nlink.saturating_sub(1);
            // What the log holds for this name holds for the group's name.
            let shared: Vec<Step> = made.facts.iter().filter_map(|s| s.for_path(&group)).collect();
            made.facts.extend(shared);
            made.facts.push(Step::Group { id: Self::group_id(dev, ino), remaining });
        }
        let before = self.dir().stat(parent).map_err(self.host("stat", parent))?;
        self.place(&mut writer, path, made)?;
        self.restore_times(parent, &before);
        Ok(())
    }

    /// Copy-up is no change that the view sees: the directory keeps its times.
    fn restore_times(&self, parent: &[u8], before: &Stat) {
        if let Err(errno) = self.dir().set_times(parent, Some(before.atime), Some(before.mtime)) {
            tracing::debug!(target: "cow_store", "times of a directory not kept: {errno}");
        }
    }

    /// The path in the store of the copied-up file that the lower file with `stat` is another name of.
    /// No system call is made.
    #[must_use]
    pub fn group_of(&self, stat: &Stat) -> Option<Vec<u8>> {
        if stat.nlink < 2 || stat.is_directory() {
            return None;
        }
        self.remaining(stat.dev, stat.ino)?;
        Some(Self::group_path(&Self::group_id(stat.dev, stat.ino)))
    }

    /// Whether any copied-up file has lower names left, so that [`group_of`](Self::group_of) must be asked.
    #[must_use]
    pub fn has_groups(&self) -> bool {
        self.index().facts.groups().values().any(|&remaining| remaining > 0)
    }

    /// The attributes of the copied-up file at `group`, a path that [`group_of`](Self::group_of) gave.
    ///
    /// # Errors
    /// - [`Error::Host`] if it is gone.
    pub fn stat_group(&self, group: &[u8], with_owner: bool) -> Result<Stat, Error> {
        let mut stat = self.dir().stat(group).map_err(self.host("stat", group))?;
        let entry = match self.entry_by_ino(stat.ino) {
            Some(entry) => entry,
            // Every name that the store had of it was removed; others are left below.
            None => {
                let (attributes, origin) = self.recorded(group)?;
                let (real, ino) = (stat.kind(), stat.ino);
                let (opaque, lower_visible) = (false, false);
                Entry { real, ino, attributes, origin, opaque, lower_visible, names: 0 }
            }
        };
        self.dress(&mut stat, &entry, with_owner);
        Ok(stat)
    }

    /// The value of the attribute `name` of the copied-up file at `group`.
    ///
    /// # Errors
    /// - `ENODATA` if there is none.
    pub fn group_xattr(&self, group: &[u8], name: &[u8]) -> Result<Vec<u8>, Error> {
        let none = || Error::refused(group, Errno::ENODATA);
        let stored = self.stored_xattr(name).ok_or_else(none)?;
        self.dir().xattr(group, &stored).map_err(self.host("getxattr", group))?.ok_or_else(none)
    }

    /// The names of all attributes of the copied-up file at `group`, sorted.
    ///
    /// # Errors
    /// - [`Error::Host`] if it is gone.
    pub fn group_xattr_names(&self, group: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
        let stored = self.dir().xattr_names(group).map_err(self.host("listxattr", group))?;
        Ok(Self::seen_names(&stored))
    }

    /// Opens the copied-up file at `group` for reading.
    ///
    /// # Errors
    /// - [`Error::Host`] if it is gone; those of open(2).
    pub fn open_group(&self, group: &[u8], flags: OFlags) -> Result<OpenFile, Error> {
        self.dir().open(group, flags, 0).map_err(self.host("open", group))
    }

    /// Makes `path`, another lower name of a copied-up file, a name of it in the store.
    ///
    /// # Errors
    /// - those of [`copy_up`](Self::copy_up); `ENOENT` if there is no such file.
    pub fn materialize(&self, path: &[u8], lower: &Stat) -> Result<(), Error> {
        let path = self.begin(path)?;
        let mut writer = self.writer();
        let Some(fewer) = self.fewer_remaining(lower.dev, lower.ino) else {
            return Err(Error::refused(path, Errno::ENOENT));
        };
        if let State::Entry(_) = self.state(path) {
            return Ok(());
        }
        let group = Self::group_path(&Self::group_id(lower.dev, lower.ino));
        let stat = self.dir().stat(&group).map_err(self.host("stat", &group))?;
        let tmp = self.tmp();
        self.dir().link(&group, &tmp).map_err(self.host("link", &group))?;
        let known = self.entry_by_ino(stat.ino);
        let mut made = self.describe(&tmp, path, None, None).inspect_err(|_| self.discard(&tmp))?;
        made.inode.attributes = known.and_then(|e| e.attributes);
        made.inode.origin = known.and_then(|e| e.origin);
        if known.is_none() {
            (made.inode.attributes, made.inode.origin) =
                self.recorded(&tmp).inspect_err(|_| self.discard(&tmp))?;
        }
        made.facts.extend(self.facts_for(&group, path));
        made.facts.push(fewer);
        self.place(&mut writer, path, made)
    }

    /// One lower name of the file with `lower` is gone for real: its group, if it is one, has a name less.
    ///
    /// # Errors
    /// - [`Error::ReadOnly`], [`Error::Doubt`]; [`Error::Host`] if the log cannot be written.
    pub fn forget_lower_name(&self, lower: &Stat) -> Result<(), Error> {
        self.begin(b"")?;
        let mut writer = self.writer();
        if let Some(fewer) = self.fewer_remaining(lower.dev, lower.ino) {
            self.transact(&mut writer, vec![fewer])?;
            self.drop_empty_groups(&mut writer)?;
        }
        Ok(())
    }
}
