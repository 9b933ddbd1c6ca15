//! What a disk answers to ioctl(2).
//!
//! Layouts, errors and their order are those of `blkdev_ioctl` of Linux 6.18, tried on a loop
//! device; the table in `docs/formats/umdev-ioctls.md` says them one by one, and where this
//! differs. Who may ask (`CAP_SYS_ADMIN`, a descriptor open for writing) is the caller's business.

use super::request::{
    BLKALIGNOFF, BLKBSZGET, BLKBSZSET, BLKDISCARD, BLKDISCARDZEROES, BLKFLSBUF, BLKFRAGET,
    BLKFRASET, BLKGETDISKSEQ, BLKGETNRZONES, BLKGETSIZE, BLKGETSIZE64, BLKGETZONESZ, BLKIOMIN,
    BLKIOOPT, BLKPBSZGET, BLKPG, BLKRAGET, BLKRASET, BLKROGET, BLKROSET, BLKROTATIONAL, BLKRRPART,
    BLKSECDISCARD, BLKSECTGET, BLKSSZGET, BLKZEROOUT, FIGETBSZ, HDIO_GETGEO,
};
use super::{Argument, Disk};
use crate::block::{Partition, write_zeroes};
use abi::block::BlockDevice;
use abi::{Errno, Result};
use core::ops::Range;
use core::sync::atomic::Ordering;

/// What `BLKSECTGET` answers: 1280 KiB, the kernel's own default.
const TRANSFER_SECTORS_MAX: u16 = 2560;
/// Block size of the file system that holds the special file (the kernel's devtmpfs).
const NODE_BLOCK_SIZE: u32 = 4096;
/// The largest soft block size, in bytes.
const SOFT_BLOCK_MAX: u32 = 65536;
const PAGE_BYTES: u64 = 4096;
const HEADS: u8 = 255;
const SECTORS_PER_TRACK: u8 = 63;

impl Disk {
    pub(super) fn answer(
        &self,
        number: u32,
        request: u32,
        mut argument: Argument<'_>,
    ) -> Result<u64> {
        let window = self.window(number)?;
        match request {
            BLKRRPART | BLKPG | BLKROSET | BLKBSZSET | BLKRASET | BLKFRASET | BLKFLSBUF => {
                self.change(number, request, &window, &mut argument)
            }
            BLKDISCARD => discard(&window, &mut argument),
            BLKZEROOUT => zero_out(&window, &mut argument),
            BLKSECDISCARD => Err(Errno::EOPNOTSUPP),
            BLKRAGET | BLKFRAGET => {
                if argument.address == 0 {
                    return Err(Errno::EINVAL);
                }
                argument.put_u64(self.readahead_sectors.load(Ordering::Relaxed))
            }
            BLKBSZGET => {
                let soft_block = self.lock().node(number)?.soft_block;
                argument.put_u32(soft_block)
            }
            BLKGETDISKSEQ => argument.put_u64(self.sequence),
            _ => describe(&window, request, &mut argument),
        }
    }

    /// The requests that change the disk.
    fn change(
        &self,
        number: u32,
        request: u32,
        window: &Partition,
        argument: &mut Argument<'_>,
    ) -> Result<u64> {
        match request {
            BLKRRPART if number != 0 => Err(Errno::EINVAL),
            BLKRRPART => self.rescan().map(|()| 0),
            BLKPG => self.blkpg(number, argument),
            BLKROSET => {
                window.set_read_only(argument.get_i32()? != 0);
                Ok(0)
            }
            BLKBSZSET => self.set_soft_block(number, argument),
            BLKFLSBUF => window.flush().map(|()| 0),
            // BLKRASET and BLKFRASET; by value, in whole pages, and the product may wrap as the
            // kernel's does.
            _ => {
                let pages = argument.address.wrapping_mul(512) / PAGE_BYTES;
                self.readahead_sectors.store(pages.saturating_mul(8), Ordering::Relaxed);
                Ok(0)
            }
        }
    }

    fn set_soft_block(&self, number: u32, argument: &mut Argument<'_>) -> Result<u64> {
        if argument.address == 0 {
            return Err(Errno::EINVAL);
        }
        let size = u32::try_from(argument.get_i32()?).map_err(|_| Errno::EINVAL)?;
        let mut state = self.lock();
        let node = state.node_mut(number)?;
        let sector = node.window.geometry().block_size;
        if !size.is_power_of_two() || !(sector..=SOFT_BLOCK_MAX).contains(&size) {
            return Err(Errno::EINVAL);
        }
        node.soft_block = size;
        Ok(0)
    }
}

