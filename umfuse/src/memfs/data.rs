//! The bytes of a file, holes left out.

use abi::fs::SeekTo;
use std::collections::BTreeMap;

/// The unit of allocation.
pub(super) const CHUNK_BYTES: u64 = 4096;
const CHUNK: usize = 4096;

/// Bytes in chunks; a chunk that is not there reads as zeroes. Behind `size_bytes` every byte of a chunk is zero.
#[derive(Debug, Default)]
pub(super) struct SparseBytes {
    size_bytes: u64,
    chunks: BTreeMap<u64, Box<[u8]>>,
}

/// A run of bytes inside of one chunk.
struct Piece {
    chunk: u64,
    within: usize,
    length: usize,
}

/// Cuts the range at the borders of chunks. `offset + length` does not overflow.
fn pieces(offset: u64, length: u64) -> impl Iterator<Item = Piece> {
    let end = offset + length;
    let mut at = offset;
    std::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let within = at % CHUNK_BYTES;
        let length = (CHUNK_BYTES - within).min(end - at);
        let piece = Piece {
            chunk: at / CHUNK_BYTES,
            within: usize::try_from(within).unwrap_or(0),
            length: usize::try_from(length).unwrap_or(0),
        };
        at += length;
        Some(piece)
    })
}

impl SparseBytes {
    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    pub(super) fn chunks(&self) -> u64 {
        self.chunks.len() as u64
    }

