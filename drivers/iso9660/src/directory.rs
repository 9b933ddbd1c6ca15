//! Directories: an extent of records, the first of which is the directory's own.

use crate::error::{Corrupt, Error};
use crate::numeric::{narrow, slice};
use crate::record::RawDirectoryRecord;
use crate::volume::Volume;

/// How much a walk over a whole directory reads at once.
const WALK_BYTES: usize = 32 * 1024;
/// How much is read for one record: it and, most often, its further sections.
const ONE_RECORD_BYTES: usize = 2048;

/// Where the records of a directory lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Directory {
    /// First byte on the device: the position of its own record, and its inode number.
    pub(crate) start: u64,
    /// Length in bytes.
    pub(crate) size_bytes: u32,
}

impl Directory {
    /// Opens the directory that begins at byte `start` and returns its own record too.
    ///
    /// # Errors
    /// In check order:
    /// - `EIO` from the device.
    /// - [`Corrupt::Record`], [`Corrupt::DirectorySelf`] if it does not begin with its own record.
    /// - [`Corrupt::DirectoryRange`] if it passes the end of the device.
    pub(crate) fn open(volume: &Volume, start: u64) -> Result<(Self, RawDirectoryRecord), Error> {
        let device_bytes = volume.device_bytes();
        let out_of_range =
            |size_bytes| Error::from(Corrupt::DirectoryRange { start, size_bytes, device_bytes });
        let mut walk = RecordWalk::of_one(volume, start);
        if start >= device_bytes {
            return Err(out_of_range(0));
        }
        let Some(own) = walk.next()? else { return Err(Corrupt::DirectorySelf { start }.into()) };
        let record = own.record();
        let size_bytes = record.size_bytes;
        if own.position != start
            || record.name != [0]
            || volume.block_start(record.data_block) != start
        {
            return Err(Corrupt::DirectorySelf { start }.into());
        }
        if size_bytes == 0 || start.saturating_add(u64::from(size_bytes)) > device_bytes {
            return Err(out_of_range(size_bytes));
        }
        Ok((Self { start, size_bytes }, own))
    }

    /// The second record, which describes the parent.
    ///
    /// # Errors
    /// Those of [`RecordWalk::next`].
    pub(crate) fn parent_record(
        &self,
        volume: &Volume,
    ) -> Result<Option<RawDirectoryRecord>, Error> {
        let mut walk = RecordWalk::of_one(volume, self.start);
        walk.next()?;
        Ok(walk.next()?.filter(|raw| raw.record().name == [1]))
    }
}

/// Goes over the records of a directory in their order.
pub(crate) struct RecordWalk<'v> {
    volume: &'v Volume,
    start: u64,
    end: u64,
    position: u64,
    window: Vec<u8>,
    window_start: u64,
    window_bytes: usize,
}

impl<'v> RecordWalk<'v> {
    /// All records of `directory` from byte `offset` of it.
    pub(crate) fn over(volume: &'v Volume, directory: Directory, offset: u64) -> Self {
        let end = directory.start.saturating_add(u64::from(directory.size_bytes));
        Self::new(volume, directory.start, offset, end, WALK_BYTES)
    }

    /// The record at byte `offset` of `directory` and its further sections.
    pub(crate) fn over_one(volume: &'v Volume, directory: Directory, offset: u64) -> Self {
        let walk = Self::over(volume, directory, offset);
        Self { window_bytes: ONE_RECORD_BYTES, ..walk }
    }

    /// The record at byte `position` of the device and those behind it.
    pub(crate) fn of_one(volume: &'v Volume, position: u64) -> Self {
        // The end of its directory is not known; the reader of sections stops by itself.
        Self::new(volume, position, 0, volume.device_bytes(), ONE_RECORD_BYTES)
    }

    fn new(volume: &'v Volume, start: u64, offset: u64, end: u64, window_bytes: usize) -> Self {
        let position = start.saturating_add(offset);
        Self {
            volume,
            start,
            end,
            position,
            window: Vec::new(),
            window_start: position,
            window_bytes,
        }
    }

    /// The offset in the directory of the record that [`next`](Self::next) reads.
    pub(crate) fn offset(&self) -> u64 {
        self.position.saturating_sub(self.start)
    }

    /// The next record, padding left out.
    ///
    /// # Errors
    /// - [`Corrupt::Record`]; the walk does not go on behind it.
    /// - `EIO` from the device.
    pub(crate) fn next(&mut self) -> Result<Option<RawDirectoryRecord>, Error> {
        while self.position < self.end {
            let position = self.position;
            match RawDirectoryRecord::copy_from(self.view()?, position)? {
                Some(raw) => {
                    self.position = position.saturating_add(u64::from(raw.length()));
                    return Ok(Some(raw));
                }
                // Padding goes on to the end of the sector; stepping by blocks finds the next record whatever
                // sector size the writer had in mind.
                None => {
                    let block = u64::from(self.volume.tree.block_bytes);
                    let after = position.saturating_add(1).checked_next_multiple_of(block);
                    self.position = after.unwrap_or(self.end);
                }
            }
        }
        Ok(None)
    }

    /// The bytes from the current position, at least a whole record of them where the directory has them.
    fn view(&mut self) -> Result<&[u8], Error> {
        let rest = narrow(self.end.saturating_sub(self.position));
        let skip = narrow(self.position.saturating_sub(self.window_start));
        if self.window.len().saturating_sub(skip) < rest.min(255) {
            let length = rest.min(self.window_bytes);
            self.window.resize(length, 0);
            self.window_start = self.position;
            if let Err(error) = self.volume.read(&mut self.window, self.position) {
                self.window.clear();
                return Err(error);
            }
            return Ok(&self.window);
        }
        Ok(slice(&self.window, skip, rest))
    }
}
