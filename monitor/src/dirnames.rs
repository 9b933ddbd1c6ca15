//! The names of directories that tracees have open, without a question to /proc each time.
//!
//! A relative name starts at a descriptor, and closing one is not told. So our own copy of it is looked at for each
//! call: what it is, by mount, inode and time of birth, says its path for as long as the quick decisions believe
//! one. That is half of what reading the link in /proc costs.

use crate::hostview;
use crate::monitor::Monitor;
use engine::Tid;
use rustix::fs::{AtFlags, FileType, Statx, StatxFlags, statx};
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// The most directories that are remembered.
const DIRECTORIES_MAX: usize = 4_096;

/// What a directory is: device, inode, mount, seconds and nanoseconds of its birth. The inode number of one that was
/// removed may soon be another's; its birth is not.
type Identity = (u64, u64, u64, i64, u32);

/// The path of a directory, and since when it is believed.
type Known = (Arc<[u8]>, Instant);

/// Paths by directory.
#[derive(Default)]
pub(crate) struct DirNames {
    paths: RwLock<HashMap<Identity, Known>>,
}

/// What a descriptor of a tracee is.
pub(crate) enum Behind {
    /// A virtual file's.
    Virtual,
    /// The host's: what its link in /proc says.
    Host(Arc<[u8]>),
    /// Not open, or a file without a link.
    Unknown,
}

impl DirNames {
    /// Called after the view itself moved or removed directories.
    pub(crate) fn clear(&self) {
        self.paths.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn get(&self, identity: &Identity, ttl: Duration) -> Option<Arc<[u8]>> {
        let known = self.paths.read().unwrap_or_else(PoisonError::into_inner);
        let (path, since) = known.get(identity)?;
        (since.elapsed() < ttl).then(|| Arc::clone(path))
    }

    fn insert(&self, identity: Identity, path: &Arc<[u8]>) {
        // What a number of /proc means changes with its processes.
        if path.starts_with(b"/proc/") {
            return;
        }
        let mut known = self.paths.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= DIRECTORIES_MAX {
            known.clear();
        }
        known.insert(identity, (Arc::clone(path), Instant::now()));
    }
}

impl Monitor {
    /// What descriptor `fd` of a task is. `may_be_virtual`: whether it can be a virtual file's at all.
    pub(crate) fn behind(&self, tid: i32, fd: i32, may_be_virtual: bool) -> Behind {
        let engine = self.engine();
        // A thread can have descriptors of its own (CLONE_FILES of unshare(2)); those of the first are the process'.
        let is_first = || engine.process(Tid(tid)).is_some_and(|p| p.tgid() == tid);
        let own =
            if may_be_virtual || is_first() { engine.descriptor(Tid(tid), fd).ok() } else { None };
        let by_link = || match hostview::readlink(format!("/proc/{tid}/fd/{fd}").as_bytes()) {
            Ok(text) => Behind::Host(text.into()),
            Err(_) => Behind::Unknown,
        };
        let Some(seen) = own.as_ref().and_then(look) else { return by_link() };
        let device = libc::makedev(seen.stx_dev_major, seen.stx_dev_minor);
        if may_be_virtual && self.vfiles.by_identity((device, seen.stx_ino)).is_some() {
            return Behind::Virtual;
        }
        let has_all = seen.stx_mask & WANTED.bits() == WANTED.bits();
        let is_directory = FileType::from_raw_mode(seen.stx_mode.into()) == FileType::Directory;
        if !has_all || !is_directory || !is_first() {
            return by_link();
        }
        let birth = seen.stx_btime;
        let identity = (device, seen.stx_ino, seen.stx_mnt_id, birth.tv_sec, birth.tv_nsec);
        if let Some(path) = self.quick.dir_names.get(&identity, crate::quick::TTL) {
            return Behind::Host(path);
        }
        let found = by_link();
        if let Behind::Host(path) = &found {
            self.quick.dir_names.insert(identity, path);
        }
        found
    }
}

const WANTED: StatxFlags =
    StatxFlags::INO.union(StatxFlags::TYPE).union(StatxFlags::MNT_ID).union(StatxFlags::BTIME);

fn look(own: &OwnedFd) -> Option<Statx> {
    statx(own, c"", AtFlags::EMPTY_PATH, WANTED).ok()
}
