//! A disk with partitions: what `/dev/hda` and `/dev/hda1` are.
//!
//! The whole is a window over the device behind, and each partition is a window over the whole, so
//! that all of them see the same bytes and a read-only whole makes every partition so. Analogous to
//! `struct gendisk`.

mod argument;
mod blkpg;
mod ioctl;
pub mod request;

pub(crate) use argument::Argument;

use crate::block::Partition;
use crate::table::Table;
use abi::block::BlockDevice;
use abi::dev::{Device, DeviceKind, SubDevice, UserMemory};
use abi::{Errno, Result};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The number that the next disk of this process gets. The one global: two disks never share it.
static NEXT_SEQUENCE: AtomicU64 = AtomicU64::new(1);

/// The readahead of a disk that nobody set, in 512-byte sectors.
const READAHEAD_SECTORS: u64 = 256;

/// The whole or a partition.
struct Node {
    window: Arc<Partition>,
    opens: u32,
    /// What `BLKBSZGET` answers, in bytes.
    soft_block: u32,
}

impl Node {
    fn new(window: Partition) -> Self {
        let soft_block = soft_block(&window);
        Self { window: Arc::new(window), opens: 0, soft_block }
    }
}

/// The block size that the kernel starts with: the largest up to a page that divides the length.
fn soft_block(window: &Partition) -> u32 {
    let geometry = window.geometry();
    let fits = |n: &u32| geometry.size_bytes.is_multiple_of(u64::from(*n));
    [4096u32, 2048, 1024]
        .into_iter()
        .filter(|n| *n > geometry.block_size)
        .find(fits)
        .unwrap_or(geometry.block_size)
}

struct State {
    whole: Node,
    parts: BTreeMap<u32, Node>,
    /// The whole was opened for writing since the table was read.
    may_be_written: bool,
}

impl State {
    fn node(&self, number: u32) -> Result<&Node> {
        if number == 0 { Ok(&self.whole) } else { self.parts.get(&number).ok_or(Errno::ENXIO) }
    }

    fn node_mut(&mut self, number: u32) -> Result<&mut Node> {
        if number == 0 {
            Ok(&mut self.whole)
        } else {
            self.parts.get_mut(&number).ok_or(Errno::ENXIO)
        }
    }

    fn has_open_partition(&self) -> bool {
        self.parts.values().any(|part| part.opens != 0)
    }
}

/// A block device that has partitions, or may get some.
pub struct Disk {
    whole: Arc<Partition>,
    partitioned: AtomicBool,
    sequence: u64,
    readahead_sectors: AtomicU64,
    /// Never held over a transfer, but for reading the table.
    state: Mutex<State>,
}

impl Disk {
    /// Makes a disk of `device`, whose length counts down to a whole sector, and reads its
    /// partition table if it is `partitioned`. A table that can't be read is logged: the disk has
    /// no partitions then.
    ///
    /// # Errors
    /// - `EINVAL` if the device's sector is not a power of two from 512 to 4096.
    pub fn new(device: Arc<dyn BlockDevice>, partitioned: bool) -> Result<Self> {
        let size = whole_sectors(&*device)?;
        let whole = Node::new(Partition::new(device, 0, size)?);
        let disk = Self {
            whole: whole.window.clone(),
            partitioned: AtomicBool::new(partitioned),
            sequence: NEXT_SEQUENCE.fetch_add(1, Ordering::Relaxed),
            readahead_sectors: AtomicU64::new(READAHEAD_SECTORS),
            state: Mutex::new(State { whole, parts: BTreeMap::new(), may_be_written: false }),
        };
        if partitioned && let Err(errno) = disk.rescan() {
            tracing::warn!(%errno, "disk without partitions: its table can't be read");
        }
        Ok(disk)
    }

    /// Reads the partition table again. Partitions that are where they were stay the same object;
    /// others are closed to who still holds them.
    ///
    /// # Errors
    /// In check order:
    /// - `EINVAL` if the disk is not partitioned.
    /// - `EBUSY` if a partition is open.
    /// - `EIO` if the table can't be read; the partitions are gone then.
    pub fn rescan(&self) -> Result<()> {
        if !self.is_partitioned() {
            return Err(Errno::EINVAL);
        }
        let mut state = self.lock();
        if state.has_open_partition() {
            return Err(Errno::EBUSY);
        }
        state.may_be_written = false;
        let table = Table::read(&*self.whole);
        let answer = table.as_ref().map(|_| ()).map_err(|errno| *errno);
        self.adopt(&mut state, &table.unwrap_or_default());
        answer
    }

    /// Whether the disk has a partition table that is looked for.
    #[must_use]
    pub fn is_partitioned(&self) -> bool {
        self.partitioned.load(Ordering::Acquire)
    }

    /// Begins to look for partitions: `LO_FLAGS_PARTSCAN`.
    pub(crate) fn set_partitioned(&self, partitioned: bool) {
        self.partitioned.store(partitioned, Ordering::Release);
    }

