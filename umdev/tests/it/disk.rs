//! Ioctls of a disk: layouts, errors and their order, as tried on a loop device of Linux 6.18.

use crate::emit;
use crate::memory::{BAD, BASE, Page, ask, by_value, with_bytes};
use abi::block::BlockDevice;
use abi::dev::{Device, DeviceKind, SubDevice};
use abi::{Errno, Result};
use std::sync::Arc;
use umdev::block::{Fault, Faulty, Ramdisk, ReadOnly};
use umdev::disk::{Disk, request::*};

const MIB: u64 = 1 << 20;

/// A disk of 64 MiB: partition 1 of 1 MiB at 1 MiB, extended 4 at 8 MiB with logical 5.
fn partitioned() -> (Arc<Ramdisk>, Disk) {
    let ram = emit::disk(64 * MIB / 512, 512);
    emit::mbr(&*ram, &[(2048, 2048, 0x83)], &[(16385, 2048, 0x83)]);
    (ram.clone(), Disk::new(ram, true).unwrap())
}

fn plain() -> Disk {
    Disk::new(emit::disk(64 * MIB / 512, 512), true).unwrap()
}

fn sub(number: u32, start_bytes: u64, size_bytes: u64) -> SubDevice {
    SubDevice { number, size_bytes, start_bytes }
}

#[test]
fn the_whole_and_its_partitions_see_the_same_bytes() {
    let (ram, disk) = partitioned();
    let expected = [
        sub(0, 0, 64 * MIB),
        sub(1, MIB, MIB),
        sub(4, 16384 * 512, 1024),
        sub(5, 16385 * 512, MIB),
    ];
    assert_eq!(disk.subdevices(), expected);
    assert_eq!(disk.kind(), DeviceKind::Block);
    disk.block(1).unwrap().write_at(b"one", 10).unwrap();
    let mut buf = [0u8; 3];
    disk.block(0).unwrap().read_at(&mut buf, MIB + 10).unwrap();
    assert_eq!(&buf, b"one");
    ram.read_at(&mut buf, MIB + 10).unwrap();
    assert_eq!(&buf, b"one");
    assert_eq!(disk.block(2).err(), Some(Errno::ENXIO));
    assert_eq!(disk.read(0, &mut buf, 0), Err(Errno::EINVAL));
    assert_eq!(disk.flush(), Ok(()));
}

#[test]
fn the_whole_ramdisk_lends_its_descriptor_and_a_partition_does_not() {
    let (_, disk) = partitioned();
    assert!(disk.block(0).unwrap().host_descriptor().is_some());
    assert!(disk.block(1).unwrap().host_descriptor().is_none());
}

#[test]
fn questions_are_answered_in_the_kernel_s_widths() {
    let (_, disk) = partitioned();
    let ints: [(u32, u32, u32); 14] = [
        (0, BLKSSZGET, 512),
        (0, BLKPBSZGET, 512),
        (0, BLKBSZGET, 4096),
        (4, BLKBSZGET, 1024),
        (0, BLKIOMIN, 512),
        (0, BLKIOOPT, 0),
        (1, BLKALIGNOFF, 0),
        (0, BLKROGET, 0),
        (0, BLKDISCARDZEROES, 0),
        (0, BLKGETZONESZ, 0),
        (0, BLKGETNRZONES, 0),
        (0, FIGETBSZ, 4096),
        (1, FIGETBSZ, 4096),
        (5, BLKSSZGET, 512),
    ];
    for (number, request, value) in ints {
        let page = ask(&disk, number, request).unwrap();
        assert_eq!((page.u32(), page.0[4]), (value, 0xee), "request {request:#x}");
        assert_eq!(by_value(&disk, number, request, BAD), Err(Errno::EFAULT));
        assert_eq!(by_value(&disk, 9, request, BASE), Err(Errno::ENXIO));
    }
    let longs: [(u32, u32, u64); 6] = [
        (0, BLKGETSIZE, 131_072),
        (1, BLKGETSIZE, 2048),
        (0, BLKGETSIZE64, 64 * MIB),
        (5, BLKGETSIZE64, MIB),
        (0, BLKRAGET, 256),
        (1, BLKFRAGET, 256),
    ];
    for (number, request, value) in longs {
        let page = ask(&disk, number, request).unwrap();
        assert_eq!((page.u64(), page.0[8]), (value, 0xee), "request {request:#x}");
        assert_eq!(by_value(&disk, number, request, BAD), Err(Errno::EFAULT));
    }
    for (request, value) in [(BLKSECTGET, 2560), (BLKROTATIONAL, 0)] {
        let page = ask(&disk, 0, request).unwrap();
        assert_eq!((page.u16(), page.0[2]), (value, 0xee), "request {request:#x}");
    }
    assert_eq!(by_value(&disk, 0, BLKRAGET, 0), Err(Errno::EINVAL));
    let other = plain();
    let sequence = |d: &Disk| ask(d, 0, BLKGETDISKSEQ).unwrap().u64();
    assert_ne!(sequence(&disk), sequence(&other));
}

