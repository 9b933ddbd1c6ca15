//! The journal (jbd2): its superblock, and where its log lies.
//!
//! All numbers of the journal are big-endian. Source: `Documentation/filesystems/ext4/journal.rst`.

pub(crate) mod overlay;
pub(crate) mod scan;
#[cfg(test)]
mod scan_tests;
pub(crate) mod writer;

use crate::csum::crc32c;
use crate::error::{Corrupt, Error, Result, Summed, Unsupported};
use crate::inode::Inode;
use crate::le::{be32_at, low32, u8_at};
use crate::map::Place;
use crate::volume::Volume;
use bitflags::bitflags;

/// `JBD2_MAGIC_NUMBER`, the first word of every block of the journal's own.
pub(crate) const MAGIC: u32 = 0xc03b_3998;

/// `h_blocktype`
pub(crate) mod block_type {
    pub(crate) const DESCRIPTOR: u32 = 1;
    pub(crate) const COMMIT: u32 = 2;
    pub(crate) const SUPER_V1: u32 = 3;
    pub(crate) const SUPER_V2: u32 = 4;
    pub(crate) const REVOKE: u32 = 5;
}

/// `t_flags` of a tag.
pub(crate) mod tag_flag {
    pub(crate) const ESCAPE: u32 = 1;
    pub(crate) const SAME_UUID: u32 = 2;
    pub(crate) const LAST: u32 = 8;
}

bitflags! {
    /// `s_feature_incompat` of the journal.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Features: u32 {
        const REVOKE = 0x1;
        const BIT64 = 0x2;
        const ASYNC_COMMIT = 0x4;
        const CSUM_V2 = 0x8;
        const CSUM_V3 = 0x10;
        const FAST_COMMIT = 0x20;
    }
}

/// The validated superblock of a journal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JournalSuper {
    pub(crate) features: Features,
    /// `JBD2_FEATURE_COMPAT_CHECKSUM`: the commit block sums up its transaction.
    pub(crate) has_sum_v1: bool,
    /// Log blocks, the superblock included.
    pub(crate) blocks: u32,
    /// The first log block that transactions use.
    pub(crate) first: u32,
    /// The log block behind the last one that transactions use.
    pub(crate) end: u32,
    /// The id of the first transaction in the log.
    pub(crate) sequence: u32,
    /// The log block where it begins, 0 if the log is empty.
    pub(crate) start: u32,
    /// The seed of the checksums.
    pub(crate) seed: u32,
    pub(crate) is_v2: bool,
}

impl JournalSuper {
    /// Validates log block 0 of a journal of at most `blocks_max` blocks of `block_size` bytes.
    ///
    /// # Errors
    /// `Corrupt::Journal` naming the field, `Unsupported`, `Checksum(Journal)`.
    pub(crate) fn parse(raw: &[u8], block_size: u32, blocks_max: u64) -> Result<Self> {
        let bad = |field, value: u32| -> Result<Self> {
            Err(Corrupt::Journal { field, value: u64::from(value) }.into())
        };
        let (magic, kind) = (be32_at(raw, 0), be32_at(raw, 4));
        if magic != MAGIC {
            return bad("magic number", magic);
        }
        let is_v2 = kind == block_type::SUPER_V2;
        if !is_v2 && kind != block_type::SUPER_V1 {
            return bad("h_blocktype", kind);
        }
        if be32_at(raw, 12) != block_size {
            return bad("s_blocksize", be32_at(raw, 12));
        }
        let bits = if is_v2 { be32_at(raw, 40) } else { 0 };
        let features = Features::from_bits(bits).ok_or_else(|| {
            Error::Unsupported(Unsupported::JournalFeatures(bits & !Features::all().bits()))
        })?;
        let seed = crc32c(!0, crate::le::bytes_at(raw, 48, 16));
        let has_sums = features.intersects(Features::CSUM_V2 | Features::CSUM_V3);
        if has_sums {
            if u8_at(raw, 80) != 4 {
                return bad("s_checksum_type", u32::from(u8_at(raw, 80)));
            }
            if be32_at(raw, 252) != super_sum(raw) {
                return Err(Error::Checksum(Summed::Journal));
            }
        }
        let (blocks, first) = (be32_at(raw, 16), be32_at(raw, 20));
        if u64::from(blocks) > blocks_max || blocks < 8 {
            return bad("s_maxlen", blocks);
        }
        let end = blocks.saturating_sub(fast_commit_blocks(raw, features));
        if first == 0 || first >= end {
            return bad("s_first", first);
        }
        let start = be32_at(raw, 28);
        if start != 0 && !(first..end).contains(&start) {
            return bad("s_start", start);
        }
        Ok(Self {
            features,
            has_sum_v1: is_v2 && be32_at(raw, 36) & 1 != 0,
            blocks,
            first,
            end,
            sequence: be32_at(raw, 24),
            start,
            seed,
            is_v2,
        })
    }

