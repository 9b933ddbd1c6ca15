//! The arithmetic of a virtual time.

use crate::filetimes::Past;
use crate::hostclock::{self, SECOND};
use abi::fs::Timestamp;
use abi::module::{Pace, PaceChange, Paces, VirtualClocks};
use abi::{Errno, Result};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Binary digits after the point of a rate.
const RATE_BITS: u32 = 32;
/// The clock that gives files their time: a file that is made after a change is never older than what it says then.
const FILE_CLOCK: i32 = libc::CLOCK_REALTIME_COARSE;
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

/// A clock over a clock, as one.
fn over(outer: &Pace, inner: &Pace) -> Pace {
    let at_base = shown_at(outer, i128::from(outer.base_nanos));
    let offset = shown_at(inner, at_base) - i128::from(outer.base_nanos);
    let rate = (u128::from(outer.rate) * u128::from(inner.rate)) >> RATE_BITS;
    let rate = u64::try_from(rate).unwrap_or(u64::MAX).max(1);
    Pace { base_nanos: outer.base_nanos, offset_nanos: narrow(offset), rate }
}

type Watcher = Box<dyn Fn(PaceChange) + Send + Sync>;

/// The time of one mount. Clones of an `Arc` of it are with its tree and with its calls.
pub struct Timeline {
    /// The clocks of the view before the mount, over which these run; the host's if there are none.
    below: Option<Arc<dyn VirtualClocks>>,
    own: RwLock<Own>,
    frequency: Mutex<f64>,
    watchers: Mutex<Vec<Watcher>>,
}

/// What is this mount's own, in terms of the clocks below.
struct Own {
    paces: Paces,
    past: Past,
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
        Self::over(None)
    }
}

impl Timeline {
    /// The time of the clocks below, to begin with: what they show is what base, offset and frequency are counted in,
    /// and when their pace changes so does that of these.
    #[must_use]
    pub fn over(below: Option<Arc<dyn VirtualClocks>>) -> Self {
        let pace = |clock| Pace {
            base_nanos: narrow(now_below(below.as_deref(), clock).unwrap_or(0)),
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
        let mut past = Past::default();
        let begin = now_below(below.as_deref(), FILE_CLOCK).unwrap_or(0);
        past.change(begin, paces.realtime);
        let (own, frequency) = (RwLock::new(Own { paces, past }), Mutex::new(1.0));
        Self { below, own, frequency, watchers: Mutex::default() }
    }

    /// The pace of a clock; `None` for those that are the kernel's.
    pub(crate) fn pace(&self, clock: i32) -> Option<Pace> {
        self.paces().of(clock).copied()
    }

    /// What a virtual clock shows at this moment; `None` for a clock that is the kernel's.
    #[must_use]
    pub fn now(&self, clock: i32) -> Option<i128> {
        // Under the lock: a real time before a change must not meet the paces after it.
        let own = self.own.read().unwrap_or_else(PoisonError::into_inner);
        let paces = self.on_host(&own.paces);
        Some(shown_at(paces.of(clock)?, hostclock::now(clock)?))
    }

    /// Whether durations are the same inside and outside.
    pub(crate) fn is_at_normal_pace(&self) -> bool {
        self.rate() == 1 << RATE_BITS
    }

    fn rate(&self) -> u64 {
        self.paces().monotonic.rate
    }

    /// Paces over those of the clocks below, as paces over the host's.
    fn on_host(&self, own: &Paces) -> Paces {
        let Some(below) = &self.below else { return *own };
        let outer = below.paces();
        Paces {
            realtime: over(&outer.realtime, &own.realtime),
            monotonic: over(&outer.monotonic, &own.monotonic),
            raw: over(&outer.raw, &own.raw),
            boottime: over(&outer.boottime, &own.boottime),
            tai: over(&outer.tai, &own.tai),
        }
    }

    fn own_wall(&self) -> Pace {
        self.own.read().unwrap_or_else(PoisonError::into_inner).paces.realtime
    }

    fn now_below(&self, clock: i32) -> i128 {
        now_below(self.below.as_deref(), clock).unwrap_or(0)
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
        let wall = self.own_wall();
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
                self.change(|paces| self.set_frequency(paces, frequency));
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
            let real = self.now_below(libc::CLOCK_REALTIME);
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
        let mut own = self.own.write().unwrap_or_else(PoisonError::into_inner);
        make(&mut own.paces);
        let wall = own.paces.realtime;
        own.past.change(self.now_below(FILE_CLOCK), wall);
        drop(own);
        for watcher in watchers.iter() {
            watcher(PaceChange::Over);
        }
    }

    /// No clock jumps: each counts from what it shows at this moment.
    fn set_frequency(&self, paces: &mut Paces, frequency: f64) {
        // At most 2^52: exact enough in either type.
        let rate = (frequency * f64::from(1_u32 << 16) * f64::from(1_u32 << 16)).round() as u64;
        for (clock, pace) in each(paces) {
            let real = self.now_below(clock);
            let shown = shown_at(pace, real);
            *pace = Pace { base_nanos: narrow(real), offset_nanos: narrow(shown - real), rate };
        }
    }
}

/// What a clock shows to those that run over it.
fn now_below(below: Option<&dyn VirtualClocks>, clock: i32) -> Option<i128> {
    let real = hostclock::now(clock)?;
    match below {
        Some(below) => below.paces().of(clock).map(|pace| shown_at(pace, real)),
        None => Some(real),
    }
}

impl VirtualClocks for Timeline {
    fn paces(&self) -> Paces {
        self.on_host(&self.own.read().unwrap_or_else(PoisonError::into_inner).paces)
    }

