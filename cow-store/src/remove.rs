//! Removing names, and the whiteouts that hide lower ones.

use crate::dir::Move;
use crate::error::Error;
use crate::format::{WHITEOUT_PATH, WhiteoutForm};
use crate::log::Step;
use crate::path::{join, marker_of, split};
use crate::stat::Stat;
use crate::store::{Store, Writer};
use crate::tree::{Node, State};
use abi::Errno;
use abi::fs::FileKind;
use rustix::fs::OFlags;

impl Store {
    /// Removes the store's own file at `path`, which is no directory. With `leave_whiteout` the name is
    /// whited out in the same step, because the lower tree has it too.
    ///
    /// # Errors
    /// In check order:
    /// - [`Error::ReadOnly`], [`Error::Doubt`], [`Error::BadPath`], [`Error::NameTooLong`], `EPERM` for
    ///   the private directory.
    /// - `ENOENT` if the store has no file there; `EISDIR` if it is a directory.
    /// - [`Error::Host`] as the host refuses.
    pub fn unlink(&self, path: &[u8], leave_whiteout: bool) -> Result<(), Error> {
        let path = self.begin(path)?;
        let mut writer = self.writer();
        let entry = self.entry(path)?;
        if entry.is_directory() {
            return Err(Error::refused(path, Errno::EISDIR));
        }
        let gone = Step::Unlink { path: path.to_vec(), ino: entry.ino };
        self.take_away(&mut writer, path, leave_whiteout, gone)?;
        self.forget_name(&mut writer, path, leave_whiteout)
    }

    /// Removes the store's own directory at `path`, in which the view sees no name (the store may hold
    /// whiteouts in it). With `leave_whiteout` as [`unlink`](Self::unlink).
    ///
    /// # Errors
    /// In check order:
    /// - those of [`unlink`](Self::unlink), but `ENOTDIR` if it is no directory and `EBUSY` for the root.
    /// - `ENOTEMPTY` if the store has a file in it.
    pub fn rmdir(&self, path: &[u8], leave_whiteout: bool) -> Result<(), Error> {
        let path = self.begin(path)?;
        if path.is_empty() {
            return Err(Error::refused(path, Errno::EBUSY));
        }
        let mut writer = self.writer();
        let entry = self.entry(path)?;
        if !entry.is_directory() {
            return Err(Error::refused(path, Errno::ENOTDIR));
        }
        self.check_only_whiteouts(path)?;
        let facts = self.drop_facts(path);
        if !leave_whiteout && facts.is_empty() && self.is_bare(path) {
            match self.dir().rmdir(path) {
                Ok(()) => return self.forget_name(&mut writer, path, false),
                // Something that nobody knows of goes with it.
                Err(Errno::ENOTEMPTY | Errno::EEXIST) => {}
                Err(errno) => return Err(self.host("rmdir", path)(errno)),
            }
        }
        let tmp = self.tmp();
        let gone = Step::Rename { from: path.to_vec(), to: tmp.clone(), ino: entry.ino };
        if leave_whiteout && self.form().whiteout == WhiteoutForm::Device {
            self.make_whiteout(&tmp)?;
            let swap = Step::Exchange { a: path.to_vec(), b: tmp.clone(), ino: entry.ino };
            let swapped = self.change(&mut writer, vec![swap], facts);
            swapped.inspect_err(|_| self.discard(&tmp))?;
        } else {
            self.take_away(&mut writer, path, leave_whiteout, gone)?;
        }
        self.discard(&tmp);
        self.forget_name(&mut writer, path, leave_whiteout)
    }

    /// Hides the lower file at `path`, whose attributes are `lower`; the store has no file of its own
    /// there, but has the parent directory.
    ///
    /// # Errors
    /// In check order:
    /// - [`Error::ReadOnly`], [`Error::Doubt`], [`Error::BadPath`], [`Error::NameTooLong`], `EPERM` for
    ///   the private directory.
    /// - `EEXIST` if the store has a file there; `ENOENT` if the parent is not in the store.
    /// - [`Error::Host`] as the host refuses.
    pub fn whiteout(&self, path: &[u8], lower: &Stat) -> Result<(), Error> {
        let path = self.begin(path)?;
        let mut writer = self.writer();
        match self.state(path) {
            State::Whiteout | State::Hidden => return Ok(()),
            State::Entry(_) => return Err(Error::refused(path, Errno::EEXIST)),
            State::Absent | State::Shadow(_) => {}
        }
        let has_parent =
            split(path).is_some_and(|(parent, _)| self.index().tree.directory(parent).is_some());
        if !has_parent {
            return Err(Error::refused(path, Errno::ENOENT));
        }
        let mut facts = self.drop_facts(path);
        if !lower.is_directory() {
            facts.extend(self.fewer_remaining(lower.dev, lower.ino));
        }
        let target = self.whiteout_path(path);
        // One call is a whole change; with a part for the log the whiteout gets its name by a step of it.
        if !facts.is_empty() || !self.whiteout_at_once(&target)? {
            let tmp = self.tmp();
            self.make_whiteout(&tmp)?;
            let ino = self.whiteout_ino(&tmp, &facts)?;
            let named = Step::Rename { from: tmp.clone(), to: target, ino };
            self.change(&mut writer, vec![named], facts).inspect_err(|_| self.discard(&tmp))?;
        }
        self.index_mut().tree.put_whiteout(path);
        self.drop_empty_groups(&mut writer)
    }

