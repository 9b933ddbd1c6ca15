//! The directory of a mount: `register`, `status`, and a file for each entry.

use crate::registry::{Command, Registry};
use abi::fs::{
    Attr, Caller, Cookie, DirEntry, DirSink, FileKind, FileSystem, Handle, Ino, Name, OpenFlags,
    Opened, SetAttr, StatFs, Timestamp,
};
use abi::host::Host;
use abi::{Errno, Result};
use std::sync::Arc;

const ROOT: Ino = Ino(1);
const REGISTER: Ino = Ino(2);
const STATUS: Ino = Ino(3);
/// The inode of entry number 0.
const FIRST: u64 = 16;
/// `BINFMTFS_MAGIC` of linux/magic.h.
const MAGIC: u64 = 0x4249_4e4d;

/// The directory.
pub struct FormatFs {
    registry: Arc<Registry>,
    host: Arc<dyn Host>,
    uid: u32,
    gid: u32,
    born: Timestamp,
}

impl FormatFs {
    /// The directory of a registry, which belongs to `uid` and `gid`. Interpreters are looked up in `host`.
    #[must_use]
    pub fn new(registry: Arc<Registry>, host: Arc<dyn Host>, uid: u32, gid: u32) -> Self {
        Self { registry, host, uid, gid, born: Timestamp::now() }
    }

    /// The contents of a file.
    fn text(&self, ino: Ino) -> Result<Vec<u8>> {
        match ino {
            ROOT => Err(Errno::EISDIR),
            // As of any file without a read operation.
            REGISTER => Err(Errno::EINVAL),
            STATUS => Ok(self.registry.status()),
            Ino(n) => self.registry.show(entry_of(n)?).ok_or(Errno::ESTALE),
        }
    }

    fn attr(&self, ino: Ino, kind: FileKind, perm: u16, size_bytes: u64) -> Attr {
        Attr {
            ino,
            kind,
            perm,
            nlink: if kind == FileKind::Directory { 2 } else { 1 },
            uid: self.uid,
            gid: self.gid,
            rdev: Default::default(),
            size_bytes,
            blocks_512: 0,
            block_size: 4096,
            atime: self.born,
            mtime: self.born,
            ctime: self.born,
            btime: None,
        }
    }

    /// Whether the interpreter of flag `F` is there: as open_exec of the kernel, which wants a regular file.
    fn check_interpreter(&self, path: &[u8]) -> Result<()> {
        let text = std::str::from_utf8(path).map_err(|_| Errno::ENOENT)?;
        match self.host.open_device(text, true) {
            Ok(_) => Ok(()),
            Err(Errno::ENOTBLK) => Err(Errno::EACCES),
            Err(errno) => Err(errno),
        }
    }
}

fn entry_of(ino: u64) -> Result<u64> {
    ino.checked_sub(FIRST).ok_or(Errno::ESTALE)
}

impl FileSystem for FormatFs {
    fn root(&self) -> Ino {
        ROOT
    }

    fn statfs(&self) -> Result<StatFs> {
        Ok(StatFs {
            magic: MAGIC,
            block_size: 4096,
            blocks: 0,
            blocks_free: 0,
            blocks_available: 0,
            files: 0,
            files_free: 0,
            name_bytes_max: 255,
        })
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
        self.getattr(match name.as_bytes() {
            b"register" => REGISTER,
            b"status" => STATUS,
            other => {
                let id = self.registry.find(other).ok_or(Errno::ENOENT)?;
                Ino(id.saturating_add(FIRST))
            }
        })
    }

    fn getattr(&self, ino: Ino) -> Result<Attr> {
        match ino {
            ROOT => Ok(self.attr(ino, FileKind::Directory, 0o755, 0)),
            REGISTER => Ok(self.attr(ino, FileKind::Regular, 0o200, 0)),
            _ => {
                let size = u64::try_from(self.text(ino)?.len()).unwrap_or(0);
                Ok(self.attr(ino, FileKind::Regular, 0o644, size))
            }
        }
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
        let text = self.text(Ino(handle.0))?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
        let rest = text.get(start..).unwrap_or_default();
        for (to, from) in buf.iter_mut().zip(rest) {
            *to = *from;
        }
        Ok(rest.len().min(buf.len()))
    }

    fn readdir(&self, handle: Handle, cookie: Cookie, sink: &mut DirSink<'_>) -> Result<()> {
        if handle.0 != ROOT.0 {
            return Err(Errno::ENOTDIR);
        }
        // A cookie is one more than the inode behind which it goes on.
        let fixed = [(REGISTER.0, b"register".to_vec()), (STATUS.0, b"status".to_vec())];
        let from = cookie.0.saturating_sub(FIRST);
        let entries = self.registry.list(from).into_iter();
        let entries = entries.map(|(id, name)| (id.saturating_add(FIRST), name));
        for (ino, name) in fixed.into_iter().chain(entries).filter(|(ino, _)| *ino >= cookie.0) {
            let entry = DirEntry {
                ino: Ino(ino),
                kind: Some(FileKind::Regular),
                name: &name,
                next: Cookie(ino.saturating_add(1)),
            };
            if !sink(entry) {
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

    /// One write is one registration or command, wherever it is written.
    fn write(&self, handle: Handle, buf: &[u8], _offset: u64) -> Result<usize> {
        match Ino(handle.0) {
            ROOT => return Err(Errno::EBADF),
            REGISTER => self.registry.register(buf, |path| self.check_interpreter(path))?,
            STATUS => self.registry.command(Command::parse(buf)?),
            Ino(n) => self.registry.command_entry(entry_of(n)?, Command::parse(buf)?),
        }
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
