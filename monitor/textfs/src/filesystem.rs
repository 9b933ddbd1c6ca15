//! The directory.

use crate::Texts;
use abi::fs::{
    Attr, Caller, Cookie, DirEntry, DirSink, FileKind, FileSystem, Handle, Ino, Name, OpenFlags,
    Opened, SetAttr, StatFs, Timestamp,
};
use abi::{Errno, Result};

const ROOT: Ino = Ino(1);
/// The inode of file number 0.
const FIRST: u64 = 2;

/// A directory of texts.
pub struct TextFs<T> {
    texts: T,
    uid: u32,
    gid: u32,
    born: Timestamp,
}

impl<T: Texts> TextFs<T> {
    /// The directory of these texts, which belongs to `uid` and `gid`.
    #[must_use]
    pub fn new(texts: T, uid: u32, gid: u32) -> Self {
        Self { texts, uid, gid, born: Timestamp::now() }
    }

    fn attr(&self, ino: Ino, kind: FileKind, perm: u16) -> Attr {
        let (uid, gid, born) = (self.uid, self.gid, self.born);
        Attr { uid, gid, atime: born, mtime: born, ctime: born, ..Attr::new(ino, kind, perm) }
    }
}

fn number(ino: u64) -> Result<u64> {
    ino.checked_sub(FIRST).ok_or(Errno::ESTALE)
}

fn ino(number: u64) -> Ino {
    Ino(number.saturating_add(FIRST))
}

impl<T: Texts> FileSystem for TextFs<T> {
    fn root(&self) -> Ino {
        ROOT
    }

    fn statfs(&self) -> Result<StatFs> {
        Ok(StatFs { magic: self.texts.magic(), ..StatFs::default() })
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn has_live_files(&self) -> bool {
        true
    }

    fn lookup(&self, parent: Ino, name: Name<'_>) -> Result<Attr> {
        if parent != ROOT {
            return Err(Errno::ENOTDIR);
        }
        self.getattr(ino(self.texts.find(name.as_bytes()).ok_or(Errno::ENOENT)?))
    }

    fn getattr(&self, ino: Ino) -> Result<Attr> {
        if ino == ROOT {
            return Ok(self.attr(ino, FileKind::Directory, 0o755));
        }
        let number = number(ino.0)?;
        let perm = self.texts.perm(number).ok_or(Errno::ESTALE)?;
        // What is only written has no length.
        let length = self.texts.read(number).map_or(0, |text| text.len());
        let size_bytes = u64::try_from(length).unwrap_or(u64::MAX);
        Ok(Attr { size_bytes, ..self.attr(ino, FileKind::Regular, perm) })
    }

    fn readlink(&self, ino: Ino) -> Result<Vec<u8>> {
        self.getattr(ino)?;
        Err(Errno::EINVAL)
    }

    fn open(&self, _caller: Caller, ino: Ino, flags: OpenFlags) -> Result<Opened> {
        let is_directory = self.getattr(ino)?.kind == FileKind::Directory;
        if is_directory && flags.intersects(OpenFlags::WRITE | OpenFlags::TRUNCATE) {
            return Err(Errno::EISDIR);
        }
        // Nothing is kept of an open file, so its handle is its inode.
        Ok(Opened::Handle(Handle(ino.0)))
    }

    fn release(&self, _handle: Handle) {}

    fn read(&self, handle: Handle, buf: &mut [u8], offset: u64) -> Result<usize> {
        if handle.0 == ROOT.0 {
            return Err(Errno::EISDIR);
        }
        let text = self.texts.read(number(handle.0)?)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
        let rest = text.get(start..).unwrap_or_default();
        for (to, from) in buf.iter_mut().zip(rest) {
            *to = *from;
        }
        Ok(rest.len().min(buf.len()))
    }

    /// A cookie is one more than the number behind which it goes on.
    fn readdir(&self, handle: Handle, cookie: Cookie, sink: &mut DirSink<'_>) -> Result<()> {
        if handle.0 != ROOT.0 {
            return Err(Errno::ENOTDIR);
        }
        for (number, name) in self.texts.list(cookie.0) {
            let next = Cookie(number.saturating_add(1));
            let kind = Some(FileKind::Regular);
            if !sink(DirEntry { ino: ino(number), kind, name: &name, next }) {
                break;
            }
        }
        Ok(())
    }

    /// Truncation means nothing here; owner and permission stay.
    fn setattr(&self, _caller: Caller, ino: Ino, changes: &SetAttr) -> Result<Attr> {
        if changes.perm.is_some() || changes.uid.is_some() || changes.gid.is_some() {
            return Err(Errno::EPERM);
        }
        self.getattr(ino)
    }

    /// One write is one setting, wherever it is written.
    fn write(&self, handle: Handle, buf: &[u8], _offset: u64) -> Result<usize> {
        self.texts.write(number(handle.0).map_err(|_| Errno::EBADF)?, buf)?;
        Ok(buf.len())
    }

    fn create(
        &self,
        _caller: Caller,
        parent: Ino,
        name: Name<'_>,
        _perm: u16,
        _flags: OpenFlags,
    ) -> Result<(Attr, Opened)> {
        match self.lookup(parent, name) {
            Ok(_) => Err(Errno::EEXIST),
            Err(Errno::ENOENT) => Err(Errno::EACCES),
            Err(other) => Err(other),
        }
    }
}
