//! `umdevnull`: the smallest submodule, to be read as a model.
//!
//! A submodule is two values. The [`DeviceType`] is what the module has one of: it knows the name
//! that follows `mount -t`, and makes a device from a source and options. The [`Device`] is what
//! each mount has one of: it answers for the special file. To add a submodule, write a file like
//! this one and put its type into the list of [`Umdev::new`](crate::Umdev::new).

use abi::dev::{Device, DeviceKind, DeviceSource, DeviceType, SubDevice, UserMemory};
use abi::module::MountError;
use abi::options::Options;
use abi::{Errno, Result};
use std::sync::Arc;

/// The type: `mount -t umdevnull none /dev/null2`.
pub struct NullType;

impl DeviceType for NullType {
    fn name(&self) -> &'static str {
        "umdevnull"
    }

    // No: then the source arrives as a text, and this type does not look at it.
    fn needs_image(&self) -> bool {
        false
    }

    fn attach(
        &self,
        _source: DeviceSource,
        options: &mut Options,
    ) -> core::result::Result<Arc<dyn Device>, MountError> {
        // Opens are not checked against it: what goes nowhere may be written to a read-only null,
        // as to the kernel's /dev/null on a read-only file system.
        options.take_flag("ro");
        // Every type takes the options that it knows and then refuses the rest by name.
        options.finish()?;
        Ok(Arc::new(Null))
    }
}

/// The device: reads end at once, writes vanish.
struct Null;

impl Null {
    /// There is one special file, number 0; a disk would have its partitions after it.
    fn check(number: u32) -> Result<()> {
        if number == 0 { Ok(()) } else { Err(Errno::ENXIO) }
    }
}

impl Device for Null {
    fn kind(&self) -> DeviceKind {
        DeviceKind::Char
    }

    fn subdevices(&self) -> Vec<SubDevice> {
        vec![SubDevice { number: 0, size_bytes: 0, start_bytes: 0 }]
    }

    fn block(&self, number: u32) -> Result<Arc<dyn abi::block::BlockDevice>> {
        Self::check(number)?;
        Err(Errno::ENOTBLK)
    }

    // A device that must not go away while it is open counts here.
    fn open(&self, number: u32, _write: bool) -> Result<()> {
        Self::check(number)
    }

    fn release(&self, _number: u32) {}

    fn ioctl(&self, number: u32, _request: u32, _arg: u64, _m: &mut dyn UserMemory) -> Result<u64> {
        Self::check(number)?;
        // The answer to a request that a device does not know is always this one.
        Err(Errno::ENOTTY)
    }

    fn read(&self, number: u32, _buf: &mut [u8], _offset: u64) -> Result<usize> {
        Self::check(number)?;
        Ok(0)
    }

    fn write(&self, number: u32, buf: &[u8], _offset: u64) -> Result<usize> {
        Self::check(number)?;
        Ok(buf.len())
    }
}
