//! Loop devices: states, errors and their order, as tried on Linux 6.18.

use crate::emit;
use crate::memory::{BAD, BASE, Page, ask, by_value, with_bytes};
use abi::block::BlockDevice;
use abi::dev::{Device, DeviceKind};
use abi::{Errno, Result};
use std::sync::Arc;
use umdev::block::Ramdisk;
use umdev::disk::request::{BLKGETSIZE64, BLKROGET, BLKROSET, BLKRRPART, BLKSSZGET};
use umdev::loopdev::{Backing, LoopControl, LoopDevice, LoopRequest};

const SET_FD: u32 = 0x4c00;
const CLR_FD: u32 = 0x4c01;
const SET_STATUS: u32 = 0x4c02;
const GET_STATUS: u32 = 0x4c03;
const SET_STATUS64: u32 = 0x4c04;
const GET_STATUS64: u32 = 0x4c05;
const CHANGE_FD: u32 = 0x4c06;
const SET_CAPACITY: u32 = 0x4c07;
const SET_DIRECT_IO: u32 = 0x4c08;
const SET_BLOCK_SIZE: u32 = 0x4c09;
const CONFIGURE: u32 = 0x4c0a;
const ADD: u32 = 0x4c80;
const REMOVE: u32 = 0x4c81;
const GET_FREE: u32 = 0x4c82;
const MIB: u64 = 1 << 20;

fn backing(device: Arc<dyn BlockDevice>, writable: bool) -> Backing {
    let path = "/images/disk.img".to_owned();
    Backing { device, writable, dev: 0xfe00, ino: 77, rdev: 0, path, loop_below: None }
}

fn over(below: &Arc<LoopDevice>) -> Backing {
    Backing { loop_below: Some(below.clone()), ..backing(below.block(0).unwrap(), true) }
}

/// What a program puts into `struct loop_info64`.
#[derive(Clone, Copy, Default)]
struct Asked {
    offset: u64,
    limit: u64,
    flags: u32,
    encrypt_type: u32,
    key_size: u32,
    name: &'static str,
}

fn info64(asked: Asked) -> [u8; 232] {
    let mut raw = [0u8; 232];
    raw[24..32].copy_from_slice(&asked.offset.to_ne_bytes());
    raw[32..40].copy_from_slice(&asked.limit.to_ne_bytes());
    raw[44..48].copy_from_slice(&asked.encrypt_type.to_ne_bytes());
    raw[48..52].copy_from_slice(&asked.key_size.to_ne_bytes());
    raw[52..56].copy_from_slice(&asked.flags.to_ne_bytes());
    raw[56..56 + asked.name.len()].copy_from_slice(asked.name.as_bytes());
    raw
}

fn configure(block_size: u32, asked: Asked) -> LoopRequest {
    let mut raw = [0u8; 304];
    raw[..4].copy_from_slice(&5u32.to_ne_bytes());
    raw[4..8].copy_from_slice(&block_size.to_ne_bytes());
    raw[8..240].copy_from_slice(&info64(asked));
    let request = LoopRequest::decode(CONFIGURE, BASE, &mut Page::with(&raw)).unwrap().unwrap();
    assert_eq!(request.descriptor(), 5);
    request
}

/// Offset, limit, flags.
fn status(device: &LoopDevice) -> Result<(u64, u64, u32)> {
    let page = ask(device, 0, GET_STATUS64)?;
    let long = |at: usize| u64::from_ne_bytes(page.0[at..at + 8].try_into().unwrap());
    Ok((long(24), long(32), u32::from_ne_bytes(page.0[52..56].try_into().unwrap())))
}

fn size(device: &LoopDevice) -> u64 {
    ask(device, 0, BLKGETSIZE64).unwrap().u64()
}

/// An opened loop device, and 64 MiB to bind it to.
fn opened() -> (LoopControl, Arc<LoopDevice>, Arc<Ramdisk>) {
    let control = LoopControl::new(2).unwrap();
    let device = control.device(0).unwrap();
    device.open(0, true).unwrap();
    (control, device, emit::disk(64 * MIB / 512, 512))
}

