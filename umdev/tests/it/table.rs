//! Partition tables made in the test: what is read is what was written, and what is wrong is named.

use crate::emit::{self, GptPart, Part};
use abi::Errno;
use abi::block::BlockDevice;
use proptest::prelude::*;
use umdev::block::{Fault, Faulty, Ramdisk};
use umdev::table::{GptError, Kind, Label, LeftOut, MbrError, Table, TableError};

fn mbr_view(table: &Table) -> Vec<(u32, Part)> {
    let one = |e: &umdev::table::Entry| {
        let Kind::Mbr { type_code, .. } = e.kind else { panic!("not of an MBR") };
        (e.number, (e.lba_first as u32, e.sectors as u32, type_code))
    };
    table.entries.iter().map(one).collect()
}

fn error(disk: &dyn BlockDevice) -> TableError {
    Table::read_valid(disk).unwrap_err()
}

/// Lays parts of the given lengths one after another, with a gap before each.
fn laid(lengths: &[(u32, u32)], mut at: u32) -> Vec<Part> {
    let mut parts = Vec::new();
    for (gap, len) in lengths {
        at += gap + 1;
        parts.push((at, *len, 0x83));
        at += len;
    }
    parts
}

proptest! {
    #[test]
    fn an_mbr_reads_as_it_was_written(
        primaries in proptest::collection::vec((0u32..50, 1u32..100), 0..4),
        logicals in proptest::collection::vec((0u32..50, 1u32..100), 0..12),
        block_size in prop_oneof![Just(512u32), Just(1024), Just(4096)],
    ) {
        let disk = emit::disk(4096, block_size);
        let primaries = laid(&primaries, 1);
        let after = primaries.last().map_or(2, |(start, len, _)| start + len);
        let logicals = laid(&logicals, after + 1);
        emit::mbr(&*disk, &primaries, &logicals);
        let table = Table::read_valid(&*disk).unwrap();
        let mut expected: Vec<_> = (1..).zip(primaries).collect();
        if let (Some(first), Some(last)) = (logicals.first(), logicals.last()) {
            expected.push((4, (first.0 - 1, last.0 + last.1 - first.0 + 1, 5)));
        }
        expected.extend((5..).zip(logicals));
        prop_assert_eq!(mbr_view(&table), expected);
        prop_assert_eq!(&table.label, &Label::Mbr { disk_id: 0xd403_417d });
        prop_assert!(table.left_out.is_empty());
    }

    #[test]
    fn a_gpt_reads_as_it_was_written(
        lengths in proptest::collection::vec((0u32..50, 1u32..100), 0..20),
        block_size in prop_oneof![Just(512u32), Just(4096)],
        spoil_first: bool,
    ) {
        let disk = emit::disk(8192, block_size);
        let parts: Vec<GptPart> = (1u32..)
            .zip(laid(&lengths, 40))
            .map(|(n, (start, len, _))| (n * 3, start.into(), (start + len - 1).into(), "name"))
            .collect();
        emit::gpt(&*disk, &parts, &|_| {});
        if spoil_first {
            disk.write_at(&[0], u64::from(block_size)).unwrap();
        }
        let table = Table::read_valid(&*disk).unwrap();
        let Label::Gpt { from_backup, .. } = table.label else { panic!("not a GPT") };
        prop_assert_eq!(from_backup, spoil_first);
        let read: Vec<_> = table.entries.iter().map(|e| {
            let Kind::Gpt { name, .. } = &e.kind else { panic!("not of a GPT") };
            (e.number, e.lba_first, e.lba_first + e.sectors - 1, name.as_str())
        }).collect();
        prop_assert_eq!(read, parts);
    }

    #[test]
    fn no_bytes_make_the_reader_fail(
        sectors in proptest::collection::vec(
            (0u64..64, proptest::collection::vec(any::<u8>(), 512)), 1..6),
        extended in proptest::collection::vec(
            (0u32..70, 0u32..70, prop_oneof![Just(5u8), Just(0x83), any::<u8>()]), 8),
    ) {
        let disk = emit::disk(64, 512);
        for (lba, bytes) in &sectors {
            disk.write_at(bytes, lba * 512).unwrap();
        }
        emit::mbr_sector(&*disk, 0, &extended[..4]);
        emit::mbr_sector(&*disk, 7, &extended[4..]);
        let table = Table::read(&*disk).unwrap();
        for entry in &table.entries {
            prop_assert!(entry.sectors != 0 && entry.lba_first + entry.sectors <= 64);
            prop_assert!((1..=255).contains(&entry.number));
        }
    }
}

