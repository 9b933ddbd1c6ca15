//! One session of an image, and how its names are read.

use crate::descriptor::Tree;
use crate::error::Error;
use crate::options::MountOptions;
use crate::susp::Skip;
use abi::block::BlockDevice;
use std::sync::Arc;

/// Where names and attributes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameSource {
    /// ISO 9660 names, translated as `map=` says.
    Plain,
    /// UCS-2 names of a Joliet tree.
    Joliet,
    /// Rock Ridge, in system use areas that begin with bytes of others.
    Rock(Skip),
}

/// What every part of the driver needs to read the image.
pub(crate) struct Volume {
    device: Arc<dyn BlockDevice>,
    /// The tree that is shown.
    pub(crate) tree: Tree,
    /// How it is named.
    pub(crate) names: NameSource,
    /// As mounted.
    pub(crate) options: MountOptions,
}

impl Volume {
    pub(crate) fn new(
        device: Arc<dyn BlockDevice>,
        tree: Tree,
        names: NameSource,
        options: MountOptions,
    ) -> Self {
        Self { device, tree, names, options }
    }

    /// Fills `buf` from byte `offset` of the image.
    ///
    /// # Errors
    /// - `EIO` if the image is shorter than its structures say, or from the device.
    pub(crate) fn read(&self, buf: &mut [u8], offset: u64) -> Result<(), Error> {
        read_exact(&*self.device, buf, offset)
    }

    /// Length of the device in bytes, at this moment.
    pub(crate) fn device_bytes(&self) -> u64 {
        self.device.geometry().size_bytes
    }

    /// The byte where the root directory begins.
    pub(crate) fn root_start(&self) -> u64 {
        self.block_start(self.tree.root_block)
    }

    /// The byte where logical block `block` begins.
    pub(crate) fn block_start(&self, block: u64) -> u64 {
        block.saturating_mul(u64::from(self.tree.block_bytes))
    }
}

/// Fills `buf` from byte `offset`; what lies behind the end of the device is `EIO`, not `EINVAL`, since the
/// image and not the caller chose the offset.
pub(crate) fn read_exact(
    device: &dyn BlockDevice,
    buf: &mut [u8],
    offset: u64,
) -> Result<(), Error> {
    device.read_at(buf, offset).map_err(|errno| {
        Error::Io(if errno == abi::Errno::EINVAL { abi::Errno::EIO } else { errno })
    })
}
