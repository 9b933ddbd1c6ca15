//! zisofs and zisofs2: files compressed block by block.
//!
//! | version | magic | length | header length / 4 | log2 of the block size | pointers |
//! |---|---|---|---|---|---|
//! | 1 | `37 E4 53 96 C9 DB D6 07` | 32 bits at 8 | at 12 | at 13 | 32 bits |
//! | 2 | `EF 22 55 A1 BC 1B 95 A0` | 64 bits at 12 | at 9 | at 11 | 64 bits |
//!
//! Behind the header are the offsets of all blocks and of the end; a block is a zlib stream, an empty one is
//! zeroes. So any block can be read by itself.

use crate::error::{Corrupt, Error, Unsupported};
use crate::extent;
use crate::node::FileData;
use crate::numeric::{byte, le32, le64, narrow, slice, wide};
use crate::rock::Compressed;
use crate::volume::Volume;
use flate2::{Decompress, FlushDecompress, Status};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// The most decompressed bytes that are kept.
const CACHED_BYTES_MAX: usize = 4 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// A compressed file whose header agrees with its directory record.
#[derive(Clone, Debug)]
pub(crate) struct CompressedFile {
    data: FileData,
    version: Version,
    entry: Compressed,
}

impl CompressedFile {
    /// Reads the header.
    ///
    /// # Errors
    /// - [`Unsupported::Compression`]
    /// - [`Corrupt::ZisofsHeader`] if it does not say what `entry` says.
    /// - `EIO` from the device.
    pub(crate) fn open(volume: &Volume, data: FileData, entry: Compressed) -> Result<Self, Error> {
        let position = data.position;
        let version = match (&entry.algorithm, entry.log2_block) {
            (b"pz", 15..=17) => Version::One,
            (b"PZ", 15..=20) => Version::Two,
            (&algorithm, log2_block) => {
                return Err(Unsupported::Compression { position, algorithm, log2_block }.into());
            }
        };
        let mut header = [0; 24];
        let needed = if version == Version::One { 16 } else { 24 };
        let head = header.get_mut(..needed).unwrap_or_default();
        extent::read_exact(volume, &data.sections, head, 0)?
            .ok_or(Corrupt::ZisofsHeader { position })?;
        let found = match version {
            Version::One if slice(&header, 0, 8) == b"\x37\xe4\x53\x96\xc9\xdb\xd6\x07" => {
                Some((byte(&header, 12), byte(&header, 13), u64::from(le32(&header, 8))))
            }
            Version::Two if slice(&header, 0, 8) == b"\xef\x22\x55\xa1\xbc\x1b\x95\xa0" => {
                Some((byte(&header, 9), byte(&header, 11), le64(&header, 12)))
            }
            _ => None,
        };
        let agreed = found.is_some_and(|(quarter, log2_block, size_bytes)| {
            u16::from(quarter).saturating_mul(4) == entry.header_bytes
                && usize::from(entry.header_bytes) >= needed
                && log2_block == entry.log2_block
                && size_bytes == entry.size_bytes
        });
        if agreed {
            Ok(Self { data, version, entry })
        } else {
            Err(Corrupt::ZisofsHeader { position }.into())
        }
    }

    fn block_bytes(&self) -> u64 {
        1_u64.wrapping_shl(u32::from(self.entry.log2_block))
    }

    /// Reads from `offset` of the file as it is shown; fewer bytes than asked only at its end.
    ///
    /// # Errors
    /// - [`Corrupt::ZisofsBlock`]
    /// - `EIO` from the device.
    pub(crate) fn read(
        &self,
        volume: &Volume,
        cache: &BlockCache,
        buf: &mut [u8],
        offset: u64,
    ) -> Result<usize, Error> {
        let block_bytes = self.block_bytes();
        let mut done = 0_usize;
        while done < buf.len() {
            let at = offset.saturating_add(wide(done));
            let Some(rest_bytes) = self.entry.size_bytes.checked_sub(at).filter(|n| *n > 0) else {
                break;
            };
            let block = at.checked_div(block_bytes).unwrap_or(0);
            let within = at.checked_rem(block_bytes).unwrap_or(0);
            let here = block_bytes.saturating_sub(within).min(rest_bytes);
            let rest = buf.get_mut(done..).unwrap_or_default();
            let length = rest.len().min(narrow(here));
            let to = rest.get_mut(..length).unwrap_or_default();
            match cache.get_or_read((self.data.position, block), || self.block(volume, block))? {
                Some(bytes) => {
                    for (to, from) in to.iter_mut().zip(slice(&bytes, narrow(within), length)) {
                        *to = *from;
                    }
                }
                None => to.fill(0),
            }
            done = done.saturating_add(length);
        }
        Ok(done)
    }

