//! The contract of a special file: `/dev/hda` and its partitions.

use crate::block::BlockDevice;
use crate::module::MountError;
use crate::options::Options;
use crate::{Errno, Result};
use std::sync::Arc;

/// A device number, split as in makedev(3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DevNum {
    /// The major number: 12 bits on Linux.
    pub major: u32,
    /// The minor number: 20 bits on Linux.
    pub minor: u32,
}

impl DevNum {
    /// The `dev_t` that stat(2) shows.
    #[must_use]
    pub fn to_raw(self) -> u64 {
        libc::makedev(self.major, self.minor)
    }

    /// The number behind a `dev_t` of stat(2) or mknod(2).
    #[must_use]
    pub fn from_raw(raw: u64) -> Self {
        Self { major: libc::major(raw), minor: libc::minor(raw) }
    }
}

/// Whether `S_IFBLK` or `S_IFCHR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// A block special file.
    Block,
    /// A character special file.
    Char,
}

/// One special file of a [`Device`]: number 0 is the whole, 1.. are its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubDevice {
    /// The suffix: 0 is `/dev/hda`, 5 is `/dev/hda5`; also what is added to the minor number.
    pub number: u32,
    /// Length in bytes.
    pub size_bytes: u64,
    /// First byte on the whole device.
    pub start_bytes: u64,
}

/// The caller's memory behind an ioctl's argument. The monitor's is the tracee's address space.
pub trait UserMemory {
    /// Fills `buf` from address `addr`.
    ///
    /// # Errors
    /// - `EFAULT` if any byte of the range is not readable.
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<()>;

    /// Writes `buf` at address `addr`.
    ///
    /// # Errors
    /// - `EFAULT` if any byte of the range is not writable.
    fn write(&mut self, addr: u64, buf: &[u8]) -> Result<()>;
}

/// A special file with sub-devices. Analogous to `struct gendisk`.
pub trait Device: Send + Sync {
    /// Block or character.
    fn kind(&self) -> DeviceKind;

    /// Returns the special files that exist at this moment, number 0 first.
    fn subdevices(&self) -> Vec<SubDevice>;

    /// Returns the disk behind sub-device `number`, valid until the table changes.
    ///
    /// # Errors
    /// - `ENXIO` if there is no such sub-device.
    /// - `ENOTBLK` if this is not a block device.
    fn block(&self, number: u32) -> Result<Arc<dyn BlockDevice>>;

    /// Counts an open of sub-device `number`: a partition that is open can't be re-read away.
    ///
    /// # Errors
    /// In check order:
    /// - `ENXIO` if there is no such sub-device.
    /// - `EROFS` if `write` is asked of a read-only device.
    fn open(&self, number: u32, write: bool) -> Result<()>;

    /// Ends what one [`open`](Self::open) began.
    fn release(&self, number: u32);

    /// Answers ioctl(2) `request` with the raw argument `arg`, an integer or an address in `memory`.
    ///
    /// # Errors
    /// In check order:
    /// - `ENXIO` if there is no such sub-device.
    /// - `ENOTTY` if the request is unknown here.
    /// - `EFAULT` if `arg` is a bad address.
    /// - what the request itself says.
    fn ioctl(
        &self,
        number: u32,
        request: u32,
        arg: u64,
        memory: &mut dyn UserMemory,
    ) -> Result<u64>;

    /// Reads from a character device. Block devices are read through [`block`](Self::block).
    ///
    /// # Errors
    /// - `EINVAL` if this is a block device (the default).
    fn read(&self, number: u32, buf: &mut [u8], offset: u64) -> Result<usize> {
        let _ = (number, buf, offset);
        Err(Errno::EINVAL)
    }

    /// Writes to a character device.
    ///
    /// # Errors
    /// - `EINVAL` if this is a block device (the default).
    fn write(&self, number: u32, buf: &[u8], offset: u64) -> Result<usize> {
        let _ = (number, buf, offset);
        Err(Errno::EINVAL)
    }

    /// Makes everything written durable.
    ///
    /// # Errors
    /// - `EIO` if any write may be lost.
    fn flush(&self) -> Result<()> {
        Ok(())
    }
}

/// What a [`DeviceType`] is made from.
pub enum DeviceSource {
    /// An image, opened through the module's `Host`.
    Image(Arc<dyn BlockDevice>),
    /// `none`, or a text that the type itself understands.
    Text(String),
}

/// A kind of device. View-OS: a umdev submodule.
pub trait DeviceType: Send + Sync {
    /// The name after `mount -t`: `umdevmbr`.
    fn name(&self) -> &'static str;

    /// Whether the source names an image file.
    fn needs_image(&self) -> bool;

    /// Makes the device.
    ///
    /// # Errors
    /// In check order, each with a sentence:
    /// - `EINVAL` for an unknown option or a value out of range.
    /// - `EINVAL` if the source is not what the type needs.
    /// - `ENOMEM`, `EIO` from below.
    fn attach(
        &self,
        source: DeviceSource,
        options: &mut Options,
    ) -> core::result::Result<Arc<dyn Device>, MountError>;
}
