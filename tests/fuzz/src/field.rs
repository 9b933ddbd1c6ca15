//! Numbers at places; 0 where there are none.

fn bytes<const N: usize>(from: &[u8], at: usize) -> [u8; N] {
    from.get(at..).and_then(|rest| rest.first_chunk::<N>()).copied().unwrap_or([0; N])
}

pub(crate) fn le16(from: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes(from, at))
}

pub(crate) fn le32(from: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes(from, at))
}

pub(crate) fn le64(from: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes(from, at))
}

pub(crate) fn be32(from: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes(from, at))
}

pub(crate) fn be64(from: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes(from, at))
}

/// A number as an index.
pub(crate) fn us(number: impl TryInto<usize>) -> usize {
    number.try_into().unwrap_or(usize::MAX)
}
