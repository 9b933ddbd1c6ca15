//! A caller's memory: addresses count from 0, what lies behind is not mapped.

use abi::dev::UserMemory;
use abi::{Errno, Result};

/// Some bytes.
pub(crate) struct Memory(pub(crate) Vec<u8>);

impl Memory {
    pub(crate) fn new() -> Self {
        Self(vec![0; 1024])
    }

    /// Puts 64-bit words at an address.
    pub(crate) fn put(&mut self, addr: usize, words: &[i64]) {
        for (i, word) in words.iter().enumerate() {
            self.0[addr + i * 8..][..8].copy_from_slice(&word.to_ne_bytes());
        }
    }

    /// The word at an address.
    pub(crate) fn word(&self, addr: usize) -> i64 {
        i64::from_ne_bytes(self.0[addr..][..8].try_into().unwrap())
    }
}

impl UserMemory for Memory {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<()> {
        let start = usize::try_from(addr).map_err(|_| Errno::EFAULT)?;
        let end = start.checked_add(buf.len()).ok_or(Errno::EFAULT)?;
        buf.copy_from_slice(self.0.get(start..end).ok_or(Errno::EFAULT)?);
        Ok(())
    }

    fn write(&mut self, addr: u64, buf: &[u8]) -> Result<()> {
        let start = usize::try_from(addr).map_err(|_| Errno::EFAULT)?;
        let end = start.checked_add(buf.len()).ok_or(Errno::EFAULT)?;
        self.0.get_mut(start..end).ok_or(Errno::EFAULT)?.copy_from_slice(buf);
        Ok(())
    }
}

/// An address where nothing is.
pub(crate) const NOWHERE: u64 = 1 << 40;