    /// Decompresses one block; `None` if it is all zeroes.
    fn block(&self, volume: &Volume, block: u64) -> Result<Option<Vec<u8>>, Error> {
        let bad = || Error::from(Corrupt::ZisofsBlock { position: self.data.position, block });
        let width: u64 = if self.version == Version::One { 4 } else { 8 };
        let at = block.saturating_mul(width).saturating_add(u64::from(self.entry.header_bytes));
        let mut pointers = [0; 16];
        let both = pointers.get_mut(..narrow(width.saturating_mul(2))).unwrap_or_default();
        extent::read_exact(volume, &self.data.sections, both, at)?.ok_or_else(bad)?;
        let (from, to) = match self.version {
            Version::One => (u64::from(le32(&pointers, 0)), u64::from(le32(&pointers, 4))),
            Version::Two => (le64(&pointers, 0), le64(&pointers, 8)),
        };
        let block_bytes = self.block_bytes();
        let first = block.saturating_mul(block_bytes);
        let expected = block_bytes.min(self.entry.size_bytes.saturating_sub(first));
        let stored_bytes = to.checked_sub(from).ok_or_else(bad)?;
        if stored_bytes == 0 {
            return Ok(None);
        }
        // zlib adds little to what it can't compress; twice the block is far beyond that.
        if stored_bytes > block_bytes.saturating_mul(2) {
            return Err(bad());
        }
        let mut stored = vec![0; narrow(stored_bytes)];
        extent::read_exact(volume, &self.data.sections, &mut stored, from)?.ok_or_else(bad)?;
        let mut bytes = vec![0; narrow(expected)];
        let mut stream = Decompress::new(true);
        match stream.decompress(&stored, &mut bytes, FlushDecompress::Finish) {
            Ok(Status::StreamEnd) if stream.total_out() == expected => Ok(Some(bytes)),
            _ => Err(bad()),
        }
    }
}

/// Position of the file's record, number of the block.
type BlockKey = (u64, u64);

/// The decompressed blocks used last, of all files of a mount.
#[derive(Default)]
pub(crate) struct BlockCache {
    /// The one used last is in front.
    recent: Mutex<VecDeque<(BlockKey, Arc<Vec<u8>>)>>,
}

impl BlockCache {
    /// The block from the cache, or from `read`. Two threads may read one block at the same time.
    fn get_or_read(
        &self,
        key: BlockKey,
        read: impl FnOnce() -> Result<Option<Vec<u8>>, Error>,
    ) -> Result<Option<Arc<Vec<u8>>>, Error> {
        {
            let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(at) = recent.iter().position(|(k, _)| *k == key)
                && let Some(hit) = recent.remove(at)
            {
                let bytes = Arc::clone(&hit.1);
                recent.push_front(hit);
                return Ok(Some(bytes));
            }
        }
        let Some(bytes) = read()?.map(Arc::new) else { return Ok(None) };
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|(k, _)| *k != key);
        recent.push_front((key, Arc::clone(&bytes)));
        let held = |recent: &VecDeque<(BlockKey, Arc<Vec<u8>>)>| {
            recent.iter().fold(0_usize, |sum, (_, b)| sum.saturating_add(b.len()))
        };
        while recent.len() > 1 && held(&recent) > CACHED_BYTES_MAX {
            recent.pop_back();
        }
        Ok(Some(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::{BlockCache, CACHED_BYTES_MAX};
    use crate::error::{Corrupt, Error};

    #[test]
    fn cache_is_bounded_in_bytes_and_keeps_what_was_used_last() {
        let cache = BlockCache::default();
        for block in 0..20 {
            cache.get_or_read((1, block), || Ok(Some(vec![7; 1 << 20]))).unwrap();
        }
        let held: usize = cache.recent.lock().unwrap().iter().map(|(_, b)| b.len()).sum();
        assert!(held <= CACHED_BYTES_MAX);
        let hit = cache.get_or_read((1, 19), || panic!("must be a hit")).unwrap();
        assert_eq!(hit.unwrap().len(), 1 << 20);
    }

    #[test]
    fn empty_blocks_and_errors_are_not_kept() {
        let cache = BlockCache::default();
        assert!(cache.get_or_read((1, 0), || Ok(None)).unwrap().is_none());
        let bad = Error::from(Corrupt::ZisofsBlock { position: 1, block: 0 });
        assert_eq!(cache.get_or_read((1, 0), || Err(bad)).unwrap_err(), bad);
        assert!(cache.recent.lock().unwrap().is_empty());
    }
}
