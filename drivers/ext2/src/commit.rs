//! A transaction made durable: through the log where there is one, else in an order that e2fsck can
//! mend.
//!
//! With a log: data and the log's copies, a flush, the commit block, a flush; the blocks go to
//! their places later, many at once. Without: the steps of [`order`](crate::order).

use crate::error::{Error, Result};
use crate::features::Incompat;
use crate::group::Group;
use crate::le::{low32, put_u16, put_u32, u16_at, u32_at, us};
use crate::seal::Kind;
use crate::superblock::{STATE_CLEAN, field};
use crate::volume::Volume;
use abi::fs::Timestamp;
use std::collections::HashMap;
use std::sync::Arc;

/// Neighbouring blocks are written at once, up to this many bytes.
const WRITE_MAX: usize = 1 << 20;

impl Volume {
    /// Makes everything that was changed durable. On failure the volume turns read-only.
    ///
    /// # Errors
    /// `Io` if any write may be lost.
    pub(crate) fn commit(&mut self) -> Result<()> {
        if self.has_failed() {
            return Err(Error::Io(abi::Errno::EIO));
        }
        let result = self.try_commit();
        if let Err(error) = &result {
            self.fail(*error);
        }
        result
    }

    fn try_commit(&mut self) -> Result<()> {
        if self.tx.is_empty() {
            return self.flush();
        }
        self.seal_all()?;
        if self.journal.is_some() {
            self.commit_to_log()?;
        } else {
            self.commit_in_place()?;
        }
        self.tx.freed.clear();
        self.tx.forgotten.clear();
        Ok(())
    }

    pub(crate) fn flush(&self) -> Result<()> {
        self.device.flush().map_err(Error::Io)
    }

    /// Puts all checksums on: those of bitmaps go into descriptors, so they come first.
    fn seal_all(&mut self) -> Result<()> {
        if self.sb.has_metadata_csum() {
            let bitmaps: Vec<(Kind, Arc<Vec<u8>>)> = self
                .tx
                .dirty
                .values()
                .filter(|d| matches!(d.kind, Kind::BlockBitmap(_) | Kind::InodeBitmap(_)))
                .map(|d| (d.kind, Arc::clone(&d.bytes)))
                .collect();
            for (kind, bytes) in bitmaps {
                self.seal_bitmap(kind, &bytes)?;
            }
        }
        let raw = self.edit_super()?;
        let now = Timestamp::now().seconds.cast_unsigned();
        put_u32(raw, field::WTIME, low32(now));
        let mut dirty = core::mem::take(&mut self.tx.dirty);
        for (&block, one) in &mut dirty {
            self.seal(block, one.kind, Arc::make_mut(&mut one.bytes).as_mut_slice());
        }
        self.tx.dirty = dirty;
        Ok(())
    }

    fn seal_bitmap(&mut self, kind: Kind, bytes: &[u8]) -> Result<()> {
        let mask = if self.sb.desc_size >= 64 { u32::MAX } else { 0xffff };
        match kind {
            Kind::BlockBitmap(group) => {
                let sum = self.bitmap_sum(bytes, self.sb.clusters_per_group) & mask;
                let desc = self.group(group)?;
                self.store_group(group, &Group { block_bitmap_csum: sum, ..desc })
            }
            Kind::InodeBitmap(group) => {
                let bits = low32(self.sb.inodes_per_group.get());
                let sum = self.bitmap_sum(bytes, bits) & mask;
                let desc = self.group(group)?;
                self.store_group(group, &Group { inode_bitmap_csum: sum, ..desc })
            }
            _ => Ok(()),
        }
    }

    /// Writes blocks to their places, neighbours at once.
    pub(crate) fn write_blocks(&self, mut blocks: Vec<(u64, Arc<Vec<u8>>)>) -> Result<()> {
        blocks.sort_unstable_by_key(|&(block, _)| block);
        let mut buffer: Vec<u8> = Vec::new();
        let mut first = 0;
        let mut next = 0;
        for (block, bytes) in blocks {
            if block != next || buffer.len() >= WRITE_MAX {
                self.write_buffer(&buffer, first)?;
                buffer.clear();
                first = block;
            }
            buffer.extend_from_slice(&bytes);
            next = block.saturating_add(1);
        }
        self.write_buffer(&buffer, first)
    }

    fn write_buffer(&self, buffer: &[u8], block: u64) -> Result<()> {
        if buffer.is_empty() {
            return Ok(());
        }
        self.device.write_at(buffer, self.sb.byte_of(block)).map_err(Error::Io)
    }

