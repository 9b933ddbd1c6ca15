//! The allocation table in memory: pages read on demand, changed here, written later in long runs.
//!
//! Order on the device is kept by what goes into a page at all. A cell of a chain that no entry reaches, and a
//! cell that was freed after its entry left the device, may be written at any time. The one change that makes a
//! written chain longer, the cell of its former last cluster, waits in `joins` until all else is written.

use crate::boot::Kind;
use crate::le;
use crate::volume::Volume;
use abi::Result;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What a cell says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    Free,
    Next(u32),
    Last,
    Bad,
    /// A number that names no cluster.
    Invalid(u32),
}

/// Pages in memory before the clean ones are dropped: 4 MiB.
const PAGES_MAX: usize = 1024;
/// Changed pages before they are written: 1 MiB.
const DIRTY_MAX: usize = 256;
/// Pages in one write.
const RUN_PAGES_MAX: usize = 256;
/// `free_in_page` of a page that was never looked at.
pub(crate) const NOT_COUNTED: u16 = u16::MAX;

pub(crate) struct Table {
    pub(crate) cells_per_page: u32,
    pub(crate) page_bytes: u32,
    pages: HashMap<u32, Vec<u8>>,
    dirty: BTreeSet<u32>,
    /// Last cluster of a chain on the device -> its next one.
    joins: BTreeMap<u32, u32>,
    /// Counts commits: a chain begun in this epoch is not yet reachable on the device.
    pub(crate) epoch: u64,
    /// Free cells of each page, or [`NOT_COUNTED`].
    pub(crate) free_in_page: Vec<u16>,
    /// Where the search for a free cluster goes on.
    pub(crate) hint: u32,
    /// Free clusters of the volume, where known.
    pub(crate) free: Option<u32>,
    /// `free` was counted, not read from FSINFO.
    pub(crate) is_counted: bool,
}

impl Kind {
    /// The mark of a chain's last cluster, as written.
    pub(crate) fn last_mark(self) -> u32 {
        match self {
            Self::Fat12 => 0xfff,
            Self::Fat16 => 0xffff,
            Self::Fat32 => 0x0fff_ffff,
        }
    }

    /// Cells and bytes of a page. The only page of FAT12 holds all cells, so that none straddles two.
    fn page_shape(self) -> (u32, u32) {
        match self {
            Self::Fat12 => (4096, 6144),
            Self::Fat16 => (2048, 4096),
            Self::Fat32 => (1024, 4096),
        }
    }

    /// The cell number `index` of a page.
    pub(crate) fn cell(self, page: &[u8], index: u32) -> u32 {
        let index = le::index(index);
        match self {
            Self::Fat12 => {
                let pair = u32::from(le::u16_at(page, index.saturating_mul(3) / 2));
                if index % 2 == 1 { pair >> 4 } else { pair & 0xfff }
            }
            Self::Fat16 => u32::from(le::u16_at(page, index.saturating_mul(2))),
            Self::Fat32 => le::u32_at(page, index.saturating_mul(4)) & 0x0fff_ffff,
        }
    }

    /// Writes the cell, leaving its neighbour (FAT12) and the four reserved bits (FAT32).
    fn put_cell(self, page: &mut [u8], index: u32, value: u32) {
        let index = le::index(index);
        let short = |v: u32| u16::try_from(v & 0xffff).unwrap_or_default();
        match self {
            Self::Fat12 => {
                let at = index.saturating_mul(3) / 2;
                let pair = le::u16_at(page, at);
                let value = short(value & 0xfff);
                let odd = index % 2 == 1;
                let pair =
                    if odd { (pair & 0x000f) | (value << 4) } else { (pair & 0xf000) | value };
                le::put_u16(page, at, pair);
            }
            Self::Fat16 => le::put_u16(page, index.saturating_mul(2), short(value)),
            Self::Fat32 => {
                let at = index.saturating_mul(4);
                let kept = le::u32_at(page, at) & 0xf000_0000;
                le::put_u32(page, at, kept | (value & 0x0fff_ffff));
            }
        }
    }
}

impl Table {
    /// An empty cache for the table of `vol`.
    pub(crate) fn new(vol: &Volume, hint: Option<u32>, free: Option<u32>) -> Self {
        let (cells_per_page, page_bytes) = vol.layout.kind.page_shape();
        let cells = u64::from(vol.layout.clusters).saturating_add(2);
        let pages = cells.div_ceil(u64::from(cells_per_page).max(1));
        Self {
            cells_per_page,
            page_bytes,
            pages: HashMap::new(),
            dirty: BTreeSet::new(),
            joins: BTreeMap::new(),
            epoch: 0,
            free_in_page: vec![NOT_COUNTED; le::narrow(pages)],
            hint: hint.filter(|&h| vol.layout.is_cluster(h)).unwrap_or(2),
            free,
            is_counted: false,
        }
    }

    /// The page and the place in it of a cluster's cell.
    pub(crate) fn locate(&self, cluster: u32) -> (u32, u32) {
        let cells = self.cells_per_page.max(1);
        (
            cluster.checked_div(cells).unwrap_or_default(),
            cluster.checked_rem(cells).unwrap_or_default(),
        )
    }

