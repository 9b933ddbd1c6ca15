//! Times: 2 seconds for changes, 10 milliseconds for creation, a day for access, from 1980 to 2107, in local time
//! (specification section 6.3).

use abi::fs::Timestamp;

/// A date and a time as an entry stores them. Date: day in bits 0-4, month in 5-8, years after 1980 in 9-15.
/// Time: two-second units in bits 0-4, minutes in 5-10, hours in 11-15. `centis`: 0 to 199, added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DosTime {
    pub(crate) date: u16,
    pub(crate) time: u16,
    pub(crate) centis: u8,
}

const DAY_SECONDS: i64 = 86_400;
/// 1980-01-01 in days after 1970-01-01.
const DAYS_TO_1980: i64 = 3652;
/// Days before each month of a year that is no leap year.
const DAYS_BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
const YEAR_MAX: i64 = 127;
/// The only year of the range that is divisible by 4 and no leap year, in years after 1980.
const YEAR_2100: i64 = 120;

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && year != YEAR_2100
}

/// Days from 1980-01-01 to the first day of `year` (after 1980, 0 to 128).
fn days_to_year(year: i64) -> i64 {
    let leaps = year.saturating_add(3) / 4;
    let leaps = if year > YEAR_2100 { leaps.saturating_sub(1) } else { leaps };
    year.saturating_mul(365).saturating_add(leaps)
}

/// Days from the first of January to the first of `month` (0 to 11).
fn days_to_month(year: i64, month: i64) -> i64 {
    let before = usize::try_from(month).ok().and_then(|m| DAYS_BEFORE.get(m)).copied();
    let leap = i64::from(is_leap(year) && month > 1);
    before.unwrap_or_default().saturating_add(leap)
}

impl DosTime {
    /// The moment meant, where local time is `offset_minutes` ahead of UTC. Fields out of range are cut to the
    /// nearest in range, as in the kernel function `fat_time_fat2unix`.
    pub(crate) fn to_timestamp(self, offset_minutes: i32) -> Timestamp {
        let year = i64::from(self.date >> 9);
        let month = i64::from((self.date >> 5) & 0x0f).clamp(1, 12).saturating_sub(1);
        let day = i64::from(self.date & 0x1f).max(1).saturating_sub(1);
        let days = DAYS_TO_1980
            .saturating_add(days_to_year(year))
            .saturating_add(days_to_month(year, month))
            .saturating_add(day);
        let (hours, minutes) = (i64::from(self.time >> 11), i64::from((self.time >> 5) & 0x3f));
        let seconds = i64::from(self.time & 0x1f).saturating_mul(2);
        let whole = i64::from(self.centis / 100);
        let seconds = days
            .saturating_mul(DAY_SECONDS)
            .saturating_add(hours.saturating_mul(3600))
            .saturating_add(minutes.saturating_mul(60))
            .saturating_add(seconds.saturating_add(whole))
            .saturating_sub(i64::from(offset_minutes).saturating_mul(60));
        let nanos = u32::from(self.centis % 100).saturating_mul(10_000_000);
        Timestamp { seconds, nanos }
    }

    /// The stored form of `moment`, rounded down, cut to the years 1980 to 2107.
    pub(crate) fn from_timestamp(moment: Timestamp, offset_minutes: i32) -> Self {
        let local = moment
            .seconds
            .saturating_add(i64::from(offset_minutes).saturating_mul(60))
            .saturating_sub(DAYS_TO_1980.saturating_mul(DAY_SECONDS));
        if local < 0 {
            return Self { date: (1 << 5) | 1, time: 0, centis: 0 };
        }
        let (days, rest) = (local / DAY_SECONDS, local % DAY_SECONDS);
        let mut year = (days / 365).min(YEAR_MAX);
        while days_to_year(year) > days {
            year = year.saturating_sub(1);
        }
        let day_of_year = days.saturating_sub(days_to_year(year));
        if year == YEAR_MAX && day_of_year > 364 {
            return Self { date: 0xff9f, time: 0xbf7d, centis: 199 };
        }
        let mut month = 11;
        while days_to_month(year, month) > day_of_year {
            month = month.saturating_sub(1);
        }
        let day = day_of_year.saturating_sub(days_to_month(year, month));
        let date =
            field(year, 9) | field(month.saturating_add(1), 5) | field(day.saturating_add(1), 0);
        let time = field(rest / 3600, 11) | field(rest / 60 % 60, 5) | field(rest % 60 / 2, 0);
        let centis = u8::try_from(moment.nanos / 10_000_000).unwrap_or(99).min(99);
        let odd = if rest % 2 == 1 { 100 } else { 0 };
        Self { date, time, centis: centis.saturating_add(odd) }
    }
}

/// `value` at bit `shift`; values are in range by construction.
fn field(value: i64, shift: u32) -> u16 {
    u16::try_from(value).unwrap_or_default().checked_shl(shift).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::DosTime;
    use abi::fs::Timestamp;

    fn at(seconds: i64) -> Timestamp {
        Timestamp { seconds, nanos: 0 }
    }

    #[test]
    fn known_moments_convert_both_ways() {
        // 2001-09-09 01:46:40, 2000-02-29 00:00:00, 2024-12-31 23:59:58, 2100-03-01, 1980-01-01.
        let cases = [
            (1_000_000_000, (21 << 9) | (9 << 5) | 9, (1 << 11) | (46 << 5) | 20),
            (951_782_400, (20 << 9) | (2 << 5) | 29, 0),
            (1_735_689_598, (44 << 9) | (12 << 5) | 31, (23 << 11) | (59 << 5) | 29),
            (4_107_542_400, (120 << 9) | (3 << 5) | 1, 0),
            (315_532_800, (1 << 5) | 1, 0),
        ];
        for (seconds, date, time) in cases {
            let dos = DosTime { date, time, centis: 0 };
            assert_eq!(dos.to_timestamp(0), at(seconds));
            assert_eq!(DosTime::from_timestamp(at(seconds), 0), dos);
        }
    }

    #[test]
    fn every_day_of_the_range_survives_a_round_trip() {
        for day in 0..46_751 {
            let moment = at(315_532_800 + day * 86_400 + 40_002);
            let dos = DosTime::from_timestamp(moment, 0);
            assert_eq!(dos.to_timestamp(0), moment);
        }
    }

    #[test]
    fn moments_outside_are_cut_and_garbage_does_not_panic() {
        assert_eq!(DosTime::from_timestamp(at(0), 0).to_timestamp(0), at(315_532_800));
        let last = DosTime::from_timestamp(at(1 << 40), 0).to_timestamp(0);
        assert_eq!(last, Timestamp { seconds: 4_354_819_199, nanos: 990_000_000 });
        let _ = DosTime { date: 0xffff, time: 0xffff, centis: 255 }.to_timestamp(0);
        assert_eq!(DosTime::default().to_timestamp(0), at(315_532_800));
    }

    #[test]
    fn offsets_and_hundredths_are_kept() {
        let moment = Timestamp { seconds: 1_000_000_001, nanos: 250_000_000 };
        let dos = DosTime::from_timestamp(moment, 120);
        assert_eq!(dos.centis, 125);
        assert_eq!(dos.time >> 11, 3);
        assert_eq!(dos.to_timestamp(120), moment);
    }
}
