//! Open virtual files, and the real descriptors that stand for them.
//!
//! One [`VFile`] stands for one inode: all its openers share one placeholder, so offsets, locks, maps and
//! descriptors in flight are the kernel's business. Small files have their bytes in the placeholder from the
//! start ("filled"): reading them is native. Large files and devices are served call by call, until somebody
//! maps them. Writing always passes the monitor, which writes to the driver first.

mod backing;
mod fill;
mod sweep;
mod writers;

use crate::monitor::Monitor;
use crate::mounts::{Content, Mount};
use crate::namei::{DevicePlace, Place, VirtualPlace};
use crate::path;
use crate::placeholder::{self, Identity};
use crate::statbuf::Info;
use abi::dev::DevNum;
use abi::fs::{Attr, Caller, FileKind, FileSystem, Handle, Ino, OpenFlags, Opened, Timestamp};
use abi::{Errno, Result};
pub(crate) use backing::Accelerator;
use backing::Backing;
use engine::{Tid, Tracee};
use fill::{Budget, Charge};
use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Instant;
use syscalls::GroupSet;
use umfuse::kernel_files::DriverFile;

/// Files up to this many bytes are read whole when they are opened.
pub(crate) const FILLED_BYTES_MAX: u64 = 256 << 10;
/// How many virtual files may be known before those that nobody holds are let go.
const FILES_BEFORE_SWEEP: usize = 512;

/// What a virtual file is.
pub(crate) enum VKind {
    /// A regular file of a driver.
    File { mount: Arc<Mount>, ino: Ino },
    /// A directory of a driver.
    Directory(VirtualPlace),
    /// A FIFO of a driver: a pipe of the kernel's.
    Fifo { mount: Arc<Mount>, ino: Ino },
    /// A directory of the host under another name.
    HostDirectory(Place),
    /// A special file.
    Device { mount: Arc<Mount>, number: u32 },
    /// Anything opened with `O_PATH`, or a file that umproc shows.
    Other(Place),
}

/// An open virtual file.
pub(crate) struct VFile {
    pub(crate) kind: VKind,
    pub(crate) identity: Identity,
    /// Canonical path in the view when it was opened, or after the last rename in the view.
    view_path: RwLock<Vec<u8>>,
    backing: Backing,
    state: Mutex<State>,
    /// Names of a host's directory, as of the last rewind.
    pub(crate) listing: Mutex<Vec<(Vec<u8>, u64, u8)>>,
    /// Young files are not swept: their descriptor may be on its way.
    born: Instant,
    /// What it was when it lost its last name, where nothing keeps its inode: the number may be another file's since.
    gone: OnceLock<Attr>,
    /// Somebody may have it open for writing.
    may_be_written: AtomicBool,
}

/// What changes while it is open.
#[derive(Default)]
pub(crate) struct State {
    reader: Option<Handle>,
    writer: Option<Handle>,
    /// The placeholder holds all bytes.
    pub(crate) is_filled: bool,
    /// Where it does not, the bytes at the front that it holds.
    filled_bytes: u64,
    charge: Charge,
    scratch: Vec<u8>,
    /// Somebody may have written to the placeholder through a map.
    pub(crate) is_mapped_shared: bool,
}

/// All open virtual files.
#[derive(Default)]
pub(crate) struct VFiles {
    by_identity: RwLock<HashMap<Identity, Arc<VFile>>>,
    /// How many of them are directories; changed with the map's lock.
    directories: AtomicUsize,
    by_inode: Mutex<HashMap<(u64, u64), Arc<VFile>>>,
    next_sweep: AtomicUsize,
    pub(crate) budget: Arc<Budget>,
    pub(crate) mapped: AtomicUsize,
    pub(crate) accelerator: Accelerator,
}

