//! New files of every type.

use crate::dir::OpenFile;
use crate::error::Error;
use crate::override_stat::{OVERRIDE_XATTR, Override};
use crate::path::split;
use crate::place::Made;
use crate::stat::Stat;
use crate::store::Store;
use crate::tree::{Inode, State};
use abi::Errno;
use abi::dev::DevNum;
use abi::fs::FileKind;
use rustix::fs::OFlags;

/// The attributes of a file to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct New {
    /// Permission, set-id and sticky bits, the umask applied.
    pub permissions: u32,
    /// Owner and group in the view; `None` for those the host gives.
    pub owner: Option<(u32, u32)>,
}

impl New {
    /// The attributes to record, for a file that the host gave to `real`.
    pub(crate) fn wanted(&self, real: (u32, u32), special: Option<(FileKind, DevNum)>) -> Override {
        let (uid, gid) = self.owner.unwrap_or(real);
        Override { uid, gid, permissions: self.permissions & 0o7777, special }
    }
}

impl Store {
    /// What may be made at `path`.
    ///
    /// # Errors
    /// In check order:
    /// - [`Error::ReadOnly`], [`Error::Doubt`], [`Error::BadPath`], [`Error::NameTooLong`], `EPERM` for
    ///   the private directory.
    /// - `EEXIST` for the root or if the store has a file there.
    /// - `ENOENT` if the store has no parent directory.
    fn begin_new<'p>(&self, path: &'p [u8]) -> Result<&'p [u8], Error> {
        let path = self.begin(path)?;
        let Some((parent, _)) = split(path) else {
            return Err(Error::refused(path, Errno::EEXIST));
        };
        match (self.state(path), self.state(parent)) {
            (State::Entry(_), _) => Err(Error::refused(path, Errno::EEXIST)),
            (_, State::Entry(e)) if e.is_directory() => Ok(path),
            (_, State::Entry(_)) => Err(Error::refused(path, Errno::ENOTDIR)),
            _ => Err(Error::refused(path, Errno::ENOENT)),
        }
    }

    /// Describes the file at `tmp` and names it `path`.
    fn finish(
        &self,
        tmp: &[u8],
        path: &[u8],
        new: &New,
        special: Option<(FileKind, DevNum)>,
        opaque: bool,
    ) -> Result<(), Error> {
        let made = (|| {
            let stat = self.dir().stat(tmp).map_err(self.host("stat", tmp))?;
            let wanted = new.wanted((stat.uid, stat.gid), special);
            if opaque {
                self.mark_opaque(tmp)?;
            }
            Ok(Made { opaque, ..self.describe_seen(tmp, path, &stat, Some(wanted), None)? })
        })();
        match made {
            Ok(made) => self.place(&mut self.writer(), path, made),
            Err(e) => {
                self.discard(tmp);
                Err(e)
            }
        }
    }

    /// Makes an empty regular file at `path` and opens it with `flags` of open(2).
    ///
    /// # Errors
    /// In check order:
    /// - [`Error::ReadOnly`], [`Error::Doubt`], [`Error::BadPath`], [`Error::NameTooLong`], `EPERM` for
    ///   the private directory.
    /// - `EEXIST` if the store has a file there, `ENOENT` or `ENOTDIR` if it has no parent directory.
    /// - [`Error::Host`] as the host refuses: `ENOSPC`, `EDQUOT`.
    pub fn create(&self, path: &[u8], new: &New, flags: OFlags) -> Result<OpenFile, Error> {
        Ok(self.create_seen(path, new, flags, true)?.0)
    }

    /// The same, with what [`stat`](Self::stat) says of the new file.
    ///
    /// # Errors
    /// Those of [`create`](Self::create).
    pub fn create_seen(
        &self,
        path: &[u8],
        new: &New,
        flags: OFlags,
        with_owner: bool,
    ) -> Result<(OpenFile, Stat), Error> {
        let path = self.begin_new(path)?;
        let flags =
            (flags | OFlags::CREATE | OFlags::EXCL).difference(OFlags::DIRECTORY | OFlags::PATH);
        let at_once = self.make_at_once(path, new, FileKind::Regular, |wanted| {
            let fd = self.dir().open(path, flags, wanted.permissions)?;
            let stat = fd.stat()?;
            Ok((fd, stat))
        })?;
        if let Some(made) = at_once {
            return Ok(made);
        }
        let tmp = self.tmp();
        let fd = self.dir().open(&tmp, flags, 0o600).map_err(self.host("open", &tmp))?;
        self.finish(&tmp, path, new, None, false)?;
        let stat = fd.stat().map_err(self.host("fstat", path))?;
        let stat = self.dressed(stat, &self.entry(path)?, with_owner);
        Ok((fd, stat))
    }

    /// Makes a directory at `path` in which nothing of the lower tree shows.
    ///
    /// # Errors
    /// Those of [`create`](Self::create).
    pub fn mkdir(&self, path: &[u8], new: &New) -> Result<(), Error> {
        let path = self.begin_new(path)?;
        let hidden = split(path).is_some_and(
            |(parent, _)| matches!(self.state(parent), State::Entry(e) if !e.lower_visible),
        );
        // One that has to be marked as opaque is complete before it has its name.
        if hidden
            && let Some(((), _)) = self.make_at_once(path, new, FileKind::Directory, |wanted| {
                self.dir().mkdir(path, wanted.permissions)?;
                Ok(((), self.dir().stat(path)?))
            })?
        {
            return Ok(());
        }
        let tmp = self.tmp();
        self.dir().mkdir(&tmp, 0o700).map_err(self.host("mkdir", &tmp))?;
        self.finish(&tmp, path, new, None, !hidden)
    }

    /// Makes a symbolic link at `path` that holds `target`.
    ///
    /// # Errors
    /// Those of [`create`](Self::create); `ENAMETOOLONG` if the target is too long.
    pub fn symlink(&self, path: &[u8], target: &[u8], new: &New) -> Result<(), Error> {
        let path = self.begin_new(path)?;
        // Links have no mode of their own: always 0777.
        let as_link = New { permissions: 0o777, ..*new };
        let at_once = self.make_at_once(path, &as_link, FileKind::Symlink, |_| {
            self.dir().symlink(target, path)?;
            Ok(((), self.dir().stat(path)?))
        })?;
        if at_once.is_some() {
            return Ok(());
        }
        let tmp = self.tmp();
        self.dir().symlink(target, &tmp).map_err(self.host("symlink", &tmp))?;
        self.finish(&tmp, path, new, None, false)
    }

    /// Makes a file of any type but directory and link. FIFOs and sockets are the host's own; a device is
    /// an empty file with its number in the attributes.
    ///
    /// # Errors
    /// Those of [`create`](Self::create); `EINVAL` for a directory or link.
    pub fn mknod(
        &self,
        path: &[u8],
        kind: FileKind,
        number: DevNum,
        new: &New,
    ) -> Result<(), Error> {
        let path = self.begin_new(path)?;
        let tmp = self.tmp();
        let special = match kind {
            FileKind::Directory | FileKind::Symlink => {
                return Err(Error::refused(path, Errno::EINVAL));
            }
            FileKind::Fifo | FileKind::Socket => {
                self.dir().mknod(&tmp, kind, 0o600).map_err(self.host("mknod", &tmp))?;
                None
            }
            _ => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
                self.dir().open(&tmp, flags, 0o600).map_err(self.host("open", &tmp))?;
                (kind != FileKind::Regular).then_some((kind, number))
            }
        };
        self.finish(&tmp, path, new, special, false)
    }

    /// Opens a file without a name (`O_TMPFILE`); [`link_tmpfile`](Self::link_tmpfile) may name it.
    ///
    /// # Errors
    /// In check order:
    /// - [`Error::ReadOnly`], [`Error::Doubt`].
    /// - `EOPNOTSUPP` if the host's file system can't.
    /// - `EINVAL` if `flags` does not ask for writing.
    pub fn tmpfile(&self, new: &New, flags: OFlags) -> Result<OpenFile, Error> {
        self.begin(b"")?;
        let tmp = crate::format::TMP_PATH;
        let flags = flags | OFlags::TMPFILE;
        let fd = self.dir().open(tmp, flags, 0o600).map_err(self.host("open", tmp))?;
        // Nothing on disk leads to the file: no crash can show it half made, so the calls go straight
        // to the host.
        let stat = fd.stat().map_err(self.host("fstat", tmp))?;
        let wanted = new.wanted((stat.uid, stat.gid), None);
        let permissions = wanted.real_permissions(FileKind::Regular);
        fd.chmod(permissions).map_err(self.host("fchmod", tmp))?;
        let settled = Stat { mode: permissions, ..stat };
        if !wanted.is_plain(&settled) && self.form().xattrs {
            let text = wanted.to_text(FileKind::Regular);
            fd.set_xattr(OVERRIDE_XATTR, text.as_bytes()).map_err(self.host("fsetxattr", tmp))?;
        }
        Ok(fd)
    }

    /// Names the file without a name `fd` at `path`.
    ///
    /// # Errors
    /// Those of [`create`](Self::create); `ENOENT` if `fd` was opened with `O_EXCL` or had a name.
    pub fn link_tmpfile(&self, fd: &OpenFile, path: &[u8]) -> Result<(), Error> {
        let path = self.begin_new(path)?;
        let tmp = self.tmp();
        self.dir().link_file(fd, &tmp).map_err(self.host("linkat", path))?;
        let made = (|| {
            let stat = self.dir().stat(&tmp).map_err(self.host("stat", &tmp))?;
            let text =
                self.dir().xattr(&tmp, OVERRIDE_XATTR).map_err(self.host("getxattr", &tmp))?;
            let attributes = match text {
                Some(text) => Some(crate::override_stat::RawOverride(&text).check(path)?),
                None => None,
            };
            let inode = Inode { real: stat.kind(), attributes, origin: None, names: 0 };
            Ok(Made { tmp: tmp.clone(), ino: stat.ino, inode, opaque: false, facts: Vec::new() })
        })();
        match made {
            Ok(made) => self.place(&mut self.writer(), path, made),
            Err(e) => {
                self.discard(&tmp);
                Err(e)
            }
        }
    }

    /// Gives the store's own file at `old` the name `path` too.
    ///
    /// # Errors
    /// In check order:
    /// - those of [`create`](Self::create) for `path`.
    /// - `ENOENT` if the store has no file at `old`; `EPERM` if it is a directory.
    /// - [`Error::Host`] as the host refuses: `EMLINK`.
    pub fn link(&self, old: &[u8], path: &[u8]) -> Result<(), Error> {
        let path = self.begin_new(path)?;
        let old = crate::path::canonical(old)?;
        let mut writer = self.writer();
        let entry = self.entry(old)?;
        if entry.is_directory() {
            return Err(Error::refused(old, Errno::EPERM));
        }
        let tmp = self.tmp();
        self.dir().link(old, &tmp).map_err(self.host("link", old))?;
        let made = Made {
            tmp,
            ino: entry.ino,
            inode: Inode {
                real: entry.real,
                attributes: entry.attributes,
                origin: entry.origin,
                names: 0,
            },
            opaque: false,
            facts: self.facts_for(old, path),
        };
        self.place(&mut writer, path, made)
    }

    /// The log's metadata of `old`, as steps for `path`.
    pub(crate) fn facts_for(&self, old: &[u8], path: &[u8]) -> Vec<crate::log::Step> {
        let index = self.index();
        let facts = index.facts.of(old);
        facts
            .map(|(key, value)| crate::log::Step::Set {
                path: path.to_vec(),
                key: key.to_vec(),
                value: value.to_vec(),
            })
            .collect()
    }
}