    /// Whether blocks of the log carry CRC-32C.
    pub(crate) fn has_sums(&self) -> bool {
        self.features.intersects(Features::CSUM_V2 | Features::CSUM_V3)
    }

    /// Bytes of a tag in a descriptor block, as `journal_tag_bytes`.
    pub(crate) fn tag_bytes(&self) -> usize {
        if self.features.contains(Features::CSUM_V3) {
            return 16;
        }
        let sum = if self.features.contains(Features::CSUM_V2) { 2 } else { 0 };
        let high = if self.features.contains(Features::BIT64) { 4 } else { 0 };
        8usize.saturating_add(sum).saturating_add(high)
    }

    /// The log block after `at`: behind the last one comes the first.
    pub(crate) fn after(&self, at: u32) -> u32 {
        let next = at.saturating_add(1);
        if next >= self.end { self.first } else { next }
    }

    /// The checksum of a log block that carries one at `at`, which counts as zero.
    pub(crate) fn block_sum(&self, bytes: &[u8], at: usize) -> u32 {
        let sum = crc32c(self.seed, bytes.get(..at).unwrap_or_default());
        let sum = crc32c(sum, &[0; 4]);
        crc32c(sum, bytes.get(at.saturating_add(4)..).unwrap_or_default())
    }

    /// The checksum of a copy in the log of transaction `sequence`.
    pub(crate) fn copy_sum(&self, sequence: u32, bytes: &[u8]) -> u32 {
        crc32c(crc32c(self.seed, &sequence.to_be_bytes()), bytes)
    }
}

/// The blocks at the end of the log that fast commits use.
fn fast_commit_blocks(raw: &[u8], features: Features) -> u32 {
    if !features.contains(Features::FAST_COMMIT) {
        return 0;
    }
    let blocks = match be32_at(raw, 84) {
        0 => 256,
        other => other,
    };
    // The kernel leaves at least 1,024 blocks to the log proper.
    if be32_at(raw, 16).saturating_sub(blocks) >= 1024 { blocks } else { 0 }
}

/// The checksum that belongs into a journal superblock, as `jbd2_superblock_csum`.
pub(crate) fn super_sum(raw: &[u8]) -> u32 {
    let raw = raw.get(..1024).unwrap_or_default();
    let sum = crc32c(!0, raw.get(..252).unwrap_or_default());
    let sum = crc32c(sum, &[0; 4]);
    crc32c(sum, raw.get(256..).unwrap_or_default())
}

/// Where the blocks of the log lie on the volume.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogMap {
    /// First log block, block, count; in order.
    runs: Vec<(u32, u64, u32)>,
}

impl LogMap {
    /// Finds all blocks of the journal's inode.
    pub(crate) fn read(volume: &Volume, inode: &Inode) -> Result<Self> {
        let blocks = volume.sb.block_of(inode.size);
        let sane = blocks <= volume.sb.blocks_count && blocks <= u64::from(u32::MAX);
        if !sane {
            return Err(Corrupt::Journal { field: "size", value: inode.size }.into());
        }
        let mut runs = Vec::new();
        let mut at = 0;
        while at < blocks {
            let run = volume.map(inode, at, blocks.saturating_sub(at))?;
            let Place::Data(block) = run.place else {
                return Err(Corrupt::Journal { field: "hole", value: at }.into());
            };
            runs.push((low32(at), block, low32(run.len)));
            at = at.saturating_add(run.len);
        }
        Ok(Self { runs })
    }

    /// The block behind log block `at`.
    pub(crate) fn block(&self, at: u32) -> Result<u64> {
        let next = self.runs.partition_point(|&(first, _, _)| first <= at);
        let run = next.checked_sub(1).and_then(|index| self.runs.get(index));
        if let Some(&(first, block, count)) = run {
            let into = at.saturating_sub(first);
            if into < count {
                return Ok(block.saturating_add(u64::from(into)));
            }
        }
        Err(Corrupt::Journal { field: "log block", value: u64::from(at) }.into())
    }
}