impl VFile {
    /// Its canonical path in the view.
    pub(crate) fn view_path(&self) -> Vec<u8> {
        self.view_path.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_directory(&self) -> bool {
        match &self.kind {
            VKind::Directory(_) | VKind::HostDirectory(_) => true,
            VKind::Other(place) => place.is_directory(),
            VKind::File { .. } | VKind::Fifo { .. } | VKind::Device { .. } => false,
        }
    }

    /// Whether the kernel has its pages and asks us for them: all calls but those for attributes are its business.
    pub(crate) fn is_kernels(&self) -> bool {
        self.backing.kernel_file().is_some()
    }

    /// Its attributes at the loss of its last name, where its inode was lost with that.
    pub(crate) fn gone(&self) -> Option<&Attr> {
        self.gone.get()
    }

    fn fs(&self) -> Result<&Arc<dyn FileSystem>> {
        match &self.kind {
            VKind::File { mount, .. } | VKind::Fifo { mount, .. } => mount.tree().ok_or(Errno::EIO),
            _ => Err(Errno::EINVAL),
        }
    }

    pub(crate) fn mount(&self) -> Option<&Arc<Mount>> {
        match &self.kind {
            VKind::File { mount, .. } | VKind::Fifo { mount, .. } | VKind::Device { mount, .. } => {
                Some(mount)
            }
            VKind::Directory(v) => Some(&v.mount),
            VKind::Other(Place::Virtual(v)) => Some(&v.mount),
            VKind::Other(Place::Device(d)) => Some(&d.mount),
            _ => None,
        }
    }

    /// The driver's handle for reading or writing, opened when first needed.
    pub(crate) fn handle(&self, state: &mut State, write: bool) -> Result<Handle> {
        let VKind::File { ino, .. } = &self.kind else { return Err(Errno::EINVAL) };
        let slot = if write { &mut state.writer } else { &mut state.reader };
        if let Some(handle) = *slot {
            return Ok(handle);
        }
        let flags = if write { OpenFlags::READ | OpenFlags::WRITE } else { OpenFlags::READ };
        match self.fs()?.open(Caller::default(), *ino, flags)? {
            Opened::Handle(handle) => {
                *slot = Some(handle);
                Ok(handle)
            }
            Opened::Host(_) => Err(Errno::EIO),
        }
    }

    /// The driver's handle of a directory; opened anew at a rewind, so that its names are those of that moment.
    pub(crate) fn directory_handle(&self, caller: Caller, rewound: bool) -> Result<Handle> {
        let VKind::Directory(v) = &self.kind else { return Err(Errno::ENOTDIR) };
        let fs = v.mount.tree().ok_or(Errno::EIO)?;
        let mut state = self.state();
        if let Some(handle) = state.reader {
            if !rewound {
                return Ok(handle);
            }
            fs.release(handle);
            state.reader = None;
        }
        let Opened::Handle(handle) = fs.open(caller, v.attr.ino, OpenFlags::READ)? else {
            return Err(Errno::EIO);
        };
        state.reader = Some(handle);
        Ok(handle)
    }

    /// Another open file of what stands for it.
    pub(crate) fn reopen(&self, flags: i32) -> Result<OwnedFd> {
        self.backing.open(flags)
    }

    /// Adopts a handle that `create` gave.
    pub(crate) fn adopt_writer(&self, handle: Handle) {
        match self.backing.kernel_file() {
            Some(file) => file.content.adopt_writer(handle),
            None => self.state().writer = Some(handle),
        }
    }

    /// Length in bytes.
    pub(crate) fn size(&self) -> Result<u64> {
        match &self.kind {
            VKind::File { ino, .. } => Ok(self.fs()?.getattr(*ino)?.size_bytes),
            VKind::Device { mount, number } => Ok(device_size(mount, *number)),
            _ => Ok(0),
        }
    }

    /// Reads from the driver or device at an offset.
    pub(crate) fn read_at(&self, state: &mut State, buf: &mut [u8], offset: u64) -> Result<usize> {
        match &self.kind {
            VKind::File { .. } => {
                let handle = self.handle(state, false)?;
                self.fs()?.read(handle, buf, offset)
            }
            VKind::Device { mount, number } => {
                let Content::Device { device, .. } = &mount.content else {
                    return Err(Errno::EIO);
                };
                if device.kind() == abi::dev::DeviceKind::Char {
                    return device.read(*number, buf, offset);
                }
                let block = device.block(*number)?;
                let size = block.geometry().size_bytes;
                let n = usize::try_from(size.saturating_sub(offset)).unwrap_or(usize::MAX);
                let n = n.min(buf.len());
                block.read_at(&mut buf[..n], offset)?;
                Ok(n)
            }
            _ => Err(Errno::EISDIR),
        }
    }

    /// Writes to the driver or device, then to the placeholder where that holds the bytes.
    pub(crate) fn write_at(&self, state: &mut State, buf: &[u8], offset: u64) -> Result<usize> {
        match &self.kind {
            VKind::File { .. } => {
                let handle = self.handle(state, true)?;
                let n = self.fs()?.write(handle, buf, offset)?;
                let end = offset + n as u64;
                if state.is_filled {
                    self.backing.write_all_at(&buf[..n], offset)?;
                    return Ok(n);
                }
                // What was copied behind this place is no longer what the driver has.
                state.filled_bytes = state.filled_bytes.min(offset);
                if let Some(placeholder) = self.backing.placeholder()
                    && end > placeholder.metadata()?.len()
                {
                    placeholder.set_len(end)?;
                }
                Ok(n)
            }
            VKind::Device { mount, number } => {
                let Content::Device { device, .. } = &mount.content else {
                    return Err(Errno::EIO);
                };
                if device.kind() == abi::dev::DeviceKind::Char {
                    return device.write(*number, buf, offset);
                }
                let block = device.block(*number)?;
                let size = block.geometry().size_bytes;
                let n = usize::try_from(size.saturating_sub(offset)).unwrap_or(usize::MAX);
                let n = n.min(buf.len());
                if n == 0 && !buf.is_empty() {
                    return Err(Errno::ENOSPC);
                }
                block.write_at(&buf[..n], offset)?;
                if state.is_filled {
                    self.backing.write_all_at(&buf[..n], offset)?;
                }
                Ok(n)
            }
            _ => Err(Errno::EBADF),
        }
    }

    /// Copies all bytes into the placeholder, so that reads and maps of it are right.
    pub(crate) fn fill(&self, state: &mut State) -> Result<()> {
        if state.is_filled || !matches!(self.kind, VKind::File { .. } | VKind::Device { .. }) {
            return Ok(());
        }
        let size = self.size()?;
        self.backing.set_len(size)?;
        let mut buf = vec![0; usize::try_from(size).unwrap_or(usize::MAX).clamp(1, 1 << 20)];
        let mut offset = 0;
        while offset < size {
            let n = self.read_at(state, &mut buf, offset)?;
            if n == 0 {
                break;
            }
            // Holes stay holes: a sparse file must not fill the memory.
            if buf[..n].iter().any(|&b| b != 0) {
                self.backing.write_all_at(&buf[..n], offset)?;
            }
            offset += n as u64;
        }
        state.is_filled = true;
        Ok(())
    }

    /// Writes back what was changed through a shared map.
    pub(crate) fn flush_maps(&self) -> Result<()> {
        let mut state = self.state();
        let Some(placeholder) = self.backing.placeholder() else { return Ok(()) };
        if !state.is_mapped_shared || !state.is_filled {
            return Ok(());
        }
        let size = self.size()?;
        let mut ours = vec![0; 1 << 16];
        let mut theirs = vec![0; 1 << 16];
        let mut offset = 0;
        while offset < size {
            let want = usize::try_from(size - offset).unwrap_or(usize::MAX).min(ours.len());
            let n = placeholder.read_at(&mut ours[..want], offset)?;
            if n == 0 {
                break;
            }
            let m = self.read_at(&mut state, &mut theirs[..n], offset)?;
            if m != n || ours[..n] != theirs[..n] {
                self.write_at(&mut state, &ours[..n], offset)?;
            }
            offset += n as u64;
        }
        Ok(())
    }

    /// Has the kernel write what it holds of a file of its own that was not written yet.
    pub(crate) fn write_pages(&self) -> Result<()> {
        match self.backing.kernel_file() {
            Some(file) if file.content.is_written() => {
                File::from(self.backing.open(libc::O_WRONLY)?).sync_data().map_err(Errno::from)
            }
            _ => Ok(()),
        }
    }

    /// After the driver changed bytes behind the placeholder's back (fallocate).
    pub(crate) fn refresh(&self) -> Result<()> {
        let mut state = self.state();
        let was_filled = state.is_filled;
        self.backing.set_len(0)?;
        self.backing.set_len(self.size()?)?;
        state.is_filled = false;
        state.filled_bytes = 0;
        if was_filled { self.fill(&mut state) } else { Ok(()) }
    }

    /// After the driver changed the length: the placeholder follows.
    pub(crate) fn resized(&self, size: u64) -> Result<()> {
        let mut state = self.state();
        state.filled_bytes = state.filled_bytes.min(size);
        self.backing.set_len(size)
    }

    /// Attributes as the view shows them.
    pub(crate) fn info(&self, monitor: &Monitor) -> Result<Info> {
        if let (Some(gone), Some(mount)) = (self.gone(), self.mount()) {
            return Ok(monitor.virtual_info(mount, gone.clone()));
        }
        match &self.kind {
            VKind::File { mount, ino } | VKind::Fifo { mount, ino } => {
                let attr = self.fs()?.getattr(*ino)?;
                Ok(monitor.virtual_info(mount, attr))
            }
            VKind::Directory(v) => {
                let fs = v.mount.tree().ok_or(Errno::EIO)?;
                let attr = match fs.getattr(v.attr.ino) {
                    // It was removed: nothing of it is left but what it was.
                    Err(Errno::ESTALE | Errno::ENOENT) => Attr { nlink: 0, ..v.attr.clone() },
                    attr => attr?,
                };
                Ok(monitor.virtual_info(&v.mount, attr))
            }
            // The placeholder of one that was removed is a removed directory, too.
            VKind::HostDirectory(place) => match monitor.info_of(place) {
                Err(Errno::ENOENT) => {
                    let s = self.backing.placeholder().ok_or(Errno::ENOENT)?;
                    let s = nix::sys::stat::fstat(s).map_err(crate::hostview::errno)?;
                    Ok(Info::of_host(&s))
                }
                info => info,
            },
            VKind::Other(place) => monitor.info_of(place),
            VKind::Device { mount, number } => Ok(device_info(mount, *number)),
        }
    }
}

impl Drop for VFile {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let handles = [state.reader.take(), state.writer.take()];
        if let VKind::Device { mount, number } = &self.kind
            && let Content::Device { device, .. } = &mount.content
        {
            device.release(*number);
        }
        let mount = match &self.kind {
            VKind::File { mount, .. } => Some(mount),
            VKind::Directory(v) => Some(&v.mount),
            _ => None,
        };
        if let Some(fs) = mount.and_then(|m| m.tree()) {
            for handle in handles.into_iter().flatten() {
                fs.release(handle);
            }
        }
    }
}

