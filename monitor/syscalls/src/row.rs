//! The shape of a row.

use crate::group::{Group, GroupSet, Test, Trap};
use crate::handler::Handler;
use abi::Errno;

/// What the house knows about one system call.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The name of section 2 of the manual.
    pub name: &'static str,
    /// The number on x86-64.
    pub number: u32,
    /// Who answers it in the monitor.
    pub handler: Handler,
    /// The arguments that are paths.
    pub paths: &'static [PathArg],
    /// The arguments that are descriptors; the directory of a path argument is in `paths`.
    pub fds: &'static [u8],
    /// When the call is trapped: by any of these. Empty for calls that are always the kernel's.
    pub traps: &'static [Trap],
    /// What is promised.
    pub support: Support,
    /// What is missing or special. Never empty for `Partial`, `Planned` and `Refused`.
    pub note: &'static str,
}

/// How much of a call the view answers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// As Linux, for virtual and real objects alike.
    Full,
    /// With the limit that the note states.
    Partial,
    /// The kernel answers; the call names nothing that a view has.
    Native,
    /// The kernel answers until the handler that the note speaks of is written.
    Planned,
    /// The filter itself answers with this error wherever the call is trapped.
    Refused(Errno),
}

/// One argument that is a path in the tracee's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathArg {
    /// The argument that is the directory descriptor; `None` means the working directory.
    pub dirfd: Option<u8>,
    /// The argument that points to the path.
    pub path: u8,
    /// Where the flags are that `follow` and `empty` speak of.
    pub flags: FlagsIn,
    /// What a symbolic link as the last component means.
    pub follow: Follow,
    /// What an empty path or a null pointer means.
    pub empty: Empty,
}

/// Where the flags of a path argument are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagsIn {
    /// The call has none.
    None,
    /// In this argument, as bits of `AT_*` or of the call's own set.
    Arg(u8),
    /// In this argument, as flags of open(2).
    OpenFlags(u8),
    /// In the `struct open_how` that this argument points to.
    OpenHow(u8),
}

/// What a symbolic link as the last component means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// It is followed.
    Always,
    /// It is the object itself.
    Never,
    /// It is followed unless one of these bits of the flags is set.
    Unless(u32),
    /// It is followed if one of these bits of the flags is set.
    If(u32),
    /// As open(2): `O_NOFOLLOW`, and `O_CREAT` with `O_EXCL`; for openat2 also the resolve bits.
    OpenLike,
}

/// What an empty path or a null pointer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Empty {
    /// Empty is `ENOENT`, null is `EFAULT`.
    Error,
    /// With one of these bits of the flags, empty means the directory descriptor's own file; so
    /// does null since Linux 6.11 for the calls that take `AT_EMPTY_PATH`.
    If(u32),
    /// Null means the directory descriptor's own file, empty is `ENOENT` unless a bit is set.
    NullOrIf(u32),
    /// Empty always means the directory descriptor's own file (readlinkat).
    Always,
    /// Null is a call without a path (acct, swapping accounts off; quotactl's sync of all).
    NullIsNone,
}

impl Row {
    pub(crate) const fn new(
        name: &'static str,
        number: u32,
        handler: Handler,
        traps: &'static [Trap],
    ) -> Self {
        Self {
            name,
            number,
            handler,
            paths: &[],
            fds: &[],
            traps,
            support: Support::Full,
            note: "",
        }
    }

    pub(crate) const fn paths(mut self, paths: &'static [PathArg]) -> Self {
        self.paths = paths;
        self
    }

    pub(crate) const fn fds(mut self, fds: &'static [u8]) -> Self {
        self.fds = fds;
        self
    }

    pub(crate) const fn partial(mut self, note: &'static str) -> Self {
        self.support = Support::Partial;
        self.note = note;
        self
    }

    pub(crate) const fn planned(mut self, note: &'static str) -> Self {
        self.support = Support::Planned;
        self.note = note;
        self
    }

    pub(crate) const fn refused(mut self, errno: Errno, note: &'static str) -> Self {
        self.support = Support::Refused(errno);
        self.note = note;
        self
    }

    pub(crate) const fn note(mut self, note: &'static str) -> Self {
        self.note = note;
        self
    }

    /// A call that the kernel answers in every view.
    pub(crate) const fn native(name: &'static str, number: u32) -> Self {
        let mut row = Self::new(name, number, Handler::Native, &[]);
        row.support = Support::Native;
        row
    }

    /// Whether a filter with these groups traps the call, or refuses it, for these arguments.
    #[must_use]
    pub fn is_trapped(&self, groups: GroupSet, args: &[u64; 6]) -> bool {
        self.traps.iter().any(|trap| {
            groups.contains(trap.group.set()) && trap.all.iter().all(|test| test.holds(args))
        })
    }

    /// The groups in which the call is trapped, under whatever condition.
    #[must_use]
    pub fn groups(&self) -> GroupSet {
        self.traps.iter().map(|trap| trap.group.set()).collect()
    }
}

impl Trap {
    /// A trap without condition.
    pub(crate) const fn always(group: Group) -> Self {
        Self { group, all: &[] }
    }

    /// A trap when all the tests hold.
    pub(crate) const fn when(group: Group, all: &'static [Test]) -> Self {
        Self { group, all }
    }
}

impl PathArg {
    /// A path without directory descriptor, followed.
    pub(crate) const fn plain(path: u8) -> Self {
        Self {
            dirfd: None,
            path,
            flags: FlagsIn::None,
            follow: Follow::Always,
            empty: Empty::Error,
        }
    }

    /// A path with a directory descriptor, followed.
    pub(crate) const fn at(dirfd: u8, path: u8) -> Self {
        Self {
            dirfd: Some(dirfd),
            path,
            flags: FlagsIn::None,
            follow: Follow::Always,
            empty: Empty::Error,
        }
    }

    pub(crate) const fn never(mut self) -> Self {
        self.follow = Follow::Never;
        self
    }

    pub(crate) const fn empty(mut self, empty: Empty) -> Self {
        self.empty = empty;
        self
    }

    pub(crate) const fn flags(mut self, flags: FlagsIn, follow: Follow, empty: Empty) -> Self {
        self.flags = flags;
        self.follow = follow;
        self.empty = empty;
        self
    }

    /// The usual flags: `AT_SYMLINK_NOFOLLOW` and `AT_EMPTY_PATH` in argument `arg`.
    pub(crate) const fn at_flags(self, arg: u8) -> Self {
        self.flags(
            FlagsIn::Arg(arg),
            Follow::Unless(libc::AT_SYMLINK_NOFOLLOW as u32),
            Empty::If(libc::AT_EMPTY_PATH as u32),
        )
    }
}
