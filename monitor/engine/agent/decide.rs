// What the agent decides: that a call which only looks means a file of the host, so that the kernel may have it.
//
// It says so only for a name whose directory the monitor has published (board, "known directories") and that no
// overlay has (board, "nodes"), and only of results that the monitor would not have to look at: success, and that
// there is no such name. Links as the last component, refusals and all else go to the monitor, as if there were no
// agent.

use super::layout::{self, Path};
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU64, Ordering, fence};

/// What the agent needs from outside; the tests have another.
pub trait Kernel {
    /// Makes a system call that passes the filters, and gives its raw result.
    fn call(&self, number: u64, args: [u64; 5]) -> i64;
    /// Copies a string without its NUL; `None` if it is not readable or longer than the room.
    fn text<'r>(&self, address: u64, room: &'r mut Room) -> Option<&'r [u8]>;
    /// Two bytes at an address; `None` if that is not readable.
    fn half(&self, address: u64) -> Option<u16>;
    /// Whether newfstatat(2) says ENOENT of a name.
    fn is_missing(&self, dirfd: u64, text: &[u8]) -> bool;
    /// newfstatat(2) of a descriptor itself, or of a name that is not followed (`path` not 0).
    fn attributes(&self, dirfd: u64, path: u64) -> Result<Attributes, i64>;
}

/// Longer names are for the monitor: the agent works on the stack of its caller, which may be small.
const ROOM_BYTES: usize = 256;

/// Not filled first: that would be half of the agent's work.
pub type Room = [MaybeUninit<u8>; ROOM_BYTES];

/// What counts of `struct stat`.
#[derive(Clone, Copy)]
pub struct Attributes {
    pub dev: u64,
    pub ino: u64,
    pub mode: u32,
}

/// The mapping behind the code: the process' own page and the board.
pub struct Board<'a> {
    pub own: &'a [AtomicU64],
    pub header: &'a [AtomicU64],
    pub known: &'a [AtomicU64],
    pub nodes: &'a [AtomicU64],
}

const ENOENT: i64 = -2;
const EINTR: i64 = -4;
const ENOTDIR: i64 = -20;
const EINVAL: i64 = -22;
const ERANGE: i64 = -34;
const ENODATA: i64 = -61;
const EOPNOTSUPP: i64 = -95;

const AT_FDCWD: u64 = 0xffff_ff9c;
const AT_SYMLINK_NOFOLLOW: u64 = 0x100;
const AT_EACCESS: u64 = 0x200;
const AT_EMPTY_PATH: u64 = 0x1000;
/// `AT_NO_AUTOMOUNT`, `AT_STATX_FORCE_SYNC`, `AT_STATX_DONT_SYNC`: how, not what.
const HARMLESS: u64 = 0x800 | 0x2000 | 0x4000;
const O_DIRECTORY: u64 = 0o200_000;
const O_NOFOLLOW: u64 = 0o400_000;
/// What an open that only looks may have besides: `O_NOCTTY`, `O_NONBLOCK`, `O_LARGEFILE`, `O_DIRECTORY`,
/// `O_NOFOLLOW`, `O_NOATIME`, `O_CLOEXEC`.
const LOOKING: u64 =
    0o400 | 0o4000 | 0o100_000 | O_DIRECTORY | O_NOFOLLOW | 0o1_000_000 | 0o2_000_000;
const S_IFMT: u32 = 0o170_000;
const S_IFDIR: u32 = 0o040_000;
const S_IFREG: u32 = 0o100_000;
const S_IFLNK: u32 = 0o120_000;

// Numbers of calls (x86-64).
const OPEN: u64 = 2;
const STAT: u64 = 4;
const FSTAT: u64 = 5;
const LSTAT: u64 = 6;
const NEWFSTATAT: u64 = 262;
const ACCESS: u64 = 21;
const GETCWD: u64 = 79;
const READLINK: u64 = 89;
const GETXATTR: u64 = 191;
const LGETXATTR: u64 = 192;
const LISTXATTR: u64 = 194;
const LLISTXATTR: u64 = 195;
const GETDENTS64: u64 = 217;
const OPENAT: u64 = 257;
const READLINKAT: u64 = 267;
const FACCESSAT: u64 = 269;
const STATX: u64 = 332;
const FACCESSAT2: u64 = 439;

