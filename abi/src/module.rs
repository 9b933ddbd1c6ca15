//! The contract of a module: what `um_add_service` loads.

use crate::dev::{Device, UserMemory};
use crate::fs::{Caller, FileSystem, Timestamp};
use crate::host::Host;
use crate::options::Options;
use crate::{Errno, Result};
use core::fmt;
use std::sync::Arc;

/// Why a mount was refused: the number for the caller, the sentence for the person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountError {
    /// What mount(2) answers.
    pub errno: Errno,
    /// Cause and next step, without a trailing full stop.
    pub message: String,
}

impl MountError {
    /// Pairs a number with its sentence.
    pub fn new(errno: Errno, message: impl Into<String>) -> Self {
        Self { errno, message: message.into() }
    }
}

impl From<Errno> for MountError {
    fn from(errno: Errno) -> Self {
        Self { errno, message: errno.to_string() }
    }
}

impl fmt::Display for MountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for MountError {}

/// A key of the monitor's global hash table: what a module answers for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Claim {
    /// A prefix of file system types: `umfuse` claims `umfuseext2`.
    FsTypePrefix(String),
    /// Exactly this file system type.
    FsType(String),
    /// An address family.
    Family(i32),
    /// System calls, by number of x86-64.
    Syscall(u32),
}

/// What mount(2) asked of a module.
#[derive(Debug)]
pub struct MountRequest {
    /// The type, as written after `-t`.
    pub fs_type: String,
    /// The source, as written.
    pub source: String,
    /// Where it will show, absolute, in the view.
    pub target: String,
    /// `MS_RDONLY` was given.
    pub read_only: bool,
    /// The text behind `-o`, without the flags that mount(8) turned into bits.
    pub options: Options,
}

/// What a mount became.
pub enum Object {
    /// A tree at the target.
    Tree(Arc<dyn FileSystem>),
    /// A special file at the target.
    Device(Arc<dyn Device>),
    /// A set of system calls, with a tree at the target that steers it; without one, the target shows what was there.
    Calls(Arc<dyn SyscallSet>, Option<Arc<dyn FileSystem>>),
    /// Binary formats that exec knows from now on, with the tree that steers them.
    Formats(Arc<dyn BinaryFormats>, Arc<dyn FileSystem>),
}

/// How a [`SyscallSet`] answers a call.
pub enum CallAnswer {
    /// It goes where it went without this module.
    Pass,
    /// It does not run; this is its result.
    Return(Result<u64>),
    /// The kernel runs another call in its place, which may wait.
    Run(Box<CallInstead>),
}

/// A call that the kernel runs in place of the caller's.
pub struct CallInstead {
    /// Its number on x86-64.
    pub number: u32,
    /// Its arguments.
    pub args: [CallArg; 6],
    /// What is to be done with its result.
    pub after: Option<AfterCall>,
}

/// An argument of a call that runs in place of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallArg {
    /// An integer, or an address that the caller already has.
    Value(u64),
    /// The address of these bytes, which are in the caller's memory for the time of the call.
    Bytes(Vec<u8>),
}

/// Work at the end of a call that ran in place of another: gets the caller's memory, the six arguments as they
/// were (the addresses of [`CallArg::Bytes`] still hold their bytes) and the raw result, and gives the result that
/// the caller sees. Must not wait. Results from -516 to -512 say that a signal interrupted the call, and must be
/// handed back as they are.
pub type AfterCall = Box<dyn FnOnce(&mut dyn UserMemory, [u64; 6], i64) -> i64 + Send>;

/// System calls that a module answers itself (time, uname, sockets).
pub trait SyscallSet: Send + Sync {
    /// Numbers of x86-64.
    fn numbers(&self) -> Vec<u32>;

    /// Answers one call. Called from many threads at once; must not wait.
    ///
    /// # Errors
    /// As the call's man page says.
    fn answer(
        &self,
        caller: Caller,
        number: u32,
        args: [u64; 6],
        memory: &mut dyn UserMemory,
    ) -> CallAnswer;

    /// The clocks of this set, for code that reads them inside the processes; `None` if it has none.
    fn clocks(&self) -> Option<Arc<dyn VirtualClocks>> {
        None
    }
}

/// A clock that runs at its own pace: `value = base + offset + ((real - base) * rate >> 32)`, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The real time at which this pace began.
    pub base_nanos: i64,
    /// What is added.
    pub offset_nanos: i64,
    /// Virtual seconds in a real second, with 32 binary digits after the point.
    pub rate: u64,
}

