//! Open files of an overlay that a driver serves, and open directories.

use super::OverlayFs;
use abi::fs::{
    Attr, Cookie, DirEntry, DirSink, FileSystem, Handle, Ino, OpenFlags, Opened, SetAttr,
};
use abi::{Errno, Result};
use cow_store::dir::OpenFile;
use std::sync::Arc;
use viewfs::{Listing, OFlags};

/// What a handle is.
pub(super) enum Open {
    /// A directory as it was when it was opened.
    Listing(Arc<Listing>),
    /// A regular file. `is_lower`: it was opened in the tree below, and its data may move to the store.
    File { ino: u64, file: Arc<OpenFile>, is_lower: bool },
}

impl Open {
    /// The open file, if it is of this inode.
    pub(super) fn file_of(&self, wanted: u64) -> Option<Arc<OpenFile>> {
        match self {
            Self::File { ino, file, .. } if *ino == wanted => Some(Arc::clone(file)),
            _ => None,
        }
    }
}

/// The driver's own handle.
///
/// # Errors
/// - `EBADF` if the file is no driver's.
pub(super) fn of_driver(file: &OpenFile) -> Result<(&Arc<dyn FileSystem>, Handle)> {
    match file {
        OpenFile::Tree(tree) => Ok((tree.file_system(), tree.handle()?)),
        OpenFile::Host(_) => Err(Errno::EBADF),
    }
}

pub(super) fn flags_of(flags: OpenFlags) -> OFlags {
    let mut f = match (flags.contains(OpenFlags::READ), flags.contains(OpenFlags::WRITE)) {
        (true, true) => OFlags::RDWR,
        (false, true) => OFlags::WRONLY,
        _ => OFlags::RDONLY,
    };
    f.set(OFlags::TRUNC, flags.contains(OpenFlags::TRUNCATE));
    f.set(OFlags::EXCL, flags.contains(OpenFlags::EXCLUSIVE));
    f.set(OFlags::APPEND, flags.contains(OpenFlags::APPEND));
    f.set(OFlags::SYNC, flags.contains(OpenFlags::SYNC));
    f | OFlags::CLOEXEC
}

impl OverlayFs {
    /// Keeps `open` under a new handle.
    pub(super) fn keep(&self, open: Open) -> Handle {
        let mut table = self.table();
        if let Open::File { ino, .. } = &open {
            table.numbers.opened(*ino);
        }
        let number = table.numbers.fresh();
        table.open.insert(number, open);
        Handle(number)
    }

    pub(super) fn opened(&self, ino: Ino, path: &[u8], file: OpenFile) -> Opened {
        match file {
            OpenFile::Host(fd) => Opened::Host(fd),
            file @ OpenFile::Tree(_) => {
                let is_lower = self.is_in_lower(path);
                let open = Open::File { ino: ino.0, file: Arc::new(file), is_lower };
                Opened::Handle(self.keep(open))
            }
        }
    }

    pub(super) fn close(&self, handle: Handle) {
        let mut table = self.table();
        let gone = table.open.remove(&handle.0);
        if let Some(Open::File { ino, .. }) = &gone {
            table.numbers.closed(*ino);
        }
        // The driver is told without the lock.
        drop(table);
        drop(gone);
    }

    /// The open file of a handle. One of the tree below whose data has moved to the store since is opened there:
    /// all who have an inode open see the same bytes.
    pub(super) fn current(&self, handle: Handle) -> Result<Arc<OpenFile>> {
        let (ino, path) = {
            let table = self.table();
            match table.open.get(&handle.0) {
                None => return Err(Errno::EBADF),
                Some(Open::Listing(_)) => return Err(Errno::EISDIR),
                Some(Open::File { file, is_lower: false, .. }) => return Ok(Arc::clone(file)),
                Some(Open::File { ino, file, .. }) => match table.numbers.path(*ino) {
                    Some(path) => (*ino, path.to_vec()),
                    None => return Ok(Arc::clone(file)),
                },
            }
        };
        if self.is_in_lower(&path) {
            let table = self.table();
            return table.open.get(&handle.0).and_then(|o| o.file_of(ino)).ok_or(Errno::EBADF);
        }
        let file = Arc::new(self.overlay.open(&path, OFlags::RDONLY, 0, Default::default())?);
        let open = Open::File { ino, file: Arc::clone(&file), is_lower: false };
        let old = self.table().open.insert(handle.0, open);
        drop(old);
        Ok(file)
    }

    pub(super) fn list(
        &self,
        handle: Handle,
        cookie: Cookie,
        sink: &mut DirSink<'_>,
    ) -> Result<()> {
        let listing = match self.table().open.get(&handle.0) {
            None => return Err(Errno::EBADF),
            Some(Open::File { .. }) => return Err(Errno::ENOTDIR),
            Some(Open::Listing(listing)) => Arc::clone(listing),
        };
        for (entry, next) in listing.after(cookie) {
            let offered =
                DirEntry { ino: Ino(entry.ino), kind: entry.kind, name: &entry.name, next };
            if !sink(offered) {
                break;
            }
        }
        Ok(())
    }

    /// The attributes of a file without a name that is still open.
    pub(super) fn attr_of_nameless(&self, ino: Ino) -> Result<Attr> {
        let file = self.table().numbers.nameless(ino.0).ok_or(Errno::ESTALE)?;
        let stat = self.overlay.stat_fd(&file).or_else(|_| file.stat())?;
        Ok(Attr { ino, nlink: 0, ..stat.to_attr() })
    }

    /// Changes the attributes of a file without a name that is still open.
    ///
    /// # Errors
    /// - `ESTALE` if it is not; `EPERM` for owners and times, which nobody could see.
    pub(super) fn change_nameless(&self, ino: Ino, changes: &SetAttr) -> Result<Attr> {
        let file = self.table().numbers.nameless(ino.0).ok_or(Errno::ESTALE)?;
        if let Some(size_bytes) = changes.size_bytes {
            file.set_len(size_bytes)?;
        }
        if let Some(perm) = changes.perm {
            file.chmod(u32::from(perm))?;
        }
        self.attr_of_nameless(ino)
    }

    /// A directory that is the host's own, or partly: its path in the tree below, and its number.
    pub(super) fn host_directory(&self, path: &[u8]) -> Option<(Vec<u8>, Ino)> {
        let at = self.overlay.resolve(path).ok()?;
        let shows = matches!(at, viewfs::Resolved::Lower | viewfs::Resolved::Merged);
        let is_directory = shows && self.overlay.lower_has_directory(path);
        if !is_directory { None } else { Some((path.to_vec(), self.attr(path).ok()?.ino)) }
    }
}
