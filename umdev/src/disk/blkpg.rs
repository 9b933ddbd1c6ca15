//! `BLKPG`: partitions by request, without a table.
//!
//! `struct blkpg_ioctl_arg`: op 0 (int), flags 4 (int), datalen 8 (int), address of the data 16.
//! `struct blkpg_partition`: start 0 (s64, bytes), length 8 (s64, bytes), number 16 (int), two
//! names of 64 bytes that the kernel does not read; 152 bytes with padding.

use super::{Argument, Disk, Node, close, overlaps};
use crate::block::Partition;
use crate::table::NUMBER_MAX;
use abi::block::BlockDevice;
use abi::{Errno, Result};

const ADD: i32 = 1;
const DELETE: i32 = 2;
const RESIZE: i32 = 3;

/// What the request carries, as it stands.
struct RawChange {
    op: i32,
    start: i64,
    length: i64,
    number: i32,
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    let rest = bytes.get(at..).and_then(|rest| rest.first_chunk::<N>());
    rest.copied().ok_or(Errno::EFAULT)
}

impl RawChange {
    fn read(argument: &mut Argument<'_>) -> Result<Self> {
        let header: [u8; 24] = argument.get()?;
        let address = u64::from_ne_bytes(field(&header, 16)?);
        let mut partition = [0u8; 152];
        argument.memory.read(address, &mut partition)?;
        Ok(Self {
            op: i32::from_ne_bytes(field(&header, 0)?),
            start: i64::from_ne_bytes(field(&partition, 0)?),
            length: i64::from_ne_bytes(field(&partition, 8)?),
            number: i32::from_ne_bytes(field(&partition, 16)?),
        })
    }
}

impl Disk {
    /// Answers `BLKPG` on sub-device `number`.
    ///
    /// # Errors
    /// In check order, as the kernel's `blkpg_do_ioctl`:
    /// - `EFAULT` for a bad address of either structure.
    /// - `EINVAL` on a partition, or for a partition number below 1.
    /// - delete: `ENXIO` if there is no such partition, `EBUSY` if it is open.
    /// - `EINVAL` if start or length is negative, the length 0, their sum too large, either not a
    ///   multiple of the sector, the range past the end of the disk, or the operation unknown.
    /// - add: `EBUSY` if another partition overlaps, `EINVAL` if the number is above 255, `EBUSY`
    ///   if it is taken.
    /// - resize: `ENXIO` if there is no such partition, `EINVAL` if it starts elsewhere, `EBUSY` if
    ///   another overlaps.
    pub(super) fn blkpg(&self, number: u32, argument: &mut Argument<'_>) -> Result<u64> {
        let change = RawChange::read(argument)?;
        if number != 0 {
            return Err(Errno::EINVAL);
        }
        let target = u32::try_from(change.number).map_err(|_| Errno::EINVAL)?;
        if target == 0 {
            return Err(Errno::EINVAL);
        }
        if change.op == DELETE {
            return self.delete_partition(target);
        }
        let geometry = self.whole.geometry();
        let start = u64::try_from(change.start).map_err(|_| Errno::EINVAL)?;
        let size = u64::try_from(change.length).map_err(|_| Errno::EINVAL)?;
        let end = start.checked_add(size).ok_or(Errno::EINVAL)?;
        let aligned = |n: u64| n.is_multiple_of(u64::from(geometry.block_size));
        if size == 0 || !aligned(start) || !aligned(size) || end > geometry.size_bytes {
            return Err(Errno::EINVAL);
        }
        match change.op {
            ADD => self.add_partition(target, start, size),
            RESIZE => self.resize_partition(target, start, size),
            _ => Err(Errno::EINVAL),
        }
    }

    fn add_partition(&self, target: u32, start: u64, size: u64) -> Result<u64> {
        let mut state = self.lock();
        if overlaps(&state, start, size, 0) {
            return Err(Errno::EBUSY);
        }
        if target > NUMBER_MAX {
            return Err(Errno::EINVAL);
        }
        if state.parts.contains_key(&target) {
            return Err(Errno::EBUSY);
        }
        let window = Partition::new(self.whole.clone(), start, size)?;
        state.parts.insert(target, Node::new(window));
        Ok(0)
    }

    fn delete_partition(&self, target: u32) -> Result<u64> {
        let mut state = self.lock();
        if state.parts.get(&target).ok_or(Errno::ENXIO)?.opens != 0 {
            return Err(Errno::EBUSY);
        }
        close(state.parts.remove(&target));
        Ok(0)
    }

    fn resize_partition(&self, target: u32, start: u64, size: u64) -> Result<u64> {
        let state = self.lock();
        let part = state.parts.get(&target).ok_or(Errno::ENXIO)?;
        if part.window.start_bytes() != start {
            return Err(Errno::EINVAL);
        }
        if overlaps(&state, start, size, target) {
            return Err(Errno::EBUSY);
        }
        part.window.resize(size)?;
        Ok(0)
    }
}