/// The calls that are looked at.
#[must_use]
pub fn is_decided(number: u64) -> bool {
    matches!(
        number,
        OPEN | STAT
            | FSTAT
            | LSTAT
            | ACCESS
            | GETCWD
            | READLINK
            | GETXATTR
            | LGETXATTR
            | LISTXATTR
            | LLISTXATTR
            | GETDENTS64
            | OPENAT
            | NEWFSTATAT
            | READLINKAT
            | FACCESSAT
            | STATX
            | FACCESSAT2
    )
}

/// The result of a call, or `None` if it is the monitor's to answer.
pub fn decide(kernel: &impl Kernel, board: &Board<'_>, number: u64, a: [u64; 5]) -> Option<i64> {
    let agent = Agent::new(kernel, board)?;
    match number {
        STAT => agent.stat(LSTAT, AT_FDCWD, a[0], a, true, Some((a[1], 24))),
        LSTAT => agent.stat(LSTAT, AT_FDCWD, a[0], a, false, None),
        FSTAT => agent.of_descriptor(number, a),
        GETCWD => agent.working_directory(a),
        GETDENTS64 => agent.entries(a),
        GETXATTR | LISTXATTR => agent.attribute(number, a, true),
        LGETXATTR | LLISTXATTR => agent.attribute(number, a, false),
        NEWFSTATAT if a[3] & AT_EMPTY_PATH != 0 => agent.own_attributes(number, a, a[3]),
        STATX if a[2] & AT_EMPTY_PATH != 0 => agent.own_attributes(number, a, a[2]),
        NEWFSTATAT if a[3] & !(AT_SYMLINK_NOFOLLOW | HARMLESS) == 0 => {
            let args = [a[0], a[1], a[2], a[3] | AT_SYMLINK_NOFOLLOW, 0];
            let follow = a[3] & AT_SYMLINK_NOFOLLOW == 0;
            agent.stat(number, a[0], a[1], args, follow, Some((a[2], 24)))
        }
        STATX if a[2] & !(AT_SYMLINK_NOFOLLOW | HARMLESS) == 0 => {
            let args = [a[0], a[1], a[2] | AT_SYMLINK_NOFOLLOW, a[3], a[4]];
            let follow = a[2] & AT_SYMLINK_NOFOLLOW == 0;
            agent.stat(number, a[0], a[1], args, follow, Some((a[4], 28)))
        }
        ACCESS => agent.access(number, AT_FDCWD, a[0], a[1], a),
        FACCESSAT => agent.access(number, a[0], a[1], a[2], a),
        FACCESSAT2 if a[3] & !AT_EACCESS == 0 => agent.access(number, a[0], a[1], a[2], a),
        OPEN => agent.open(AT_FDCWD, a[0], a[1]),
        OPENAT => agent.open(a[0], a[1], a[2]),
        READLINK => agent.readlink(number, AT_FDCWD, a[0], a),
        READLINKAT => agent.readlink(number, a[0], a[1], a),
        _ => None,
    }
}

/// What is known of a name before the kernel is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    /// The kernel may have it.
    Native,
    /// A directory on the way is neither the kernel's nor the view's.
    Missing,
}

/// How many directories that do not exist are looked through.
const LEVELS_MAX: usize = 3;

struct Agent<'a, K> {
    kernel: &'a K,
    board: &'a Board<'a>,
    generation: u64,
    view: u64,
    off: u64,
}

fn word(words: &[AtomicU64], index: usize) -> Option<u64> {
    Some(words.get(index)?.load(Ordering::Acquire))
}

impl<'a, K: Kernel> Agent<'a, K> {
    fn new(kernel: &'a K, board: &'a Board<'a>) -> Option<Self> {
        let off = word(board.own, layout::OWN_OFF)?;
        let on = word(board.header, layout::ON)?;
        let generation = word(board.header, layout::GENERATION)?;
        let view = word(board.own, layout::OWN_VIEW)?;
        (on != 0 && off & layout::OFF_ALL == 0).then_some(Self {
            kernel,
            board,
            generation,
            view,
            off,
        })
    }

    /// The canonical path of a directory that the monitor has published.
    fn known(&self, key: u64) -> Option<Path> {
        let first = (key as usize % layout::BUCKETS) * layout::WAYS * 2;
        for pair in self.board.known.get(first..first + layout::WAYS * 2)?.chunks_exact(2) {
            if pair[0].load(Ordering::Acquire) == key {
                let path = pair[1].load(Ordering::Acquire);
                fence(Ordering::Acquire);
                // The writer takes the key away before it changes the path.
                return (pair[0].load(Ordering::Acquire) == key).then_some(Path(path));
            }
        }
        None
    }