    fn commit_to_log(&mut self) -> Result<()> {
        let Some(mut journal) = self.journal.take() else { return Ok(()) };
        let result = self.log_transaction(&mut journal);
        self.journal = Some(journal);
        result?;
        for block in &self.tx.forgotten {
            self.tx.committed.remove(block);
        }
        for (block, dirty) in self.tx.dirty.drain() {
            self.tx.committed.insert(block, (dirty.bytes, dirty.kind));
        }
        // What waits for its place is bounded like a transaction.
        if self.tx.committed.len() >= self.tx_blocks_max() {
            self.checkpoint()?;
        }
        Ok(())
    }

    /// Writes every committed block to its place and empties the log.
    pub(crate) fn checkpoint(&mut self) -> Result<()> {
        let Some(mut journal) = self.journal.take() else { return Ok(()) };
        let result = self.checkpoint_with(&mut journal);
        self.journal = Some(journal);
        result
    }

    /// As [`checkpoint`](Self::checkpoint), with the journal in hand.
    pub(crate) fn checkpoint_with(
        &mut self,
        journal: &mut crate::journal::writer::Journal,
    ) -> Result<()> {
        let committed: HashMap<_, _> = core::mem::take(&mut self.tx.committed);
        let blocks = committed.iter().map(|(&b, (bytes, _))| (b, Arc::clone(bytes))).collect();
        let written = self.write_blocks(blocks).and_then(|()| self.flush());
        if let Err(error) = written {
            self.tx.committed = committed;
            return Err(error);
        }
        for (block, (bytes, _)) in committed {
            self.cache.insert(block, bytes);
        }
        journal.empty(self)
    }

    /// Marks the volume as in use on the device, before the first change after a clean state.
    pub(crate) fn mark_in_use(&mut self) -> Result<()> {
        if self.is_marked {
            return Ok(());
        }
        let has_journal = self.journal.is_some();
        self.write_super_now(|raw| {
            let now = low32(Timestamp::now().seconds.cast_unsigned());
            if has_journal {
                let bits = u32_at(raw, field::INCOMPAT) | Incompat::RECOVER.bits();
                put_u32(raw, field::INCOMPAT, bits);
            } else {
                let state = u16_at(raw, field::STATE) & !STATE_CLEAN;
                put_u16(raw, field::STATE, state);
            }
            put_u32(raw, field::WTIME, now);
        })?;
        self.is_marked = true;
        Ok(())
    }

    /// Makes everything durable and leaves a clean volume behind: nothing in the log, nothing to
    /// check.
    pub(crate) fn sync_all(&mut self) -> Result<()> {
        if self.is_read_only() {
            return if self.has_failed() { Err(Error::Io(abi::Errno::EIO)) } else { Ok(()) };
        }
        self.commit()?;
        if !self.is_marked {
            return Ok(());
        }
        let result = self.leave_clean();
        if let Err(error) = &result {
            self.fail(*error);
        }
        result
    }

    fn leave_clean(&mut self) -> Result<()> {
        self.checkpoint()?;
        let state = self.state_at_mount;
        let has_journal = self.journal.is_some();
        self.write_super_now(|raw| {
            if has_journal {
                let bits = u32_at(raw, field::INCOMPAT) & !Incompat::RECOVER.bits();
                put_u32(raw, field::INCOMPAT, bits);
            } else {
                put_u16(raw, field::STATE, state);
            }
        })?;
        self.is_marked = false;
        Ok(())
    }

    /// Changes the superblock on the device at once, by-passing the log. The transaction does not
    /// hold it.
    pub(crate) fn write_super_now(&mut self, change: impl FnOnce(&mut [u8])) -> Result<()> {
        let block = self.sb.super_block;
        let mut bytes = self.block(block, Kind::Super)?.to_vec();
        let at = us(self.super_offset());
        change(crate::le::bytes_at_mut(&mut bytes, at, crate::superblock::SUPER_BYTES));
        self.seal(block, Kind::Super, &mut bytes);
        self.device.write_at(&bytes, self.sb.byte_of(block)).map_err(Error::Io)?;
        self.flush()?;
        let bytes = Arc::new(bytes);
        // A copy in the log would bring the older state back: the same change goes into what waits
        // there.
        if let Some(waiting) = self.tx.committed.get_mut(&block) {
            waiting.0 = Arc::clone(&bytes);
        }
        debug_assert!(!self.tx.dirty.contains_key(&block));
        self.cache.insert(block, bytes);
        Ok(())
    }
}
