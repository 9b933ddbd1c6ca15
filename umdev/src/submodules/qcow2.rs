//! `umdevqcow2`: a disk from a qcow2 image.

use super::layers::{DiskLayers, attach};
use crate::qcow2::Qcow2;
use abi::Errno;
use abi::dev::{Device, DeviceSource, DeviceType};
use abi::module::MountError;
use abi::options::Options;
use std::sync::Arc;

/// A disk whose bytes are in a qcow2 image: `mount -t umdevqcow2 -o snapshot disk.qcow2 /dev/hda`.
///
/// A type of its own, and no guess by `umdevmbr` from the first bytes: who may write a raw disk
/// could else turn it into an image of another format. Options: those of every disk, and one of
/// `ro` and `snapshot` must be among them.
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
        let disk = Qcow2::open(image)
            .map_err(|error| MountError::new(error.to_errno(), error.to_string()))?;
        if !layers.read_only && !layers.snapshot {
            let message = "a qcow2 image is not written: mount it with ro, or with snapshot";
            return Err(MountError::new(Errno::EROFS, message));
        }
        attach(Arc::new(disk), &layers)
    }
}
