//! The one checked read of table bytes.

/// The `N` bytes at `at`; bytes past the end read as zero, so that no offset can panic.
pub(crate) fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0u8; N];
    if let Some(source) = bytes.get(at..).and_then(|rest| rest.first_chunk::<N>()) {
        out = *source;
    }
    out
}

/// The little-endian number at `at`.
pub(crate) fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(field(bytes, at))
}

/// The little-endian number at `at`.
pub(crate) fn le64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(field(bytes, at))
}
