//! The last step of making a file: it is complete below `.viewos/tmp` and gets its name.

use crate::dir::Move;
use crate::error::Error;
use crate::format::WhiteoutForm;
use crate::load::OPAQUE_XATTR;
use crate::log::Step;
use crate::origin::{ORIGIN_XATTR, Origin};
use crate::override_stat::{OVERRIDE_XATTR, Override};
use crate::path::{MARKER_OPAQUE, join, marker_of, split};
use crate::stat::Stat;
use crate::store::{ORIGIN_KEY, SHADOW_KEY, STAT_KEY, Store, Writer};
use crate::tree::{Inode, State};
use abi::Errno;
use abi::fs::{FileKind, XattrFlags};
use rustix::fs::OFlags;

/// A finished file without a name.
pub(crate) struct Made {
    /// Where it lies.
    pub(crate) tmp: Vec<u8>,
    /// Its real inode number.
    pub(crate) ino: u64,
    /// What is known of it.
    pub(crate) inode: Inode,
    /// For a directory: whether it hides the lower one.
    pub(crate) opaque: bool,
    /// Metadata for the log, under its final path.
    pub(crate) facts: Vec<Step>,
}

impl Store {
    /// Records attributes and origin of the file at `tmp` that will be `path`: on itself where it carries
    /// xattrs, else as steps for the log. The real mode is set so that the store's owner can use the file.
    pub(crate) fn describe(
        &self,
        tmp: &[u8],
        path: &[u8],
        wanted: Option<Override>,
        origin: Option<Origin>,
    ) -> Result<Made, Error> {
        let stat = self.dir().stat(tmp).map_err(self.host("stat", tmp))?;
        self.describe_seen(tmp, path, &stat, wanted, origin)
    }

    /// [`describe`](Self::describe) of a file of which `stat` is known.
    pub(crate) fn describe_seen(
        &self,
        tmp: &[u8],
        path: &[u8],
        stat: &Stat,
        wanted: Option<Override>,
        origin: Option<Origin>,
    ) -> Result<Made, Error> {
        let real = stat.kind();
        let mut made = Made {
            tmp: tmp.to_vec(),
            ino: stat.ino,
            inode: Inode { real, attributes: None, origin, names: 0 },
            opaque: false,
            facts: Vec::new(),
        };
        if let Some(wanted) = wanted {
            made.inode.attributes = self.settle_mode(tmp, stat, wanted)?;
        }
        let attributes = made.inode.attributes.map(|a| a.to_text(real));
        let origin = origin.map(|o| o.to_text());
        for (xattr, key, text) in
            [(OVERRIDE_XATTR, STAT_KEY, attributes), (ORIGIN_XATTR, ORIGIN_KEY, origin)]
        {
            let Some(text) = text else { continue };
            if self.carries_xattrs(real) {
                self.dir()
                    .set_xattr(tmp, xattr, text.as_bytes(), XattrFlags::empty())
                    .map_err(self.host("setxattr", tmp))?;
            } else {
                made.facts.push(Step::Set {
                    path: path.to_vec(),
                    key: key.to_vec(),
                    value: text.into_bytes(),
                });
            }
        }
        Ok(made)
    }

    /// Gives the file the real mode that goes with `wanted`; the attributes to record, if any.
    fn settle_mode(
        &self,
        tmp: &[u8],
        stat: &Stat,
        wanted: Override,
    ) -> Result<Option<Override>, Error> {
        let real = stat.kind();
        if real == FileKind::Symlink {
            // Links have no mode of their own: always 0777.
            let wanted = Override { permissions: 0o777, ..wanted };
            return Ok((!wanted.is_plain(stat)).then_some(wanted));
        }
        let permissions = wanted.real_permissions(real);
        if stat.permissions() != permissions {
            self.dir().chmod(tmp, permissions).map_err(self.host("chmod", tmp))?;
        }
        let settled = Stat { mode: real.to_mode_bits() | permissions, ..*stat };
        Ok((!wanted.is_plain(&settled)).then_some(wanted))
    }

    /// Marks the directory at `path` as one that hides the lower directory.
    pub(crate) fn mark_opaque(&self, path: &[u8]) -> Result<(), Error> {
        if self.form().xattrs {
            return self
                .dir()
                .set_xattr(path, OPAQUE_XATTR, b"y", XattrFlags::empty())
                .map_err(self.host("setxattr", path));
        }
        let marker = join(path, MARKER_OPAQUE);
        match self.dir().open(&marker, OFlags::CREATE | OFlags::WRONLY, 0o600) {
            Ok(_) => Ok(()),
            Err(errno) => Err(self.host("open", &marker)(errno)),
        }
    }

    /// Gives `made` the name `path`, where nothing is or a whiteout.
    ///
    /// # Errors
    /// In check order; in each case the unnamed file is removed:
    /// - `ENOENT` if the store has no parent directory.
    /// - `EEXIST` if the store has a file there.
    /// - [`Error::Host`] if the host refuses.
    pub(crate) fn place(&self, writer: &mut Writer, path: &[u8], made: Made) -> Result<(), Error> {
        let tmp = made.tmp.clone();
        let placed = self.place_unguarded(writer, path, made);
        if placed.is_err() {
            self.discard(&tmp);
        }
        placed
    }

    fn place_unguarded(&self, writer: &mut Writer, path: &[u8], made: Made) -> Result<(), Error> {
        let Made { tmp, ino, inode, opaque, mut facts } = made;
        let (parent, name) = split(path).ok_or_else(|| Error::refused(path, Errno::EEXIST))?;
        let state = {
            let index = self.index();
            if index.tree.directory(parent).is_none() {
                return Err(Error::refused(path, Errno::ENOENT));
            }
            if index.facts.get(path, SHADOW_KEY).is_some() {
                facts.push(Step::Unset { path: path.to_vec(), key: SHADOW_KEY.to_vec() });
            }
            index.tree.lookup(path)
        };
        let (from, to) = (tmp.clone(), path.to_vec());
        match (state, self.form().whiteout) {
            (State::Entry(_), _) => return Err(Error::refused(path, Errno::EEXIST)),
            (State::Whiteout, WhiteoutForm::Device) if inode.real == FileKind::Directory => {
                // No directory replaces a device: they change places, and the whiteout goes.
                self.change(writer, vec![Step::Exchange { a: from, b: to, ino }], facts)?;
                self.discard(&tmp);
            }
            (State::Whiteout, WhiteoutForm::Device) => {
                self.change(writer, vec![Step::Rename { from, to, ino }], facts)?;
            }
            (State::Whiteout, WhiteoutForm::Marker) => {
                // Between the two the file beats the marker.
                self.change(writer, vec![Step::Rename { from, to, ino }], facts)?;
                self.discard(&join(parent, &marker_of(name)));
            }
            _ if facts.is_empty() => {
                let done = if inode.real == FileKind::Directory {
                    self.dir().rename(&tmp, path, Move::NoReplace)
                } else {
                    self.dir().rename_file(&tmp, path, Move::NoReplace)
                };
                done.map_err(self.host("rename", path))?;
            }
            _ => self.change(writer, vec![Step::Rename { from, to, ino }], facts)?,
        }
        self.index_mut().tree.put(path, ino, inode, opaque);
        Ok(())
    }
}
