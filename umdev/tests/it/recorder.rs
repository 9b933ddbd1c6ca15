//! A disk in memory that grows and remembers what was written.

use abi::block::{BlockDevice, Geometry};
use abi::{Errno, Result};
use std::sync::Mutex;

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    log: Vec<(usize, Vec<u8>)>,
}

pub(crate) struct Recorder {
    start: Vec<u8>,
    state: Mutex<State>,
}

impl Recorder {
    pub(crate) fn new(start: Vec<u8>) -> Self {
        let state = State { bytes: start.clone(), log: Vec::new() };
        Self { start, state: Mutex::new(state) }
    }

    /// How many writes there were.
    pub(crate) fn writes(&self) -> usize {
        self.state.lock().unwrap().log.len()
    }

    /// The disk after its first `count` writes.
    pub(crate) fn image_at(&self, count: usize) -> Vec<u8> {
        let mut bytes = self.start.clone();
        for (at, part) in &self.state.lock().unwrap().log[..count] {
            let end = at + part.len();
            bytes.resize(bytes.len().max(end), 0);
            bytes[*at..end].copy_from_slice(part);
        }
        bytes
    }
}

impl BlockDevice for Recorder {
    fn geometry(&self) -> Geometry {
        let size_bytes = self.state.lock().unwrap().bytes.len() as u64;
        Geometry { block_size: 512, size_bytes, read_only: false }
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let state = self.state.lock().unwrap();
        let from = offset as usize;
        buf.copy_from_slice(state.bytes.get(from..from + buf.len()).ok_or(Errno::EINVAL)?);
        Ok(())
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        let mut state = self.state.lock().unwrap();
        let at = offset as usize;
        state.bytes.get_mut(at..at + buf.len()).ok_or(Errno::EINVAL)?.copy_from_slice(buf);
        state.log.push((at, buf.to_vec()));
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn grow(&self, size_bytes: u64) -> Result<()> {
        let mut state = self.state.lock().unwrap();
        let length = state.bytes.len().max(size_bytes as usize);
        state.bytes.resize(length, 0);
        Ok(())
    }
}
