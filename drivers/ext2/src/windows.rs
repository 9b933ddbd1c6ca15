//! Windows: blocks behind the end of files that grow, kept for them in memory while they are open.
//!
//! So files that are appended to by turns stay in long runs. A window is a wish: nothing on the
//! device knows of it, and all are dropped when space runs short. Analogous to the reservation
//! windows of ext3.

use crate::bitmap;
use crate::le::low32;

/// Files that have a window at once.
const COUNT_MAX: usize = 32;
/// Blocks of the first window of a file; each further one has twice as many.
const FIRST: u64 = 16;
/// The most blocks of a window.
const LAST: u64 = 2048;

#[derive(Clone, Copy, Debug)]
struct Window {
    ino: u32,
    first: u64,
    end: u64,
    /// Blocks it had when it was made.
    size: u64,
}

/// All windows of a volume, the one used last at the end.
#[derive(Debug, Default)]
pub(crate) struct Windows(Vec<Window>);

impl Windows {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether `ino` has one.
    pub(crate) fn has(&self, ino: u32) -> bool {
        self.0.iter().any(|window| window.ino == ino)
    }

    pub(crate) fn remove(&mut self, ino: u32) {
        self.0.retain(|window| window.ino != ino);
    }

    /// After `ino` took the blocks up to `next`: the ones behind are kept for it.
    pub(crate) fn advance(&mut self, ino: u32, next: u64) {
        let before = self.0.iter().find(|window| window.ino == ino).copied();
        let (end, size) = match before {
            Some(window) if next > window.first && next < window.end => (window.end, window.size),
            Some(window) if next >= window.end && next.saturating_sub(window.end) < LAST => {
                let size = window.size.saturating_mul(2).min(LAST);
                (next.saturating_add(size), size)
            }
            _ => (next.saturating_add(FIRST), FIRST),
        };
        self.remove(ino);
        if self.0.len() >= COUNT_MAX {
            self.0.remove(0);
        }
        self.0.push(Window { ino, first: next, end, size });
    }

    /// The part of a group's blocks that is others' than `ino`'s: first bit and count of each
    /// window.
    fn others(&self, start: u64, count: u32, ino: u32) -> impl Iterator<Item = (u32, u32)> {
        let stop = start.saturating_add(u64::from(count));
        self.0.iter().filter(move |window| window.ino != ino).filter_map(move |window| {
            let first = window.first.max(start);
            let len = window.end.min(stop).checked_sub(first).filter(|&len| len > 0)?;
            Some((low32(first.saturating_sub(start)), low32(len)))
        })
    }

    /// Whether any window of another file lies among `count` blocks from `start` on.
    pub(crate) fn are_in(&self, start: u64, count: u32, ino: u32) -> bool {
        self.others(start, count, ino).next().is_some()
    }

    /// Marks the windows of other files as taken.
    pub(crate) fn hide(&self, bits: &mut [u8], start: u64, count: u32, ino: u32) {
        for (first, len) in self.others(start, count, ino) {
            bitmap::set(bits, first, len);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_follows_its_file_and_grows() {
        let mut windows = Windows::default();
        windows.advance(12, 100);
        let hidden = |windows: &Windows, ino| {
            let mut bits = [0; 64];
            windows.hide(&mut bits, 90, 512, ino);
            (bitmap::next(&bits, 0, 512, true), bits.iter().map(|b| b.count_ones()).sum::<u32>())
        };
        assert_eq!(hidden(&windows, 13), (Some(10), 16));
        assert_eq!(hidden(&windows, 12), (None, 0));
        windows.advance(12, 110);
        assert_eq!(hidden(&windows, 13), (Some(20), 6));
        windows.advance(12, 116);
        assert_eq!(hidden(&windows, 13), (Some(26), 32), "twice as many");
        windows.remove(12);
        assert!(!windows.has(12) && windows.is_empty());
        for ino in 0..100 {
            windows.advance(ino, 100);
        }
        assert_eq!(windows.0.len(), COUNT_MAX);
    }
}
