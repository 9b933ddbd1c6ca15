//! The log, read: which transactions are complete, what they revoke, where the youngest copies lie.
//!
//! Three passes as in the kernel's `jbd2_journal_recover`: find the last commit, collect
//! revocations, take copies. Nothing is written here.

use crate::csum::crc32_be;
use crate::error::{Corrupt, Error, Result, Summed};
use crate::journal::overlay::{Copy, Overlay};
use crate::journal::{Features, JournalSuper, LogMap, MAGIC, block_type, tag_flag};
use crate::le::{be16_at, be32_at, bytes_at, high16, join, low32, u16_at, u32_at, us};
use crate::volume::Volume;
use std::collections::HashMap;

/// What recovery found.
pub(crate) struct Recovered {
    pub(crate) overlay: Overlay,
    /// The id that the next transaction gets.
    pub(crate) next_sequence: u32,
    pub(crate) transactions: u32,
    /// Whether fast commits follow the last transaction: changes that this driver can't apply.
    pub(crate) has_fast_commits: bool,
}

/// A tag of a descriptor block: what the next block of the log is a copy of.
#[derive(Clone, Copy, Debug)]
struct Tag {
    block: u64,
    flags: u32,
    sum: u32,
}

/// One step of a transaction.
enum Step {
    Tags(Vec<Tag>),
    Revoked(Vec<u64>),
    Commit,
    /// What follows is not of this transaction.
    End,
}

struct Scanner<'a> {
    volume: &'a Volume,
    js: JournalSuper,
    map: &'a LogMap,
    /// The log block to read next.
    at: u32,
    sequence: u32,
    /// Log blocks that may still be read; the log is round, so this ends every walk.
    left: u32,
    /// The running checksum of `has_sum_v1`; later passes rely on the first and keep none.
    sum_v1: Option<u32>,
}

impl<'a> Scanner<'a> {
    fn new(volume: &'a Volume, js: JournalSuper, map: &'a LogMap) -> Self {
        Self {
            volume,
            js,
            map,
            at: js.start,
            sequence: js.sequence,
            left: js.blocks,
            sum_v1: Some(!0),
        }
    }

    fn advance(&mut self, count: usize) -> bool {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        if count > self.left {
            return false;
        }
        self.left = self.left.saturating_sub(count);
        for _ in 0..count {
            self.at = self.js.after(self.at);
        }
        true
    }

    fn read(&self, at: u32) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.volume.sb.block_bytes()];
        self.volume.read_block(self.map.block(at)?, &mut bytes)?;
        Ok(bytes)
    }

    /// Reads one block of the journal's own and moves behind it; the copies after tags are left to
    /// the caller.
    fn step(&mut self) -> Result<Step> {
        let bytes = self.read(self.at)?;
        if be32_at(&bytes, 0) != MAGIC || be32_at(&bytes, 8) != self.sequence {
            return Ok(Step::End);
        }
        let kind = be32_at(&bytes, 4);
        if !self.advance(1) {
            return Ok(Step::End);
        }
        let tail = bytes.len().saturating_sub(4);
        let is_summed = self.js.has_sums();
        match kind {
            block_type::DESCRIPTOR | block_type::REVOKE
                if is_summed && be32_at(&bytes, tail) != self.js.block_sum(&bytes, tail) =>
            {
                Ok(Step::End)
            }
            block_type::DESCRIPTOR => {
                self.add_v1(&bytes);
                Ok(Step::Tags(self.tags(&bytes)))
            }
            block_type::REVOKE => Ok(Step::Revoked(self.revoked(&bytes))),
            block_type::COMMIT => {
                let v2 = !is_summed || be32_at(&bytes, 16) == self.js.block_sum(&bytes, 16);
                let is_v1 = self.js.has_sum_v1 && !is_summed && bytes_at(&bytes, 12, 2) == [1, 4];
                let v1 = !is_v1
                    || self.sum_v1.is_none_or(|sum| sum == be32_at(&bytes, 16))
                    || be32_at(&bytes, 16) == 0;
                Ok(if v1 && v2 { Step::Commit } else { Step::End })
            }
            _ => Ok(Step::End),
        }
    }

    /// Adds a block to the checksum of its transaction.
    fn add_v1(&mut self, bytes: &[u8]) {
        if self.js.has_sum_v1 && !self.js.has_sums() {
            self.sum_v1 = self.sum_v1.map(|sum| crc32_be(sum, bytes));
        }
    }

    fn tags(&self, bytes: &[u8]) -> Vec<Tag> {
        let size = self.js.tag_bytes();
        let tail = if self.js.has_sums() { 4 } else { 0 };
        let end = bytes.len().saturating_sub(tail);
        let is_v3 = self.js.features.contains(Features::CSUM_V3);
        let is_64 = self.js.features.contains(Features::BIT64);
        let mut tags = Vec::new();
        let mut at = 12usize;
        while at.saturating_add(size) <= end {
            let low = be32_at(bytes, at);
            let high = if is_64 { be32_at(bytes, at.saturating_add(8)) } else { 0 };
            let (flags, sum) = if is_v3 {
                (be32_at(bytes, at.saturating_add(4)), be32_at(bytes, at.saturating_add(12)))
            } else {
                let sum = u32::from(be16_at(bytes, at.saturating_add(4)));
                (u32::from(be16_at(bytes, at.saturating_add(6))), sum)
            };
            tags.push(Tag { block: join(low, high), flags, sum });
            at = at.saturating_add(size);
            if flags & tag_flag::SAME_UUID == 0 {
                at = at.saturating_add(16);
            }
            if flags & tag_flag::LAST != 0 {
                break;
            }
        }
        tags
    }

    fn revoked(&self, bytes: &[u8]) -> Vec<u64> {
        let used = us(be32_at(bytes, 12)).min(bytes.len());
        let is_64 = self.js.features.contains(Features::BIT64);
        let size = if is_64 { 8 } else { 4 };
        let records = bytes.get(16..used).unwrap_or_default().chunks_exact(size);
        records
            .map(|record| {
                let first = be32_at(record, 0);
                if is_64 { join(be32_at(record, 4), first) } else { u64::from(first) }
            })
            .collect()
    }

    /// Checks a copy against its tag.
    fn check_copy(&self, at: u32, tag: Tag) -> Result<()> {
        if !self.js.has_sums() {
            return Ok(());
        }
        let sum = self.js.copy_sum(self.sequence, &self.read(at)?);
        let is_v3 = self.js.features.contains(Features::CSUM_V3);
        let good = if is_v3 { sum == tag.sum } else { sum & 0xffff == tag.sum };
        if good { Ok(()) } else { Err(Error::Checksum(Summed::Log(at))) }
    }

    /// First pass: the id behind the last complete transaction.
    fn find_end(mut self) -> Result<u32> {
        let mut end = self.sequence;
        loop {
            match self.step()? {
                Step::Tags(tags) => {
                    for _ in tags {
                        if self.js.has_sum_v1 && !self.js.has_sums() {
                            let bytes = self.read(self.at)?;
                            self.add_v1(&bytes);
                        }
                        if !self.advance(1) {
                            return Ok(end);
                        }
                    }
                }
                Step::Revoked(_) => {}
                Step::Commit => {
                    self.sequence = self.sequence.wrapping_add(1);
                    self.sum_v1 = Some(!0);
                    end = self.sequence;
                }
                Step::End => return Ok(end),
            }
        }
    }

    /// Walks the complete transactions.
    fn walk(mut self, end: u32, mut see: impl FnMut(&Self, Step, u32) -> Result<()>) -> Result<()> {
        self.sum_v1 = None;
        while self.sequence != end {
            let step = self.step()?;
            let first = self.at;
            match &step {
                Step::Tags(tags) => {
                    if !self.advance(tags.len()) {
                        return Ok(());
                    }
                }
                Step::Revoked(_) => {}
                Step::Commit => self.sequence = self.sequence.wrapping_add(1),
                Step::End => return Ok(()),
            }
            see(&self, step, first)?;
        }
        Ok(())
    }
}