#[test]
fn an_unbound_device_is_empty_and_enxio() {
    let (_, device, ram) = opened();
    assert_eq!((device.number(), device.kind(), size(&device)), (0, DeviceKind::Block, 0));
    for request in [CLR_FD, GET_STATUS, GET_STATUS64, SET_CAPACITY, SET_DIRECT_IO] {
        assert_eq!(by_value(&*device, 0, request, BASE), Err(Errno::ENXIO), "{request:#x}");
    }
    assert_eq!(by_value(&*device, 0, SET_BLOCK_SIZE, 512), Err(Errno::ENXIO));
    assert_eq!(with_bytes(&*device, 0, SET_STATUS64, &[0; 232]), Err(Errno::ENXIO));
    let change = LoopRequest::ChangeFd(3);
    assert_eq!(device.bind(change, backing(ram, true), true), Err(Errno::ENXIO));
    // Error: addresses are looked at before the state.
    assert_eq!(by_value(&*device, 0, SET_STATUS64, BAD), Err(Errno::EFAULT));
    assert_eq!(by_value(&*device, 0, GET_STATUS64, 0), Err(Errno::EINVAL));
    assert_eq!(by_value(&*device, 0, BLKRRPART, 0), Err(Errno::EINVAL));
    assert!(device.status().is_none());
}

#[test]
fn requests_with_a_descriptor_are_decoded_once() {
    let mut page = Page::new();
    let fd = |r: LoopRequest| r.descriptor();
    assert_eq!(LoopRequest::decode(SET_FD, 7, &mut page).unwrap().map(fd), Some(7));
    assert_eq!(LoopRequest::decode(CHANGE_FD, 8, &mut page).unwrap().map(fd), Some(8));
    assert!(LoopRequest::decode(CLR_FD, 0, &mut page).unwrap().is_none());
    assert_eq!(LoopRequest::decode(CONFIGURE, BAD, &mut page).err(), Some(Errno::EFAULT));
    let (_, device, _) = opened();
    // Error: without the caller's help there is no descriptor.
    assert_eq!(by_value(&*device, 0, SET_FD, 3), Err(Errno::EBADF));
}

#[test]
fn bind_show_and_clear() {
    let (control, device, ram) = opened();
    assert_eq!(device.bind(LoopRequest::SetFd(3), backing(ram.clone(), true), true), Ok(0));
    let again = device.bind(LoopRequest::SetFd(3), backing(ram.clone(), true), true);
    assert_eq!(again, Err(Errno::EBUSY));
    assert_eq!(control.request(REMOVE, 0), Err(Errno::EBUSY));
    assert_eq!((size(&device), status(&device)), (64 * MIB, Ok((0, 0, 0))));
    let page = ask(&*device, 0, GET_STATUS64).unwrap();
    assert_eq!((page.u64(), page.0[8], page.0[231], page.0[232]), (0xfe00, 77, 0, 0xee));
    device.block(0).unwrap().write_at(b"loop", 100).unwrap();
    let mut buf = [0u8; 4];
    ram.read_at(&mut buf, 100).unwrap();
    assert_eq!(&buf, b"loop");
    assert_eq!(device.flush(), Ok(()));
    // Cleared by its only opener, it is gone for everyone at once and free after the close.
    assert_eq!(by_value(&*device, 0, CLR_FD, 0), Ok(0));
    assert_eq!(status(&device), Err(Errno::ENXIO));
    let late = device.bind(LoopRequest::SetFd(3), backing(ram.clone(), true), true);
    assert_eq!(late, Err(Errno::EBUSY));
    device.release(0);
    device.open(0, true).unwrap();
    assert_eq!(size(&device), 0);
    assert_eq!(device.bind(LoopRequest::SetFd(3), backing(ram, true), true), Ok(0));
}

#[test]
fn clearing_under_other_openers_waits_for_the_last_close() {
    let (control, device, ram) = opened();
    device.bind(LoopRequest::SetFd(3), backing(ram, true), true).unwrap();
    device.open(0, false).unwrap();
    assert_eq!(by_value(&*device, 0, CLR_FD, 0), Ok(0));
    assert_eq!(status(&device), Ok((0, 0, 4)));
    assert!(device.status().unwrap().autoclear);
    assert_eq!(control.request(GET_FREE, 0), Ok(1));
    device.release(0);
    assert!(device.status().is_some());
    device.release(0);
    assert!(device.status().is_none());
    assert_eq!(control.request(GET_FREE, 0), Ok(0));
}

