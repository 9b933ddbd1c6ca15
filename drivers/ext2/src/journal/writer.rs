//! The log, written.
//!
//! A transaction is descriptor blocks with tags, a copy of a block for each tag, revoke blocks, and
//! a commit block. The log is round; transactions stay in it until their blocks are in their places
//! (`checkpoint`).

use crate::error::{Error, Result, Unsupported};
use crate::journal::{Features, JournalSuper, LogMap, MAGIC, block_type, super_sum, tag_flag};
use crate::le::{be32_at, bytes_at, high32, low16, low32, put, put_be16, put_be32, put_u8, wide};
use crate::volume::Volume;
use abi::fs::Timestamp;
use std::collections::HashSet;
use std::sync::Arc;

/// The log of a volume that is mounted for writing.
pub(crate) struct Journal {
    js: JournalSuper,
    map: LogMap,
    /// Log block 0 as it is on the device.
    super_bytes: Vec<u8>,
    /// Where the next transaction goes.
    head: u32,
    /// The id of the next transaction.
    sequence: u32,
    /// Log blocks in use.
    used: u32,
    /// Whether the superblock on the device says that the log begins at `head`.
    is_begun: bool,
    /// Blocks with a copy in the log: when one is freed, that is put on record.
    logged: HashSet<u64>,
}

impl Journal {
    /// Opens an empty log; `sequence` is the id of its next transaction.
    ///
    /// # Errors
    /// `Unsupported::JournalFeatures` if it is of the first version, which has no revoke records.
    pub(crate) fn open(
        volume: &Volume,
        js: JournalSuper,
        map: LogMap,
        sequence: u32,
    ) -> Result<Self> {
        if !js.is_v2 {
            return Err(Error::Unsupported(Unsupported::JournalFeatures(0)));
        }
        let mut super_bytes = vec![0; volume.sb.block_bytes()];
        volume.read_block(map.block(0)?, &mut super_bytes)?;
        let mut features = js.features | Features::REVOKE;
        if volume.sb.desc_size >= 64 {
            features |= Features::BIT64;
        }
        if volume.sb.has_metadata_csum() && !features.contains(Features::CSUM_V2) {
            features |= Features::CSUM_V3;
        }
        let js = JournalSuper { features, ..js };
        put_be32(&mut super_bytes, 40, features.bits());
        if js.has_sums() {
            put_u8(&mut super_bytes, 80, 4);
        }
        let head = js.first;
        let mut this = Self {
            js,
            map,
            super_bytes,
            head,
            sequence,
            used: 0,
            is_begun: false,
            logged: HashSet::new(),
        };
        this.write_super(volume, 0)?;
        volume.flush()?;
        Ok(this)
    }

    /// Log blocks that transactions share.
    pub(crate) fn log_blocks(&self) -> u32 {
        self.js.end.saturating_sub(self.js.first)
    }

    /// Writes the journal's superblock: the log begins at `start`, or is empty if that is 0.
    fn write_super(&mut self, volume: &Volume, start: u32) -> Result<()> {
        let raw = &mut self.super_bytes;
        put_be32(raw, 24, self.sequence);
        put_be32(raw, 28, start);
        if self.js.has_sums() {
            let sum = super_sum(raw);
            put_be32(raw, 252, sum);
        }
        let at = volume.sb.byte_of(self.map.block(0)?);
        volume.device.write_at(raw, at).map_err(Error::Io)
    }

    /// After a checkpoint: the log holds nothing that is needed.
    pub(crate) fn empty(&mut self, volume: &Volume) -> Result<()> {
        if self.is_begun {
            self.write_super(volume, 0)?;
            volume.flush()?;
            self.is_begun = false;
        }
        self.head = self.js.first;
        self.used = 0;
        self.logged.clear();
        Ok(())
    }

    fn header(&self, kind: u32, bytes: usize) -> Vec<u8> {
        let mut raw = vec![0; bytes];
        put_be32(&mut raw, 0, MAGIC);
        put_be32(&mut raw, 4, kind);
        put_be32(&mut raw, 8, self.sequence);
        raw
    }

    /// Bytes of a block that tags or records may fill.
    fn room(&self, bytes: usize) -> usize {
        bytes.saturating_sub(if self.js.has_sums() { 4 } else { 0 })
    }

    fn seal_tail(&self, raw: &mut [u8]) {
        if self.js.has_sums() {
            let at = raw.len().saturating_sub(4);
            let sum = self.js.block_sum(raw, at);
            put_be32(raw, at, sum);
        }
    }

    /// Writes one tag and returns where the next one goes.
    fn put_tag(&self, raw: &mut [u8], at: usize, block: u64, flags: u32, sum: u32) -> usize {
        put_be32(raw, at, low32(block));
        if self.js.features.contains(Features::CSUM_V3) {
            put_be32(raw, at.saturating_add(4), flags);
            put_be32(raw, at.saturating_add(8), high32(block));
            put_be32(raw, at.saturating_add(12), sum);
        } else {
            put_be16(raw, at.saturating_add(4), low16(sum));
            put_be16(raw, at.saturating_add(6), low16(flags));
            if self.js.features.contains(Features::BIT64) {
                put_be32(raw, at.saturating_add(8), high32(block));
            }
        }
        let next = at.saturating_add(self.js.tag_bytes());
        if flags & tag_flag::SAME_UUID == 0 {
            put(raw, next, bytes_at(&self.super_bytes, 48, 16));
            return next.saturating_add(16);
        }
        next
    }

