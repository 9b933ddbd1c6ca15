//! The overlay: which of the trees a name is found in, and its attributes.

use crate::looks::{self, Question};
use crate::lower::{Lower, is_refusal};
use crate::options::{Mode, MountOptions};
use abi::fs::FileKind;
use abi::module::MountError;
use abi::{Errno, Result};
use cow_store::dir::OpenFile;
use cow_store::path::{canonical, split};
use cow_store::{Entry, Override, Stat, State, Store};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is laid over the lower tree.
pub enum Source {
    /// A copy-on-write store, for cow and mincow.
    Store(Box<Store>),
    /// A plain tree, for move and merge.
    Tree(Box<dyn Lower>),
}

impl From<Store> for Source {
    fn from(store: Store) -> Self {
        Self::Store(Box::new(store))
    }
}

/// Links of a directory whose names are in two places: find(1) and fts(3) take it for "not known", as they do on
/// overlayfs.
const LINKS_UNKNOWN: u64 = 1;

/// Where a name is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// In the lower tree, if anywhere: hand out the host's own. Whether it exists was not asked.
    Lower,
    /// In the plain source tree of move and merge.
    Source,
    /// In the store.
    Upper(Entry),
    /// A directory of which names are in both.
    Merged,
    /// A lower name of a file that was copied up under another of its names; the path of the file in the
    /// store, for [`Store::open_group`].
    Linked(Vec<u8>),
    /// The lower file with other attributes.
    Shadow(Override),
}

/// A name that exists.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) at: Resolved,
    pub(crate) stat: Stat,
}

/// A change under way; when it is over, what was seen before it is not believed any more.
pub(crate) struct Change<'a> {
    changes: &'a AtomicU64,
    _lock: MutexGuard<'a, ()>,
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }
}

