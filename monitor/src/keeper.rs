//! The keeper: a small process that makes the monitor's mount of `/dev/fuse` where nobody sees it.
//!
//! An unprivileged process may mount FUSE in a user and a mount namespace of its own, which a process of many
//! threads can't enter; so `umview` starts itself again for it. The keeper sends back the opened `/dev/fuse` and a
//! descriptor of the mount's root, and then waits for the monitor's death.
//!
//! That is its second task. A thread of the monitor may wait for an answer that another of its threads was about
//! to give when SIGKILL came: it would wait for ever, as the kernel ends such a connection when `/dev/fuse` is
//! closed, and the waiting thread holds it open. The keeper breaks the connection off (umount2(2), `MNT_FORCE`).

use abi::{Errno, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// The word that makes `umview` a keeper; behind it stands the monitor's process id.
const WORD: &str = "--keep-files-for";
/// Any directory that every system has: the mount is over it in the keeper's namespace alone.
const PLACE: &str = "/proc";

/// What the keeper gave.
pub(crate) struct Kept {
    /// `/dev/fuse`, opened and mounted.
    pub(crate) device: OwnedFd,
    /// The root of the mount.
    pub(crate) root: OwnedFd,
}

/// Starts a keeper.
///
/// # Errors
/// - `ENOENT`, `EACCES` if there is no `/dev/fuse` for this user.
/// - `EPERM`, `ENOSPC` if there are no user namespaces for this user.
/// - `EIO` if the keeper died.
pub(crate) fn start() -> Result<Kept> {
    let (ours, its) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(errno)?;
    let monitor = std::process::id().to_string();
    let mut command = Command::new("/proc/self/exe");
    command.arg0("umview").arg(WORD).arg(monitor).stdin(Stdio::from(its));
    command.stdout(Stdio::null()).stderr(Stdio::null()).env_clear();
    // The keeper hears of the death of the thread that started it: this one does nothing else, above all nothing
    // that could wait for a file of the keeper's mount.
    let (tell, hear) = std::sync::mpsc::channel();
    std::thread::Builder::new().name("keeper".into()).spawn(move || match command.spawn() {
        Ok(mut child) => {
            drop(command);
            let _ = tell.send(Ok(()));
            let _ = child.wait();
        }
        Err(error) => drop(tell.send(Err(Errno::from(error)))),
    })?;
    hear.recv().map_err(|_| Errno::EIO)??;
    receive(ours)
}

fn receive(from: OwnedFd) -> Result<Kept> {
    let mut number = [0; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let got =
        recvmsg(from, &mut [IoSliceMut::new(&mut number)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)
            .map_err(errno)?;
    let refusal = i32::from_ne_bytes(number);
    if got.bytes == number.len() && refusal != 0 {
        return Err(Errno::from_raw(refusal));
    }
    let mut sent = ancillary.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect::<Vec<_>>(),
        _ => Vec::new(),
    });
    match (sent.next(), sent.next()) {
        (Some(device), Some(root)) => Ok(Kept { device, root }),
        _ => Err(Errno::EIO),
    }
}

fn errno(error: rustix::io::Errno) -> Errno {
    Errno::from_raw(error.raw_os_error())
}

/// If the words behind the program's name say so, this process becomes a keeper and does not return.
pub fn keep_if_asked(words: &[OsString]) {
    let [word, monitor] = words else { return };
    if word.to_str() == Some(WORD)
        && let Some(monitor) = monitor.to_str().and_then(|text| text.parse().ok())
    {
        keep(monitor);
        std::process::exit(0);
    }
}

fn keep(monitor: i32) {
    let mut end = SigSet::empty();
    end.add(Signal::SIGTERM);
    if end.thread_block().is_err() || nix::sys::prctl::set_pdeathsig(Signal::SIGTERM).is_err() {
        return;
    }
    // The monitor may have died before.
    if nix::unistd::getppid().as_raw() != monitor {
        return;
    }
    let (device, root) = match mount_here() {
        Ok(both) => both,
        Err(refusal) => {
            let _ = send(refusal.raw(), &[]);
            return;
        }
    };
    if send(0, &[device.as_fd(), root.as_fd()]).is_err() {
        return;
    }
    // The connection ends with the last descriptor of the device.
    drop(device);
    let _ = end.wait();
    let _ = umount2(PLACE, MntFlags::MNT_FORCE);
}

/// Leaves the caller's namespaces. Where root may mount as it is, it does: its processes may become anybody, and the
/// kernel asks for nobody whom the mount's user namespace has no number for (EOVERFLOW of `fuse_get_req`).
///
/// Returns whether everybody is known to the mount.
fn leave_namespaces() -> Result<bool> {
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    if uid.is_root() && unshare(CloneFlags::CLONE_NEWNS).is_ok() {
        let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)
            .map_err(crate::hostview::errno)?;
        return Ok(true);
    }
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS).map_err(crate::hostview::errno)?;
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
    std::fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))?;
    Ok(false)
}

/// Mounts, out of sight.
fn mount_here() -> Result<(File, File)> {
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    let others = if leave_namespaces()? { ",allow_other" } else { "" };
    let device = OpenOptions::new().read(true).write(true).open("/dev/fuse")?;
    let options =
        format!("fd={},rootmode=40000,user_id={uid},group_id={gid}{others}", device.as_raw_fd());
    // Programs and libraries are mapped from here: no MS_NOEXEC.
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOATIME;
    mount(Some("view"), PLACE, Some("fuse"), flags, Some(options.as_str()))
        .map_err(crate::hostview::errno)?;
    let root =
        OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(PLACE)?;
    Ok((device, root))
}

fn send(number: i32, descriptors: &[std::os::fd::BorrowedFd<'_>]) -> rustix::io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let bytes = number.to_ne_bytes();
    sendmsg(std::io::stdin(), &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL)
}
