//! A disk in memory, and images from tools.

use abi::block::{BlockDevice, Geometry};
use abi::fs::{FileSystem, FileSystemType, FsSource};
use abi::module::MountError;
use abi::options::Options;
use abi::{Errno, Result};
use ext2::Ext2Type;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

pub(crate) struct Ram {
    bytes: RwLock<Vec<u8>>,
    read_only: bool,
}

impl Ram {
    pub(crate) fn new(bytes: Vec<u8>) -> Arc<Self> {
        Arc::new(Self { bytes: RwLock::new(bytes), read_only: false })
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.bytes.read().unwrap().clone()
    }
}

impl BlockDevice for Ram {
    fn geometry(&self) -> Geometry {
        let size_bytes = self.bytes.read().unwrap().len() as u64;
        Geometry { block_size: 512, size_bytes, read_only: self.read_only }
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let bytes = self.bytes.read().unwrap();
        let from = offset as usize;
        buf.copy_from_slice(bytes.get(from..from + buf.len()).ok_or(Errno::EINVAL)?);
        Ok(())
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        let mut bytes = self.bytes.write().unwrap();
        let from = offset as usize;
        let place = bytes.get_mut(from..from + buf.len()).ok_or(Errno::EINVAL)?;
        place.copy_from_slice(buf);
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }
}

pub(crate) fn mount(
    device: Arc<dyn BlockDevice>,
    read_only: bool,
    options: &str,
) -> std::result::Result<Arc<dyn FileSystem>, MountError> {
    let mut options = Options::parse(options);
    let fs = Ext2Type.mount(FsSource::Device(device), read_only, &mut options)?;
    options.finish()?;
    Ok(fs)
}

/// The folder of the fixtures, or `None` after saying so.
pub(crate) fn fixtures() -> Option<PathBuf> {
    match std::env::var_os("VIEWOS_FIXTURES") {
        Some(folder) => Some(folder.into()),
        None => {
            eprintln!("SKIPPED: VIEWOS_FIXTURES is not set (cargo xtask test sets it)");
            None
        }
    }
}

pub(crate) fn image(folder: &Path, name: &str) -> Arc<Ram> {
    let path = folder.join(format!("{name}.img"));
    Ram::new(std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
}
