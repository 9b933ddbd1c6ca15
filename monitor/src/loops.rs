//! Virtual loop devices: mount(8) makes one for an image of a type that it knows (`um_fsalias ext2 umfuseext2`,
//! then `mount -t ext2 IMAGE DIR`), and a plain user may not have the host's.

use crate::calls::device_of_descriptor;
use crate::loop_attributes::LoopAttributes;
use crate::monitor::Monitor;
use crate::mounts::{Content, Flags, Mount};
use crate::vfiles::VFile;
use abi::dev::{DevNum, Device, UserMemory};
use abi::{Errno, Result};
use engine::Tracee;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};
use umdev::loopdev::{Backing, LoopControl, LoopRequest};

/// How many are there from the start; LOOP_CTL_ADD is for more, which have no node.
const LOOPS: u32 = 8;
const CONTROL: DevNum = DevNum { major: 10, minor: 237 };
const LOOP_MAJOR: u32 = 7;

/// The loop devices of a monitor, made when first needed.
#[derive(Default)]
pub(crate) struct Loops {
    control: OnceLock<Arc<LoopControl>>,
}

impl Monitor {
    /// Puts loop devices into the first view, unless the user has the host's.
    pub(crate) fn offer_loops(&self) {
        let has_own = std::fs::OpenOptions::new().read(true).write(true).open("/dev/loop-control");
        if has_own.is_ok() || self.loops.control.get().is_some() {
            return;
        }
        let Ok(control) = LoopControl::new(LOOPS) else { return };
        let control = Arc::new(control);
        if self.loops.control.set(Arc::clone(&control)).is_err() {
            return;
        }
        self.insert_loop_device("/dev/loop-control", control.clone(), CONTROL);
        for device in control.devices() {
            let number = device.number();
            let numbers = DevNum { major: LOOP_MAJOR, minor: number };
            let attributes = Content::Tree(Arc::new(LoopAttributes(Arc::clone(&device))));
            self.insert_loop_device(&format!("/dev/loop{number}"), device, numbers);
            let folder = format!("/sys/devices/virtual/block/loop{number}");
            if std::path::Path::new(&folder).is_dir() {
                self.insert_hidden(&format!("{folder}/loop"), "sysfs", attributes, true);
            }
        }
    }

    fn insert_loop_device(&self, target: &str, device: Arc<dyn Device>, numbers: DevNum) {
        let (uid, gid) = (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw());
        let content = Content::Device { device, numbers, perm: 0o660, uid, gid };
        self.insert_hidden(target, "umdevloop", content, false);
    }

    /// Mounts something in the first view that stands in for what is the host's.
    pub(crate) fn insert_hidden(
        &self,
        target: &str,
        fs_type: &str,
        content: Content,
        is_ghost: bool,
    ) {
        self.mounts.insert(Arc::new(Mount {
            id: self.new_id(),
            view: self.root_view.id,
            born: self.clock.tick(),
            target: target.as_bytes().to_vec(),
            source: "none".into(),
            full_source: "none".into(),
            fs_type: fs_type.into(),
            options: "rw".into(),
            content,
            power: crate::mounts::Power::None,
            flags: Flags::default(),
            dev: DevNum { major: 0, minor: 5 },
            service: None,
            detached: AtomicBool::new(false),
            renewed: AtomicU64::new(0),
            is_ghost,
            is_hidden: true,
            answers: Default::default(),
        }));
        self.forget_directories();
    }

    /// Answers the requests that bind a descriptor to a loop device; `None` for all others.
    pub(crate) fn loop_request(
        &self,
        tracee: &dyn Tracee,
        mount: &Mount,
        file: &VFile,
        request: u32,
        arg: u64,
        memory: &mut dyn UserMemory,
    ) -> Option<Result<u64>> {
        let device = self.loop_of(mount)?;
        let request = match LoopRequest::decode(request, arg, memory) {
            Ok(Some(request)) => request,
            Ok(None) => return None,
            Err(errno) => return Some(Err(errno)),
        };
        let bound = self
            .backing(tracee, request.descriptor())
            .and_then(|backing| device.bind(request, backing, true));
        if bound.is_ok()
            && let Ok(size) = file.size()
        {
            let _ = file.resized(size);
        }
        Some(bound)
    }

    fn loop_of(&self, mount: &Mount) -> Option<Arc<umdev::loopdev::LoopDevice>> {
        let control = self.loops.control.get()?;
        let digits = mount.target.strip_prefix(b"/dev/loop")?;
        control.device(std::str::from_utf8(digits).ok()?.parse().ok()?).ok()
    }

    fn backing(&self, tracee: &dyn Tracee, fd: u32) -> Result<Backing> {
        let fd = i32::try_from(fd).map_err(|_| Errno::EBADF)?;
        let own = tracee.descriptor(fd)?;
        let flags = nix::fcntl::fcntl(&own, nix::fcntl::FcntlArg::F_GETFL)
            .map_err(crate::hostview::errno)?;
        let writable = flags & libc::O_ACCMODE != libc::O_RDONLY;
        let link = format!("/proc/{}/fd/{fd}", tracee.tid().0);
        let s = nix::sys::stat::fstat(&own).map_err(crate::hostview::errno)?;
        let (name, dev, ino, rdev) = match self.vfiles.of(&own) {
            Some(file) => {
                let info = file.info(self)?;
                let rdev = info.attr.rdev.to_raw();
                (file.view_path(), info.dev, info.attr.ino.0, rdev)
            }
            None => {
                let name = crate::hostview::readlink(link.as_bytes()).unwrap_or_default();
                (name, s.st_dev, s.st_ino, s.st_rdev)
            }
        };
        let own_again = own.try_clone()?;
        let device = device_of_descriptor(self, own, !writable)?;
        let loop_below = self.vfiles.of(&own_again).and_then(|f| self.loop_of(f.mount()?));
        Ok(Backing { device, writable, dev, ino, rdev, path: crate::path::text(&name), loop_below })
    }
}
