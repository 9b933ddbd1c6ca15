//! A directory of text files that are read and set as a whole, like those of /proc/sys.

use abi::fs::{
    Attr, Caller, Cookie, DirEntry, DirSink, FileKind, FileSystem, Handle, Ino, Name, OpenFlags,
    Opened, SetAttr, StatFs, Timestamp,
};
use abi::{Errno, Result};

const ROOT: Ino = Ino(1);
/// The inode of the first file.
const FIRST: u64 = 2;
/// `PROC_SUPER_MAGIC`: what tells programs that sizes mean little.
const MAGIC: u64 = 0x9fa0;
/// Longer text is no setting.
const TEXT_BYTES_MAX: usize = 4096;

type Get = Box<dyn Fn() -> Vec<u8> + Send + Sync>;
type Set = Box<dyn Fn(&[u8]) -> Result<()> + Send + Sync>;

/// One file.
pub struct TextFile {
    name: &'static str,
    get: Get,
    set: Set,
}

impl TextFile {
    /// A file that shows what `get` says, with a newline, and hands what is written to `set`, without one.
    #[must_use]
    pub fn new(
        name: &'static str,
        get: impl Fn() -> Vec<u8> + Send + Sync + 'static,
        set: impl Fn(&[u8]) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self { name, get: Box::new(get), set: Box::new(set) }
    }
}

/// The directory.
pub struct TextFs {
    files: Vec<TextFile>,
    uid: u32,
    gid: u32,
    born: Timestamp,
}

impl TextFs {
    /// A directory of these files that belongs to `uid` and `gid`.
    #[must_use]
    pub fn new(files: Vec<TextFile>, uid: u32, gid: u32) -> Self {
        Self { files, uid, gid, born: Timestamp::now() }
    }

    fn file(&self, ino: u64) -> Result<&TextFile> {
        let index = ino.checked_sub(FIRST).and_then(|i| usize::try_from(i).ok());
        index.and_then(|i| self.files.get(i)).ok_or(Errno::ESTALE)
    }

    fn ino_of(index: usize) -> Ino {
        Ino(FIRST.saturating_add(index as u64))
    }

    fn attr(&self, ino: Ino, kind: FileKind, perm: u16, nlink: u32, size_bytes: u64) -> Attr {
        Attr {
            ino,
            kind,
            perm,
            nlink,
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
}

fn text(file: &TextFile) -> Vec<u8> {
    let mut text = (file.get)();
    text.push(b'\n');
    text
}

impl FileSystem for TextFs {
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
            files: self.files.len() as u64,
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
        let index = self.files.iter().position(|f| f.name.as_bytes() == name.as_bytes());
        self.getattr(Self::ino_of(index.ok_or(Errno::ENOENT)?))
    }

    fn getattr(&self, ino: Ino) -> Result<Attr> {
        if ino == ROOT {
            return Ok(self.attr(ino, FileKind::Directory, 0o755, 2, 0));
        }
        let size_bytes = text(self.file(ino.0)?).len() as u64;
        Ok(self.attr(ino, FileKind::Regular, 0o644, 1, size_bytes))
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
        let text = text(self.file(handle.0)?);
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
        let done = usize::try_from(cookie.0).unwrap_or(usize::MAX);
        for (index, file) in self.files.iter().enumerate().skip(done) {
            let entry = DirEntry {
                ino: Self::ino_of(index),
                kind: Some(FileKind::Regular),
                name: file.name.as_bytes(),
                next: Cookie((index as u64).saturating_add(1)),
            };
            if !sink(entry) {
                break;
            }
        }
        Ok(())
    }

    /// The length of a setting is what it says; owner and permission stay.
    fn setattr(&self, _caller: Caller, ino: Ino, changes: &SetAttr) -> Result<Attr> {
        if changes.perm.is_some() || changes.uid.is_some() || changes.gid.is_some() {
            return Err(Errno::EPERM);
        }
        self.getattr(ino)
    }

    /// One write is one setting, wherever it is written.
    fn write(&self, handle: Handle, buf: &[u8], _offset: u64) -> Result<usize> {
        let file = self.file(handle.0).map_err(|_| Errno::EBADF)?;
        if buf.len() > TEXT_BYTES_MAX {
            return Err(Errno::EINVAL);
        }
        (file.set)(buf.strip_suffix(b"\n").unwrap_or(buf))?;
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