/// Reads the log and says what a recovery would write.
///
/// # Errors
/// `Checksum(Log)` if a copy of a complete transaction is damaged, `Corrupt::Journal`, `Io`.
pub(crate) fn recover(volume: &Volume, js: JournalSuper, map: &LogMap) -> Result<Recovered> {
    let mut overlay = Overlay::default();
    if js.start == 0 {
        let next_sequence = js.sequence;
        let has_fast_commits = has_fast_commits(volume, &js, map, next_sequence)?;
        return Ok(Recovered { overlay, next_sequence, transactions: 0, has_fast_commits });
    }
    let end = Scanner::new(volume, js, map).find_end()?;
    // Block and the youngest transaction that revokes it.
    let mut revoked: HashMap<u64, u32> = HashMap::new();
    Scanner::new(volume, js, map).walk(end, |scanner, step, _| {
        if let Step::Revoked(blocks) = step {
            revoked.extend(blocks.into_iter().map(|block| (block, scanner.sequence)));
        }
        Ok(())
    })?;
    Scanner::new(volume, js, map).walk(end, |scanner, step, first| {
        let Step::Tags(tags) = step else { return Ok(()) };
        let mut at = first;
        for tag in tags {
            let is_revoked = revoked
                .get(&tag.block)
                .is_some_and(|&by| high16(by.wrapping_sub(scanner.sequence)) & 0x8000 == 0);
            if !is_revoked {
                if tag.block >= volume.sb.blocks_count {
                    return Err(Corrupt::Journal { field: "tag", value: tag.block }.into());
                }
                scanner.check_copy(at, tag)?;
                let is_escaped = tag.flags & tag_flag::ESCAPE != 0;
                overlay.insert(tag.block, Copy { block: map.block(at)?, is_escaped });
            }
            at = js.after(at);
        }
        Ok(())
    })?;
    let transactions = low32(u64::from(end.wrapping_sub(js.sequence)));
    let has_fast_commits = has_fast_commits(volume, &js, map, end)?;
    Ok(Recovered { overlay, next_sequence: end, transactions, has_fast_commits })
}

/// Whether the blocks for fast commits begin with a head (`EXT4_FC_TAG_HEAD`) of the transaction
/// that would come next.
fn has_fast_commits(
    volume: &Volume,
    js: &JournalSuper,
    map: &LogMap,
    next_sequence: u32,
) -> Result<bool> {
    if js.end >= js.blocks {
        return Ok(false);
    }
    let mut bytes = vec![0; volume.sb.block_bytes()];
    volume.read_block(map.block(js.end)?, &mut bytes)?;
    let is_head = u16_at(&bytes, 0) == 9 && u16_at(&bytes, 2) == 8;
    Ok(is_head && u32_at(&bytes, 8) == next_sequence)
}
