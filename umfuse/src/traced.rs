//! The layer that logs every call.

use crate::call::Call;
use crate::layer::{Hook, Layered};
use abi::Result;
use abi::fs::FileSystem;
use std::sync::Arc;
use std::time::Instant;

/// A file system whose calls are logged at level debug, with their duration.
pub type Traced = Layered<TraceHook>;

/// The hook of [`Traced`].
#[derive(Debug)]
pub struct TraceHook {
    label: String,
}

impl Layered<TraceHook> {
    /// Logs the calls of `inner`; `label` names the mount.
    pub fn with_label(inner: Arc<dyn FileSystem>, label: impl Into<String>) -> Self {
        Self::new(inner, TraceHook { label: label.into() })
    }
}

impl Hook for TraceHook {
    fn around<T>(&self, call: Call<'_>, run: impl FnOnce() -> Result<T>) -> Result<T> {
        if !tracing::enabled!(tracing::Level::DEBUG) {
            return run();
        }
        let start = Instant::now();
        let answer = run();
        let errno = answer.as_ref().err();
        tracing::debug!(mount = %self.label, ?call, ?errno, elapsed = ?start.elapsed());
        answer
    }
}
