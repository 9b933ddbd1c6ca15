//! Snapshots: whole copies of a store below `.viewos/snapshots/NAME`, by reference where the file system can.
//!
//! A snapshot is `tree/` (what is in the store's root), `links/` (the extra names of groups) and `log`. Files
//! are never shared by hard links: what a view writes goes straight into the store's files.

use crate::dir::Move;
use crate::error::Error;
use crate::format::{LINKS_PATH, SNAPSHOTS_PATH};
use crate::load;
use crate::log::{self, Step};
use crate::path::{PRIVATE_DIR, join, strip};
use crate::store::{Store, read_whole};
use abi::Errno;
use abi::fs::{FileKind, XattrFlags};
use rustix::fs::OFlags;
use std::collections::HashMap;

impl Store {
    fn snapshot_path(name: &str) -> Result<Vec<u8>, Error> {
        let is_good = !name.is_empty()
            && name.len() < 200
            && !name.starts_with('.')
            && !name.contains(['/', '\0']);
        if is_good {
            Ok(join(SNAPSHOTS_PATH, name.as_bytes()))
        } else {
            Err(Error::SnapshotName { name: name.to_owned() })
        }
    }

    /// The names of all snapshots, sorted.
    ///
    /// # Errors
    /// - [`Error::Host`] if they cannot be read.
    pub fn snapshots(&self) -> Result<Vec<String>, Error> {
        let entries = match self.dir().list(SNAPSHOTS_PATH) {
            Ok(entries) => entries,
            Err(Errno::ENOENT) => Vec::new(),
            Err(errno) => return Err(self.host("readdir", SNAPSHOTS_PATH)(errno)),
        };
        let mut names: Vec<String> =
            entries.iter().map(|e| String::from_utf8_lossy(&e.name).into_owned()).collect();
        names.sort();
        Ok(names)
    }

    /// Keeps the state of the store as `name`.
    ///
    /// # Errors
    /// In check order:
    /// - [`Error::ReadOnly`], [`Error::Doubt`].
    /// - [`Error::SnapshotName`] if `name` can be none; `EEXIST` if there is one.
    /// - [`Error::Host`] as the host refuses: `ENOSPC`.
    pub fn snapshot(&self, name: &str) -> Result<(), Error> {
        self.begin(b"")?;
        let path = Self::snapshot_path(name)?;
        let _writer = self.writer();
        if self.dir().stat(&path).is_ok() {
            return Err(Error::refused(&path, Errno::EEXIST));
        }
        let tmp = self.tmp();
        let kept = self.keep(&tmp).and_then(|()| {
            self.dir().rename(&tmp, &path, Move::NoReplace).map_err(self.host("rename", &path))
        });
        kept.inspect_err(|_| self.discard(&tmp))
    }

    fn keep(&self, tmp: &[u8]) -> Result<(), Error> {
        self.dir().mkdir(tmp, 0o700).map_err(self.host("mkdir", tmp))?;
        let mut linked = HashMap::new();
        self.copy_tree(b"", &join(tmp, b"tree"), &mut linked)?;
        self.copy_tree(LINKS_PATH, &join(tmp, b"links"), &mut linked)?;
        let log = join(tmp, b"log");
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::APPEND;
        let fd = self.dir().open(&log, flags, 0o600).map_err(self.host("open", &log))?;
        let bytes = self.index().facts.to_log();
        self.dir().append(&fd, &bytes).map_err(self.host("write", &log))
    }

    /// Removes the snapshot `name`.
    ///
    /// # Errors
    /// In check order:
    /// - [`Error::ReadOnly`], [`Error::Doubt`].
    /// - [`Error::SnapshotName`] if `name` can be none; `ENOENT` if there is none.
    pub fn remove_snapshot(&self, name: &str) -> Result<(), Error> {
        self.begin(b"")?;
        let path = Self::snapshot_path(name)?;
        let _writer = self.writer();
        let tmp = self.tmp();
        self.dir().rename(&path, &tmp, Move::NoReplace).map_err(self.host("rename", &path))?;
        self.discard(&tmp);
        Ok(())
    }

