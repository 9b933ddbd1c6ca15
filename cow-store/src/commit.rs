//! Doing for real what a view did in its store.

use crate::diff::{Difference, Differs};
use crate::dir::{Dir, Move};
use crate::error::Error;
use crate::path::{canonical, join, split, strip};
use crate::stat::Stat;
use crate::store::Store;
use crate::tree::State;
use abi::Errno;
use abi::fs::{FileKind, XattrFlags};
use rustix::fs::OFlags;
use std::collections::{BTreeSet, HashMap};

/// What a commit did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// The names that were changed in the lower tree, and how.
    pub done: Vec<Differs>,
    /// The names that were left, and why.
    pub left: Vec<(Vec<u8>, String)>,
    /// Of the names that were changed, those with another owner than in the view.
    pub disowned: Vec<Vec<u8>>,
}

/// Whose a committed file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owners {
    /// The owner that it has in the view; where the host refuses that, the name is left.
    View,
    /// The same, but where the host refuses that, the one who commits, and without set-id bits: what a user
    /// without rights made as virtual root is the user's.
    Committer,
}

/// One commit under way.
struct Work<'a> {
    lower: &'a dyn Dir,
    owners: Owners,
    /// By the inode in the store, the first name of a file that has several.
    linked: HashMap<u64, Vec<u8>>,
    disowned: BTreeSet<Vec<u8>>,
}

impl Store {
    /// Does to `lower` what the view sees at and below `paths` (all, if empty), one file after the other,
    /// each whole or not at all, and forgets it in the store. With `dry_run` nothing is changed.
    ///
    /// A name is left, with the reason, if the lower file changed since it was copied up, if the host
    /// refuses, or if it is a device.
    ///
    /// # Errors
    /// - [`Error::ReadOnly`], [`Error::Doubt`] but for a `dry_run`.
    /// - [`Error::BadPath`] for a path that is not canonical.
    /// - [`Error::Host`] if either tree cannot be read.
    pub fn commit(
        &self,
        paths: &[Vec<u8>],
        lower: &dyn Dir,
        dry_run: bool,
    ) -> Result<Commit, Error> {
        self.commit_as(paths, lower, dry_run, Owners::View)
    }

    /// The same, with a choice of owners.
    ///
    /// # Errors
    /// Those of [`commit`](Self::commit).
    pub fn commit_as(
        &self,
        paths: &[Vec<u8>],
        lower: &dyn Dir,
        dry_run: bool,
        owners: Owners,
    ) -> Result<Commit, Error> {
        if !dry_run {
            self.begin(b"")?;
        }
        let mut chosen = Vec::new();
        for path in paths {
            chosen.push(canonical(path)?);
        }
        let is_chosen = |path: &[u8]| {
            chosen.is_empty()
                || chosen.iter().any(|c| strip(path, c).is_some() || strip(c, path).is_some())
        };
        let all: Vec<Differs> =
            self.diff(lower)?.into_iter().filter(|d| is_chosen(&d.path)).collect();
        // Children are deleted with their parent, which comes before them; the rest from the top down.
        let mut commit = Commit::default();
        let mut work = Work { lower, owners, linked: HashMap::new(), disowned: BTreeSet::new() };
        for differs in all {
            let done = self
                .check_unchanged(lower, &differs)
                .and_then(|()| if dry_run { Ok(()) } else { self.commit_one(&differs, &mut work) });
            match done {
                Ok(()) => commit.done.push(differs),
                Err(e) => commit.left.push((differs.path, e.to_string())),
            }
        }
        if !dry_run {
            self.finish_directories(&mut work, &mut commit);
            work.disowned.retain(|path| commit.done.iter().any(|done| done.path == *path));
            commit.disowned.extend(std::mem::take(&mut work.disowned));
            self.forget_committed(lower, &commit)?;
        }
        Ok(commit)
    }

    /// Gives the directories their mode and owner when all is in them: they may be such that nothing more
    /// can be put there.
    fn finish_directories(&self, work: &mut Work<'_>, commit: &mut Commit) {
        let done = std::mem::take(&mut commit.done);
        for differs in done.into_iter().rev() {
            let is_ours =
                differs.kind == FileKind::Directory && differs.difference != Difference::Deleted;
            let path = differs.path.as_slice();
            let mut set = || work.set_attributes(path, path, &self.stat(path, true)?);
            match if is_ours { set() } else { Ok(()) } {
                Ok(()) => commit.done.push(differs),
                Err(e) => commit.left.push((differs.path, e.to_string())),
            }
        }
        commit.done.reverse();
    }

