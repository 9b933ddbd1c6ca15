//! Any stack of layers behaves as an array of bytes.

use abi::block::BlockDevice;
use abi::{Errno, Result};
use proptest::prelude::*;
use std::num::NonZeroUsize;
use std::sync::Arc;
use umdev::block::{
    CacheShape, Cached, CowDevice, Faulty, Image, Partition, Ramdisk, ReadOnly, Snapshot, Traced,
    Volatile,
};

const SIZE: u64 = 40_000;
/// What lies before and after a partition in the device below.
const MARGIN: u64 = 3_000;
const GUARD: u8 = 0xa5;

type Below = Arc<dyn BlockDevice>;

/// One more layer over `below`; the length stays `SIZE`, or what is left after margins.
fn layer(kind: u8, below: Below) -> Below {
    let size = below.geometry().size_bytes;
    match kind {
        0 => Arc::new(Traced::new(below, "model")),
        1 => Arc::new(Faulty::new(below, [])),
        2 => Arc::new(Snapshot::in_memory(ReadOnly::new(below)).unwrap()),
        3 => Arc::new(CowDevice::new(below, Ramdisk::new(size + 100).unwrap()).unwrap()),
        4 => Arc::new(Volatile::new(below)),
        5 => cached(below, 512, 3, 4),
        6 => cached(below, 4096, 5, 0),
        _ => {
            let margin = MARGIN.min(size / 4);
            Arc::new(Partition::new(below, margin, size - 2 * margin).unwrap())
        }
    }
}

fn cached(below: Below, block_bytes: u64, blocks: usize, readahead_blocks: usize) -> Below {
    let blocks_max = NonZeroUsize::new(blocks).unwrap();
    Arc::new(Cached::new(below, CacheShape { block_bytes, blocks_max, readahead_blocks }).unwrap())
}

fn base(on_file: bool) -> Below {
    if !on_file {
        return Arc::new(Ramdisk::new(SIZE).unwrap());
    }
    let file = tempfile::tempfile().unwrap();
    file.set_len(SIZE).unwrap();
    Arc::new(Image::new(file, false).unwrap())
}

#[derive(Clone, Debug)]
enum Op {
    Read(u64, usize),
    Write(u64, usize, u8),
    Discard(u64, u64),
    Flush,
}

fn op() -> impl Strategy<Value = Op> {
    let offset = prop_oneof![0..SIZE, 0..SIZE, Just(0), Just(SIZE), Just(u64::MAX - 3)];
    let len = prop_oneof![0usize..20, 400usize..600, 4000usize..9000];
    let byte = 1u8..255;
    prop_oneof![
        (offset.clone(), len.clone()).prop_map(|(o, l)| Op::Read(o, l)),
        (offset.clone(), len.clone(), byte).prop_map(|(o, l, b)| Op::Write(o, l, b)),
        (offset, len).prop_map(|(o, l)| Op::Discard(o, o.saturating_add(l as u64))),
        Just(Op::Flush),
    ]
}

fn bounded(model: &[u8], offset: u64, len: usize) -> Result<std::ops::Range<usize>> {
    let end = offset.checked_add(len as u64).filter(|end| *end <= model.len() as u64);
    Ok(offset as usize..end.ok_or(Errno::EINVAL)? as usize)
}

/// Does `op` to both; the answers must agree.
fn step(device: &dyn BlockDevice, model: &mut [u8], op: &Op) {
    match *op {
        Op::Read(offset, len) => {
            let mut buf = vec![0xcc; len];
            let got = device.read_at(&mut buf, offset);
            let range = bounded(model, offset, len);
            assert_eq!(got.err(), range.as_ref().err().copied());
            if let Ok(range) = range {
                assert!(buf == model[range], "bytes differ");
            }
        }
        Op::Write(offset, len, byte) => {
            let bytes: Vec<u8> = (0..len).map(|i| byte.wrapping_add(i as u8)).collect();
            let range = bounded(model, offset, len);
            assert_eq!(device.write_at(&bytes, offset).err(), range.as_ref().err().copied());
            if let Ok(range) = range {
                model[range].copy_from_slice(&bytes);
            }
        }
        Op::Discard(from, to) => {
            let range = bounded(model, from, (to - from) as usize);
            match device.discard(from..to) {
                Err(Errno::EOPNOTSUPP) if range.is_ok() => {}
                answer => {
                    assert_eq!(answer.err(), range.as_ref().err().copied());
                    if let Ok(range) = range {
                        model[range].fill(0);
                    }
                }
            }
        }
        Op::Flush => assert_eq!(device.flush(), Ok(())),
    }
}

