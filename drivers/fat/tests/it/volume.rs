//! A mounted volume over a disk in memory, addressed by paths.

use crate::device::Ram;
use abi::fs::{
    Attr, Caller, Cookie, FileKind, FileSystem, FileSystemType, FsSource, Handle, Ino, Name,
    OpenFlags, Opened, RenameFlags, SetAttr,
};
use abi::module::MountError;
use abi::options::Options;
use abi::{Errno, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) const ME: Caller = Caller { uid: 0, gid: 0, pid: 1 };
pub(crate) const READ_WRITE: OpenFlags = OpenFlags::READ.union(OpenFlags::WRITE);

/// Everything on a volume: path to contents, `None` for directories.
pub(crate) type Tree = BTreeMap<String, Option<Vec<u8>>>;

pub(crate) struct Volume {
    pub(crate) device: Arc<Ram>,
    pub(crate) fs: Arc<dyn FileSystem>,
}

pub(crate) fn mount(
    device: &Arc<Ram>,
    read_only: bool,
    options: &str,
) -> std::result::Result<Volume, MountError> {
    let source = FsSource::Device(device.clone());
    let mut options = Options::parse(options);
    let fs = fat::FatType.mount(source, read_only, &mut options)?;
    options.finish()?;
    Ok(Volume { device: device.clone(), fs })
}

impl Volume {
    pub(crate) fn new(image: Vec<u8>) -> Self {
        mount(&Arc::new(Ram::new(image)), false, "").unwrap()
    }

    pub(crate) fn read_only(image: Vec<u8>) -> Self {
        mount(&Arc::new(Ram::new(image)), true, "").unwrap()
    }

    /// The parent directory and the last component of `path`.
    pub(crate) fn parent<'a>(&self, path: &'a str) -> Result<(Ino, Name<'a>)> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.ino(parent)?, Name::new(name.as_bytes())?))
    }

    pub(crate) fn attr(&self, path: &str) -> Result<Attr> {
        let mut ino = self.fs.root();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            ino = self.fs.lookup(ino, Name::new(part.as_bytes())?)?.ino;
        }
        self.fs.getattr(ino)
    }

    pub(crate) fn ino(&self, path: &str) -> Result<Ino> {
        Ok(self.attr(path)?.ino)
    }

    pub(crate) fn open(&self, path: &str, flags: OpenFlags) -> Result<Handle> {
        self.open_ino(self.ino(path)?, flags)
    }

    pub(crate) fn open_ino(&self, ino: Ino, flags: OpenFlags) -> Result<Handle> {
        match self.fs.open(ME, ino, flags)? {
            Opened::Handle(handle) => Ok(handle),
            Opened::Host(_) => Err(Errno::EIO),
        }
    }

    pub(crate) fn create(&self, path: &str) -> Result<Handle> {
        let (parent, name) = self.parent(path)?;
        match self.fs.create(ME, parent, name, 0o644, READ_WRITE)? {
            (_, Opened::Handle(handle)) => Ok(handle),
            (_, Opened::Host(_)) => Err(Errno::EIO),
        }
    }

    /// Makes a file with contents.
    pub(crate) fn put(&self, path: &str, contents: &[u8]) -> Result<()> {
        let handle = self.create(path)?;
        let written = self.fs.write(handle, contents, 0);
        self.fs.release(handle);
        let full = written? == contents.len();
        if full { Ok(()) } else { Err(Errno::ENOSPC) }
    }

    pub(crate) fn mkdir(&self, path: &str) -> Result<Attr> {
        let (parent, name) = self.parent(path)?;
        self.fs.mkdir(ME, parent, name, 0o755)
    }

    pub(crate) fn unlink(&self, path: &str) -> Result<()> {
        let (parent, name) = self.parent(path)?;
        self.fs.unlink(ME, parent, name)
    }

    pub(crate) fn rmdir(&self, path: &str) -> Result<()> {
        let (parent, name) = self.parent(path)?;
        self.fs.rmdir(ME, parent, name)
    }

    pub(crate) fn rename(&self, from: &str, to: &str, flags: RenameFlags) -> Result<()> {
        let (parent, name) = self.parent(from)?;
        let (new_parent, new_name) = self.parent(to)?;
        self.fs.rename(ME, parent, name, new_parent, new_name, flags)
    }

    pub(crate) fn set_length(&self, path: &str, length: u64) -> Result<Attr> {
        let changes = SetAttr { size_bytes: Some(length), ..SetAttr::default() };
        self.fs.setattr(ME, self.ino(path)?, &changes)
    }

    pub(crate) fn contents(&self, handle: Handle) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        let mut buf = vec![0; 70_000];
        loop {
            match self.fs.read(handle, &mut buf, all.len() as u64)? {
                0 => return Ok(all),
                length => all.extend_from_slice(&buf[..length]),
            }
        }
    }

    pub(crate) fn get(&self, path: &str) -> Result<Vec<u8>> {
        self.get_ino(self.ino(path)?)
    }

    pub(crate) fn get_ino(&self, ino: Ino) -> Result<Vec<u8>> {
        let handle = self.open_ino(ino, OpenFlags::READ)?;
        let contents = self.contents(handle);
        self.fs.release(handle);
        contents
    }

    /// The entries of a directory: name, type and number.
    pub(crate) fn list(&self, ino: Ino) -> Result<Vec<(Vec<u8>, FileKind, Ino)>> {
        let handle = self.open_ino(ino, OpenFlags::READ)?;
        let mut entries = Vec::new();
        let done = self.fs.readdir(handle, Cookie(0), &mut |entry| {
            entries.push((entry.name.to_vec(), entry.kind.unwrap(), entry.ino));
            true
        });
        self.fs.release(handle);
        done.map(|()| entries)
    }

    /// Everything, by its path; each number of readdir is that of lookup.
    pub(crate) fn tree(&self) -> Result<Tree> {
        let mut tree = Tree::new();
        self.walk(self.fs.root(), "", &mut tree, &mut |_, _| {})?;
        Ok(tree)
    }

    pub(crate) fn walk(
        &self,
        dir: Ino,
        path: &str,
        tree: &mut Tree,
        visit: &mut dyn FnMut(&str, &Attr),
    ) -> Result<()> {
        for (name, kind, ino) in self.list(dir)? {
            let attr = self.fs.lookup(dir, Name::new(&name)?)?;
            assert_eq!((attr.kind, attr.ino), (kind, ino), "{}", String::from_utf8_lossy(&name));
            let name = String::from_utf8_lossy(&name);
            let path = if path.is_empty() { name.into_owned() } else { format!("{path}/{name}") };
            visit(&path, &attr);
            if kind == FileKind::Directory {
                self.walk(ino, &path, tree, visit)?;
                tree.insert(path, None);
            } else {
                tree.insert(path, Some(self.get_ino(ino)?));
            }
            self.fs.forget(ino, 1);
        }
        Ok(())
    }

    /// The image as it is after a sync.
    pub(crate) fn synced(&self) -> Vec<u8> {
        self.fs.sync().unwrap();
        self.device.bytes()
    }
}
