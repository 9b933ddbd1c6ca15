//! Calls that read or change attributes, by path or by descriptor.

use super::NAMES;
use crate::group::{Group, Trap};
use crate::handler::Handler;
use crate::row::{Empty, FlagsIn, Follow, PathArg, Row};

/// Mode, owner, times, size, and the state of the file system.
pub(super) const ATTRIBUTES: &[Row] = &[
    Row::new("chmod", 90, Handler::Chmod, NAMES).paths(&[PathArg::plain(0)]),
    Row::new("fchmod", 91, Handler::Chmod, NAMES).fds(&[0]),
    Row::new("fchmodat", 268, Handler::Chmod, NAMES).paths(&[PathArg::at(0, 1)]),
    Row::new("fchmodat2", 452, Handler::Chmod, NAMES).paths(&[PathArg::at(0, 1).at_flags(3)]),
    Row::new("chown", 92, Handler::Chown, NAMES).paths(&[PathArg::plain(0)]),
    Row::new("fchown", 93, Handler::Chown, NAMES).fds(&[0]),
    Row::new("lchown", 94, Handler::Chown, NAMES).paths(&[PathArg::plain(0).never()]),
    Row::new("fchownat", 260, Handler::Chown, NAMES).paths(&[PathArg::at(0, 1).at_flags(4)]),
    Row::new("utime", 132, Handler::Utime, NAMES).paths(&[PathArg::plain(0)]),
    Row::new("utimes", 235, Handler::Utime, NAMES).paths(&[PathArg::plain(0)]),
    Row::new("futimesat", 261, Handler::Utime, NAMES)
        .paths(&[PathArg::at(0, 1).empty(Empty::NullOrIf(0))]),
    Row::new("utimensat", 280, Handler::Utime, NAMES).paths(&[PathArg::at(0, 1).flags(
        FlagsIn::Arg(3),
        Follow::Unless(libc::AT_SYMLINK_NOFOLLOW as u32),
        Empty::NullOrIf(libc::AT_EMPTY_PATH as u32),
    )]),
    Row::new("truncate", 76, Handler::Truncate, NAMES).paths(&[PathArg::plain(0)]),
    Row::new("ftruncate", 77, Handler::Truncate, NAMES).fds(&[0]),
    Row::new("fallocate", 285, Handler::Fallocate, NAMES).fds(&[0]),
    Row::new("fsync", 74, Handler::Sync, NAMES).fds(&[0]),
    Row::new("fdatasync", 75, Handler::Sync, NAMES).fds(&[0]),
    Row::new("sync_file_range", 277, Handler::Sync, NAMES).fds(&[0]),
    Row::new("syncfs", 306, Handler::Sync, NAMES).fds(&[0]),
    Row::new("sync", 162, Handler::Sync, NAMES),
    Row::new("msync", 26, Handler::Msync, &[Trap::always(Group::Names), Trap::always(Group::Maps)]),
    Row::new("statfs", 137, Handler::Statfs, NAMES).paths(&[PathArg::plain(0)]),
    Row::new("fstatfs", 138, Handler::Statfs, NAMES).fds(&[0]),
    Row::new("file_getattr", 468, Handler::FileAttr, NAMES)
        .paths(&[PathArg::at(0, 1).at_flags(4)])
        .partial("EOPNOTSUPP for virtual files"),
    Row::new("file_setattr", 469, Handler::FileAttr, NAMES)
        .paths(&[PathArg::at(0, 1).at_flags(4)])
        .partial("EOPNOTSUPP for virtual files"),
];

/// Extended attributes: four operations, four ways to name the file.
pub(super) const XATTRS: &[Row] = &[
    Row::new("setxattr", 188, Handler::Setxattr, NAMES).paths(&[PathArg::plain(0)]),
    Row::new("lsetxattr", 189, Handler::Setxattr, NAMES).paths(&[PathArg::plain(0).never()]),
    Row::new("fsetxattr", 190, Handler::Setxattr, NAMES).fds(&[0]),
    Row::new("setxattrat", 463, Handler::Setxattr, NAMES).paths(&[PathArg::at(0, 1).at_flags(2)]),
    Row::new("getxattr", 191, Handler::Getxattr, NAMES).paths(&[PathArg::plain(0)]),
    Row::new("lgetxattr", 192, Handler::Getxattr, NAMES).paths(&[PathArg::plain(0).never()]),
    Row::new("fgetxattr", 193, Handler::Getxattr, NAMES).fds(&[0]),
    Row::new("getxattrat", 464, Handler::Getxattr, NAMES).paths(&[PathArg::at(0, 1).at_flags(2)]),
    Row::new("listxattr", 194, Handler::Listxattr, NAMES).paths(&[PathArg::plain(0)]),
    Row::new("llistxattr", 195, Handler::Listxattr, NAMES).paths(&[PathArg::plain(0).never()]),
    Row::new("flistxattr", 196, Handler::Listxattr, NAMES).fds(&[0]),
    Row::new("listxattrat", 465, Handler::Listxattr, NAMES).paths(&[PathArg::at(0, 1).at_flags(2)]),
    Row::new("removexattr", 197, Handler::Removexattr, NAMES).paths(&[PathArg::plain(0)]),
    Row::new("lremovexattr", 198, Handler::Removexattr, NAMES).paths(&[PathArg::plain(0).never()]),
    Row::new("fremovexattr", 199, Handler::Removexattr, NAMES).fds(&[0]),
    Row::new("removexattrat", 466, Handler::Removexattr, NAMES)
        .paths(&[PathArg::at(0, 1).at_flags(2)]),
];