/// Who acts on a change.
pub(crate) enum Actor<'a> {
    /// A tree is changed for real.
    Real(&'a dyn Lower),
    /// The store, after the lower tree if the mode is mincow.
    Store(&'a Store),
}

/// File trees laid over one another by the rules of one mount. Analogous to `struct ovl_fs`.
///
/// Every path is canonical and relative to the mount point; links were followed by the name walk. Rights
/// are checked by the caller ([`access`](Self::access) tells them from the virtual attributes).
pub struct Overlay {
    lower: Box<dyn Lower>,
    source: Source,
    options: MountOptions,
    /// Held by each change from the look at what is there to the end.
    change: Mutex<()>,
    /// Counts them.
    changes: AtomicU64,
}

impl Overlay {
    /// Lays `source` over `lower`.
    ///
    /// # Errors
    /// - `EINVAL` if the kind of source does not fit the mode.
    pub fn new(
        source: Source,
        lower: Box<dyn Lower>,
        options: MountOptions,
    ) -> core::result::Result<Self, MountError> {
        let fits = match source {
            Source::Store(_) => matches!(options.mode, Mode::Cow | Mode::Mincow),
            Source::Tree(_) => matches!(options.mode, Mode::Move | Mode::Merge),
        };
        if !fits {
            let text = format!("mode {:?} does not go with this kind of source", options.mode);
            return Err(MountError::new(Errno::EINVAL, text));
        }
        Ok(Self { lower, source, options, change: Mutex::new(()), changes: AtomicU64::new(0) })
    }

    /// The options of the mount.
    #[must_use]
    pub const fn options(&self) -> &MountOptions {
        &self.options
    }

    /// The store, of cow and mincow.
    #[must_use]
    pub const fn store(&self) -> Option<&Store> {
        match &self.source {
            Source::Store(store) => Some(store),
            Source::Tree(_) => None,
        }
    }

    /// The lower tree.
    pub(crate) fn lower(&self) -> &dyn Lower {
        &*self.lower
    }

    pub(crate) const fn source(&self) -> &Source {
        &self.source
    }

    pub(crate) fn lock(&self) -> Change<'_> {
        Change {
            changes: &self.changes,
            _lock: self.change.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Called behind a change that takes no lock: what was seen before it is not believed.
    pub(crate) fn note_change(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    fn question<'q>(&self, path: &'q [u8], at: &'q Resolved) -> Question<'q> {
        let changes = self.changes.load(Ordering::Acquire);
        Question { overlay: std::ptr::from_ref(self).addr(), changes, path, at }
    }

    /// The attributes of an open file of which fstat(2) says `fstat`, if its name in the view is `path`; `None` if it
    /// has another name now, or none.
    #[must_use]
    pub fn stat_open(&self, path: &[u8], fstat: &Stat) -> Option<Stat> {
        let path = canonical(path).ok()?;
        let at = self.resolve(path).ok()?;
        let question = self.question(path, &at);
        let stat = match (&at, self.store()) {
            (Resolved::Upper(entry), Some(store)) if store.is_inode(entry, fstat) => {
                let stat = store.dressed(*fstat, entry, self.options.vstat);
                looks::remember(&question, Ok(stat));
                stat
            }
            (Resolved::Lower | Resolved::Shadow(_), _) => {
                let stat = self.stat_at(path, &at).ok()?;
                let is_it = (stat.dev, stat.ino) == (fstat.dev, fstat.ino);
                is_it.then_some(stat)?
            }
            _ => return None,
        };
        Some(self.shown(stat))
    }

    pub(crate) const fn is_mincow(&self) -> bool {
        matches!(self.options.mode, Mode::Mincow)
    }

    /// Where `path` is. For cow and mincow no system call is made, unless files with several lower names
    /// were copied up; then a name that the store does not know costs one `stat` of the lower tree.
    ///
    /// # Errors
    /// In check order:
    /// - `EINVAL`, `ENAMETOOLONG` if `path` is not canonical.
    /// - `ENOENT` if the name was removed or cannot exist; `ENOTDIR` if a file is on the way.
    pub fn resolve(&self, path: &[u8]) -> Result<Resolved> {
        let path = canonical(path)?;
        if self.options.is_excepted(path) {
            return Ok(Resolved::Lower);
        }
        match &self.source {
            Source::Tree(_) if self.options.mode == Mode::Move => Ok(Resolved::Source),
            Source::Tree(tree) => self.resolve_merge(&**tree, path),
            Source::Store(store) => match store.lookup(path)? {
                State::Absent if store.has_groups() => self.resolve_linked(store, path),
                State::Absent => Ok(Resolved::Lower),
                State::Shadow(attributes) => Ok(Resolved::Shadow(attributes)),
                State::Entry(e) if e.is_directory() && e.lower_visible => Ok(Resolved::Merged),
                State::Entry(e) => Ok(Resolved::Upper(e)),
                State::Whiteout => Err(Errno::ENOENT),
                State::Hidden => Err(Self::hidden_because(store, path)),
            },
        }
    }

    fn resolve_merge(&self, tree: &dyn Lower, path: &[u8]) -> Result<Resolved> {
        match tree.stat(path) {
            Ok(stat) if stat.is_directory() => {
                let both = self.lower.stat(path).is_ok_and(|s| s.is_directory());
                Ok(if both { Resolved::Merged } else { Resolved::Source })
            }
            Ok(_) => Ok(Resolved::Source),
            Err(Errno::ENOENT) => Ok(Resolved::Lower),
            Err(e) => Err(e),
        }
    }

    fn resolve_linked(&self, store: &Store, path: &[u8]) -> Result<Resolved> {
        let group = self.lower.stat(path).ok().and_then(|stat| store.group_of(&stat));
        Ok(group.map_or(Resolved::Lower, Resolved::Linked))
    }

    /// The number for a name that an ancestor hides.
    fn hidden_because(store: &Store, path: &[u8]) -> Errno {
        let mut at = path;
        while let Some((parent, _)) = split(at) {
            match store.lookup(parent) {
                Ok(State::Entry(e)) if e.is_directory() => return Errno::ENOENT,
                Ok(State::Entry(_)) => return Errno::ENOTDIR,
                _ => at = parent,
            }
        }
        Errno::ENOENT
    }

    /// The attributes of `path` in the view, with virtual owner, mode, device and link count, and an inode
    /// number that copy-up does not change.
    ///
    /// # Errors
    /// In check order:
    /// - those of [`resolve`](Self::resolve).
    /// - those of stat(2) on the tree in which it is.
    pub fn stat(&self, path: &[u8]) -> Result<Stat> {
        let path = canonical(path)?;
        let at = self.resolve(path)?;
        Ok(self.shown(self.stat_at(path, &at)?))
    }

    /// Attributes as people see them.
    pub(crate) const fn shown(&self, mut stat: Stat) -> Stat {
        if self.options.wok {
            stat.mode |= 0o222;
        }
        stat
    }

    /// The attributes of a name, or what was seen of it before in this call.
    fn stat_at(&self, path: &[u8], at: &Resolved) -> Result<Stat> {
        let question = self.question(path, at);
        if let Some(answer) = looks::remembered(&question) {
            return answer;
        }
        let answer = self.ask(path, at);
        looks::remember(&question, answer);
        answer
    }

    fn ask(&self, path: &[u8], at: &Resolved) -> Result<Stat> {
        let vstat = self.options.vstat;
        match (at, &self.source) {
            (Resolved::Source | Resolved::Merged, Source::Tree(tree)) => tree.stat(path),
            (Resolved::Lower, _) | (_, Source::Tree(_)) => self.lower.stat(path),
            (Resolved::Shadow(attributes), _) => {
                let mut stat = self.lower.stat(path)?;
                attributes.apply(&mut stat, vstat);
                Ok(stat)
            }
            (Resolved::Linked(group), Source::Store(store)) => Ok(store.stat_group(group, vstat)?),
            (_, Source::Store(store)) if path.is_empty() => self.stat_root(store),
            (Resolved::Upper(entry), Source::Store(store)) => {
                Ok(store.stat_of(path, entry, vstat)?)
            }
            (Resolved::Merged, Source::Store(store)) if self.is_mincow() => {
                let mut stat = store.stat(path, vstat)?;
                // Names are made and removed in either of the two.
                if let Ok(lower) = self.lower.stat(path) {
                    stat.nlink = LINKS_UNKNOWN;
                    stat.mtime = stat.mtime.max(lower.mtime);
                    stat.ctime = stat.ctime.max(lower.ctime);
                }
                Ok(stat)
            }
            (Resolved::Merged, Source::Store(store)) => {
                let mut stat = store.stat(path, vstat)?;
                let is_known = stat.nlink != LINKS_UNKNOWN;
                if is_known && self.lower.stat(path).is_ok_and(|lower| lower.is_directory()) {
                    stat.nlink = LINKS_UNKNOWN;
                }
                Ok(stat)
            }
            (_, Source::Store(store)) => Ok(store.stat(path, vstat)?),
        }
    }

    /// The root of the store is a directory of its owner's: until someone changes it in the view, the lower
    /// root speaks.
    fn stat_root(&self, store: &Store) -> Result<Stat> {
        let mut stat = self.lower.stat(b"")?;
        if let State::Entry(Entry { attributes: Some(attributes), .. }) = store.lookup(b"")? {
            attributes.apply(&mut stat, self.options.vstat);
        }
        Ok(stat)
    }

    /// The attributes in the view of an open file of the store, from what fstat(2) says: for
    /// descriptors that the monitor handed out.
    ///
    /// # Errors
    /// - `EBADF` if there is no store; those of fstat(2).
    pub fn stat_fd(&self, fd: &OpenFile) -> Result<Stat> {
        let store = self.store().ok_or(Errno::EBADF)?;
        Ok(store.stat_fd(fd, self.options.vstat)?)
    }

    /// Where the file that `path` shows lies on the host, if it lies there; of a name that does not exist,
    /// where it would be looked for.
    #[must_use]
    pub fn host_path(&self, path: &[u8]) -> Option<Vec<u8>> {
        let path = canonical(path).ok()?;
        match (self.resolve(path).ok()?, &self.source) {
            (Resolved::Source | Resolved::Merged, Source::Tree(tree)) => tree.host_path(path),
            (Resolved::Linked(group), Source::Store(store)) => store.host_path(&group),
            (Resolved::Merged, Source::Store(_)) if path.is_empty() => self.lower.host_path(path),
            (Resolved::Upper(_) | Resolved::Merged, Source::Store(store)) => store.host_path(path),
            _ => self.lower.host_path(path),
        }
    }

    /// Where the tree below has `path` on the host, whatever the view shows there.
    #[must_use]
    pub fn lower_host_path(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.lower.host_path(canonical(path).ok()?)
    }

    /// Whether the tree below has a directory at `path`, whatever the view shows there.
    #[must_use]
    pub fn lower_has_directory(&self, path: &[u8]) -> bool {
        canonical(path).is_ok_and(|path| self.lower.stat(path).is_ok_and(|s| s.is_directory()))
    }

    /// The target of the symbolic link at `path`.
    ///
    /// # Errors
    /// In check order:
    /// - those of [`resolve`](Self::resolve); `ENOENT` if it does not exist.
    /// - `EINVAL` if it is no link.
    pub fn readlink(&self, path: &[u8]) -> Result<Vec<u8>> {
        let path = canonical(path)?;
        match (self.resolve(path)?, &self.source) {
            (Resolved::Source | Resolved::Merged, Source::Tree(tree)) => tree.readlink(path),
            (Resolved::Upper(_) | Resolved::Merged, Source::Store(store)) => {
                Ok(store.readlink(path)?)
            }
            _ => self.lower.readlink(path),
        }
    }

    /// What is at `path`; `None` if nothing.
    ///
    /// # Errors
    /// - `ENOTDIR` if a file is on the way, and what the trees answer.
    pub(crate) fn look(&self, path: &[u8]) -> Result<Option<Seen>> {
        let at = match self.resolve(path) {
            Ok(at) => at,
            Err(Errno::ENOENT) => return Ok(None),
            Err(e) => return Err(e),
        };
        match self.stat_at(path, &at) {
            Ok(stat) => Ok(Some(Seen { at, stat })),
            Err(Errno::ENOENT) => Ok(None),
            // The store has made a directory of a lower file's name.
            Err(Errno::ENOTDIR) if self.parent_is_upper(path) => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn parent_is_upper(&self, path: &[u8]) -> bool {
        split(path).is_some_and(|(parent, _)| {
            matches!(self.resolve(parent), Ok(Resolved::Upper(_) | Resolved::Merged))
        })
    }

    /// What is at `path`.
    ///
    /// # Errors
    /// - `ENOENT` if nothing; those of [`look`](Self::look).
    pub(crate) fn find(&self, path: &[u8]) -> Result<Seen> {
        self.look(path)?.ok_or(Errno::ENOENT)
    }

    /// The parent of a name that is to be made or removed.
    ///
    /// # Errors
    /// In check order:
    /// - `EEXIST` for the root, which has none.
    /// - `ENOENT` if there is none; `ENOTDIR` if it is no directory.
    pub(crate) fn find_parent(&self, path: &[u8]) -> Result<Stat> {
        let (parent, _) = split(path).ok_or(Errno::EEXIST)?;
        if let Some(stat) = self.own_parent(parent) {
            return Ok(stat);
        }
        let seen = self.find(parent)?;
        if seen.stat.is_directory() { Ok(seen.stat) } else { Err(Errno::ENOTDIR) }
    }

    /// Mode, owner and group of a directory that is the store's, as far as they matter to what is made in it: one that
    /// has nothing recorded has no set-id bits, and then nobody asks for the rest.
    fn own_parent(&self, path: &[u8]) -> Option<Stat> {
        if path.is_empty() || self.options.is_excepted(path) {
            return None;
        }
        let State::Entry(entry) = self.store()?.lookup(path).ok()? else { return None };
        let mut stat = Stat { mode: FileKind::Directory.to_mode_bits(), ..Stat::default() };
        if let Some(attributes) = entry.attributes {
            attributes.apply(&mut stat, true);
        }
        entry.is_directory().then_some(stat)
    }

    /// Who changes `path`.
    ///
    /// # Errors
    /// - `EROFS` if it comes from the source of a merge.
    pub(crate) fn actor(&self, path: &[u8]) -> Result<Actor<'_>> {
        if self.options.is_excepted(path) {
            return Ok(Actor::Real(&*self.lower));
        }
        match &self.source {
            Source::Store(store) => Ok(Actor::Store(store)),
            Source::Tree(tree) if self.options.mode == Mode::Move => Ok(Actor::Real(&**tree)),
            Source::Tree(tree) => {
                let in_source = tree.stat(path).is_ok()
                    || split(path).is_some_and(|(parent, _)| {
                        tree.stat(parent).is_ok() && self.lower.stat(parent).is_err()
                    });
                if in_source { Err(Errno::EROFS) } else { Ok(Actor::Real(&*self.lower)) }
            }
        }
    }

    /// Whether the lower tree shows at the name `path`, apart from what the store has at the name itself.
    pub(crate) fn lower_shows(&self, store: &Store, path: &[u8]) -> bool {
        let Some((parent, _)) = split(path) else { return true };
        match store.lookup(parent) {
            Ok(State::Absent) => true,
            Ok(State::Entry(e)) => e.is_directory() && e.lower_visible,
            _ => false,
        }
    }

    /// In mincow, does a change of attributes for real first, where the lower file shows; true if that
    /// settles it. A directory that is in both trees is changed in both, so that what is made in the lower
    /// one goes on inheriting from it.
    ///
    /// # Errors
    /// What the host answers, but for want of rights.
    pub(crate) fn try_lower(
        &self,
        seen: &Seen,
        with_shadow: bool,
        change: impl FnOnce(&dyn Lower) -> Result<()>,
    ) -> Result<bool> {
        let settles = match seen.at {
            Resolved::Lower => true,
            Resolved::Shadow(_) if with_shadow => true,
            Resolved::Merged => false,
            _ => return Ok(false),
        };
        if !self.is_mincow() {
            return Ok(false);
        }
        match change(self.lower()) {
            Ok(()) => Ok(settles),
            Err(e) if is_refusal(e) => Ok(false),
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EOPNOTSUPP | Errno::ENODATA)
                if !settles =>
            {
                Ok(false)
            }
            Err(e) => Err(e),
        }
    }

    /// The lower file that the name `path` would show if the store had nothing at it.
    pub(crate) fn lower_file(&self, store: &Store, path: &[u8]) -> Option<Stat> {
        if self.lower_shows(store, path) { self.lower.stat(path).ok() } else { None }
    }
}