    /// Copies what is there; 0 behind the end.
    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let length = self.size_bytes.saturating_sub(offset).min(buf.len() as u64);
        let mut done = 0;
        for piece in pieces(offset.min(self.size_bytes), length) {
            let to = &mut buf[done..done + piece.length];
            match self.chunks.get(&piece.chunk) {
                Some(bytes) => to.copy_from_slice(&bytes[piece.within..][..piece.length]),
                None => to.fill(0),
            }
            done += piece.length;
        }
        done
    }

    /// Copies `buf` in until `budget` chunks were made; returns how many bytes.
    pub(super) fn write(&mut self, buf: &[u8], offset: u64, budget: &mut u64) -> usize {
        let mut done = 0;
        for piece in pieces(offset, buf.len() as u64) {
            let Some(bytes) = self.chunk(piece.chunk, budget) else { break };
            bytes[piece.within..][..piece.length].copy_from_slice(&buf[done..][..piece.length]);
            done += piece.length;
        }
        if done > 0 {
            self.size_bytes = self.size_bytes.max(offset + done as u64);
        }
        done
    }

    /// The chunk, made if the budget allows.
    fn chunk(&mut self, number: u64, budget: &mut u64) -> Option<&mut Box<[u8]>> {
        use std::collections::btree_map::Entry;
        match self.chunks.entry(number) {
            Entry::Occupied(there) => Some(there.into_mut()),
            Entry::Vacant(place) => {
                *budget = budget.checked_sub(1)?;
                Some(place.insert(vec![0; CHUNK].into_boxed_slice()))
            }
        }
    }

    /// Makes all chunks of the range, or none if the budget does not allow; the length stays.
    pub(super) fn allocate(&mut self, offset: u64, length: u64, budget: &mut u64) -> bool {
        if length == 0 {
            return true;
        }
        let (first, last) = (offset / CHUNK_BYTES, (offset + length - 1) / CHUNK_BYTES);
        let there = self.chunks.range(first..=last).count() as u64;
        if last - first + 1 - there > *budget {
            return false;
        }
        (first..=last).all(|number| self.chunk(number, budget).is_some())
    }

    /// Makes the range read as zeroes and frees the chunks that lie in it.
    pub(super) fn punch(&mut self, offset: u64, length: u64) {
        let end = offset + length;
        self.clear(offset, length);
        self.chunks.retain(|number, _| {
            let start = number * CHUNK_BYTES;
            start < offset || start + CHUNK_BYTES > end
        });
    }

    /// Makes the range read as zeroes and frees nothing.
    pub(super) fn clear(&mut self, offset: u64, length: u64) {
        let end = offset + length;
        // Only chunks that are there are looked at: the range may be as long as a file can be.
        let (first, last) = (offset / CHUNK_BYTES, end.div_ceil(CHUNK_BYTES));
        for (number, bytes) in self.chunks.range_mut(first..last) {
            let start = number * CHUNK_BYTES;
            let from = usize::try_from(offset.saturating_sub(start)).unwrap_or(CHUNK);
            let to = usize::try_from(end - start).unwrap_or(CHUNK).min(CHUNK);
            bytes[from..to].fill(0);
        }
    }

    /// Sets the length; what is cut off is freed.
    pub(super) fn resize(&mut self, size_bytes: u64) {
        if size_bytes < self.size_bytes {
            let end = self.chunks.last_key_value().map_or(0, |(n, _)| (n + 1) * CHUNK_BYTES);
            self.punch(size_bytes, end.saturating_sub(size_bytes));
        }
        self.size_bytes = size_bytes;
    }

    /// The next data or hole at or after `offset`, `None` if there is none before the end.
    pub(super) fn seek(&self, offset: u64, to: SeekTo) -> Option<u64> {
        if offset >= self.size_bytes {
            return None;
        }
        match to {
            SeekTo::Data => {
                let (number, _) = self.chunks.range(offset / CHUNK_BYTES..).next()?;
                let start = (number * CHUNK_BYTES).max(offset);
                (start < self.size_bytes).then_some(start)
            }
            SeekTo::Hole => {
                let first = offset / CHUNK_BYTES;
                let hole = (first..)
                    .zip(self.chunks.range(first..))
                    .find(|(wanted, (number, _))| wanted != *number)
                    .map(|(wanted, _)| wanted);
                let behind = first + self.chunks.range(first..).count() as u64;
                let start = hole.unwrap_or(behind) * CHUNK_BYTES;
                Some(start.max(offset).min(self.size_bytes))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SparseBytes;
    use abi::fs::SeekTo;

    #[test]
    fn holes_read_as_zeroes_and_are_found() {
        let mut budget = 10;
        let mut data = SparseBytes::default();
        assert_eq!(data.write(b"end", 100_000, &mut budget), 3);
        assert_eq!((data.size_bytes(), data.chunks(), budget), (100_003, 1, 9));
        let mut buf = [9; 5];
        assert_eq!(data.read(&mut buf, 99_998), 5);
        assert_eq!(&buf, b"\0\0end");
        assert_eq!(data.read(&mut buf, 100_002), 1);
        assert_eq!(data.read(&mut buf, u64::MAX), 0);
        assert_eq!(data.seek(0, SeekTo::Data), Some(98_304));
        assert_eq!(data.seek(0, SeekTo::Hole), Some(0));
        assert_eq!(data.seek(99_000, SeekTo::Hole), Some(100_003));
        assert_eq!(data.seek(100_003, SeekTo::Data), None);
    }

    #[test]
    fn shrinking_forgets_what_was_behind_the_end() {
        let mut budget = 10;
        let mut data = SparseBytes::default();
        data.write(&[7; 10_000], 0, &mut budget);
        data.resize(5000);
        assert_eq!(data.chunks(), 2);
        data.resize(10_000);
        let mut buf = [9; 10];
        data.read(&mut buf, 4995);
        assert_eq!(buf, [7, 7, 7, 7, 7, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn punching_frees_whole_chunks_and_clears_the_rest() {
        let mut budget = 10;
        let mut data = SparseBytes::default();
        data.write(&[7; 4096 * 4], 0, &mut budget);
        data.punch(4000, 4096 * 2);
        assert_eq!(data.chunks(), 3);
        let mut buf = [9; 4096 * 4];
        data.read(&mut buf, 0);
        assert!(buf[4000..4000 + 8192].iter().all(|b| *b == 0));
        assert!(buf[..4000].iter().chain(&buf[12_192..]).all(|b| *b == 7));
        data.punch(0, u64::from(u32::MAX) << 20);
        assert_eq!(data.chunks(), 0);
    }

    #[test]
    fn budget_ends_a_write_on_the_way_and_an_allocation_before_it() {
        let mut budget = 2;
        let mut data = SparseBytes::default();
        assert_eq!(data.write(&[1; 10_000], 0, &mut budget), 8192);
        assert_eq!(data.size_bytes(), 8192);
        let mut budget = 2;
        assert!(!data.allocate(0, 4096 * 5, &mut budget));
        assert!(data.allocate(0, 4096 * 4, &mut budget));
        assert_eq!((data.chunks(), budget, data.size_bytes()), (4, 0, 8192));
    }
}
