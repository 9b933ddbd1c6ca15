//! Numerical values, ECMA-119 section 7. Fields in both byte orders are read from their little-endian half.

/// The byte at `at`; 0 outside of `bytes`, where callers have checked the length before.
pub(crate) fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

/// The 16-bit value at `at` (7.2.1, 7.2.3), 0 outside of `bytes`.
pub(crate) fn le16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(bytes, at))
}

/// The 32-bit value at `at` (7.3.1, 7.3.3), 0 outside of `bytes`.
pub(crate) fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

/// The 64-bit value at `at`, as zisofs2 has them, 0 outside of `bytes`.
pub(crate) fn le64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

/// `length` bytes from `at`, cut at the end of `bytes`.
pub(crate) fn slice(bytes: &[u8], at: usize, length: usize) -> &[u8] {
    let rest = bytes.get(at..).unwrap_or_default();
    rest.get(..length).unwrap_or(rest)
}

/// A length in memory as a length in a file. Every `usize` of the platforms we run on fits.
pub(crate) fn wide(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// A length in a file as one in memory, cut at what memory can have.
pub(crate) fn narrow(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    slice(bytes, at, N).try_into().unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::{byte, le16, le32, le64, slice};

    #[test]
    fn fields_outside_the_bytes_are_zero() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(byte(&bytes, 7), 8);
        assert_eq!(byte(&bytes, 8), 0);
        assert_eq!(le16(&bytes, 6), 0x0807);
        assert_eq!(le16(&bytes, 7), 0);
        assert_eq!(le32(&bytes, 0), 0x0403_0201);
        assert_eq!(le32(&bytes, usize::MAX), 0);
        assert_eq!(le64(&bytes, 0), 0x0807_0605_0403_0201);
        assert_eq!(slice(&bytes, 6, 10), [7, 8]);
    }
}
