//! File content, read: runs of blocks straight from the device into the caller's buffer.

use crate::dir::ENOKEY;
use crate::error::{Corrupt, Error, Result};
use crate::inode::{I_BLOCK_BYTES, Inode, InodeFlags};
use crate::le::{us, wide};
use crate::map::Place;
use crate::volume::Volume;
use abi::Errno;
use abi::fs::SeekTo;

impl Volume {
    /// Reads file content at byte `offset` and returns how many bytes there were.
    ///
    /// # Errors
    /// `ENOKEY` if the file is encrypted.
    pub(crate) fn read_file(&self, inode: &Inode, buf: &mut [u8], offset: u64) -> Result<usize> {
        if inode.has(InodeFlags::ENCRYPT) {
            return Error::answer(ENOKEY);
        }
        let left = inode.size.saturating_sub(offset);
        let len = us(left.min(wide(buf.len())));
        let buf = buf.get_mut(..len).unwrap_or_default();
        if inode.has(InodeFlags::INLINE_DATA) {
            return self.read_inline(inode, buf, offset);
        }
        let mut at = offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let within = self.sb.within(at);
            let wanted = self.sb.blocks_for(wide(within).saturating_add(wide(rest.len())));
            let run = self.map(inode, self.sb.block_of(at), wanted)?;
            let run_bytes = us(self.sb.byte_of(run.len)).saturating_sub(within);
            let (now, later) = rest.split_at_mut(run_bytes.min(rest.len()));
            match run.place {
                Place::Data(block) => self.read_data(block, within, now)?,
                Place::Unwritten(_) | Place::Hole => now.fill(0),
            }
            at = at.saturating_add(wide(now.len()));
            rest = later;
        }
        Ok(len)
    }

    fn read_inline(&self, inode: &Inode, buf: &mut [u8], offset: u64) -> Result<usize> {
        let data = self.inline_data(inode)?;
        if inode.size > wide(data.len()) {
            return Err(Corrupt::Inline { ino: inode.ino }.into());
        }
        let from = us(offset);
        let part = data.get(from..from.saturating_add(buf.len())).unwrap_or_default();
        let len = part.len().min(buf.len());
        buf.get_mut(..len).unwrap_or_default().copy_from_slice(part.get(..len).unwrap_or_default());
        Ok(len)
    }

    /// The target of a symbolic link.
    pub(crate) fn link_target(&self, inode: &Inode) -> Result<Vec<u8>> {
        let size = inode.size;
        // PATH_MAX with its NUL, and a block.
        if size == 0
            || size > 4096
            || size > u64::from(self.sb.block_size()) && !inode.has(InodeFlags::INLINE_DATA)
        {
            return Err(Corrupt::LinkTarget { ino: inode.ino, len: size }.into());
        }
        if inode.has(InodeFlags::ENCRYPT) {
            return Error::answer(ENOKEY);
        }
        let target = if self.is_fast_link(inode) {
            inode.i_block.get(..us(size).min(I_BLOCK_BYTES)).unwrap_or_default().to_vec()
        } else if inode.has(InodeFlags::INLINE_DATA) {
            let mut target = vec![0; us(size)];
            self.read_inline(inode, &mut target, 0)?;
            target
        } else {
            let Place::Data(block) = self.map(inode, 0, 1)?.place else {
                return Err(Corrupt::LinkTarget { ino: inode.ino, len: size }.into());
            };
            if !self.sb.holds(block, 1) {
                return Err(Corrupt::Block { block }.into());
            }
            let bytes = self.block(block, crate::seal::Kind::Plain)?;
            bytes.get(..us(size)).unwrap_or_default().to_vec()
        };
        if target.contains(&0) {
            return Err(Corrupt::LinkTarget { ino: inode.ino, len: size }.into());
        }
        Ok(target)
    }

    /// lseek(2) with `SEEK_DATA` or `SEEK_HOLE`. Unwritten blocks count as a hole, as they read as
    /// zeroes.
    pub(crate) fn seek(&self, inode: &Inode, offset: u64, to: SeekTo) -> Result<u64> {
        if offset >= inode.size {
            return Error::answer(Errno::ENXIO);
        }
        if inode.has(InodeFlags::INLINE_DATA) {
            return Ok(match to {
                SeekTo::Data => offset,
                SeekTo::Hole => inode.size,
            });
        }
        let end = self.sb.blocks_for(inode.size);
        let mut block = self.sb.block_of(offset);
        while block < end {
            let run = self.map(inode, block, end.saturating_sub(block))?;
            let is_data = matches!(run.place, Place::Data(_));
            if is_data == matches!(to, SeekTo::Data) {
                return Ok(self.sb.byte_of(block).max(offset));
            }
            block = block.saturating_add(run.len);
        }
        match to {
            SeekTo::Hole => Ok(inode.size),
            SeekTo::Data => Error::answer(Errno::ENXIO),
        }
    }
}
