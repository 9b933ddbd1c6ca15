//! `umdevnbd`: a disk behind a socket.

use super::layers::{DiskLayers, attach};
use crate::nbd::{NbdDevice, NbdUri};
use abi::Errno;
use abi::dev::{Device, DeviceSource, DeviceType};
use abi::module::MountError;
use abi::options::Options;
use std::sync::Arc;

/// The cache of a disk that nobody sized, in bytes.
const CACHE_DEFAULT: u64 = 4 << 20;

/// A disk that an NBD server exports: `mount -t umdevnbd nbd://host/export /dev/hdb`.
///
/// The server is reached from the monitor's own network. Options: those of every disk, with
/// `cache=4M` if not given.
pub struct NbdType;

impl DeviceType for NbdType {
    fn name(&self) -> &'static str {
        "umdevnbd"
    }

    fn needs_image(&self) -> bool {
        false
    }

    fn attach(
        &self,
        source: DeviceSource,
        options: &mut Options,
    ) -> Result<Arc<dyn Device>, MountError> {
        let DeviceSource::Text(text) = source else {
            return Err(MountError::new(Errno::EINVAL, "umdevnbd needs a URI, not an image"));
        };
        let mut layers = DiskLayers::take(options)?;
        options.finish()?;
        let uri = NbdUri::parse(&text)?;
        let device = NbdDevice::connect(&uri)
            .map_err(|error| MountError::new(error.to_errno(), format!("{text}: {error}")))?;
        layers.cache_bytes.get_or_insert(CACHE_DEFAULT);
        attach(Arc::new(device), &layers)
    }
}
