//! A disk that breaks on purpose.

use super::bounds;
use abi::block::{BlockDevice, Geometry};
use abi::{Errno, Result};
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

/// One way to break. Calls are counted from 0, each kind for itself; a discard counts as a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Read number `.0` answers `EIO`; later ones work.
    FailRead(u64),
    /// Write number `.0` answers `EIO` and changes nothing; later ones work.
    FailWrite(u64),
    /// Flush number `.0` answers `EIO`; later ones work.
    FailFlush(u64),
    /// The power goes before write number `.0`: it, and every call after it, answers `EIO`.
    Cut(u64),
    /// The power goes within write number `at`: its first `bytes` bytes land, then as
    /// [`Fault::Cut`].
    Torn {
        /// The number of the write.
        at: u64,
        /// How much of it lands.
        bytes: usize,
    },
    /// Every read that touches byte `.0` answers `EIO`: a bad sector.
    BadByte(u64),
}

/// Passes calls on until a [`Fault`] is due. What reached the disk below before is there after.
///
/// For crash tests: run an operation over `Faulty::new(disk.clone(), [Fault::Cut(n)])` for every
/// `n`, then look at `disk`.
#[derive(Debug)]
pub struct Faulty<D> {
    below: D,
    faults: Vec<Fault>,
    reads: AtomicU64,
    writes: AtomicU64,
    flushes: AtomicU64,
    cut: AtomicBool,
}

impl<D: BlockDevice> Faulty<D> {
    /// Breaks `below` in the given ways; with none, only counts.
    pub fn new(below: D, faults: impl IntoIterator<Item = Fault>) -> Self {
        Self {
            below,
            faults: faults.into_iter().collect(),
            reads: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            flushes: AtomicU64::new(0),
            cut: AtomicBool::new(false),
        }
    }

    /// Writes and discards that were asked for, those refused included.
    pub fn writes(&self) -> u64 {
        self.writes.load(SeqCst)
    }

    /// Reads that were asked for, those refused included.
    pub fn reads(&self) -> u64 {
        self.reads.load(SeqCst)
    }

    /// Flushes that were asked for, those refused included.
    pub fn flushes(&self) -> u64 {
        self.flushes.load(SeqCst)
    }

    /// Whether the power is gone.
    pub fn is_cut(&self) -> bool {
        self.cut.load(SeqCst)
    }

    fn check_power(&self) -> Result<()> {
        if self.is_cut() { Err(Errno::EIO) } else { Ok(()) }
    }

    fn due(&self, fault: Fault) -> Result<()> {
        if self.faults.contains(&fault) { Err(Errno::EIO) } else { Ok(()) }
    }

    /// Counts a write; `Ok(Some(n))` if only its first `n` bytes may land.
    fn next_write(&self) -> Result<Option<usize>> {
        let number = self.writes.fetch_add(1, SeqCst);
        self.check_power()?;
        for fault in &self.faults {
            match *fault {
                Fault::FailWrite(n) if n == number => return Err(Errno::EIO),
                Fault::Cut(n) if number >= n => {
                    self.cut.store(true, SeqCst);
                    return Err(Errno::EIO);
                }
                Fault::Torn { at, bytes } if number >= at => {
                    self.cut.store(true, SeqCst);
                    return Ok(Some(bytes));
                }
                _ => {}
            }
        }
        Ok(None)
    }
}

impl<D: BlockDevice> BlockDevice for Faulty<D> {
    fn geometry(&self) -> Geometry {
        self.below.geometry()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let number = self.reads.fetch_add(1, SeqCst);
        self.check_power()?;
        self.due(Fault::FailRead(number))?;
        let end = bounds::check_transfer(self.geometry().size_bytes, buf.len(), offset)?;
        let bad = |f: &Fault| matches!(f, Fault::BadByte(at) if (offset..end).contains(at));
        if self.faults.iter().any(bad) {
            return Err(Errno::EIO);
        }
        self.below.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        match self.next_write()? {
            None => self.below.write_at(buf, offset),
            Some(bytes) => {
                let _ = self.below.write_at(buf.get(..bytes).unwrap_or(buf), offset);
                Err(Errno::EIO)
            }
        }
    }

    fn flush(&self) -> Result<()> {
        let number = self.flushes.fetch_add(1, SeqCst);
        self.check_power()?;
        self.due(Fault::FailFlush(number))?;
        self.below.flush()
    }

    fn discard(&self, range: Range<u64>) -> Result<()> {
        match self.next_write()? {
            None => self.below.discard(range),
            Some(_) => Err(Errno::EIO),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, Faulty};
    use crate::block::Ramdisk;
    use abi::Errno;
    use abi::block::BlockDevice;
    use std::sync::Arc;

    fn first_bytes(disk: &Ramdisk) -> [u8; 4] {
        let mut buf = [0u8; 4];
        disk.read_at(&mut buf, 0).unwrap();
        buf
    }

    #[test]
    fn a_cut_keeps_what_came_before_and_refuses_all_after() {
        let disk = Arc::new(Ramdisk::new(512).unwrap());
        let faulty = Faulty::new(disk.clone(), [Fault::Cut(2)]);
        faulty.write_at(b"a", 0).unwrap();
        faulty.write_at(b"b", 1).unwrap();
        assert_eq!(faulty.write_at(b"c", 2), Err(Errno::EIO));
        assert!(faulty.is_cut());
        assert_eq!(faulty.read_at(&mut [0], 0), Err(Errno::EIO));
        assert_eq!(faulty.flush(), Err(Errno::EIO));
        assert_eq!(&first_bytes(&disk), b"ab\0\0");
    }

    #[test]
    fn a_torn_write_lands_in_part() {
        let disk = Arc::new(Ramdisk::new(512).unwrap());
        let faulty = Faulty::new(disk.clone(), [Fault::Torn { at: 0, bytes: 3 }]);
        assert_eq!(faulty.write_at(b"abcd", 0), Err(Errno::EIO));
        assert_eq!(faulty.write_at(b"z", 0), Err(Errno::EIO));
        assert_eq!(&first_bytes(&disk), b"abc\0");
    }

    #[test]
    fn single_failures_pass() {
        let disk = Ramdisk::new(512).unwrap();
        let faults =
            [Fault::FailWrite(1), Fault::FailRead(0), Fault::FailFlush(0), Fault::BadByte(9)];
        let faulty = Faulty::new(disk, faults);
        assert_eq!(faulty.write_at(b"a", 0), Ok(()));
        assert_eq!(faulty.discard(0..1), Err(Errno::EIO));
        assert_eq!(faulty.discard(0..1), Ok(()));
        assert_eq!(faulty.read_at(&mut [0], 0), Err(Errno::EIO));
        assert_eq!(faulty.read_at(&mut [0; 9], 0), Ok(()));
        assert_eq!(faulty.read_at(&mut [0; 10], 0), Err(Errno::EIO));
        assert_eq!(faulty.flush(), Err(Errno::EIO));
        assert_eq!(faulty.flush(), Ok(()));
        assert_eq!((faulty.writes(), faulty.reads(), faulty.flushes()), (3, 3, 2));
    }
}
