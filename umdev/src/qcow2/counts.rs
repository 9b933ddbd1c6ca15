//! The reference counts of an image's clusters, and new clusters at its end.
//!
//! A table leads to blocks of counts. A cluster is counted before anything leads to it and after nothing does any
//! more: a cut leaves clusters that are counted for nothing, never one that is used and not counted. What is freed is
//! not handed out again by this writer.

use super::Qcow2Error;
use super::header::{Header, RawHeader};
use abi::block::BlockDevice;
use abi::{Errno, Result};

/// The most that the table may take: the limit of QEMU.
const TABLE_BYTES_MAX: u64 = 8 << 20;
/// Bytes of a count: `refcount_order` 4.
const COUNT_BYTES: u64 = 2;
/// Where the header has the table's place, and behind it its length in clusters.
const HEADER_TABLE: u64 = 48;

/// The counts of an image that is written.
pub(super) struct Counts {
    cluster_bits: u32,
    /// Where the table is.
    place: u64,
    /// Places of the blocks, 0 for none.
    table: Vec<u64>,
    /// The first cluster behind the image's end.
    next: u64,
}

impl Counts {
    /// Reads the table.
    ///
    /// # Errors
    /// - `NotWritable`, if the counts are not of 16 bits or the table is not inside the image.
    pub(super) fn open(
        image: &dyn BlockDevice,
        raw: &RawHeader<'_>,
        header: &Header,
    ) -> core::result::Result<Self, Qcow2Error> {
        let (place, clusters) = raw.count_table();
        let image_bytes = image.geometry().size_bytes;
        let bytes = clusters.saturating_mul(header.cluster_bytes());
        let is_inside = place.checked_add(bytes).is_some_and(|end| end <= image_bytes);
        if !is_inside || bytes == 0 || bytes > TABLE_BYTES_MAX {
            return Err(Qcow2Error::NotWritable("a table of reference counts in no good place"));
        }
        let mut buf = vec![0u8; usize::try_from(bytes).unwrap_or(0)];
        image.read_at(&mut buf, place).map_err(Qcow2Error::Io)?;
        let table = buf.as_chunks::<8>().0.iter().map(|entry| u64::from_be_bytes(*entry)).collect();
        let next = image_bytes.div_ceil(header.cluster_bytes());
        Ok(Self { cluster_bits: header.cluster_bits, place, table, next })
    }

    fn bytes_of(&self, clusters: u64) -> Result<u64> {
        clusters.checked_mul(1 << self.cluster_bits).ok_or(Errno::ENOSPC)
    }

    /// A new cluster with a count of 1; returns its place. The image is longer by it.
    ///
    /// # Errors
    /// - `ENOSPC`, `EIO`
    pub(super) fn allocate(&mut self, image: &dyn BlockDevice) -> Result<u64> {
        let cluster = self.take(image, 1)?;
        self.set(image, cluster, 1)?;
        self.bytes_of(cluster)
    }

    /// The first of `count` clusters behind the end, which moves.
    fn take(&mut self, image: &dyn BlockDevice, count: u64) -> Result<u64> {
        let first = self.next;
        let next = first.checked_add(count).ok_or(Errno::ENOSPC)?;
        let end = self.bytes_of(next)?;
        image.grow(end).map_err(|errno| match errno {
            Errno::EOPNOTSUPP => Errno::ENOSPC,
            other => other,
        })?;
        self.next = next;
        Ok(first)
    }

    /// Where the count of a cluster is: the number of its block, and the byte in it.
    fn locate(&self, cluster: u64) -> (usize, u64) {
        let per_block = (1u64 << self.cluster_bits) / COUNT_BYTES;
        let block = usize::try_from(cluster >> per_block.trailing_zeros()).unwrap_or(usize::MAX);
        let index = cluster & per_block.saturating_sub(1);
        (block, index.saturating_mul(COUNT_BYTES))
    }

    fn get(&self, image: &dyn BlockDevice, cluster: u64) -> Result<u16> {
        let (block, at) = self.locate(cluster);
        match self.table.get(block) {
            None | Some(0) => Ok(0),
            Some(place) => {
                let mut count = [0; 2];
                image.read_at(&mut count, place.saturating_add(at)).map_err(|_| Errno::EIO)?;
                Ok(u16::from_be_bytes(count))
            }
        }
    }