#[test]
fn offset_and_limit_are_honoured() {
    let (_, device, ram) = opened();
    device.bind(LoopRequest::SetFd(3), backing(ram.clone(), true), true).unwrap();
    let set = |offset, limit| {
        let asked = Asked { offset, limit, ..Asked::default() };
        with_bytes(&*device, 0, SET_STATUS64, &info64(asked))
    };
    let cases = [
        (512, 0, 64 * MIB - 512),
        (512, MIB, MIB),
        (100, 0, 64 * MIB - 512),
        (65 * MIB, 0, 0),
        (0, 100, 0),
        (0, 1000, 512),
        (0, 65 * MIB, 64 * MIB),
    ];
    for (offset, limit, shown) in cases {
        assert_eq!(set(offset, limit), Ok(0));
        assert_eq!((size(&device), status(&device)), (shown, Ok((offset, limit, 0))));
    }
    // Error: what passes 2^63 changes nothing.
    for (offset, limit) in [(1 << 63, 0), (u64::MAX, 0), (0, u64::MAX)] {
        assert_eq!(set(offset, limit), Err(Errno::EOVERFLOW));
        assert_eq!(status(&device), Ok((0, 65 * MIB, 0)));
    }
    set(100, 1024).unwrap();
    let block = device.block(0).unwrap();
    block.write_at(&[9; 1024], 0).unwrap();
    assert_eq!(block.write_at(&[9; 1], 1024), Err(Errno::EINVAL));
    let mut buf = [0u8; 1224];
    ram.read_at(&mut buf, 0).unwrap();
    assert!(buf[100..1124].iter().all(|b| *b == 9));
    assert!(buf[..100].iter().chain(&buf[1124..]).all(|b| *b == 0));
}

#[test]
fn status_sets_autoclear_and_partscan_and_clears_only_autoclear() {
    let (_, device, ram) = opened();
    device.bind(LoopRequest::SetFd(3), backing(ram, true), true).unwrap();
    let set = |asked: Asked| with_bytes(&*device, 0, SET_STATUS64, &info64(asked));
    for (asked, kept) in [(12, 12), (0, 8), (1, 8), (16, 8), (0x100, 8), (4, 12)] {
        assert_eq!(set(Asked { flags: asked, ..Asked::default() }), Ok(0));
        assert_eq!(status(&device), Ok((0, 0, kept)));
    }
    assert_eq!(set(Asked { encrypt_type: 1, ..Asked::default() }), Err(Errno::EINVAL));
    assert_eq!(set(Asked { key_size: 33, ..Asked::default() }), Err(Errno::EINVAL));
    // A name always ends in NUL.
    let long = "x123456789012345678901234567890123456789012345678901234567890123";
    assert_eq!(set(Asked { name: long, ..Asked::default() }), Ok(0));
    let page = ask(&*device, 0, GET_STATUS64).unwrap();
    assert_eq!((&page.0[56..119], page.0[119]), (&long.as_bytes()[..63], 0));
    assert_eq!(by_value(&*device, 0, SET_DIRECT_IO, 1), Ok(0));
    assert!(device.status().unwrap().direct_io);
}

#[test]
fn the_old_status_has_the_old_layout() {
    let (_, device, ram) = opened();
    device.bind(LoopRequest::SetFd(3), backing(ram, true), true).unwrap();
    let mut raw = [0u8; 168];
    raw[32..36].copy_from_slice(&1024i32.to_ne_bytes());
    raw[44..48].copy_from_slice(&4u32.to_ne_bytes());
    raw[48..52].copy_from_slice(b"name");
    assert_eq!(with_bytes(&*device, 0, SET_STATUS, &raw), Ok(0));
    assert_eq!(status(&device), Ok((1024, 0, 4)));
    let page = ask(&*device, 0, GET_STATUS).unwrap();
    assert_eq!((page.0[9], page.0[16], page.0[33], page.0[44]), (0xfe, 77, 4, 4));
    assert_eq!((&page.0[48..52], page.0[167], page.0[168]), (&b"name"[..], 0, 0xee));
    // Error: a negative offset, and one that the old structure can't say.
    raw[32..36].copy_from_slice(&(-1i32).to_ne_bytes());
    assert_eq!(with_bytes(&*device, 0, SET_STATUS, &raw), Err(Errno::EOVERFLOW));
    let asked = Asked { offset: 1 << 31, ..Asked::default() };
    with_bytes(&*device, 0, SET_STATUS64, &info64(asked)).unwrap();
    assert_eq!(ask(&*device, 0, GET_STATUS).err(), Some(Errno::EOVERFLOW));
}

