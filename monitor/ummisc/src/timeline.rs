//! The arithmetic of a virtual time.

use crate::hostclock::{self, SECOND};
use abi::module::{Pace, PaceChange, Paces, VirtualClocks};
use abi::{Errno, Result};
use std::sync::{Mutex, PoisonError, RwLock};

/// Binary digits after the point of a rate.
const RATE_BITS: u32 = 32;
/// The slowest and the fastest that a clock may run.
const FREQUENCY_MIN: f64 = 1e-6;
const FREQUENCY_MAX: f64 = 1e6;

/// The real time at which a clock shows `shown`, or a moment later.
pub(crate) fn real_of(pace: &Pace, shown: i128) -> i128 {
    let virtual_since = shown - i128::from(pace.base_nanos) - i128::from(pace.offset_nanos);
    i128::from(pace.base_nanos) + ceiling(virtual_since, pace.rate)
}

/// What a clock shows at a real time; never below zero, which no kernel clock shows.
pub(crate) fn shown_at(pace: &Pace, real: i128) -> i128 {
    let real_since = real - i128::from(pace.base_nanos);
    let since = real_since.saturating_mul(i128::from(pace.rate)) >> RATE_BITS;
    (i128::from(pace.base_nanos) + i128::from(pace.offset_nanos) + since).max(0)
}

/// Whether a clock shows what the host's shows.
pub(crate) fn is_native(pace: &Pace) -> bool {
    pace.rate == 1 << RATE_BITS && pace.offset_nanos == 0
}

/// `nanos` of virtual time in real nanoseconds, rounded up: who waits must not wake too early.
fn ceiling(nanos: i128, rate: u64) -> i128 {
    let rate = i128::from(rate);
    let scaled = nanos.saturating_mul(1 << RATE_BITS);
    scaled.div_euclid(rate) + i128::from(scaled.rem_euclid(rate) != 0)
}

type Watcher = Box<dyn Fn(PaceChange) + Send + Sync>;

/// The time of one mount. Clones of an `Arc` of it are with its tree and with its calls.
pub struct Timeline {
    paces: RwLock<Paces>,
    frequency: Mutex<f64>,
    watchers: Mutex<Vec<Watcher>>,
}

/// What can be read and set by the files of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Virtual seconds in a real one.
    Frequency,
    /// Seconds that the wall clock is ahead.
    Offset,
    /// The wall clock's second at which this frequency began to count.
    Base,
}

impl Default for Timeline {
    /// The host's own time, to begin with.
    fn default() -> Self {
        let pace = |clock| Pace {
            base_nanos: narrow(hostclock::now(clock).unwrap_or(0)),
            offset_nanos: 0,
            rate: 1 << RATE_BITS,
        };
        let paces = Paces {
            realtime: pace(libc::CLOCK_REALTIME),
            monotonic: pace(libc::CLOCK_MONOTONIC),
            raw: pace(libc::CLOCK_MONOTONIC_RAW),
            boottime: pace(libc::CLOCK_BOOTTIME),
            tai: pace(libc::CLOCK_TAI),
        };
        Self { paces: RwLock::new(paces), frequency: Mutex::new(1.0), watchers: Mutex::default() }
    }
}

impl Timeline {
    /// The pace of a clock; `None` for those that are the kernel's.
    pub(crate) fn pace(&self, clock: i32) -> Option<Pace> {
        self.paces().of(clock).copied()
    }

    /// What a virtual clock shows at this moment; `None` for a clock that is the kernel's.
    #[must_use]
    pub fn now(&self, clock: i32) -> Option<i128> {
        // Under the lock: a real time before a change must not meet the paces after it.
        let paces = self.paces.read().unwrap_or_else(PoisonError::into_inner);
        let pace = paces.of(clock)?;
        Some(shown_at(pace, hostclock::now(clock)?))
    }

    /// Whether durations are the same inside and outside.
    pub(crate) fn is_at_normal_pace(&self) -> bool {
        self.rate() == 1 << RATE_BITS
    }

    fn rate(&self) -> u64 {
        self.paces.read().unwrap_or_else(PoisonError::into_inner).monotonic.rate
    }

    /// How long a virtual duration really lasts, in nanoseconds, rounded up.
    pub(crate) fn real_duration(&self, nanos: i128) -> i128 {
        ceiling(nanos, self.rate())
    }

    /// How much virtual time a real duration is, in nanoseconds; not nothing if it is not nothing.
    pub(crate) fn virtual_duration(&self, nanos: i128) -> i128 {
        let exact = nanos.saturating_mul(i128::from(self.rate())) >> RATE_BITS;
        exact.max(i128::from(nanos > 0))
    }

