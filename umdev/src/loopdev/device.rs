//! `/dev/loopN`.

use super::info::{
    FLAG_AUTOCLEAR, FLAG_DIRECT_IO, FLAG_PARTSCAN, FLAG_READ_ONLY, INFO_BYTES, INFO64_BYTES,
    Identity, Info,
};
use super::request::{
    LOOP_CHANGE_FD, LOOP_CLR_FD, LOOP_CONFIGURE, LOOP_GET_STATUS, LOOP_GET_STATUS64,
    LOOP_SET_BLOCK_SIZE, LOOP_SET_CAPACITY, LOOP_SET_DIRECT_IO, LOOP_SET_FD, LOOP_SET_STATUS,
    LOOP_SET_STATUS64, LoopRequest,
};
use super::window::Window;
use crate::block::check_block_size;
use crate::disk::{Argument, Disk};
use abi::block::BlockDevice;
use abi::dev::{Device, DeviceKind, SubDevice, UserMemory};
use abi::{Errno, Result};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Flags that `LOOP_CONFIGURE` may set.
const CONFIGURABLE: u32 = FLAG_READ_ONLY | FLAG_AUTOCLEAR | FLAG_PARTSCAN | FLAG_DIRECT_IO;
/// Flags that `LOOP_SET_STATUS` may set; it clears autoclear alone.
const SETTABLE: u32 = FLAG_AUTOCLEAR | FLAG_PARTSCAN;

/// The file behind a loop device, as the caller found it behind the descriptor: a regular file or a
/// block device; for anything else the caller answers `EINVAL`.
#[derive(Clone)]
pub struct Backing {
    /// Its bytes.
    pub device: Arc<dyn BlockDevice>,
    /// The descriptor is open for writing.
    pub writable: bool,
    /// `st_dev` of the file.
    pub dev: u64,
    /// `st_ino` of the file.
    pub ino: u64,
    /// `st_rdev` of a block device, 0 for a regular file.
    pub rdev: u64,
    /// The file's name at the time, which `/sys/block/loopN/loop/backing_file` shows.
    pub path: String,
    /// The loop device that the descriptor is of, if it is one of this view.
    pub loop_below: Option<Arc<LoopDevice>>,
}

/// A bound loop device, for `/sys/block/loopN/loop`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoopStatus {
    /// The file's name.
    pub path: String,
    /// First byte shown.
    pub offset: u64,
    /// The most bytes shown, 0 for no limit.
    pub size_limit: u64,
    /// Unbinds at the last close.
    pub autoclear: bool,
    /// Has its partition table read.
    pub partscan: bool,
    /// The caller asked for direct transfers; they are made as all others.
    pub direct_io: bool,
    /// Refuses writes.
    pub read_only: bool,
}

enum Life {
    Unbound,
    Bound(Backing),
    /// Unbound by its only opener, who has it still open.
    RunDown,
    Removed,
}

struct State {
    life: Life,
    info: Info,
    block_size: u32,
}

impl State {
    fn bound(&self) -> Result<&Backing> {
        match &self.life {
            Life::Bound(backing) => Ok(backing),
            Life::Unbound | Life::RunDown | Life::Removed => Err(Errno::ENXIO),
        }
    }
}

/// A loop device: a [`Disk`] over whatever it is bound to.
pub struct LoopDevice {
    number: u32,
    window: Arc<Window>,
    disk: Disk,
    /// Taken before the disk's own lock.
    state: Mutex<State>,
    /// One for all loop devices of a view: held while a chain of them is judged and made longer.
    chain: Arc<Mutex<()>>,
}

impl LoopDevice {
    pub(super) fn new(number: u32, chain: Arc<Mutex<()>>) -> Result<Self> {
        let window = Arc::new(Window::new());
        let disk = Disk::new(window.clone(), false)?;
        let state = State { life: Life::Unbound, info: Info::default(), block_size: 512 };
        Ok(Self { number, window, disk, state: Mutex::new(state), chain })
    }

    /// The N of `/dev/loopN`.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// What it is bound to, if it is.
    #[must_use]
    pub fn status(&self) -> Option<LoopStatus> {
        let state = self.lock();
        let path = state.bound().ok()?.path.clone();
        let (info, flags) = (&state.info, state.info.flags);
        Some(LoopStatus {
            path,
            offset: info.offset,
            size_limit: info.size_limit,
            autoclear: flags & FLAG_AUTOCLEAR != 0,
            partscan: flags & FLAG_PARTSCAN != 0,
            direct_io: flags & FLAG_DIRECT_IO != 0,
            read_only: flags & FLAG_READ_ONLY != 0,
        })
    }