#[test]
fn configure_does_it_in_one_step() {
    let (_, device, ram) = opened();
    let asked =
        Asked { offset: 512, limit: MIB, flags: 1 | 4 | 8 | 16, name: "nm", ..Asked::default() };
    let bad = [
        (0, Asked { flags: 0x100, ..asked }, Errno::EINVAL),
        (777, asked, Errno::EINVAL),
        (8192, asked, Errno::EINVAL),
        (0, Asked { encrypt_type: 1, ..asked }, Errno::EINVAL),
        (0, Asked { offset: u64::MAX, ..asked }, Errno::EOVERFLOW),
    ];
    for (block_size, asked, errno) in bad {
        let answer = device.bind(configure(block_size, asked), backing(ram.clone(), true), true);
        assert_eq!(answer, Err(errno));
        assert!(device.status().is_none());
    }
    assert_eq!(device.bind(configure(4096, asked), backing(ram, true), true), Ok(0));
    assert_eq!(status(&device), Ok((512, MIB, 29)));
    assert_eq!(ask(&*device, 0, BLKSSZGET).unwrap().u32(), 4096);
    let shown = device.status().unwrap();
    assert!(shown.read_only && shown.autoclear && shown.partscan && shown.direct_io);
    assert_eq!((shown.path.as_str(), shown.offset), ("/images/disk.img", 512));
    device.release(0);
    assert!(device.status().is_none());
    assert_eq!(ask(&*device, 0, BLKSSZGET).unwrap().u32(), 512);
}

#[test]
fn a_file_that_can_t_be_written_makes_it_read_only() {
    for (file_writable, device_writable) in [(false, true), (true, false)] {
        let (_, device, ram) = opened();
        let file = backing(ram, file_writable);
        device.bind(LoopRequest::SetFd(3), file, device_writable).unwrap();
        assert_eq!(status(&device), Ok((0, 0, 1)));
        assert_eq!(ask(&*device, 0, BLKROGET).unwrap().u32(), 1);
        assert_eq!(with_bytes(&*device, 0, BLKROSET, &0i32.to_ne_bytes()), Ok(0));
        assert_eq!(ask(&*device, 0, BLKROGET).unwrap().u32(), 1);
        assert_eq!(device.block(0).unwrap().write_at(&[1], 0), Err(Errno::EROFS));
        assert_eq!(device.block(0).unwrap().discard(0..512), Err(Errno::EROFS));
    }
}

#[test]
fn partitions_are_read_when_asked_for() {
    let (_, device, ram) = opened();
    emit::mbr(&*ram, &[(2048, 2048, 0x83)], &[]);
    device.bind(LoopRequest::SetFd(3), backing(ram, true), true).unwrap();
    assert_eq!(device.subdevices().len(), 1);
    let asked = Asked { flags: 8, ..Asked::default() };
    with_bytes(&*device, 0, SET_STATUS64, &info64(asked)).unwrap();
    assert_eq!(device.subdevices().len(), 2);
    // Loop requests to a partition are for its loop device.
    assert!(ask(&*device, 1, GET_STATUS64).is_ok());
    device.open(1, false).unwrap();
    assert_eq!(by_value(&*device, 0, BLKRRPART, 0), Err(Errno::EBUSY));
    device.release(0);
    by_value(&*device, 0, CLR_FD, 0).unwrap();
    device.release(1);
    assert_eq!(device.subdevices().len(), 1);
    assert_eq!(device.open(1, false), Err(Errno::ENXIO));
}

#[test]
fn the_file_of_a_read_only_device_can_be_exchanged() {
    let (_, device, ram) = opened();
    let change = |file: Backing| device.bind(LoopRequest::ChangeFd(4), file, true);
    device.bind(LoopRequest::SetFd(3), backing(ram.clone(), true), true).unwrap();
    assert_eq!(change(backing(ram.clone(), false)), Err(Errno::EINVAL));
    by_value(&*device, 0, CLR_FD, 0).unwrap();
    device.release(0);
    device.open(0, true).unwrap();
    device.bind(LoopRequest::SetFd(3), backing(ram, false), true).unwrap();
    let other = emit::disk(64 * MIB / 512, 512);
    other.write_at(b"other", 0).unwrap();
    let held = device.block(0).unwrap();
    assert_eq!(change(backing(other, false)), Ok(0));
    let mut buf = [0u8; 5];
    held.read_at(&mut buf, 0).unwrap();
    assert_eq!(&buf, b"other");
    // Error: another length.
    assert_eq!(change(backing(emit::disk(8, 512), false)), Err(Errno::EINVAL));
}

