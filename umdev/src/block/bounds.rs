//! The checks that every layer makes before it moves a byte, in the order of the contract.

use abi::block::{BlockDevice, Geometry};
use abi::{Errno, Result};
use core::ops::Range;

/// The most that a layer holds in memory for one step of a long transfer, in bytes.
const STEP_BYTES: u64 = 256 * 1024;

/// Returns the end of a transfer of `len` bytes at `offset`, or `EINVAL` where it passes
/// `size_bytes`.
pub(crate) fn check_transfer(size_bytes: u64, len: usize, offset: u64) -> Result<u64> {
    let len = u64::try_from(len).map_err(|_| Errno::EINVAL)?;
    offset.checked_add(len).filter(|end| *end <= size_bytes).ok_or(Errno::EINVAL)
}

/// As [`check_transfer`], after `EROFS` for a read-only device.
pub(crate) fn check_write(geometry: &Geometry, len: usize, offset: u64) -> Result<u64> {
    if geometry.read_only {
        return Err(Errno::EROFS);
    }
    check_transfer(geometry.size_bytes, len, offset)
}

/// The checks of `discard`: `EROFS`, then `EINVAL` for a range that is inverted or passes the end.
pub(crate) fn check_discard(geometry: &Geometry, range: &Range<u64>) -> Result<()> {
    if geometry.read_only {
        return Err(Errno::EROFS);
    }
    if range.start > range.end || range.end > geometry.size_bytes {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// Turns the answer of a device below into that of the layer above, which has checked the bounds: a
/// device that calls them wrong is shorter than it said.
pub(crate) fn from_below(errno: Errno) -> Errno {
    if errno == Errno::EINVAL { Errno::EIO } else { errno }
}

/// Makes `range` read as zeroes: by discard where the device can, else by writing.
pub(crate) fn write_zeroes(device: &dyn BlockDevice, range: Range<u64>) -> Result<()> {
    match device.discard(range.clone()) {
        Err(Errno::EOPNOTSUPP) => {}
        answer => return answer,
    }
    let step = range.end.saturating_sub(range.start).min(STEP_BYTES);
    let zeroes = vec![0u8; usize::try_from(step).map_err(|_| Errno::EINVAL)?];
    let mut at = range.start;
    while at < range.end {
        let len = range.end.saturating_sub(at).min(step);
        let len_usize = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
        device.write_at(zeroes.get(..len_usize).ok_or(Errno::EIO)?, at)?;
        at = at.checked_add(len).ok_or(Errno::EINVAL)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{check_discard, check_transfer, check_write};
    use abi::Errno;
    use abi::block::Geometry;

    #[test]
    fn ends_are_reached_but_not_passed() {
        assert_eq!(check_transfer(10, 4, 6), Ok(10));
        assert_eq!(check_transfer(10, 0, 10), Ok(10));
        // Error: one byte over, an offset past the end, and a sum past 2^64.
        assert_eq!(check_transfer(10, 5, 6), Err(Errno::EINVAL));
        assert_eq!(check_transfer(10, 0, 11), Err(Errno::EINVAL));
        assert_eq!(check_transfer(u64::MAX, 2, u64::MAX), Err(Errno::EINVAL));
    }

    #[test]
    fn read_only_is_answered_before_the_range() {
        let disk = Geometry { block_size: 512, size_bytes: 10, read_only: true };
        assert_eq!(check_write(&disk, 20, 0), Err(Errno::EROFS));
        assert_eq!(check_discard(&disk, &(0..20)), Err(Errno::EROFS));
        let disk = Geometry { read_only: false, ..disk };
        assert_eq!(check_discard(&disk, &(0..11)), Err(Errno::EINVAL));
        assert_eq!(
            check_discard(&disk, &core::ops::Range { start: 3, end: 2 }),
            Err(Errno::EINVAL)
        );
    }
}
