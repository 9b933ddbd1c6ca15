//! The bytes of a loop device: a part of a file, exchangeable while the device is in use.

use crate::block::{Partition, from_below};
use abi::block::{BlockDevice, Geometry};
use abi::{Errno, Result};
use core::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

/// What the window shows.
#[derive(Clone)]
struct View {
    /// `None` while nothing is bound.
    part: Option<Arc<Partition>>,
    block_size: u32,
    read_only: bool,
}

/// A device of 0 bytes until it is shown something.
pub(super) struct Window {
    view: RwLock<View>,
}

impl Window {
    pub(super) fn new() -> Self {
        Self { view: RwLock::new(View { part: None, block_size: 512, read_only: false }) }
    }

    fn view(&self) -> View {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, view: View) {
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = view;
    }

    /// Shows `device` from `offset` on, at most `size_limit` bytes if that is not 0, down to
    /// 512-byte sectors.
    pub(super) fn show(
        &self,
        device: &Arc<dyn BlockDevice>,
        (offset, size_limit): (u64, u64),
        block_size: u32,
        read_only: bool,
    ) -> Result<()> {
        let all = device.geometry().size_bytes.saturating_sub(offset);
        let size = if size_limit == 0 { all } else { all.min(size_limit) };
        // A window of no bytes fits anywhere.
        let start = if size == 0 { 0 } else { offset };
        let part = Partition::new(device.clone(), start, size & !511)?;
        self.set(View { part: Some(Arc::new(part)), block_size, read_only });
        Ok(())
    }

    /// Shows nothing.
    pub(super) fn clear(&self) {
        self.set(View { part: None, block_size: 512, read_only: false });
    }

    fn part(&self) -> Result<Arc<Partition>> {
        self.view().part.ok_or(Errno::EIO)
    }
}

impl BlockDevice for Window {
    fn geometry(&self) -> Geometry {
        let view = self.view();
        let below = view.part.as_ref().map(|part| part.geometry());
        Geometry {
            block_size: view.block_size,
            size_bytes: below.map_or(0, |g| g.size_bytes),
            read_only: view.read_only || below.is_some_and(|g| g.read_only),
        }
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.part()?.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        if self.geometry().read_only {
            return Err(Errno::EROFS);
        }
        self.part()?.write_at(buf, offset)
    }

    fn flush(&self) -> Result<()> {
        self.view().part.map_or(Ok(()), |part| part.flush())
    }

    fn discard(&self, range: Range<u64>) -> Result<()> {
        if self.geometry().read_only {
            return Err(Errno::EROFS);
        }
        self.part()?.discard(range).map_err(from_below)
    }
}
