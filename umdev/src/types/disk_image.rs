//! `umdevmbr` and `umdevpartx`: a disk from an image.

use crate::block::{CacheShape, Cached, ReadOnly, Snapshot};
use crate::disk::Disk;
use abi::Errno;
use abi::block::{BlockDevice, Geometry};
use abi::dev::{Device, DeviceSource, DeviceType};
use abi::module::MountError;
use abi::options::Options;
use core::ops::Range;
use std::sync::Arc;

/// The largest cache that may be asked for, in bytes.
const CACHE_BYTES_MAX: u64 = 1 << 32;

/// A disk whose bytes are an image's, with the partitions of its table, MBR or GPT.
///
/// Options: `snapshot` keeps changes in memory and forgets them; `sector=` is the logical sector in bytes (the
/// image's own, 512 for a file); `cache=` puts a cache of that many bytes before a slow image; `ro`.
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
        let DeviceSource::Image(mut device) = source else {
            let message = format!("{} needs the name of an image file", self.name);
            return Err(MountError::new(Errno::EINVAL, message));
        };
        let sector = super::take_sector(options)?;
        let cache = options.take_size("cache")?;
        let snapshot = options.take_flag("snapshot");
        let read_only = options.take_flag("ro");
        options.finish()?;
        if let Some(block_size) = sector {
            device = Arc::new(Sectored { below: device, block_size });
        }
        if let Some(bytes) = cache {
            let shape = CacheShape::of_bytes(bytes.min(CACHE_BYTES_MAX));
            device = Arc::new(Cached::new(device, shape)?);
        }
        if snapshot {
            device = Arc::new(Snapshot::in_memory(device)?);
        }
        if read_only && !device.geometry().read_only {
            device = Arc::new(ReadOnly::new(device));
        }
        Ok(Arc::new(Disk::new(device, true)?))
    }
}

/// The same bytes in sectors of another size.
struct Sectored {
    below: Arc<dyn BlockDevice>,
    block_size: u32,
}

impl BlockDevice for Sectored {
    fn geometry(&self) -> Geometry {
        Geometry { block_size: self.block_size, ..self.below.geometry() }
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> abi::Result<()> {
        self.below.read_at(buf, offset)
    }
    fn write_at(&self, buf: &[u8], offset: u64) -> abi::Result<()> {
        self.below.write_at(buf, offset)
    }
    fn flush(&self) -> abi::Result<()> {
        self.below.flush()
    }
    fn discard(&self, range: Range<u64>) -> abi::Result<()> {
        self.below.discard(range)
    }
    fn host_descriptor(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.below.host_descriptor()
    }
}
