//! Disks behind names and descriptors: images of the host, files of virtual file systems, virtual devices.

use crate::monitor::Monitor;
use crate::mounts::{Content, Mount};
use crate::namei::{Place, Walk};
use crate::path;
use crate::vfiles::VKind;
use crate::view::View;
use abi::block::{BlockDevice, Geometry};
use abi::dev::Device;
use abi::fs::{Caller, FileKind, FileSystem, Handle, Ino, OpenFlags, Opened, SetAttr};
use abi::host::{Epoch, Host};
use abi::module::VirtualClocks;
use abi::{Errno, Result};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};

/// A regular file of a driver as a disk.
fn file_disk(
    m: &Monitor,
    mount: &Mount,
    ino: Ino,
    read_only: bool,
) -> Result<Arc<dyn BlockDevice>> {
    let fs = Arc::clone(mount.tree().ok_or(Errno::ENOTBLK)?);
    let mut flags = OpenFlags::READ;
    flags.set(OpenFlags::WRITE, !read_only);
    // What processes have changed by their maps is on the disk, and what they have read is not believed for long.
    m.vfiles.let_go(m, (mount.id, ino))?;
    match fs.open(Caller::default(), ino, flags)? {
        Opened::Handle(handle) => Ok(Arc::new(FileDisk {
            fs,
            handle,
            ino,
            read_only,
            mount: mount.id,
            monitor: Arc::downgrade(&m.arc()),
        })),
        Opened::Host(fd) => Ok(Arc::new(umdev::block::Image::new(fd.into(), read_only)?)),
    }
}

/// The disk behind an open file of ours: a regular file or block device, virtual or not.
///
/// # Errors
/// - `EINVAL` if it is neither.
pub(crate) fn device_of_descriptor(
    m: &Monitor,
    own: OwnedFd,
    read_only: bool,
) -> Result<Arc<dyn BlockDevice>> {
    let Some(file) = m.vfiles.of(&own) else {
        let kind = nix::sys::stat::fstat(&own).map_err(crate::hostview::errno)?.st_mode;
        return match FileKind::from_mode_bits(kind) {
            Some(FileKind::Regular | FileKind::BlockDevice) => {
                Ok(Arc::new(umdev::block::Image::new(own.into(), read_only)?))
            }
            _ => Err(Errno::EINVAL),
        };
    };
    match &file.kind {
        VKind::File { mount, ino } => file_disk(m, mount, *ino, read_only),
        VKind::Device { mount, number } => match &mount.content {
            Content::Device { device, .. } => {
                let block = device.block(*number)?;
                Ok(Arc::new(HeldDevice::new(device, *number, block, read_only)?))
            }
            _ => Err(Errno::EINVAL),
        },
        _ => Err(Errno::EINVAL),
    }
}

/// A sub-device that counts as open while it is used as a disk.
struct HeldDevice {
    device: Arc<dyn Device>,
    number: u32,
    block: Arc<dyn BlockDevice>,
}

impl HeldDevice {
    fn new(
        device: &Arc<dyn Device>,
        number: u32,
        block: Arc<dyn BlockDevice>,
        read_only: bool,
    ) -> Result<Self> {
        device.open(number, !read_only)?;
        Ok(Self { device: Arc::clone(device), number, block })
    }
}

impl BlockDevice for HeldDevice {
    fn geometry(&self) -> Geometry {
        self.block.geometry()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.block.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        self.block.write_at(buf, offset)
    }

    fn flush(&self) -> Result<()> {
        self.block.flush()
    }

    fn discard(&self, range: Range<u64>) -> Result<()> {
        self.block.discard(range)
    }
}

impl Drop for HeldDevice {
    fn drop(&mut self) {
        self.device.release(self.number);
    }
}

/// The view at an epoch, for a module.
pub(crate) fn host_at(monitor: &Monitor, view: &Arc<View>, epoch: Epoch) -> Arc<dyn Host> {
    Arc::new(HostHandle { monitor: monitor.arc(), view: Arc::clone(view), epoch })
}

struct HostHandle {
    monitor: Arc<Monitor>,
    view: Arc<View>,
    epoch: Epoch,
}

