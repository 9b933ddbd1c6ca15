//! Moving the store's own files.

use crate::dir::Move;
use crate::error::Error;
use crate::format::WhiteoutForm;
use crate::log::Step;
use crate::path::{canonical, split, strip};
use crate::store::{Store, Writer};
use crate::tree::{Entry, State};
use abi::Errno;
use abi::fs::{FileKind, RenameFlags};

impl Store {
    /// Moves the store's own file at `from` to `to`. A directory that is moved hides the lower tree already
    /// (made here, or copied up whole and [`set_opaque`](Self::set_opaque)). What is replaced at `to` is
    /// the store's own file, a directory in which the view sees no name, a whiteout, or nothing. With
    /// `leave_whiteout`, `from` is whited out in the same step.
    ///
    /// # Errors
    /// In check order:
    /// - [`Error::ReadOnly`], [`Error::Doubt`], [`Error::BadPath`], [`Error::NameTooLong`], `EPERM` for
    ///   the private directory.
    /// - `EINVAL` if `flags` has more than one bit, or `RENAME_WHITEOUT`; if `to` is below `from`.
    /// - `EBUSY` for the root.
    /// - `ENOENT` if the store has no file at `from`, no parent of `to`, or, exchanging, none at `to`.
    /// - `EEXIST` if `flags` has `NOREPLACE` and the store has a file at `to`.
    /// - `EISDIR`, `ENOTDIR` if exactly one of the two is a directory.
    /// - `ENOTEMPTY` if a directory would be replaced that holds files.
    /// - `EXDEV` if a directory is moved that does not hide the lower tree.
    pub fn rename(
        &self,
        from: &[u8],
        to: &[u8],
        flags: RenameFlags,
        leave_whiteout: bool,
    ) -> Result<(), Error> {
        let (from, to) = (self.begin(from)?, self.begin(to)?);
        if flags.bits().count_ones() > 1 || flags.contains(RenameFlags::WHITEOUT) {
            return Err(Error::refused(from, Errno::EINVAL));
        }
        let Some((parent, _)) = split(to).filter(|_| !from.is_empty()) else {
            return Err(Error::refused(from, Errno::EBUSY));
        };
        let exchange = flags.contains(RenameFlags::EXCHANGE);
        if from != to && (strip(to, from).is_some() || exchange && strip(from, to).is_some()) {
            return Err(Error::refused(from, Errno::EINVAL));
        }
        let mut writer = self.writer();
        let source = self.entry(from)?;
        if self.index().tree.directory(parent).is_none() {
            return Err(Error::refused(to, Errno::ENOENT));
        }
        let target = match self.state(to) {
            State::Entry(entry) => Some(entry),
            _ => None,
        };
        self.check_pure(from, &source)?;
        if exchange {
            let Some(target) = target else { return Err(Error::refused(to, Errno::ENOENT)) };
            self.check_pure(to, &target)?;
            return self.exchange(&mut writer, from, to, &source);
        }
        if let Some(target) = &target {
            if flags.contains(RenameFlags::NOREPLACE) {
                return Err(Error::refused(to, Errno::EEXIST));
            }
            match (source.is_directory(), target.is_directory()) {
                (false, true) => return Err(Error::refused(to, Errno::EISDIR)),
                (true, false) => return Err(Error::refused(to, Errno::ENOTDIR)),
                (true, true) => self.check_only_whiteouts(to)?,
                (false, false) => {}
            }
            if source.ino == target.ino {
                return Ok(());
            }
        }
        if source.is_directory() && !source.opaque {
            // Below `to` another lower directory may lie.
            self.mark_opaque(from)?;
            self.index_mut().tree.set_opaque(from, true);
        }
        self.replace(&mut writer, from, to, &source, target.as_ref(), leave_whiteout)?;
        {
            let mut index = self.index_mut();
            index.tree.rename(from, to);
            if leave_whiteout {
                index.tree.put_whiteout(from);
            }
        }
        self.drop_empty_groups(&mut writer)
    }

    fn check_pure(&self, path: &[u8], entry: &Entry) -> Result<(), Error> {
        if entry.is_directory() && entry.lower_visible {
            return Err(Error::refused(path, Errno::EXDEV));
        }
        Ok(())
    }

    fn exchange(
        &self,
        writer: &mut Writer,
        from: &[u8],
        to: &[u8],
        source: &Entry,
    ) -> Result<(), Error> {
        for path in [from, to] {
            if let State::Entry(entry) = self.state(path)
                && entry.is_directory()
                && !entry.opaque
            {
                self.mark_opaque(path)?;
                self.index_mut().tree.set_opaque(path, true);
            }
        }
        let swap = Step::Exchange { a: from.to_vec(), b: to.to_vec(), ino: source.ino };
        let facts = if self.has_facts(from) || self.has_facts(to) {
            vec![Step::Swap { a: from.to_vec(), b: to.to_vec() }]
        } else {
            Vec::new()
        };
        self.change(writer, vec![swap], facts)?;
        self.index_mut().tree.exchange(from, to);
        Ok(())
    }