    fn set(&mut self, image: &dyn BlockDevice, cluster: u64, count: u16) -> Result<()> {
        let (block, at) = self.locate(cluster);
        if block >= self.table.len() {
            self.grow_table(image, block)?;
        }
        if self.table.get(block) == Some(&0) {
            self.add_block(image, block)?;
        }
        let place = self.table.get(block).copied().ok_or(Errno::EIO)?;
        let at = place.checked_add(at).ok_or(Errno::EIO)?;
        let end = at.checked_add(COUNT_BYTES).ok_or(Errno::EIO)?;
        if end > image.geometry().size_bytes {
            tracing::warn!(place, "qcow2 image is corrupt: a block of counts past its end");
            return Err(Errno::EIO);
        }
        image.write_at(&count.to_be_bytes(), at).map_err(|_| Errno::EIO)
    }

    /// Makes a block of counts, which is counted itself, maybe in itself.
    fn add_block(&mut self, image: &dyn BlockDevice, block: usize) -> Result<()> {
        let cluster = self.take(image, 1)?;
        let place = self.bytes_of(cluster)?;
        let zeroes = vec![0u8; 1 << self.cluster_bits];
        image.write_at(&zeroes, place).map_err(|_| Errno::EIO)?;
        *self.table.get_mut(block).ok_or(Errno::EIO)? = place;
        self.set(image, cluster, 1)?;
        // The block is whole before the table leads to it.
        image.flush()?;
        let offset = u64::try_from(block).unwrap_or(u64::MAX).saturating_mul(8);
        image
            .write_at(&place.to_be_bytes(), self.place.saturating_add(offset))
            .map_err(|_| Errno::EIO)
    }

    /// Puts a longer table behind the end, so that it has `block`, and gives the old one back.
    fn grow_table(&mut self, image: &dyn BlockDevice, block: usize) -> Result<()> {
        let cluster_bytes = 1u64 << self.cluster_bits;
        let entries =
            u64::try_from(block.max(self.table.len())).unwrap_or(u64::MAX).saturating_mul(2);
        let clusters = entries.saturating_mul(8).div_ceil(cluster_bytes).max(1);
        if clusters.saturating_mul(cluster_bytes) > TABLE_BYTES_MAX {
            return Err(Errno::ENOSPC);
        }
        let first = self.take(image, clusters)?;
        let (old_place, old_bytes) = (self.place, self.table.len().saturating_mul(8));
        let length = usize::try_from(clusters.saturating_mul(cluster_bytes) / 8).unwrap_or(0);
        self.table.resize(length, 0);
        self.place = self.bytes_of(first)?;
        for cluster in first..first.saturating_add(clusters) {
            self.set(image, cluster, 1)?;
        }
        let bytes: Vec<u8> = self.table.iter().flat_map(|entry| entry.to_be_bytes()).collect();
        image.write_at(&bytes, self.place).map_err(|_| Errno::EIO)?;
        image.flush()?;
        let mut fields = self.place.to_be_bytes().to_vec();
        fields.extend(u32::try_from(clusters).unwrap_or(0).to_be_bytes());
        image.write_at(&fields, HEADER_TABLE).map_err(|_| Errno::EIO)?;
        image.flush()?;
        let old_clusters = u64::try_from(old_bytes).unwrap_or(0).div_ceil(cluster_bytes);
        let old_first = old_place >> self.cluster_bits;
        (old_first..old_first.saturating_add(old_clusters))
            .try_for_each(|c| self.free(image, c).map(drop))
    }

    /// Takes one from the count of a cluster; whether nothing uses it any more.
    ///
    /// # Errors
    /// - `EIO`
    pub(super) fn free(&mut self, image: &dyn BlockDevice, cluster: u64) -> Result<bool> {
        match self.get(image, cluster)? {
            0 => Ok(false),
            count => {
                self.set(image, cluster, count.saturating_sub(1))?;
                Ok(count == 1)
            }
        }
    }
}