    /// The text of a setting, without newline.
    #[must_use]
    pub fn show(&self, setting: Setting) -> String {
        let wall = self.paces().realtime;
        match setting {
            Setting::Frequency => {
                self.frequency.lock().unwrap_or_else(PoisonError::into_inner).to_string()
            }
            Setting::Offset => seconds_text(i128::from(wall.offset_nanos)),
            Setting::Base => seconds_text(i128::from(wall.base_nanos)),
        }
    }

    /// Changes a setting. A new frequency counts from this moment on: no clock jumps, `base` becomes the present
    /// and `offset` what the clock is ahead by then.
    ///
    /// # Errors
    /// - `EINVAL` if the text is no decimal number, or a frequency outside 0.000001 to 1000000.
    pub fn set(&self, setting: Setting, text: &str) -> Result<()> {
        match setting {
            Setting::Frequency => {
                let frequency: f64 = text.parse().map_err(|_| Errno::EINVAL)?;
                if !(FREQUENCY_MIN..=FREQUENCY_MAX).contains(&frequency) {
                    return Err(Errno::EINVAL);
                }
                self.change(|paces| set_frequency(paces, frequency));
                *self.frequency.lock().unwrap_or_else(PoisonError::into_inner) = frequency;
            }
            Setting::Offset => {
                let nanos = narrow(parse_seconds(text)?);
                self.change(|paces| {
                    let delta = nanos.saturating_sub(paces.realtime.offset_nanos);
                    paces.realtime.offset_nanos = nanos;
                    paces.tai.offset_nanos = paces.tai.offset_nanos.saturating_add(delta);
                });
            }
            Setting::Base => {
                let nanos = narrow(parse_seconds(text)?);
                self.change(|paces| {
                    let delta = nanos.saturating_sub(paces.realtime.base_nanos);
                    paces.realtime.base_nanos = nanos;
                    paces.tai.base_nanos = paces.tai.base_nanos.saturating_add(delta);
                });
            }
        }
        Ok(())
    }

    /// Sets the wall clock by its offset, as clock_settime(2) does.
    pub(crate) fn set_wall(&self, nanos: i128) {
        self.change(|paces| {
            let real = hostclock::now(libc::CLOCK_REALTIME).unwrap_or(0);
            let delta = narrow(nanos - shown_at(&paces.realtime, real));
            for pace in [&mut paces.realtime.offset_nanos, &mut paces.tai.offset_nanos] {
                *pace = pace.saturating_add(delta);
            }
        });
    }

    /// Makes a change between its two moments. One at a time: the watchers' lock is held throughout.
    fn change(&self, make: impl FnOnce(&mut Paces)) {
        let watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        for watcher in watchers.iter() {
            watcher(PaceChange::Begins);
        }
        make(&mut self.paces.write().unwrap_or_else(PoisonError::into_inner));
        for watcher in watchers.iter() {
            watcher(PaceChange::Over);
        }
    }
}

impl VirtualClocks for Timeline {
    fn paces(&self) -> Paces {
        *self.paces.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self, told: Watcher) {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner).push(told);
    }
}

/// No clock jumps: each counts from what it shows at this moment.
fn set_frequency(paces: &mut Paces, frequency: f64) {
    // At most 2^52: exact enough in either type.
    let rate = (frequency * f64::from(1_u32 << 16) * f64::from(1_u32 << 16)).round() as u64;
    for (clock, pace) in each(paces) {
        let real = hostclock::now(clock).unwrap_or(0);
        let shown = shown_at(pace, real);
        *pace = Pace { base_nanos: narrow(real), offset_nanos: narrow(shown - real), rate };
    }
}

fn each(paces: &mut Paces) -> [(i32, &mut Pace); 5] {
    [
        (libc::CLOCK_REALTIME, &mut paces.realtime),
        (libc::CLOCK_MONOTONIC, &mut paces.monotonic),
        (libc::CLOCK_MONOTONIC_RAW, &mut paces.raw),
        (libc::CLOCK_BOOTTIME, &mut paces.boottime),
        (libc::CLOCK_TAI, &mut paces.tai),
    ]
}

/// Saturates: 292 years of nanoseconds.
fn narrow(nanos: i128) -> i64 {
    i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}

/// Nanoseconds as decimal seconds, without zeroes at the end.
fn seconds_text(nanos: i128) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let (whole, part) = (nanos.abs() / SECOND, nanos.abs() % SECOND);
    if part == 0 {
        return format!("{sign}{whole}");
    }
    let digits = format!("{part:09}");
    format!("{sign}{whole}.{}", digits.trim_end_matches('0'))
}

/// Decimal seconds as nanoseconds; digits after the ninth are dropped.
///
/// # Errors
/// - `EINVAL` if it is no decimal number, or has more than 11 digits before the point.
fn parse_seconds(text: &str) -> Result<i128> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole) || !is_number(part) || whole.len() + part.len() == 0 || whole.len() > 11 {
        return Err(Errno::EINVAL);
    }
    let mut nanos = whole.parse::<i128>().unwrap_or(0) * SECOND;
    let mut unit = SECOND / 10;
    for digit in part.bytes().take(9) {
        nanos += i128::from(digit - b'0') * unit;
        unit /= 10;
    }
    Ok(if is_negative { -nanos } else { nanos })
}

