//! An open store: its handle, its lock, its names in memory, and the questions that change nothing.

mod query;
mod transaction;

use crate::at_once::Maker;
use crate::dir::{Dir, HostDir, OpenFile};
use crate::error::Error;
use crate::format::{self, Form, LINKS_PATH, LOCK_PATH, LOG_PATH, TMP_PATH, WhiteoutForm};
use crate::load;
use crate::log::{self, Facts, Step};
use crate::override_stat::Override;
use crate::path::{MARKER_OPAQUE, MARKER_PREFIX, canonical, is_private, join, split};
use crate::tree::{Entry, Node, State, Tree};
use abi::Errno;
use abi::fs::FileKind;
use rustix::fs::{FlockOperation, OFlags, flock};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The key of the log for attributes of a file that cannot carry xattrs.
pub(crate) const STAT_KEY: &[u8] = b"stat";
/// The key of the log for attributes of a lower file.
pub(crate) const SHADOW_KEY: &[u8] = b"shadow";
/// The key of the log for the origin of a file that cannot carry xattrs.
pub(crate) const ORIGIN_KEY: &[u8] = b"origin";

/// What a store is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading. A reader takes no lock and sees the names as they were at the moment of opening.
    ReadOnly,
    /// Reading and writing, by one process at a time.
    Write,
}

/// What is known in memory.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) tree: Tree,
    pub(crate) facts: Facts,
}

/// What only the one who changes the store touches.
#[derive(Debug)]
pub(crate) struct Writer {
    log: Option<OpenFile>,
    log_bytes: u64,
}

/// The copy-on-write layer in one directory. Analogous to the upper directory of overlayfs.
///
/// Lock order: `writer`, then `index`. The index is never held over a system call.
pub struct Store {
    dir: Box<dyn Dir>,
    access: Access,
    form: Form,
    sync: bool,
    index: RwLock<Index>,
    writer: Mutex<Writer>,
    tmp_next: AtomicU64,
    doubt: AtomicBool,
    maker: Maker,
    /// `st_dev` of the root.
    device: AtomicU64,
    _lock: Option<Lock>,
}

/// The writer's lock. It is given up by an explicit call: a process that was forked and has not yet called
/// exec holds the descriptor too, and must not keep the store locked.
struct Lock(OwnedFd);

impl Drop for Lock {
    fn drop(&mut self) {
        if let Err(e) = flock(&self.0, FlockOperation::Unlock) {
            tracing::debug!(target: "cow_store", "unlock: {e}");
        }
    }
}

impl Store {
    /// Opens the store in the directory `dir`, which becomes one if it is not and `access` allows; an upper
    /// directory of overlayfs (`userxattr`) or of fuse-overlayfs is a store. Whatever an interrupted
    /// process left is finished or removed first.
    ///
    /// # Errors
    /// In check order:
    /// - [`Error::CaseFolding`] if its file system can't hold all names side by side, and it is to be written.
    /// - [`Error::Locked`] if another process has it open for writing, and so would this one.
    /// - [`Error::Format`] if the version is not known.
    /// - [`Error::Log`] if the log is damaged and `access` is `Write`.
    /// - [`Error::Host`] if a directory or file cannot be read.
    pub fn open(dir: OwnedFd, access: Access) -> Result<Self, Error> {
        Self::open_dir(Box::new(HostDir::new(dir)), access, None)
    }