    /// Makes the store what it was when `name` was kept, in one step. The snapshot stays.
    ///
    /// # Errors
    /// In check order:
    /// - [`Error::ReadOnly`], [`Error::Doubt`].
    /// - [`Error::SnapshotName`] if `name` can be none; `ENOENT` if there is none.
    /// - [`Error::Log`] if its log is damaged; [`Error::Host`]: `ENOSPC`.
    pub fn rollback(&self, name: &str) -> Result<(), Error> {
        self.begin(b"")?;
        let path = Self::snapshot_path(name)?;
        let mut writer = self.writer();
        self.dir().stat(&path).map_err(self.host("stat", &path))?;
        let facts = log::replay(&read_whole(self.dir(), &join(&path, b"log"))?)?.facts;
        let (new, old) = (self.tmp(), self.tmp());
        let mut linked = HashMap::new();
        for part in [b"tree".as_slice(), b"links"] {
            if part == b"tree" {
                self.dir().mkdir(&new, 0o700).map_err(self.host("mkdir", &new))?;
                self.dir().mkdir(&old, 0o700).map_err(self.host("mkdir", &old))?;
                let links = join(&old, b"links");
                self.dir().mkdir(&links, 0o700).map_err(self.host("mkdir", &links))?;
                let tree = join(&old, b"tree");
                self.dir().mkdir(&tree, 0o700).map_err(self.host("mkdir", &tree))?;
            }
            self.copy_tree(&join(&path, part), &join(&new, part), &mut linked)?;
        }
        let mut steps = Vec::new();
        for (live, part) in [(b"".as_slice(), b"tree".as_slice()), (LINKS_PATH, b"links")] {
            self.moves(live, &join(&old, part), &mut steps)?;
            self.moves(&join(&new, part), live, &mut steps)?;
        }
        let groups: Vec<Vec<u8>> = self.index().facts.groups().keys().cloned().collect();
        steps.push(Step::Drop { path: Vec::new() });
        steps.extend(groups.into_iter().map(|id| Step::Group { id, remaining: u64::MAX }));
        steps.extend(facts.to_steps());
        self.transact(&mut writer, steps)?;
        let tree = load::walk(self, &facts).inspect_err(|_| self.stop())?;
        self.index_mut().tree = tree;
        self.discard(&new);
        self.discard(&old);
        Ok(())
    }

    /// The steps that move every name of the directory `from` to `to`.
    fn moves(&self, from: &[u8], to: &[u8], steps: &mut Vec<Step>) -> Result<(), Error> {
        for entry in self.dir().list(from).map_err(self.host("readdir", from))? {
            if from.is_empty() && entry.name == PRIVATE_DIR {
                continue;
            }
            let full = join(from, &entry.name);
            let ino = self.dir().stat(&full).map_err(self.host("stat", &full))?.ino;
            steps.push(Step::Rename { from: full, to: join(to, &entry.name), ino });
        }
        Ok(())
    }

    /// Copies the raw tree at `from` to `to`, with all xattrs, modes and times. `linked` knows the copies of
    /// inodes with more than one name.
    fn copy_tree(
        &self,
        from: &[u8],
        to: &[u8],
        linked: &mut HashMap<u64, Vec<u8>>,
    ) -> Result<(), Error> {
        self.copy_raw(from, to, linked)?;
        let mut open = vec![from.to_vec()];
        while let Some(path) = open.pop() {
            for entry in self.dir().list(&path).map_err(self.host("readdir", &path))? {
                if path.is_empty() && entry.name == PRIVATE_DIR {
                    continue;
                }
                let full = join(&path, &entry.name);
                let rest = strip(&full, from).unwrap_or_default();
                if self.copy_raw(&full, &join(to, rest), linked)? == FileKind::Directory {
                    open.push(full);
                }
            }
        }
        Ok(())
    }

    fn copy_raw(
        &self,
        from: &[u8],
        to: &[u8],
        linked: &mut HashMap<u64, Vec<u8>>,
    ) -> Result<FileKind, Error> {
        let dir = self.dir();
        let stat = dir.stat(from).map_err(self.host("stat", from))?;
        let kind = stat.kind();
        if kind != FileKind::Directory && stat.nlink > 1 {
            if let Some(first) = linked.get(&stat.ino) {
                dir.link(first, to).map_err(self.host("link", to))?;
                return Ok(kind);
            }
            linked.insert(stat.ino, to.to_vec());
        }
        match kind {
            FileKind::Directory => dir.mkdir(to, 0o700).map_err(self.host("mkdir", to))?,
            FileKind::Symlink => {
                let target = dir.readlink(from).map_err(self.host("readlink", from))?;
                dir.symlink(&target, to).map_err(self.host("symlink", to))?;
            }
            FileKind::Regular => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR;
                let target = dir.open(to, flags, 0o600).map_err(self.host("open", to))?;
                let source = dir.open(from, OFlags::RDONLY, 0).map_err(self.host("open", from))?;
                dir.copy_data(&source, &target, self.syncs()).map_err(self.host("copy", to))?;
            }
            kind => dir.mknod(to, kind, stat.permissions()).map_err(self.host("mknod", to))?,
        }
        if matches!(kind, FileKind::Regular | FileKind::Directory) {
            for name in dir.xattr_names(from).map_err(self.host("listxattr", from))? {
                if !name.starts_with(b"user.") {
                    continue;
                }
                if let Some(value) = dir.xattr(from, &name).map_err(self.host("getxattr", from))? {
                    dir.set_xattr(to, &name, &value, XattrFlags::empty())
                        .map_err(self.host("setxattr", to))?;
                }
            }
        }
        if !matches!(kind, FileKind::Symlink | FileKind::CharDevice) {
            dir.chmod(to, stat.permissions()).map_err(self.host("chmod", to))?;
        }
        dir.set_times(to, Some(stat.atime), Some(stat.mtime))
            .map_err(self.host("utimensat", to))?;
        Ok(kind)
    }
}
