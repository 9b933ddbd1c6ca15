//! Calls that take a path, make or remove a name, or use a directory descriptor.

use super::NAMES;
use crate::group::{Group, Test, Trap};
use crate::handler::Handler;
use crate::row::{Empty, FlagsIn, Follow, PathArg, Row};

const EMPTY_PATH: u32 = libc::AT_EMPTY_PATH as u32;
const CWD: u32 = libc::AT_FDCWD as u32;

/// By name unless the flags say that the descriptor itself is meant; by descriptor in `Stat`.
const STAT_BY_NAME_OR_FD: &[Trap] = &[
    Trap::when(Group::Names, &[Test::Lacks(3, EMPTY_PATH)]),
    Trap::when(Group::Names, &[Test::Is(0, CWD)]),
    Trap::always(Group::Stat),
];

/// The same for statx(2), whose flags are the third argument.
const STATX_BY_NAME_OR_FD: &[Trap] = &[
    Trap::when(Group::Names, &[Test::Lacks(2, EMPTY_PATH)]),
    Trap::when(Group::Names, &[Test::Is(0, CWD)]),
    Trap::always(Group::Stat),
];

const EMPTY_PATH_NOTE: &str = "until the process holds a virtual descriptor, a call with \
    AT_EMPTY_PATH, a descriptor and yet a path that is not empty is the kernel's: a filter sees \
    no memory";

const fn open(path: PathArg, flags: FlagsIn) -> PathArg {
    path.flags(flags, Follow::OpenLike, Empty::Error)
}

/// Opening, looking, executing, moving about.
pub(super) const OPEN_AND_LOOK: &[Row] = &[
    Row::new("open", 2, Handler::Open, NAMES)
        .paths(&[open(PathArg::plain(0), FlagsIn::OpenFlags(1))]),
    Row::new("creat", 85, Handler::Open, NAMES).paths(&[PathArg::plain(0)]),
    Row::new("openat", 257, Handler::Open, NAMES)
        .paths(&[open(PathArg::at(0, 1), FlagsIn::OpenFlags(2))]),
    Row::new("openat2", 437, Handler::Open, NAMES)
        .paths(&[open(PathArg::at(0, 1), FlagsIn::OpenHow(2))]),
    Row::new("stat", 4, Handler::Stat, NAMES).paths(&[PathArg::plain(0)]),
    Row::new("lstat", 6, Handler::Stat, NAMES).paths(&[PathArg::plain(0).never()]),
    Row::new("fstat", 5, Handler::Stat, &[Trap::always(Group::Stat)]).fds(&[0]),
    Row::new("newfstatat", 262, Handler::Stat, STAT_BY_NAME_OR_FD)
        .paths(&[PathArg::at(0, 1).at_flags(3)])
        .partial(EMPTY_PATH_NOTE),
    Row::new("statx", 332, Handler::Stat, STATX_BY_NAME_OR_FD)
        .paths(&[PathArg::at(0, 1).at_flags(2)])
        .partial(EMPTY_PATH_NOTE),
    Row::new("access", 21, Handler::Access, NAMES).paths(&[PathArg::plain(0)]),
    Row::new("faccessat", 269, Handler::Access, NAMES).paths(&[PathArg::at(0, 1)]),
    Row::new("faccessat2", 439, Handler::Access, NAMES).paths(&[PathArg::at(0, 1).at_flags(3)]),
    Row::new("execve", 59, Handler::Exec, NAMES).paths(&[PathArg::plain(0)]),
    Row::new("execveat", 322, Handler::Exec, NAMES).paths(&[PathArg::at(0, 1).at_flags(4)]),
    Row::new("chdir", 80, Handler::Chdir, NAMES).paths(&[PathArg::plain(0)]),
    Row::new("fchdir", 81, Handler::Chdir, NAMES).fds(&[0]),
    Row::new("getcwd", 79, Handler::Getcwd, NAMES),
    Row::new("readlink", 89, Handler::Readlink, NAMES).paths(&[PathArg::plain(0).never()]),
    Row::new("readlinkat", 267, Handler::Readlink, NAMES)
        .paths(&[PathArg::at(0, 1).never().empty(Empty::Always)]),
    Row::new("getdents", 78, Handler::Getdents, NAMES).fds(&[0]),
    Row::new("getdents64", 217, Handler::Getdents, NAMES).fds(&[0]),
    Row::new("name_to_handle_at", 303, Handler::FileHandle, NAMES)
        .paths(&[PathArg::at(0, 1).flags(
            FlagsIn::Arg(4),
            Follow::If(libc::AT_SYMLINK_FOLLOW as u32),
            Empty::If(EMPTY_PATH),
        )])
        .partial("EOPNOTSUPP for virtual files"),
    Row::new("open_by_handle_at", 304, Handler::FileHandle, NAMES)
        .fds(&[0])
        .partial("no handles of virtual files exist"),
    Row::new("inotify_add_watch", 254, Handler::Watch, NAMES)
        .paths(&[PathArg::plain(1).flags(
            FlagsIn::Arg(2),
            Follow::Unless(libc::IN_DONT_FOLLOW),
            Empty::Error,
        )])
        .fds(&[0])
        .partial("virtual files can be watched, but no event comes for them"),
    Row::new("fanotify_mark", 301, Handler::Watch, NAMES)
        .paths(&[PathArg::at(3, 4).flags(
            FlagsIn::Arg(1),
            Follow::Unless(libc::FAN_MARK_DONT_FOLLOW),
            Empty::NullOrIf(0),
        )])
        .fds(&[0])
        .partial("ENODEV for virtual files"),
];

