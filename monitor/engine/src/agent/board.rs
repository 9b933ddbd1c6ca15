//! What the monitor tells all agents.

use super::layout::{self, Path};
use crate::sys::mapping::MappedWords;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Mutex, PoisonError};

/// How a line of /proc/PID/maps ends that is the agent's.
pub const AGENT_MAP: &str = "/memfd:umview-agent (deleted)\n";

/// The file that processes map, and the board in it. One per monitor.
///
/// A directory that was published is believed until [`forget`](Self::forget), which the engine calls each second
/// while something is published.
pub struct Agent {
    file: File,
    board: MappedWords,
    pass: u64,
    /// Which entry of a bucket is taken next; also the lock of all writers.
    writer: Mutex<usize>,
    nodes: AtomicUsize,
    is_used: AtomicBool,
}

/// How a directory is named when it is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directory {
    /// By the text in front of the last slash, from the root or from the path of a directory.
    Text(Path),
    /// By its numbers.
    Inode {
        /// `st_dev`
        dev: u64,
        /// `st_ino`
        ino: u64,
    },
}

impl Agent {
    /// # Errors
    /// What memfd_create(2), write(2) and mmap(2) say.
    pub(crate) fn new(pass: u64) -> io::Result<Self> {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let mut file = File::from(memfd_create(c"umview-agent", flags)?);
        file.write_all(super::IMAGE)?;
        file.set_len(layout::MAPPING_BYTES as u64)?;
        fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW))?;
        let board = MappedWords::map(&file, layout::BOARD, layout::MAPPING_BYTES - layout::BOARD)?;
        let words = board.words();
        words[layout::PASS].store(pass, Ordering::Relaxed);
        words[layout::SALT].store(RandomState::new().hash_one(pass), Ordering::Relaxed);
        words[layout::ON].store(1, Ordering::Release);
        let device = file.metadata()?.dev();
        let agent = Self {
            file,
            board,
            pass,
            writer: Mutex::new(0),
            nodes: AtomicUsize::new(0),
            is_used: AtomicBool::new(false),
        };
        // Files in memory stand for virtual ones.
        agent.distrust(device);
        Ok(agent)
    }

    /// A word that a filter may let calls of the agent pass by.
    pub(crate) fn new_pass() -> u64 {
        RandomState::new().hash_one(std::process::id()) | 1
    }

    pub(crate) fn pass(&self) -> u64 {
        self.pass
    }

    pub(super) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    fn salt(&self) -> u64 {
        self.board.words()[layout::SALT].load(Ordering::Relaxed)
    }

    /// The hash of a canonical path; that of the root is the hash of nothing.
    #[must_use]
    pub fn path(&self, canonical: &[u8]) -> Path {
        Path(self.salt()).then(if canonical == b"/" { b"" } else { canonical })
    }

    /// What [`publish`](Self::publish) wants: to be read before anything is looked at.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.board.words()[layout::GENERATION].load(Ordering::Acquire)
    }

    /// Tells that a directory, by this name, is the host's at this canonical path, and that the kernel may look at
    /// all names in it that are no nodes.
    pub fn publish(&self, generation: u64, view: u64, name: Directory, canonical: Path) {
        let key = match name {
            Directory::Text(path) => path.directory(generation, view),
            Directory::Inode { dev, ino } => {
                layout::inode_key(self.salt(), dev, ino, generation, view)
            }
        };
        let entries = self.bucket(key);
        let mut next = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut keys = entries.iter().step_by(2);
        let index = keys.position(|k| k.load(Ordering::Relaxed) == key).unwrap_or_else(|| {
            *next = next.wrapping_add(1);
            *next % layout::WAYS
        });
        let [entry, path] = [&entries[index * 2], &entries[index * 2 + 1]];
        // Readers look at the key before and after they have read the path.
        entry.store(0, Ordering::Relaxed);
        fence(Ordering::Release);
        path.store(canonical.0, Ordering::Release);
        entry.store(key, Ordering::Release);
        self.is_used.store(true, Ordering::Release);
    }

    /// Whether a directory was published by this text, in this generation.
    #[must_use]
    pub fn is_known(&self, generation: u64, view: u64, text: Path) -> bool {
        let key = text.directory(generation, view);
        self.bucket(key).iter().step_by(2).any(|k| k.load(Ordering::Relaxed) == key)
    }

    fn bucket(&self, key: u64) -> &[AtomicU64] {
        let [_, known, _] = self.parts();
        let first = (key as usize % layout::BUCKETS) * layout::WAYS * 2;
        &known[first..first + layout::WAYS * 2]
    }

    /// The board: header, known directories, nodes.
    pub(super) fn parts(&self) -> [&[AtomicU64]; 3] {
        let (header, rest) = self.board.words().split_at(layout::HEADER_BYTES / 8);
        let (known, nodes) = rest.split_at(layout::BUCKETS * layout::WAYS * 2);
        [header, known, nodes]
    }

    /// No directory is known any more.
    pub fn forget(&self) {
        self.board.words()[layout::GENERATION].fetch_add(1, Ordering::AcqRel);
    }

    /// The same, if a directory was published since the last time.
    pub(crate) fn forget_if_used(&self) {
        if self.is_used.swap(false, Ordering::AcqRel) {
            self.forget();
        }
    }

    /// An overlay has something to say about the name at this canonical path: it is never the kernel's alone again.
    pub fn add_node(&self, path: Path) {
        self.add_key(path.node());
    }

    fn add_key(&self, key: u64) {
        let [_, _, words] = self.parts();
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut at = key as usize % layout::NODES;
        loop {
            match words[at].load(Ordering::Relaxed) {
                0 => break,
                other if other == key => return,
                _ => at = (at + 1) % layout::NODES,
            }
        }
        if self.nodes.fetch_add(1, Ordering::Relaxed) >= layout::NODES / 2 {
            self.switch(false);
            return;
        }
        words[at].store(key, Ordering::Release);
    }

    /// A lower file was copied up: open, it may show what the kernel does not know.
    pub fn add_file(&self, dev: u64, ino: u64) {
        self.add_key(layout::file_key(self.salt(), dev, ino));
    }

    /// Open files of this device may be other ones than the kernel says.
    pub fn distrust(&self, dev: u64) {
        let words = self.board.words();
        let devices = &words[layout::DEVICES..layout::DEVICES + layout::DEVICES_MAX];
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        for slot in devices {
            let known = slot.load(Ordering::Relaxed);
            if known == 0 {
                slot.store(dev, Ordering::Release);
            }
            if known == 0 || known == dev {
                return;
            }
        }
        self.distrust_all();
    }

    /// The same for all devices.
    pub fn distrust_all(&self) {
        self.board.words()[layout::NO_DEVICES].store(1, Ordering::Release);
    }

    /// Whether agents decide at all. Off, it stays off where there are more nodes than fit.
    pub fn switch(&self, on: bool) {
        let has_room = self.nodes.load(Ordering::Relaxed) < layout::NODES / 2;
        self.board.words()[layout::ON].store(u64::from(on && has_room), Ordering::Release);
    }
}
