//! Finding and counting free clusters: a count for each page of the table says where a search is worth it.

use crate::boot::FIRST_CLUSTER;
use crate::le;
use crate::table::{NOT_COUNTED, Table};
use crate::volume::Volume;
use abi::Result;

/// Pages of the table read at once where only counting is wanted.
const COUNT_PAGES: u64 = 64;

/// Clusters side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) first: u32,
    pub(crate) length: u32,
}

impl Run {
    /// Its clusters.
    pub(crate) fn clusters(self) -> core::ops::Range<u32> {
        self.first..self.first.saturating_add(self.length)
    }
}

impl Table {
    /// The clusters whose cells are in `page`.
    fn clusters_of(&self, vol: &Volume, page: u32) -> core::ops::Range<u32> {
        let begin = page.saturating_mul(self.cells_per_page);
        let behind = vol.layout.clusters.saturating_add(FIRST_CLUSTER);
        begin.max(FIRST_CLUSTER)..begin.saturating_add(self.cells_per_page).min(behind)
    }

    /// Counts the free cells of a page that was just read.
    pub(crate) fn note_free(&mut self, vol: &Volume, page: u32, bytes: &[u8]) {
        let range = self.clusters_of(vol, page);
        let kind = vol.layout.kind;
        let free = range.filter(|&c| kind.cell(bytes, self.locate(c).1) == 0).count();
        if let Some(known @ &mut NOT_COUNTED) = self.free_in_page.get_mut(le::index(page)) {
            *known = u16::try_from(free).unwrap_or_default();
        }
    }

    /// Adds one free cluster to the counts, or takes one away.
    pub(crate) fn count_free(&mut self, page: u32, more: bool) {
        let step = |n: u32| if more { n.saturating_add(1) } else { n.saturating_sub(1) };
        self.free = self.free.map(step);
        if let Some(known) = self.free_in_page.get_mut(le::index(page))
            && *known != NOT_COUNTED
        {
            *known = u16::try_from(step(u32::from(*known))).unwrap_or_default();
        }
    }

    /// The number of free clusters, counted over the whole table the first time.
    pub(crate) fn free_clusters(&mut self, vol: &Volume) -> Result<u32> {
        if let (Some(free), true) = (self.free, self.is_counted) {
            return Ok(free);
        }
        let page_bytes = u64::from(self.page_bytes);
        let first_at = vol.layout.tables_at.first().copied().unwrap_or_default();
        let pages = le::count(self.free_in_page.len());
        let mut page = 0;
        while page < pages {
            if self.free_in_page.get(le::index(page)) != Some(&NOT_COUNTED) {
                page = page.saturating_add(1);
                continue;
            }
            // A stretch of the table, without going through the cache: a changed page is in the cache and so
            // has been counted, and what is counted is not counted again.
            let at = u64::from(page).saturating_mul(page_bytes);
            let stretch = page_bytes.saturating_mul(COUNT_PAGES);
            let length = vol.layout.table_bytes.saturating_sub(at).min(stretch);
            let mut bytes = vec![0; le::narrow(length)];
            vol.read(&mut bytes, first_at.saturating_add(at))?;
            for part in bytes.chunks(le::narrow(page_bytes)) {
                self.note_free(vol, page, part);
                page = page.saturating_add(1);
            }
        }
        let free = self.free_in_page.iter().map(|&n| u32::from(n)).fold(0, u32::saturating_add);
        self.free = Some(free);
        self.is_counted = true;
        Ok(free)
    }

    /// Takes at most `want` free clusters side by side, at `goal` or where the search goes on, and chains them.
    /// `None` if the volume is full.
    pub(crate) fn allocate(
        &mut self,
        vol: &Volume,
        goal: Option<u32>,
        want: u32,
    ) -> Result<Option<Run>> {
        let goal = match goal.filter(|&g| vol.layout.is_cluster(g)) {
            Some(g) if self.raw(vol, g)? == 0 => Some(g),
            _ => self.find_free(vol)?,
        };
        let Some(first) = goal else { return Ok(None) };
        let mut length = 1;
        while length < want {
            let next = first.saturating_add(length);
            if !vol.layout.is_cluster(next) || self.raw(vol, next)? != 0 {
                break;
            }
            length = length.saturating_add(1);
        }
        let run = Run { first, length };
        let last = first.saturating_add(length.saturating_sub(1));
        for cluster in first..last {
            self.set(vol, cluster, cluster.saturating_add(1))?;
        }
        self.set(vol, last, vol.layout.kind.last_mark())?;
        self.hint = last.saturating_add(1);
        Ok(Some(run))
    }

    /// Frees clusters. No entry on the device may lead to them any more.
    pub(crate) fn free_runs(&mut self, vol: &Volume, runs: &[Run]) -> Result<()> {
        for cluster in runs.iter().flat_map(|run| run.clusters()) {
            self.set(vol, cluster, 0)?;
        }
        Ok(())
    }

    /// The first free cluster from the hint on, round the end.
    fn find_free(&mut self, vol: &Volume) -> Result<Option<u32>> {
        if self.is_counted && self.free == Some(0) {
            return Ok(None);
        }
        let from = if vol.layout.is_cluster(self.hint) { self.hint } else { FIRST_CLUSTER };
        let behind = vol.layout.clusters.saturating_add(FIRST_CLUSTER);
        for range in [from..behind, FIRST_CLUSTER..from] {
            if let Some(found) = self.search(vol, &range)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The first free cluster of `range`; pages without one are passed over unread.
    fn search(&mut self, vol: &Volume, range: &core::ops::Range<u32>) -> Result<Option<u32>> {
        let (page_first, _) = self.locate(range.start);
        let (page_last, _) = self.locate(range.end);
        for page in page_first..=page_last {
            if matches!(self.free_in_page.get(le::index(page)), None | Some(0)) {
                continue;
            }
            let cells = self.clusters_of(vol, page);
            for cluster in cells.start.max(range.start)..cells.end.min(range.end) {
                if self.raw(vol, cluster)? == 0 {
                    return Ok(Some(cluster));
                }
            }
        }
        Ok(None)
    }
}
