//! Disks, and layers over disks: one file each, all of them `BlockDevice`s.

mod bounds;
mod cached;
mod cow;
mod extents;
mod faulty;
mod host_file;
mod image;
mod partition;
mod ramdisk;
mod read_only;
mod traced;
mod volatile;

pub use cached::{CacheShape, Cached};
pub use cow::{CowDevice, Snapshot};
pub use faulty::{Fault, Faulty};
pub use image::Image;
pub use partition::Partition;
pub use ramdisk::Ramdisk;
pub use read_only::ReadOnly;
pub use traced::{Counts, Traced};
pub use volatile::Volatile;

pub(crate) use bounds::{check_discard, check_transfer, check_write, from_below, write_zeroes};

use abi::{Errno, Result};

/// Returns `bytes` if a logical sector can be that long: a power of two from 512 to 4096.
pub(crate) fn check_block_size(bytes: u64) -> Result<u32> {
    if !bytes.is_power_of_two() || !(512..=4096).contains(&bytes) {
        return Err(Errno::EINVAL);
    }
    u32::try_from(bytes).map_err(|_| Errno::EINVAL)
}
