//! The layer that survives a bug of the driver.

use crate::call::Call;
use crate::layer::{Hook, Layered};
use abi::fs::FileSystem;
use abi::{Errno, Result};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A file system that answers `EIO` to the call that made its driver panic, and to all later ones: a driver that
/// stopped in the middle of something is not asked again, least of all to write.
pub type PanicGuard = Layered<PanicHook>;

/// The hook of [`PanicGuard`].
#[derive(Debug)]
pub struct PanicHook {
    label: String,
    failed: AtomicBool,
}

impl Layered<PanicHook> {
    /// Guards `inner`; `label` names the mount in the log.
    pub fn with_label(inner: Arc<dyn FileSystem>, label: impl Into<String>) -> Self {
        Self::new(inner, PanicHook { label: label.into(), failed: AtomicBool::new(false) })
    }

    /// Whether the driver panicked.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.hook.failed.load(Ordering::Acquire)
    }
}

impl Hook for PanicHook {
    fn around<T>(&self, call: Call<'_>, run: impl FnOnce() -> Result<T>) -> Result<T> {
        if self.failed.load(Ordering::Acquire) {
            return Err(Errno::EIO);
        }
        // What the driver left half done behind its locks is never looked at again.
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(answer) => answer,
            Err(payload) => {
                self.failed.store(true, Ordering::Release);
                tracing::error!(
                    mount = %self.label,
                    ?call,
                    "the driver panicked, the mount answers EIO from here on: {}",
                    text_of(&*payload)
                );
                Err(Errno::EIO)
            }
        }
    }
}

/// What a panic said.
pub(crate) fn text_of(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
