//! A host and drivers that do what a test wants.

use abi::block::{BlockDevice, Geometry};
use abi::fs::{
    Attr, Caller, Cookie, DirSink, FileSystem, FileSystemType, FsSource, Handle, Ino, Name,
    OpenFlags, Opened, StatFs,
};
use abi::host::{Epoch, Host};
use abi::module::{MountError, MountRequest};
use abi::options::Options;
use abi::{Errno, Result};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use umfuse::memfs::MemFs;

/// A device of zeroes.
pub(crate) struct Zeroes;

impl BlockDevice for Zeroes {
    fn geometry(&self) -> Geometry {
        Geometry { block_size: 512, size_bytes: 1 << 20, read_only: false }
    }
    fn read_at(&self, buf: &mut [u8], _: u64) -> Result<()> {
        buf.fill(0);
        Ok(())
    }
    fn write_at(&self, _: &[u8], _: u64) -> Result<()> {
        Ok(())
    }
    fn flush(&self) -> Result<()> {
        Ok(())
    }
}

/// A host with the images `/image`, and `/protected` that can't be written.
pub(crate) struct FakeHost;

impl Host for FakeHost {
    fn epoch(&self) -> Epoch {
        Epoch(1)
    }
    fn open_device(&self, path: &str, read_only: bool) -> Result<Arc<dyn BlockDevice>> {
        match path {
            "/image" => Ok(Arc::new(Zeroes)),
            "/protected" if read_only => Ok(Arc::new(Zeroes)),
            "/protected" => Err(Errno::EACCES),
            _ => Err(Errno::ENOENT),
        }
    }
    fn open_tree(&self, _: &str) -> Result<Arc<dyn FileSystem>> {
        Err(Errno::ENOENT)
    }
    fn open_host_directory(&self, _: &str) -> Result<OwnedFd> {
        Err(Errno::ENOENT)
    }
}

/// A type that needs a device and mounts an empty `MemFs`.
#[derive(Clone, Default)]
pub(crate) struct FakeType {
    pub(crate) experimental: bool,
    /// Refuses to be written.
    pub(crate) reads_only: bool,
    /// Takes `uid=` itself.
    pub(crate) takes_uid: bool,
    /// Panics when mounted.
    pub(crate) panics: bool,
}

impl FileSystemType for FakeType {
    fn name(&self) -> &'static str {
        "umfusefake"
    }
    fn aliases(&self) -> &'static [&'static str] {
        &["umfusesham"]
    }
    fn needs_device(&self) -> bool {
        true
    }
    fn is_writing_experimental(&self) -> bool {
        self.experimental
    }
    fn mount(
        &self,
        source: FsSource,
        read_only: bool,
        options: &mut Options,
    ) -> core::result::Result<Arc<dyn FileSystem>, MountError> {
        assert!(!self.panics, "a bug while mounting");
        assert!(matches!(source, FsSource::Device(_)));
        if self.takes_uid {
            options.take_number("uid")?;
        }
        if self.reads_only && !read_only {
            return Err(MountError::new(Errno::EROFS, "the format can't be written"));
        }
        Ok(Arc::new(MemFs::new(1 << 20)))
    }
}

/// A driver that panics when `bad` is looked up.
pub(crate) struct Fragile;

impl FileSystem for Fragile {
    fn root(&self) -> Ino {
        Ino(1)
    }
    fn statfs(&self) -> Result<StatFs> {
        Err(Errno::EIO)
    }
    fn lookup(&self, _: Ino, name: Name<'_>) -> Result<Attr> {
        assert_ne!(name.as_bytes(), b"bad", "a bug in the driver");
        Err(Errno::ENOENT)
    }
    fn getattr(&self, _: Ino) -> Result<Attr> {
        Err(Errno::ESTALE)
    }
    fn readlink(&self, _: Ino) -> Result<Vec<u8>> {
        Err(Errno::EINVAL)
    }
    fn open(&self, _: Caller, _: Ino, _: OpenFlags) -> Result<Opened> {
        Err(Errno::ENXIO)
    }
    fn release(&self, _: Handle) {}
    fn read(&self, _: Handle, _: &mut [u8], _: u64) -> Result<usize> {
        Err(Errno::EBADF)
    }
    fn readdir(&self, _: Handle, _: Cookie, _: &mut DirSink<'_>) -> Result<()> {
        Err(Errno::EBADF)
    }
}

pub(crate) fn name(text: &str) -> Name<'_> {
    Name::new(text.as_bytes()).unwrap()
}

pub(crate) fn request(fs_type: &str, source: &str, options: &str) -> MountRequest {
    MountRequest {
        fs_type: fs_type.into(),
        source: source.into(),
        target: "/mnt".into(),
        read_only: false,
        options: Options::parse(options),
    }
}

/// Opens a new file for reading and writing.
pub(crate) fn create(fs: &dyn FileSystem, parent: Ino, text: &str) -> Result<(Attr, Handle)> {
    let flags = OpenFlags::READ | OpenFlags::WRITE;
    match fs.create(Caller::default(), parent, name(text), 0o644, flags)? {
        (attr, Opened::Handle(handle)) => Ok((attr, handle)),
        (_, Opened::Host(_)) => panic!("there are no host files here"),
    }
}

pub(crate) fn open(fs: &dyn FileSystem, ino: Ino, flags: OpenFlags) -> Result<Handle> {
    match fs.open(Caller::default(), ino, flags)? {
        Opened::Handle(handle) => Ok(handle),
        Opened::Host(_) => panic!("there are no host files here"),
    }
}

/// All names of a directory.
pub(crate) fn names(fs: &dyn FileSystem, ino: Ino) -> Result<Vec<String>> {
    let handle = open(fs, ino, OpenFlags::READ)?;
    let mut names = Vec::new();
    let result = fs.readdir(handle, Cookie(0), &mut |entry| {
        names.push(String::from_utf8(entry.name.to_vec()).unwrap());
        true
    });
    fs.release(handle);
    result.map(|()| names)
}
