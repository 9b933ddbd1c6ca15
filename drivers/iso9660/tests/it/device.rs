//! Images in memory and in files.

use abi::block::{BlockDevice, Geometry};
use abi::{Errno, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// An image in memory.
pub(crate) struct Ram(pub(crate) Vec<u8>);

impl BlockDevice for Ram {
    fn geometry(&self) -> Geometry {
        Geometry { block_size: 2048, size_bytes: self.0.len() as u64, read_only: true }
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let start = usize::try_from(offset).map_err(|_| Errno::EINVAL)?;
        let end = start.checked_add(buf.len()).ok_or(Errno::EINVAL)?;
        buf.copy_from_slice(self.0.get(start..end).ok_or(Errno::EINVAL)?);
        Ok(())
    }
    fn write_at(&self, _: &[u8], _: u64) -> Result<()> {
        Err(Errno::EROFS)
    }
    fn flush(&self) -> Result<()> {
        Ok(())
    }
}

/// An image file.
pub(crate) struct ImageFile(File);

impl ImageFile {
    pub(crate) fn open(path: &Path) -> Arc<dyn BlockDevice> {
        let file = File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Arc::new(Self(file))
    }
}

impl BlockDevice for ImageFile {
    fn geometry(&self) -> Geometry {
        let size_bytes = self.0.metadata().unwrap().len();
        Geometry { block_size: 2048, size_bytes, read_only: true }
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.0.read_exact_at(buf, offset).map_err(|_| Errno::EINVAL)
    }
    fn write_at(&self, _: &[u8], _: u64) -> Result<()> {
        Err(Errno::EROFS)
    }
    fn flush(&self) -> Result<()> {
        Ok(())
    }
}
