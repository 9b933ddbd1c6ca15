//! A disk in a qcow2 image.
//!
//! Two levels of tables lead from a cluster of the disk to one of the image (`tables`); the image grows as the disk is
//! written (`counts`, `write`). Deliberately absent: backing files, encryption, writing compressed clusters and images
//! that have snapshots inside.

mod counts;
mod header;
mod tables;
mod write;

use crate::block::{check_transfer, from_below};
use abi::block::{BlockDevice, Geometry};
use abi::{Errno, Result};
use counts::Counts;
use flate2::{Decompress, FlushDecompress, Status};
use header::{Header, RawHeader};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tables::Tables;
use thiserror::Error;

/// The most that the first-level table may take: the limit of QEMU.
const L1_BYTES_MAX: u64 = 32 << 20;
/// Where an entry has the place of a table or cluster.
const OFFSET_MASK: u64 = 0x00ff_ffff_ffff_fe00;
/// An entry of a table or cluster that has a count of 1, so that it may be written in place.
const COPIED: u64 = 1 << 63;
/// A second-level entry of a compressed cluster.
const COMPRESSED: u64 = 1 << 62;
/// A second-level entry of a cluster of zeroes, from version 3 on.
const ZERO: u64 = 1;

/// Why an image is not a qcow2 image that can be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Qcow2Error {
    /// The image could not be read.
    #[error("the image can't be read: {0}")]
    Io(Errno),
    /// It does not begin as qcow2 does.
    #[error("no qcow2 image: it begins with {0:02x?}")]
    NoMagic([u8; 4]),
    /// A version that is neither 2 nor 3.
    #[error("version {0}")]
    Version(u32),
    /// Incompatible features that nobody knows.
    #[error("incompatible features {0:#x}")]
    Features(u64),
    /// A known feature that is not here.
    #[error("the image has {0}, which is not supported")]
    Unsupported(&'static str),
    /// It can be read, not written.
    #[error("the image has {0}, which is not written: mount it with ro, or with snapshot")]
    NotWritable(&'static str),
    /// Clusters below 512 bytes or above 2 MiB.
    #[error("clusters of 2^{0} bytes")]
    ClusterBits(u32),
    /// A disk longer than 2^63 bytes.
    #[error("a disk of {0} bytes")]
    Size(u64),
    /// The first-level table is too short for the disk, too long for anyone, or not inside the
    /// image.
    #[error("first-level table of {entries} entries at {offset}")]
    FirstLevel {
        /// Its entries.
        entries: u64,
        /// Its place.
        offset: u64,
    },
}

impl Qcow2Error {
    /// The number for mount(2).
    #[must_use]
    pub fn to_errno(&self) -> Errno {
        match self {
            Self::Io(_) => Errno::EIO,
            Self::NotWritable(_) => Errno::EROFS,
            Self::NoMagic(_)
            | Self::Version(_)
            | Self::Features(_)
            | Self::Unsupported(_)
            | Self::ClusterBits(_)
            | Self::Size(_)
            | Self::FirstLevel { .. } => Errno::EINVAL,
        }
    }
}

/// Where the bytes of a cluster are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cluster {
    Zero,
    At(u64),
    /// Deflated, from the offset on, in at most so many bytes.
    Packed(u64, u64),
}

/// A qcow2 image as a disk. An image that is found corrupt in use answers `EIO`, with the
/// detail logged.
pub struct Qcow2 {
    image: Arc<dyn BlockDevice>,
    header: Header,
    tables: RwLock<Tables>,
    /// The compressed cluster that was unpacked last: its entry, its bytes.
    unpacked: Mutex<Option<(u64, Vec<u8>)>>,
}

impl Qcow2 {
    /// Reads the header and the first-level table of `image`, for reading.
    ///
    /// # Errors
    /// - what is wrong with them.
    pub fn open(image: Arc<dyn BlockDevice>) -> core::result::Result<Self, Qcow2Error> {
        Self::new(image, false)
    }

