//! Opening: what is handed out is the lower file itself or the store's.

use crate::lower::is_refusal;
use crate::overlay::{Actor, Overlay, Resolved, Seen, Source};
use abi::fs::{Caller, FileKind};
use abi::{Errno, Result};
use cow_store::dir::OpenFile;
use cow_store::path::canonical;
use cow_store::{New, OFlags, Stat, Store};

impl Overlay {
    /// Opens `path` with `flags` of open(2), `O_CREAT`, `O_EXCL`, `O_TRUNC`, `O_PATH` and `O_TMPFILE` among
    /// them. The result is the tree's own open file: where that is a descriptor of the host, it is to be handed
    /// to the caller as it is. `permissions` has
    /// the umask applied; `caller` owns what is made, where owners are virtual.
    ///
    /// The descriptor of a merged directory shows the store's names only: the names of the view are
    /// [`readdir`](Self::readdir)'s.
    ///
    /// # Errors
    /// In check order:
    /// - `EINVAL`, `ENAMETOOLONG` if `path` is not canonical.
    /// - `ENOTDIR` if a file is on the way, or with `O_DIRECTORY` at the end.
    /// - `EEXIST` with `O_CREAT` and `O_EXCL` if it exists.
    /// - `ENOENT` if it does not exist and is not to be made; if its directory does not exist.
    /// - `EISDIR` for writing or making a directory.
    /// - `ELOOP` for a symbolic link without `O_PATH`.
    /// - `ENXIO` for a virtual device: its number is in [`stat`](Self::stat).
    /// - `EROFS` for writing to the source of a merge or to a store that stopped.
    /// - what the host answers: `EACCES`, `ETXTBSY`, `ENOSPC`.
    pub fn open(
        &self,
        path: &[u8],
        flags: OFlags,
        permissions: u32,
        caller: Caller,
    ) -> Result<OpenFile> {
        Ok(self.open_seen(path, flags, permissions, caller)?.0)
    }