    fn has_facts(&self, path: &[u8]) -> bool {
        !self.index().facts.below(path).is_empty()
    }

    fn replace(
        &self,
        writer: &mut Writer,
        from: &[u8],
        to: &[u8],
        source: &Entry,
        target: Option<&Entry>,
        leave_whiteout: bool,
    ) -> Result<(), Error> {
        let facts = if self.has_facts(from) || self.has_facts(to) {
            vec![Step::Carry { from: from.to_vec(), to: to.to_vec() }]
        } else {
            Vec::new()
        };
        let whited_out = matches!(self.state(to), State::Whiteout);
        let moved = Step::Rename { from: from.to_vec(), to: to.to_vec(), ino: source.ino };
        if let Some(target) = target.filter(|t| t.is_directory())
            && !self.index().tree.directory(to).is_some_and(|d| d.is_bare(self.form()))
        {
            if !self.form().xattrs {
                return self.replace_directory(writer, from, to, source, target, leave_whiteout);
            }
            self.empty_directory(writer, to)?;
        }
        match self.form().whiteout {
            WhiteoutForm::Marker => {
                if leave_whiteout {
                    // The file beats its marker until it is moved.
                    let tmp = self.tmp();
                    self.make_whiteout(&tmp)?;
                    let marker = self.whiteout_path(from);
                    self.dir()
                        .rename(&tmp, &marker, Move::Replace)
                        .map_err(self.host("rename", &marker))?;
                }
                self.change(writer, vec![moved], facts)?;
                if whited_out {
                    self.discard(&self.whiteout_path(to));
                }
                Ok(())
            }
            WhiteoutForm::Device if whited_out && source.is_directory() => {
                // The whiteout that was at `to` is at `from` then, where it is wanted or hides nothing.
                let swap = Step::Exchange { a: from.to_vec(), b: to.to_vec(), ino: source.ino };
                self.change(writer, vec![swap], facts)?;
                if !leave_whiteout {
                    self.discard(from);
                }
                Ok(())
            }
            WhiteoutForm::Device if leave_whiteout => {
                if facts.is_empty() {
                    let done = if source.is_directory() {
                        self.dir().rename(from, to, Move::Whiteout)
                    } else {
                        self.dir().rename_file(from, to, Move::Whiteout)
                    };
                    match done {
                        Err(Errno::EINVAL | Errno::EPERM | Errno::ENOSYS | Errno::EOPNOTSUPP) => {}
                        other => return other.map_err(self.host("rename", to)),
                    }
                }
                let (tmp, ino) = self.new_whiteout()?;
                let mark = Step::Rename { from: tmp.clone(), to: from.to_vec(), ino };
                self.change(writer, vec![moved, mark], facts).inspect_err(|_| self.discard(&tmp))
            }
            WhiteoutForm::Device if facts.is_empty() && !source.is_directory() => {
                self.dir().rename_file(from, to, Move::Replace).map_err(self.host("rename", to))
            }
            WhiteoutForm::Device => self.change(writer, vec![moved], facts),
        }
    }

    /// Moves the directory at `from` over one that is not empty to the host: it holds marks.
    fn replace_directory(
        &self,
        writer: &mut Writer,
        from: &[u8],
        to: &[u8],
        source: &Entry,
        target: &Entry,
        leave_whiteout: bool,
    ) -> Result<(), Error> {
        let old = self.tmp();
        let (a, b) = (from.to_vec(), to.to_vec());
        let mut steps = vec![
            Step::Exchange { a, b, ino: source.ino },
            Step::Rename { from: from.to_vec(), to: old.clone(), ino: target.ino },
        ];
        if leave_whiteout {
            let (tmp, ino) = self.new_whiteout()?;
            steps.push(Step::Rename { from: tmp, to: self.whiteout_path(from), ino });
        }
        let facts = vec![Step::Carry { from: from.to_vec(), to: to.to_vec() }];
        self.change(writer, steps, facts)?;
        self.discard(&old);
        Ok(())
    }

    /// Takes the whiteouts out of the directory at `path`, in which the view sees nothing: an empty opaque
    /// directory takes its place, and the view sees no difference.
    fn empty_directory(&self, writer: &mut Writer, path: &[u8]) -> Result<(), Error> {
        let path = canonical(path)?;
        let entry = self.entry(path)?;
        let attributes = self.attributes(path, &entry)?;
        let tmp = self.tmp();
        self.dir().mkdir(&tmp, 0o700).map_err(self.host("mkdir", &tmp))?;
        let made = self.describe(&tmp, path, Some(attributes), entry.origin);
        let made = made.inspect_err(|_| self.discard(&tmp))?;
        self.mark_opaque(&tmp)?;
        let swap = Step::Exchange { a: path.to_vec(), b: tmp.clone(), ino: entry.ino };
        self.change(writer, vec![swap], Vec::new()).inspect_err(|_| self.discard(&tmp))?;
        self.discard(&tmp);
        let inode = made.inode;
        debug_assert_eq!(inode.real, FileKind::Directory);
        self.index_mut().tree.put(path, made.ino, inode, true);
        Ok(())
    }
}