    /// As [`open`](Self::open), for writing: the image must be able to [`grow`](BlockDevice::grow).
    ///
    /// # Errors
    /// - what is wrong with them; `NotWritable` for what is only read.
    pub fn open_writable(image: Arc<dyn BlockDevice>) -> core::result::Result<Self, Qcow2Error> {
        Self::new(image, true)
    }

    fn new(image: Arc<dyn BlockDevice>, writes: bool) -> core::result::Result<Self, Qcow2Error> {
        let mut raw = [0u8; 112];
        let image_bytes = image.geometry().size_bytes;
        // An old image may end within a version 3 header's length.
        let len = usize::try_from(image_bytes.min(112)).unwrap_or(112);
        let known = raw.get_mut(..len).unwrap_or_default();
        image.read_at(known, 0).map_err(Qcow2Error::Io)?;
        let raw = RawHeader(&raw);
        let header = Header::from_raw(&raw)?;
        let first = read_first_level(&*image, &header)?;
        let counts = if writes {
            raw.check_writable()?;
            Some(Counts::open(&*image, &raw, &header)?)
        } else {
            None
        };
        let tables = Tables::new(first, header.l1_offset, header.cluster_bits, counts);
        Ok(Self { image, header, tables: RwLock::new(tables), unpacked: Mutex::default() })
    }

    fn cluster_bytes(&self) -> u64 {
        self.header.cluster_bytes()
    }

    /// Logs what is corrupt; the disk above gets the number.
    fn corrupt(&self, what: &str, offset: u64) -> Errno {
        tracing::warn!(what, offset, "qcow2 image is corrupt");
        Errno::EIO
    }

    /// The place of the cluster that has byte `offset` of the disk, and its second-level entry.
    fn locate(&self, offset: u64) -> Result<(Cluster, u64)> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let entry = tables.get(&*self.image, offset >> self.header.cluster_bits);
        let entry = entry.map_err(|_| self.corrupt("second-level table", offset))?;
        Ok((self.judge(entry), entry))
    }

    /// What a second-level entry leads to.
    fn judge(&self, entry: u64) -> Cluster {
        if entry & COMPRESSED != 0 {
            return self.packed(entry);
        }
        let place = entry & OFFSET_MASK;
        let zero = place == 0 || (self.header.version > 2 && entry & ZERO != 0);
        if zero { Cluster::Zero } else { Cluster::At(place) }
    }

    /// Fills `buf` from byte `skip` of a cluster on.
    fn read_cluster(&self, buf: &mut [u8], cluster: Cluster, entry: u64, skip: u64) -> Result<()> {
        match cluster {
            Cluster::Zero => {
                buf.fill(0);
                Ok(())
            }
            Cluster::At(place) => self.read_plain(buf, place.saturating_add(skip)),
            Cluster::Packed(place, len) => self.read_packed(buf, entry, place, len, skip),
        }
    }

    /// Splits the entry of a compressed cluster: low bits are the place in bytes, high ones the
    /// sectors that follow the first.
    fn packed(&self, entry: u64) -> Cluster {
        let place_bits = 70u32.saturating_sub(self.header.cluster_bits);
        let descriptor = entry & COMPRESSED.saturating_sub(1);
        let place_mask = 1u64.checked_shl(place_bits).unwrap_or(0).wrapping_sub(1);
        let place = descriptor & place_mask;
        let more = descriptor.checked_shr(place_bits).unwrap_or(0);
        let first = 512u64.saturating_sub(place & 511);
        Cluster::Packed(place, more.saturating_mul(512).saturating_add(first))
    }

    /// Fills `buf` from a plain cluster's `place`; where the image file ends early, zeroes follow,
    /// as in QEMU.
    fn read_plain(&self, buf: &mut [u8], place: u64) -> Result<()> {
        let there = self.image.geometry().size_bytes.saturating_sub(place);
        if there == 0 {
            return Err(self.corrupt("cluster past the end of the image", place));
        }
        let len = usize::try_from(there).unwrap_or(usize::MAX).min(buf.len());
        let (known, rest) = buf.split_at_mut_checked(len).ok_or(Errno::EIO)?;
        rest.fill(0);
        self.image.read_at(known, place).map_err(from_below)
    }

    /// Copies the part `skip..` of a compressed cluster.
    fn read_packed(
        &self,
        buf: &mut [u8],
        entry: u64,
        place: u64,
        len: u64,
        skip: u64,
    ) -> Result<()> {
        let mut held = self.unpacked.lock().unwrap_or_else(PoisonError::into_inner);
        if held.as_ref().is_none_or(|(of, _)| *of != entry) {
            *held = Some((entry, self.unpack(place, len)?));
        }
        let skip = usize::try_from(skip).map_err(|_| Errno::EIO)?;
        let bytes = held.as_ref().and_then(|(_, bytes)| bytes.get(skip..)?.get(..buf.len()));
        buf.copy_from_slice(bytes.ok_or(Errno::EIO)?);
        Ok(())
    }

    fn unpack(&self, place: u64, len: u64) -> Result<Vec<u8>> {
        let there = self.image.geometry().size_bytes.saturating_sub(place);
        // A packed cluster is never longer than a plain one and a sector.
        let len = len.min(there).min(self.cluster_bytes().saturating_add(512));
        let mut packed = vec![0u8; usize::try_from(len).map_err(|_| Errno::EIO)?];
        self.image.read_at(&mut packed, place).map_err(from_below)?;
        let size = usize::try_from(self.cluster_bytes()).map_err(|_| Errno::EIO)?;
        let mut bytes = vec![0u8; size];
        let mut inflate = Decompress::new(false);
        let answer = inflate.decompress(&packed, &mut bytes, FlushDecompress::Finish);
        match answer {
            // The stream may be followed by the next cluster's bytes, so only the output counts.
            Ok(Status::Ok | Status::StreamEnd | Status::BufError)
                if inflate.total_out() == self.cluster_bytes() =>
            {
                Ok(bytes)
            }
            _ => Err(self.corrupt("compressed cluster", place)),
        }
    }
}