    /// Where a page lies in each copy of the table, and its length.
    fn page_range(&self, vol: &Volume, page: u32) -> (u64, u64) {
        let at = u64::from(page).saturating_mul(u64::from(self.page_bytes));
        (at, vol.layout.table_bytes.saturating_sub(at).min(u64::from(self.page_bytes)))
    }

    fn load(&mut self, vol: &Volume, page: u32) -> Result<()> {
        if self.pages.contains_key(&page) {
            return Ok(());
        }
        if self.pages.len() >= PAGES_MAX {
            let dirty = &self.dirty;
            self.pages.retain(|number, _| dirty.contains(number));
        }
        let (at, length) = self.page_range(vol, page);
        let mut bytes = vec![0; le::narrow(length)];
        let first = vol.layout.tables_at.first().copied().unwrap_or_default();
        vol.read(&mut bytes, first.saturating_add(at))?;
        self.note_free(vol, page, &bytes);
        self.pages.insert(page, bytes);
        Ok(())
    }

    /// The raw value of a cell. Bits of a cell that is waiting in `joins` are those on the device.
    pub(crate) fn raw(&mut self, vol: &Volume, cluster: u32) -> Result<u32> {
        let (page, index) = self.locate(cluster);
        self.load(vol, page)?;
        let bytes = self.pages.get(&page).map(Vec::as_slice).unwrap_or_default();
        Ok(vol.layout.kind.cell(bytes, index))
    }

    /// What the cell of `cluster` says.
    pub(crate) fn get(&mut self, vol: &Volume, cluster: u32) -> Result<Cell> {
        if let Some(&next) = self.joins.get(&cluster) {
            return Ok(Cell::Next(next));
        }
        let raw = self.raw(vol, cluster)?;
        let last = vol.layout.kind.last_mark();
        Ok(if raw == 0 {
            Cell::Free
        } else if vol.layout.is_cluster(raw) {
            Cell::Next(raw)
        } else if raw >= last.saturating_sub(7) {
            Cell::Last
        } else if raw == last.saturating_sub(8) {
            Cell::Bad
        } else {
            Cell::Invalid(raw)
        })
    }

    /// Changes a cell in memory.
    pub(crate) fn set(&mut self, vol: &Volume, cluster: u32, value: u32) -> Result<()> {
        let was = self.raw(vol, cluster)?;
        self.joins.remove(&cluster);
        if was == value {
            return Ok(());
        }
        let (page, index) = self.locate(cluster);
        if let Some(bytes) = self.pages.get_mut(&page) {
            vol.layout.kind.put_cell(bytes, index, value);
        }
        self.dirty.insert(page);
        match (was, value) {
            (0, _) => self.count_free(page, false),
            (_, 0) => self.count_free(page, true),
            _ => {}
        }
        if self.dirty.len() > DIRTY_MAX {
            self.write_dirty(vol)?;
        }
        Ok(())
    }

    /// Ends a chain at `cluster`, on the device too: what lay behind may then be freed.
    pub(crate) fn cut(&mut self, vol: &Volume, cluster: u32) -> Result<()> {
        self.set(vol, cluster, vol.layout.kind.last_mark())?;
        let (page, _) = self.locate(cluster);
        if self.dirty.contains(&page) {
            self.write_run(vol, &[page])?;
            self.dirty.remove(&page);
        }
        Ok(())
    }

    /// Makes the chain that ends at `tail` go on at `next`, once the cells from `next` are on the device.
    pub(crate) fn join(&mut self, tail: u32, next: u32) {
        self.joins.insert(tail, next);
    }

    /// Whether anything waits to be written.
    pub(crate) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty() || !self.joins.is_empty()
    }

    /// Writes all changes, the joins last; with `barrier` each step is durable before the next begins.
    pub(crate) fn commit(&mut self, vol: &Volume, barrier: bool) -> Result<()> {
        self.epoch = self.epoch.wrapping_add(1);
        if !self.is_dirty() {
            return Ok(());
        }
        if barrier {
            vol.barrier()?;
        }
        self.write_dirty(vol)?;
        if !self.joins.is_empty() {
            if barrier {
                vol.barrier()?;
            }
            for (tail, next) in core::mem::take(&mut self.joins) {
                self.set(vol, tail, next)?;
            }
            self.write_dirty(vol)?;
        }
        if barrier { vol.barrier() } else { Ok(()) }
    }

    /// Writes the changed pages, neighbours together.
    fn write_dirty(&mut self, vol: &Volume) -> Result<()> {
        let numbers = self.dirty.iter().copied().collect::<Vec<_>>();
        let neighbours = numbers.chunk_by(|a, b| a.checked_add(1) == Some(*b));
        for run in neighbours.flat_map(|run| run.chunks(RUN_PAGES_MAX)) {
            self.write_run(vol, run)?;
        }
        self.dirty.clear();
        Ok(())
    }

    /// Writes pages that lie side by side, to each copy of the table.
    fn write_run(&self, vol: &Volume, run: &[u32]) -> Result<()> {
        let Some(&first) = run.first() else { return Ok(()) };
        let pages = run.iter().filter_map(|page| self.pages.get(page));
        let bytes = pages.flatten().copied().collect::<Vec<_>>();
        let (at, _) = self.page_range(vol, first);
        for table_at in &vol.layout.tables_at {
            vol.write(&bytes, table_at.saturating_add(at))?;
        }
        Ok(())
    }
}
