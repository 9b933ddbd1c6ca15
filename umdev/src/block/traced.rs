//! A disk that tells what is asked of it.

use abi::Result;
use abi::block::{BlockDevice, Geometry};
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What went through a [`Traced`] disk so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls of `read_at`.
    pub reads: u64,
    /// Bytes asked for by them.
    pub read_bytes: u64,
    /// Calls of `write_at`.
    pub writes: u64,
    /// Bytes given by them.
    pub write_bytes: u64,
    /// Calls of `flush`.
    pub flushes: u64,
    /// Calls of `discard`.
    pub discards: u64,
}

/// Logs every call at level `trace` under `name`, with its answer, and counts them.
#[derive(Debug)]
pub struct Traced<D> {
    below: D,
    name: String,
    reads: AtomicU64,
    read_bytes: AtomicU64,
    writes: AtomicU64,
    write_bytes: AtomicU64,
    flushes: AtomicU64,
    discards: AtomicU64,
}

impl<D: BlockDevice> Traced<D> {
    /// Watches `below`.
    pub fn new(below: D, name: impl Into<String>) -> Self {
        Self {
            below,
            name: name.into(),
            reads: AtomicU64::new(0),
            read_bytes: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            write_bytes: AtomicU64::new(0),
            flushes: AtomicU64::new(0),
            discards: AtomicU64::new(0),
        }
    }

    /// The sums so far; calls under way on other threads may be half in them.
    pub fn counts(&self) -> Counts {
        Counts {
            reads: self.reads.load(Relaxed),
            read_bytes: self.read_bytes.load(Relaxed),
            writes: self.writes.load(Relaxed),
            write_bytes: self.write_bytes.load(Relaxed),
            flushes: self.flushes.load(Relaxed),
            discards: self.discards.load(Relaxed),
        }
    }
}

fn bytes(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

impl<D: BlockDevice> BlockDevice for Traced<D> {
    fn geometry(&self) -> Geometry {
        self.below.geometry()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let len = buf.len();
        self.reads.fetch_add(1, Relaxed);
        self.read_bytes.fetch_add(bytes(len), Relaxed);
        let answer = self.below.read_at(buf, offset);
        tracing::trace!(disk = self.name, offset, len, ?answer, "read");
        answer
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        let len = buf.len();
        self.writes.fetch_add(1, Relaxed);
        self.write_bytes.fetch_add(bytes(len), Relaxed);
        let answer = self.below.write_at(buf, offset);
        tracing::trace!(disk = self.name, offset, len, ?answer, "write");
        answer
    }

    fn flush(&self) -> Result<()> {
        self.flushes.fetch_add(1, Relaxed);
        let answer = self.below.flush();
        tracing::trace!(disk = self.name, ?answer, "flush");
        answer
    }

    fn discard(&self, range: Range<u64>) -> Result<()> {
        self.discards.fetch_add(1, Relaxed);
        let answer = self.below.discard(range.clone());
        tracing::trace!(disk = self.name, ?range, ?answer, "discard");
        answer
    }
}
