//! What a view shows of the times of files.
//!
//! The kernel and the drivers give files the host's time; a view shows it as its clock showed it at that moment. So a file
//! that is written has the time that `date` says, whoever wrote it, and what was there before the view had a
//! time of its own keeps its date.

use crate::timeline::{real_of, shown_at};
use abi::module::Pace;

/// Paces that are remembered. What is older than that many changes counts as of the oldest.
const PACES_MAX: usize = 1024;

/// The paces that the wall clock has had, each with the moment from which it counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Past {
    paces: Vec<(i128, Pace)>,
}

impl Past {
    /// From `moment` on it is this pace.
    pub(crate) fn change(&mut self, moment: i128, pace: Pace) {
        // The host's clock may have been set back: what it says now is what counts.
        self.paces.retain(|(from, _)| *from < moment);
        if self.paces.len() >= PACES_MAX {
            self.paces.remove(1);
        }
        self.paces.push((moment, pace));
    }

    /// Whether any time is shown otherwise than it is.
    pub(crate) fn moves(&self) -> bool {
        self.paces.iter().any(|(_, pace)| !crate::timeline::is_native(pace))
    }

    /// What is shown of a file's time. A time before the first pace, or one that has not been yet, was not taken from a
    /// clock while this one ran: it is shown as it is.
    pub(crate) fn shown(&self, real: i128, now: i128) -> i128 {
        if real > now {
            return real;
        }
        let found = self.paces.iter().rev().find(|(from, _)| *from <= real);
        found.map_or(real, |(_, pace)| shown_at(pace, real))
    }

    /// The time to give a file so that `wanted` is shown of it. Only what no moment is shown as becomes another: the
    /// last one before the view had this clock.
    pub(crate) fn stored(&self, wanted: i128, now: i128) -> i128 {
        let Some(&(begin, _)) = self.paces.first() else { return wanted };
        let (mut end, mut nearly) = (now, None);
        for (from, pace) in self.paces.iter().rev() {
            let real = real_of(pace, wanted);
            if (*from..=end).contains(&real) {
                if shown_at(pace, real) == wanted {
                    return real;
                }
                // A clock that is fast shows but some of the nanoseconds.
                nearly = nearly.or(Some(real));
            }
            end = from - 1;
        }
        let before = if (begin..=now).contains(&wanted) { begin - 1 } else { wanted };
        nearly.unwrap_or(before)
    }
}

#[cfg(test)]
mod tests {
    use super::Past;
    use abi::module::Pace;
    use proptest::prelude::*;

    fn pace(base_nanos: i64, offset_nanos: i64, rate: u64) -> Pace {
        Pace { base_nanos, offset_nanos, rate: rate << 32 }
    }

    #[test]
    fn each_moment_is_shown_as_the_clock_showed_it() {
        let mut past = Past::default();
        assert_eq!((past.shown(5, 9), past.stored(5, 9)), (5, 5));
        past.change(100, pace(100, 0, 1));
        assert!(!past.moves());
        past.change(200, pace(200, 1000, 1));
        past.change(300, pace(300, 1000, 10));
        assert!(past.moves());
        for (real, shown) in [(50, 50), (150, 150), (250, 1250), (310, 1400), (401, 401)] {
            assert_eq!(past.shown(real, 400), shown, "{real}");
            assert_eq!(past.stored(shown, 400), real, "{shown}");
        }
        // Error: a moment that no clock showed: just before there was one.
        assert_eq!(past.stored(330, 400), 99);
    }

    #[test]
    fn a_clock_that_was_set_back_forgets_what_has_not_been() {
        let mut past = Past::default();
        past.change(100, pace(100, 0, 1));
        past.change(500, pace(500, 7, 1));
        past.change(300, pace(300, 9, 1));
        assert_eq!(past.shown(450, 600), 459);
    }

    proptest! {
        #[test]
        fn what_is_shown_can_be_given_back(
            steps in prop::collection::vec((1_i64..1_000_000, -1_000_000_i64..1_000_000_000, 1_u64..1000), 1..20),
            ago in 0_i128..20_000_000,
        ) {
            let (mut past, mut moment) = (Past::default(), 1_000_000_000_i64);
            for (step, offset, rate) in steps {
                moment += step;
                past.change(i128::from(moment), pace(moment, offset, rate));
            }
            let now = i128::from(moment) + 1000;
            let shown = past.shown(now - ago, now);
            // Clocks that were set back show a time twice: then it is the later of the two, and shown the same.
            prop_assert_eq!(past.shown(past.stored(shown, now), now), shown);
        }

        #[test]
        fn any_change_and_any_time_are_answered(
            steps in prop::collection::vec((any::<i64>(), any::<i64>(), any::<i64>(), 1_u64..u64::MAX), 0..5),
            wanted in any::<i64>(),
            now in any::<i64>(),
        ) {
            let mut past = Past::default();
            for (moment, base_nanos, offset_nanos, rate) in steps {
                past.change(i128::from(moment), Pace { base_nanos, offset_nanos, rate });
            }
            past.stored(past.shown(i128::from(wanted), i128::from(now)), i128::from(now));
        }
    }
}
