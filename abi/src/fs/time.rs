//! Times of files.

/// A point in time since the epoch. `nanos` is below 1,000,000,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp {
    /// Whole seconds, negative before 1970.
    pub seconds: i64,
    /// Nanoseconds after `seconds`.
    pub nanos: u32,
}

impl Timestamp {
    /// The host's `CLOCK_REALTIME` at this moment.
    #[must_use]
    pub fn now() -> Self {
        match std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
            Ok(d) => Self {
                seconds: i64::try_from(d.as_secs()).unwrap_or(i64::MAX),
                nanos: d.subsec_nanos(),
            },
            Err(_) => Self::default(),
        }
    }
}

/// A time to set, as in utimensat(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetTime {
    /// `UTIME_NOW`
    Now,
    /// This very time.
    At(Timestamp),
}

impl SetTime {
    /// The time meant.
    #[must_use]
    pub fn resolve(self) -> Timestamp {
        self.resolve_at(Timestamp::now())
    }

    /// The time meant, where it is `now`: for two times that are to be one.
    #[must_use]
    pub fn resolve_at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Now => now,
            Self::At(t) => t,
        }
    }
}
