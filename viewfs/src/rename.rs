//! Moving names. A directory that is in both trees is copied up whole first (see
//! `docs/decisions/0021-rename-of-merged-directories.md`).

use crate::lower::is_refusal;
use crate::overlay::{Actor, Overlay, Resolved, Seen};
use abi::fs::RenameFlags;
use abi::{Errno, Result};
use cow_store::path::{canonical, strip};
use cow_store::{State, Store};

impl Overlay {
    /// Renames `from` to `to`, as renameat2(2).
    ///
    /// # Errors
    /// In check order:
    /// - `EINVAL` if `flags` has `RENAME_WHITEOUT`, or `NOREPLACE` with `EXCHANGE`; `EINVAL`,
    ///   `ENAMETOOLONG` if a path is not canonical.
    /// - `EBUSY` for the root and for what holds an exception.
    /// - `ENOENT`, `ENOTDIR` if `from` or the directory of `to` is not there.
    /// - `EEXIST` if `flags` has `NOREPLACE` and `to` exists; `ENOENT` if it has `EXCHANGE` and `to` does
    ///   not exist.
    /// - `EINVAL` if `to` is below `from`; `ENOTEMPTY` if `from` is below `to` (exchanging: `EINVAL`).
    /// - `EXDEV` if exactly one of them is an exception, or they are on two mounts of the lower tree.
    /// - `ENOTDIR` if a directory would replace another type, `EISDIR` if another type a directory.
    /// - `ENOTEMPTY` if a directory would be replaced that holds names.
    /// - `EROFS` if a name comes from the source of a merge or the store stopped.
    /// - what the host answers: `ENOSPC`; `EACCES` if a file below a directory can't be read.
    ///
    /// Two names of one file: nothing happens, and that is success.
    pub fn rename(&self, from: &[u8], to: &[u8], flags: RenameFlags) -> Result<()> {
        let exchange = flags == RenameFlags::EXCHANGE;
        if !exchange && !flags.is_empty() && flags != RenameFlags::NOREPLACE {
            return Err(Errno::EINVAL);
        }
        let (from, to) = (canonical(from)?, canonical(to)?);
        let options = self.options();
        let is_fixed = |path: &[u8]| path.is_empty() || options.holds_excepted(path);
        if is_fixed(from) || is_fixed(to) {
            return Err(Errno::EBUSY);
        }
        let _change = self.lock();
        self.find_parent(from)?;
        self.find_parent(to)?;
        let source = self.find(from)?;
        let target = self.look(to)?;
        if let Some(answer) = self.check_rename(from, to, flags, &source, target.as_ref())? {
            return answer;
        }
        if options.is_excepted(from) != options.is_excepted(to) {
            return Err(Errno::EXDEV);
        }
        self.actor(from)?;
        let store = match self.actor(to)? {
            Actor::Real(tree) => return tree.try_rename(from, to, flags),
            Actor::Store(store) => store,
        };
        if !exchange && let Some(target) = &target {
            let is_empty = || Ok::<_, Errno>(!self.has_names(to)?);
            match (source.stat.is_directory(), target.stat.is_directory()) {
                (true, false) => return Err(Errno::ENOTDIR),
                (false, true) => return Err(Errno::EISDIR),
                (true, true) if !is_empty()? => return Err(Errno::ENOTEMPTY),
                _ => {}
            }
        }
        if self.renames_for_real(store, from, &source, to) {
            match self.lower().try_rename(from, to, flags) {
                Ok(()) => return self.after_real_rename(store, from, to, exchange),
                Err(e) if is_refusal(e) => {}
                Err(e) => return Err(e),
            }
        }
        self.rename_in_store(store, from, to, flags)
    }

    /// The checks that look at names only; `Some` if they settle it.
    fn check_rename(
        &self,
        from: &[u8],
        to: &[u8],
        flags: RenameFlags,
        source: &Seen,
        target: Option<&Seen>,
    ) -> Result<Option<Result<()>>> {
        let exchange = flags.contains(RenameFlags::EXCHANGE);
        if flags.contains(RenameFlags::NOREPLACE) && target.is_some() {
            return Err(Errno::EEXIST);
        }
        if exchange && target.is_none() {
            return Err(Errno::ENOENT);
        }
        if from != to && strip(to, from).is_some() {
            return Err(Errno::EINVAL);
        }
        if from != to && strip(from, to).is_some() {
            return Err(if exchange { Errno::EINVAL } else { Errno::ENOTEMPTY });
        }
        let is_same =
            target.is_some_and(|t| (t.stat.dev, t.stat.ino) == (source.stat.dev, source.stat.ino));
        Ok((from == to || is_same).then_some(Ok(())))
    }

    /// Whether mincow asks the lower tree: the store has no part in either name.
    fn renames_for_real(&self, store: &Store, from: &[u8], source: &Seen, to: &[u8]) -> bool {
        let untouched = |path: &[u8]| {
            matches!(store.lookup(path), Ok(State::Absent | State::Shadow(_)))
                && self.lower_shows(store, path)
        };
        self.is_mincow()
            && !matches!(source.at, Resolved::Linked(_))
            && untouched(from)
            && untouched(to)
    }

    /// The lower tree did it: virtual attributes move along.
    fn after_real_rename(
        &self,
        store: &Store,
        from: &[u8],
        to: &[u8],
        exchange: bool,
    ) -> Result<()> {
        if exchange { Ok(store.swap_shadows(from, to)?) } else { Ok(store.move_shadows(from, to)?) }
    }

    fn rename_in_store(
        &self,
        store: &Store,
        from: &[u8],
        to: &[u8],
        flags: RenameFlags,
    ) -> Result<()> {
        let exchange = flags.contains(RenameFlags::EXCHANGE);
        self.copy_up_tree(store, from)?;
        self.copy_up_parents(store, to)?;
        if exchange {
            self.copy_up_tree(store, to)?;
        }
        // A lower directory that is replaced is hidden by the moved one, which is opaque. One that has
        // an entry of its own is emptied by the store.
        let leave_whiteout = !exchange && self.lower_file(store, from).is_some();
        Ok(store.rename(from, to, flags, leave_whiteout)?)
    }
}
