//! Devices in memory.

use abi::block::{BlockDevice, Geometry};
use abi::{Errno, Result};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// One write as it reached the device.
#[derive(Clone)]
pub(crate) struct Write {
    pub(crate) at: usize,
    pub(crate) bytes: Vec<u8>,
}

/// A disk in memory that remembers what was written to it, in order.
pub(crate) struct Ram {
    bytes: Mutex<Vec<u8>>,
    log: Mutex<Vec<Write>>,
    /// How many writes came before each flush.
    flushes: Mutex<Vec<usize>>,
    logs: AtomicBool,
    fails: AtomicBool,
}

impl Ram {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes: Mutex::new(bytes),
            log: Mutex::default(),
            flushes: Mutex::default(),
            logs: AtomicBool::new(false),
            fails: AtomicBool::new(false),
        }
    }

    /// Answers writes with `EIO` from now on, or no more.
    pub(crate) fn fail_writes(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    /// Begins to remember.
    pub(crate) fn record(&self) {
        self.log.lock().unwrap().clear();
        self.flushes.lock().unwrap().clear();
        self.logs.store(true, Ordering::SeqCst);
    }

    pub(crate) fn log(&self) -> Vec<Write> {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn flushes(&self) -> Vec<usize> {
        self.flushes.lock().unwrap().clone()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }
}

impl BlockDevice for Ram {
    fn geometry(&self) -> Geometry {
        let size_bytes = self.bytes.lock().unwrap().len() as u64;
        Geometry { block_size: 512, size_bytes, read_only: false }
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let bytes = self.bytes.lock().unwrap();
        let at = usize::try_from(offset).map_err(|_| Errno::EINVAL)?;
        let end = at.checked_add(buf.len()).ok_or(Errno::EINVAL)?;
        buf.copy_from_slice(bytes.get(at..end).ok_or(Errno::EINVAL)?);
        Ok(())
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(Errno::EIO);
        }
        let mut bytes = self.bytes.lock().unwrap();
        let at = usize::try_from(offset).map_err(|_| Errno::EINVAL)?;
        let end = at.checked_add(buf.len()).ok_or(Errno::EINVAL)?;
        bytes.get_mut(at..end).ok_or(Errno::EINVAL)?.copy_from_slice(buf);
        if self.logs.load(Ordering::SeqCst) {
            self.log.lock().unwrap().push(Write { at, bytes: buf.to_vec() });
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        let writes = self.log.lock().unwrap().len();
        self.flushes.lock().unwrap().push(writes);
        Ok(())
    }
}