#[test]
fn unknown_requests_are_enotty() {
    let disk = plain();
    // BLKREPORTZONE, TCGETS, SG_IO, CDROM_GET_CAPABILITY, BLKTRACESETUP.
    for request in [0xc010_1282, 0x5401, 0x2285, 0x5331, 0xc048_1273, 0, u32::MAX] {
        assert_eq!(by_value(&disk, 0, request, BASE), Err(Errno::ENOTTY));
        assert_eq!(by_value(&disk, 3, request, BASE), Err(Errno::ENXIO));
    }
}

#[test]
fn getgeo_counts_cylinders_of_255_heads_and_63_sectors() {
    let (_, disk) = partitioned();
    let page = ask(&disk, 1, HDIO_GETGEO).unwrap();
    assert_eq!(page.0[..16], [255, 63, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0]);
    assert_eq!(ask(&disk, 0, HDIO_GETGEO).unwrap().0[2], 8);
    assert_eq!(by_value(&disk, 0, HDIO_GETGEO, 0), Err(Errno::EINVAL));
    assert_eq!(by_value(&disk, 0, HDIO_GETGEO, BAD), Err(Errno::EFAULT));
    let huge = Disk::new(Arc::new(Ramdisk::new(1 << 50).unwrap()), false).unwrap();
    assert_eq!(ask(&huge, 0, HDIO_GETGEO).unwrap().0[2..4], [0xff, 0xff]);
}

#[test]
fn the_soft_block_size_is_a_power_of_two_from_the_sector_to_64_kib() {
    let disk = plain();
    let set = |n: i32| with_bytes(&disk, 0, BLKBSZSET, &n.to_ne_bytes());
    for bad in [0, 256, 511, 513, 131_072, -4096] {
        assert_eq!(set(bad), Err(Errno::EINVAL), "{bad}");
    }
    for good in [512, 1024, 4096, 8192, 65536] {
        assert_eq!(set(good), Ok(0));
        assert_eq!(ask(&disk, 0, BLKBSZGET).unwrap().u32(), good as u32);
    }
    assert_eq!(by_value(&disk, 0, BLKBSZSET, 0), Err(Errno::EINVAL));
    assert_eq!(by_value(&disk, 0, BLKBSZSET, BAD), Err(Errno::EFAULT));
    let large = Disk::new(emit::disk(64, 4096), true).unwrap();
    assert_eq!(with_bytes(&large, 0, BLKBSZSET, &512i32.to_ne_bytes()), Err(Errno::EINVAL));
    assert_eq!(ask(&large, 0, BLKSSZGET).unwrap().u32(), 4096);
}

#[test]
fn readahead_is_kept_in_whole_pages() {
    let disk = plain();
    assert_eq!(by_value(&disk, 0, BLKRASET, 100), Ok(0));
    assert_eq!(ask(&disk, 0, BLKRAGET).unwrap().u64(), 96);
    assert_eq!(by_value(&disk, 0, BLKFRASET, u64::MAX), Ok(0));
    assert!(ask(&disk, 0, BLKFRAGET).is_ok());
}

#[test]
fn a_read_only_whole_makes_its_partitions_so() {
    let (_, disk) = partitioned();
    let set = |number, n: i32| with_bytes(&disk, number, BLKROSET, &n.to_ne_bytes());
    let get = |number| ask(&disk, number, BLKROGET).unwrap().u32();
    assert_eq!(by_value(&disk, 0, BLKROSET, BAD), Err(Errno::EFAULT));
    set(1, 1).unwrap();
    assert_eq!((get(0), get(1), get(5)), (0, 1, 0));
    assert_eq!(disk.block(1).unwrap().write_at(&[1], 0), Err(Errno::EROFS));
    assert_eq!(disk.open(1, true), Err(Errno::EROFS));
    assert_eq!(disk.open(1, false), Ok(()));
    set(0, 1).unwrap();
    set(1, 0).unwrap();
    assert_eq!((get(0), get(1), get(5)), (1, 1, 1));
    set(0, 0).unwrap();
    assert_eq!((get(0), get(1), get(5)), (0, 0, 0));
    // A device that is read-only below stays so.
    let fixed = Disk::new(Arc::new(ReadOnly::new(Ramdisk::new(4096).unwrap())), true).unwrap();
    assert_eq!(with_bytes(&fixed, 0, BLKROSET, &0i32.to_ne_bytes()), Ok(0));
    assert_eq!(ask(&fixed, 0, BLKROGET).unwrap().u32(), 1);
}

