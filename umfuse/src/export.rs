//! A driver served to the kernel by `/dev/fuse`: what is mounted here is seen by every process of the host.
//!
//! For checks against the kernel's own idea of a file system and for use without a view. Root, or `fusermount3` where
//! it is installed, makes the mount; it ends with umount(8).

mod attr;
pub(crate) mod reply;

use abi::dev::DevNum;
use abi::fs::{
    Caller, Cookie, FallocateMode, FileKind, FileSystem, Handle, Ino, Name, OpenFlags, Opened,
    RenameFlags, SeekTo, SetAttr, SetTime, XattrFlags,
};
use abi::{Errno, Result};
use attr::Numbers;
use fuser::{
    BackgroundSession, BsdFileFlags, Config, FileHandle, FopenFlags, INodeNo, LockOwner,
    MountOption, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry,
    ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request, SessionACL, TimeOrNow,
    WriteFlags,
};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How an export is mounted.
#[derive(Clone, Debug, Default)]
pub struct ExportOptions {
    /// The source that `mount` shows.
    pub source: String,
    /// The type that `mount` shows behind `fuse.`.
    pub fs_type: String,
    /// Others than the mounting user may come in.
    pub allow_other: bool,
}

/// A mount of an export; it ends when this is dropped.
#[derive(Debug)]
pub struct Exported(BackgroundSession);

impl Exported {
    /// Unmounts and waits for the last call.
    ///
    /// # Errors
    /// - `EBUSY` if files are open.
    pub fn unmount(self) -> Result<()> {
        self.0.umount_and_join().map_err(Errno::from)
    }
}

/// Mounts `filesystem` at the directory `target` and serves it from another thread.
///
/// # Errors
/// - `ENODEV`, `ENOENT`, `EACCES`, `EPERM` where there is no `/dev/fuse` to use.
/// - those of mount(2).
pub fn spawn(
    filesystem: Arc<dyn FileSystem>,
    target: &Path,
    options: &ExportOptions,
) -> Result<Exported> {
    let config = config(&*filesystem, options);
    let session = fuser::spawn_mount(Export::new(filesystem), target, &config)?;
    Ok(Exported(session))
}

/// The same, and serves until it is unmounted.
///
/// # Errors
/// Those of [`spawn`].
pub fn serve(
    filesystem: Arc<dyn FileSystem>,
    target: &Path,
    options: &ExportOptions,
) -> Result<()> {
    let config = config(&*filesystem, options);
    fuser::mount(Export::new(filesystem), target, &config).map_err(Errno::from)
}

fn config(filesystem: &dyn FileSystem, options: &ExportOptions) -> Config {
    let mut config = Config::default();
    config.mount_options = vec![
        // Permissions are checked above a driver; here the kernel is above.
        MountOption::DefaultPermissions,
        if filesystem.is_read_only() { MountOption::RO } else { MountOption::RW },
    ];
    if !options.source.is_empty() {
        config.mount_options.push(MountOption::FSName(options.source.clone()));
    }
    if !options.fs_type.is_empty() {
        config.mount_options.push(MountOption::Subtype(options.fs_type.clone()));
    }
    config.acl = if options.allow_other { SessionACL::All } else { SessionACL::Owner };
    config.n_threads = Some(4);
    config
}

struct Export {
    fs: Arc<dyn FileSystem>,
    numbers: Numbers,
    /// How long the kernel may believe an answer: nobody but the kernel changes anything.
    valid: Duration,
}

fn caller(request: &Request) -> Caller {
    let pid = i32::try_from(request.pid()).unwrap_or(0);
    Caller { uid: request.uid(), gid: request.gid(), pid }
}

fn name(text: &OsStr) -> Result<Name<'_>> {
    Name::new(text.as_bytes())
}

fn handle(number: FileHandle) -> Handle {
    Handle(number.0)
}

fn open_flags(flags: i32) -> OpenFlags {
    let mut out = match flags & open_bits::MASK {
        open_bits::WRITE_ONLY => OpenFlags::WRITE,
        open_bits::READ_WRITE => OpenFlags::READ | OpenFlags::WRITE,
        _ => OpenFlags::READ,
    };
    out.set(OpenFlags::TRUNCATE, flags & open_bits::TRUNCATE != 0);
    out.set(OpenFlags::EXCLUSIVE, flags & open_bits::EXCLUSIVE != 0);
    out.set(OpenFlags::APPEND, flags & open_bits::APPEND != 0);
    out
}

/// The bits of open(2) on every Linux architecture that there is a driver for.
mod open_bits {
    pub(super) const MASK: i32 = 0o3;
    pub(super) const WRITE_ONLY: i32 = 0o1;
    pub(super) const READ_WRITE: i32 = 0o2;
    pub(super) const EXCLUSIVE: i32 = 0o200;
    pub(super) const TRUNCATE: i32 = 0o1000;
    pub(super) const APPEND: i32 = 0o2000;
}

fn perm(mode: u32) -> u16 {
    u16::try_from(mode & 0o7777).unwrap_or(0)
}

