//! The status of a loop device as programs see it.
//!
//! `struct loop_info64`, 232 bytes: device 0, inode 8, rdevice 16, offset 24, size limit 32 (u64
//! each), number 40, encryption type 44, key size 48, flags 52 (u32 each), file name 56 (64 bytes),
//! cipher name 120 (64 bytes), key 184 (32 bytes), init 216 (2 x u64).
//!
//! `struct loop_info` of x86-64 and other 64-bit machines, 168 bytes: number 0 (int), device 8,
//! inode 16, rdevice 24 (unsigned long each), offset 32, encryption type 36, key size 40, flags 44
//! (int each), name 48 (64 bytes), key 112 (32 bytes), init 144 (2 x unsigned long), reserved 160.

use abi::{Errno, Result};

pub(super) const INFO64_BYTES: usize = 232;
pub(super) const INFO_BYTES: usize = 168;

pub(super) const FLAG_READ_ONLY: u32 = 1;
pub(super) const FLAG_AUTOCLEAR: u32 = 4;
pub(super) const FLAG_PARTSCAN: u32 = 8;
pub(super) const FLAG_DIRECT_IO: u32 = 16;

/// The most bytes of a key.
const KEY_BYTES: u32 = 32;

/// What a program sets, as it stands in its structure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Info {
    pub(super) offset: u64,
    pub(super) size_limit: u64,
    pub(super) flags: u32,
    pub(super) file_name: [u8; 64],
    encrypt_type: u32,
    encrypt_key_size: u32,
}

impl Default for Info {
    fn default() -> Self {
        Self {
            offset: 0,
            size_limit: 0,
            flags: 0,
            file_name: [0; 64],
            encrypt_type: 0,
            encrypt_key_size: 0,
        }
    }
}

/// What it looks at in the backing file, and its own number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    pub(super) dev: u64,
    pub(super) ino: u64,
    pub(super) rdev: u64,
    pub(super) number: u32,
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let part = bytes.get(at..).and_then(|rest| rest.first_chunk::<N>());
    part.copied().unwrap_or([0; N])
}

fn place(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(target) = bytes.get_mut(at..).and_then(|rest| rest.get_mut(..value.len())) {
        target.copy_from_slice(value);
    }
}

impl Info {
    pub(super) fn from_info64(raw: &[u8; INFO64_BYTES]) -> Self {
        Self {
            offset: u64::from_ne_bytes(field(raw, 24)),
            size_limit: u64::from_ne_bytes(field(raw, 32)),
            flags: u32::from_ne_bytes(field(raw, 52)),
            file_name: terminated(field(raw, 56)),
            encrypt_type: u32::from_ne_bytes(field(raw, 44)),
            encrypt_key_size: u32::from_ne_bytes(field(raw, 48)),
        }
    }

    pub(super) fn from_info(raw: &[u8; INFO_BYTES]) -> Self {
        Self {
            // Sign-extended, so that a negative one is refused as too large.
            offset: i64::from(i32::from_ne_bytes(field(raw, 32))).cast_unsigned(),
            size_limit: 0,
            flags: u32::from_ne_bytes(field(raw, 44)),
            file_name: terminated(field(raw, 48)),
            encrypt_type: u32::from_ne_bytes(field(raw, 36)),
            encrypt_key_size: u32::from_ne_bytes(field(raw, 40)),
        }
    }

    /// Refuses what no loop device does: `EINVAL` for encryption, `EOVERFLOW` for offsets past
    /// 2^63.
    pub(super) fn check(&self) -> Result<()> {
        if self.encrypt_key_size > KEY_BYTES || self.encrypt_type != 0 {
            return Err(Errno::EINVAL);
        }
        if i64::try_from(self.offset).is_err() || i64::try_from(self.size_limit).is_err() {
            return Err(Errno::EOVERFLOW);
        }
        Ok(())
    }

    pub(super) fn to_info64(self, id: &Identity) -> [u8; INFO64_BYTES] {
        let mut raw = [0u8; INFO64_BYTES];
        let longs = [(0, id.dev), (8, id.ino), (16, id.rdev), (24, self.offset)];
        for (at, value) in longs.into_iter().chain([(32, self.size_limit)]) {
            place(&mut raw, at, &value.to_ne_bytes());
        }
        place(&mut raw, 40, &id.number.to_ne_bytes());
        place(&mut raw, 52, &self.flags.to_ne_bytes());
        place(&mut raw, 56, &self.file_name);
        raw
    }

    /// The old structure; `EOVERFLOW` where the offset does not fit.
    pub(super) fn to_info(self, id: &Identity) -> Result<[u8; INFO_BYTES]> {
        let offset = i32::try_from(self.offset).map_err(|_| Errno::EOVERFLOW)?;
        let mut raw = [0u8; INFO_BYTES];
        place(&mut raw, 0, &id.number.to_ne_bytes());
        for (at, value) in [(8, id.dev), (16, id.ino), (24, id.rdev)] {
            place(&mut raw, at, &value.to_ne_bytes());
        }
        place(&mut raw, 32, &offset.to_ne_bytes());
        place(&mut raw, 44, &self.flags.to_ne_bytes());
        place(&mut raw, 48, &self.file_name);
        Ok(raw)
    }
}

/// A name whose last byte is always NUL.
fn terminated(mut name: [u8; 64]) -> [u8; 64] {
    if let Some(last) = name.last_mut() {
        *last = 0;
    }
    name
}