#[test]
fn a_disk_without_a_table_has_no_partitions() {
    let disk = Ramdisk::new(4096).unwrap();
    assert_eq!(Table::read(&disk), Ok(Table::default()));
    assert_eq!(error(&disk), TableError::Mbr(MbrError::NoSignature([0, 0])));
    assert_eq!(Table::read(&Ramdisk::new(100).unwrap()), Ok(Table::default()));
}

#[test]
fn a_boot_sector_is_not_a_table() {
    let disk = emit::disk(64, 512);
    emit::mbr(&*disk, &[(1, 1, 0x83)], &[]);
    disk.write_at(b"\x80", 446).unwrap();
    assert!(matches!(
        Table::read_valid(&*disk).unwrap().entries[0].kind,
        Kind::Mbr { bootable: true, .. }
    ));
    // Error: a byte that is neither 0 nor 80 where the second entry would say whether it boots.
    disk.write_at(b"G", 462).unwrap();
    let expected = MbrError::BootIndicator { slot: 2, value: b'G' };
    assert_eq!(error(&*disk), TableError::Mbr(expected));
    assert_eq!(Table::read(&*disk), Ok(Table::default()));
}

#[test]
fn a_disk_that_fails_is_eio() {
    let disk = Faulty::new(Ramdisk::new(4096).unwrap(), [Fault::BadByte(0)]);
    assert_eq!(Table::read(&disk), Err(Errno::EIO));
    assert_eq!(error(&disk), TableError::Mbr(MbrError::Read(Errno::EIO)));
}

#[test]
fn partitions_past_the_end_are_left_out_or_cut() {
    let disk = emit::disk(64, 512);
    let parts = [(60, 10, 0x83), (64, 1, 0x83), (u32::MAX, u32::MAX, 0x83)];
    emit::mbr(&*disk, &parts, &[]);
    let table = Table::read_valid(&*disk).unwrap();
    assert_eq!(mbr_view(&table), [(1, (60, 4, 0x83))]);
    let expected = [
        LeftOut::Cut { number: 1, sectors: 10, disk_sectors: 64 },
        LeftOut::BeyondEnd { number: 2, lba_first: 64, disk_sectors: 64 },
        LeftOut::BeyondEnd { number: 3, lba_first: 0xffff_ffff, disk_sectors: 64 },
    ];
    assert_eq!(table.left_out, expected);
}

#[test]
fn a_chain_that_loops_keeps_what_was_found() {
    let disk = emit::disk(64, 512);
    emit::mbr_sector(&*disk, 0, &[(10, 50, 0x0f)]);
    emit::mbr_sector(&*disk, 10, &[(1, 4, 0x83), (10, 10, 5)]);
    // Error: the second link leads back to itself.
    emit::mbr_sector(&*disk, 20, &[(1, 4, 0x82), (10, 10, 5)]);
    let table = Table::read_valid(&*disk).unwrap();
    assert_eq!(mbr_view(&table), [(1, (10, 50, 0x0f)), (5, (11, 4, 0x83)), (6, (21, 4, 0x82))]);
    assert_eq!(table.left_out, [LeftOut::ChainLoop { lba: 20 }]);
    // Error: an extended partition that begins at the table.
    emit::mbr_sector(&*disk, 0, &[(0, 50, 5)]);
    let table = Table::read_valid(&*disk).unwrap();
    assert_eq!(table.left_out, [LeftOut::ChainLoop { lba: 0 }]);
}