impl HostHandle {
    fn find(&self, at: &str) -> Result<Place> {
        let mut walk = Walk::at(&self.monitor, Arc::clone(&self.view), self.epoch);
        let root = walk.root_place()?;
        walk.walk(root, at.as_bytes(), true)?.existing()
    }
}

impl Host for HostHandle {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn open_device(&self, at: &str, read_only: bool) -> Result<Arc<dyn BlockDevice>> {
        match self.find(at)? {
            Place::Host(h) => {
                if !matches!(h.kind, FileKind::Regular | FileKind::BlockDevice) {
                    return Err(Errno::ENOTBLK);
                }
                let place = Place::Host(h);
                let host = place.host_path().ok_or(Errno::EIO)?;
                let file = std::fs::OpenOptions::new()
                    .read(true)
                    .write(!read_only)
                    .open(path::os(host))?;
                let image = umdev::block::Image::new(file, read_only)?;
                Ok(Arc::new(image))
            }
            Place::Virtual(v) => {
                if v.attr.kind != FileKind::Regular {
                    return Err(Errno::ENOTBLK);
                }
                file_disk(&self.monitor, &v.mount, v.attr.ino, read_only)
            }
            Place::Device(d) => match &d.mount.content {
                Content::Device { device, .. } => {
                    let block = device.block(d.number)?;
                    if !read_only && block.geometry().read_only {
                        return Err(Errno::EROFS);
                    }
                    Ok(Arc::new(HeldDevice::new(device, d.number, block, read_only)?))
                }
                _ => Err(Errno::ENOTBLK),
            },
            Place::Proc(..) => Err(Errno::ENOTBLK),
        }
    }

    fn open_tree(&self, _at: &str) -> Result<Arc<dyn FileSystem>> {
        Err(Errno::EOPNOTSUPP)
    }

    fn clocks(&self) -> Option<Arc<dyn VirtualClocks>> {
        let mounts = self.monitor.mounts.snapshot();
        mounts.call_sets_at(&self.view, self.epoch).find_map(|set| set.clocks())
    }

    fn open_host_directory(&self, at: &str) -> Result<OwnedFd> {
        let place = self.find(at)?;
        let host = place.host_path().ok_or(Errno::EOPNOTSUPP)?;
        std::fs::File::open(path::os(host)).map(Into::into).map_err(Errno::from)
    }
}

/// A regular file of a virtual file system as a disk: an image inside an image.
struct FileDisk {
    fs: Arc<dyn FileSystem>,
    handle: Handle,
    ino: Ino,
    read_only: bool,
    mount: u64,
    /// Weak: the monitor's mounts have this disk.
    monitor: Weak<Monitor>,
}

impl BlockDevice for FileDisk {
    fn geometry(&self) -> Geometry {
        let size_bytes = self.fs.getattr(self.ino).map_or(0, |a| a.size_bytes);
        Geometry { block_size: 512, size_bytes, read_only: self.read_only }
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let mut done = 0;
        while done < buf.len() {
            match self.fs.read(self.handle, &mut buf[done..], offset + done as u64)? {
                0 => return Err(Errno::EIO),
                n => done += n,
            }
        }
        Ok(())
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        if self.read_only {
            return Err(Errno::EROFS);
        }
        if offset + buf.len() as u64 > self.geometry().size_bytes {
            return Err(Errno::EINVAL);
        }
        let mut done = 0;
        while done < buf.len() {
            match self.fs.write(self.handle, &buf[done..], offset + done as u64)? {
                0 => return Err(Errno::EIO),
                n => done += n,
            }
        }
        // Processes that have the file open see what is written to the disk.
        if let Some(monitor) = self.monitor.upgrade() {
            monitor.vfiles.changed((self.mount, self.ino), buf, offset)?;
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        self.fs.fsync(self.handle, false)
    }

    fn grow(&self, size_bytes: u64) -> Result<()> {
        if self.read_only {
            return Err(Errno::EROFS);
        }
        if self.geometry().size_bytes < size_bytes {
            let longer = SetAttr { size_bytes: Some(size_bytes), ..SetAttr::default() };
            self.fs.setattr(Caller::default(), self.ino, &longer)?;
        }
        Ok(())
    }
}

impl Drop for FileDisk {
    fn drop(&mut self) {
        self.fs.release(self.handle);
    }
}