    fn is_node(&self, key: u64) -> bool {
        let mut at = key as usize % layout::NODES;
        loop {
            match word(self.board.nodes, at) {
                Some(0) => return false,
                Some(other) if other != key => at = (at + 1) % layout::NODES,
                _ => return true,
            }
        }
    }

    fn inode(&self, attributes: Attributes) -> Option<Path> {
        let salt = word(self.board.header, layout::SALT)?;
        let Attributes { dev, ino, .. } = attributes;
        self.known(layout::inode_key(salt, dev, ino, self.generation, self.view))
    }

    /// Whether the kernel may look at this name, a link as its last component not followed.
    fn may_have(&self, dirfd: u64, address: u64) -> Option<Name> {
        let mut room = [MaybeUninit::uninit(); ROOM_BYTES];
        let text = self.kernel.text(address, &mut room)?;
        let slash = text.iter().rposition(|&b| b == b'/');
        let name = text.get(slash.map_or(0, |s| s + 1)..)?;
        if matches!(name, b"" | b"." | b"..") {
            return None;
        }
        let base = if text.first() == Some(&b'/') {
            Path(word(self.board.header, layout::SALT)?)
        } else {
            let is_cwd = dirfd as u32 == AT_FDCWD as u32;
            if is_cwd && self.off & layout::OFF_CWD != 0 {
                return None;
            }
            let base = self.inode(self.kernel.attributes(dirfd, 0).ok()?)?;
            if slash.is_some() { base.then(b"/") } else { base }
        };
        let directory = match slash {
            Some(slash) => {
                let text = text.get(..slash)?;
                match self.known(base.then(text).directory(self.generation, self.view)) {
                    Some(directory) => directory,
                    None => return self.is_missing(dirfd, base, text).then_some(Name::Missing),
                }
            }
            None => base,
        };
        let key = directory.then(b"/").then(name).node();
        (!self.is_node(key)).then_some(Name::Native)
    }

    /// Whether a directory does not exist because the first component behind one that is known does not: compilers
    /// look for each header in many places.
    fn is_missing(&self, dirfd: u64, base: Path, directory: &[u8]) -> bool {
        let mut text = directory;
        for _ in 0..LEVELS_MAX {
            let Some(slash) = text.iter().rposition(|&b| b == b'/').filter(|&s| s > 0) else {
                return false;
            };
            let (Some(above), Some(name)) = (text.get(..slash), text.get(slash + 1..)) else {
                return false;
            };
            if matches!(name, b"" | b"." | b"..") {
                return false;
            }
            if let Some(known) = self.known(base.then(above).directory(self.generation, self.view))
            {
                return !self.is_node(known.then(b"/").then(name).node())
                    && self.kernel.is_missing(dirfd, text);
            }
            text = above;
        }
        false
    }

    /// `args` are those of the call that does not follow; `mode` is where the result has the type: address and offset.
    fn stat(
        &self,
        number: u64,
        dirfd: u64,
        path: u64,
        args: [u64; 5],
        follow: bool,
        mode: Option<(u64, u64)>,
    ) -> Option<i64> {
        if self.may_have(dirfd, path)? == Name::Missing {
            return Some(ENOENT);
        }
        match self.kernel.call(number, args) {
            0 if follow => {
                let (buffer, offset) = mode?;
                let mode = self.kernel.half(buffer.wrapping_add(offset))?;
                (u32::from(mode) & S_IFMT != S_IFLNK).then_some(0)
            }
            result @ (0 | ENOENT | ENOTDIR) => Some(result),
            _ => None,
        }
    }

    /// Attributes of an open file: the kernel's, where no descriptor of this process is virtual.
    fn of_descriptor(&self, number: u64, args: [u64; 5]) -> Option<i64> {
        if self.off & layout::OFF_FSTAT != 0 {
            self.may_be_asked(self.kernel.attributes(args[0], 0).ok()?)?;
        }
        let result = self.kernel.call(number, args);
        (result == 0).then_some(0)
    }

