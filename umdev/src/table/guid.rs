//! The 16-byte names of GPT.

use core::fmt;

/// A GUID in the byte order of the disk: its first three groups are little-endian (UEFI, appendix
/// A).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Guid(pub [u8; 16]);

impl Guid {
    /// Whether all bytes are zero: the type of an unused entry.
    #[must_use]
    pub fn is_nil(&self) -> bool {
        self.0 == [0; 16]
    }
}

impl fmt::Display for Guid {
    /// As sfdisk(8) writes it: `0FC63DAF-8483-4772-8E79-3D69D8477DE4`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ORDER: [&[usize]; 5] =
            [&[3, 2, 1, 0], &[5, 4], &[7, 6], &[8, 9], &[10, 11, 12, 13, 14, 15]];
        for (group, bytes) in ORDER.iter().enumerate() {
            if group != 0 {
                f.write_str("-")?;
            }
            for byte in bytes.iter().filter_map(|at| self.0.get(*at)) {
                write!(f, "{byte:02X}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Guid;

    #[test]
    fn the_first_three_groups_are_little_endian() {
        let bytes: [u8; 16] = core::array::from_fn(|i| i as u8);
        assert_eq!(Guid(bytes).to_string(), "03020100-0504-0706-0809-0A0B0C0D0E0F");
    }
}
