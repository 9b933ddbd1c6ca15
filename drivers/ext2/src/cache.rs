//! A bounded cache of clean metadata blocks, split into shards so that readers seldom meet.
//!
//! Blocks are shared, never changed in place: a writer makes its own copy (`crate::tx`), so that a
//! reader keeps the block it was given for as long as it likes. Eviction is by second chance.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The bytes of one block, shared.
pub(crate) type Buf = Arc<Vec<u8>>;

const SHARDS: u64 = 16;

struct Slot {
    block: u64,
    bytes: Buf,
    used: bool,
}

#[derive(Default)]
struct Shard {
    place: HashMap<u64, usize>,
    slots: Vec<Slot>,
    hand: usize,
}

impl Shard {
    fn get(&mut self, block: u64) -> Option<Buf> {
        let slot = self.slots.get_mut(*self.place.get(&block)?)?;
        slot.used = true;
        Some(Arc::clone(&slot.bytes))
    }

    fn insert(&mut self, block: u64, bytes: Buf, slots_max: usize) {
        if let Some(slot) = self.place.get(&block).and_then(|&at| self.slots.get_mut(at)) {
            slot.bytes = bytes;
            return;
        }
        if self.slots.len() < slots_max {
            self.place.insert(block, self.slots.len());
            self.slots.push(Slot { block, bytes, used: false });
            return;
        }
        // Each step clears a mark, so this ends within two rounds.
        while let Some(slot) = self.slots.get_mut(self.hand) {
            let at = self.hand;
            self.hand = self.hand.saturating_add(1);
            if self.hand >= slots_max {
                self.hand = 0;
            }
            if slot.used {
                slot.used = false;
                continue;
            }
            self.place.remove(&slot.block);
            *slot = Slot { block, bytes, used: false };
            self.place.insert(block, at);
            return;
        }
    }

    fn remove(&mut self, block: u64) {
        let Some(at) = self.place.remove(&block) else { return };
        if at < self.slots.len() {
            self.slots.swap_remove(at);
            if let Some(moved) = self.slots.get(at) {
                self.place.insert(moved.block, at);
            }
        }
        self.hand = 0;
    }
}

/// The cache.
pub(crate) struct BlockCache {
    shards: Vec<Mutex<Shard>>,
    slots_max: usize,
}

impl BlockCache {
    /// A cache of `bytes` bytes for blocks of `block_bytes` bytes.
    pub(crate) fn new(bytes: usize, block_bytes: usize) -> Self {
        let slots = bytes.checked_div(block_bytes).unwrap_or(0) / 16;
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), slots_max: slots.max(8) }
    }

    /// A panic elsewhere leaves a shard usable: all its states between two statements are.
    fn shard(&self, block: u64) -> Option<MutexGuard<'_, Shard>> {
        let index = usize::try_from(block % SHARDS).ok()?;
        Some(self.shards.get(index)?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn get(&self, block: u64) -> Option<Buf> {
        self.shard(block)?.get(block)
    }

    pub(crate) fn insert(&self, block: u64, bytes: Buf) {
        if let Some(mut shard) = self.shard(block) {
            shard.insert(block, bytes, self.slots_max);
        }
    }

    pub(crate) fn remove(&self, block: u64) {
        if let Some(mut shard) = self.shard(block) {
            shard.remove(block);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_shard_forgets_what_was_not_used() {
        let cache = BlockCache::new(0, 1024); // eight blocks a shard
        for n in 0..8 {
            cache.insert(n * SHARDS, Arc::new(vec![1; 4]));
        }
        assert!(cache.get(0).is_some());
        cache.insert(8 * SHARDS, Arc::new(vec![2; 4]));
        assert!(cache.get(0).is_some(), "was used");
        assert!(cache.get(SHARDS).is_none(), "was not");
        assert_eq!(*cache.get(8 * SHARDS).unwrap(), [2; 4]);
    }

    #[test]
    fn removal_keeps_the_others_in_place() {
        let cache = BlockCache::new(0, 1024);
        for n in 0..8_u8 {
            cache.insert(u64::from(n) * SHARDS, Arc::new(vec![n]));
        }
        cache.remove(2 * SHARDS);
        assert!(cache.get(2 * SHARDS).is_none());
        for n in [0_u8, 1, 3, 4, 5, 6, 7] {
            assert_eq!(*cache.get(u64::from(n) * SHARDS).unwrap(), [n]);
        }
    }
}