#[cfg(test)]
mod tests {
    use super::{Setting, Timeline, ceiling, parse_seconds, real_of, seconds_text, shown_at};
    use crate::hostclock::{self, SECOND};
    use abi::Errno;
    use abi::module::{Pace, PaceChange, VirtualClocks};
    use proptest::prelude::*;

    #[test]
    fn the_formula_of_the_page_holds() {
        let pace = Pace { base_nanos: 100, offset_nanos: 7, rate: 3 << 32 };
        assert_eq!(shown_at(&pace, 110), (110 - 100) * 3 + 100 + 7);
        assert_eq!(real_of(&pace, 137), 110);
        assert_eq!(real_of(&pace, 138), 111, "rounded up: never too early");
    }

    #[test]
    fn a_new_frequency_lets_no_clock_jump() {
        let time = Timeline::default();
        time.set(Setting::Offset, "3600").unwrap();
        for frequency in ["1000", "0.001", "1"] {
            for clock in [libc::CLOCK_REALTIME, libc::CLOCK_MONOTONIC, libc::CLOCK_BOOTTIME] {
                let before = time.now(clock).unwrap();
                time.set(Setting::Frequency, frequency).unwrap();
                let pace = time.pace(clock).unwrap();
                assert!(shown_at(&pace, i128::from(pace.base_nanos)) >= before);
                assert_eq!(time.show(Setting::Frequency), frequency);
            }
        }
        let ahead =
            time.now(libc::CLOCK_REALTIME).unwrap() - hostclock::now(libc::CLOCK_REALTIME).unwrap();
        assert!(ahead >= 3599 * SECOND, "{ahead}");
    }

    #[test]
    fn the_offset_is_of_the_wall_clock_alone() {
        let time = Timeline::default();
        time.set(Setting::Offset, "-1000.5").unwrap();
        assert_eq!(time.show(Setting::Offset), "-1000.5");
        let paces = time.paces();
        assert_eq!(paces.realtime.offset_nanos, -1_000_500_000_000);
        assert_eq!(paces.tai.offset_nanos, -1_000_500_000_000);
        assert_eq!((paces.monotonic.offset_nanos, paces.boottime.offset_nanos), (0, 0));
    }

    #[test]
    fn watchers_hear_of_each_change() {
        let time = Timeline::default();
        let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let heard = std::sync::Arc::clone(&count);
        time.watch(Box::new(move |change| {
            let weight = if change == PaceChange::Begins { 1 } else { 10 };
            heard.fetch_add(weight, std::sync::atomic::Ordering::Relaxed);
        }));
        time.set(Setting::Frequency, "2").unwrap();
        time.set_wall(5);
        // Error: a refused setting is no change.
        assert_eq!(time.set(Setting::Frequency, "fast"), Err(Errno::EINVAL));
        assert_eq!(count.load(std::sync::atomic::Ordering::Relaxed), 22);
    }

    #[test]
    fn bad_numbers_are_refused() {
        let time = Timeline::default();
        for bad in ["", "0", "-1", "nan", "inf", "1e7", "1e-7", "2 3", "two"] {
            assert_eq!(time.set(Setting::Frequency, bad), Err(Errno::EINVAL), "{bad}");
        }
        for bad in ["", "-", ".", "1e3", "1.2.3", "0x10", " 1", "123456789012"] {
            assert_eq!(parse_seconds(bad), Err(Errno::EINVAL), "{bad}");
        }
        assert_eq!(parse_seconds("-1.5"), Ok(-3 * SECOND / 2));
        assert_eq!(parse_seconds(".0000000019"), Ok(1));
        assert_eq!(seconds_text(-1_500_000_000), "-1.5");
        assert_eq!(seconds_text(20 * SECOND), "20");
    }

    proptest! {
        #[test]
        fn who_waits_as_long_as_told_wakes_in_time(
            virtual_nanos in 0_i128..10_000_000_000_000,
            rate in 4295_u64..(1_000_000 << 32),
            base in 0_i64..2_000_000_000_000_000_000,
            start in 0_i128..1_000_000_000_000,
        ) {
            let pace = Pace { base_nanos: base, offset_nanos: 12, rate };
            let real = i128::from(base) + start;
            let target = shown_at(&pace, real) + virtual_nanos;
            prop_assert!(shown_at(&pace, real_of(&pace, target)) >= target);
            // One real nanosecond less would be too early by at most the step of one.
            let shown = shown_at(&pace, real + ceiling(virtual_nanos, rate));
            prop_assert!(shown + 1 >= target);
        }
    }
}