#[test]
fn a_chain_that_breaks_says_where() {
    let disk = emit::disk(64, 512);
    emit::mbr_sector(&*disk, 0, &[(10, 50, 5), (60, 4, 0x85)]);
    emit::mbr_sector(&*disk, 10, &[(1, 4, 0x83), (500, 10, 5)]);
    let table = Table::read_valid(&*disk).unwrap();
    assert_eq!(mbr_view(&table).len(), 3);
    let expected = [LeftOut::ChainUnreadable { lba: 510 }, LeftOut::ChainUnsigned { lba: 60 }];
    assert_eq!(table.left_out, expected);
}

#[test]
fn a_chain_of_empty_links_ends() {
    let disk = emit::disk(512, 512);
    emit::mbr_sector(&*disk, 0, &[(1, 500, 5)]);
    for lba in 1..300u32 {
        emit::mbr_sector(&*disk, u64::from(lba), &[(lba, 1, 5)]);
    }
    let table = Table::read_valid(&*disk).unwrap();
    assert_eq!(mbr_view(&table), [(1, (1, 500, 5))]);
    assert_eq!(table.left_out, [LeftOut::ChainTooLong { lba: 101 }]);
}

#[test]
fn logical_partitions_end_at_255() {
    let disk = emit::disk(2048, 512);
    let logicals: Vec<Part> = (0..300).map(|i| (10 + 2 * i, 1, 0x83)).collect();
    emit::mbr(&*disk, &[], &logicals);
    let table = Table::read_valid(&*disk).unwrap();
    assert_eq!(table.entries.last().unwrap().number, 255);
    assert_eq!(table.entries.len(), 1 + 251);
    assert_eq!(table.left_out, [LeftOut::TooMany { lba: 9 + 2 * 251 }]);
}

#[test]
fn garbage_in_the_third_entry_of_a_link_is_passed_over() {
    let disk = emit::disk(64, 512);
    emit::mbr_sector(&*disk, 0, &[(10, 50, 5)]);
    emit::mbr_sector(&*disk, 10, &[(1, 4, 0x83), (0, 0, 0), (2, 90, 0x83), (5, 3, 0x83)]);
    let table = Table::read_valid(&*disk).unwrap();
    assert_eq!(mbr_view(&table)[1..], [(5, (11, 4, 0x83)), (6, (15, 3, 0x83))]);
}

#[test]
fn an_extended_partition_is_a_device_of_one_kib() {
    let disk = emit::disk(64, 512);
    emit::mbr(&*disk, &[], &[(20, 10, 0x83)]);
    let table = Table::read_valid(&*disk).unwrap();
    let extended = &table.entries[0];
    assert!(extended.is_extended());
    assert_eq!((extended.device_bytes(512), extended.device_bytes(4096)), (1024, 4096));
    assert_eq!(table.entries[1].device_bytes(512), 5120);
}

