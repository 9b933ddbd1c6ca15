use super::{BOOT_BYTES, Kind, RawBoot, Root};
use crate::error::Error;

/// A FAT16 volume of 8 MiB: 512-byte sectors, one a cluster, 1 reserved, 2 tables of 64, 512 root entries.
fn fat16() -> [u8; BOOT_BYTES] {
    let mut b = [0; BOOT_BYTES];
    b[11..13].copy_from_slice(&512u16.to_le_bytes()); // BPB_BytsPerSec
    b[13] = 1; // BPB_SecPerClus
    b[14..16].copy_from_slice(&1u16.to_le_bytes()); // BPB_RsvdSecCnt
    b[16] = 2; // BPB_NumFATs
    b[17..19].copy_from_slice(&512u16.to_le_bytes()); // BPB_RootEntCnt
    b[19..21].copy_from_slice(&16384u16.to_le_bytes()); // BPB_TotSec16
    b[21] = 0xf8; // BPB_Media
    b[22..24].copy_from_slice(&64u16.to_le_bytes()); // BPB_FATSz16
    b
}

/// A FAT32 volume of 40 MiB.
fn fat32() -> [u8; BOOT_BYTES] {
    let mut b = fat16();
    b[17..24].copy_from_slice(&[0, 0, 0, 0, 0xf8, 0, 0]);
    b[14] = 32;
    b[32..36].copy_from_slice(&81920u32.to_le_bytes()); // BPB_TotSec32
    b[36..40].copy_from_slice(&630u32.to_le_bytes()); // BPB_FATSz32
    b[44..48].copy_from_slice(&2u32.to_le_bytes()); // BPB_RootClus
    b[48] = 1; // BPB_FSInfo
    b[66] = 0x29; // BS_BootSig
    b
}

fn put(mut b: [u8; BOOT_BYTES], at: usize, bytes: &[u8]) -> [u8; BOOT_BYTES] {
    b[at..at + bytes.len()].copy_from_slice(bytes);
    b
}

const LARGE: u64 = 1 << 40;

#[test]
fn fat16_layout_follows_from_the_sizes() {
    let l = RawBoot(fat16()).validate(16384 * 512).unwrap();
    assert_eq!(l.kind, Kind::Fat16);
    assert_eq!(l.tables_at, [512, 65 * 512]);
    assert_eq!(l.root, Root::Fixed { at: 129 * 512, slots: 512 });
    assert_eq!(l.data_at, 161 * 512);
    assert_eq!(l.clusters, 16384 - 161);
    assert!(!l.is_cluster(1) && l.is_cluster(2));
    assert!(l.is_cluster(l.clusters + 1) && !l.is_cluster(l.clusters + 2));
    assert_eq!(l.cluster_at(3), 162 * 512);
    assert_eq!((l.clusters_for(0), l.clusters_for(1), l.clusters_for(513)), (0, 1, 2));
    assert_eq!(l.state, None);
}

#[test]
fn fat32_has_its_root_in_a_chain_and_honours_the_active_table() {
    let l = RawBoot(fat32()).validate(LARGE).unwrap();
    assert_eq!(l.kind, Kind::Fat32);
    assert_eq!(l.root, Root::Chain { start: 2 });
    assert_eq!(l.fsinfo_at, Some(512));
    assert_eq!(l.state.map(|s| s.at), Some(65));
    let single = RawBoot(put(fat32(), 40, &[0x81])).validate(LARGE).unwrap();
    assert_eq!(single.tables_at, [(32 + 630) * 512]);
}

#[test]
fn the_number_of_clusters_decides_between_12_and_16_bits() {
    // 161 sectors of tables and root, then 4084 or 4085 clusters.
    let small = put(fat16(), 19, &(161u16 + 4084).to_le_bytes());
    assert_eq!(RawBoot(small).validate(LARGE).unwrap().kind, Kind::Fat12);
    let large = put(fat16(), 19, &(161u16 + 4085).to_le_bytes());
    assert_eq!(RawBoot(large).validate(LARGE).unwrap().kind, Kind::Fat16);
}

#[test]
fn a_short_table_hides_the_clusters_behind_it() {
    let l = RawBoot(put(fat16(), 22, &[60])).validate(LARGE).unwrap();
    assert_eq!(l.clusters, 60 * 256 - 2);
}

#[test]
fn every_bad_field_is_named() {
    let cases: [([u8; BOOT_BYTES], Error); 12] = [
        // Error: a sector size that is no power of two from 512.
        (put(fat16(), 11, &[0, 3]), Error::SectorSize { bytes: 768 }),
        // Error: a cluster of 3 sectors.
        (put(fat16(), 13, &[3]), Error::ClusterSize { sectors: 3 }),
        // Error: no reserved sector.
        (put(fat16(), 14, &[0]), Error::NoReserved),
        // Error: three tables.
        (put(fat16(), 16, &[3]), Error::FatCount { count: 3 }),
        // Error: an unknown media byte.
        (put(fat16(), 21, &[0xf1]), Error::Media { media: 0xf1 }),
        // Error: no table.
        (put(fat16(), 22, &[0]), Error::NoTable),
        // Error: no root directory on FAT16.
        (put(fat16(), 17, &[0, 0]), Error::NoRoot),
        // Error: the tables pass the end.
        (put(fat16(), 19, &[100, 0]), Error::TooFewSectors { sectors: 100, tables: 161 }),
        // Error: more clusters than 16 bits can number.
        (
            put(put(fat16(), 19, &[0, 0]), 32, &100_000u32.to_le_bytes()),
            Error::TooManyClusters { clusters: 100_000 - 161 },
        ),
        // Error: a version of FAT32 that is not known.
        (put(fat32(), 42, &[1, 0]), Error::Version { version: 1 }),
        // Error: the root directory begins at no cluster.
        (put(fat32(), 44, &[1]), Error::RootCluster { cluster: 1 }),
        // Error: the device ends early (each case but this has a large device).
        (
            put(put(fat32(), 44, &[2]), 32, &u32::MAX.to_le_bytes()),
            Error::TooManyClusters { clusters: 0xffff_ffff - 32 - 1260 },
        ),
    ];
    for (bytes, error) in cases {
        assert_eq!(RawBoot(bytes).validate(LARGE), Err(error));
    }
    let short = RawBoot(fat16()).validate(1 << 20);
    assert_eq!(short, Err(Error::ShortDevice { need_bytes: 8 << 20, have_bytes: 1 << 20 }));
}
