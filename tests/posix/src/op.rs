//! A system call as a value, and its answer.

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, RenameFlags};
use nix::libc;
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, SFlag, UtimensatFlags};
use nix::sys::time::TimeSpec;
use nix::unistd::{AccessFlags, Gid, Uid};
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// What is asked for. Paths are ASCII.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Op {
    /// open(2) and close(2).
    Open(String, i32, u32),
    /// Opens with these flags and writes the text.
    Write(String, i32, String),
    /// Opens for reading and reads all.
    Read(String),
    Mkdir(String, u32),
    Mkfifo(String, u32),
    /// mknod(2) with a kind of [`Stat::kind`] and a device number.
    Mknod(String, char, u32, u64),
    /// The target, then the name.
    Symlink(String, String),
    Readlink(String),
    /// linkat(2): from, to, flags.
    Link(String, String, i32),
    /// renameat2(2): from, to, flags.
    Rename(String, String, u32),
    Chmod(String, u32),
    /// open(2) for reading and fchmod(2).
    Fchmod(String, u32),
    Chown(String, Option<u32>, Option<u32>),
    Lchown(String, Option<u32>, Option<u32>),
    /// open(2) for reading and fchown(2).
    Fchown(String, Option<u32>, Option<u32>),
    Truncate(String, i64),
    /// Opens with these flags, then ftruncate(2).
    Ftruncate(String, i32, i64),
    Unlink(String),
    Rmdir(String),
    /// utimensat(2): access and modification time, flags.
    Utimens(String, Time, Time, i32),
    Stat(String),
    Lstat(String),
    Access(String, i32),
    List(String),
    /// Of the process that makes the calls.
    Umask(u32),
}

/// A time of utimensat(2).
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Time {
    Now,
    Omit,
    At(i64, i64),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    Done,
    Text(String),
    Names(Vec<String>),
    Stat(Stat),
}

/// What stat(2) says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stat {
    /// The letter of ls(1): `-`, `d`, `l`, `p`, `s`, `c`, `b`.
    pub(crate) kind: char,
    pub(crate) perm: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) nlink: u64,
    pub(crate) size_bytes: i64,
    pub(crate) ino: u64,
    pub(crate) rdev: u64,
    pub(crate) atime: (i64, i64),
    pub(crate) mtime: (i64, i64),
    pub(crate) ctime: (i64, i64),
}

const KINDS: [(char, SFlag); 7] = [
    ('-', SFlag::S_IFREG),
    ('d', SFlag::S_IFDIR),
    ('l', SFlag::S_IFLNK),
    ('p', SFlag::S_IFIFO),
    ('s', SFlag::S_IFSOCK),
    ('c', SFlag::S_IFCHR),
    ('b', SFlag::S_IFBLK),
];

