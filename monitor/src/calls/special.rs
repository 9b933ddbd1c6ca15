//! Opening FIFOs and nodes of devices that lie in a virtual file system.

use super::Ctx;
use super::open::Wanted;
use crate::hostview;
use crate::namei::VirtualPlace;
use abi::{Errno, Result};
use engine::{Answer, Arg, Rewrite};
use std::os::fd::AsRawFd;

/// Devices of the host that a node of these numbers means, by the kernel's list of devices: those that everybody
/// may use.
const KNOWN: [(u32, u32, &[u8]); 7] = [
    (1, 3, b"/dev/null"),
    (1, 5, b"/dev/zero"),
    (1, 7, b"/dev/full"),
    (1, 8, b"/dev/random"),
    (1, 9, b"/dev/urandom"),
    (5, 0, b"/dev/tty"),
    (5, 2, b"/dev/ptmx"),
];

/// A node of a device: the host's, opened by the caller itself under the host's name.
///
/// # Errors
/// - `EACCES` if the mount has no devices.
/// - `ENXIO` for a device that is not everybody's, and one that the host lacks.
pub(super) fn device(v: &VirtualPlace, wanted: Wanted) -> Result<Answer> {
    if v.mount.flags.no_dev {
        return Err(Errno::EACCES);
    }
    let number = v.attr.rdev;
    let known =
        KNOWN.iter().find(|&&(major, minor, _)| (major, minor) == (number.major, number.minor));
    let (_, _, path) = known.ok_or(Errno::ENXIO)?;
    let host = hostview::stat(path, true).map_err(|_| Errno::ENXIO)?;
    if host.st_rdev != number.to_raw() || v.attr.kind != abi::fs::FileKind::CharDevice {
        return Err(Errno::ENXIO);
    }
    Ok(opened_as(path, wanted))
}

/// A FIFO: all who open it meet at one of the host that has no name. The caller opens that itself, and waits itself.
pub(super) fn fifo(ctx: &Ctx<'_>, v: &VirtualPlace, wanted: Wanted) -> Result<Answer> {
    let file = ctx.m.vfiles.fifo(v)?;
    let path = format!("/proc/{}/fd/{}", std::process::id(), file.backing.as_raw_fd());
    let answer = opened_as(path.as_bytes(), wanted);
    Ok(Answer::Require(syscalls::GroupSet::STAT, Box::new(answer)))
}

/// open(2) of a path of the host in place of the call. The name was followed already.
fn opened_as(path: &[u8], wanted: Wanted) -> Answer {
    let flags = wanted.flags & !(libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_TRUNC);
    let mut text = path.to_vec();
    text.push(0);
    let cwd = Arg::Value(libc::AT_FDCWD as i64 as u64);
    Answer::Rewrite(Box::new(Rewrite {
        number: libc::SYS_openat as u32,
        args: vec![cwd, Arg::Bytes(text), Arg::Value(flags as u64), Arg::Value(0)],
        ..Rewrite::default()
    }))
}
