//! What the commands print, and how.

use std::io::{IsTerminal, Read, Write};
use std::time::{Duration, Instant};

/// How often the progress line is written anew.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// Whether standard output takes colours.
pub(crate) fn has_colors() -> bool {
    let forbidden = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    !forbidden && std::io::stdout().is_terminal()
}

/// Writes a line to standard error, as well as that goes.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Whether the reader of our output went away.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

/// Counts the bytes that pass, and tells them on a terminal.
pub(crate) struct Progress<T> {
    inner: T,
    what: &'static str,
    bytes: u64,
    told: Option<Instant>,
}

impl<T> Progress<T> {
    /// `what` is the verb before the number.
    pub(crate) fn new(inner: T, what: &'static str) -> Self {
        let told = std::io::stderr().is_terminal().then(Instant::now);
        Self { inner, what, bytes: 0, told }
    }

    fn count(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or_default());
        if let Some(told) = &mut self.told
            && told.elapsed() >= PROGRESS_EVERY
        {
            *told = Instant::now();
            let mib = self.bytes >> 20;
            let _ = write!(std::io::stderr(), "\r{} {mib} MiB", self.what);
        }
    }

    /// Takes the line away; the number of bytes.
    pub(crate) fn finish(&self) -> u64 {
        if self.told.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
        self.bytes
    }
}

impl<T: Read> Read for Progress<T> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.count(n);
        Ok(n)
    }
}

impl<T: Write> Write for Progress<T> {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        let n = self.inner.write(buf)?;
        self.count(n);
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}
