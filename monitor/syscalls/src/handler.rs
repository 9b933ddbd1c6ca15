//! Who answers a call: one word for each family.

/// The family of the handler that answers a trapped call. The monitor matches on it exhaustively.
///
/// Calls of one family differ in where their arguments are, which the row tells, and in little
/// else; what is left is told by the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Handler {
    /// Never trapped: the kernel's alone.
    Native,
    /// Never reaches the monitor: the filter answers.
    Refused,
    /// The virtual calls, 5000 and up.
    Virtual,

    /// open, creat, openat, openat2.
    Open,
    /// stat, lstat, fstat, newfstatat, statx.
    Stat,
    /// access, faccessat, faccessat2.
    Access,
    /// execve, execveat.
    Exec,
    /// chdir, fchdir.
    Chdir,
    /// getcwd.
    Getcwd,
    /// readlink, readlinkat.
    Readlink,
    /// mkdir, mkdirat.
    Mkdir,
    /// umask, and clone where it is shared otherwise than by threads.
    Umask,
    /// mknod, mknodat.
    Mknod,
    /// rename, renameat, renameat2.
    Rename,
    /// link, linkat.
    Link,
    /// symlink, symlinkat.
    Symlink,
    /// unlink, rmdir, unlinkat.
    Unlink,
    /// chmod, fchmod, fchmodat, fchmodat2.
    Chmod,
    /// chown, lchown, fchown, fchownat.
    Chown,
    /// utime, utimes, futimesat, utimensat.
    Utime,
    /// truncate, ftruncate.
    Truncate,
    /// fallocate.
    Fallocate,
    /// fsync, fdatasync, sync_file_range, syncfs, sync.
    Sync,
    /// statfs, fstatfs, ustat.
    Statfs,
    /// setxattr and its family.
    Setxattr,
    /// getxattr and its family.
    Getxattr,
    /// listxattr and its family.
    Listxattr,
    /// removexattr and its family.
    Removexattr,
    /// file_getattr, file_setattr.
    FileAttr,
    /// getdents, getdents64.
    Getdents,
    /// inotify_add_watch, fanotify_mark.
    Watch,
    /// name_to_handle_at, open_by_handle_at.
    FileHandle,

    /// mount.
    Mount,
    /// umount2.
    Umount,
    /// fsopen, fsconfig, fsmount, fspick, move_mount, open_tree, open_tree_attr, mount_setattr.
    MountApi,
    /// statmount, listmount.
    MountInfo,
    /// chroot.
    Chroot,
    /// pivot_root.
    PivotRoot,
    /// swapon, swapoff.
    Swap,
    /// quotactl, quotactl_fd.
    Quota,
    /// acct.
    Acct,
    /// ptrace.
    Ptrace,
    /// unshare, setns.
    Namespace,

    /// read, pread64, readv, preadv, preadv2.
    Read,
    /// write, pwrite64, writev, pwritev, pwritev2.
    Write,
    /// sendfile, splice, copy_file_range: both ends are descriptors.
    Transfer,
    /// io_submit.
    Aio,
    /// lseek.
    Lseek,
    /// mmap.
    Mmap,
    /// munmap, mremap.
    Munmap,
    /// msync.
    Msync,
    /// ioctl.
    Ioctl,
    /// fcntl.
    Fcntl,
    /// flock.
    Flock,
    /// close, close_range.
    Close,
    /// dup, dup2, dup3.
    Dup,
    /// pidfd_getfd.
    PidfdGetfd,

    /// socket, socketpair.
    Socket,
    /// bind.
    Bind,
    /// connect.
    Connect,
    /// listen, shutdown.
    SocketState,
    /// accept, accept4.
    Accept,
    /// getsockname, getpeername.
    SocketName,
    /// getsockopt, setsockopt.
    SocketOption,
    /// sendto, sendmsg, sendmmsg.
    Send,
    /// recvfrom, recvmsg, recvmmsg.
    Recv,

    /// getuid, geteuid, getgid, getegid, getresuid, getresgid.
    GetId,
    /// setuid, setgid, setreuid, setregid, setresuid, setresgid, setfsuid, setfsgid.
    SetId,
    /// getgroups, setgroups.
    Groups,
    /// capget, capset.
    Capabilities,
    /// prctl.
    Prctl,
    /// uname, sethostname, setdomainname.
    Uname,

    /// time, gettimeofday, clock_gettime, clock_getres, times, sysinfo.
    ReadClock,
    /// settimeofday, clock_settime, adjtimex, clock_adjtime.
    SetClock,
    /// nanosleep, clock_nanosleep.
    Sleep,
    /// alarm, getitimer, setitimer, timer_*, timerfd_*.
    Timer,
    /// Calls that wait with a timeout: poll, select, epoll, futex and their kin.
    Timeout,
}