    /// Makes the store's own directory at `path` hide the lower one. The caller has copied up every name
    /// that is to stay.
    ///
    /// # Errors
    /// In check order:
    /// - [`Error::ReadOnly`], [`Error::Doubt`], [`Error::BadPath`].
    /// - `ENOENT` if the store has no file there; `ENOTDIR` if it is no directory.
    pub fn set_opaque(&self, path: &[u8]) -> Result<(), Error> {
        let path = self.begin(path)?;
        let mut writer = self.writer();
        let entry = self.entry(path)?;
        if !entry.is_directory() {
            return Err(Error::refused(path, Errno::ENOTDIR));
        }
        if !entry.opaque {
            self.mark_opaque(path)?;
            self.index_mut().tree.set_opaque(path, true);
        }
        // Whiteouts in it have nothing to hide any more.
        self.clear_whiteouts(&mut writer, path)
    }

    /// Forgets everything the store knows at and below `path`: the lower file is seen again. For the root,
    /// the store becomes empty.
    ///
    /// # Errors
    /// - [`Error::ReadOnly`], [`Error::Doubt`], [`Error::BadPath`]; [`Error::Host`] as the host refuses.
    pub fn clear(&self, path: &[u8]) -> Result<(), Error> {
        let path = self.begin(path)?;
        if path.is_empty() {
            for (name, _) in self.names(b"")? {
                self.clear(&name)?;
            }
            return Ok(());
        }
        let mut writer = self.writer();
        let facts = self.drop_facts(path);
        match self.state(path) {
            State::Absent | State::Hidden => {}
            State::Shadow(_) => self.transact(&mut writer, facts)?,
            State::Whiteout => {
                let target = self.whiteout_path(path);
                self.dir().unlink(&target).map_err(self.host("unlink", &target))?;
            }
            State::Entry(entry) => {
                let tmp = self.tmp();
                let gone = Step::Rename { from: path.to_vec(), to: tmp.clone(), ino: entry.ino };
                self.change(&mut writer, vec![gone], facts)?;
                self.discard(&tmp);
            }
        }
        self.index_mut().tree.remove(path);
        self.drop_empty_groups(&mut writer)
    }

    /// Where the whiteout of `path` lies in the store.
    pub(crate) fn whiteout_path(&self, path: &[u8]) -> Vec<u8> {
        match (self.form().whiteout, split(path)) {
            (WhiteoutForm::Marker, Some((parent, name))) => join(parent, &marker_of(name)),
            _ => path.to_vec(),
        }
    }

