//! The open transaction: metadata blocks changed in memory, and the way back.
//!
//! A change of the file system is a closure given to [`Volume::change`]. Every block it touches for
//! the first time is remembered as it was; if the closure fails, the old blocks are put back and
//! nothing has happened. So an operation may run out of space at any point. Blocks are shared, so
//! remembering one costs a count, and the copy is made by the first edit.
//!
//! Blocks that a transaction frees are not handed out again before it is durable: what the old
//! metadata on the device points to must stay what it was.

use crate::cache::Buf;
use crate::error::{Error, Result};
use crate::le::{low32, us};
use crate::order::Order;
use crate::seal::Kind;
use crate::superblock::SUPER_BYTES;
use crate::volume::Volume;
use abi::Errno;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A block that differs from the device.
#[derive(Clone)]
pub(crate) struct Dirty {
    pub(crate) bytes: Buf,
    pub(crate) kind: Kind,
    /// Whether the transaction made it: the device holds something else there.
    pub(crate) is_fresh: bool,
    /// The step that touched it last.
    step: u64,
}

/// What to put back.
enum Undo {
    Block(u64, Option<Dirty>),
    Freed { group: u32, first: u32, count: u32 },
    Forgotten(u64),
}

/// A point that a change can be taken back to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Savepoint(usize);

/// After this time the next change commits what there is first, as the kernel's `commit=5`.
const AGE_MAX: Duration = Duration::from_secs(5);

/// Changes in memory.
pub(crate) struct Transaction {
    pub(crate) dirty: HashMap<u64, Dirty>,
    /// Blocks that are durable in the log but not in their place.
    pub(crate) committed: HashMap<u64, (Buf, Kind)>,
    /// Metadata blocks that the transaction frees.
    pub(crate) forgotten: HashSet<u64>,
    /// For each group a bitmap of the blocks that the transaction frees.
    pub(crate) freed: HashMap<u32, Vec<u8>>,
    /// What the order of direct writes needs to know.
    pub(crate) order: Order,
    undo: Vec<Undo>,
    step: u64,
    /// When the first of the changes was made.
    since: Instant,
}

impl Default for Transaction {
    fn default() -> Self {
        Self {
            dirty: HashMap::new(),
            committed: HashMap::new(),
            forgotten: HashSet::new(),
            freed: HashMap::new(),
            order: Order::default(),
            undo: Vec::new(),
            step: 0,
            since: Instant::now(),
        }
    }
}

impl Transaction {
    pub(crate) fn get(&self, block: u64) -> Option<Buf> {
        if let Some(dirty) = self.dirty.get(&block) {
            return Some(Arc::clone(&dirty.bytes));
        }
        self.committed.get(&block).map(|(bytes, _)| Arc::clone(bytes))
    }

    /// Whether there is anything that a commit would write.
    pub(crate) fn is_empty(&self) -> bool {
        self.dirty.is_empty() && self.forgotten.is_empty() && self.freed.is_empty()
    }

    fn savepoint(&mut self) -> Savepoint {
        self.step = self.step.wrapping_add(1);
        Savepoint(self.undo.len())
    }

    fn roll_back(&mut self, to: Savepoint) {
        while self.undo.len() > to.0 {
            match self.undo.pop() {
                Some(Undo::Block(block, Some(dirty))) => {
                    self.dirty.insert(block, dirty);
                }
                Some(Undo::Block(block, None)) => {
                    self.dirty.remove(&block);
                }
                Some(Undo::Freed { group, first, count }) => {
                    if let Some(bits) = self.freed.get_mut(&group) {
                        crate::bitmap::clear(bits, first, count);
                    }
                }
                Some(Undo::Forgotten(block)) => {
                    self.forgotten.remove(&block);
                }
                None => break,
            }
        }
        self.step = self.step.wrapping_add(1);
    }
}