/// Length of a sub-device in bytes.
pub(crate) fn device_size(mount: &Mount, number: u32) -> u64 {
    match &mount.content {
        Content::Device { device, .. } => {
            device.subdevices().iter().find(|s| s.number == number).map_or(0, |s| s.size_bytes)
        }
        _ => 0,
    }
}

/// Attributes of a special file of umdev.
pub(crate) fn device_info(mount: &Mount, number: u32) -> Info {
    let Content::Device { device, numbers, perm, uid, gid } = &mount.content else {
        unreachable!("only devices are asked");
    };
    let kind = match device.kind() {
        abi::dev::DeviceKind::Block => FileKind::BlockDevice,
        abi::dev::DeviceKind::Char => FileKind::CharDevice,
    };
    let birth = Timestamp { seconds: monitor_start(), nanos: 0 };
    let attr = Attr {
        ino: Ino(mount.id << 16 | u64::from(number)),
        kind,
        perm: *perm,
        nlink: 1,
        uid: *uid,
        gid: *gid,
        rdev: DevNum { major: numbers.major, minor: numbers.minor + number },
        size_bytes: 0,
        blocks_512: 0,
        block_size: 4096,
        atime: birth,
        mtime: birth,
        ctime: birth,
        btime: None,
    };
    Info { dev: mount.dev.to_raw(), attr, mount_id: mount.id }
}

