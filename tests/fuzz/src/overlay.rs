//! A damaged image: what was changed lies over bytes that many cases share.

use abi::block::{BlockDevice, Geometry};
use abi::{Errno, Result};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of a page of changes.
const PAGE: usize = 1024;
/// By how much an image may grow.
const GROWN_MAX: usize = 16 << 20;

#[derive(Default)]
struct State {
    pages: HashMap<usize, Vec<u8>>,
    /// Ranges outside the image that somebody wanted to write.
    strays: Vec<Range<u64>>,
    /// The lowest byte that was written through the device, and the one behind the highest.
    written: Option<Range<u64>>,
    /// Bytes behind the image.
    grown: usize,
}

/// An image with changes, as a device. It notes writes that would leave it.
pub struct Overlay {
    base: Arc<Vec<u8>>,
    state: Mutex<State>,
    read_only: bool,
}

impl Overlay {
    /// The image as it is.
    #[must_use]
    pub fn new(base: Arc<Vec<u8>>, read_only: bool) -> Self {
        Self { base, state: Mutex::default(), read_only }
    }

    /// The bytes of a range; zeroes behind the end.
    #[must_use]
    pub fn peek(&self, range: Range<usize>) -> Vec<u8> {
        let mut bytes = vec![0; range.len()];
        let inside = self.base.len().saturating_sub(range.start).min(bytes.len());
        copy(&self.lock(), &self.base, &mut bytes[..inside], range.start);
        bytes
    }

    /// Damages bytes; those behind the end are dropped.
    pub fn poke(&self, at: usize, bytes: &[u8]) {
        let inside = self.base.len().saturating_sub(at).min(bytes.len());
        store(&mut self.lock(), &self.base, &bytes[..inside], at);
    }

    /// The length of the image.
    #[must_use]
    pub fn size(&self) -> usize {
        self.base.len()
    }

    /// The first range outside the image that somebody wanted to write.
    #[must_use]
    pub fn stray(&self) -> Option<Range<u64>> {
        self.lock().strays.first().cloned()
    }

    /// From the lowest byte that was written through the device to the highest, and forgets it.
    #[must_use]
    pub fn take_written(&self) -> Option<Range<u64>> {
        self.lock().written.take()
    }

    /// Bytes of memory that the changes take.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.lock().pages.len() * PAGE
    }

    /// What differs from the image: places and bytes.
    #[must_use]
    pub fn changes(&self) -> Vec<(u64, Vec<u8>)> {
        let state = self.lock();
        let mut all: Vec<_> =
            state.pages.iter().map(|(page, bytes)| (wide(page * PAGE), bytes.clone())).collect();
        all.sort();
        all
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn length(&self) -> usize {
        self.base.len() + self.lock().grown
    }

    fn range(&self, length: usize, offset: u64) -> Option<usize> {
        let from = usize::try_from(offset).ok()?;
        from.checked_add(length).filter(|end| *end <= self.length()).map(|_| from)
    }
}

fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn copy(state: &State, base: &[u8], to: &mut [u8], from: usize) {
    let mut done = 0;
    while done < to.len() {
        let at = from + done;
        let part = (PAGE - at % PAGE).min(to.len() - done);
        let source = match state.pages.get(&(at / PAGE)) {
            Some(page) => &page[at % PAGE..at % PAGE + part],
            None => base.get(at..base.len().min(at + part)).unwrap_or_default(),
        };
        let (known, rest) = to[done..done + part].split_at_mut(source.len());
        known.copy_from_slice(source);
        rest.fill(0);
        done += part;
    }
}

fn store(state: &mut State, base: &[u8], from: &[u8], to: usize) {
    let mut done = 0;
    while done < from.len() {
        let at = to + done;
        let part = (PAGE - at % PAGE).min(from.len() - done);
        let first = at / PAGE * PAGE;
        let page = state.pages.entry(at / PAGE).or_insert_with(|| {
            let known = base.get(first..base.len().min(first + PAGE)).unwrap_or_default();
            let mut page = known.to_vec();
            page.resize(PAGE, 0);
            page
        });
        page[at % PAGE..at % PAGE + part].copy_from_slice(&from[done..done + part]);
        done += part;
    }
}

impl BlockDevice for Overlay {
    fn geometry(&self) -> Geometry {
        Geometry { block_size: 512, size_bytes: wide(self.length()), read_only: self.read_only }
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let from = self.range(buf.len(), offset).ok_or(Errno::EINVAL)?;
        copy(&self.lock(), &self.base, buf, from);
        Ok(())
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        let end = offset.saturating_add(wide(buf.len()));
        let to = self.range(buf.len(), offset).filter(|_| !self.read_only);
        let mut state = self.lock();
        let Some(to) = to else {
            state.strays.push(offset..end);
            return Err(Errno::EINVAL);
        };
        let before = state.written.take().unwrap_or(offset..end);
        state.written = Some(before.start.min(offset)..before.end.max(end));
        store(&mut state, &self.base, buf, to);
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn grow(&self, size_bytes: u64) -> Result<()> {
        let size = usize::try_from(size_bytes).map_err(|_| Errno::ENOSPC)?;
        let grown = size.saturating_sub(self.base.len());
        if grown > GROWN_MAX {
            return Err(Errno::ENOSPC);
        }
        let mut state = self.lock();
        state.grown = state.grown.max(grown);
        Ok(())
    }
}