#[test]
fn each_bad_gpt_has_its_name() {
    let put32 = |at: usize, value: u32| {
        move |h: &mut [u8]| h[at..at + 4].copy_from_slice(&value.to_le_bytes())
    };
    let put64 = |at: usize, value: u64| {
        move |h: &mut [u8]| h[at..at + 8].copy_from_slice(&value.to_le_bytes())
    };
    let cases: [(emit::Spoil<'_>, GptError); 8] = [
        (&|h: &mut [u8]| h[0] = b'e', GptError::NoSignature { lba: 1 }),
        (&put32(12, 91), GptError::HeaderSize { lba: 1, bytes: 91 }),
        (&put32(12, 513), GptError::HeaderSize { lba: 1, bytes: 513 }),
        (&put64(24, 2), GptError::WrongPlace { lba: 1, stored: 2 }),
        (&put64(48, 999), GptError::UsableArea { first: 34, last: 999, disk_last: 255 }),
        (&put32(84, 256), GptError::EntrySize(256)),
        (&put32(80, 40_000), GptError::EntryCount(40_000)),
        (&put64(72, 250), GptError::Read { lba: 250, errno: Errno::EINVAL }),
    ];
    for (spoil, expected) in cases {
        let disk = emit::disk(256, 512);
        emit::gpt(&*disk, &[(1, 40, 50, "a")], spoil);
        // The second table stands in as long as it is there.
        assert_eq!(Table::read_valid(&*disk).unwrap().entries.len(), 1);
        disk.write_at(&[0; 8], 255 * 512).unwrap();
        assert_eq!(error(&*disk), TableError::Gpt(expected));
        assert_eq!(Table::read(&*disk), Ok(Table::default()));
    }
}

#[test]
fn gpt_checksums_are_checked() {
    let disk = emit::disk(256, 512);
    emit::gpt(&*disk, &[(1, 40, 50, "a")], &|_| {});
    disk.write_at(&[0; 8], 255 * 512).unwrap();
    disk.write_at(b"x", 512 + 60).unwrap();
    assert!(matches!(error(&*disk), TableError::Gpt(GptError::HeaderChecksum { lba: 1, .. })));
    emit::gpt(&*disk, &[(1, 40, 50, "a")], &|_| {});
    disk.write_at(&[0; 8], 255 * 512).unwrap();
    disk.write_at(b"x", 1024 + 60).unwrap();
    assert!(matches!(error(&*disk), TableError::Gpt(GptError::EntriesChecksum { .. })));
}

#[test]
fn gpt_entries_with_bad_bounds_are_left_out() {
    let disk = emit::disk(256, 512);
    let parts = [(1, 40, 39, ""), (2, 40, 256, ""), (4, 0, u64::MAX, ""), (5, 40, 40, "one")];
    emit::gpt(&*disk, &parts, &|_| {});
    let table = Table::read_valid(&*disk).unwrap();
    assert_eq!(table.entries.iter().map(|e| (e.number, e.sectors)).collect::<Vec<_>>(), [(5, 1)]);
    let expected = parts[..3].iter().map(|(number, lba_first, lba_last, _)| LeftOut::BadBounds {
        number: *number,
        lba_first: *lba_first,
        lba_last: *lba_last,
    });
    assert_eq!(table.left_out, expected.collect::<Vec<_>>());
}

#[test]
fn a_gpt_needs_its_protective_entry() {
    let disk = emit::disk(256, 512);
    emit::gpt(&*disk, &[(1, 40, 50, "a")], &|_| {});
    // An entry of type EE that does not start at sector 1 announces nothing, and hides the rest.
    emit::mbr_sector(&*disk, 0, &[(2, 100, 0xee), (40, 10, 0x83)]);
    assert_eq!(error(&*disk), TableError::Mbr(MbrError::Protective { slot: 1 }));
    // Without such an entry the MBR counts.
    emit::mbr_sector(&*disk, 0, &[(40, 10, 0x83)]);
    assert!(matches!(Table::read_valid(&*disk).unwrap().label, Label::Mbr { .. }));
    // Beside others it is a hybrid, and the GPT counts.
    emit::mbr_sector(&*disk, 0, &[(40, 10, 0x83), (1, 30, 0xee)]);
    assert!(matches!(Table::read_valid(&*disk).unwrap().label, Label::Gpt { .. }));
}

#[test]
fn every_refusal_has_its_number() {
    let lost = TableError::Mbr(MbrError::Read(Errno::EIO));
    assert_eq!(lost.to_errno(), Errno::EIO);
    assert_eq!(TableError::Gpt(GptError::EntrySize(1)).to_errno(), Errno::EINVAL);
}
