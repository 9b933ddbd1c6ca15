//! Calls that change what a view is made of, and the doors that lead around the monitor.

use super::{BASE, NAMES};
use crate::group::{Group, Test, Trap};
use crate::handler::Handler;
use crate::row::{Empty, FlagsIn, Follow, PathArg, Row};

const MOVE_MOUNT_F_SYMLINKS: u32 = 0x01;
const MOVE_MOUNT_F_EMPTY_PATH: u32 = 0x04;
const MOVE_MOUNT_T_SYMLINKS: u32 = 0x10;
const MOVE_MOUNT_T_EMPTY_PATH: u32 = 0x40;
const FSPICK_SYMLINK_NOFOLLOW: u32 = 0x02;
const FSPICK_EMPTY_PATH: u32 = 0x08;

/// New mount and user namespaces: their own mounts would hide the view's.
const NAMESPACES: u32 = (libc::CLONE_NEWNS | libc::CLONE_NEWUSER) as u32;

const MOUNT_API_NOTE: &str =
    "ENOSYS while a module is loaded, so that callers fall back to mount(2)";

/// Mounting, roots, quotas, swapping, accounting, tracing, namespaces.
pub(super) const MOUNTS: &[Row] = &[
    Row::new("mount", 165, Handler::Mount, BASE)
        .paths(&[PathArg::plain(1)])
        .note("whether the first argument is a path depends on the type and the flags"),
    Row::new("umount2", 166, Handler::Umount, BASE).paths(&[PathArg::plain(0).flags(
        FlagsIn::Arg(1),
        Follow::Unless(libc::UMOUNT_NOFOLLOW as u32),
        Empty::Error,
    )]),
    Row::new("chroot", 161, Handler::Chroot, BASE).paths(&[PathArg::plain(0)]),
    Row::new("pivot_root", 155, Handler::PivotRoot, BASE)
        .paths(&[PathArg::plain(0), PathArg::plain(1)])
        .partial("EINVAL where a virtual mount is involved"),
    Row::new("fsopen", 430, Handler::MountApi, BASE).partial(MOUNT_API_NOTE),
    Row::new("fsconfig", 431, Handler::MountApi, BASE).fds(&[0]).partial(MOUNT_API_NOTE),
    Row::new("fsmount", 432, Handler::MountApi, BASE).fds(&[0]).partial(MOUNT_API_NOTE),
    Row::new("fspick", 433, Handler::MountApi, BASE)
        .paths(&[PathArg::at(0, 1).flags(
            FlagsIn::Arg(2),
            Follow::Unless(FSPICK_SYMLINK_NOFOLLOW),
            Empty::If(FSPICK_EMPTY_PATH),
        )])
        .partial(MOUNT_API_NOTE),
    Row::new("move_mount", 429, Handler::MountApi, BASE)
        .paths(&[
            PathArg::at(0, 1).flags(
                FlagsIn::Arg(4),
                Follow::If(MOVE_MOUNT_F_SYMLINKS),
                Empty::If(MOVE_MOUNT_F_EMPTY_PATH),
            ),
            PathArg::at(2, 3).flags(
                FlagsIn::Arg(4),
                Follow::If(MOVE_MOUNT_T_SYMLINKS),
                Empty::If(MOVE_MOUNT_T_EMPTY_PATH),
            ),
        ])
        .partial(MOUNT_API_NOTE),
    Row::new("open_tree", 428, Handler::MountApi, BASE)
        .paths(&[PathArg::at(0, 1).at_flags(2)])
        .partial(MOUNT_API_NOTE),
    Row::new("open_tree_attr", 467, Handler::MountApi, BASE)
        .paths(&[PathArg::at(0, 1).at_flags(2)])
        .partial(MOUNT_API_NOTE),
    Row::new("mount_setattr", 442, Handler::MountApi, BASE)
        .paths(&[PathArg::at(0, 1).at_flags(2)])
        .partial(MOUNT_API_NOTE),
    Row::new("statmount", 457, Handler::MountInfo, BASE)
        .partial("ENOSYS while a module is loaded: callers read mountinfo, which the view answers"),
    Row::new("listmount", 458, Handler::MountInfo, BASE)
        .partial("ENOSYS while a module is loaded: callers read mountinfo, which the view answers"),
    Row::new("swapon", 167, Handler::Swap, BASE)
        .paths(&[PathArg::plain(0)])
        .partial("EINVAL for virtual files"),
    Row::new("swapoff", 168, Handler::Swap, BASE)
        .paths(&[PathArg::plain(0)])
        .partial("EINVAL for virtual files"),
    Row::new("quotactl", 179, Handler::Quota, BASE)
        .paths(&[PathArg::plain(1).empty(Empty::NullIsNone)])
        .partial("ENOTBLK for virtual devices"),
    Row::new("quotactl_fd", 443, Handler::Quota, BASE)
        .fds(&[0])
        .partial("ENOSYS for virtual files"),
    Row::new("acct", 163, Handler::Acct, BASE)
        .paths(&[PathArg::plain(0).empty(Empty::NullIsNone)])
        .partial("EACCES for virtual files"),
    Row::new("ptrace", 101, Handler::Ptrace, BASE)
        .partial("a debugged process is let go by the monitor's own ptrace"),
    Row::new(
        "unshare",
        272,
        Handler::Namespace,
        &[Trap::when(Group::Names, &[Test::Has(0, NAMESPACES | libc::CLONE_FS as u32)])],
    )
    .partial("the view's mounts stay what they are in a new mount namespace"),
    Row::new(
        "setns",
        308,
        Handler::Namespace,
        &[
            Trap::when(Group::Names, &[Test::Has(1, NAMESPACES)]),
            Trap::when(Group::Names, &[Test::Is(1, 0)]),
        ],
    )
    .fds(&[0])
    .partial("the view's mounts stay what they are in another mount namespace"),
    Row::new("pidfd_getfd", 438, Handler::PidfdGetfd, NAMES).fds(&[0]),
];