/// Marks what an operation changed, if it did.
fn touch(touched: &mut [bool], offset: u64, len: usize) {
    if let Some(part) = touched.get_mut(offset as usize..).and_then(|rest| rest.get_mut(..len)) {
        part.fill(true);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_stack_is_an_array_of_bytes(
        on_file: bool,
        kinds in proptest::collection::vec(0u8..8, 0..6),
        ops in proptest::collection::vec(op(), 1..40),
    ) {
        let device = kinds.iter().fold(base(on_file), |below, kind| layer(*kind, below));
        let mut model = vec![0u8; device.geometry().size_bytes as usize];
        for op in &ops {
            step(&*device, &mut model, op);
        }
        step(&*device, &mut model.clone(), &Op::Read(0, model.len()));
    }

    #[test]
    fn a_partition_never_touches_a_byte_outside(
        cache: bool,
        ops in proptest::collection::vec(op(), 1..40),
    ) {
        let disk: Below = base(false);
        disk.write_at(&vec![GUARD; SIZE as usize], 0).unwrap();
        let below = if cache { cached(disk.clone(), 4096, 4, 2) } else { disk.clone() };
        let size = SIZE - 2 * MARGIN;
        let part = Partition::new(below.clone(), MARGIN, size).unwrap();
        let mut model = vec![GUARD; size as usize];
        for op in &ops {
            step(&part, &mut model, op);
        }
        part.flush().unwrap();
        let mut all = vec![0u8; SIZE as usize];
        disk.read_at(&mut all, 0).unwrap();
        let (start, end) = (MARGIN as usize, (SIZE - MARGIN) as usize);
        prop_assert!(all[..start].iter().chain(&all[end..]).all(|b| *b == GUARD));
        prop_assert!(all[start..end] == model);
    }

    #[test]
    fn what_was_flushed_through_a_cache_survives_any_crash(
        ops in proptest::collection::vec(op(), 1..30),
        survivors: u64,
    ) {
        let disk: Below = base(false);
        let volatile = Arc::new(Volatile::new(disk.clone()));
        let cached = cached(volatile.clone(), 512, 6, 2);
        let mut model = vec![0u8; SIZE as usize];
        let mut flushed = model.clone();
        let mut touched = vec![false; SIZE as usize];
        for op in &ops {
            step(&*cached, &mut model, op);
            match op {
                Op::Flush => { flushed.copy_from_slice(&model); touched.fill(false); }
                Op::Write(o, l, _) => touch(&mut touched, *o, *l),
                Op::Discard(f, t) => touch(&mut touched, *f, (t - f) as usize),
                Op::Read(..) => {}
            }
        }
        volatile.crash(|i| survivors >> (i % 64) & 1 == 1).unwrap();
        let mut after = vec![0u8; SIZE as usize];
        disk.read_at(&mut after, 0).unwrap();
        for (i, byte) in after.iter().enumerate() {
            // A byte that was not written since the flush shares its block with bytes that were,
            // and has one value.
            prop_assert!(touched[i] || *byte == flushed[i], "byte {} was lost", i);
        }
    }
}

#[test]
fn a_read_only_layer_refuses_every_change() {
    let disk = ReadOnly::new(Ramdisk::new(512).unwrap());
    assert_eq!(disk.write_at(&[1], 0), Err(Errno::EROFS));
    assert_eq!(disk.discard(0..1), Err(Errno::EROFS));
    assert_eq!(disk.flush(), Ok(()));
    assert!(disk.geometry().read_only);
    assert_eq!(disk.read_at(&mut [1], 0), Ok(()));
}
