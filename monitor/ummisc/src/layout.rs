//! The structures of time in a caller's memory: `struct timespec`, `timeval`, `itimerspec`, `itimerval` of x86-64.

use crate::hostclock::SECOND;
use abi::Result;
use abi::dev::UserMemory;

/// Two 64-bit words: seconds, then a part of a second.
pub(crate) const PAIR_BYTES: usize = 16;

/// What the second word counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// `tv_nsec`
    Nanos,
    /// `tv_usec`
    Micros,
}

impl Unit {
    fn nanos(self) -> i128 {
        match self {
            Self::Nanos => 1,
            Self::Micros => 1000,
        }
    }

    /// The nanoseconds that two words mean; `None` where the kernel would answer `EINVAL`.
    pub(crate) fn parse(self, bytes: &[u8; PAIR_BYTES]) -> Option<i128> {
        let (seconds, part) = (word(bytes, 0), word(bytes, 8));
        let parts_per_second = SECOND / self.nanos();
        let is_valid = seconds >= 0 && (0..parts_per_second).contains(&i128::from(part));
        is_valid.then(|| i128::from(seconds) * SECOND + i128::from(part) * self.nanos())
    }

    /// The two words of a time that is not negative; what does not fit is the largest that the kernel counts to.
    pub(crate) fn bytes(self, nanos: i128) -> [u8; PAIR_BYTES] {
        let nanos = nanos.clamp(0, i128::from(i64::MAX));
        let seconds = i64::try_from(nanos / SECOND).unwrap_or(i64::MAX);
        let part = i64::try_from(nanos % SECOND / self.nanos()).unwrap_or(0);
        let mut bytes = [0; PAIR_BYTES];
        let (first, second) = bytes.split_at_mut(8);
        first.copy_from_slice(&seconds.to_ne_bytes());
        second.copy_from_slice(&part.to_ne_bytes());
        bytes
    }

    /// The two words of a time that must not be cut to nothing.
    pub(crate) fn bytes_rounded_up(self, nanos: i128) -> [u8; PAIR_BYTES] {
        self.bytes(nanos.saturating_add(self.nanos() - 1))
    }

    /// Reads a time; `None` if it can't be read or is not valid, which is the kernel's to say.
    pub(crate) fn read(self, memory: &dyn UserMemory, addr: u64) -> Option<i128> {
        let mut bytes = [0; PAIR_BYTES];
        memory.read(addr, &mut bytes).ok()?;
        self.parse(&bytes)
    }

    /// Writes a time.
    pub(crate) fn write(self, memory: &mut dyn UserMemory, addr: u64, nanos: i128) -> Result<()> {
        memory.write(addr, &self.bytes(nanos))
    }

    /// Changes a time in place; what can't be read stays.
    pub(crate) fn update(
        self,
        memory: &mut dyn UserMemory,
        addr: u64,
        change: impl FnOnce(i128) -> i128,
    ) {
        if let Some(nanos) = self.read(memory, addr) {
            // It was written a moment before; a caller that unmaps it meanwhile gets what it asked for.
            let _ = self.write(memory, addr, change(nanos));
        }
    }
}

/// The interval and the value of a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timer {
    pub(crate) interval: i128,
    pub(crate) value: i128,
}

impl Timer {
    /// Reads `struct itimerspec` or `itimerval`; `None` if it can't be read or is not valid.
    pub(crate) fn read(unit: Unit, memory: &dyn UserMemory, addr: u64) -> Option<Self> {
        let second = addr.checked_add(PAIR_BYTES as u64)?;
        Some(Self { interval: unit.read(memory, addr)?, value: unit.read(memory, second)? })
    }

    /// Its bytes; a time that is not nothing stays so.
    pub(crate) fn bytes(self, unit: Unit) -> Vec<u8> {
        [unit.bytes_rounded_up(self.interval), unit.bytes_rounded_up(self.value)].concat()
    }
}

fn word(bytes: &[u8], at: usize) -> i64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, i64::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::Unit;

    #[test]
    fn what_the_kernel_refuses_is_not_parsed() {
        let pair = |a: i64, b: i64| -> [u8; 16] {
            [a.to_ne_bytes(), b.to_ne_bytes()].concat().try_into().unwrap()
        };
        assert_eq!(Unit::Nanos.parse(&pair(1, 999_999_999)), Some(1_999_999_999));
        assert_eq!(Unit::Nanos.parse(&pair(1, 1_000_000_000)), None);
        assert_eq!(Unit::Nanos.parse(&pair(-1, 0)), None);
        assert_eq!(Unit::Micros.parse(&pair(2, 5)), Some(2_000_005_000));
        assert_eq!(Unit::Micros.parse(&pair(2, 1_000_000)), None);
        assert_eq!(Unit::Micros.bytes_rounded_up(1), Unit::Micros.bytes(1000));
        assert_eq!(Unit::Nanos.bytes(i128::MAX), Unit::Nanos.bytes(i128::from(i64::MAX)));
    }
}