    /// The blocks of a transaction in the order of the log, without the commit block.
    fn body(&self, blocks: &[(u64, Arc<Vec<u8>>)], revoked: &[u64], bytes: usize) -> Vec<Vec<u8>> {
        let mut body = Vec::with_capacity(blocks.len().saturating_add(4));
        let room = self.room(bytes);
        let size = self.js.tag_bytes();
        let per_block = room.saturating_sub(28).checked_div(size).unwrap_or(1).max(1);
        for part in blocks.chunks(per_block) {
            let mut descriptor = self.header(block_type::DESCRIPTOR, bytes);
            let mut copies = Vec::with_capacity(part.len());
            let mut at = 12;
            for (index, (block, content)) in part.iter().enumerate() {
                let mut copy = content.to_vec();
                let mut flags = if index == 0 { 0 } else { tag_flag::SAME_UUID };
                if be32_at(&copy, 0) == MAGIC {
                    put_be32(&mut copy, 0, 0);
                    flags |= tag_flag::ESCAPE;
                }
                if index.saturating_add(1) == part.len() {
                    flags |= tag_flag::LAST;
                }
                let sum =
                    if self.js.has_sums() { self.js.copy_sum(self.sequence, &copy) } else { 0 };
                at = self.put_tag(&mut descriptor, at, *block, flags, sum);
                copies.push(copy);
            }
            self.seal_tail(&mut descriptor);
            body.push(descriptor);
            body.append(&mut copies);
        }
        let record = if self.js.features.contains(Features::BIT64) { 8 } else { 4 };
        let per_block = room.saturating_sub(16).checked_div(record).unwrap_or(1).max(1);
        for part in revoked.chunks(per_block) {
            body.push(self.revoke_block(part, bytes, record));
        }
        body
    }

    fn revoke_block(&self, part: &[u64], bytes: usize, record: usize) -> Vec<u8> {
        let mut raw = self.header(block_type::REVOKE, bytes);
        let mut at = 16usize;
        for &block in part {
            if record == 8 {
                put_be32(&mut raw, at, high32(block));
                put_be32(&mut raw, at.saturating_add(4), low32(block));
            } else {
                put_be32(&mut raw, at, low32(block));
            }
            at = at.saturating_add(record);
        }
        put_be32(&mut raw, 12, low32(wide(at)));
        self.seal_tail(&mut raw);
        raw
    }

    fn commit_block(&self, bytes: usize) -> Vec<u8> {
        let mut raw = self.header(block_type::COMMIT, bytes);
        let now = Timestamp::now();
        let seconds = now.seconds.cast_unsigned();
        put_be32(&mut raw, 48, high32(seconds));
        put_be32(&mut raw, 52, low32(seconds));
        put_be32(&mut raw, 56, now.nanos);
        if self.js.has_sums() {
            let sum = self.js.block_sum(&raw, 16);
            put_be32(&mut raw, 16, sum);
        }
        raw
    }

    /// Writes blocks to the log from `head` on, as many at once as lie together, and moves `head`.
    fn write_log(&mut self, volume: &Volume, blocks: &[Vec<u8>]) -> Result<()> {
        let mut buffer: Vec<u8> = Vec::new();
        let mut first = 0;
        let mut next = 0;
        for bytes in blocks {
            let block = self.map.block(self.head)?;
            if block != next || buffer.len() >= 1 << 20 {
                write(volume, &buffer, first)?;
                buffer.clear();
                first = block;
            }
            buffer.extend_from_slice(bytes);
            next = block.saturating_add(1);
            self.head = self.js.after(self.head);
            self.used = self.used.saturating_add(1);
        }
        write(volume, &buffer, first)
    }
}

fn write(volume: &Volume, buffer: &[u8], block: u64) -> Result<()> {
    if buffer.is_empty() {
        return Ok(());
    }
    volume.device.write_at(buffer, volume.sb.byte_of(block)).map_err(Error::Io)
}

impl Volume {
    /// Writes the open transaction to the log, durably.
    pub(crate) fn log_transaction(&mut self, journal: &mut Journal) -> Result<()> {
        let mut blocks: Vec<(u64, Arc<Vec<u8>>)> =
            self.tx.dirty.iter().map(|(&block, d)| (block, Arc::clone(&d.bytes))).collect();
        blocks.sort_unstable_by_key(|&(block, _)| block);
        let bytes = self.sb.block_bytes();
        let needed = |journal: &Journal, volume: &Self| {
            let revoked = sorted(volume.tx.forgotten.intersection(&journal.logged).copied());
            (journal.body(&blocks, &revoked, bytes), revoked)
        };
        let (mut body, _) = needed(journal, self);
        let room = journal.log_blocks().saturating_sub(journal.used);
        if wide(body.len()).saturating_add(1) >= u64::from(room) {
            self.checkpoint_with(journal)?;
            // Nothing is in the log now, so nothing is revoked.
            (body, _) = needed(journal, self);
            if wide(body.len()).saturating_add(1) >= u64::from(journal.log_blocks()) {
                return Err(Error::Io(abi::Errno::ENOSPC));
            }
        }
        if !journal.is_begun {
            let head = journal.head;
            journal.write_super(self, head)?;
            journal.is_begun = true;
        }
        journal.write_log(self, &body)?;
        self.flush()?;
        let commit = journal.commit_block(bytes);
        journal.write_log(self, &[commit])?;
        self.flush()?;
        for block in &self.tx.forgotten {
            journal.logged.remove(block);
        }
        journal.logged.extend(blocks.iter().map(|&(block, _)| block));
        journal.sequence = journal.sequence.wrapping_add(1);
        Ok(())
    }
}

fn sorted(blocks: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut all: Vec<u64> = blocks.collect();
    all.sort_unstable();
    all
}