    /// The same, with what [`stat`](Self::stat) says of the file where it was made and that is known from there.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn open_seen(
        &self,
        path: &[u8],
        flags: OFlags,
        permissions: u32,
        caller: Caller,
    ) -> Result<(OpenFile, Option<Stat>)> {
        let path = canonical(path)?;
        let unseen = |file| (file, None);
        if flags.contains(OFlags::PATH) {
            return self.open_read(path, flags).map(unseen);
        }
        if flags.contains(OFlags::TMPFILE) {
            return self.tmpfile(path, flags, permissions, caller).map(unseen);
        }
        let creates = flags.contains(OFlags::CREATE);
        let writes = !(flags & (OFlags::RWMODE | OFlags::TRUNC)).is_empty();
        if !creates && !writes {
            return self.open_read(path, flags).map(unseen);
        }
        match self.look(path)? {
            Some(_) if creates && flags.contains(OFlags::EXCL) => Err(Errno::EEXIST),
            Some(seen) if seen.stat.is_directory() => Err(Errno::EISDIR),
            Some(seen) if seen.stat.kind() == FileKind::Symlink => Err(Errno::ELOOP),
            Some(_) if flags.contains(OFlags::DIRECTORY) => Err(Errno::ENOTDIR),
            Some(seen) if writes => {
                let opened = self.open_write(path, &seen, flags);
                self.note_change();
                opened.map(unseen)
            }
            Some(_) => {
                self.open_read(path, flags.difference(OFlags::CREATE | OFlags::EXCL)).map(unseen)
            }
            None if creates && flags.contains(OFlags::DIRECTORY) => Err(Errno::EINVAL),
            None if creates => self.create(path, flags, permissions, caller),
            None => Err(Errno::ENOENT),
        }
    }

    fn open_read(&self, path: &[u8], flags: OFlags) -> Result<OpenFile> {
        match (self.resolve(path)?, self.source()) {
            (Resolved::Source | Resolved::Merged, Source::Tree(tree)) => tree.open(path, flags),
            (Resolved::Upper(entry), Source::Store(store)) => {
                let is_device =
                    matches!(entry.kind(), FileKind::CharDevice | FileKind::BlockDevice);
                if is_device && !flags.contains(OFlags::PATH) {
                    return Err(Errno::ENXIO);
                }
                Ok(store.open_upper(path, flags)?)
            }
            (Resolved::Merged, _) if path.is_empty() => self.lower().open(path, flags),
            (Resolved::Merged, Source::Store(store)) => Ok(store.open_upper(path, flags)?),
            (Resolved::Linked(group), Source::Store(store)) => Ok(store.open_group(&group, flags)?),
            _ => self.lower().open(path, flags),
        }
    }

    fn open_write(&self, path: &[u8], seen: &Seen, flags: OFlags) -> Result<OpenFile> {
        let flags = flags.difference(OFlags::CREATE | OFlags::EXCL);
        if seen.stat.kind() != FileKind::Regular {
            // Writing to a FIFO, socket or device changes no file.
            return self.open_read(path, flags.difference(OFlags::TRUNC));
        }
        let store = match self.actor(path)? {
            Actor::Real(tree) => return tree.try_open(path, flags, 0),
            Actor::Store(store) => store,
        };
        if self.is_mincow() && matches!(seen.at, Resolved::Lower | Resolved::Shadow(_)) {
            match self.lower().try_open(path, flags, 0) {
                Err(e) if is_refusal(e) => {}
                other => return other,
            }
        }
        self.copy_up(store, path, seen, !flags.contains(OFlags::TRUNC))?;
        Ok(store.open_upper(path, flags)?)
    }

    /// Makes a regular file that was not there.
    fn create(
        &self,
        path: &[u8],
        flags: OFlags,
        permissions: u32,
        caller: Caller,
    ) -> Result<(OpenFile, Option<Stat>)> {
        let _change = self.lock();
        let parent = self.find_parent(path)?;
        let flags = flags | OFlags::CREATE | OFlags::EXCL;
        let store = match self.actor(path)? {
            Actor::Real(tree) => {
                let fd = tree.try_open(path, flags, permissions)?;
                tree.give(path, caller)?;
                return Ok((fd, None));
            }
            Actor::Store(store) => store,
        };
        let new = self.new_file(&parent, permissions, caller, false);
        if self.tries_lower(store, path) {
            // Where modes are virtual, one that would shut us out of the file below stays virtual.
            let real = if self.options().vstat { permissions | 0o600 } else { permissions };
            match self.lower().try_open(path, flags, real) {
                Ok(fd) => {
                    self.lower().give(path, caller)?;
                    let stat = fd.stat()?;
                    let is_own = self.own_as(store, path, &new, &stat)?;
                    return Ok((fd, is_own.then(|| self.shown(stat))));
                }
                Err(e) if is_refusal(e) => {}
                Err(e) => return Err(e),
            }
        }
        self.copy_up_parents(store, path)?;
        let (fd, stat) = store.create_seen(path, &new, flags, self.options().vstat)?;
        Ok((fd, Some(self.shown(stat))))
    }

    /// Opens a file without a name in the directory `path`.
    fn tmpfile(
        &self,
        path: &[u8],
        flags: OFlags,
        permissions: u32,
        caller: Caller,
    ) -> Result<OpenFile> {
        let seen = self.find(path)?;
        if !seen.stat.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        if (flags & OFlags::RWMODE).is_empty() {
            return Err(Errno::EINVAL);
        }
        match self.actor(path)? {
            Actor::Real(tree) => tree.try_open(path, flags, permissions),
            Actor::Store(store) => {
                if self.is_mincow() && seen.at == Resolved::Lower {
                    match self.lower().try_open(path, flags, permissions) {
                        Err(e) if is_refusal(e) => {}
                        other => return other,
                    }
                }
                Ok(store.tmpfile(&self.new_file(&seen.stat, permissions, caller, false), flags)?)
            }
        }
    }

    /// Names at `path` a file without a name that [`open`](Self::open) gave.
    ///
    /// # Errors
    /// In check order:
    /// - `EINVAL`, `ENAMETOOLONG` if `path` is not canonical.
    /// - `ENOENT`, `ENOTDIR` if its directory is not there; `EEXIST` if it exists.
    /// - `EXDEV` if the file is not the store's: the host can name it, if its directory is the host's.
    pub fn link_tmpfile(&self, fd: &OpenFile, path: &[u8]) -> Result<()> {
        let path = canonical(path)?;
        let _change = self.lock();
        self.find_parent(path)?;
        if self.look(path)?.is_some() {
            return Err(Errno::EEXIST);
        }
        match self.actor(path)? {
            Actor::Real(_) => Err(Errno::EXDEV),
            Actor::Store(store) => {
                self.copy_up_parents(store, path)?;
                Ok(store.link_tmpfile(fd, path)?)
            }
        }
    }

    /// What a file made by `caller` in the directory `parent` looks like.
    pub(crate) fn new_file(
        &self,
        parent: &Stat,
        permissions: u32,
        caller: Caller,
        is_directory: bool,
    ) -> New {
        let mut new = New { permissions, owner: None };
        let inherits = parent.mode & libc_bits::S_ISGID != 0;
        if inherits && is_directory {
            new.permissions |= libc_bits::S_ISGID;
        }
        if self.options().vstat {
            let gid = if inherits { parent.gid } else { caller.gid };
            new.owner = Some((caller.uid, gid));
        }
        new
    }

    /// Whether mincow asks the lower tree before it makes `path`: the store knows nothing of the name, and
    /// the lower directory shows.
    pub(crate) fn tries_lower(&self, store: &Store, path: &[u8]) -> bool {
        self.is_mincow()
            && self.lower_shows(store, path)
            && matches!(store.lookup(path), Ok(cow_store::State::Absent))
    }

    /// A file was made for real: where owners are virtual and the host's is another, the store notes it.
    pub(crate) fn own(&self, store: &Store, path: &[u8], new: &New) -> Result<()> {
        if new.owner.is_none() {
            return Ok(());
        }
        self.own_as(store, path, new, &self.lower().stat(path)?).map(drop)
    }

    /// The same of a file with the attributes `stat`; whether those are what was wanted.
    fn own_as(&self, store: &Store, path: &[u8], new: &New, stat: &Stat) -> Result<bool> {
        let Some((uid, gid)) = new.owner else { return Ok(true) };
        let permissions = match stat.kind() {
            FileKind::Symlink => 0o777,
            _ => new.permissions,
        };
        if (stat.uid, stat.gid, stat.permissions()) == (uid, gid, permissions) {
            return Ok(true);
        }
        let change =
            cow_store::Change { permissions: Some(permissions), uid: Some(uid), gid: Some(gid) };
        if stat.is_directory() {
            let seen = Seen { at: Resolved::Lower, stat: *stat };
            self.copy_up(store, path, &seen, true)?;
            store.set_stat(path, &change)?;
        } else {
            store.shadow(path, stat, &change)?;
        }
        Ok(false)
    }
}

/// Bits of `st_mode`, from stat(2).
pub(crate) mod libc_bits {
    /// `S_ISUID`
    pub(crate) const S_ISUID: u32 = 0o4000;
    /// `S_ISGID`
    pub(crate) const S_ISGID: u32 = 0o2000;
    /// `S_IXGRP`
    pub(crate) const S_IXGRP: u32 = 0o010;
}
