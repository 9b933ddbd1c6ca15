//! When a call is trapped: groups of calls, and conditions on their arguments.

use bitflags::bitflags;

bitflags! {
    /// The groups that one filter traps. See [`Group`] for the meaning of each.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct GroupSet: u32 {
        /// [`Group::Base`].
        const BASE = 1 << Group::Base as u32;
        /// [`Group::Names`].
        const NAMES = 1 << Group::Names as u32;
        /// [`Group::Stat`].
        const STAT = 1 << Group::Stat as u32;
        /// [`Group::Read`].
        const READ = 1 << Group::Read as u32;
        /// [`Group::Write`].
        const WRITE = 1 << Group::Write as u32;
        /// [`Group::Ioctl`].
        const IOCTL = 1 << Group::Ioctl as u32;
        /// [`Group::Maps`].
        const MAPS = 1 << Group::Maps as u32;
        /// [`Group::Locks`].
        const LOCKS = 1 << Group::Locks as u32;
        /// [`Group::Fds`].
        const FDS = 1 << Group::Fds as u32;
        /// [`Group::Net`].
        const NET = 1 << Group::Net as u32;
        /// [`Group::Send`].
        const SEND = 1 << Group::Send as u32;
        /// [`Group::Recv`].
        const RECV = 1 << Group::Recv as u32;
        /// [`Group::Socket`].
        const SOCKET = 1 << Group::Socket as u32;
        /// [`Group::Ids`].
        const IDS = 1 << Group::Ids as u32;
        /// [`Group::Uname`].
        const UNAME = 1 << Group::Uname as u32;
        /// [`Group::Time`].
        const TIME = 1 << Group::Time as u32;
    }
}

/// A set of calls that are trapped together, from some moment of a view or of a process on.
///
/// Groups add up: filters stack and never come off, so a process that has `Names` keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    /// From the start of every view: mounting, changing the root, the virtual calls, and the doors
    /// that would lead around the filter.
    Base,
    /// Once any module is loaded: what takes a path, makes a name or uses a directory descriptor.
    Names,
    /// In processes that hold a virtual descriptor: attributes of descriptors.
    Stat,
    /// In processes that hold a virtual descriptor whose data the monitor serves: reading.
    Read,
    /// In the same processes: writing.
    Write,
    /// In processes that hold a virtual device, or a file with requests of its own.
    Ioctl,
    /// In processes that map a virtual file shared: the end of a map, where pages are written back.
    Maps,
    /// In processes that hold a virtual descriptor: record locks and flock(2).
    Locks,
    /// In processes whose descriptors are followed by number: what closes or copies one.
    Fds,
    /// Once a network stack is mounted: the making of sockets.
    Net,
    /// Once a name in the view can be an `AF_UNIX` address: sending to an address.
    Send,
    /// Once a descriptor may arrive by `SCM_RIGHTS` in a process that holds no virtual one.
    Recv,
    /// In processes that hold a virtual socket: all that is done with one.
    Socket,
    /// Once ids are virtual: user and group ids, groups, capabilities.
    Ids,
    /// Once the names of the system are virtual.
    Uname,
    /// Once time is virtual: clocks, timers, and each timeout that is neither nothing nor for ever.
    Time,
}

impl Group {
    /// Every group, in the order of the document.
    pub const ALL: [Self; 16] = [
        Self::Base,
        Self::Names,
        Self::Stat,
        Self::Read,
        Self::Write,
        Self::Ioctl,
        Self::Maps,
        Self::Locks,
        Self::Fds,
        Self::Net,
        Self::Send,
        Self::Recv,
        Self::Socket,
        Self::Ids,
        Self::Uname,
        Self::Time,
    ];

    /// The set that holds this group alone.
    #[must_use]
    pub const fn set(self) -> GroupSet {
        GroupSet::from_bits_retain(1 << self as u32)
    }

    /// The word of the document.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Names => "names",
            Self::Stat => "stat",
            Self::Read => "read",
            Self::Write => "write",
            Self::Ioctl => "ioctl",
            Self::Maps => "maps",
            Self::Locks => "locks",
            Self::Fds => "fds",
            Self::Net => "net",
            Self::Send => "send",
            Self::Recv => "recv",
            Self::Socket => "socket",
            Self::Ids => "ids",
            Self::Uname => "uname",
            Self::Time => "time",
        }
    }

    /// When the group is installed, in a sentence for the document.
    #[must_use]
    pub const fn moment(self) -> &'static str {
        match self {
            Self::Base => "from the start of every view",
            Self::Names => "once any module is loaded",
            Self::Stat => "in processes that hold a virtual descriptor: its attributes",
            Self::Read => "in processes that hold a descriptor served by the monitor: reading",
            Self::Write => "in the same processes: writing",
            Self::Ioctl => "in processes that hold a virtual device",
            Self::Maps => "in processes that map a virtual file shared",
            Self::Locks => "in processes that hold a virtual descriptor: locks",
            Self::Fds => "in processes whose descriptors are followed by number",
            Self::Net => "once a network stack is mounted",
            Self::Send => "once a name of the view can be a socket's address",
            Self::Recv => "once a virtual descriptor may arrive over a socket",
            Self::Socket => "in processes that hold a virtual socket",
            Self::Ids => "once ids are virtual",
            Self::Uname => "once the names of the system are virtual",
            Self::Time => "once time is virtual",
        }
    }
}

/// One reason to trap a call: its group is installed and all the tests hold.
///
/// A row may have several; any one of them traps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trap {
    /// The group that must be installed.
    pub group: Group,
    /// The tests, all of which must hold; none means always.
    pub all: &'static [Test],
}

/// A test on one argument (numbered from 0) that a filter can make.
///
/// A filter sees registers, never memory. All but the test for a null pointer look at the low 32
/// bits: the kernel's own prototypes take these arguments as `int`, or use no higher bit of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// The argument is the value.
    Is(u8, u32),
    /// The argument is not the value.
    IsNot(u8, u32),
    /// At least one of the bits is set.
    Has(u8, u32),
    /// None of the bits is set.
    Lacks(u8, u32),
    /// The bits of the first number, taken alone, are the second.
    Masked(u8, u32, u32),
    /// Some of the 64 bits is not zero: the pointer is not null.
    NotNull(u8),
}

impl Test {
    /// The index of the argument.
    #[must_use]
    pub const fn argument(self) -> u8 {
        match self {
            Self::Is(arg, _)
            | Self::IsNot(arg, _)
            | Self::Has(arg, _)
            | Self::Lacks(arg, _)
            | Self::Masked(arg, _, _)
            | Self::NotNull(arg) => arg,
        }
    }

    /// Whether the test holds for the arguments of a call.
    #[must_use]
    pub fn holds(self, args: &[u64; 6]) -> bool {
        let whole = args.get(usize::from(self.argument())).copied().unwrap_or(0);
        let low = whole as u32;
        match self {
            Self::Is(_, value) => low == value,
            Self::IsNot(_, value) => low != value,
            Self::Has(_, bits) => low & bits != 0,
            Self::Lacks(_, bits) => low & bits == 0,
            Self::Masked(_, mask, value) => low & mask == value,
            Self::NotNull(_) => whole != 0,
        }
    }
}