    /// Whether an open file is the host's, though the process has others: by its device, by what stores have of it.
    fn may_be_asked(&self, found: Attributes) -> Option<()> {
        let is_virtual = match found.mode & S_IFMT {
            S_IFDIR => self.is_node(self.inode(found)?.node()),
            S_IFREG => {
                let salt = word(self.board.header, layout::SALT)?;
                let devices = self.board.header.get(layout::DEVICES..)?;
                let mut devices = devices.iter().take(layout::DEVICES_MAX);
                word(self.board.header, layout::NO_DEVICES)? != 0
                    || devices.any(|dev| dev.load(Ordering::Acquire) == found.dev)
                    || self.is_node(layout::file_key(salt, found.dev, found.ino))
            }
            _ => true,
        };
        (!is_virtual).then_some(())
    }

    /// fstat(2) as the C library makes it: with an empty path.
    fn own_attributes(&self, number: u64, args: [u64; 5], flags: u64) -> Option<i64> {
        let mut room = [MaybeUninit::uninit(); ROOM_BYTES];
        let is_own = flags & !(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | HARMLESS) == 0
            && args[0] as u32 != AT_FDCWD as u32
            && self.kernel.text(args[1], &mut room)?.is_empty();
        if is_own { self.of_descriptor(number, args) } else { None }
    }

    /// getcwd(2) of a process whose working directory and root are the kernel's.
    fn working_directory(&self, args: [u64; 5]) -> Option<i64> {
        let result = if self.off & layout::OFF_CWD == 0 {
            self.kernel.call(GETCWD, args)
        } else {
            return None;
        };
        (result > 0).then_some(result)
    }

    /// getdents64(2) of a directory in which no overlay has a name.
    fn entries(&self, args: [u64; 5]) -> Option<i64> {
        let found = self.kernel.attributes(args[0], 0).ok()?;
        if found.mode & S_IFMT != S_IFDIR || self.is_node(self.inode(found)?.node()) {
            return None;
        }
        let result = self.kernel.call(GETDENTS64, args);
        (result >= 0).then_some(result)
    }

    /// getxattr(2), listxattr(2), and their forms that do not follow.
    fn attribute(&self, number: u64, args: [u64; 5], follow: bool) -> Option<i64> {
        if self.may_have(AT_FDCWD, args[0])? == Name::Missing {
            return Some(ENOENT);
        }
        if follow && self.kernel.attributes(AT_FDCWD, args[0]).ok()?.mode & S_IFMT == S_IFLNK {
            return None;
        }
        match self.kernel.call(number, args) {
            result @ (0.. | ENOENT | ENOTDIR | ERANGE | ENODATA | EOPNOTSUPP) => Some(result),
            _ => None,
        }
    }

    fn access(&self, number: u64, dirfd: u64, path: u64, mode: u64, args: [u64; 5]) -> Option<i64> {
        // Whether it may be written is the overlay's to say.
        if mode & !5 != 0 {
            return None;
        }
        if self.may_have(dirfd, path)? == Name::Missing {
            return Some(ENOENT);
        }
        match self.kernel.attributes(dirfd, path) {
            Ok(found) if found.mode & S_IFMT == S_IFLNK => return None,
            Ok(_) => {}
            Err(result @ (ENOENT | ENOTDIR)) => return Some(result),
            Err(_) => return None,
        }
        match self.kernel.call(number, args) {
            result @ (0 | ENOENT | ENOTDIR) => Some(result),
            _ => None,
        }
    }

    fn open(&self, dirfd: u64, path: u64, flags: u64) -> Option<i64> {
        if flags as u32 as u64 & !LOOKING != 0 {
            return None;
        }
        if self.may_have(dirfd, path)? == Name::Missing {
            return Some(ENOENT);
        }
        // A link is refused then, and not followed to where the view may differ.
        match self.kernel.call(OPENAT, [dirfd, path, flags | O_NOFOLLOW, 0, 0]) {
            ENOTDIR if flags & O_DIRECTORY != 0 && flags & O_NOFOLLOW == 0 => None,
            result @ (0.. | ENOENT | ENOTDIR | EINTR) => Some(result),
            _ => None,
        }
    }

    fn readlink(&self, number: u64, dirfd: u64, path: u64, args: [u64; 5]) -> Option<i64> {
        if self.may_have(dirfd, path)? == Name::Missing {
            return Some(ENOENT);
        }
        match self.kernel.call(number, args) {
            result @ (0.. | ENOENT | ENOTDIR | EINVAL) => Some(result),
            _ => None,
        }
    }
}
