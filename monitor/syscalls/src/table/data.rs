//! Calls on descriptors: data, positions, maps, locks, and the table of descriptors itself.

use crate::group::{Group, Test, Trap};
use crate::handler::Handler;
use crate::row::Row;

const MAP_SHARED: u32 = libc::MAP_SHARED as u32;
const MAP_ANONYMOUS: u32 = libc::MAP_ANONYMOUS as u32;
/// The descriptor -1, as an `int`.
const NO_FD: u32 = u32::MAX;

const READ: &[Trap] = &[Trap::always(Group::Read)];
const WRITE: &[Trap] = &[Trap::always(Group::Write)];
const BOTH: &[Trap] = &[Trap::always(Group::Read), Trap::always(Group::Write)];
const FDS: &[Trap] = &[Trap::always(Group::Fds)];

/// Moving data.
pub(super) const TRANSFER: &[Row] = &[
    Row::new("read", 0, Handler::Read, READ).fds(&[0]),
    Row::new("pread64", 17, Handler::Read, READ).fds(&[0]),
    Row::new("readv", 19, Handler::Read, READ).fds(&[0]),
    Row::new("preadv", 295, Handler::Read, READ).fds(&[0]),
    Row::new("preadv2", 327, Handler::Read, READ).fds(&[0]),
    Row::new("write", 1, Handler::Write, WRITE).fds(&[0]),
    Row::new("pwrite64", 18, Handler::Write, WRITE).fds(&[0]),
    Row::new("writev", 20, Handler::Write, WRITE).fds(&[0]),
    Row::new("pwritev", 296, Handler::Write, WRITE).fds(&[0]),
    Row::new("pwritev2", 328, Handler::Write, WRITE).fds(&[0]),
    Row::new("sendfile", 40, Handler::Transfer, BOTH).fds(&[0, 1]).partial(
        "EINVAL where an end is served by the monitor: callers fall back to read and write",
    ),
    Row::new("splice", 275, Handler::Transfer, BOTH).fds(&[0, 2]).partial(
        "EINVAL where an end is served by the monitor: callers fall back to read and write",
    ),
    Row::new("copy_file_range", 326, Handler::Transfer, BOTH).fds(&[0, 2]).partial(
        "EXDEV where an end is served by the monitor: callers fall back to read and write",
    ),
    Row::new("io_submit", 209, Handler::Aio, BOTH)
        .planned("requests on descriptors that the monitor serves reach the placeholder"),
    Row::new(
        "lseek",
        8,
        Handler::Lseek,
        &[
            Trap::when(Group::Names, &[Test::Is(2, libc::SEEK_DATA as u32)]),
            Trap::when(Group::Names, &[Test::Is(2, libc::SEEK_HOLE as u32)]),
            Trap::when(Group::Read, &[Test::Is(2, libc::SEEK_END as u32)]),
            Trap::when(Group::Write, &[Test::Is(2, libc::SEEK_END as u32)]),
        ],
    )
    .fds(&[0]),
    Row::new(
        "mmap",
        9,
        Handler::Mmap,
        &[
            Trap::when(
                Group::Names,
                &[Test::Has(3, MAP_SHARED), Test::Lacks(3, MAP_ANONYMOUS), Test::IsNot(4, NO_FD)],
            ),
            Trap::when(Group::Read, &[Test::Lacks(3, MAP_ANONYMOUS), Test::IsNot(4, NO_FD)]),
        ],
    )
    .fds(&[4]),
    Row::new("munmap", 11, Handler::Munmap, &[Trap::always(Group::Maps)]),
    Row::new("mremap", 25, Handler::Munmap, &[Trap::always(Group::Maps)]),
    Row::new("ioctl", 16, Handler::Ioctl, &[Trap::always(Group::Ioctl)]).fds(&[0]),
];

/// The table of descriptors, and locks.
pub(super) const DESCRIPTORS: &[Row] = &[
    Row::new("close", 3, Handler::Close, FDS).fds(&[0]),
    Row::new("close_range", 436, Handler::Close, FDS),
    Row::new("dup", 32, Handler::Dup, FDS).fds(&[0]),
    Row::new("dup2", 33, Handler::Dup, FDS).fds(&[0, 1]),
    Row::new("dup3", 292, Handler::Dup, FDS).fds(&[0, 1]),
    Row::new(
        "fcntl",
        72,
        Handler::Fcntl,
        &[
            Trap::when(Group::Fds, &[Test::Is(1, libc::F_DUPFD as u32)]),
            Trap::when(Group::Fds, &[Test::Is(1, libc::F_DUPFD_CLOEXEC as u32)]),
            Trap::when(Group::Locks, &[Test::Is(1, libc::F_GETLK as u32)]),
            Trap::when(Group::Locks, &[Test::Is(1, libc::F_SETLK as u32)]),
            Trap::when(Group::Locks, &[Test::Is(1, libc::F_SETLKW as u32)]),
            Trap::when(Group::Locks, &[Test::Is(1, libc::F_OFD_GETLK as u32)]),
            Trap::when(Group::Locks, &[Test::Is(1, libc::F_OFD_SETLK as u32)]),
            Trap::when(Group::Locks, &[Test::Is(1, libc::F_OFD_SETLKW as u32)]),
        ],
    )
    .fds(&[0])
    .planned("record locks on virtual files hold within one open file, not between opens"),
    Row::new("flock", 73, Handler::Flock, &[Trap::always(Group::Locks)])
        .fds(&[0])
        .planned("locks on virtual files hold within one open file, not between opens"),
];