/// The requests that only tell.
fn describe(window: &Partition, request: u32, argument: &mut Argument<'_>) -> Result<u64> {
    let geometry = window.geometry();
    match request {
        BLKGETSIZE => argument.put_u64(geometry.size_bytes / 512),
        BLKGETSIZE64 => argument.put_u64(geometry.size_bytes),
        BLKSSZGET | BLKPBSZGET | BLKIOMIN => argument.put_u32(geometry.block_size),
        BLKIOOPT | BLKALIGNOFF | BLKDISCARDZEROES | BLKGETZONESZ | BLKGETNRZONES => {
            argument.put_u32(0)
        }
        BLKROGET => argument.put_u32(u32::from(geometry.read_only)),
        BLKROTATIONAL => argument.put_u16(0),
        BLKSECTGET => argument.put_u16(TRANSFER_SECTORS_MAX),
        FIGETBSZ => argument.put_u32(NODE_BLOCK_SIZE),
        HDIO_GETGEO => hard_disk_geometry(window, argument),
        _ => Err(Errno::ENOTTY),
    }
}

/// `struct hd_geometry`: heads 0 (u8), sectors 1 (u8), cylinders 2 (u16), first sector 8 (unsigned
/// long). The heads and sectors are those that fdisk assumes; the cylinders are of the whole or
/// partition asked.
fn hard_disk_geometry(window: &Partition, argument: &mut Argument<'_>) -> Result<u64> {
    if argument.address == 0 {
        return Err(Errno::EINVAL);
    }
    let cylinder = u64::from(HEADS).saturating_mul(u64::from(SECTORS_PER_TRACK));
    let cylinders = (window.size_bytes() / 512).checked_div(cylinder).unwrap_or(0);
    let cylinders = u16::try_from(cylinders).unwrap_or(u16::MAX).to_ne_bytes();
    let start = (window.start_bytes() / 512).to_ne_bytes();
    let mut bytes = vec![HEADS, SECTORS_PER_TRACK];
    bytes.extend_from_slice(&cylinders);
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&start);
    argument.put(&bytes)
}

/// Reads `uint64_t [2]`: start and length.
fn range_argument(argument: &mut Argument<'_>) -> Result<(u64, u64)> {
    let bytes: [u8; 16] = argument.get()?;
    let (start, len) = bytes.split_first_chunk::<8>().ok_or(Errno::EFAULT)?;
    let len = len.first_chunk::<8>().ok_or(Errno::EFAULT)?;
    Ok((u64::from_ne_bytes(*start), u64::from_ne_bytes(*len)))
}

/// The bytes of `start, len` if they are whole units of `unit` bytes, not none, and on the device.
fn checked_range(window: &Partition, start: u64, len: u64, unit: u32) -> Result<Range<u64>> {
    let aligned = |n: u64| n.is_multiple_of(u64::from(unit));
    if !aligned(start) || !aligned(len) || len == 0 {
        return Err(Errno::EINVAL);
    }
    let end = start.checked_add(len).filter(|end| *end <= window.size_bytes());
    Ok(start..end.ok_or(Errno::EINVAL)?)
}

/// `EFAULT`, `EPERM` if read-only, `EINVAL` for the range, `EOPNOTSUPP` if the device behind can't.
fn discard(window: &Partition, argument: &mut Argument<'_>) -> Result<u64> {
    let (start, len) = range_argument(argument)?;
    let geometry = window.geometry();
    if geometry.read_only {
        return Err(Errno::EPERM);
    }
    let range = checked_range(window, start, len, geometry.block_size)?;
    window.discard(range).map(|()| 0)
}

/// `EFAULT`, `EINVAL` for the range in 512-byte units, `EPERM` if read-only, `EINVAL` in sectors.
fn zero_out(window: &Partition, argument: &mut Argument<'_>) -> Result<u64> {
    let (start, len) = range_argument(argument)?;
    checked_range(window, start, len, 512)?;
    let geometry = window.geometry();
    if geometry.read_only {
        return Err(Errno::EPERM);
    }
    let range = checked_range(window, start, len, geometry.block_size)?;
    write_zeroes(window, range).map(|()| 0)
}
