//! The checksums of the format: CRC-32C without final inversion (`metadata_csum`) and CRC-16
//! (`uninit_bg`).

/// Continues a CRC-32C as the kernel's `crc32c()` does: no inversion on the way in or out.
pub(crate) fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    !crc32c::crc32c_append(!seed, bytes)
}

/// Continues a CRC-16 (polynomial 0x8005, reflected) as the kernel's `crc16()` does.
pub(crate) fn crc16(seed: u16, bytes: &[u8]) -> u16 {
    let mut crc = seed;
    for &byte in bytes {
        crc ^= u16::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xa001 } else { crc >> 1 };
        }
    }
    crc
}

/// The big-endian CRC-32 (polynomial 0x04c11db7, not reflected) of the journal's first checksum
/// version, as the kernel's `crc32_be()`.
pub(crate) fn crc32_be(seed: u32, bytes: &[u8]) -> u32 {
    let mut crc = seed;
    for &byte in bytes {
        crc ^= u32::from(byte) << 24;
        for _ in 0..8 {
            crc = if crc >> 31 == 1 { (crc << 1) ^ 0x04c1_1db7 } else { crc << 1 };
        }
    }
    crc
}

#[cfg(test)]
mod tests {
    #[test]
    fn check_values_of_the_polynomials() {
        // The catalogue's check input; CRC-32C is listed inverted, CRC-16/ARC and CRC-32/BZIP2 as
        // named.
        assert_eq!(!super::crc32c(!0, b"123456789"), 0xe306_9283);
        assert_eq!(super::crc16(0, b"123456789"), 0xbb3d);
        assert_eq!(!super::crc32_be(!0, b"123456789"), 0xfc89_1918);
    }
}