/// Seconds since 1970 when the monitor looked first.
fn monitor_start() -> i64 {
    static START: OnceLock<i64> = OnceLock::new();
    *START.get_or_init(|| Timestamp::now().seconds)
}

/// A descriptor ready to be handed over, and what its holder must be trapped for.
pub(crate) struct Prepared {
    pub(crate) fd: OwnedFd,
    pub(crate) groups: GroupSet,
}

impl VFiles {
    fn insert(&self, file: Arc<VFile>, key: Option<(u64, u64)>) {
        let mut map = self.by_identity.write().unwrap_or_else(PoisonError::into_inner);
        let is_directory = file.is_directory();
        let former = map.insert(file.identity, Arc::clone(&file));
        if is_directory && former.as_ref().is_none_or(|f| !f.is_directory()) {
            self.directories.fetch_add(1, Ordering::Release);
        }
        drop(map);
        if let Some(key) = key {
            self.by_inode.lock().unwrap_or_else(PoisonError::into_inner).insert(key, file);
        }
    }

    fn make(kind: VKind, view_path: &[u8], backing: File, filled: bool) -> Result<Arc<VFile>> {
        Self::make_with(kind, view_path, Backing::Placeholder(backing), filled)
    }

    fn make_with(
        kind: VKind,
        view_path: &[u8],
        backing: Backing,
        filled: bool,
    ) -> Result<Arc<VFile>> {
        Ok(Arc::new(VFile {
            kind,
            identity: backing.identity()?,
            view_path: RwLock::new(view_path.to_vec()),
            backing,
            state: Mutex::new(State { is_filled: filled, ..State::default() }),
            listing: Mutex::new(Vec::new()),
            born: Instant::now(),
            gone: OnceLock::new(),
            may_be_written: AtomicBool::new(false),
        }))
    }

