//! What is behind a file: a driver's inode, or anything else that has bytes at offsets.

use abi::fs::{Caller, FallocateMode, FileSystem, Handle, Ino, OpenFlags, Opened, SeekTo, SetAttr};
use abi::{Errno, Result};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes at offsets. Calls come from several threads at once.
pub trait Content: Send + Sync {
    /// Length in bytes.
    ///
    /// # Errors
    /// Those of reading the inode.
    fn size(&self) -> Result<u64>;

    /// Reads at an offset in bytes; short only at the end.
    ///
    /// # Errors
    /// - `EIO`, `EUCLEAN`, `EBADMSG` as the driver says.
    fn read(&self, buf: &mut [u8], offset: u64) -> Result<usize>;

    /// Writes at an offset in bytes.
    ///
    /// # Errors
    /// - `EROFS`, `ENOSPC`, `EFBIG`, `EIO` as the driver says.
    fn write(&self, data: &[u8], offset: u64) -> Result<usize>;

    /// Cuts or grows to a length in bytes.
    ///
    /// # Errors
    /// Those of ftruncate(2).
    fn set_size(&self, size: u64) -> Result<()>;

    /// Makes what was written durable.
    ///
    /// # Errors
    /// - `EIO` if the device does not take it.
    fn sync(&self, data_only: bool) -> Result<()>;

    /// fallocate(2).
    ///
    /// # Errors
    /// Those of fallocate(2).
    fn allocate(&self, mode: FallocateMode, offset: u64, length: u64) -> Result<()>;

    /// The next data or hole from an offset on.
    ///
    /// # Errors
    /// - `ENXIO` behind the end.
    fn seek(&self, offset: u64, to: SeekTo) -> Result<u64>;
}

/// A regular file of a driver, with the handles that it is read and written by.
pub struct DriverFile {
    fs: Arc<dyn FileSystem>,
    ino: Ino,
    reader: Mutex<Option<Handle>>,
    writer: Mutex<Option<Handle>>,
}

impl DriverFile {
    /// The file of an inode; nothing is opened yet.
    #[must_use]
    pub fn new(fs: Arc<dyn FileSystem>, ino: Ino) -> Self {
        Self { fs, ino, reader: Mutex::new(None), writer: Mutex::new(None) }
    }

    /// Opens it for reading, or for writing as well, where it is not.
    ///
    /// # Errors
    /// Those of the driver's open: `EROFS`, `EIO`, `EUCLEAN`.
    pub fn open(&self, write: bool) -> Result<()> {
        self.handle(write).map(drop)
    }

    /// Whether it was opened for writing.
    #[must_use]
    pub fn is_written(&self) -> bool {
        lock(&self.writer).is_some()
    }

    /// Adopts a handle for writing that `create` gave.
    pub fn adopt_writer(&self, handle: Handle) {
        let former = lock(&self.writer).replace(handle);
        if let Some(former) = former {
            self.fs.release(former);
        }
    }

    fn handle(&self, write: bool) -> Result<Handle> {
        let (slot, flags) = if write {
            (&self.writer, OpenFlags::READ | OpenFlags::WRITE)
        } else {
            (&self.reader, OpenFlags::READ)
        };
        let mut slot = lock(slot);
        if let Some(handle) = *slot {
            return Ok(handle);
        }
        match self.fs.open(Caller::default(), self.ino, flags)? {
            Opened::Handle(handle) => {
                *slot = Some(handle);
                Ok(handle)
            }
            Opened::Host(_) => Err(Errno::EIO),
        }
    }

    /// Any handle that is there, for what needs no certain one.
    fn any_handle(&self) -> Result<Handle> {
        if let Some(handle) = *lock(&self.writer) {
            return Ok(handle);
        }
        self.handle(false)
    }
}

fn lock(slot: &Mutex<Option<Handle>>) -> MutexGuard<'_, Option<Handle>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Content for DriverFile {
    fn size(&self) -> Result<u64> {
        Ok(self.fs.getattr(self.ino)?.size_bytes)
    }

    fn read(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        let handle = self.any_handle()?;
        let mut done = 0;
        // A driver may stop at the border of an extent; to the kernel a short answer is the end of the file.
        while let Some(rest @ [_, ..]) = buf.get_mut(done..) {
            let at = offset.saturating_add(u64::try_from(done).unwrap_or(u64::MAX));
            match self.fs.read(handle, rest, at) {
                Ok(0) => break,
                Ok(more) => done = done.saturating_add(more),
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    fn write(&self, data: &[u8], offset: u64) -> Result<usize> {
        self.fs.write(self.handle(true)?, data, offset)
    }

    fn set_size(&self, size: u64) -> Result<()> {
        if self.size()? == size {
            return Ok(());
        }
        let changes = SetAttr { size_bytes: Some(size), ..SetAttr::default() };
        self.fs.setattr(Caller::default(), self.ino, &changes).map(drop)
    }

    fn sync(&self, data_only: bool) -> Result<()> {
        self.fs.fsync(self.any_handle()?, data_only)
    }

    fn allocate(&self, mode: FallocateMode, offset: u64, length: u64) -> Result<()> {
        self.fs.fallocate(self.handle(true)?, mode, offset, length)
    }

    fn seek(&self, offset: u64, to: SeekTo) -> Result<u64> {
        let size = self.size()?;
        if offset >= size {
            return Err(Errno::ENXIO);
        }
        match self.fs.lseek(self.any_handle()?, offset, to) {
            // ENOSYS would be believed of every file system: one that does not know its holes has none.
            Err(Errno::EOPNOTSUPP) => Ok(if to == SeekTo::Data { offset } else { size }),
            other => other,
        }
    }
}

impl Drop for DriverFile {
    fn drop(&mut self) {
        for slot in [&self.reader, &self.writer] {
            if let Some(handle) = lock(slot).take() {
                self.fs.release(handle);
            }
        }
    }
}