fn range(start: u64, len: u64) -> Vec<u8> {
    [start.to_ne_bytes(), len.to_ne_bytes()].concat()
}

#[test]
fn ranges_are_checked_as_the_kernel_does() {
    let disk = plain();
    let cases: [(u64, u64, Result<u64>); 11] = [
        (0, 0, Err(Errno::EINVAL)),
        (0, 512, Ok(0)),
        (1, 512, Err(Errno::EINVAL)),
        (0, 1, Err(Errno::EINVAL)),
        (512, 512, Ok(0)),
        (64 * MIB, 512, Err(Errno::EINVAL)),
        (64 * MIB - 512, 512, Ok(0)),
        (64 * MIB - 512, 1024, Err(Errno::EINVAL)),
        (64 * MIB, 0, Err(Errno::EINVAL)),
        (u64::MAX - 511, 1024, Err(Errno::EINVAL)),
        (u64::MAX - 511, 512, Err(Errno::EINVAL)),
    ];
    for (start, len, answer) in cases {
        for request in [BLKDISCARD, BLKZEROOUT] {
            assert_eq!(with_bytes(&disk, 0, request, &range(start, len)), answer, "{start} {len}");
        }
        let secure = with_bytes(&disk, 0, BLKSECDISCARD, &range(start, len));
        assert_eq!(secure, Err(Errno::EOPNOTSUPP));
    }
    assert_eq!(by_value(&disk, 0, BLKDISCARD, BAD), Err(Errno::EFAULT));
    assert_eq!(by_value(&disk, 0, BLKZEROOUT, BAD), Err(Errno::EFAULT));
    assert_eq!(by_value(&disk, 0, BLKSECDISCARD, BAD), Err(Errno::EOPNOTSUPP));
    // Error: on a read-only disk a discard is refused before its range is looked at, a zero-out
    // after.
    with_bytes(&disk, 0, BLKROSET, &1i32.to_ne_bytes()).unwrap();
    assert_eq!(with_bytes(&disk, 0, BLKDISCARD, &range(1, 512)), Err(Errno::EPERM));
    assert_eq!(with_bytes(&disk, 0, BLKZEROOUT, &range(1, 512)), Err(Errno::EINVAL));
    assert_eq!(with_bytes(&disk, 0, BLKZEROOUT, &range(0, 512)), Err(Errno::EPERM));
    assert!(needs_write_access(BLKDISCARD) && !needs_write_access(BLKROGET));
    // Error: half a sector of a disk with large ones.
    let large = Disk::new(emit::disk(64, 4096), true).unwrap();
    assert_eq!(with_bytes(&large, 0, BLKZEROOUT, &range(0, 512)), Err(Errno::EINVAL));
    assert_eq!(with_bytes(&large, 0, BLKDISCARD, &range(0, 512)), Err(Errno::EINVAL));
}