    /// Takes the length of `device`, which is the one behind, anew: partitions are unchanged.
    pub(crate) fn remeasure(&self, device: &dyn BlockDevice) -> Result<()> {
        self.whole.resize(whole_sectors(device)?)?;
        let mut state = self.lock();
        state.whole.soft_block = soft_block(&self.whole);
        Ok(())
    }

    /// Forgets all partitions, open or not, and the read-only mark: what is behind is not what it
    /// was.
    pub(crate) fn reset(&self) {
        self.adopt(&mut self.lock(), &Table::default());
        self.whole.set_read_only(false);
    }

    /// Opens of the whole and of all partitions.
    pub(crate) fn opens(&self) -> u32 {
        let state = self.lock();
        let parts = state.parts.values().map(|p| p.opens);
        parts.fold(state.whole.opens, u32::saturating_add)
    }

    /// Makes the partitions those of `table`.
    fn adopt(&self, state: &mut State, table: &Table) {
        let block_size = self.whole.geometry().block_size;
        let mut former = core::mem::take(&mut state.parts);
        for entry in &table.entries {
            let start = entry.lba_first.saturating_mul(u64::from(block_size));
            let size = entry.device_bytes(block_size);
            let same = former.get(&entry.number).is_some_and(|n| n.window.start_bytes() == start);
            let node = match former.remove(&entry.number) {
                Some(node) if same && node.window.resize(size).is_ok() => {
                    node.window.set_read_only(false);
                    node
                }
                gone => {
                    close(gone);
                    match Partition::new(self.whole.clone(), start, size) {
                        Ok(window) => Node::new(window),
                        // The table was cut to the disk, so only a disk that shrank comes here.
                        Err(errno) => {
                            tracing::warn!(%errno, number = entry.number, "partition left out");
                            continue;
                        }
                    }
                }
            };
            if overlaps(state, start, size, 0) && !entry.is_extended() {
                tracing::warn!(number = entry.number, "partition overlaps another");
            }
            state.parts.insert(entry.number, node);
        }
        former.into_values().for_each(|node| close(Some(node)));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn window(&self, number: u32) -> Result<Arc<Partition>> {
        Ok(self.lock().node(number)?.window.clone())
    }
}

/// Closes a partition's window to whoever still holds it.
fn close(node: Option<Node>) {
    if let Some(node) = node {
        // Length 0 fits anywhere.
        let _ = node.window.resize(0);
    }
}

/// Whether a partition other than `except` shares a byte with `start .. start + size`.
fn overlaps(state: &State, start: u64, size: u64, except: u32) -> bool {
    let end = start.saturating_add(size);
    state.parts.iter().any(|(number, part)| {
        let (from, len) = (part.window.start_bytes(), part.window.size_bytes());
        *number != except && from < end && start < from.saturating_add(len)
    })
}

/// The length of `device` in bytes, down to a whole sector.
fn whole_sectors(device: &dyn BlockDevice) -> Result<u64> {
    let geometry = device.geometry();
    let sector = u64::from(crate::block::check_block_size(u64::from(geometry.block_size))?);
    let odd = geometry.size_bytes.checked_rem(sector).unwrap_or(0);
    Ok(geometry.size_bytes.saturating_sub(odd))
}

impl Device for Disk {
    fn kind(&self) -> DeviceKind {
        DeviceKind::Block
    }

    fn subdevices(&self) -> Vec<SubDevice> {
        let state = self.lock();
        core::iter::once((0, &state.whole))
            .chain(state.parts.iter().map(|(number, node)| (*number, node)))
            .map(|(number, node)| SubDevice {
                number,
                size_bytes: node.window.size_bytes(),
                start_bytes: node.window.start_bytes(),
            })
            .collect()
    }

    fn block(&self, number: u32) -> Result<Arc<dyn BlockDevice>> {
        Ok(self.window(number)?)
    }

    fn open(&self, number: u32, write: bool) -> Result<()> {
        let mut state = self.lock();
        let node = state.node_mut(number)?;
        if write && node.window.geometry().read_only {
            return Err(Errno::EROFS);
        }
        node.opens = node.opens.saturating_add(1);
        if write && number == 0 {
            state.may_be_written = true;
        }
        Ok(())
    }

    /// Ends an open. The last one of a whole disk that was open for writing has the table read
    /// again, if no partition is open: the kernel leaves that to udev, which asks for it whenever a
    /// writer closes a disk, and a view has no udev.
    fn release(&self, number: u32) {
        let mut state = self.lock();
        let Ok(node) = state.node_mut(number) else { return };
        node.opens = node.opens.saturating_sub(1);
        let last = number == 0 && node.opens == 0;
        let due = last && state.may_be_written && !state.has_open_partition();
        drop(state);
        if due && self.is_partitioned() {
            // What it says is logged there; a close has nobody to tell.
            let _ = self.rescan();
        }
    }

    fn ioctl(
        &self,
        number: u32,
        request: u32,
        arg: u64,
        memory: &mut dyn UserMemory,
    ) -> Result<u64> {
        self.answer(number, request, Argument { address: arg, memory })
    }

    fn flush(&self) -> Result<()> {
        self.whole.flush()
    }
}