/// A driver has handles only; host files belong to layers that are not exported.
fn opened(opened: Opened) -> Result<FileHandle> {
    match opened {
        Opened::Handle(handle) => Ok(FileHandle(handle.0)),
        Opened::Host(_) => Err(Errno::EOPNOTSUPP),
    }
}

impl Export {
    fn new(fs: Arc<dyn FileSystem>) -> Self {
        let numbers = Numbers::new(fs.root());
        let valid = Duration::from_secs(if fs.is_read_only() { 3600 } else { 1 });
        Self { fs, numbers, valid }
    }

    fn ino(&self, number: INodeNo) -> Ino {
        self.numbers.to_driver(number)
    }

    fn open_any(&self, request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let answer = self.fs.open(caller(request), self.ino(ino), flags).and_then(opened);
        let keep =
            if self.fs.is_read_only() { FopenFlags::FOPEN_KEEP_CACHE } else { FopenFlags::empty() };
        match answer {
            Ok(handle) => reply.opened(handle, keep),
            Err(errno) => reply.error(reply::errno(errno)),
        }
    }
}

impl fuser::Filesystem for Export {
    fn destroy(&mut self) {
        if let Err(errno) = self.fs.sync() {
            tracing::error!("sync before the end of the mount: {errno}");
        }
    }

    fn lookup(&self, _: &Request, parent: INodeNo, text: &OsStr, reply: ReplyEntry) {
        let answer = name(text).and_then(|name| self.fs.lookup(self.ino(parent), name));
        self.entry(answer, reply);
    }

    fn forget(&self, _: &Request, ino: INodeNo, count: u64) {
        self.fs.forget(self.ino(ino), count);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        self.attr(self.fs.getattr(self.ino(ino)), reply);
    }

    fn setattr(
        &self,
        request: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        // Two times that are now are one.
        let now = SetTime::At(SetTime::Now.resolve());
        let time = |time| match attr::set_time(time) {
            SetTime::Now => now,
            at @ SetTime::At(_) => at,
        };
        let changes = SetAttr {
            perm: mode.map(perm),
            uid,
            gid,
            size_bytes: size,
            atime: atime.map(time),
            mtime: mtime.map(time),
        };
        self.attr(self.fs.setattr(caller(request), self.ino(ino), &changes), reply);
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        match self.fs.readlink(self.ino(ino)) {
            Ok(target) => reply.data(&target),
            Err(errno) => reply.error(reply::errno(errno)),
        }
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        text: &OsStr,
        mode: u32,
        _umask: u32,
        rdev: u32,
        reply: ReplyEntry,
    ) {
        let answer = FileKind::from_mode_bits(mode).ok_or(Errno::EINVAL).and_then(|kind| {
            let rdev = DevNum::from_raw(u64::from(rdev));
            let parent = self.ino(parent);
            self.fs.mknod(caller(request), parent, name(text)?, kind, perm(mode), rdev)
        });
        self.entry(answer, reply);
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        text: &OsStr,
        mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        let parent = self.ino(parent);
        let answer =
            name(text).and_then(|name| self.fs.mkdir(caller(request), parent, name, perm(mode)));
        self.entry(answer, reply);
    }

    fn unlink(&self, request: &Request, parent: INodeNo, text: &OsStr, reply: ReplyEmpty) {
        let parent = self.ino(parent);
        reply::empty(name(text).and_then(|n| self.fs.unlink(caller(request), parent, n)), reply);
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, text: &OsStr, reply: ReplyEmpty) {
        let parent = self.ino(parent);
        reply::empty(name(text).and_then(|n| self.fs.rmdir(caller(request), parent, n)), reply);
    }

    fn symlink(
        &self,
        request: &Request,
        parent: INodeNo,
        text: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let (parent, target) = (self.ino(parent), target.as_os_str().as_bytes());
        let answer =
            name(text).and_then(|name| self.fs.symlink(caller(request), parent, name, target));
        self.entry(answer, reply);
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        text: &OsStr,
        new_parent: INodeNo,
        new_text: &OsStr,
        flags: fuser::RenameFlags,
        reply: ReplyEmpty,
    ) {
        let flags = RenameFlags::from_bits_retain(flags.bits());
        let (from, to) = (self.ino(parent), self.ino(new_parent));
        let answer = name(text).and_then(|name_from| {
            let name_to = name(new_text)?;
            self.fs.rename(caller(request), from, name_from, to, name_to, flags)
        });
        reply::empty(answer, reply);
    }

