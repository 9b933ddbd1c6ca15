//! The volume: the device below and every metadata block above it.
//!
//! All metadata is read through [`Volume::block`] and changed through the transaction
//! (`crate::tx`): the block in memory is the only truth, structures are parsed out of it whenever
//! they are needed. So a reader never sees half a change, and an operation that fails is undone by
//! putting the old blocks back.

use crate::balloc::Zones;
use crate::cache::{BlockCache, Buf};
use crate::error::{Corrupt, Error, Result};
use crate::journal::overlay::Overlay;
use crate::journal::writer::Journal;
use crate::le::wide;
use crate::seal::Kind;
use crate::superblock::Super;
use crate::tx::Transaction;
use crate::windows::Windows;
use abi::Errno;
use abi::block::BlockDevice;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// Clean metadata kept in memory, in bytes.
const CACHE_BYTES: usize = 8 << 20;

/// A mounted volume.
pub(crate) struct Volume {
    pub(crate) device: Arc<dyn BlockDevice>,
    pub(crate) sb: Arc<Super>,
    pub(crate) cache: BlockCache,
    /// Blocks that a journal which must not be written back holds in a younger state.
    pub(crate) overlay: Overlay,
    /// Changes in memory; empty on a read-only mount.
    pub(crate) tx: Transaction,
    /// The log, where there is one and it is written.
    pub(crate) journal: Option<Journal>,
    pub(crate) read_only: bool,
    /// Where no file may lead; empty on a read-only mount.
    pub(crate) zones: Zones,
    /// What is kept for files that grow.
    pub(crate) windows: Windows,
    /// Whether the change at hand may take the blocks that are kept for root.
    pub(crate) uses_reserve: bool,
    /// Whether the superblock on the device says that the volume is in use.
    pub(crate) is_marked: bool,
    /// `s_state` as it was at mount, for a volume without a log.
    pub(crate) state_at_mount: u16,
    /// Inodes that were made without a name and may still get one.
    pub(crate) unnamed: HashSet<u32>,
    /// The last generation given to an inode.
    pub(crate) generation: u32,
    /// What [`overhead`](Self::overhead) counted.
    overhead: OnceLock<u64>,
    /// Set at the first doubt: from then on every mutation answers `EROFS`.
    failed: AtomicBool,
}

impl Volume {
    pub(crate) fn new(device: Arc<dyn BlockDevice>, sb: Super) -> Self {
        let cache = BlockCache::new(CACHE_BYTES, sb.block_bytes());
        Self {
            device,
            cache,
            sb: Arc::new(sb),
            overlay: Overlay::default(),
            tx: Transaction::default(),
            journal: None,
            read_only: true,
            zones: Zones::default(),
            windows: Windows::default(),
            uses_reserve: true,
            is_marked: false,
            state_at_mount: 0,
            unnamed: HashSet::new(),
            generation: 0,
            overhead: OnceLock::new(),
            failed: AtomicBool::new(false),
        }
    }

    /// Whether mutations are refused.
    pub(crate) fn is_read_only(&self) -> bool {
        self.read_only || self.failed.load(Ordering::Acquire)
    }

    /// Refuses all mutations from here on, because of `error`.
    pub(crate) fn fail(&self, error: Error) {
        if !self.read_only && !self.failed.swap(true, Ordering::AcqRel) {
            tracing::warn!(target: "ext2", "turned read-only: {error}");
        }
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// The bytes of metadata block `block`, checked as a `kind` when it comes from the device.
    ///
    /// # Errors
    /// `Corrupt::Block` if there is no such block, `Io`, `Checksum`.
    pub(crate) fn block(&self, block: u64, kind: Kind) -> Result<Buf> {
        if let Some(bytes) = self.tx.get(block).or_else(|| self.cache.get(block)) {
            return Ok(bytes);
        }
        let mut bytes = vec![0; self.sb.block_bytes()];
        self.read_block(block, &mut bytes)?;
        self.verify(block, kind, &bytes)?;
        let bytes = Arc::new(bytes);
        self.cache.insert(block, Arc::clone(&bytes));
        Ok(bytes)
    }

    /// Fills `bytes` (one block) from the device or the journal's younger copy.
    pub(crate) fn read_block(&self, block: u64, bytes: &mut [u8]) -> Result<()> {
        if block >= self.sb.blocks_count {
            return Err(Corrupt::Block { block }.into());
        }
        if let Some(copy) = self.overlay.get(block) {
            self.device.read_at(bytes, self.sb.byte_of(copy.block)).map_err(Error::Io)?;
            copy.unescape(bytes);
            return Ok(());
        }
        self.device.read_at(bytes, self.sb.byte_of(block)).map_err(Error::Io)
    }

    /// Fills `buf` with file data from byte `within` of `block` on; the blocks follow one another.
    pub(crate) fn read_data(&self, block: u64, within: usize, buf: &mut [u8]) -> Result<()> {
        let bytes = wide(within).saturating_add(wide(buf.len()));
        let count = self.sb.blocks_for(bytes);
        if !self.sb.holds(block, count) {
            return Err(Corrupt::Block { block }.into());
        }
        if self.overlay.is_empty() {
            let at = self.sb.byte_of(block).saturating_add(wide(within));
            return self.device.read_at(buf, at).map_err(Error::Io);
        }
        let mut whole = vec![0; self.sb.block_bytes()];
        let mut skip = within;
        let mut at = block;
        let mut rest = buf;
        while !rest.is_empty() {
            self.read_block(at, &mut whole)?;
            let part = whole.get(skip..).unwrap_or_default();
            let len = part.len().min(rest.len());
            let (now, later) = rest.split_at_mut(len);
            now.copy_from_slice(part.get(..len).unwrap_or_default());
            rest = later;
            skip = 0;
            at = at.saturating_add(1);
        }
        Ok(())
    }

    /// Refuses on a volume that is read-only.
    pub(crate) fn check_writable(&self) -> Result<()> {
        if self.is_read_only() { Error::answer(Errno::EROFS) } else { Ok(()) }
    }

    /// Blocks that hold the structure of the volume and never data: what statfs(2) leaves out.
    pub(crate) fn overhead(&self) -> u64 {
        *self.overhead.get_or_init(|| self.count_overhead())
    }

    fn count_overhead(&self) -> u64 {
        let per_group = u64::from(self.sb.inode_blocks_per_group()).saturating_add(2);
        let mut blocks = self.sb.first_data_block;
        for group in 0..self.sb.groups {
            let base = u64::from(self.sb.base_blocks(group));
            blocks = blocks.saturating_add(base).saturating_add(per_group);
        }
        blocks.min(self.sb.blocks_count)
    }
}