    /// The virtual file of a regular inode, made if nobody has it open. Where the kernel can have its pages, it gets
    /// those of files that are `written` and of large ones; small ones that are read are quicker in memory.
    pub(crate) fn regular(&self, place: &VirtualPlace, written: bool) -> Result<Arc<VFile>> {
        let key = (place.mount.id, place.attr.ino.0);
        if let Some(known) = self.of_inode(place.mount.id, place.attr.ino) {
            return Ok(known);
        }
        let name = path::split(place.names.view()).map_or(&b"file"[..], |(_, n)| n);
        let size = place.attr.size_bytes;
        let is_kernels = written || size > FILLED_BYTES_MAX;
        let (backing, is_filled) = match self.accelerator.files().filter(|_| is_kernels) {
            Some(files) => {
                let fs = place.mount.tree().ok_or(Errno::EIO)?;
                let content = DriverFile::new(Arc::clone(fs), place.attr.ino);
                (Backing::Kernel(files.add(content, name)), true)
            }
            None => {
                let memory = placeholder::memfd(name)?;
                // Smaller ones get their length with their bytes.
                if size > FILLED_BYTES_MAX {
                    memory.set_len(size)?;
                }
                (Backing::Placeholder(memory), size == 0)
            }
        };
        let kind = VKind::File { mount: Arc::clone(&place.mount), ino: place.attr.ino };
        let file = Self::make_with(kind, place.names.view(), backing, is_filled)?;
        Ok(self.first_of(key, file))
    }

    /// Takes a file in under its inode, unless another thread was first: then that one's.
    fn first_of(&self, key: (u64, u64), file: Arc<VFile>) -> Arc<VFile> {
        let mut map = self.by_inode.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = map.get(&key) {
            return Arc::clone(known);
        }
        map.insert(key, Arc::clone(&file));
        drop(map);
        self.insert(Arc::clone(&file), None);
        file
    }

    /// A known open file of an inode.
    pub(crate) fn of_inode(&self, mount: u64, ino: Ino) -> Option<Arc<VFile>> {
        self.by_inode.lock().unwrap_or_else(PoisonError::into_inner).get(&(mount, ino.0)).cloned()
    }

