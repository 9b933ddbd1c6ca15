//! The layers that options put between an image and its disk.

use crate::block::{CacheShape, Cached, ReadOnly, Snapshot};
use crate::disk::Disk;
use abi::block::{BlockDevice, Geometry};
use abi::dev::Device;
use abi::module::MountError;
use abi::options::Options;
use core::ops::Range;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// The largest cache that may be asked for, in bytes.
const CACHE_BYTES_MAX: u64 = 1 << 32;

/// `sector=`, `cache=`, `snapshot`, `ro`.
pub(super) struct DiskLayers {
    /// The logical sector in bytes, else the image's own.
    block_size: Option<u32>,
    /// A cache of so many bytes.
    pub(super) cache_bytes: Option<u64>,
    /// Changes are kept in memory and forgotten.
    pub(super) snapshot: bool,
    pub(super) read_only: bool,
}

impl DiskLayers {
    pub(super) fn take(options: &mut Options) -> Result<Self, MountError> {
        Ok(Self {
            block_size: super::take_sector(options)?,
            cache_bytes: options.take_size("cache")?,
            snapshot: options.take_flag("snapshot"),
            read_only: options.take_flag("ro"),
        })
    }
}

/// Makes a disk with partitions of `device`.
pub(super) fn attach(
    mut device: Arc<dyn BlockDevice>,
    layers: &DiskLayers,
) -> Result<Arc<dyn Device>, MountError> {
    if let Some(block_size) = layers.block_size {
        device = Arc::new(Sectored { below: device, block_size });
    }
    if let Some(bytes) = layers.cache_bytes {
        let shape = CacheShape::of_bytes(bytes.min(CACHE_BYTES_MAX));
        device = Arc::new(Cached::new(device, shape)?);
    }
    if layers.snapshot {
        device = Arc::new(Snapshot::in_memory(device)?);
    }
    if layers.read_only && !device.geometry().read_only {
        device = Arc::new(ReadOnly::new(device));
    }
    Ok(Arc::new(Disk::new(device, true)?))
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
    fn host_descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.below.host_descriptor()
    }
}