    /// The same on any [`Dir`]. `wanted` asks a store that is made by this call for poorer forms than the
    /// file system could have.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn open_dir(
        mut dir: Box<dyn Dir>,
        access: Access,
        wanted: Option<Form>,
    ) -> Result<Self, Error> {
        let lock = match access {
            Access::Write => Self::lock(&*dir)?,
            Access::ReadOnly => None,
        };
        let form = match (Form::read(&*dir)?, access) {
            (Some(form), _) => form,
            (None, Access::ReadOnly) => Form::FOREIGN,
            (None, Access::Write) => {
                Self::remove_tree_of(&*dir, TMP_PATH, false)?;
                Form::establish(&*dir, wanted)?
            }
        };
        if access == Access::Write {
            dir.own();
        }
        let mut store = Self {
            dir,
            access,
            form,
            sync: false,
            index: RwLock::default(),
            writer: Mutex::new(Writer { log: None, log_bytes: 0 }),
            tmp_next: AtomicU64::new(0),
            doubt: AtomicBool::new(false),
            maker: Maker::default(),
            device: AtomicU64::new(0),
            _lock: lock,
        };
        store.load()?;
        Ok(store)
    }

    /// Makes every change durable against power loss, not only against the end of the process.
    #[must_use]
    pub const fn with_sync(mut self, sync: bool) -> Self {
        self.sync = sync;
        self
    }

    /// The writer's lock. Where the file is no descriptor of the host nobody outside this process can have
    /// it, and who mounts sees to it that nobody inside does.
    fn lock(dir: &dyn Dir) -> Result<Option<Lock>, Error> {
        format::make_private_dirs(dir)?;
        format::check_case(dir)?;
        let fd = dir
            .open(LOCK_PATH, OFlags::CREATE | OFlags::RDWR, 0o600)
            .map_err(|errno| Error::Host { call: "open", path: LOCK_PATH.to_vec(), errno })?;
        let OpenFile::Host(fd) = fd else { return Ok(None) };
        match flock(&fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock(fd))),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::Locked),
            Err(e) => Err(Error::Host {
                call: "flock",
                path: LOCK_PATH.to_vec(),
                errno: Errno::from_raw(e.raw_os_error()),
            }),
        }
    }

    fn load(&mut self) -> Result<(), Error> {
        let bytes = match read_whole(&*self.dir, LOG_PATH) {
            Ok(bytes) => bytes,
            Err(Error::Host { errno: Errno::ENOENT | Errno::ENOTDIR, .. }) => Vec::new(),
            Err(e) => return Err(e),
        };
        let mut replay = log::replay(&bytes)?;
        if self.access == Access::Write {
            self.repair(&mut replay)?;
        }
        let tree = load::walk(self, &replay.facts)?;
        *self.device.get_mut() = self.dir.stat(b"").map_err(self.host("stat", b""))?.dev;
        let index = self.index.get_mut().unwrap_or_else(PoisonError::into_inner);
        *index = Index { tree, facts: replay.facts };
        if self.access == Access::Write {
            self.drop_stale_facts()?;
        }
        Ok(())
    }

    /// Forgets facts of names that are not there and groups without names: what an operation wrote before
    /// the step that was to give them meaning.
    fn drop_stale_facts(&self) -> Result<(), Error> {
        let mut writer = self.writer();
        let mut steps = Vec::new();
        {
            let index = self.index();
            for path in index.facts.paths() {
                let is_shadow = index.facts.get(path, SHADOW_KEY).is_some();
                let keep = match index.tree.lookup(path) {
                    _ if is_private(path) => index.facts.is_group(path, LINKS_PATH),
                    State::Entry(_) => true,
                    State::Absent => is_shadow,
                    _ => false,
                };
                if !keep {
                    steps.push(Step::Drop { path: path.to_vec() });
                }
            }
        }
        if !steps.is_empty() {
            self.transact(&mut writer, steps)?;
        }
        self.drop_empty_groups(&mut writer)
    }

    /// How this store writes whiteouts and metadata.
    #[must_use]
    pub const fn form(&self) -> Form {
        self.form
    }

    /// What it was opened for.
    #[must_use]
    pub const fn access(&self) -> Access {
        self.access
    }

    /// Whether changes are refused: opened for reading, or an operation stopped half-way.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.access == Access::ReadOnly || self.doubt.load(Ordering::SeqCst)
    }

    /// The tree the store is on.
    pub(crate) fn dir(&self) -> &dyn Dir {
        &*self.dir
    }

    /// What the host makes of a new file.
    pub(crate) const fn maker(&self) -> &Maker {
        &self.maker
    }

    /// Whether data is made durable.
    pub(crate) const fn syncs(&self) -> bool {
        self.sync
    }

    pub(crate) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The beginning of every change.
    ///
    /// # Errors
    /// In check order:
    /// - [`Error::ReadOnly`], [`Error::Doubt`] if nothing may be written.
    /// - those of [`canonical`]; `EPERM` for the private directory.
    pub(crate) fn begin<'p>(&self, path: &'p [u8]) -> Result<&'p [u8], Error> {
        if self.access == Access::ReadOnly {
            return Err(Error::ReadOnly);
        }
        if self.doubt.load(Ordering::SeqCst) {
            return Err(Error::Doubt);
        }
        let path = canonical(path)?;
        if is_private(path) {
            return Err(Error::refused(path, Errno::EPERM));
        }
        let name = split(path).map_or(path, |(_, name)| name);
        let is_marker = self.form.whiteout == WhiteoutForm::Marker;
        if (is_marker && name.starts_with(MARKER_PREFIX))
            || (!self.form.xattrs && name == MARKER_OPAQUE)
        {
            // The name would be read back as the removal of another.
            return Err(Error::refused(path, Errno::EINVAL));
        }
        Ok(path)
    }

    /// Nothing more is written: what is in memory may not be what is on disk.
    pub(crate) fn stop(&self) {
        self.doubt.store(true, Ordering::SeqCst);
    }

    /// A name below `.viewos/tmp` that nobody has.
    pub(crate) fn tmp(&self) -> Vec<u8> {
        let number = self.tmp_next.fetch_add(1, Ordering::SeqCst);
        join(TMP_PATH, number.to_string().as_bytes())
    }

    /// The error of a host call at `path`.
    pub(crate) fn host(
        &self,
        call: &'static str,
        path: &[u8],
    ) -> impl FnOnce(Errno) -> Error + use<> {
        let path = path.to_vec();
        move |errno| Error::Host { call, path, errno }
    }

    /// All names of the file at `path`, that of its group among them: the log keeps metadata by name.
    pub(crate) fn names_of(&self, path: &[u8], entry: &Entry) -> Vec<Vec<u8>> {
        let mut names = vec![path.to_vec()];
        if entry.is_directory() {
            return names;
        }
        if entry.names > 1 {
            let index = self.index();
            let all = index.tree.walk().into_iter();
            names = all
                .filter(|(_, node)| matches!(node, Node::File(ino) if *ino == entry.ino))
                .map(|(name, _)| name)
                .collect();
        }
        if let Some(origin) = entry.origin
            && self.remaining(origin.dev, origin.ino).is_some()
        {
            names.push(Self::group_path(&Self::group_id(origin.dev, origin.ino)));
        }
        names
    }

    /// Whether a file of the type `real` carries its metadata itself. Links and special files take no user
    /// xattrs (xattr(7)).
    pub(crate) const fn carries_xattrs(&self, real: FileKind) -> bool {
        self.form.xattrs && matches!(real, FileKind::Regular | FileKind::Directory)
    }

    /// The attributes in the view of the entry at `path`.
    pub(crate) fn attributes(&self, path: &[u8], entry: &Entry) -> Result<Override, Error> {
        match entry.attributes {
            Some(attributes) => Ok(attributes),
            None => Ok(Override::of(&self.dir.stat(path).map_err(self.host("stat", path))?)),
        }
    }

    /// Removes all at and below `path`; or, if not `itself`, only below.
    pub(crate) fn remove_tree_of(dir: &dyn Dir, path: &[u8], itself: bool) -> Result<(), Error> {
        let host = |call: &'static str, path: &[u8]| {
            let path = path.to_vec();
            move |errno| Error::Host { call, path, errno }
        };
        // Children are pushed after their parent and so removed before it.
        let mut found = vec![(path.to_vec(), true)];
        let mut at = 0;
        while let Some((full, is_directory)) = found.get(at).cloned() {
            at = at.saturating_add(1);
            if !is_directory {
                continue;
            }
            for entry in dir.list(&full).map_err(host("readdir", &full))? {
                let child = join(&full, &entry.name);
                let kind = match entry.kind {
                    Some(kind) => kind,
                    None => dir.stat(&child).map_err(host("stat", &child))?.kind(),
                };
                found.push((child, kind == FileKind::Directory));
            }
        }
        for (full, is_directory) in found.into_iter().skip(usize::from(!itself)).rev() {
            if is_directory {
                dir.rmdir(&full).map_err(host("rmdir", &full))?;
            } else {
                dir.unlink(&full).map_err(host("unlink", &full))?;
            }
        }
        Ok(())
    }

    /// Removes what was made below `.viewos/tmp`, as far as it goes: the next open removes the rest.
    pub(crate) fn discard(&self, tmp: &[u8]) {
        let is_directory = self.dir.stat(tmp).is_ok_and(|s| s.is_directory());
        let removed = if is_directory {
            Self::remove_tree_of(&*self.dir, tmp, true)
        } else {
            self.dir.unlink(tmp).map_err(self.host("unlink", tmp))
        };
        if let Err(e) = removed {
            tracing::debug!(target: "cow_store", "left behind: {e}");
        }
    }
}

/// All bytes of a small file.
pub(crate) fn read_whole(dir: &dyn Dir, path: &[u8]) -> Result<Vec<u8>, Error> {
    let host = |call: &'static str| {
        let path = path.to_vec();
        move |errno| Error::Host { call, path, errno }
    };
    let fd = dir.open(path, OFlags::RDONLY | OFlags::NONBLOCK, 0).map_err(host("open"))?;
    fd.read_whole().map_err(host("read"))
}
