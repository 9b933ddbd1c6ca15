//! The layer that refuses mutations.

use crate::call::Call;
use crate::layer::{Hook, Layered};
use abi::fs::FileSystem;
use abi::{Errno, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A file system whose mutations answer `EROFS` while its switch is on.
pub type ReadOnlyLayer = Layered<ReadOnly>;

/// Turns a [`ReadOnlyLayer`] on and off, as `mount -o remount` does.
#[derive(Clone, Debug, Default)]
pub struct ReadOnlySwitch(Arc<AtomicBool>);

impl ReadOnlySwitch {
    /// A switch that is on if `read_only`.
    #[must_use]
    pub fn new(read_only: bool) -> Self {
        Self(Arc::new(AtomicBool::new(read_only)))
    }

    /// Whether mutations are refused.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Refuses mutations from here on, or lets them through.
    pub fn set(&self, read_only: bool) {
        self.0.store(read_only, Ordering::Release);
    }
}

/// The hook of [`ReadOnlyLayer`].
#[derive(Debug)]
pub struct ReadOnly(ReadOnlySwitch);

impl Layered<ReadOnly> {
    /// Makes `inner` read-only while `switch` is on.
    pub fn with_switch(inner: Arc<dyn FileSystem>, switch: ReadOnlySwitch) -> Self {
        Self::new(inner, ReadOnly(switch))
    }
}

impl Hook for ReadOnly {
    fn around<T>(&self, call: Call<'_>, run: impl FnOnce() -> Result<T>) -> Result<T> {
        if call.is_mutation() && self.0.is_on() { Err(Errno::EROFS) } else { run() }
    }

    fn is_read_only(&self, below: bool) -> bool {
        below || self.0.is_on()
    }
}
