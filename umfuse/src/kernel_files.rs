//! Regular files of drivers as regular files of the kernel: one nameless mount of `/dev/fuse` for a whole monitor.
//!
//! The kernel keeps the pages, so that reading, writing and mapping such a file needs no look at the process that
//! does it. The mount has a root directory and nothing but files in it; a file's name there begins with its number.
//! Who makes the mount, and where it is out of everybody's way, is not this module's business: it is given the
//! opened device.
//!
//! `open` is answered once with `ENOSYS`, after which the kernel opens such files by itself (`FUSE_NO_OPEN_SUPPORT`).
//! It never tells of a close then: who wants to know whether a file is in use asks for it to be forgotten.

mod content;
mod forgetter;
mod nodes;

pub use content::{Content, DriverFile};
pub use forgetter::Forgetter;
pub use nodes::{NodeNumber, Nodes};

use crate::export::reply;
use abi::fs::{FallocateMode, SeekTo};
use abi::{Errno, Result};
use fuser::{
    BsdFileFlags, Config, FileAttr, FileHandle, FileType, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen,
    ReplyWrite, Request, Session, SessionACL, TimeOrNow, WriteFlags,
};
use std::cell::RefCell;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The most bytes of one request: more would not fit into the kernel's own limit of 256 pages.
const REQUEST_BYTES_MAX: u32 = 1 << 20;
/// Requests that wait for an answer at once; readers of other files are served while one waits for its disk.
const THREADS: usize = 4;
/// Nobody but the kernel changes such a file without telling it.
const VALID: Duration = Duration::from_secs(1 << 30);

/// Serves `nodes` from threads of their own until the mount is gone.
///
/// `owner` is the user and group that the files show.
///
/// # Errors
/// - `ENOTCONN` if the mount is not there.
/// - `EPROTO` if the kernel does not speak FUSE 7.6 or later.
/// - `EAGAIN` if there can be no more threads.
pub fn serve(device: OwnedFd, nodes: &Arc<Nodes>, owner: (u32, u32)) -> Result<Forgetter> {
    let server = Server { nodes: Arc::clone(nodes), owner };
    let mut config = Config::default();
    config.n_threads = Some(THREADS);
    // The kernel has asked whether the caller may come in.
    let session = Session::from_fd(server, device, SessionACL::All, config)?;
    let forgetter = Forgetter::new(session.notifier())?;
    std::thread::Builder::new().name("files".into()).spawn(move || {
        if let Err(error) = session.run() {
            tracing::debug!(%error, "no more files by /dev/fuse");
        }
    })?;
    Ok(forgetter)
}

struct Server {
    nodes: Arc<Nodes>,
    owner: (u32, u32),
}

thread_local! {
    /// What was read, on its way to the kernel: fresh memory for each answer costs more than the reading.
    static PAGES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Server {
    fn content(&self, number: INodeNo) -> Result<Arc<dyn Content>> {
        self.nodes.content(NodeNumber(number.0)).ok_or(Errno::ESTALE)
    }

    fn attr(&self, number: INodeNo) -> Result<FileAttr> {
        let is_root = number == INodeNo::ROOT;
        let size = if is_root { 0 } else { self.content(number)?.size()? };
        Ok(FileAttr {
            ino: number,
            size,
            blocks: size.div_ceil(512),
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if is_root { FileType::Directory } else { FileType::RegularFile },
            perm: if is_root { 0o555 } else { 0o666 },
            nlink: 1,
            uid: self.owner.0,
            gid: self.owner.1,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }
}

impl fuser::Filesystem for Server {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        // What the kernel does not know it does without.
        for flag in [
            InitFlags::FUSE_NO_OPEN_SUPPORT,
            InitFlags::FUSE_EXPLICIT_INVAL_DATA,
            InitFlags::FUSE_PARALLEL_DIROPS,
        ] {
            let _ = config.add_capabilities(flag);
        }
        let _ = config.set_max_write(REQUEST_BYTES_MAX);
        if let Err(most) = config.set_max_readahead(REQUEST_BYTES_MAX) {
            let _ = config.set_max_readahead(most);
        }
        Ok(())
    }

    fn lookup(&self, _: &Request, _: INodeNo, text: &OsStr, reply: ReplyEntry) {
        let Some(number) = nodes::number(text.as_bytes()) else {
            return reply.error(reply::errno(Errno::ENOENT));
        };
        match self.attr(INodeNo(number.0)) {
            Ok(attr) => {
                self.nodes.looked_up(number);
                reply.entry(&VALID, &attr, Generation(0));
            }
            Err(_) => reply.error(reply::errno(Errno::ENOENT)),
        }
    }

    fn forget(&self, _: &Request, ino: INodeNo, count: u64) {
        self.nodes.forgotten(NodeNumber(ino.0), count);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attr(ino) {
            Ok(attr) => reply.attr(&VALID, &attr),
            Err(errno) => reply.error(reply::errno(errno)),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let cut = |size| self.content(ino)?.set_size(size);
        match size.map_or(Ok(()), cut).and_then(|()| self.attr(ino)) {
            Ok(attr) => reply.attr(&VALID, &attr),
            Err(errno) => reply.error(reply::errno(errno)),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: fuser::OpenFlags, reply: ReplyOpen) {
        reply.error(reply::errno(Errno::ENOSYS));
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: fuser::OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        PAGES.with_borrow_mut(|pages| {
            let wanted = usize::try_from(size.min(REQUEST_BYTES_MAX)).unwrap_or(0);
            if pages.len() < wanted {
                pages.resize(wanted, 0);
            }
            let pages = pages.get_mut(..wanted).unwrap_or_default();
            match self.content(ino).and_then(|content| content.read(pages, offset)) {
                Ok(done) => reply.data(pages.get(..done).unwrap_or_default()),
                Err(errno) => reply.error(reply::errno(errno)),
            }
        });
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: fuser::OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.content(ino).and_then(|content| content.write(data, offset)) {
            Ok(done) => reply.written(u32::try_from(done).unwrap_or(u32::MAX)),
            Err(errno) => reply.error(reply::errno(errno)),
        }
    }

    /// Asked at each close; nothing waits here for a close.
    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.error(reply::errno(Errno::ENOSYS));
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, data_only: bool, reply: ReplyEmpty) {
        reply::empty(self.content(ino).and_then(|content| content.sync(data_only)), reply);
    }

    fn getxattr(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, reply: fuser::ReplyXattr) {
        // The kernel asks for security.capability at each write until it is told that there are none.
        reply.error(reply::errno(Errno::ENOSYS));
    }

    fn fallocate(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let mode = FallocateMode::from_bits(mode.unsigned_abs()).ok_or(Errno::EOPNOTSUPP);
        let answer = mode.and_then(|mode| self.content(ino)?.allocate(mode, offset, length));
        reply::empty(answer, reply);
    }

    fn lseek(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        const SEEK_DATA: i32 = 3;
        let to = if whence == SEEK_DATA { SeekTo::Data } else { SeekTo::Hole };
        let answer = u64::try_from(offset)
            .map_err(|_| Errno::ENXIO)
            .and_then(|from| self.content(ino)?.seek(from, to));
        match answer {
            Ok(found) => reply.offset(i64::try_from(found).unwrap_or(i64::MAX)),
            Err(errno) => reply.error(reply::errno(errno)),
        }
    }
}
