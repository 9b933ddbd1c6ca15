//! The contract of a module: what `um_add_service` loads.

use crate::dev::Device;
use crate::fs::FileSystem;
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
    /// A set of system calls, with a tree at the target that steers it.
    Calls(Arc<dyn SyscallSet>, Option<Arc<dyn FileSystem>>),
}

/// System calls that a module answers itself (time, uname, sockets).
pub trait SyscallSet: Send + Sync {
    /// Numbers of x86-64.
    fn numbers(&self) -> Vec<u32>;

    /// Answers one call, or `None` to let it go where it went without this module.
    ///
    /// # Errors
    /// As the call's man page says.
    fn call(
        &self,
        caller: crate::fs::Caller,
        number: u32,
        args: [u64; 6],
        memory: &mut dyn crate::dev::UserMemory,
    ) -> Option<Result<u64>>;
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
