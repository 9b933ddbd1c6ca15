//! Requests with any argument: an answer always comes, and the disk's invariants hold after it.

use crate::emit;
use crate::memory::{BASE, Page};
use abi::dev::Device;
use abi::{Errno, Result};
use proptest::prelude::*;
use umdev::disk::Disk;
use umdev::loopdev::{Backing, LoopControl, LoopRequest};

/// Every request that is known, and some that are not.
fn requests() -> impl Strategy<Value = u32> {
    let known: Vec<u32> = (0x125d..0x1290)
        .chain(0x4c00..0x4c10)
        .chain([0x2, 0x301, 0x8008_1270, 0x4008_1271, 0x8008_1272, 0x8008_1280, 0x8004_1284])
        .collect();
    prop_oneof![9 => proptest::sample::select(known), 1 => any::<u32>()]
}

/// Numbers that bounds are made of.
fn numbers() -> impl Strategy<Value = u64> {
    let edge = vec![0, 1, 2, 3, 511, 512, 1024, 4096, 32_768, 65_536, 1 << 31, 1 << 63, u64::MAX];
    prop_oneof![proptest::sample::select(edge), 0u64..70_000, any::<u64>()]
}

/// A page of such numbers, whose third word may lead back into it, as that of `BLKPG` does.
fn page(words: &[u64], inner: bool) -> Page {
    let mut page = Page::new();
    for (i, word) in words.iter().enumerate() {
        page.0[8 * i..8 * i + 8].copy_from_slice(&word.to_ne_bytes());
    }
    if inner {
        page.0[16..24].copy_from_slice(&(BASE + 64).to_ne_bytes());
    }
    page
}

fn invariants(device: &dyn Device) {
    let nodes = device.subdevices();
    let whole = nodes[0].size_bytes;
    for node in &nodes[1..] {
        assert!((1..=255).contains(&node.number));
        assert!(node.start_bytes + node.size_bytes <= whole);
    }
}

fn one(device: &dyn Device, node: u32, request: u32, arg: u64, page: &mut Page) -> Result<u64> {
    let answer = device.ioctl(node, request, arg, page);
    if device.block(node).is_ok() {
        assert_ne!(answer, Err(Errno::ENOSYS));
    }
    answer
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_ioctl_breaks_a_disk(
        steps in proptest::collection::vec(
            (0u32..6, requests(), proptest::collection::vec(numbers(), 16), any::<bool>(), any::<bool>()),
            1..40),
    ) {
        let ram = emit::disk(128, 512);
        emit::mbr(&*ram, &[(10, 20, 0x83)], &[(50, 20, 0x83)]);
        let disk = Disk::new(ram, true).unwrap();
        for (node, request, words, inner, by_address) in steps {
            let arg = if by_address { BASE } else { words[0] };
            let _ = one(&disk, node, request, arg, &mut page(&words, inner));
            invariants(&disk);
        }
    }

    #[test]
    fn no_request_breaks_a_loop_device(
        steps in proptest::collection::vec(
            (requests(), proptest::collection::vec(numbers(), 40), any::<bool>(), 0u8..4), 1..40),
    ) {
        let control = LoopControl::new(1).unwrap();
        let device = control.device(0).unwrap();
        let ram = emit::disk(128, 512);
        emit::mbr(&*ram, &[(10, 20, 0x83)], &[]);
        for (request, words, by_address, life) in steps {
            let mut page = page(&words, true);
            let arg = if by_address { BASE } else { words[0] };
            match LoopRequest::decode(request, arg, &mut page) {
                Ok(Some(request)) => {
                    let path = String::new();
                    let (dev, ino, rdev) = (1, 2, 0);
                    let writable = life != 3;
                    let backing =
                        Backing { device: ram.clone(), writable, dev, ino, rdev, path, loop_below: None };
                    let _ = device.bind(request, backing, true);
                }
                Ok(None) => { let _ = one(&*device, 0, request, arg, &mut page); }
                Err(errno) => prop_assert_eq!(errno, Errno::EFAULT),
            }
            match life {
                0 => { let _ = device.open(0, false); }
                1 => device.release(0),
                _ => {}
            }
            let block = device.block(0).unwrap();
            let mut buf = [0u8; 700];
            prop_assert!(matches!(block.read_at(&mut buf, 0), Ok(()) | Err(Errno::EINVAL)));
        }
    }
}
