//! Removing names.

use crate::lower::is_refusal;
use crate::overlay::{Actor, Overlay, Resolved, Seen};
use abi::{Errno, Result};
use cow_store::path::canonical;
use cow_store::{Stat, State, Store};

impl Overlay {
    /// Removes a name that is not a directory's.
    ///
    /// # Errors
    /// In check order:
    /// - `EINVAL`, `ENAMETOOLONG` if `path` is not canonical.
    /// - `ENOENT`, `ENOTDIR` if it does not exist; `EISDIR` if it is a directory.
    /// - `EROFS` if it comes from the source of a merge or the store stopped; what the host answers.
    pub fn unlink(&self, path: &[u8]) -> Result<()> {
        let path = canonical(path)?;
        let _change = self.lock();
        // Of what the store has the type is known without a look.
        let seen = match self.resolve(path)? {
            Resolved::Upper(entry) if !entry.is_directory() => None,
            _ => Some(self.find(path)?),
        };
        if seen.as_ref().is_some_and(|seen| seen.stat.is_directory()) {
            return Err(Errno::EISDIR);
        }
        let store = match self.actor(path)? {
            Actor::Real(tree) => return tree.try_unlink(path),
            Actor::Store(store) => store,
        };
        let mut below = match &seen {
            Some(Seen { at: Resolved::Lower, stat }) => Some(*stat),
            _ => self.lower_file(store, path),
        };
        if self.is_mincow()
            && let Some(stat) = below.filter(|s| !s.is_directory())
        {
            match self.lower().try_unlink(path) {
                Ok(()) => {
                    store.forget_lower_name(&stat)?;
                    below = None;
                }
                Err(e) if is_refusal(e) => {}
                Err(e) => return Err(e),
            }
        }
        self.take_away(store, path, below, false)
    }

    /// Removes a directory in which the view sees no name.
    ///
    /// # Errors
    /// In check order:
    /// - `EINVAL`, `ENAMETOOLONG` if `path` is not canonical.
    /// - `EBUSY` for the root and for what holds an exception.
    /// - `ENOENT`, `ENOTDIR` if it does not exist or is no directory.
    /// - `ENOTEMPTY` if it holds names.
    /// - `EROFS` if it comes from the source of a merge or the store stopped; what the host answers.
    pub fn rmdir(&self, path: &[u8]) -> Result<()> {
        let path = canonical(path)?;
        if path.is_empty() || self.options().holds_excepted(path) {
            return Err(Errno::EBUSY);
        }
        let _change = self.lock();
        let seen = self.find(path)?;
        if !seen.stat.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        if seen.at != Resolved::Lower && self.has_names(path)? {
            return Err(Errno::ENOTEMPTY);
        }
        let store = match self.actor(path)? {
            Actor::Real(tree) => return tree.try_rmdir(path),
            Actor::Store(store) => store,
        };
        let mut below = self.lower_file(store, path);
        if self.is_mincow() && below.is_some_and(|s| s.is_directory()) {
            match self.lower().try_rmdir(path) {
                Ok(()) => below = None,
                // Names that the view does not see are in it.
                Err(Errno::ENOTEMPTY | Errno::EEXIST) if seen.at != Resolved::Lower => {}
                Err(e) if is_refusal(e) => {}
                Err(e) => return Err(e),
            }
        }
        if below.is_some() && seen.at == Resolved::Lower && self.has_names(path)? {
            return Err(Errno::ENOTEMPTY);
        }
        self.take_away(store, path, below, true)
    }

    /// Takes the name out of the view: `below` is the lower file that would show then.
    fn take_away(
        &self,
        store: &Store,
        path: &[u8],
        below: Option<Stat>,
        is_directory: bool,
    ) -> Result<()> {
        match (store.lookup(path)?, below) {
            (State::Entry(_), below) if is_directory => Ok(store.rmdir(path, below.is_some())?),
            (State::Entry(_), below) => Ok(store.unlink(path, below.is_some())?),
            (_, Some(stat)) => {
                self.copy_up_parents(store, path)?;
                Ok(store.whiteout(path, &stat)?)
            }
            // It was removed for real; attributes that the store kept for it go too.
            (State::Shadow(_), None) => Ok(store.clear(path)?),
            (_, None) => Ok(()),
        }
    }
}
