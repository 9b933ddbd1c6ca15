//! A device in memory.

use abi::block::{BlockDevice, Geometry};
use abi::{Errno, Result};
use std::sync::{Mutex, PoisonError};

/// Bytes as a device.
pub struct Memory {
    bytes: Mutex<Vec<u8>>,
    read_only: bool,
}

impl Memory {
    /// A device of these bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>, read_only: bool) -> Self {
        Self { bytes: Mutex::new(bytes), read_only }
    }
}

/// The range of a transfer that lies inside.
fn range(length: usize, offset: u64, whole: usize) -> Result<core::ops::Range<usize>> {
    let from = usize::try_from(offset).map_err(|_| Errno::EINVAL)?;
    let end = from.checked_add(length).filter(|end| *end <= whole).ok_or(Errno::EINVAL)?;
    Ok(from..end)
}

impl BlockDevice for Memory {
    fn geometry(&self) -> Geometry {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let size_bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Geometry { block_size: 512, size_bytes, read_only: self.read_only }
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        buf.copy_from_slice(&bytes[range(buf.len(), offset, bytes.len())?]);
        Ok(())
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        if self.read_only {
            return Err(Errno::EROFS);
        }
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let range = range(buf.len(), offset, bytes.len())?;
        bytes[range].copy_from_slice(buf);
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }
}
