//! `umdevmbr` and `umdevpartx`: a disk from an image.

use super::layers::{DiskLayers, attach};
use abi::Errno;
use abi::dev::{Device, DeviceSource, DeviceType};
use abi::module::MountError;
use abi::options::Options;
use std::sync::Arc;

/// A disk whose bytes are an image's, with the partitions of its table, MBR or GPT.
///
/// Options: `snapshot` keeps changes in memory and forgets them; `sector=` is the logical sector in
/// bytes (the image's own, 512 for a file); `cache=` puts a cache of that many bytes before a slow
/// image; `ro`.
pub struct DiskImage {
    name: &'static str,
}

impl DiskImage {
    /// The type under its two names.
    #[must_use]
    pub fn both() -> [Self; 2] {
        [Self { name: "umdevmbr" }, Self { name: "umdevpartx" }]
    }
}

impl DeviceType for DiskImage {
    fn name(&self) -> &'static str {
        self.name
    }

    fn needs_image(&self) -> bool {
        true
    }

    fn attach(
        &self,
        source: DeviceSource,
        options: &mut Options,
    ) -> Result<Arc<dyn Device>, MountError> {
        let DeviceSource::Image(device) = source else {
            let message = format!("{} needs the name of an image file", self.name);
            return Err(MountError::new(Errno::EINVAL, message));
        };
        let layers = DiskLayers::take(options)?;
        options.finish()?;
        attach(device, &layers)
    }
}
