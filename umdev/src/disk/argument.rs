//! Values behind an ioctl's address, in the byte order of the machine.

use abi::Result;
use abi::dev::UserMemory;

/// Where an ioctl's argument points.
pub(crate) struct Argument<'a> {
    pub(crate) address: u64,
    pub(crate) memory: &'a mut dyn UserMemory,
}

impl Argument<'_> {
    /// Writes an `unsigned short`; answers 0 as the ioctl does.
    pub(crate) fn put_u16(&mut self, value: u16) -> Result<u64> {
        self.put(&value.to_ne_bytes())
    }

    /// Writes an `int` or `unsigned int`.
    pub(crate) fn put_u32(&mut self, value: u32) -> Result<u64> {
        self.put(&value.to_ne_bytes())
    }

    /// Writes an `unsigned long` or `uint64_t`.
    pub(crate) fn put_u64(&mut self, value: u64) -> Result<u64> {
        self.put(&value.to_ne_bytes())
    }

    /// Writes a structure.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<u64> {
        self.memory.write(self.address, bytes)?;
        Ok(0)
    }

    /// Reads `N` bytes once.
    pub(crate) fn get<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0u8; N];
        self.memory.read(self.address, &mut bytes)?;
        Ok(bytes)
    }

    /// Reads an `int`.
    pub(crate) fn get_i32(&mut self) -> Result<i32> {
        Ok(i32::from_ne_bytes(self.get()?))
    }
}
