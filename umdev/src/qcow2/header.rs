//! The first bytes of a qcow2 image (QEMU's `docs/interop/qcow2`), big-endian.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | `QFI\xfb` |
//! | 4 | 4 | version, 2 or 3 |
//! | 8, 16 | 8, 4 | place and length of the backing file's name |
//! | 20 | 4 | cluster bits |
//! | 24 | 8 | length of the disk |
//! | 32 | 4 | encryption |
//! | 36, 40 | 4, 8 | entries of the first-level table, its place |
//! | 48, 56 | 8, 4 | place of the table of reference counts, its clusters |
//! | 60 | 4 | snapshots |
//! | 72 | 8 | version 3: incompatible features |
//! | 88 | 8 | version 3: features that a writer who does not know them clears |
//! | 96 | 4 | version 3: the width of a reference count, as a power of two of bits |
//! | 104 | 1 | version 3, if that feature is set: compression |

use super::Qcow2Error;

const MAGIC: [u8; 4] = *b"QFI\xfb";

/// Features that change nothing for a reader: reference counts may be wrong, a writer found
/// corruption.
const FEATURES_HARMLESS: u64 = 1 | 1 << 1;
const FEATURE_EXTERNAL_DATA: u64 = 1 << 2;
const FEATURE_COMPRESSION: u64 = 1 << 3;
const FEATURE_EXTENDED_L2: u64 = 1 << 4;

/// The first 112 bytes with their offsets; judges nothing.
pub(super) struct RawHeader<'a>(pub(super) &'a [u8; 112]);

impl RawHeader<'_> {
    fn field<const N: usize>(&self, at: usize) -> [u8; N] {
        let part = self.0.get(at..).and_then(|rest| rest.first_chunk::<N>());
        part.copied().unwrap_or([0; N])
    }
    fn u32(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.field(at))
    }
    fn u64(&self, at: usize) -> u64 {
        u64::from_be_bytes(self.field(at))
    }
    fn version(&self) -> u32 {
        self.u32(4)
    }
    /// Place and clusters of the table of reference counts.
    pub(super) fn count_table(&self) -> (u64, u64) {
        (self.u64(48), u64::from(self.u32(56)))
    }

    /// Refuses what this writer would make inconsistent.
    ///
    /// # Errors
    /// - `NotWritable`
    pub(super) fn check_writable(&self) -> Result<(), Qcow2Error> {
        let is_v3 = self.version() > 2;
        let checks = [
            (self.u32(60) != 0, "snapshots inside"),
            (self.incompatible() & FEATURES_HARMLESS != 0, "a mark that it needs a repair"),
            (is_v3 && self.u64(88) != 0, "extensions such as bitmaps"),
            (is_v3 && self.u32(96) != 4, "reference counts that are not of 16 bits"),
        ];
        match checks.into_iter().find(|(is_so, _)| *is_so) {
            Some((_, what)) => Err(Qcow2Error::NotWritable(what)),
            None => Ok(()),
        }
    }

    fn incompatible(&self) -> u64 {
        if self.version() == 2 { 0 } else { self.u64(72) }
    }
}

/// What a reader needs of a header that it can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) size_bytes: u64,
    pub(super) cluster_bits: u32,
    pub(super) l1_offset: u64,
    pub(super) l1_entries: u64,
    pub(super) version: u32,
}

impl Header {
    /// Bytes of a cluster: 512 to 2 MiB.
    pub(super) fn cluster_bytes(&self) -> u64 {
        1u64.checked_shl(self.cluster_bits).unwrap_or(1)
    }

    pub(super) fn from_raw(raw: &RawHeader<'_>) -> Result<Self, Qcow2Error> {
        if raw.field::<4>(0) != MAGIC {
            return Err(Qcow2Error::NoMagic(raw.field(0)));
        }
        let version = raw.version();
        if version != 2 && version != 3 {
            return Err(Qcow2Error::Version(version));
        }
        let features = raw.incompatible();
        if features & FEATURE_EXTERNAL_DATA != 0 {
            return Err(Qcow2Error::Unsupported("an external data file"));
        }
        if features & FEATURE_EXTENDED_L2 != 0 {
            return Err(Qcow2Error::Unsupported("extended second-level entries"));
        }
        if features & FEATURE_COMPRESSION != 0 && raw.field::<1>(104) != [0] {
            return Err(Qcow2Error::Unsupported("compression other than zlib"));
        }
        if features & !(FEATURES_HARMLESS | FEATURE_COMPRESSION) != 0 {
            return Err(Qcow2Error::Features(features));
        }
        if raw.u32(32) != 0 {
            return Err(Qcow2Error::Unsupported("encryption"));
        }
        if raw.u64(8) != 0 {
            return Err(Qcow2Error::Unsupported("a backing file"));
        }
        let cluster_bits = raw.u32(20);
        if !(9..=21).contains(&cluster_bits) {
            return Err(Qcow2Error::ClusterBits(cluster_bits));
        }
        let size_bytes = raw.u64(24);
        if i64::try_from(size_bytes).is_err() {
            return Err(Qcow2Error::Size(size_bytes));
        }
        let (l1_offset, l1_entries) = (raw.u64(40), u64::from(raw.u32(36)));
        Ok(Self { size_bytes, cluster_bits, l1_offset, l1_entries, version })
    }
}
