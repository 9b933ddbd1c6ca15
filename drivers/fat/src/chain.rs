//! The clusters of one file, in order.

use crate::alloc::Run;
use crate::error::Error;
use crate::table::{Cell, Table};
use crate::volume::Volume;
use abi::Result;

/// A run with the number, within the file, of its first cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    number: u32,
    run: Run,
}

/// The chain of a file or directory: sorted pieces without gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chain {
    pieces: Vec<Piece>,
    clusters: u32,
}

impl Chain {
    /// Walks the table from `start` (0: no cluster at all) and accepts at most `clusters_max`.
    ///
    /// A chain that comes back to itself is found by Brent's method, in a walk of a few times its length and
    /// without remembering it.
    ///
    /// # Errors
    /// - `EUCLEAN` for a cell that ends no chain, a loop, or more clusters than allowed.
    pub(crate) fn load(
        vol: &Volume,
        table: &mut Table,
        start: u32,
        clusters_max: u32,
    ) -> Result<Self> {
        let mut chain = Self::default();
        if start == 0 {
            return Ok(chain);
        }
        if !vol.layout.is_cluster(start) {
            return Err(Error::OutOfRange { start, value: start }.into());
        }
        let (mut at, mut anchor) = (start, start);
        let (mut steps, mut power) = (0u32, 1u32);
        loop {
            if chain.clusters >= clusters_max {
                return Err(Error::DirectoryTooLong { start }.into());
            }
            chain.push(Run { first: at, length: 1 });
            match table.get(vol, at)? {
                Cell::Last => return Ok(chain),
                Cell::Next(next) => at = next,
                Cell::Free => return Err(Error::FreeInChain { start, at }.into()),
                Cell::Bad => return Err(Error::BadInChain { start, at }.into()),
                Cell::Invalid(value) => return Err(Error::OutOfRange { start, value }.into()),
            }
            if at == anchor {
                return Err(Error::Loop { start }.into());
            }
            steps = steps.saturating_add(1);
            if steps == power {
                (anchor, steps, power) = (at, 0, power.saturating_mul(2));
            }
        }
    }

    /// How many clusters.
    pub(crate) fn clusters(&self) -> u32 {
        self.clusters
    }

    /// The last cluster.
    pub(crate) fn tail(&self) -> Option<u32> {
        let run = self.pieces.last()?.run;
        run.first.checked_add(run.length)?.checked_sub(1)
    }

    /// Adds `run` at the end.
    pub(crate) fn push(&mut self, run: Run) {
        let number = self.clusters;
        self.clusters = number.saturating_add(run.length);
        match self.pieces.last_mut() {
            Some(last) if last.run.clusters().end == run.first => {
                last.run.length = last.run.length.saturating_add(run.length);
            }
            _ => self.pieces.push(Piece { number, run }),
        }
    }

    /// Keeps the first `keep` clusters and returns the others.
    pub(crate) fn truncate(&mut self, keep: u32) -> Vec<Run> {
        let mut cut = Vec::new();
        while let Some(mut last) = self.pieces.pop() {
            let kept = keep.saturating_sub(last.number).min(last.run.length);
            if kept < last.run.length {
                cut.push(Run {
                    first: last.run.first.saturating_add(kept),
                    length: last.run.length.saturating_sub(kept),
                });
            }
            if kept > 0 {
                last.run.length = kept;
                self.pieces.push(last);
                break;
            }
        }
        self.clusters = self.clusters.min(keep);
        cut.reverse();
        cut
    }

    /// The run from cluster `number` of the file on.
    pub(crate) fn find(&self, number: u32) -> Option<Run> {
        let behind = self.pieces.partition_point(|piece| piece.number <= number);
        let piece = self.pieces.get(behind.checked_sub(1)?)?;
        let skipped = number.checked_sub(piece.number)?;
        let length = piece.run.length.checked_sub(skipped).filter(|&left| left > 0)?;
        Some(Run { first: piece.run.first.checked_add(skipped)?, length })
    }

    /// Where byte `offset` of the file lies on the device, and how many bytes follow it there.
    pub(crate) fn locate(&self, vol: &Volume, offset: u64) -> Option<(u64, u64)> {
        let number = offset.checked_shr(vol.layout.cluster_shift)?;
        let run = self.find(u32::try_from(number).ok()?)?;
        let cluster_bytes = u64::from(vol.layout.cluster_bytes);
        let within = offset & cluster_bytes.saturating_sub(1);
        let bytes = u64::from(run.length).saturating_mul(cluster_bytes).saturating_sub(within);
        Some((vol.layout.cluster_at(run.first).saturating_add(within), bytes))
    }

    /// All runs, in order.
    pub(crate) fn runs(&self) -> Vec<Run> {
        self.pieces.iter().map(|piece| piece.run).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Chain, Run};

    #[test]
    fn pieces_join_split_and_answer_by_number() {
        let mut chain = Chain::default();
        for (first, length) in [(10, 3), (13, 2), (40, 1)] {
            chain.push(Run { first, length });
        }
        assert_eq!(chain.runs(), [Run { first: 10, length: 5 }, Run { first: 40, length: 1 }]);
        assert_eq!((chain.clusters(), chain.tail()), (6, Some(40)));
        assert_eq!(chain.find(3), Some(Run { first: 13, length: 2 }));
        assert_eq!(chain.find(5), Some(Run { first: 40, length: 1 }));
        assert_eq!(chain.find(6), None);
        assert_eq!(chain.truncate(2), [Run { first: 12, length: 3 }, Run { first: 40, length: 1 }]);
        assert_eq!((chain.clusters(), chain.tail(), chain.find(2)), (2, Some(11), None));
        assert_eq!(chain.truncate(0), [Run { first: 10, length: 2 }]);
        assert_eq!((chain.clusters(), chain.tail()), (0, None));
    }
}