#[test]
fn discard_and_zero_out_stay_in_their_partition() {
    let (ram, disk) = partitioned();
    ram.write_at(&[7; 4 * MIB as usize], 0).unwrap();
    let before = ram.used_bytes().unwrap();
    with_bytes(&disk, 1, BLKDISCARD, &range(0, MIB)).unwrap();
    assert_eq!(ram.used_bytes().unwrap(), before - MIB);
    let mut buf = vec![1u8; 4 * MIB as usize];
    ram.read_at(&mut buf, 0).unwrap();
    let zero = |b: &u8| *b == 0;
    let (first, last) = (MIB as usize, 2 * MIB as usize);
    assert!(buf[first..last].iter().all(zero));
    assert!(!buf[..first].iter().chain(&buf[last..]).any(zero));
    assert_eq!(with_bytes(&disk, 1, BLKZEROOUT, &range(0, MIB + 512)), Err(Errno::EINVAL));
    // A disk that can't discard is written over.
    struct NoDiscard(Ramdisk);
    impl BlockDevice for NoDiscard {
        fn geometry(&self) -> abi::block::Geometry {
            self.0.geometry()
        }
        fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
            self.0.read_at(buf, offset)
        }
        fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
            self.0.write_at(buf, offset)
        }
        fn flush(&self) -> Result<()> {
            self.0.flush()
        }
    }
    let inner = Ramdisk::new(MIB).unwrap();
    inner.write_at(&[7; MIB as usize], 0).unwrap();
    let disk = Disk::new(Arc::new(NoDiscard(inner)), false).unwrap();
    assert_eq!(with_bytes(&disk, 0, BLKDISCARD, &range(0, 512)), Err(Errno::EOPNOTSUPP));
    assert_eq!(with_bytes(&disk, 0, BLKZEROOUT, &range(512, MIB - 1024)), Ok(0));
    let mut buf = vec![1u8; MIB as usize];
    disk.block(0).unwrap().read_at(&mut buf, 0).unwrap();
    assert_eq!(buf.iter().filter(|b| **b == 7).count(), 1024);
}

fn blkpg(disk: &dyn Device, node: u32, op: i32, number: i32, start: i64, len: i64) -> Result<u64> {
    let mut page = Page::new();
    page.0[..4].copy_from_slice(&op.to_ne_bytes());
    page.0[16..24].copy_from_slice(&(BASE + 512).to_ne_bytes());
    page.0[512..520].copy_from_slice(&start.to_ne_bytes());
    page.0[520..528].copy_from_slice(&len.to_ne_bytes());
    page.0[528..532].copy_from_slice(&number.to_ne_bytes());
    disk.ioctl(node, BLKPG, BASE, &mut page)
}

#[test]
fn blkpg_answers_as_the_kernel_does() {
    let disk = plain();
    let mib = MIB as i64;
    let (ok, einval, ebusy, enxio) =
        (Ok(0), Err(Errno::EINVAL), Err(Errno::EBUSY), Err(Errno::ENXIO));
    // Operation (1 add, 2 delete, 3 resize), number, start, length, answer.
    let steps = [
        (1, 0, 0, 512, einval),
        (1, -1, 0, 512, einval),
        (1, 1, -512, 512, einval),
        (1, 1, 0, 0, einval),
        (1, 1, 0, 100, einval),
        (1, 1, 0, 64 * mib + 512, einval),
        (1, 1, 64 * mib, 512, einval),
        (1, 1, mib, mib, ok),
        (1, 1, 4 * mib, mib, ebusy),
        (1, 2, mib, 512, ebusy),
        (1, 3, 2 * mib - 512, 512, ebusy),
        (1, 2, 2 * mib, mib, ok),
        (1, 255, 8 * mib, mib, ok),
        (1, 256, 9 * mib, mib, einval),
        (1, 300, mib, mib, ebusy),
        (3, 1, mib, 2 * mib, ebusy),
        (3, 1, mib, mib / 2, ok),
        (3, 1, 0, mib, einval),
        (3, 9, 0, mib, enxio),
        (3, 1, mib, mib, ok),
        (2, 9, 0, 0, enxio),
        (2, 2, 0, 0, ok),
        (2, 255, 0, 0, ok),
        (0, 1, mib, mib, einval),
        (4, 1, mib, mib, einval),
        (1, 3, 0, 64 * mib, ebusy),
        (1, 3, i64::MAX - 511, 512, einval),
    ];
    for (op, number, start, len, answer) in steps {
        assert_eq!(blkpg(&disk, 0, op, number, start, len), answer, "{op} {number} {start} {len}");
    }
    assert_eq!(disk.subdevices().len(), 2);
    assert_eq!(by_value(&disk, 0, BLKPG, BAD), Err(Errno::EFAULT));
    assert_eq!(with_bytes(&disk, 0, BLKPG, &[0; 24]), Err(Errno::EFAULT));
    // Error: a partition has no partitions; it says so after it has read its argument.
    assert_eq!(blkpg(&disk, 1, 1, 5, 0, 512), einval);
    assert_eq!(with_bytes(&disk, 1, BLKPG, &[0; 24]), Err(Errno::EFAULT));
}