    /// Opens a regular file; `flags` are those of open(2) after `O_TRUNC` was done.
    pub(crate) fn open_regular(&self, place: &VirtualPlace, flags: i32) -> Result<Prepared> {
        let write = flags & libc::O_ACCMODE != libc::O_RDONLY;
        let file = self.regular(place, write)?;
        let mut groups = GroupSet::STAT;
        if let Some(kernels) = file.backing.kernel_file() {
            kernels.content.open(write)?;
            return self.hand_out(&file, flags, groups);
        }
        {
            let mut state = file.state();
            if write {
                file.handle(&mut state, true)?;
                groups |= GroupSet::WRITE;
            }
            if !state.is_filled && place.attr.size_bytes <= FILLED_BYTES_MAX {
                file.fill(&mut state)?;
            }
            if !state.is_filled {
                file.handle(&mut state, false)?;
                groups |= GroupSet::READ;
            }
        }
        self.hand_out(&file, flags, groups)
    }

    /// Opens a file whose contents change by themselves: this open has its own copy of them, and what is written
    /// goes to the driver.
    pub(crate) fn open_live(&self, place: &VirtualPlace, flags: i32) -> Result<Prepared> {
        let name = path::split(place.names.view()).map_or(&b"file"[..], |(_, n)| n);
        let kind = VKind::File { mount: Arc::clone(&place.mount), ino: place.attr.ino };
        let file = Self::make(kind, place.names.view(), placeholder::memfd(name)?, false)?;
        let access = flags & libc::O_ACCMODE;
        let mut groups = GroupSet::STAT;
        {
            let mut state = file.state();
            if access != libc::O_WRONLY {
                file.fill(&mut state)?;
            }
            state.is_filled = true;
            if access != libc::O_RDONLY {
                file.handle(&mut state, true)?;
                groups |= GroupSet::WRITE;
            }
        }
        self.insert(Arc::clone(&file), None);
        self.hand_out(&file, flags, groups)
    }

    /// Opens a directory of a driver.
    pub(crate) fn open_directory(&self, place: &VirtualPlace, flags: i32) -> Result<Prepared> {
        let file = Self::make(
            VKind::Directory(place.clone()),
            place.names.view(),
            placeholder::directory()?,
            false,
        )?;
        self.insert(Arc::clone(&file), None);
        self.hand_out(&file, flags, GroupSet::STAT)
    }

    /// What stands for a FIFO: one pipe for an inode while anybody has it open, or waits for that.
    pub(crate) fn fifo(&self, place: &VirtualPlace) -> Result<Arc<VFile>> {
        let key = (place.mount.id, place.attr.ino.0);
        if let Some(known) = self.of_inode(place.mount.id, place.attr.ino) {
            return Ok(known);
        }
        let kind = VKind::Fifo { mount: Arc::clone(&place.mount), ino: place.attr.ino };
        let file = Self::make(kind, place.names.view(), placeholder::fifo()?, true)?;
        Ok(self.first_of(key, file))
    }

    /// Opens a directory of the host under another name.
    pub(crate) fn open_host_directory(&self, place: &Place, flags: i32) -> Result<Prepared> {
        let file = Self::make(
            VKind::HostDirectory(place.clone()),
            place.view_path(),
            placeholder::directory()?,
            false,
        )?;
        self.insert(Arc::clone(&file), None);
        self.hand_out(&file, flags, GroupSet::STAT)
    }

    /// Opens a special file of umdev.
    pub(crate) fn open_device(&self, place: &DevicePlace, flags: i32) -> Result<Prepared> {
        let key = (place.mount.id, u64::from(place.number));
        let known = self.by_inode.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let file = match known {
            Some(file) => file,
            None => {
                let name = path::split(place.names.view()).map_or(&b"device"[..], |(_, n)| n);
                let backing = placeholder::memfd(name)?;
                backing.set_len(device_size(&place.mount, place.number))?;
                if let Content::Device { device, .. } = &place.mount.content {
                    device.open(place.number, false)?;
                }
                let kind = VKind::Device { mount: Arc::clone(&place.mount), number: place.number };
                let file = Self::make(kind, place.names.view(), backing, false)?;
                self.insert(Arc::clone(&file), Some(key));
                file
            }
        };
        let groups = GroupSet::STAT | GroupSet::READ | GroupSet::WRITE | GroupSet::IOCTL;
        self.hand_out(&file, flags, groups)
    }

