//! A set of numbers kept as ranges: who owns which chunk.

use std::collections::BTreeMap;

/// Disjoint, never adjacent, half-open ranges; memory grows with their number, not their length.
#[derive(Debug, Default)]
pub(crate) struct Extents {
    /// Start to end.
    ranges: BTreeMap<u64, u64>,
}

impl Extents {
    /// Adds `start..end`; an empty range adds nothing.
    pub(crate) fn insert(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        let (mut start, mut end) = (start, end);
        // The last range that begins at or before `end` is the last that can touch.
        while let Some((&s, &e)) = self.ranges.range(..=end).next_back() {
            if e < start {
                break;
            }
            self.ranges.remove(&s);
            start = start.min(s);
            end = end.max(e);
        }
        self.ranges.insert(start, end);
    }

    /// Whether `at` is in the set, and the first number after it that differs in that (2^64-1:
    /// none).
    pub(crate) fn run_at(&self, at: u64) -> (bool, u64) {
        if let Some((_, &end)) = self.ranges.range(..=at).next_back()
            && at < end
        {
            return (true, end);
        }
        (false, self.ranges.range(at..).next().map_or(u64::MAX, |(&start, _)| start))
    }

    /// The ranges in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.ranges.iter().map(|(&start, &end)| (start, end))
    }
}

#[cfg(test)]
mod tests {
    use super::Extents;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_set_of_ranges_is_a_set_of_numbers(
            inserts in proptest::collection::vec((0u64..64, 0u64..20), 0..20),
        ) {
            let mut set = Extents::default();
            let mut model = [false; 100];
            for (start, len) in inserts {
                set.insert(start, start + len);
                for i in start..start + len { model[i as usize] = true; }
            }
            for (i, owned) in model.iter().enumerate() {
                let (got, end) = set.run_at(i as u64);
                prop_assert_eq!(got, *owned);
                let differs = (i..100).find(|j| model[*j] != *owned);
                prop_assert_eq!(differs.map_or(end >= 100, |d| d as u64 == end), true);
            }
            // Neighbours are merged: between two ranges there is a gap.
            let ranges: Vec<_> = set.iter().collect();
            prop_assert!(ranges.windows(2).all(|w| w[0].1 < w[1].0));
        }
    }
}
