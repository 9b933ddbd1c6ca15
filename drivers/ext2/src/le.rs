//! Fields of on-disk structures: little-endian (and, in the journal, big-endian) integers at byte
//! offsets.
//!
//! All functions are total: a read behind the end gives 0 and a write there does nothing.
//! Structures are checked for their length once, where they enter; after that an offset out of
//! range is a bug of this crate and must not become a panic because of it.

/// The byte at `offset`.
pub(crate) fn u8_at(bytes: &[u8], offset: usize) -> u8 {
    bytes.get(offset).copied().unwrap_or(0)
}

/// The `__le16` at `offset`.
pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    array_at(bytes, offset).map_or(0, u16::from_le_bytes)
}

/// The `__le32` at `offset`.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    array_at(bytes, offset).map_or(0, u32::from_le_bytes)
}

/// The `__be16` at `offset`.
pub(crate) fn be16_at(bytes: &[u8], offset: usize) -> u16 {
    array_at(bytes, offset).map_or(0, u16::from_be_bytes)
}

/// The `__be32` at `offset`.
pub(crate) fn be32_at(bytes: &[u8], offset: usize) -> u32 {
    array_at(bytes, offset).map_or(0, u32::from_be_bytes)
}

/// The `len` bytes at `offset`; none at all if they are not all there.
pub(crate) fn bytes_at(bytes: &[u8], offset: usize, len: usize) -> &[u8] {
    bytes.get(offset..offset.saturating_add(len)).unwrap_or_default()
}

/// As [`bytes_at`], to be written.
pub(crate) fn bytes_at_mut(bytes: &mut [u8], offset: usize, len: usize) -> &mut [u8] {
    bytes.get_mut(offset..offset.saturating_add(len)).unwrap_or_default()
}

fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..offset.checked_add(N)?)?.try_into().ok()
}

/// Copies `value` to `offset`.
pub(crate) fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(offset..offset.saturating_add(value.len())) {
        place.copy_from_slice(value);
    }
}

/// Fills the `len` bytes at `offset` with zeroes.
pub(crate) fn zero(bytes: &mut [u8], offset: usize, len: usize) {
    bytes_at_mut(bytes, offset, len).fill(0);
}

/// Sets the byte at `offset`.
pub(crate) fn put_u8(bytes: &mut [u8], offset: usize, value: u8) {
    put(bytes, offset, &[value]);
}

/// Sets the `__le16` at `offset`.
pub(crate) fn put_u16(bytes: &mut [u8], offset: usize, value: u16) {
    put(bytes, offset, &value.to_le_bytes());
}

/// Sets the `__le32` at `offset`.
pub(crate) fn put_u32(bytes: &mut [u8], offset: usize, value: u32) {
    put(bytes, offset, &value.to_le_bytes());
}

/// Sets the `__be16` at `offset`.
pub(crate) fn put_be16(bytes: &mut [u8], offset: usize, value: u16) {
    put(bytes, offset, &value.to_be_bytes());
}

/// Sets the `__be32` at `offset`.
pub(crate) fn put_be32(bytes: &mut [u8], offset: usize, value: u32) {
    put(bytes, offset, &value.to_be_bytes());
}

/// Moves `len` bytes from `from` to `to`; nothing if either range is not there.
pub(crate) fn shift(bytes: &mut [u8], from: usize, to: usize, len: usize) {
    let (Some(from_end), Some(to_end)) = (from.checked_add(len), to.checked_add(len)) else {
        return;
    };
    if from_end <= bytes.len() && to_end <= bytes.len() {
        bytes.copy_within(from..from_end, to);
    }
}

/// Joins the two halves that most 48- and 64-bit fields are split into.
pub(crate) fn join(low: u32, high: u32) -> u64 {
    (u64::from(high) << 32) | u64::from(low)
}

/// A number of this machine's address size; what does not fit is beyond any buffer.
pub(crate) fn us(number: impl Into<u64>) -> usize {
    usize::try_from(number.into()).unwrap_or(usize::MAX)
}

/// A length as a 64-bit number.
pub(crate) fn wide(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// The low 32 bits.
pub(crate) fn low32(number: u64) -> u32 {
    u32::try_from(number & 0xffff_ffff).unwrap_or(0)
}

/// The high 32 bits.
pub(crate) fn high32(number: u64) -> u32 {
    low32(number >> 32)
}

/// The low 16 bits.
pub(crate) fn low16(number: u32) -> u16 {
    u16::try_from(number & 0xffff).unwrap_or(0)
}

/// The high 16 bits.
pub(crate) fn high16(number: u32) -> u16 {
    low16(number >> 16)
}

/// The low 8 bits.
pub(crate) fn low8(number: u32) -> u8 {
    u8::try_from(number & 0xff).unwrap_or(0)
}

/// Rounds up to a multiple of four.
pub(crate) fn round4(length: usize) -> usize {
    length.saturating_add(3) & !3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_behind_the_end_are_zero_and_writes_nothing() {
        let mut bytes = [1, 2, 3, 4];
        assert_eq!(u32_at(&bytes, 0), 0x0403_0201);
        assert_eq!(u32_at(&bytes, 1), 0);
        assert_eq!(u16_at(&bytes, usize::MAX), 0);
        put_u32(&mut bytes, 2, 9);
        shift(&mut bytes, 0, 1, 4);
        assert_eq!(bytes, [1, 2, 3, 4]);
        shift(&mut bytes, 0, 1, 3);
        assert_eq!(bytes, [1, 1, 2, 3]);
    }

    #[test]
    fn halves_join_and_part() {
        assert_eq!(join(low32(0x1234_5678_9abc), high32(0x1234_5678_9abc)), 0x1234_5678_9abc);
        assert_eq!((high16(0x1234_5678), low16(0x1234_5678), low8(0x1ff)), (0x1234, 0x5678, 0xff));
    }
}
