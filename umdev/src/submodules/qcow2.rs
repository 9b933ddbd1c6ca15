//! `umdevqcow2`: a disk from a qcow2 image.

use super::layers::{DiskLayers, attach};
use crate::qcow2::Qcow2;
use abi::Errno;
use abi::block::BlockDevice;
use abi::dev::{Device, DeviceSource, DeviceType};
use abi::module::MountError;
use abi::options::Options;
use std::sync::Arc;

/// A disk whose bytes are in a qcow2 image: `mount -t umdevqcow2 disk.qcow2 /dev/hda`.
///
/// A type of its own, and no guess by `umdevmbr` from the first bytes: who may write a raw disk
/// could else turn it into an image of another format. Options: those of every disk. Images with snapshots
/// inside and the like are mounted with `ro` or `snapshot` only.
pub struct Qcow2Type;

impl DeviceType for Qcow2Type {
    fn name(&self) -> &'static str {
        "umdevqcow2"
    }

    fn needs_image(&self) -> bool {
        true
    }

    fn attach(
        &self,
        source: DeviceSource,
        options: &mut Options,
    ) -> Result<Arc<dyn Device>, MountError> {
        let DeviceSource::Image(image) = source else {
            return Err(MountError::new(
                Errno::EINVAL,
                "umdevqcow2 needs the name of an image file",
            ));
        };
        let layers = DiskLayers::take(options)?;
        options.finish()?;
        let writes = !layers.read_only && !layers.snapshot;
        if writes && image.geometry().read_only {
            return Err(MountError::new(Errno::EROFS, "the image is not open for writing"));
        }
        let disk = if writes { Qcow2::open_writable(image) } else { Qcow2::open(image) };
        let disk = disk.map_err(|error| MountError::new(error.to_errno(), error.to_string()))?;
        attach(Arc::new(disk), &layers)
    }
}
