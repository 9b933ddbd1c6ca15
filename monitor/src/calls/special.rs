//! Opening FIFOs and device nodes that only a virtual file system has.
//!
//! A FIFO is a pipe of the kernel's: one without a name stands for each inode, and the caller opens it itself, as it may
//! have to wait for the other end. A device node is a number: it leads to the umdev device of the view that has
//! the number, or to one of the kernel's devices that hold nothing of the machine; to nothing else.

use super::Ctx;
use crate::mounts::Content;
use crate::namei::{DevicePlace, VirtualPlace};
use crate::vfiles::VFile;
use abi::dev::{DevNum, DeviceKind};
use abi::fs::FileKind;
use abi::{Errno, Result};
use engine::{Answer, Arg, Rewrite};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use syscalls::GroupSet;

/// Character devices of the kernel that are everybody's: memory that is none, random numbers, the caller's terminal
/// (Documentation/admin-guide/devices.txt).
const HARMLESS: [(u32, u32, &str); 8] = [
    (1, 3, "/dev/null"),
    (1, 5, "/dev/zero"),
    (1, 7, "/dev/full"),
    (1, 8, "/dev/random"),
    (1, 9, "/dev/urandom"),
    (5, 0, "/dev/tty"),
    (5, 2, "/dev/ptmx"),
    (10, 229, "/dev/fuse"),
];

/// Opens the FIFO `v` with the flags of open(2).
///
/// # Errors
/// Those of open(2) for a FIFO: `ENXIO` for a writer that does not wait where nobody reads.
pub(super) fn fifo(ctx: &Ctx<'_>, v: &VirtualPlace, flags: i32) -> Result<Answer> {
    let file = ctx.m.vfiles.fifo(v)?;
    let pipe = file.reopen(libc::O_PATH)?;
    let path = format!("/proc/{}/fd/{}", std::process::id(), pipe.as_raw_fd());
    let mut rewrite = open_instead(path.as_bytes(), flags);
    rewrite.keep = vec![pipe];
    // While somebody waits for the other end nobody has it open: it must be the same pipe all the same.
    rewrite.after = Some(Box::new(move |_, _, result| {
        let _file: Arc<VFile> = file;
        result
    }));
    Ok(Answer::Require(GroupSet::STAT, Box::new(Answer::Rewrite(Box::new(rewrite)))))
}

/// The device that a node stands for.
pub(super) enum Node {
    /// A device of the view.
    View(DevicePlace),
    /// One of the kernel's, by its name on the host.
    Kernel(&'static str),
}

/// What is behind the device node `v`.
///
/// # Errors
/// - `EACCES` on a mount with `nodev`.
/// - `ENXIO` if the view has no such device.
pub(super) fn node(ctx: &Ctx<'_>, v: &VirtualPlace) -> Result<Node> {
    if v.mount.flags.no_dev {
        return Err(Errno::EACCES);
    }
    let wanted = v.attr.rdev;
    if let Some(device) = device_of_view(ctx, v, wanted) {
        return Ok(Node::View(device));
    }
    let is_char = v.attr.kind == FileKind::CharDevice;
    HARMLESS
        .iter()
        .find(|(major, minor, _)| is_char && (*major, *minor) == (wanted.major, wanted.minor))
        .map(|(_, _, name)| Node::Kernel(name))
        .ok_or(Errno::ENXIO)
}

fn device_of_view(ctx: &Ctx<'_>, v: &VirtualPlace, wanted: DevNum) -> Option<DevicePlace> {
    let view = ctx.proc.view();
    let mounts = ctx.m.mounts.snapshot();
    let visible = mounts
        .all()
        .iter()
        .filter(|m| view.sees(m.view, m.born, crate::view::PRESENT) && !m.is_detached());
    visible.rev().find_map(|mount| {
        let Content::Device { device, numbers, .. } = &mount.content else { return None };
        let kind = match device.kind() {
            DeviceKind::Block => FileKind::BlockDevice,
            DeviceKind::Char => FileKind::CharDevice,
        };
        let number = wanted.minor.checked_sub(numbers.minor)?;
        let is_it = kind == v.attr.kind
            && numbers.major == wanted.major
            && device.subdevices().iter().any(|s| s.number == number);
        is_it.then(|| DevicePlace { names: v.names.clone(), mount: Arc::clone(mount), number })
    })
}

/// open(2) of a device of the kernel's, done by the caller itself: its terminal is its own.
pub(super) fn kernels(name: &str, flags: i32) -> Answer {
    Answer::Rewrite(Box::new(open_instead(name.as_bytes(), flags)))
}

fn open_instead(path: &[u8], flags: i32) -> Rewrite {
    let flags = flags & !(libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_TRUNC);
    Rewrite {
        number: libc::SYS_openat as u32,
        args: vec![
            Arg::Value(libc::AT_FDCWD as i64 as u64),
            Arg::Bytes([path, &[0]].concat()),
            Arg::Value(flags as u32 as u64),
            Arg::Value(0),
        ],
        ..Rewrite::default()
    }
}
