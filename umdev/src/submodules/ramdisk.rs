//! `umdevramdisk`: a disk in memory.

use crate::block::{Ramdisk, ReadOnly};
use crate::disk::Disk;
use abi::Errno;
use abi::block::BlockDevice;
use abi::dev::{Device, DeviceSource, DeviceType};
use abi::module::MountError;
use abi::options::Options;
use std::sync::Arc;

/// What a ramdisk holds if nobody says: as `brd` of most distributions.
const SIZE_DEFAULT: u64 = 16 << 20;

/// A sparse disk of zeroes that can be partitioned.
///
/// Options: `size=` (16M if not given), `sector=` in bytes (512), `ro`. The source is not looked
/// at.
pub struct RamdiskType;

impl DeviceType for RamdiskType {
    fn name(&self) -> &'static str {
        "umdevramdisk"
    }

    fn needs_image(&self) -> bool {
        false
    }

    fn attach(
        &self,
        _source: DeviceSource,
        options: &mut Options,
    ) -> Result<Arc<dyn Device>, MountError> {
        let size = options.take_size("size")?.unwrap_or(SIZE_DEFAULT);
        let sector = super::take_sector(options)?.unwrap_or(512);
        let read_only = options.take_flag("ro");
        options.finish()?;
        let whole = size.checked_rem(u64::from(sector)) == Some(0);
        if size == 0 || !whole {
            let message = format!("option size={size}: not a positive multiple of {sector} bytes");
            return Err(MountError::new(Errno::EINVAL, message));
        }
        let ram = Ramdisk::new(size)?.with_block_size(sector)?;
        let device: Arc<dyn BlockDevice> =
            if read_only { Arc::new(ReadOnly::new(ram)) } else { Arc::new(ram) };
        Ok(Arc::new(Disk::new(device, true)?))
    }
}