/// Making, removing, renaming.
pub(super) const CREATE_AND_REMOVE: &[Row] = &[
    Row::new("mkdir", 83, Handler::Mkdir, NAMES).paths(&[PathArg::plain(0).never()]),
    Row::new("mkdirat", 258, Handler::Mkdir, NAMES).paths(&[PathArg::at(0, 1).never()]),
    Row::new("mknod", 133, Handler::Mknod, NAMES).paths(&[PathArg::plain(0).never()]),
    Row::new("mknodat", 259, Handler::Mknod, NAMES).paths(&[PathArg::at(0, 1).never()]),
    Row::new("rename", 82, Handler::Rename, NAMES)
        .paths(&[PathArg::plain(0).never(), PathArg::plain(1).never()]),
    Row::new("renameat", 264, Handler::Rename, NAMES)
        .paths(&[PathArg::at(0, 1).never(), PathArg::at(2, 3).never()]),
    Row::new("renameat2", 316, Handler::Rename, NAMES)
        .paths(&[PathArg::at(0, 1).never(), PathArg::at(2, 3).never()]),
    Row::new("link", 86, Handler::Link, NAMES)
        .paths(&[PathArg::plain(0).never(), PathArg::plain(1).never()]),
    Row::new("linkat", 265, Handler::Link, NAMES).paths(&[
        PathArg::at(0, 1).flags(
            FlagsIn::Arg(4),
            Follow::If(libc::AT_SYMLINK_FOLLOW as u32),
            Empty::If(EMPTY_PATH),
        ),
        PathArg::at(2, 3).never(),
    ]),
    Row::new("symlink", 88, Handler::Symlink, NAMES)
        .paths(&[PathArg::plain(1).never()])
        .note("the first argument is text"),
    Row::new("symlinkat", 266, Handler::Symlink, NAMES)
        .paths(&[PathArg::at(1, 2).never()])
        .note("the first argument is text"),
    Row::new("unlink", 87, Handler::Unlink, NAMES).paths(&[PathArg::plain(0).never()]),
    Row::new("rmdir", 84, Handler::Unlink, NAMES).paths(&[PathArg::plain(0).never()]),
    Row::new("unlinkat", 263, Handler::Unlink, NAMES).paths(&[PathArg::at(0, 1).never()]),
];
