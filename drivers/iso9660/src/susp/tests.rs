use super::{AREAS_MAX, Skip, find_sign, walk};
use crate::descriptor::Tree;
use crate::error::{Corrupt, Error};
use crate::options::MountOptions;
use crate::volume::{NameSource, Volume};
use abi::block::{BlockDevice, Geometry};
use abi::{Errno, Result};
use std::sync::Arc;

struct Ram(Vec<u8>);

impl BlockDevice for Ram {
    fn geometry(&self) -> Geometry {
        Geometry { block_size: 2048, size_bytes: self.0.len() as u64, read_only: true }
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let start = usize::try_from(offset).map_err(|_| Errno::EINVAL)?;
        let bytes = self.0.get(start..start + buf.len()).ok_or(Errno::EINVAL)?;
        buf.copy_from_slice(bytes);
        Ok(())
    }
    fn write_at(&self, _: &[u8], _: u64) -> Result<()> {
        Err(Errno::EROFS)
    }
    fn flush(&self) -> Result<()> {
        Ok(())
    }
}

fn volume(image: Vec<u8>) -> Volume {
    let tree = Tree { block_bytes: 2048, volume_blocks: 4, root_block: 0 };
    let names = NameSource::Plain;
    Volume::new(Arc::new(Ram(image)), tree, names, MountOptions::default())
}

fn entry(signature: &[u8; 2], data: &[u8]) -> Vec<u8> {
    let mut bytes = signature.to_vec();
    bytes.extend([data.len() as u8 + 4, 1]);
    bytes.extend(data);
    bytes
}

fn continuation(block: u32, offset: u32, length: u32) -> Vec<u8> {
    let data: Vec<u8> = [block, offset, length]
        .iter()
        .flat_map(|n| [n.to_le_bytes(), n.to_be_bytes()].concat())
        .collect();
    entry(b"CE", &data)
}

fn signatures(image: Vec<u8>, area: &[u8]) -> core::result::Result<String, Error> {
    let mut seen = String::new();
    walk(&volume(image), 9, area, &mut |e| {
        seen.push_str(core::str::from_utf8(&e.signature).unwrap());
        Ok(())
    })?;
    Ok(seen)
}

#[test]
fn continuations_come_after_their_area() {
    let area = [entry(b"AA", b"x"), continuation(1, 10, 10), entry(b"BB", b"")].concat();
    let mut image = vec![0; 8192];
    image[2058..2063].copy_from_slice(&entry(b"CC", b"y"));
    image[2063..2067].copy_from_slice(&entry(b"DD", b""));
    assert_eq!(signatures(image, &area).unwrap(), "AABBCCDD");
}

#[test]
fn terminator_and_padding_end_an_area() {
    let area = [entry(b"AA", b""), entry(b"ST", b""), entry(b"BB", b"")].concat();
    assert_eq!(signatures(vec![], &area).unwrap(), "AA");
    let area = [&entry(b"AA", b"")[..], &[0; 5]].concat();
    assert_eq!(signatures(vec![], &area).unwrap(), "AA");
    assert_eq!(signatures(vec![], &[b'A', b'A', 200]).unwrap(), "");
}

#[test]
fn entries_that_pass_their_area_are_named() {
    // Error: longer than the area.
    let refused = signatures(vec![], b"NM\x20\x01abc").unwrap_err();
    let corrupt = Corrupt::SystemUse { position: 9, signature: *b"NM", length: 32 };
    assert_eq!(refused, Error::Corrupt(corrupt));
    // Error: shorter than its own head.
    let refused = signatures(vec![], b"NM\x03\x01abc").unwrap_err();
    let corrupt = Corrupt::SystemUse { position: 9, signature: *b"NM", length: 3 };
    assert_eq!(refused, Error::Corrupt(corrupt));
}

#[test]
fn continuations_without_end_are_given_up() {
    // Error: an area that continues with itself.
    let mut image = vec![0; 8192];
    let back = continuation(1, 0, 28);
    image[2048..2076].copy_from_slice(&back);
    let refused = signatures(image, &back).unwrap_err();
    assert_eq!(refused, Corrupt::ContinuationLoop { position: 9, areas: AREAS_MAX }.into());
    // Error: behind the end of the device.
    let refused = signatures(vec![0; 4096], &continuation(1, 2040, 28)).unwrap_err();
    assert_eq!(refused, Corrupt::ContinuationRange { position: 9, start: 4088, length: 28 }.into());
    // Error: larger than any record needs.
    let refused = signatures(vec![0; 200_000], &continuation(0, 0, 65_537)).unwrap_err();
    assert_eq!(
        refused,
        Corrupt::ContinuationRange { position: 9, start: 0, length: 65_537 }.into()
    );
}

#[test]
fn the_protocol_announces_itself_in_front_or_behind_xa() {
    let mark = entry(b"SP", &[0xbe, 0xef, 3]);
    assert_eq!(find_sign(&mark), Some(Skip { root_bytes: 0, other_bytes: 3 }));
    let xa = [&[7; 14][..], &mark].concat();
    assert_eq!(find_sign(&xa), Some(Skip { root_bytes: 14, other_bytes: 3 }));
    assert_eq!(find_sign(&entry(b"SP", &[0xbe, 0xee, 3])), None);
    assert_eq!(find_sign(b""), None);
}

#[test]
fn length_of_a_long_link_entry_may_be_modulo_256() {
    let mut data = vec![0];
    for _ in 0..10 {
        data.extend([&[0, 30][..], &[b'z'; 30]].concat());
    }
    let mut area = vec![b'S', b'L', (data.len() + 4 - 256) as u8, 1];
    area.extend(&data);
    area.extend(entry(b"AA", b"x"));
    let mut seen = Vec::new();
    walk(&volume(vec![]), 9, &area, &mut |e| {
        seen.push((e.signature, e.data.to_vec()));
        Ok(())
    })
    .unwrap();
    assert_eq!(seen, [(*b"SL", data), (*b"AA", b"x".to_vec())]);
}