#[test]
fn the_sector_size_is_a_power_of_two_up_to_4096() {
    let (_, device, ram) = opened();
    device.bind(LoopRequest::SetFd(3), backing(ram, true), true).unwrap();
    let cases = [(0, 512), (512, 512), (1024, 1024), (4096, 4096)];
    for (asked, sector) in cases {
        assert_eq!(by_value(&*device, 0, SET_BLOCK_SIZE, asked), Ok(0));
        assert_eq!(ask(&*device, 0, BLKSSZGET).unwrap().u32(), sector);
    }
    for bad in [256, 1000, 8192, u64::MAX] {
        assert_eq!(by_value(&*device, 0, SET_BLOCK_SIZE, bad), Err(Errno::EINVAL));
    }
}

#[test]
fn set_capacity_follows_an_image_that_grew() {
    let file = tempfile::tempfile().unwrap();
    file.set_len(MIB).unwrap();
    let image = Arc::new(umdev::block::Image::new(file.try_clone().unwrap(), false).unwrap());
    let (_, device, _) = opened();
    device.bind(LoopRequest::SetFd(3), backing(image.clone(), true), true).unwrap();
    file.set_len(2 * MIB + 700).unwrap();
    image.remeasure().unwrap();
    assert_eq!(size(&device), MIB);
    assert_eq!(by_value(&*device, 0, SET_CAPACITY, 0), Ok(0));
    assert_eq!(size(&device), 2 * MIB + 512);
}

#[test]
fn loops_over_loops_never_close_a_circle() {
    let control = LoopControl::new(3).unwrap();
    let [a, b, c] = [0, 1, 2].map(|n| control.device(n).unwrap());
    let ram = emit::disk(64, 512);
    // Error: itself, and one that is not bound.
    assert_eq!(a.bind(LoopRequest::SetFd(3), over(&a), true), Err(Errno::EBADF));
    assert_eq!(a.bind(LoopRequest::SetFd(3), over(&b), true), Err(Errno::EINVAL));
    a.bind(LoopRequest::SetFd(3), backing(ram.clone(), false), true).unwrap();
    b.bind(LoopRequest::SetFd(3), over(&a), true).unwrap();
    c.bind(LoopRequest::SetFd(3), over(&b), true).unwrap();
    assert_eq!(size(&c), 64 * 512);
    // Error: a, read-only, would stand on c, which stands on a.
    assert_eq!(a.bind(LoopRequest::ChangeFd(3), over(&c), true), Err(Errno::EBADF));
    ram.write_at(b"deep", 0).unwrap();
    let mut buf = [0u8; 4];
    c.block(0).unwrap().read_at(&mut buf, 0).unwrap();
    assert_eq!(&buf, b"deep");
}

#[test]
fn the_control_adds_removes_and_finds() {
    let control = LoopControl::new(8).unwrap();
    assert_eq!(control.kind(), DeviceKind::Char);
    let ioctl = |request, arg: i64| by_value(&control, 0, request, arg as u64);
    assert_eq!(ioctl(GET_FREE, 0), Ok(0));
    assert_eq!(ioctl(ADD, 5), Err(Errno::EEXIST));
    assert_eq!(ioctl(ADD, -1), Ok(8));
    assert_eq!(ioctl(ADD, 40), Ok(40));
    assert_eq!(ioctl(ADD, 4096), Err(Errno::ENOSPC));
    assert_eq!(ioctl(REMOVE, -1), Err(Errno::EINVAL));
    assert_eq!(ioctl(REMOVE, 999), Err(Errno::ENODEV));
    let removed = control.device(40).unwrap();
    removed.open(0, false).unwrap();
    assert_eq!(ioctl(REMOVE, 40), Err(Errno::EBUSY));
    removed.release(0);
    assert_eq!(ioctl(REMOVE, 40), Ok(0));
    // Who still holds a removed device can't open it.
    assert_eq!(removed.open(0, false), Err(Errno::ENXIO));
    assert_eq!(control.device(40).err(), Some(Errno::ENXIO));
    assert_eq!(ioctl(0x4c83, 0), Err(Errno::ENOTTY));
    assert_eq!(by_value(&control, 1, GET_FREE, 0), Err(Errno::ENXIO));
    for device in control.devices() {
        device.bind(LoopRequest::SetFd(3), backing(emit::disk(8, 512), true), true).unwrap();
    }
    assert_eq!(ioctl(GET_FREE, 0), Ok(9));
}
