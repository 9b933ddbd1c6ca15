//! The two forms of dates: 7 bytes (ECMA-119 9.1.5) and 17 digits (8.4.26.1).

use crate::numeric::byte;
use abi::fs::Timestamp;

/// The short form: year since 1900, month, day, hour, minute, second, quarters of an hour east of Greenwich.
///
/// A field out of its range makes the time 0, as an unset date is all zeroes.
pub(crate) fn from_short(bytes: &[u8]) -> Timestamp {
    let east = i8::from_le_bytes([byte(bytes, 6)]);
    civil(
        i64::from(byte(bytes, 0)).saturating_add(1900),
        [1, 2, 3, 4, 5].map(|at| i64::from(byte(bytes, at))),
        0,
        east,
    )
}

/// The long form: digits `YYYYMMDDHHMMSScc` and quarters of an hour east of Greenwich.
pub(crate) fn from_long(bytes: &[u8]) -> Timestamp {
    let digits = |at: usize, count: usize| -> Option<i64> {
        let text = bytes.get(at..at.checked_add(count)?)?;
        text.iter().try_fold(0_i64, |sum, &c| {
            let digit = char::from(c).to_digit(10)?;
            sum.checked_mul(10)?.checked_add(i64::from(digit))
        })
    };
    let parsed = (|| {
        let fields = [digits(4, 2)?, digits(6, 2)?, digits(8, 2)?, digits(10, 2)?, digits(12, 2)?];
        Some((digits(0, 4)?, fields, digits(14, 2)?))
    })();
    let Some((year, fields, hundredths)) = parsed else { return Timestamp::default() };
    civil(year, fields, hundredths, i8::from_le_bytes([byte(bytes, 16)]))
}

/// `fields` are month, day, hour, minute, second.
fn civil(year: i64, fields: [i64; 5], hundredths: i64, east: i8) -> Timestamp {
    let [month, day, hour, minute, second] = fields;
    let valid = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    if !valid {
        return Timestamp::default();
    }
    // An offset outside of -12:00 to +13:00 is noise that some writers leave; Linux ignores it as well.
    let east = if (-48..=52).contains(&east) { i64::from(east) } else { 0 };
    let minutes = days_since_1970(year, month, day)
        .saturating_mul(24 * 60)
        .saturating_add(hour.saturating_mul(60))
        .saturating_add(minute)
        .saturating_sub(east.saturating_mul(15));
    let nanos = u32::try_from(hundredths).unwrap_or(0).saturating_mul(10_000_000);
    Timestamp { seconds: minutes.saturating_mul(60).saturating_add(second), nanos }
}

/// Days of the Gregorian calendar: whole years before March 1 of `year`, leap days, then the months.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // A year that begins in March has its leap day at the end.
    let (year, month) = if month > 2 {
        (year, month.saturating_sub(3))
    } else {
        (year.saturating_sub(1), month.saturating_add(9))
    };
    let leap_days = year
        .div_euclid(4)
        .saturating_sub(year.div_euclid(100))
        .saturating_add(year.div_euclid(400));
    // From March on, months have 31 30 31 30 31 days, repeating: 153 days in five of them.
    let days_before_month = month.saturating_mul(153).saturating_add(2).div_euclid(5);
    // 719,468 days lie between March 1 of year 0 and January 1, 1970; `day` counts from 1.
    year.saturating_mul(365)
        .saturating_add(leap_days)
        .saturating_add(days_before_month)
        .saturating_add(day)
        .saturating_sub(719_469)
}

#[cfg(test)]
mod tests {
    use super::{from_long, from_short};

    #[test]
    fn short_dates_count_seconds() {
        assert_eq!(from_short(&[70, 1, 1, 0, 0, 0, 0]).seconds, 0);
        assert_eq!(from_short(&[101, 9, 9, 1, 46, 40, 0]).seconds, 1_000_000_000);
        // One hour east: the same wall clock is an hour earlier.
        assert_eq!(from_short(&[101, 9, 9, 2, 46, 40, 4]).seconds, 1_000_000_000);
        // February 29 of a leap year, and a date before the epoch.
        assert_eq!(from_short(&[100, 2, 29, 0, 0, 0, 0]).seconds, 951_782_400);
        assert_eq!(from_short(&[69, 12, 31, 23, 59, 59, 0]).seconds, -1);
    }

    #[test]
    fn long_dates_have_hundredths() {
        let time = from_long(b"2001090901464050\0");
        assert_eq!((time.seconds, time.nanos), (1_000_000_000, 500_000_000));
    }

    #[test]
    fn impossible_dates_are_zero() {
        assert_eq!(from_short(&[0; 7]).seconds, 0);
        assert_eq!(from_short(&[100, 13, 1, 0, 0, 0, 0]).seconds, 0);
        assert_eq!(from_long(b"0000000000000000\0").seconds, 0);
        assert_eq!(from_long(b"20x1090901464050\0").seconds, 0);
        assert_eq!(from_long(b"2001").seconds, 0);
    }
}
