//! The device under a mounted volume: transfers, the barrier, and the "mounted for writing" mark.

use crate::boot::{BOOT_BYTES, Layout, RawBoot, STATE_DIRTY};
use crate::error::Error;
use crate::fsinfo::{FSINFO_BYTES, FsInfo, NUMBERS_AT, RawFsInfo};
use crate::le;
use crate::options::MountOptions;
use abi::block::BlockDevice;
use abi::module::MountError;
use abi::{Errno, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes written at once where zeroes are written.
const ZERO_BYTES: usize = 1 << 16;

/// A device with the layout found on it. All fields but the two flags are constant.
pub(crate) struct Volume {
    device: Arc<dyn BlockDevice>,
    pub(crate) layout: Layout,
    pub(crate) options: MountOptions,
    pub(crate) read_only: bool,
    /// The mark was set at mount: somebody crashed, and only a check of the volume may clear it.
    was_dirty: bool,
    /// The mark is set on the device.
    marked: AtomicBool,
    /// Something was written since the last flush.
    unflushed: AtomicBool,
}

impl Volume {
    /// Reads and checks the boot sector.
    pub(crate) fn open(
        device: Arc<dyn BlockDevice>,
        options: MountOptions,
        read_only: bool,
    ) -> core::result::Result<Self, MountError> {
        let geometry = device.geometry();
        let mut raw = RawBoot([0; BOOT_BYTES]);
        if geometry.size_bytes < le::wide(BOOT_BYTES) {
            return Err(Error::ShortDevice {
                need_bytes: le::wide(BOOT_BYTES),
                have_bytes: geometry.size_bytes,
            }
            .into());
        }
        device.read_at(&mut raw.0, 0)?;
        let layout = raw.validate(geometry.size_bytes)?;
        if geometry.read_only && !read_only {
            return Err(MountError::new(Errno::EROFS, "the device is read-only"));
        }
        let was_dirty = layout.state.is_some_and(|state| state.value & STATE_DIRTY != 0);
        if was_dirty {
            tracing::warn!("the volume was not unmounted cleanly: fsck.vfat should check it");
        }
        Ok(Self {
            device,
            layout,
            options,
            read_only,
            was_dirty,
            marked: AtomicBool::new(false),
            unflushed: AtomicBool::new(false),
        })
    }

    /// Whether the volume was found in the state of a crash.
    pub(crate) fn was_dirty(&self) -> bool {
        self.was_dirty
    }

    /// Whether anything was written since the mark was last cleared.
    pub(crate) fn is_marked(&self) -> bool {
        self.marked.load(Ordering::Relaxed)
    }

    /// Fills `buf` from byte `at`. A device that became shorter answers `EIO`.
    pub(crate) fn read(&self, buf: &mut [u8], at: u64) -> Result<()> {
        self.device.read_at(buf, at).map_err(short_is_io)
    }

    /// Writes `buf` at byte `at`, setting the mark first where it is not yet set.
    pub(crate) fn write(&self, buf: &[u8], at: u64) -> Result<()> {
        if !self.is_marked() {
            self.put_mark(true)?;
        }
        self.unflushed.store(true, Ordering::Relaxed);
        self.device.write_at(buf, at).map_err(short_is_io)
    }

    /// Makes `length` bytes from `at` read as zeroes.
    pub(crate) fn write_zeroes(&self, at: u64, length: u64) -> Result<()> {
        let zeroes = vec![0; ZERO_BYTES.min(le::narrow(length))];
        let (mut at, mut left) = (at, length);
        while left > 0 {
            let now = left.min(le::wide(zeroes.len()));
            self.write(zeroes.get(..le::narrow(now)).unwrap_or_default(), at)?;
            at = at.saturating_add(now);
            left = left.saturating_sub(now);
        }
        Ok(())
    }

    /// Makes everything written durable, and so ordered before what follows.
    pub(crate) fn barrier(&self) -> Result<()> {
        if self.unflushed.swap(false, Ordering::Relaxed) {
            let flushed = self.device.flush();
            if flushed.is_err() {
                self.unflushed.store(true, Ordering::Relaxed);
            }
            return flushed;
        }
        Ok(())
    }

    /// Clears the mark: everything is durable and the tables agree. A mark found at mount stays.
    pub(crate) fn clear_mark(&self) -> Result<()> {
        if self.is_marked() {
            self.put_mark(false)?;
        }
        Ok(())
    }

    fn put_mark(&self, set: bool) -> Result<()> {
        if let (Some(state), false) = (self.layout.state, self.was_dirty) {
            let value = if set { state.value | STATE_DIRTY } else { state.value & !STATE_DIRTY };
            self.device.write_at(&[value], state.at).map_err(short_is_io)?;
            self.device.flush()?;
        }
        self.marked.store(set, Ordering::Relaxed);
        Ok(())
    }

    /// Reads the FSINFO sector: the hints, or nothing where there is no such sector.
    pub(crate) fn read_fsinfo(&self) -> Result<Option<FsInfo>> {
        let Some(at) = self.layout.fsinfo_at else { return Ok(None) };
        let mut raw = RawFsInfo([0; FSINFO_BYTES]);
        self.read(&mut raw.0, at)?;
        Ok(raw.validate(self.layout.clusters))
    }

    /// Writes the two hints.
    pub(crate) fn write_fsinfo(&self, info: FsInfo) -> Result<()> {
        match self.layout.fsinfo_at {
            Some(at) => self.write(&info.to_bytes(), at.saturating_add(NUMBERS_AT)),
            None => Ok(()),
        }
    }
}

/// Offsets were checked against the device at mount, so "outside" means that it shrank.
fn short_is_io(errno: Errno) -> Errno {
    if errno == Errno::EINVAL { Errno::EIO } else { errno }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::Volume;
    use crate::options::MountOptions;
    use abi::block::{BlockDevice, Geometry};
    use abi::options::Options;
    use abi::{Errno, Result};
    use std::sync::{Arc, Mutex};

    struct Ram(Mutex<Vec<u8>>);

    impl BlockDevice for Ram {
        fn geometry(&self) -> Geometry {
            let size_bytes = self.0.lock().unwrap().len() as u64;
            Geometry { block_size: 512, size_bytes, read_only: false }
        }

        fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
            let bytes = self.0.lock().unwrap();
            let at = offset as usize;
            buf.copy_from_slice(bytes.get(at..at + buf.len()).ok_or(Errno::EINVAL)?);
            Ok(())
        }

        fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
            let mut bytes = self.0.lock().unwrap();
            let at = offset as usize;
            bytes.get_mut(at..at + buf.len()).ok_or(Errno::EINVAL)?.copy_from_slice(buf);
            Ok(())
        }

        fn flush(&self) -> Result<()> {
            Ok(())
        }
    }

    /// An empty FAT12 volume of 100 sectors, one a cluster, with two tables of one sector and 16 root entries.
    pub(crate) fn volume() -> Volume {
        let mut bytes = vec![0; 100 * 512];
        bytes[12] = 2; // BPB_BytsPerSec = 512
        bytes[13] = 1; // BPB_SecPerClus
        bytes[14] = 1; // BPB_RsvdSecCnt
        bytes[16] = 2; // BPB_NumFATs
        bytes[17] = 16; // BPB_RootEntCnt
        bytes[19] = 100; // BPB_TotSec16
        bytes[21] = 0xf0; // BPB_Media
        bytes[22] = 1; // BPB_FATSz16
        let options = MountOptions::take(&mut Options::parse("")).unwrap();
        Volume::open(Arc::new(Ram(Mutex::new(bytes))), options, false).unwrap()
    }

    #[test]
    fn a_device_that_shrank_is_an_io_error() {
        let vol = volume();
        assert_eq!(vol.read(&mut [0; 8], 100 * 512 - 4), Err(Errno::EIO));
        assert_eq!(vol.write(&[0; 8], 100 * 512 - 4), Err(Errno::EIO));
    }
}