    /// Makes a whiteout without a name at `tmp`.
    pub(crate) fn make_whiteout(&self, tmp: &[u8]) -> Result<(), Error> {
        match self.form().whiteout {
            WhiteoutForm::Device => self.link_whiteout(tmp),
            WhiteoutForm::Marker => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
                self.dir().open(tmp, flags, 0o600).map(drop).map_err(self.host("open", tmp))
            }
        }
    }

    /// A whiteout without a name, and its inode number.
    pub(crate) fn new_whiteout(&self) -> Result<(Vec<u8>, u64), Error> {
        let tmp = self.tmp();
        self.make_whiteout(&tmp)?;
        let ino = self.dir().stat(&tmp).map_err(self.host("stat", &tmp))?.ino;
        Ok((tmp, ino))
    }

    /// Makes a whiteout where nothing is; false if something is that the store does not know of.
    fn whiteout_at_once(&self, target: &[u8]) -> Result<bool, Error> {
        match self.make_whiteout(target) {
            Ok(()) => Ok(true),
            Err(Error::Host { errno: Errno::EEXIST, .. }) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// The inode number of the whiteout at `tmp`, for a step that the log has a part in: `facts` beside it.
    pub(crate) fn whiteout_ino(&self, tmp: &[u8], facts: &[Step]) -> Result<u64, Error> {
        if facts.is_empty() {
            return Ok(0);
        }
        Ok(self.dir().stat(tmp).map_err(self.host("stat", tmp))?.ino)
    }

    /// Makes `tmp` one more name of the shared whiteout. Where there is none yet, or it has as many names as
    /// the file system allows, another takes its place.
    fn link_whiteout(&self, tmp: &[u8]) -> Result<(), Error> {
        match self.dir().link(WHITEOUT_PATH, tmp) {
            Ok(()) => return Ok(()),
            Err(Errno::ENOENT | Errno::EMLINK) => {}
            Err(errno) => return Err(self.host("link", tmp)(errno)),
        }
        let shared = self.tmp();
        let made = self.dir().mknod(&shared, FileKind::CharDevice, 0);
        made.map_err(self.host("mknod", &shared))?;
        self.dir()
            .rename(&shared, WHITEOUT_PATH, Move::Replace)
            .map_err(self.host("rename", WHITEOUT_PATH))?;
        self.dir().link(WHITEOUT_PATH, tmp).map_err(self.host("link", tmp))
    }

    /// The step that forgets the log's metadata at and below `path`, if there is any.
    pub(crate) fn drop_facts(&self, path: &[u8]) -> Vec<Step> {
        let any = !self.index().facts.below(path).is_empty();
        any.then(|| Step::Drop { path: path.to_vec() }).into_iter().collect()
    }

    /// Does `gone`, which takes the file at `path` away, and leaves a whiteout if asked.
    fn take_away(
        &self,
        writer: &mut Writer,
        path: &[u8],
        leave_whiteout: bool,
        gone: Step,
    ) -> Result<(), Error> {
        let facts = self.drop_facts(path);
        if !leave_whiteout {
            return self.change(writer, vec![gone], facts);
        }
        let tmp = self.tmp();
        self.make_whiteout(&tmp)?;
        let ino = self.whiteout_ino(&tmp, &facts)?;
        let target = self.whiteout_path(path);
        let named = Step::Rename { from: tmp.clone(), to: target, ino };
        let done = match self.form().whiteout {
            // The whiteout takes the file's place.
            WhiteoutForm::Device => self.change(writer, vec![named], facts),
            // The file beats its marker until it is gone.
            WhiteoutForm::Marker => self
                .change(writer, vec![named], Vec::new())
                .and_then(|()| self.change(writer, vec![gone], facts)),
        };
        done.inspect_err(|_| self.discard(&tmp))
    }

    fn forget_name(
        &self,
        writer: &mut Writer,
        path: &[u8],
        leave_whiteout: bool,
    ) -> Result<(), Error> {
        {
            let tree = &mut self.index_mut().tree;
            if leave_whiteout { tree.put_whiteout(path) } else { tree.remove(path) }
        }
        self.drop_empty_groups(writer)
    }

    /// Whether the store's own directory at `path` is empty to the host.
    fn is_bare(&self, path: &[u8]) -> bool {
        self.index().tree.directory(path).is_some_and(|d| d.is_bare(self.form()))
    }

    /// # Errors
    /// - `ENOTEMPTY` if the directory at `path` holds anything but whiteouts.
    pub(crate) fn check_only_whiteouts(&self, path: &[u8]) -> Result<(), Error> {
        let index = self.index();
        let full = index
            .tree
            .directory(path)
            .is_some_and(|d| d.children.values().any(|n| !matches!(n, Node::Whiteout)));
        if full { Err(Error::refused(path, Errno::ENOTEMPTY)) } else { Ok(()) }
    }

    /// Removes the whiteouts in the opaque directory at `path`: they hide nothing.
    fn clear_whiteouts(&self, _writer: &mut Writer, path: &[u8]) -> Result<(), Error> {
        let names: Vec<Vec<u8>> = {
            let index = self.index();
            let Some(directory) = index.tree.directory(path) else { return Ok(()) };
            let whiteouts = directory.children.iter().filter(|(_, n)| matches!(n, Node::Whiteout));
            whiteouts.map(|(name, _)| name.to_vec()).collect()
        };
        if names.is_empty() {
            return Ok(());
        }
        let before = self.dir().stat(path).map_err(self.host("stat", path))?;
        for name in names {
            let full = join(path, &name);
            let target = self.whiteout_path(&full);
            self.dir().unlink(&target).map_err(self.host("unlink", &target))?;
            self.index_mut().tree.remove(&full);
        }
        let _ = self.dir().set_times(path, Some(before.atime), Some(before.mtime));
        Ok(())
    }
}
