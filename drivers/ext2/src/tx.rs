//! The open transaction: metadata blocks changed in memory.

use crate::cache::Buf;
use crate::error::Result;
use crate::seal::Kind;
use crate::volume::Volume;
use std::collections::HashMap;
use std::sync::Arc;

/// Changes in memory.
#[derive(Default)]
pub(crate) struct Transaction {
    dirty: HashMap<u64, (Buf, Kind)>,
}

impl Transaction {
    pub(crate) fn get(&self, block: u64) -> Option<Buf> {
        self.dirty.get(&block).map(|d| Arc::clone(&d.0))
    }
}

impl Volume {
    pub(crate) fn edit(&mut self, block: u64, kind: Kind) -> Result<&mut Vec<u8>> {
        let bytes = self.block(block, kind)?;
        let entry = self.tx.dirty.entry(block).or_insert((bytes, kind));
        Ok(Arc::make_mut(&mut entry.0))
    }
}