    /// A descriptor with `O_PATH`, or one for content that is there whole.
    pub(crate) fn open_other(
        &self,
        place: &Place,
        content: Option<&[u8]>,
        flags: i32,
    ) -> Result<Prepared> {
        let backing = if place.is_directory() {
            placeholder::directory()?
        } else {
            placeholder::memfd(path::split(place.view_path()).map_or(&b"file"[..], |(_, n)| n))?
        };
        if let Some(bytes) = content {
            backing.write_all_at(bytes, 0)?;
        }
        let file = Self::make(VKind::Other(place.clone()), place.view_path(), backing, true)?;
        self.insert(Arc::clone(&file), None);
        self.hand_out(&file, flags, GroupSet::STAT)
    }

    fn hand_out(&self, file: &VFile, flags: i32, groups: GroupSet) -> Result<Prepared> {
        let keep = libc::O_ACCMODE
            | libc::O_APPEND
            | libc::O_NONBLOCK
            | libc::O_PATH
            | libc::O_SYNC
            | libc::O_DSYNC
            | if file.is_directory() { libc::O_DIRECTORY } else { 0 };
        if flags & libc::O_ACCMODE != libc::O_RDONLY {
            file.may_be_written.store(true, Ordering::Release);
        }
        let fd = file.backing.open(flags & keep)?;
        Ok(Prepared { fd, groups })
    }

    /// The virtual file behind an open file of ours.
    pub(crate) fn of(&self, fd: impl AsFd) -> Option<Arc<VFile>> {
        let identity = placeholder::identity(fd).ok()?;
        self.by_identity.read().unwrap_or_else(PoisonError::into_inner).get(&identity).cloned()
    }

    /// The virtual file of this identity.
    pub(crate) fn by_stat(&self, s: &nix::sys::stat::FileStat) -> Option<Arc<VFile>> {
        self.by_identity((s.st_dev, s.st_ino))
    }

    /// The same by the numbers alone.
    pub(crate) fn by_identity(&self, identity: Identity) -> Option<Arc<VFile>> {
        let map = self.by_identity.read().unwrap_or_else(PoisonError::into_inner);
        map.get(&identity).cloned()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_identity.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Whether a descriptor anywhere can be a virtual directory's: below another there are no names.
    pub(crate) fn has_directories(&self) -> bool {
        self.directories.load(Ordering::Acquire) > 0
    }

    /// The virtual file behind a tracee's descriptor, with our own descriptor of the same open file.
    ///
    /// # Errors
    /// - `EBADF` if the descriptor is not open.
    pub(crate) fn of_tracee(
        &self,
        tracee: &dyn Tracee,
        fd: i32,
    ) -> Result<Option<(Arc<VFile>, OwnedFd)>> {
        if self.is_empty() {
            return Ok(None);
        }
        let own = tracee.descriptor(fd)?;
        Ok(self.of(&own).map(|file| (file, own)))
    }

    /// Whether descriptor `fd` of a task is, or may be, virtual.
    pub(crate) fn may_be_virtual(&self, monitor: &Monitor, tid: i32, fd: i32) -> bool {
        match monitor.engine().descriptor(Tid(tid), fd) {
            Ok(own) => self.of(&own).is_some(),
            Err(_) => false,
        }
    }

    /// Every open file of a mount.
    pub(crate) fn of_mount(&self, id: u64) -> Vec<Arc<VFile>> {
        let map = self.by_identity.read().unwrap_or_else(PoisonError::into_inner);
        map.values().filter(|f| f.mount().is_some_and(|m| m.id == id)).cloned().collect()
    }

    /// What is open of a mount at and below `from` is at and below `to` from here on.
    pub(crate) fn renamed(&self, mount: u64, from: &[u8], to: &[u8], exchange: bool) {
        for file in self.of_mount(mount) {
            let mut at = file.view_path.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(rest) = path::below(&at, from) {
                *at = path::append(to, rest);
            } else if exchange && let Some(rest) = path::below(&at, to) {
                *at = path::append(from, rest);
            }
        }
    }

    /// All that may have been written through a shared map.
    pub(crate) fn all(&self) -> Vec<Arc<VFile>> {
        let map = self.by_identity.read().unwrap_or_else(PoisonError::into_inner);
        map.values().cloned().collect()
    }
}