    fn watch(&self, told: Watcher) {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner).push(told);
    }

    fn moves_file_times(&self) -> bool {
        let own = self.own.read().unwrap_or_else(PoisonError::into_inner);
        own.past.moves() || self.below.as_ref().is_some_and(|below| below.moves_file_times())
    }

    fn shown_time(&self, real: Timestamp) -> Timestamp {
        let real = self.below.as_ref().map_or(real, |below| below.shown_time(real));
        let own = self.own.read().unwrap_or_else(PoisonError::into_inner);
        let now = self.now_below(libc::CLOCK_REALTIME);
        timestamp_of(own.past.shown(nanos_of(real), now))
    }

    fn stored_time(&self, shown: Timestamp) -> Timestamp {
        let own = self.own.read().unwrap_or_else(PoisonError::into_inner);
        let now = self.now_below(libc::CLOCK_REALTIME);
        let stored = timestamp_of(own.past.stored(nanos_of(shown), now));
        drop(own);
        self.below.as_ref().map_or(stored, |below| below.stored_time(stored))
    }
}

fn nanos_of(time: Timestamp) -> i128 {
    i128::from(time.seconds) * SECOND + i128::from(time.nanos)
}

fn timestamp_of(nanos: i128) -> Timestamp {
    let seconds = i64::try_from(nanos.div_euclid(SECOND));
    let nanos = u32::try_from(nanos.rem_euclid(SECOND)).unwrap_or(0);
    Timestamp { seconds: seconds.unwrap_or(i64::MAX), nanos }
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
    use abi::fs::Timestamp;
    use abi::module::{Pace, PaceChange, VirtualClocks};
    use proptest::prelude::*;
    use std::sync::Arc;

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
    fn a_clock_over_a_clock_counts_in_its_time() {
        let outer = Arc::new(Timeline::default());
        outer.set(Setting::Offset, "1000000").unwrap();
        outer.set(Setting::Frequency, "10").unwrap();
        let inner = Timeline::over(Some(Arc::clone(&outer) as Arc<dyn VirtualClocks>));
        let wall = libc::CLOCK_REALTIME;
        let ahead = |time: &Timeline| time.now(wall).unwrap() - hostclock::now(wall).unwrap();
        assert!(ahead(&inner) >= 1_000_000 * SECOND, "it begins where the outer one is");
        assert_eq!(
            (inner.show(Setting::Frequency), inner.show(Setting::Offset)),
            ("1".into(), "0".into())
        );
        assert_eq!(inner.paces().monotonic.rate, 10 << 32);
        inner.set(Setting::Frequency, "3").unwrap();
        inner.set(Setting::Offset, "500").unwrap();
        assert_eq!(inner.paces().monotonic.rate, 30 << 32);
        assert_eq!(inner.real_duration(30 * SECOND), SECOND);
        outer.set(Setting::Frequency, "2").unwrap();
        assert_eq!(inner.paces().monotonic.rate, 6 << 32);
        assert!(ahead(&inner) >= 1_000_500 * SECOND);
        let both = (outer.moves_file_times(), inner.moves_file_times());
        assert_eq!(both, (true, true));
    }

    #[test]
    fn a_file_has_the_time_that_the_clock_showed() {
        let outer = Arc::new(Timeline::default());
        let before = Timestamp { seconds: 1_000_000_000, nanos: 5 };
        outer.set(Setting::Offset, "-1000000").unwrap();
        let inner = Timeline::over(Some(Arc::clone(&outer) as Arc<dyn VirtualClocks>));
        inner.set(Setting::Offset, "50").unwrap();
        for time in [&*outer, &inner] {
            let shown = time.shown_time(Timestamp::now());
            let now = time.now(libc::CLOCK_REALTIME).unwrap();
            assert!((0..SECOND).contains(&(now - super::nanos_of(shown))), "{shown:?}, not {now}");
            assert_eq!(time.shown_time(time.stored_time(shown)), shown);
            // What was before the view had a time of its own keeps its date.
            assert_eq!((time.shown_time(before), time.stored_time(before)), (before, before));
        }
    }

    #[test]
    fn watchers_hear_of_each_change() {
        let time = Timeline::default();
        let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let heard = Arc::clone(&count);
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