    /// # Errors
    /// - [`Error::LowerChanged`] if the file was copied up from what is no longer there.
    fn check_unchanged(&self, lower: &dyn Dir, differs: &Differs) -> Result<(), Error> {
        let State::Entry(entry) = self.state(&differs.path) else { return Ok(()) };
        let Some(origin) = entry.origin.filter(|_| !entry.is_directory()) else { return Ok(()) };
        match lower.stat(&differs.path) {
            Ok(stat) if stat.ino == origin.ino && origin.is_unchanged(&stat) => Ok(()),
            // It was moved here from elsewhere.
            Err(Errno::ENOENT | Errno::ENOTDIR) if differs.difference == Difference::Added => {
                Ok(())
            }
            Err(errno @ (Errno::EACCES | Errno::EPERM)) => {
                Err(Error::refused(&differs.path, errno))
            }
            _ => Err(Error::LowerChanged { path: differs.path.clone() }),
        }
    }

    fn commit_one(&self, differs: &Differs, work: &mut Work<'_>) -> Result<(), Error> {
        let path = &differs.path;
        let lower = work.lower;
        match (differs.difference, self.state(path)) {
            (Difference::Deleted, _) => remove(lower, path),
            (_, State::Shadow(_)) => {
                let (State::Shadow(attributes), Ok(mut stat)) =
                    (self.state(path), lower.stat(path))
                else {
                    return Err(Error::refused(path, Errno::ENOENT));
                };
                attributes.apply(&mut stat, true);
                work.set_attributes(path, path, &stat)
            }
            (Difference::Metadata, _) => {
                self.commit_xattrs(lower, path, path)?;
                let stat = self.stat(path, true)?;
                if stat.is_directory() { Ok(()) } else { work.set_attributes(path, path, &stat) }
            }
            (_, State::Entry(entry)) => {
                if let Some(first) = work.linked.get(&entry.ino) {
                    let tmp = temporary(path);
                    lower.link(first, &tmp).map_err(self.host("link", path))?;
                    return put(lower, &tmp, path);
                }
                self.commit_file(work, path)?;
                if entry.names > 1 && !entry.is_directory() {
                    work.linked.insert(entry.ino, path.clone());
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Makes the file complete beside its place, then gives it the place.
    fn commit_file(&self, work: &mut Work<'_>, path: &[u8]) -> Result<(), Error> {
        let lower = work.lower;
        let stat = self.stat(path, true)?;
        if stat.is_directory() {
            if lower.stat(path).is_ok() {
                remove(lower, path)?;
            }
            lower.mkdir(path, 0o700).map_err(self.host("mkdir", path))?;
            return self.commit_xattrs(lower, path, path);
        }
        let tmp = temporary(path);
        let made = self.make_in(work, path, &tmp, &stat).and_then(|()| put(lower, &tmp, path));
        if made.is_err() {
            // The name is ours; if it is not there, nothing was made.
            let _ = lower.unlink(&tmp);
        }
        made
    }

    fn make_in(
        &self,
        work: &mut Work<'_>,
        path: &[u8],
        tmp: &[u8],
        stat: &Stat,
    ) -> Result<(), Error> {
        let lower = work.lower;
        match stat.kind() {
            FileKind::Regular => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR;
                let to = lower.open(tmp, flags, 0o600).map_err(self.host("open", path))?;
                let from = self.open_upper(path, OFlags::RDONLY)?;
                lower.copy_data(&from, &to, true).map_err(self.host("copy", path))?;
                self.commit_xattrs(lower, path, tmp)?;
            }
            FileKind::Symlink => {
                let target = self.readlink(path)?;
                lower.symlink(&target, tmp).map_err(self.host("symlink", path))?;
            }
            kind @ (FileKind::Fifo | FileKind::Socket) => {
                lower.mknod(tmp, kind, 0o600).map_err(self.host("mknod", path))?;
            }
            // Only the superuser could; whoever is, makes devices himself.
            _ => return Err(Error::refused(path, Errno::EPERM)),
        }
        work.set_attributes(tmp, path, stat)?;
        lower
            .set_times(tmp, Some(stat.atime), Some(stat.mtime))
            .map_err(self.host("utimensat", path))
    }

    fn commit_xattrs(&self, lower: &dyn Dir, path: &[u8], to: &[u8]) -> Result<(), Error> {
        for name in self.xattr_names(path)? {
            let value = self.xattr(path, &name)?;
            lower
                .set_xattr(to, &name, &value, XattrFlags::empty())
                .map_err(self.host("setxattr", path))?;
        }
        Ok(())
    }

    /// Takes out of the store what is now in the lower tree, children before parents. A directory stays as
    /// long as anything in it is left.
    fn forget_committed(&self, lower: &dyn Dir, commit: &Commit) -> Result<(), Error> {
        let left = |path: &[u8]| commit.left.iter().any(|(l, _)| strip(l, path).is_some());
        for differs in commit.done.iter().rev() {
            let path = differs.path.as_slice();
            let is_whole = match self.state(path) {
                State::Entry(e) if e.is_directory() => !left(path) && self.names(path)?.is_empty(),
                _ => true,
            };
            if is_whole {
                self.clear(path)?;
            }
        }
        // Directories that were copied up on the way to a change and hold nothing any more.
        for (path, state) in self.paths().into_iter().rev() {
            let State::Entry(entry) = state else { continue };
            if entry.is_directory()
                && !entry.opaque
                && self.names(&path)?.is_empty()
                && self.compare_directory(lower, &path)?
            {
                self.clear(&path)?;
            }
        }
        Ok(())
    }

    /// Whether the store's directory says nothing that the lower one does not.
    fn compare_directory(&self, lower: &dyn Dir, path: &[u8]) -> Result<bool, Error> {
        let ours = self.stat(path, true)?;
        Ok(lower.stat(path).is_ok_and(|s| {
            (s.kind(), s.uid, s.gid, s.permissions())
                == (ours.kind(), ours.uid, ours.gid, ours.permissions())
        }))
    }
}

/// A name beside `path` that nothing else uses.
fn temporary(path: &[u8]) -> Vec<u8> {
    let (parent, name) = split(path).unwrap_or((b"", path));
    let digest = blake3::hash(name).to_hex();
    let short = digest.as_bytes().get(..16).unwrap_or_default();
    join(parent, &[b".viewos-commit-", short].concat())
}

/// Renames `tmp` over what is at `path`.
fn put(lower: &dyn Dir, tmp: &[u8], path: &[u8]) -> Result<(), Error> {
    let host = |errno| Error::Host { call: "rename", path: path.to_vec(), errno };
    match lower.rename(tmp, path, Move::Replace) {
        Err(Errno::EISDIR) => {
            remove(lower, path)?;
            lower.rename(tmp, path, Move::Replace).map_err(host)
        }
        other => other.map_err(host),
    }
}

fn remove(lower: &dyn Dir, path: &[u8]) -> Result<(), Error> {
    let host = |call| move |errno| Error::Host { call, path: path.to_vec(), errno };
    match lower.stat(path) {
        Ok(stat) if stat.is_directory() => Store::remove_tree_of(lower, path, true),
        Ok(_) => lower.unlink(path).map_err(host("unlink")),
        // Its parent was deleted.
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(()),
        Err(errno) => Err(host("stat")(errno)),
    }
}

impl Work<'_> {
    /// Owner, then mode: chown(2) takes set-id bits away. `at` is the file that `path` will be.
    fn set_attributes(&mut self, at: &[u8], path: &[u8], stat: &Stat) -> Result<(), Error> {
        let host = |call| move |errno| Error::Host { call, path: path.to_vec(), errno };
        let now = self.lower.stat(at).map_err(host("stat"))?;
        let mut permissions = stat.permissions();
        if (now.uid, now.gid) != (stat.uid, stat.gid) {
            match self.lower.chown(at, Some(stat.uid), Some(stat.gid)) {
                Err(Errno::EPERM) if self.owners == Owners::Committer => {
                    permissions &= 0o1777;
                    self.disowned.insert(path.to_vec());
                }
                other => other.map_err(host("chown"))?,
            }
        }
        if stat.kind() != FileKind::Symlink {
            self.lower.chmod(at, permissions).map_err(host("chmod"))?;
        }
        Ok(())
    }
}