    /// Answers a request with a descriptor, which the caller has turned into `backing` (`EBADF`
    /// before if there is none). `writable`: the loop device's own descriptor is open for writing.
    ///
    /// # Errors
    /// In check order, as `loop_configure` and `loop_change_fd` of the kernel:
    /// - set, configure: `EBUSY` if it is bound or running down.
    /// - change: `ENXIO` if it is not bound, `EINVAL` if it is not read-only.
    /// - `EBADF` if the backing is this device, by any number of loop devices between.
    /// - `EINVAL` if the backing is a loop device that is not bound.
    /// - configure: `EINVAL` for unknown flags, encryption, or a block size that is not a power of
    ///   two from 512 to 4096; `EOVERFLOW` if offset or limit pass 2^63.
    /// - change: `EINVAL` if the length differs.
    pub fn bind(&self, request: LoopRequest, backing: Backing, writable: bool) -> Result<u64> {
        let chain = self.chain.clone();
        let _guard = chain.lock().unwrap_or_else(PoisonError::into_inner);
        match request {
            LoopRequest::SetFd(_) => self.configure(backing, 0, Info::default(), writable),
            LoopRequest::Configure(_, c) => self.configure(backing, c.block_size, c.info, writable),
            LoopRequest::ChangeFd(_) => self.change(backing),
        }
    }

    fn configure(
        &self,
        backing: Backing,
        block_size: u32,
        mut info: Info,
        writable: bool,
    ) -> Result<u64> {
        if !matches!(self.lock().life, Life::Unbound) {
            return Err(Errno::EBUSY);
        }
        self.check_chain(&backing)?;
        if info.flags & !CONFIGURABLE != 0 {
            return Err(Errno::EINVAL);
        }
        info.check()?;
        let block_size = self.checked_block_size(block_size)?;
        if !writable || !backing.writable || backing.device.geometry().read_only {
            info.flags |= FLAG_READ_ONLY;
        }
        let mut state = self.lock();
        *state = State { life: Life::Bound(backing), info, block_size };
        if let Err(errno) = self.show(&state) {
            // The backing changed its length under our hands.
            self.unbind(&mut state, Life::Unbound);
            return Err(errno);
        }
        if info.flags & FLAG_PARTSCAN != 0 {
            self.scan();
        }
        Ok(0)
    }

    fn change(&self, backing: Backing) -> Result<u64> {
        {
            let state = self.lock();
            state.bound()?;
            if state.info.flags & FLAG_READ_ONLY == 0 {
                return Err(Errno::EINVAL);
            }
        }
        self.check_chain(&backing)?;
        let mut state = self.lock();
        let old = state.bound()?.device.geometry().size_bytes;
        if backing.device.geometry().size_bytes != old {
            return Err(Errno::EINVAL);
        }
        state.life = Life::Bound(backing);
        self.show(&state)?;
        if state.info.flags & FLAG_PARTSCAN != 0 {
            self.scan();
        }
        Ok(0)
    }

    /// Follows loop devices below `backing`. The chain lock is held, so no two of them close a
    /// circle.
    fn check_chain(&self, backing: &Backing) -> Result<()> {
        let mut next = backing.loop_below.clone();
        while let Some(device) = next {
            if core::ptr::eq(&raw const *device, self) {
                return Err(Errno::EBADF);
            }
            next = match &device.lock().life {
                Life::Bound(below) => below.loop_below.clone(),
                Life::Unbound | Life::RunDown | Life::Removed => return Err(Errno::EINVAL),
            };
        }
        Ok(())
    }

    /// A sector size of a request, where 0 means the default.
    fn checked_block_size(&self, asked: u32) -> Result<u32> {
        if asked == 0 { Ok(512) } else { check_block_size(u64::from(asked)) }
    }

    /// Lets the window and the disk follow `state`.
    fn show(&self, state: &State) -> Result<()> {
        let part = (state.info.offset, state.info.size_limit);
        let read_only = state.info.flags & FLAG_READ_ONLY != 0;
        self.window.show(&state.bound()?.device, part, state.block_size, read_only)?;
        self.disk.remeasure(&*self.window)
    }

    /// Reads the partition table, as far as nobody has a partition open.
    fn scan(&self) {
        self.disk.set_partitioned(true);
        if let Err(errno) = self.disk.rescan() {
            tracing::warn!(%errno, loop_device = self.number, "partitions were not read");
        }
    }

    fn unbind(&self, state: &mut State, life: Life) {
        *state = State { life, info: Info::default(), block_size: 512 };
        self.window.clear();
        self.disk.set_partitioned(false);
        self.disk.reset();
        // A window of no bytes always fits.
        let _ = self.disk.remeasure(&*self.window);
    }

    /// `LOOP_CLR_FD`.
    fn clear(&self) -> Result<u64> {
        let mut state = self.lock();
        state.bound()?;
        if self.disk.opens() > 1 {
            state.info.flags |= FLAG_AUTOCLEAR;
        } else {
            state.life = Life::RunDown;
        }
        Ok(0)
    }