#[test]
fn an_open_partition_can_be_resized_but_not_deleted() {
    let (_, disk) = partitioned();
    let mib = MIB as i64;
    disk.open(1, true).unwrap();
    let held = disk.block(1).unwrap();
    assert_eq!(blkpg(&disk, 0, 2, 1, 0, 0), Err(Errno::EBUSY));
    assert_eq!(blkpg(&disk, 0, 3, 1, mib, mib / 2), Ok(0));
    assert_eq!(held.geometry().size_bytes, MIB / 2);
    assert_eq!(held.read_at(&mut [0], MIB / 2), Err(Errno::EINVAL));
    disk.release(1);
    assert_eq!(blkpg(&disk, 0, 2, 1, 0, 0), Ok(0));
    // Who still holds it reaches nothing.
    assert_eq!(held.write_at(&[1], 0), Err(Errno::EINVAL));
}

#[test]
fn the_table_is_read_again_unless_a_partition_is_open() {
    let (ram, disk) = partitioned();
    let kept = disk.block(1).unwrap();
    let gone = disk.block(5).unwrap();
    emit::mbr(&*ram, &[(2048, 1024, 0x83), (4096, 2048, 0x82)], &[]);
    disk.open(5, false).unwrap();
    assert_eq!(by_value(&disk, 0, BLKRRPART, 0), Err(Errno::EBUSY));
    assert_eq!(by_value(&disk, 1, BLKRRPART, 0), Err(Errno::EINVAL));
    disk.release(5);
    assert_eq!(by_value(&disk, 0, BLKRRPART, 0), Ok(0));
    let expected = [sub(0, 0, 64 * MIB), sub(1, MIB, MIB / 2), sub(2, 2 * MIB, MIB)];
    assert_eq!(disk.subdevices(), expected);
    // A partition that did not move is the same, with its length as in the table.
    assert_eq!(kept.geometry().size_bytes, MIB / 2);
    assert_eq!(gone.geometry().size_bytes, 0);
    let whole = Disk::new(ram, false).unwrap();
    assert_eq!(by_value(&whole, 0, BLKRRPART, 0), Err(Errno::EINVAL));
    assert_eq!(whole.subdevices().len(), 1);
}

#[test]
fn a_table_that_can_t_be_read_is_eio() {
    let ram = emit::disk(64, 512);
    emit::mbr(&*ram, &[(8, 8, 0x83)], &[]);
    let faulty = Arc::new(Faulty::new(ram, [Fault::Cut(0)]));
    let disk = Disk::new(faulty.clone(), true).unwrap();
    assert_eq!(disk.subdevices().len(), 2);
    faulty.write_at(&[0], 0).unwrap_err();
    assert_eq!(by_value(&disk, 0, BLKRRPART, 0), Err(Errno::EIO));
    assert_eq!(disk.subdevices().len(), 1);
    assert_eq!(by_value(&disk, 0, BLKFLSBUF, 0), Err(Errno::EIO));
}

#[test]
fn the_last_close_of_a_writer_reads_the_table() {
    let ram = emit::disk(64 * MIB / 512, 512);
    let disk = Disk::new(ram.clone(), true).unwrap();
    disk.open(0, true).unwrap();
    disk.open(0, false).unwrap();
    emit::mbr(&*disk.block(0).unwrap(), &[(2048, 2048, 0x83)], &[]);
    disk.release(0);
    assert_eq!(disk.subdevices().len(), 1);
    disk.release(0);
    assert_eq!(disk.subdevices().len(), 2);
    // A reader's close reads nothing.
    emit::mbr(&*ram, &[], &[]);
    disk.open(0, false).unwrap();
    disk.release(0);
    assert_eq!(disk.subdevices().len(), 2);
    // Nor does a writer's while a partition is open.
    disk.open(1, false).unwrap();
    disk.open(0, true).unwrap();
    disk.release(0);
    assert_eq!(disk.subdevices().len(), 2);
    disk.release(1);
    disk.open(0, true).unwrap();
    disk.release(0);
    assert_eq!(disk.subdevices().len(), 1);
    assert_eq!(disk.open(1, false), Err(Errno::ENXIO));
}

#[test]
fn a_disk_ends_at_a_whole_sector() {
    let disk = Disk::new(Arc::new(Ramdisk::new(5000).unwrap()), true).unwrap();
    assert_eq!(ask(&disk, 0, BLKGETSIZE64).unwrap().u64(), 4608);
    assert_eq!(ask(&disk, 0, BLKBSZGET).unwrap().u32(), 512);
    assert!(disk.block(0).unwrap().host_descriptor().is_none());
}