impl From<FileStat> for Stat {
    fn from(stat: FileStat) -> Self {
        let format = stat.st_mode & libc::S_IFMT;
        let kind = KINDS.iter().find(|(_, flag)| flag.bits() == format);
        Self {
            kind: kind.map_or('?', |&(letter, _)| letter),
            perm: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            nlink: stat.st_nlink,
            size_bytes: stat.st_size,
            ino: stat.st_ino,
            rdev: stat.st_rdev,
            atime: (stat.st_atime, stat.st_atime_nsec),
            mtime: (stat.st_mtime, stat.st_mtime_nsec),
            ctime: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

fn io(result: std::io::Result<()>) -> Result<(), Errno> {
    result.map_err(|error| errno(&error))
}

/// The errno of an error of the standard library.
fn errno(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(0))
}

fn mode(bits: u32) -> Mode {
    Mode::from_bits_retain(bits)
}

fn flags(bits: i32) -> OFlag {
    OFlag::from_bits_retain(bits)
}

fn time(time: Time) -> TimeSpec {
    match time {
        Time::Now => TimeSpec::UTIME_NOW,
        Time::Omit => TimeSpec::UTIME_OMIT,
        Time::At(seconds, nanos) => TimeSpec::new(seconds, nanos),
    }
}

/// Makes the call.
///
/// # Errors
/// As the call has them.
pub(crate) fn perform(op: &Op) -> Result<Answer, Errno> {
    match op {
        Op::Open(path, bits, perm) => {
            nix::fcntl::open(path.as_str(), flags(*bits), mode(*perm)).map(drop)
        }
        Op::Write(path, bits, text) => {
            let file = nix::fcntl::open(path.as_str(), flags(*bits), mode(0o644))?;
            nix::unistd::write(&file, text.as_bytes()).map(drop)
        }
        Op::Mkdir(path, perm) => nix::unistd::mkdir(path.as_str(), mode(*perm)),
        Op::Mkfifo(path, perm) => nix::unistd::mkfifo(path.as_str(), mode(*perm)),
        Op::Mknod(path, kind, perm, device) => {
            let kind = KINDS.iter().find(|(letter, _)| letter == kind).ok_or(Errno::EINVAL)?.1;
            nix::sys::stat::mknod(path.as_str(), kind, mode(*perm), *device)
        }
        Op::Symlink(target, path) => io(std::os::unix::fs::symlink(target, path)),
        Op::Link(from, to, bits) => {
            let at = AtFlags::from_bits_retain(*bits);
            nix::unistd::linkat(AT_FDCWD, from.as_str(), AT_FDCWD, to.as_str(), at)
        }
        Op::Rename(from, to, 0) => io(std::fs::rename(from, to)),
        Op::Rename(from, to, bits) => {
            let how = RenameFlags::from_bits_retain(*bits);
            nix::fcntl::renameat2(AT_FDCWD, from.as_str(), AT_FDCWD, to.as_str(), how)
        }
        Op::Unlink(path) => nix::unistd::unlink(path.as_str()),
        Op::Rmdir(path) => io(std::fs::remove_dir(path)),
        Op::Access(path, bits) => {
            nix::unistd::access(path.as_str(), AccessFlags::from_bits_retain(*bits))
        }
        Op::Umask(bits) => {
            nix::sys::stat::umask(mode(*bits));
            Ok(())
        }
        Op::Read(_) | Op::Readlink(_) | Op::Stat(_) | Op::Lstat(_) | Op::List(_) => {
            return look(op);
        }
        _ => attributes(op),
    }?;
    Ok(Answer::Done)
}

/// The calls that change what stat(2) says.
fn attributes(op: &Op) -> Result<(), Errno> {
    let read_only = OFlag::O_RDONLY | OFlag::O_NONBLOCK;
    match op {
        Op::Chmod(path, perm) => {
            let follow = FchmodatFlags::FollowSymlink;
            nix::sys::stat::fchmodat(AT_FDCWD, path.as_str(), mode(*perm), follow)
        }
        Op::Fchmod(path, perm) => {
            let file = nix::fcntl::open(path.as_str(), read_only, Mode::empty())?;
            nix::sys::stat::fchmod(&file, mode(*perm))
        }
        Op::Chown(path, uid, gid) => io(std::os::unix::fs::chown(path, *uid, *gid)),
        Op::Lchown(path, uid, gid) => io(std::os::unix::fs::lchown(path, *uid, *gid)),
        Op::Fchown(path, uid, gid) => {
            let file = nix::fcntl::open(path.as_str(), read_only, Mode::empty())?;
            nix::unistd::fchown(&file, uid.map(Uid::from_raw), gid.map(Gid::from_raw))
        }
        Op::Truncate(path, length) => nix::unistd::truncate(path.as_str(), *length),
        Op::Ftruncate(path, bits, length) => {
            let file = nix::fcntl::open(path.as_str(), flags(*bits), Mode::empty())?;
            nix::unistd::ftruncate(&file, *length)
        }
        Op::Utimens(path, accessed, modified, bits) => {
            let no_follow = bits & libc::AT_SYMLINK_NOFOLLOW != 0;
            let follow = if no_follow {
                UtimensatFlags::NoFollowSymlink
            } else {
                UtimensatFlags::FollowSymlink
            };
            nix::sys::stat::utimensat(
                AT_FDCWD,
                path.as_str(),
                &time(*accessed),
                &time(*modified),
                follow,
            )
        }
        _ => Err(Errno::EINVAL),
    }
}

/// The calls that answer more than success.
fn look(op: &Op) -> Result<Answer, Errno> {
    let text = |bytes: &OsStr| String::from_utf8_lossy(bytes.as_bytes()).into_owned();
    match op {
        Op::Read(path) => {
            let bytes = std::fs::read(path).map_err(|error| errno(&error))?;
            Ok(Answer::Text(text(OsStr::from_bytes(&bytes))))
        }
        Op::Readlink(path) => Ok(Answer::Text(text(&nix::fcntl::readlink(path.as_str())?))),
        Op::Stat(path) => Ok(Answer::Stat(nix::sys::stat::stat(path.as_str())?.into())),
        Op::Lstat(path) => Ok(Answer::Stat(nix::sys::stat::lstat(path.as_str())?.into())),
        Op::List(path) => {
            let entries = std::fs::read_dir(path).map_err(|error| errno(&error))?;
            let names: Result<Vec<String>, _> =
                entries.map(|entry| entry.map(|entry| text(&entry.file_name()))).collect();
            let mut names = names.map_err(|error| errno(&error))?;
            names.sort();
            Ok(Answer::Names(names))
        }
        _ => Err(Errno::EINVAL),
    }
}