fn read_first_level(
    image: &dyn BlockDevice,
    header: &Header,
) -> core::result::Result<Vec<u64>, Qcow2Error> {
    let (entries, offset) = (header.l1_entries, header.l1_offset);
    let bad = Qcow2Error::FirstLevel { entries, offset };
    // An entry covers a table of entries of 8 bytes, one for each cluster.
    let covered_bits = header.cluster_bits.saturating_mul(2).saturating_sub(3);
    let covered = 1u64.checked_shl(covered_bits).unwrap_or(u64::MAX);
    let len = entries.saturating_mul(8);
    let inside = offset.checked_add(len).is_some_and(|end| end <= image.geometry().size_bytes);
    if entries < header.size_bytes.div_ceil(covered) || len > L1_BYTES_MAX || !inside {
        return Err(bad);
    }
    let mut raw = vec![0u8; usize::try_from(len).map_err(|_| bad)?];
    image.read_at(&mut raw, offset).map_err(Qcow2Error::Io)?;
    let (entries, _) = raw.as_chunks::<8>();
    Ok(entries.iter().map(|entry| u64::from_be_bytes(*entry)).collect())
}

impl BlockDevice for Qcow2 {
    fn geometry(&self) -> Geometry {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let read_only = tables.counts.is_none();
        Geometry { block_size: 512, size_bytes: self.header.size_bytes, read_only }
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let end = check_transfer(self.header.size_bytes, buf.len(), offset)?;
        let cluster_bytes = self.cluster_bytes();
        let (mut at, mut rest) = (offset, buf);
        while at < end {
            let skip = at & cluster_bytes.saturating_sub(1);
            let stop = at.saturating_sub(skip).saturating_add(cluster_bytes).min(end);
            let len = usize::try_from(stop.saturating_sub(at)).map_err(|_| Errno::EIO)?;
            let (part, tail) = rest.split_at_mut_checked(len).ok_or(Errno::EIO)?;
            let (cluster, entry) = self.locate(at)?;
            self.read_cluster(part, cluster, entry, skip)?;
            (at, rest) = (stop, tail);
        }
        Ok(())
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        self.write(buf, offset)
    }

    fn flush(&self) -> Result<()> {
        self.commit()
    }

    fn discard(&self, range: core::ops::Range<u64>) -> Result<()> {
        self.drop_range(range)
    }
}
