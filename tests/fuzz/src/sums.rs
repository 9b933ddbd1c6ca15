//! Checksums, bit by bit: the formats' own definitions, nothing that the drivers use.

/// CRC-32C as ext4 goes on with it: the start is given, the end is not inverted.
pub(crate) fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    reflected(seed, bytes, 0x82f6_3b78)
}

/// CRC-32 of GPT.
#[must_use]
pub fn crc32(bytes: &[u8]) -> u32 {
    !reflected(!0, bytes, 0xedb8_8320)
}

/// CRC-16 of the older group descriptors.
pub(crate) fn crc16(seed: u16, bytes: &[u8]) -> u16 {
    bytes.iter().fold(seed, |crc, byte| {
        (0..8)
            .fold(crc ^ u16::from(*byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xa001 } else { 0 })
    })
}

fn reflected(seed: u32, bytes: &[u8], polynomial: u32) -> u32 {
    bytes.iter().fold(seed, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            crc >> 1 ^ if crc & 1 == 1 { polynomial } else { 0 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_values_are_those_of_the_catalogue() {
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc16(0, b"123456789"), 0xbb3d);
    }
}
