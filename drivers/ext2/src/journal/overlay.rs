//! A replay that writes nothing: where in the log the youngest copy of a block lies.

use crate::journal::MAGIC;
use crate::le::put_be32;
use std::collections::HashMap;

/// A copy in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Copy {
    /// The block of the volume that holds the copy.
    pub(crate) block: u64,
    /// Whether the copy's first word stands for the journal's magic number.
    pub(crate) is_escaped: bool,
}

impl Copy {
    /// Gives the bytes of a copy back what escaping took.
    pub(crate) fn unescape(self, bytes: &mut [u8]) {
        if self.is_escaped {
            put_be32(bytes, 0, MAGIC);
        }
    }
}

/// Blocks and their youngest copies. It holds an entry for a block of the log at most, so the size
/// of the image bounds it.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    copies: HashMap<u64, Copy>,
}

impl Overlay {
    pub(crate) fn is_empty(&self) -> bool {
        self.copies.is_empty()
    }

    pub(crate) fn get(&self, block: u64) -> Option<Copy> {
        if self.copies.is_empty() {
            return None;
        }
        self.copies.get(&block).copied()
    }

    pub(crate) fn insert(&mut self, block: u64, copy: Copy) {
        self.copies.insert(block, copy);
    }

    /// All blocks with their copies, in the order of blocks.
    pub(crate) fn sorted(&self) -> Vec<(u64, Copy)> {
        let mut all: Vec<_> = self.copies.iter().map(|(&block, &copy)| (block, copy)).collect();
        all.sort_unstable_by_key(|&(block, _)| block);
        all
    }
}
