//! New files in one call: what has nothing recorded beside what the host keeps of it needs no place to be finished in.

use crate::create::New;
use crate::error::Error;
use crate::override_stat::Override;
use crate::path::split;
use crate::stat::Stat;
use crate::store::{SHADOW_KEY, Store};
use crate::tree::{Inode, State};
use abi::fs::FileKind;
use abi::{Errno, Result as Answer};
use rustix::fs::OFlags;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the host makes of a new file, found out by making one when it is first asked.
#[derive(Debug, Default)]
pub(crate) struct Maker {
    /// Owner and group; `None` where the mode is not the one that was asked for (a umask, a default ACL).
    given: OnceLock<Option<(u32, u32)>>,
    /// A directory had rules of its own.
    is_wrong: AtomicBool,
}

impl Store {
    /// Makes a file of the type `real` under its own name at once, where nothing has to be recorded of it; the
    /// answer of `make` and its attributes. `None` if that can't be known before, or the host made it otherwise: the
    /// name is free then.
    ///
    /// # Errors
    /// Those of `make`, but `EEXIST`: what the store does not know of is for the long way.
    pub(crate) fn make_at_once<R>(
        &self,
        path: &[u8],
        new: &New,
        real: FileKind,
        make: impl FnOnce(&Override) -> Answer<(R, Stat)>,
    ) -> Result<Option<(R, Stat)>, Error> {
        let Some(given) = self.given() else { return Ok(None) };
        let wanted = new.wanted(given, None);
        let is_plain =
            real == FileKind::Symlink || wanted.real_permissions(real) == wanted.permissions;
        if (wanted.uid, wanted.gid) != given || !is_plain {
            return Ok(None);
        }
        let _writer = self.writer();
        if !self.is_free(path) {
            return Ok(None);
        }
        let (answer, stat) = match make(&wanted) {
            Ok(made) => made,
            Err(Errno::EEXIST) => return Ok(None),
            Err(errno) => return Err(self.host("create", path)(errno)),
        };
        if !wanted.is_plain(&stat) {
            self.maker().is_wrong.store(true, Ordering::Relaxed);
            self.discard(path);
            return Ok(None);
        }
        let inode = Inode { real, attributes: None, origin: None, names: 0 };
        self.index_mut().tree.put(path, stat.ino, inode, false);
        Ok(Some((answer, stat)))
    }

    /// Whether the store has nothing at `path`, not even a note, and has its directory.
    fn is_free(&self, path: &[u8]) -> bool {
        if !matches!(self.state(path), State::Absent | State::Hidden) {
            return false;
        }
        let index = self.index();
        split(path).is_some_and(|(parent, _)| index.tree.directory(parent).is_some())
            && index.facts.get(path, SHADOW_KEY).is_none()
    }

    /// Owner and group of what this process makes here, where the mode is as it was asked for.
    fn given(&self) -> Option<(u32, u32)> {
        if self.maker().is_wrong.load(Ordering::Relaxed) {
            return None;
        }
        *self.maker().given.get_or_init(|| {
            let tmp = self.tmp();
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
            let stat = self.dir().open(&tmp, flags, 0o777).and_then(|fd| fd.stat());
            self.discard(&tmp);
            stat.ok().filter(|s| s.permissions() == 0o777).map(|s| (s.uid, s.gid))
        })
    }
}