/// The paces of the clocks that a view can have of its own. Clocks of CPU time are nobody's but the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paces {
    /// `CLOCK_REALTIME`, and its coarse and alarm forms.
    pub realtime: Pace,
    /// `CLOCK_MONOTONIC`, and its coarse form.
    pub monotonic: Pace,
    /// `CLOCK_MONOTONIC_RAW`
    pub raw: Pace,
    /// `CLOCK_BOOTTIME`, and its alarm form.
    pub boottime: Pace,
    /// `CLOCK_TAI`
    pub tai: Pace,
}

impl Paces {
    /// The pace of a clock of clock_gettime(2); `None` for clocks of CPU time and unknown ones.
    #[must_use]
    pub const fn of(&self, clock: i32) -> Option<&Pace> {
        match clock {
            libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE | libc::CLOCK_REALTIME_ALARM => {
                Some(&self.realtime)
            }
            libc::CLOCK_MONOTONIC | libc::CLOCK_MONOTONIC_COARSE => Some(&self.monotonic),
            libc::CLOCK_MONOTONIC_RAW => Some(&self.raw),
            libc::CLOCK_BOOTTIME | libc::CLOCK_BOOTTIME_ALARM => Some(&self.boottime),
            libc::CLOCK_TAI => Some(&self.tai),
            _ => None,
        }
    }
}

/// The two moments of a change of pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaceChange {
    /// It is about to be made: who computes by the old paces must have done before it goes on.
    Begins,
    /// It is made.
    Over,
}

/// Clocks whose pace can be asked for, and that tell when it changes.
pub trait VirtualClocks: Send + Sync {
    /// The paces at this moment.
    fn paces(&self) -> Paces;

    /// `told` is called before and after each change, on the thread that makes it.
    fn watch(&self, told: Box<dyn Fn(PaceChange) + Send + Sync>);

    /// Whether any time of a file is shown otherwise than the host has it.
    fn moves_file_times(&self) -> bool {
        false
    }

    /// What is shown of a file's time: the host has it as `real`.
    fn shown_time(&self, real: Timestamp) -> Timestamp {
        real
    }

    /// The time to give a file so that `shown` is shown of it.
    fn stored_time(&self, shown: Timestamp) -> Timestamp {
        shown
    }
}

/// Who runs a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpreter {
    /// Its path, in the view.
    pub path: Vec<u8>,
    /// The program's own first argument follows its path (flag `P` of binfmt_misc).
    pub keeps_first_argument: bool,
    /// It is given the program as an open descriptor (flag `O`).
    pub opens_program: bool,
    /// Set-id bits are those of the program (flag `C`).
    pub has_credentials_of_program: bool,
    /// The path is the view's, whatever root the process has (flag `F`).
    pub is_fixed: bool,
}

/// Binary formats that are run by interpreters. Analogous to `struct linux_binfmt`.
pub trait BinaryFormats: Send + Sync {
    /// Whether a program at this path of the view is looked at.
    fn covers(&self, view_path: &[u8]) -> bool;

    /// The interpreter of a program: by its name as exec was given it, and its first 256 bytes, where what a
    /// shorter file lacks is zero.
    fn interpreter(&self, name: &[u8], head: &[u8; 256]) -> Option<Interpreter>;
}

/// What `um_add_service` loads. View-OS: module and service.
pub trait Module: Send + Sync {
    /// The name after `um_add_service`.
    fn name(&self) -> &'static str;

    /// One line for `um_ls_service`.
    fn description(&self) -> &'static str;

    /// What this module answers for from the moment it is loaded.
    fn claims(&self) -> Vec<Claim>;

    /// Makes the object of a mount. `host` is the view as it was before, and stays so.
    ///
    /// # Errors
    /// In check order, each with a sentence:
    /// - `ENODEV` if no submodule has this type.
    /// - `EINVAL` naming the first unknown option.
    /// - what the submodule says.
    fn mount(
        &self,
        host: Arc<dyn Host>,
        request: &mut MountRequest,
    ) -> core::result::Result<Object, MountError>;

    /// Told before a mount of this module goes away; data is flushed by [`FileSystem::sync`] before.
    fn unmounted(&self, target: &str) {
        let _ = target;
    }
}
