//! Bitmaps as the format has them: bit `n` is bit `n % 8` of byte `n / 8`.

use crate::le::us;

fn mask(bit: u32) -> u8 {
    1u8 << (bit & 7)
}

/// Whether bit `bit` is set; a bit behind the end counts as set.
pub(crate) fn is_set(bits: &[u8], bit: u32) -> bool {
    bits.get(us(bit / 8)).is_none_or(|byte| byte & mask(bit) != 0)
}

/// Sets `count` bits from `first` on.
pub(crate) fn set(bits: &mut [u8], first: u32, count: u32) {
    each_byte(bits, first, count, |byte, mask| *byte |= mask);
}

/// Clears `count` bits from `first` on.
pub(crate) fn clear(bits: &mut [u8], first: u32, count: u32) {
    each_byte(bits, first, count, |byte, mask| *byte &= !mask);
}

/// Whether all of `count` bits from `first` on are set.
pub(crate) fn are_set(bits: &[u8], first: u32, count: u32) -> bool {
    next(bits, first, first.saturating_add(count), false).is_none()
}

fn each_byte(bits: &mut [u8], first: u32, count: u32, change: impl Fn(&mut u8, u8)) {
    let end = first.saturating_add(count);
    let mut at = first;
    while at < end {
        let stop = end.min((at | 7).saturating_add(1));
        let low = 0xffu8 << (at & 7);
        let high = 0xffu8 >> (7u32.saturating_sub(stop.saturating_sub(1) & 7));
        if let Some(byte) = bits.get_mut(us(at / 8)) {
            change(byte, low & high);
        }
        at = stop;
    }
}

/// The first bit from `from` on and below `end` that is `value`.
pub(crate) fn next(bits: &[u8], from: u32, end: u32, value: bool) -> Option<u32> {
    let skip: u8 = if value { 0 } else { 0xff };
    let mut at = from;
    while at < end {
        let byte = *bits.get(us(at / 8))?;
        if at & 7 == 0 && byte == skip {
            at = at.saturating_add(8);
            // Eight bytes at a time where they are all alike.
            while let Some(word) = bits.get(us(at / 8)..us(at / 8).saturating_add(8)) {
                if at >= end || word != [skip; 8] {
                    break;
                }
                at = at.saturating_add(64);
            }
            continue;
        }
        if (byte & mask(at) != 0) == value {
            return Some(at);
        }
        at = at.saturating_add(1);
    }
    None
}

/// A stretch of clear bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) first: u32,
    pub(crate) count: u32,
}

/// The first gap of `want` bits in `from..end`; failing that the longest there is.
pub(crate) fn find_gap(bits: &[u8], from: u32, end: u32, want: u32) -> Option<Gap> {
    let mut best: Option<Gap> = None;
    let mut at = from;
    while let Some(first) = next(bits, at, end, false) {
        let stop = next(bits, first, end, true).unwrap_or(end);
        let count = stop.saturating_sub(first);
        if count >= want {
            return Some(Gap { first, count: want });
        }
        if best.is_none_or(|gap| gap.count < count) {
            best = Some(Gap { first, count });
        }
        at = stop;
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_set_and_cleared_bit_by_bit() {
        for first in 0..20 {
            for count in 0..25 {
                let mut bits = [0; 8];
                set(&mut bits, first, count);
                for bit in 0..64 {
                    assert_eq!(is_set(&bits, bit), (first..first + count).contains(&bit));
                }
                assert!(are_set(&bits, first, count));
                clear(&mut bits, first, count);
                assert_eq!(bits, [0; 8]);
            }
        }
        assert!(is_set(&[0], 8));
    }

    #[test]
    fn gaps_are_the_first_that_fits_or_the_longest() {
        let mut bits = [0xff; 32];
        clear(&mut bits, 5, 3);
        clear(&mut bits, 100, 70);
        clear(&mut bits, 200, 40);
        assert_eq!(find_gap(&bits, 0, 256, 3), Some(Gap { first: 5, count: 3 }));
        assert_eq!(find_gap(&bits, 0, 256, 4), Some(Gap { first: 100, count: 4 }));
        assert_eq!(find_gap(&bits, 0, 256, 99), Some(Gap { first: 100, count: 70 }));
        assert_eq!(find_gap(&bits, 170, 210, 99), Some(Gap { first: 200, count: 10 }));
        assert_eq!(find_gap(&[0xff; 32], 0, 256, 1), None);
        assert_eq!(next(&[0; 32], 3, 256, true), None);
    }
}