impl Volume {
    /// Runs a change: all of it happens in memory or nothing. If space runs out while the
    /// transaction holds freed blocks or inodes back, these are made durable and the change is
    /// tried once more; so is one that no order of writes serves.
    ///
    /// # Errors
    /// `EROFS`, then what `change` answers. A doubt turns the volume read-only.
    pub(crate) fn change<T>(
        &mut self,
        mut change: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<T> {
        self.check_writable()?;
        self.begin()?;
        let first = self.attempt(&mut change);
        match first {
            Err(Error::Answer(Errno::ENOSPC))
                if !self.tx.freed.is_empty() || self.tx.order.has_dead() =>
            {
                self.commit()?;
                self.attempt(&mut change)
            }
            Err(Error::Order) => {
                self.commit()?;
                // Marks of changes that were taken back are left if there was nothing to commit.
                self.tx.order = Order::default();
                self.attempt(&mut change)
            }
            other => other,
        }
    }

    fn attempt<T>(&mut self, change: &mut impl FnMut(&mut Self) -> Result<T>) -> Result<T> {
        let start = self.tx.savepoint();
        let result = change(self);
        if let Err(error) = &result {
            self.tx.roll_back(start);
            if error.is_doubt() {
                self.fail(*error);
            }
        }
        self.tx.undo.clear();
        result
    }

    /// Runs a part of a change that may fail on its own: then only this part is taken back.
    pub(crate) fn part<T>(&mut self, part: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let start = self.tx.savepoint();
        let result = part(self);
        if result.is_err() {
            self.tx.roll_back(start);
        }
        result
    }

    /// Makes room for one more change: a transaction stays small enough for the log and for memory.
    fn begin(&mut self) -> Result<()> {
        let is_old = !self.tx.dirty.is_empty() && self.tx.since.elapsed() >= AGE_MAX;
        if is_old || self.tx.dirty.len() >= self.tx_blocks_max() {
            self.commit()?;
        }
        if self.tx.dirty.is_empty() {
            self.tx.since = Instant::now();
        }
        self.mark_in_use()
    }

    /// How many blocks a transaction may hold before it is committed.
    pub(crate) fn tx_blocks_max(&self) -> usize {
        let by_memory = (16usize << 20) >> self.sb.block_bits;
        let by_log = self.journal.as_ref().map_or(usize::MAX, |j| us(j.log_blocks() / 3));
        by_memory.min(by_log)
    }

    /// The bytes of metadata block `block`, to be changed.
    pub(crate) fn edit(&mut self, block: u64, kind: Kind) -> Result<&mut Vec<u8>> {
        let step = self.tx.step;
        if !self.tx.dirty.contains_key(&block) {
            let bytes = self.block(block, kind)?;
            self.tx.undo.push(Undo::Block(block, None));
            self.tx.dirty.insert(block, Dirty { bytes, kind, is_fresh: false, step });
        }
        let Some(dirty) = self.tx.dirty.get_mut(&block) else {
            return Err(Error::Io(Errno::EIO));
        };
        if dirty.step != step {
            self.tx.undo.push(Undo::Block(block, Some(dirty.clone())));
            dirty.step = step;
        }
        dirty.kind = kind;
        Ok(Arc::make_mut(&mut dirty.bytes))
    }

    /// Metadata block `block`, all zeroes, whatever the device holds there.
    pub(crate) fn fresh(&mut self, block: u64, kind: Kind) -> Result<&mut Vec<u8>> {
        let bytes = Arc::new(vec![0; self.sb.block_bytes()]);
        let step = self.tx.step;
        let dirty = Dirty { bytes, kind, is_fresh: true, step };
        let before = self.tx.dirty.insert(block, dirty);
        self.tx.undo.push(Undo::Block(block, before));
        self.cache.remove(block);
        self.edit(block, kind)
    }

    /// Says that metadata block `block` is one no longer.
    pub(crate) fn forget(&mut self, block: u64) {
        if let Some(before) = self.tx.dirty.remove(&block) {
            self.tx.undo.push(Undo::Block(block, Some(before)));
        }
        if self.tx.forgotten.insert(block) {
            self.tx.undo.push(Undo::Forgotten(block));
        }
    }

    /// Remembers that `count` blocks of `group` from bit `first` on must not be handed out yet.
    pub(crate) fn hold_back(&mut self, group: u32, first: u32, count: u32) {
        let bytes = self.sb.block_bytes();
        let bits = self.tx.freed.entry(group).or_insert_with(|| vec![0; bytes]);
        crate::bitmap::set(bits, first, count);
        self.tx.undo.push(Undo::Freed { group, first, count });
    }

    /// The superblock, to be changed.
    pub(crate) fn edit_super(&mut self) -> Result<&mut [u8]> {
        let at = us(self.super_offset());
        let block = self.edit(self.sb.super_block, Kind::Super)?;
        Ok(crate::le::bytes_at_mut(block, at, SUPER_BYTES))
    }

    /// The superblock as it is in memory.
    pub(crate) fn super_bytes(&self) -> Result<Vec<u8>> {
        let bytes = self.block(self.sb.super_block, Kind::Super)?;
        Ok(crate::le::bytes_at(&bytes, us(self.super_offset()), SUPER_BYTES).to_vec())
    }

    /// A count of free blocks in the superblock moves by `by`.
    pub(crate) fn add_free_blocks(&mut self, by: i64) -> Result<()> {
        use crate::superblock::field::{FREE_BLOCKS_HI, FREE_BLOCKS_LO};
        let is_wide = self.sb.desc_size >= 64;
        let raw = self.edit_super()?;
        let high = if is_wide { crate::le::u32_at(raw, FREE_BLOCKS_HI) } else { 0 };
        let free = crate::le::join(crate::le::u32_at(raw, FREE_BLOCKS_LO), high);
        let free = free.saturating_add_signed(by);
        crate::le::put_u32(raw, FREE_BLOCKS_LO, low32(free));
        if is_wide {
            crate::le::put_u32(raw, FREE_BLOCKS_HI, crate::le::high32(free));
        }
        Ok(())
    }

    /// A count of free inodes in the superblock moves by `by`.
    pub(crate) fn add_free_inodes(&mut self, by: i32) -> Result<()> {
        use crate::superblock::field::FREE_INODES;
        let raw = self.edit_super()?;
        let free = crate::le::u32_at(raw, FREE_INODES).saturating_add_signed(by);
        crate::le::put_u32(raw, FREE_INODES, free);
        Ok(())
    }

    /// Free blocks by the superblock.
    pub(crate) fn free_blocks(&self) -> Result<u64> {
        use crate::superblock::field::{FREE_BLOCKS_HI, FREE_BLOCKS_LO};
        let raw = self.super_bytes()?;
        let high =
            if self.sb.desc_size >= 64 { crate::le::u32_at(&raw, FREE_BLOCKS_HI) } else { 0 };
        Ok(crate::le::join(crate::le::u32_at(&raw, FREE_BLOCKS_LO), high))
    }
}
