//! Filling the placeholder of a large file while it is read from front to back.
//!
//! Whoever reads along gets the bytes from the kernel, out of the placeholder, and who opens the file when it is
//! there whole is not trapped at all: the placeholder is to a driver's file what the page cache is to the
//! kernel's. It is memory that can't be reclaimed by itself, so there is a budget for all files together.

use super::{State, VFile, VKind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// What is copied at least: small reads in sequence go to the driver in pieces of this size.
const PIECE_BYTES_MIN: u64 = 128 << 10;
/// What is copied at most at once.
const PIECE_BYTES_MAX: u64 = 1 << 20;

/// The memory that filled placeholders may hold.
#[derive(Default)]
pub(crate) struct Budget {
    used: AtomicU64,
    limit: OnceLock<u64>,
    is_short: AtomicBool,
}

impl Budget {
    /// A quarter of what was available when the first large file was read.
    fn limit(&self) -> u64 {
        *self.limit.get_or_init(|| {
            let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
            let kibibytes = line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
            kibibytes.unwrap_or(0) * 1024 / 4
        })
    }

    fn take(&self, bytes: u64) -> bool {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes <= self.limit() {
            return true;
        }
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        self.is_short.store(true, Ordering::Relaxed);
        false
    }

    /// Whether somebody was refused since this was last asked.
    pub(super) fn was_short(&self) -> bool {
        self.is_short.swap(false, Ordering::Relaxed)
    }
}

/// What one placeholder has of the budget.
#[derive(Default)]
pub(crate) struct Charge {
    bytes: u64,
    budget: Option<Arc<Budget>>,
}

impl Charge {
    /// Grows to `bytes`; false where the budget does not have them.
    fn grow(&mut self, bytes: u64, budget: &Arc<Budget>) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        if more == 0 {
            return true;
        }
        if !budget.take(more) {
            return false;
        }
        self.bytes += more;
        self.budget = Some(Arc::clone(budget));
        true
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if let Some(budget) = &self.budget {
            budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

impl VFile {
    /// Goes on copying until the placeholder holds `start..end` of a regular file, and all before it. False where
    /// it does not: the reader is not where the copy ends, the memory is short, or the driver has an error,
    /// which it will tell again.
    pub(crate) fn fill_through(
        &self,
        state: &mut State,
        start: u64,
        end: u64,
        budget: &Arc<Budget>,
    ) -> bool {
        if state.is_filled {
            return true;
        }
        if !matches!(self.kind, VKind::File { .. }) || start > state.filled_bytes {
            return false;
        }
        let Ok(size) = self.size() else { return false };
        let end = end.min(size);
        while state.filled_bytes < end {
            let from = state.filled_bytes;
            let piece = (end - from).clamp(PIECE_BYTES_MIN, PIECE_BYTES_MAX).min(size - from);
            if !state.charge.grow(from + piece, budget) {
                return false;
            }
            let mut buf = std::mem::take(&mut state.scratch);
            buf.resize(usize::try_from(piece).unwrap_or(0), 0);
            let read = self.read_at(state, &mut buf, from);
            let Ok(n @ 1..) = read else { return false };
            // Holes stay holes.
            let is_hole = buf[..n].iter().all(|&b| b == 0);
            if !is_hole && self.backing.write_all_at(&buf[..n], from).is_err() {
                return false;
            }
            state.scratch = buf;
            state.filled_bytes = from + n as u64;
        }
        if state.filled_bytes >= size {
            state.is_filled = true;
            state.scratch = Vec::new();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, Charge};
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    #[test]
    fn a_charge_is_given_back_and_a_refusal_is_told_once() {
        let budget = Arc::new(Budget::default());
        assert!(budget.limit.set(100).is_ok());
        let mut charge = Charge::default();
        assert!(charge.grow(60, &budget) && charge.grow(50, &budget));
        assert!(!charge.grow(101, &budget));
        assert!(budget.was_short() && !budget.was_short());
        drop(charge);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }
}
