//! The submodules, one file each.

mod disk_image;
mod layers;
mod nbd;
mod null;
mod qcow2;
mod ramdisk;

pub use disk_image::DiskImage;
pub use nbd::NbdType;
pub use null::NullType;
pub use qcow2::Qcow2Type;
pub use ramdisk::RamdiskType;

use abi::module::MountError;
use abi::options::Options;

/// Takes `sector=`, a power of two from 512 to 4096 bytes.
fn take_sector(options: &mut Options) -> Result<Option<u32>, MountError> {
    let Some(bytes) = options.take_size("sector")? else { return Ok(None) };
    match crate::block::check_block_size(bytes) {
        Ok(size) => Ok(Some(size)),
        Err(errno) => {
            let message = format!("option sector={bytes}: not a power of two from 512 to 4096");
            Err(MountError::new(errno, message))
        }
    }
}
