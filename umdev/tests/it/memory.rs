//! A caller's memory for ioctls: one page, everything else faults.

use abi::dev::{Device, UserMemory};
use abi::{Errno, Result};

/// Where the page begins.
pub(crate) const BASE: u64 = 0x1_0000;
/// An address that faults.
pub(crate) const BAD: u64 = 8;

pub(crate) struct Page(pub(crate) [u8; 4096]);

impl Page {
    pub(crate) fn new() -> Self {
        Self([0xee; 4096])
    }

    /// A page that begins with `bytes`.
    pub(crate) fn with(bytes: &[u8]) -> Self {
        let mut page = Self::new();
        page.0[..bytes.len()].copy_from_slice(bytes);
        page
    }

    fn range(addr: u64, len: usize) -> Result<std::ops::Range<usize>> {
        let start = addr.checked_sub(BASE).filter(|at| *at <= 4096).ok_or(Errno::EFAULT)? as usize;
        if start + len > 4096 {
            return Err(Errno::EFAULT);
        }
        Ok(start..start + len)
    }

    pub(crate) fn u16(&self) -> u16 {
        u16::from_ne_bytes(self.0[..2].try_into().unwrap())
    }

    pub(crate) fn u32(&self) -> u32 {
        u32::from_ne_bytes(self.0[..4].try_into().unwrap())
    }

    pub(crate) fn u64(&self) -> u64 {
        u64::from_ne_bytes(self.0[..8].try_into().unwrap())
    }
}

impl UserMemory for Page {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<()> {
        buf.copy_from_slice(&self.0[Self::range(addr, buf.len())?]);
        Ok(())
    }

    fn write(&mut self, addr: u64, buf: &[u8]) -> Result<()> {
        let range = Self::range(addr, buf.len())?;
        self.0[range].copy_from_slice(buf);
        Ok(())
    }
}

/// An ioctl whose argument is the address of `bytes`.
pub(crate) fn with_bytes(
    device: &dyn Device,
    number: u32,
    request: u32,
    bytes: &[u8],
) -> Result<u64> {
    device.ioctl(number, request, BASE, &mut Page::with(bytes))
}

/// An ioctl whose argument is a number.
pub(crate) fn by_value(device: &dyn Device, number: u32, request: u32, value: u64) -> Result<u64> {
    device.ioctl(number, request, value, &mut Page::new())
}

/// An ioctl that fills in an answer.
pub(crate) fn ask(device: &dyn Device, number: u32, request: u32) -> Result<Page> {
    let mut page = Page::new();
    device.ioctl(number, request, BASE, &mut page)?;
    Ok(page)
}