    fn link(
        &self,
        request: &Request,
        ino: INodeNo,
        parent: INodeNo,
        text: &OsStr,
        reply: ReplyEntry,
    ) {
        let (ino, parent) = (self.ino(ino), self.ino(parent));
        let answer = name(text).and_then(|name| self.fs.link(caller(request), ino, parent, name));
        self.entry(answer, reply);
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: fuser::OpenFlags, reply: ReplyOpen) {
        self.open_any(request, ino, open_flags(flags.0), reply);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _: fuser::OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut buf = vec![0; usize::try_from(size).unwrap_or(0)];
        match self.fs.read(handle(fh), &mut buf, offset) {
            Ok(done) => reply.data(buf.get(..done).unwrap_or_default()),
            Err(errno) => reply.error(reply::errno(errno)),
        }
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: fuser::OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.fs.write(handle(fh), data, offset) {
            Ok(done) => reply.written(u32::try_from(done).unwrap_or(u32::MAX)),
            Err(errno) => reply.error(reply::errno(errno)),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        _: fuser::OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.fs.release(handle(fh));
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, fh: FileHandle, data_only: bool, reply: ReplyEmpty) {
        reply::empty(self.fs.fsync(handle(fh), data_only), reply);
    }

    fn opendir(&self, request: &Request, ino: INodeNo, _: fuser::OpenFlags, reply: ReplyOpen) {
        self.open_any(request, ino, OpenFlags::READ, reply);
    }

    fn readdir(
        &self,
        _: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        // Offsets 1 and 2 are behind `.` and `..`, which the kernel wants and a driver does not offer.
        for (at, dots) in [(0, "."), (1, "..")] {
            if offset <= at
                && reply.add(ino, at.saturating_add(1), fuser::FileType::Directory, dots)
            {
                return reply.ok();
            }
        }
        let mut fresh = offset < 2;
        let cookie = Cookie(offset.saturating_sub(2));
        let answer = self.fs.readdir(handle(fh), cookie, &mut |entry| {
            let kind = entry.kind.map_or(fuser::FileType::RegularFile, attr::file_type);
            let number = self.numbers.to_kernel(entry.ino);
            let next = entry.next.0.saturating_add(2);
            let is_full = reply.add(number, next, kind, OsStr::from_bytes(entry.name));
            fresh |= !is_full;
            !is_full
        });
        match answer {
            // What was read counts; the error comes again at the next call.
            Err(errno) if !fresh => reply.error(reply::errno(errno)),
            _ => reply.ok(),
        }
    }

    fn releasedir(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        _: fuser::OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.fs.release(handle(fh));
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, fh: FileHandle, data: bool, reply: ReplyEmpty) {
        reply::empty(self.fs.fsync(handle(fh), data), reply);
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        match self.fs.statfs() {
            Ok(s) => reply.statfs(
                s.blocks,
                s.blocks_free,
                s.blocks_available,
                s.files,
                s.files_free,
                s.block_size,
                s.name_bytes_max,
                s.block_size,
            ),
            Err(errno) => reply.error(reply::errno(errno)),
        }
    }

    fn setxattr(
        &self,
        _: &Request,
        ino: INodeNo,
        key: &OsStr,
        value: &[u8],
        flags: i32,
        _: u32,
        reply: ReplyEmpty,
    ) {
        let flags = XattrFlags::from_bits_truncate(flags.unsigned_abs());
        reply::empty(self.fs.setxattr(self.ino(ino), key.as_bytes(), value, flags), reply);
    }

    fn getxattr(&self, _: &Request, ino: INodeNo, key: &OsStr, size: u32, reply: ReplyXattr) {
        reply::xattr(self.fs.getxattr(self.ino(ino), key.as_bytes()), size, reply);
    }

    fn listxattr(&self, _: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        let list = self.fs.listxattr(self.ino(ino)).map(|names| {
            names.into_iter().flat_map(|mut name| {
                name.push(0);
                name
            })
        });
        reply::xattr(list.map(Iterator::collect), size, reply);
    }

    fn removexattr(&self, _: &Request, ino: INodeNo, key: &OsStr, reply: ReplyEmpty) {
        reply::empty(self.fs.removexattr(self.ino(ino), key.as_bytes()), reply);
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        text: &OsStr,
        mode: u32,
        _umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let parent = self.ino(parent);
        let answer = name(text).and_then(|name| {
            let who = caller(request);
            let (attr, file) = self.fs.create(who, parent, name, perm(mode), open_flags(flags))?;
            Ok((attr, opened(file)?))
        });
        self.created(answer, reply);
    }

    fn fallocate(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let mode = FallocateMode::from_bits(mode.unsigned_abs()).ok_or(Errno::EOPNOTSUPP);
        let answer = mode.and_then(|mode| self.fs.fallocate(handle(fh), mode, offset, length));
        reply::empty(answer, reply);
    }

    fn lseek(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        const SEEK_DATA: i32 = 3;
        const SEEK_HOLE: i32 = 4;
        let to = match whence {
            SEEK_DATA => Ok(SeekTo::Data),
            SEEK_HOLE => Ok(SeekTo::Hole),
            // All others are the kernel's own.
            _ => Err(Errno::EINVAL),
        };
        let answer = to.and_then(|to| {
            let from = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
            self.fs.lseek(handle(fh), from, to)
        });
        match answer {
            Ok(found) => reply.offset(i64::try_from(found).unwrap_or(i64::MAX)),
            Err(errno) => reply.error(reply::errno(errno)),
        }
    }
}
