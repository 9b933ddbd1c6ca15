//! The FSINFO sector of FAT32: hints that save a walk of the table (specification section 5).

use crate::le;

/// Bytes of the sector that matter.
pub(crate) const FSINFO_BYTES: usize = 512;

/// Where the two numbers lie in the sector.
pub(crate) const NUMBERS_AT: u64 = 488;

/// The sector: signatures at 0 and 484, `FSI_Free_Count` u32 at 488, `FSI_Nxt_Free` u32 at 492.
pub(crate) struct RawFsInfo(pub(crate) [u8; FSINFO_BYTES]);

/// The two numbers, each absent where the sector says "unknown".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FsInfo {
    pub(crate) free: Option<u32>,
    pub(crate) next: Option<u32>,
}

const UNKNOWN: u32 = 0xffff_ffff;

impl RawFsInfo {
    /// The numbers, or `None` if the signatures are not there. A count above `clusters` is unknown.
    pub(crate) fn validate(&self, clusters: u32) -> Option<FsInfo> {
        if le::u32_at(&self.0, 0) != 0x4161_5252 || le::u32_at(&self.0, 484) != 0x6141_7272 {
            return None;
        }
        let (free, next) = (le::u32_at(&self.0, 488), le::u32_at(&self.0, 492));
        Some(FsInfo {
            free: (free <= clusters).then_some(free),
            next: (next != UNKNOWN).then_some(next),
        })
    }
}

impl FsInfo {
    /// The eight bytes at [`NUMBERS_AT`].
    pub(crate) fn to_bytes(self) -> [u8; 8] {
        let mut bytes = [0; 8];
        le::put_u32(&mut bytes, 0, self.free.unwrap_or(UNKNOWN));
        le::put_u32(&mut bytes, 4, self.next.unwrap_or(UNKNOWN));
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::{FsInfo, RawFsInfo};

    #[test]
    fn numbers_need_signatures_and_must_be_possible() {
        let mut raw = [0; 512];
        assert_eq!(RawFsInfo(raw).validate(100), None);
        raw[..4].copy_from_slice(b"RRaA");
        raw[484..488].copy_from_slice(b"rrAa");
        raw[488..496].copy_from_slice(&FsInfo { free: Some(7), next: None }.to_bytes());
        assert_eq!(RawFsInfo(raw).validate(100), Some(FsInfo { free: Some(7), next: None }));
        assert_eq!(RawFsInfo(raw).validate(6), Some(FsInfo { free: None, next: None }));
    }
}
