//! The feature bits of the superblock, by the names that mke2fs(8) uses.

use bitflags::bitflags;

bitflags! {
    /// `s_feature_compat`: unknown bits do no harm.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Compat: u32 {
        const HAS_JOURNAL = 0x4;
        const EXT_ATTR = 0x8;
        const DIR_INDEX = 0x20;
        const SPARSE_SUPER2 = 0x200;
        const FAST_COMMIT = 0x400;
        const ORPHAN_FILE = 0x1000;
        const _ = !0;
    }
}

bitflags! {
    /// `s_feature_incompat`: an unknown bit forbids the mount.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Incompat: u32 {
        const FILETYPE = 0x2;
        const RECOVER = 0x4;
        const META_BG = 0x10;
        const EXTENTS = 0x40;
        const BIT64 = 0x80;
        const MMP = 0x100;
        const FLEX_BG = 0x200;
        const EA_INODE = 0x400;
        const CSUM_SEED = 0x2000;
        const LARGEDIR = 0x4000;
        const INLINE_DATA = 0x8000;
        const ENCRYPT = 0x1_0000;
        const CASEFOLD = 0x2_0000;
        const _ = !0;
    }
}

bitflags! {
    /// `s_feature_ro_compat`: an unknown bit forbids writing.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct RoCompat: u32 {
        const SPARSE_SUPER = 0x1;
        const LARGE_FILE = 0x2;
        const HUGE_FILE = 0x8;
        const GDT_CSUM = 0x10;
        const DIR_NLINK = 0x20;
        const EXTRA_ISIZE = 0x40;
        const BIGALLOC = 0x200;
        const METADATA_CSUM = 0x400;
        const ORPHAN_PRESENT = 0x1_0000;
        const _ = !0;
    }
}

/// The incompatible features that can be read.
pub(crate) const INCOMPAT_READ: Incompat = Incompat::FILETYPE
    .union(Incompat::RECOVER)
    .union(Incompat::META_BG)
    .union(Incompat::EXTENTS)
    .union(Incompat::BIT64)
    .union(Incompat::MMP)
    .union(Incompat::FLEX_BG)
    .union(Incompat::EA_INODE)
    .union(Incompat::CSUM_SEED)
    .union(Incompat::LARGEDIR)
    .union(Incompat::INLINE_DATA)
    .union(Incompat::ENCRYPT)
    .union(Incompat::CASEFOLD);

/// The incompatible features that can be written: the others change what a write would have to do.
pub(crate) const INCOMPAT_WRITE: Incompat = Incompat::FILETYPE
    .union(Incompat::RECOVER)
    .union(Incompat::META_BG)
    .union(Incompat::EXTENTS)
    .union(Incompat::BIT64)
    .union(Incompat::FLEX_BG)
    .union(Incompat::CSUM_SEED)
    .union(Incompat::LARGEDIR);

/// The read-only compatible features that can be written.
pub(crate) const RO_COMPAT_WRITE: RoCompat = RoCompat::SPARSE_SUPER
    .union(RoCompat::LARGE_FILE)
    .union(RoCompat::HUGE_FILE)
    .union(RoCompat::GDT_CSUM)
    .union(RoCompat::DIR_NLINK)
    .union(RoCompat::EXTRA_ISIZE)
    .union(RoCompat::METADATA_CSUM)
    .union(RoCompat::ORPHAN_PRESENT);
