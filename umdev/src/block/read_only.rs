//! A disk with the write-protect switch on.

use super::bounds;
use abi::block::{BlockDevice, Geometry};
use abi::{Errno, Result};
use core::ops::Range;

/// Lets reads through and answers `EROFS` to everything that changes a byte.
#[derive(Debug)]
pub struct ReadOnly<D> {
    below: D,
}

impl<D: BlockDevice> ReadOnly<D> {
    /// Protects `below`.
    pub fn new(below: D) -> Self {
        Self { below }
    }
}

impl<D: BlockDevice> BlockDevice for ReadOnly<D> {
    fn geometry(&self) -> Geometry {
        Geometry { read_only: true, ..self.below.geometry() }
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.below.read_at(buf, offset)
    }

    fn write_at(&self, _buf: &[u8], _offset: u64) -> Result<()> {
        Err(Errno::EROFS)
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn discard(&self, range: Range<u64>) -> Result<()> {
        bounds::check_discard(&self.geometry(), &range)
    }
}