    fn set_status(&self, asked: Info) -> Result<u64> {
        let mut state = self.lock();
        state.bound()?;
        asked.check()?;
        let former = state.info.flags;
        let flags = (former & !FLAG_AUTOCLEAR) | (asked.flags & SETTABLE);
        state.info = asked;
        state.info.flags = flags;
        self.show(&state)?;
        if flags & !former & FLAG_PARTSCAN != 0 {
            self.scan();
        }
        Ok(0)
    }

    fn identity(&self, backing: &Backing) -> Identity {
        let (dev, ino, rdev) = (backing.dev, backing.ino, backing.rdev);
        Identity { dev, ino, rdev, number: self.number }
    }

    fn get_status(&self, old: bool, argument: &mut Argument<'_>) -> Result<u64> {
        if argument.address == 0 {
            return Err(Errno::EINVAL);
        }
        let state = self.lock();
        let identity = self.identity(state.bound()?);
        let info = state.info;
        drop(state);
        if old {
            argument.put(&info.to_info(&identity)?)
        } else {
            argument.put(&info.to_info64(&identity))
        }
    }

    fn set_block_size(&self, asked: u64) -> Result<u64> {
        let mut state = self.lock();
        state.bound()?;
        let asked = u32::try_from(asked).map_err(|_| Errno::EINVAL)?;
        state.block_size = self.checked_block_size(asked)?;
        self.show(&state).map(|()| 0)
    }

    fn set_direct_io(&self, on: bool) -> Result<u64> {
        let mut state = self.lock();
        state.bound()?;
        state.info.flags &= !FLAG_DIRECT_IO;
        if on {
            state.info.flags |= FLAG_DIRECT_IO;
        }
        Ok(0)
    }

    /// Takes the device away from its control; `EBUSY` if it is bound or open.
    pub(super) fn remove(&self) -> Result<()> {
        let mut state = self.lock();
        if !matches!(state.life, Life::Unbound) || self.disk.opens() != 0 {
            return Err(Errno::EBUSY);
        }
        state.life = Life::Removed;
        Ok(())
    }

    /// Whether it waits to be bound.
    pub(super) fn is_free(&self) -> bool {
        matches!(self.lock().life, Life::Unbound)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Device for LoopDevice {
    fn kind(&self) -> DeviceKind {
        DeviceKind::Block
    }

    fn subdevices(&self) -> Vec<SubDevice> {
        self.disk.subdevices()
    }

    fn block(&self, number: u32) -> Result<Arc<dyn BlockDevice>> {
        self.disk.block(number)
    }

    fn open(&self, number: u32, write: bool) -> Result<()> {
        let state = self.lock();
        if matches!(state.life, Life::Removed) {
            return Err(Errno::ENXIO);
        }
        self.disk.open(number, write)
    }

    fn release(&self, number: u32) {
        let mut state = self.lock();
        self.disk.release(number);
        if self.disk.opens() != 0 {
            return;
        }
        let autoclear = state.info.flags & FLAG_AUTOCLEAR != 0;
        match state.life {
            Life::RunDown => self.unbind(&mut state, Life::Unbound),
            Life::Bound(_) if autoclear => self.unbind(&mut state, Life::Unbound),
            Life::Bound(_) | Life::Unbound | Life::Removed => {}
        }
    }

    /// Answers the requests of loop(4), then those of every disk. A request with a descriptor must
    /// go to [`LoopDevice::bind`]: here it has none, and answers `EBADF`.
    fn ioctl(
        &self,
        number: u32,
        request: u32,
        arg: u64,
        memory: &mut dyn UserMemory,
    ) -> Result<u64> {
        self.disk.block(number)?;
        let mut argument = Argument { address: arg, memory };
        match request {
            LOOP_SET_FD | LOOP_CHANGE_FD | LOOP_CONFIGURE => Err(Errno::EBADF),
            LOOP_CLR_FD => self.clear(),
            LOOP_SET_STATUS => {
                let raw: [u8; INFO_BYTES] = argument.get()?;
                self.set_status(Info::from_info(&raw))
            }
            LOOP_SET_STATUS64 => {
                let raw: [u8; INFO64_BYTES] = argument.get()?;
                self.set_status(Info::from_info64(&raw))
            }
            LOOP_GET_STATUS => self.get_status(true, &mut argument),
            LOOP_GET_STATUS64 => self.get_status(false, &mut argument),
            LOOP_SET_CAPACITY => {
                let state = self.lock();
                self.show(&state).map(|()| 0)
            }
            LOOP_SET_DIRECT_IO => self.set_direct_io(arg != 0),
            LOOP_SET_BLOCK_SIZE => self.set_block_size(arg),
            _ => self.disk.ioctl(number, request, arg, argument.memory),
        }
    }

    fn flush(&self) -> Result<()> {
        self.disk.flush()
    }
}
