//! Images made field by field.

use crate::device::Ram;
use abi::block::BlockDevice;
use std::sync::Arc;

/// Flag of a directory record: a directory.
pub(crate) const DIRECTORY: u8 = 2;
/// Flag of a directory record: more sections follow.
pub(crate) const MORE: u8 = 0x80;

/// A number in both byte orders.
pub(crate) fn both(n: u32) -> Vec<u8> {
    [n.to_le_bytes(), n.to_be_bytes()].concat()
}

/// A directory record.
pub(crate) fn record(name: &[u8], block: u32, size: u32, flags: u8, system_use: &[u8]) -> Vec<u8> {
    let mut r = vec![0, 0]; // length, extended attributes
    r.extend(both(block));
    r.extend(both(size));
    r.extend([100, 1, 1, 0, 0, 0, 0]); // 2000-01-01
    r.extend([flags, 0, 0]); // flags, unit, gap
    r.extend([1, 0, 0, 1]); // volume 1 of the set
    r.push(name.len() as u8);
    r.extend(name);
    if r.len() % 2 == 1 {
        r.push(0);
    }
    r.extend(system_use);
    r[0] = u8::try_from(r.len()).unwrap();
    r
}

/// A system use entry of version 1.
pub(crate) fn entry(signature: &[u8; 2], data: &[u8]) -> Vec<u8> {
    let mut e = signature.to_vec();
    e.extend([u8::try_from(data.len() + 4).unwrap(), 1]);
    e.extend(data);
    e
}

/// A `PX` entry.
pub(crate) fn posix(mode: u32, links: u32, serial: u32) -> Vec<u8> {
    entry(b"PX", &[mode, links, 0, 0, serial].map(both).concat())
}

/// An `NM` entry.
pub(crate) fn named(name: &str) -> Vec<u8> {
    entry(b"NM", &[b"\0", name.as_bytes()].concat())
}

/// What the root's own record has where Rock Ridge is in use.
pub(crate) fn rock_sign() -> Vec<u8> {
    [entry(b"SP", &[0xbe, 0xef, 0]), posix(0o40_755, 2, 0)].concat()
}

/// An image under construction; the root directory is at block `ROOT`.
pub(crate) struct Image {
    bytes: Vec<u8>,
    block_bytes: u32,
}

impl Image {
    /// An image of `blocks` blocks with a primary volume descriptor and nothing else.
    pub(crate) fn new(block_bytes: u32, blocks: u32, root: u32, root_bytes: u32) -> Self {
        let mut bytes = vec![0; (blocks * block_bytes) as usize];
        let pvd = &mut bytes[16 * 2048..17 * 2048];
        pvd[..7].copy_from_slice(b"\x01CD001\x01");
        pvd[80..88].copy_from_slice(&both(blocks));
        pvd[128..130].copy_from_slice(&(block_bytes as u16).to_le_bytes());
        let record = record(&[0], root, root_bytes, DIRECTORY, b"");
        pvd[156..156 + record.len()].copy_from_slice(&record);
        bytes[17 * 2048..17 * 2048 + 7].copy_from_slice(b"\xffCD001\x01");
        Self { bytes, block_bytes }
    }

    /// Writes bytes at the beginning of a block.
    pub(crate) fn put(mut self, block: u32, bytes: &[u8]) -> Self {
        let start = (block * self.block_bytes) as usize;
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// Writes a directory of `size` bytes: its own record, that of its parent, then `records`, none of them
    /// across the end of a sector.
    pub(crate) fn directory(
        self,
        block: u32,
        parent: u32,
        size: u32,
        own_use: &[u8],
        records: &[Vec<u8>],
    ) -> Self {
        let mut bytes = record(&[0], block, size, DIRECTORY, own_use);
        bytes.extend(record(&[1], parent, size, DIRECTORY, b""));
        for r in records {
            if bytes.len() % 2048 + r.len() > 2048 {
                bytes.resize(bytes.len().next_multiple_of(2048), 0);
            }
            bytes.extend(r);
        }
        assert!(bytes.len() <= size as usize, "the directory needs {} bytes", bytes.len());
        self.put(block, &bytes)
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(crate) fn device(self) -> Arc<dyn BlockDevice> {
        Arc::new(Ram(self.bytes))
    }
}
