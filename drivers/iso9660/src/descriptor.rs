//! Volume descriptors, ECMA-119 section 8.
//!
//! | offset | bytes | primary and supplementary descriptor |
//! |---|---|---|
//! | 0 | 1 | type: 0 boot, 1 primary, 2 supplementary, 255 the end |
//! | 1 | 5 | `CD001` |
//! | 40 | 32 | volume identifier |
//! | 80 | 8 | volume space size in logical blocks |
//! | 88 | 32 | escape sequences (supplementary only): `%/@`, `%/C`, `%/E` are Joliet levels 1 to 3 |
//! | 128 | 4 | logical block size |
//! | 156 | 34 | directory record of the root |
//!
//! The field at 40 precedes the sizes because the standard keeps identifiers first; there is one version.

use crate::error::{Error, Unsupported};
use crate::numeric::{byte, le16, le32, slice};

/// The sector that descriptors are counted in, whatever the logical block size.
pub(crate) const SECTOR_BYTES: u64 = 2048;

/// The bytes of one descriptor, not yet looked at.
#[derive(Clone, Debug)]
pub(crate) struct RawDescriptor(pub(crate) [u8; 2048]);

/// What a descriptor turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Descriptor {
    /// Describes the tree in ISO 9660 and Rock Ridge names.
    Primary(Tree),
    /// Describes the tree in Joliet names.
    Joliet(Tree),
    /// A boot record, a partition, or a supplementary tree in a character set that is not Joliet's.
    Other,
    /// The last one.
    Terminator,
}

/// One tree of directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tree {
    /// Logical block size: 512, 1,024 or 2,048.
    pub(crate) block_bytes: u32,
    /// Length of the session in logical blocks.
    pub(crate) volume_blocks: u32,
    /// The logical block where the root directory begins, behind its extended attribute record.
    pub(crate) root_block: u64,
}

impl RawDescriptor {
    /// Checks the descriptor found at `sector`.
    ///
    /// # Errors
    /// In check order:
    /// - [`Unsupported::HighSierra`]
    /// - [`Error::NotIso9660`] without `CD001`.
    /// - [`Unsupported::BlockSize`]
    pub(crate) fn check(&self, sector: u64) -> Result<Descriptor, Error> {
        let bytes = &self.0;
        if slice(bytes, 9, 5) == b"CDROM" {
            return Err(Unsupported::HighSierra.into());
        }
        if slice(bytes, 1, 5) != b"CD001" {
            return Err(Error::NotIso9660 { sector });
        }
        match byte(bytes, 0) {
            1 => Ok(Descriptor::Primary(self.tree()?)),
            2 if self.is_joliet() => Ok(Descriptor::Joliet(self.tree()?)),
            255 => Ok(Descriptor::Terminator),
            _ => Ok(Descriptor::Other),
        }
    }

    fn is_joliet(&self) -> bool {
        matches!(slice(&self.0, 88, 3), b"%/@" | b"%/C" | b"%/E")
    }

    fn tree(&self) -> Result<Tree, Error> {
        let bytes = &self.0;
        let block_bytes = le16(bytes, 128);
        if !matches!(block_bytes, 512 | 1024 | 2048) {
            return Err(Unsupported::BlockSize { bytes: block_bytes }.into());
        }
        let root = u64::from(le32(bytes, 158)).saturating_add(u64::from(byte(bytes, 157)));
        Ok(Tree {
            block_bytes: u32::from(block_bytes),
            volume_blocks: le32(bytes, 80),
            root_block: root,
        })
    }
}

impl Tree {
    /// Length of the session in 2,048-byte sectors, rounded up.
    pub(crate) fn volume_sectors(&self) -> u64 {
        let bytes = u64::from(self.volume_blocks).saturating_mul(u64::from(self.block_bytes));
        bytes.div_ceil(SECTOR_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::{Descriptor, RawDescriptor, Tree};
    use crate::error::{Error, Unsupported};

    fn primary() -> RawDescriptor {
        let mut bytes = [0; 2048];
        bytes[0] = 1;
        bytes[1..6].copy_from_slice(b"CD001");
        bytes[80..84].copy_from_slice(&100_u32.to_le_bytes());
        bytes[128..130].copy_from_slice(&2048_u16.to_le_bytes());
        bytes[158..162].copy_from_slice(&23_u32.to_le_bytes());
        RawDescriptor(bytes)
    }

    #[test]
    fn kinds_are_told_apart() {
        let tree = Tree { block_bytes: 2048, volume_blocks: 100, root_block: 23 };
        let mut raw = primary();
        assert_eq!(raw.check(16), Ok(Descriptor::Primary(tree)));
        raw.0[0] = 2;
        assert_eq!(raw.check(16), Ok(Descriptor::Other));
        raw.0[88..91].copy_from_slice(b"%/E");
        assert_eq!(raw.check(16), Ok(Descriptor::Joliet(tree)));
        raw.0[0] = 255;
        assert_eq!(raw.check(16), Ok(Descriptor::Terminator));
    }

    #[test]
    fn what_is_no_volume_is_refused() {
        // Error: block size that no drive has.
        let mut raw = primary();
        raw.0[128..130].copy_from_slice(&4096_u16.to_le_bytes());
        assert_eq!(raw.check(16), Err(Unsupported::BlockSize { bytes: 4096 }.into()));
        // Error: no magic.
        raw.0[1] = b'X';
        assert_eq!(raw.check(16), Err(Error::NotIso9660 { sector: 16 }));
        // Error: the older format, whose magic is further behind.
        raw.0[9..14].copy_from_slice(b"CDROM");
        assert_eq!(raw.check(16), Err(Unsupported::HighSierra.into()));
    }
}
