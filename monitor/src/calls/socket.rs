//! AF_UNIX addresses: a path in a `struct sockaddr_un`.

use super::Ctx;
use super::claimed;
use super::name::host_words;
use super::open::{caller_in, tree};
use crate::hostview;
use crate::namei::{Found, Place};
use crate::path;
use crate::quick::How;
use crate::sockets::SocketNames;
use abi::dev::DevNum;
use abi::fs::{FileKind, Name};
use abi::{Errno, Result};
use engine::{AfterCall, Answer, Arg, Rewrite, Tracee};
use nix::sys::socket::{AddressFamily, SockaddrLike, SockaddrStorage, UnixAddr};
use nix::sys::socket::{getpeername, getsockname};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use syscalls::GroupSet;

/// Bytes of `sun_path`.
const PATH_BYTES: usize = 108;
/// Bytes of a `struct sockaddr_un` before `sun_path`.
const FAMILY_BYTES: usize = 2;

/// The path of a `struct sockaddr_un`, if it holds one: neither unnamed nor abstract.
fn path_of(raw: &[u8]) -> Option<&[u8]> {
    let (family, path) = raw.split_first_chunk::<FAMILY_BYTES>()?;
    let path = path.split(|&b| b == 0).next().unwrap_or_default();
    let is_unix = i32::from(u16::from_ne_bytes(*family)) == libc::AF_UNIX;
    (is_unix && !path.is_empty()).then_some(path)
}

/// The address of a path as the kernel shows it: with a NUL, even behind `sun_path`.
fn address_of(path: &[u8]) -> Vec<u8> {
    let family = (libc::AF_UNIX as u16).to_ne_bytes();
    [&family[..], path, &[0]].concat()
}

/// bind(2), connect(2).
pub(super) fn address(ctx: &Ctx<'_>) -> Result<Answer> {
    let length = usize::try_from(ctx.arg(2) as u32).unwrap_or(0);
    if !(FAMILY_BYTES + 1..=PATH_BYTES + FAMILY_BYTES).contains(&length) {
        return Ok(Answer::Native);
    }
    let mut raw = vec![0; length];
    if ctx.tracee.read(ctx.arg(1), &mut raw).is_err() {
        return Ok(Answer::Native);
    }
    let Some(path) = path_of(&raw) else { return Ok(Answer::Native) };
    let (binds, view) = (ctx.row.name == "bind", ctx.proc.view().id);
    let as_it_stands = || {
        if binds {
            ctx.m.sockets.forget(view, path);
        }
        Ok(Answer::Native)
    };
    let how = How { follow: !binds, change: binds };
    if ctx.m.is_quickly_native(ctx.proc, ctx.tid(), None, path, how) {
        return as_it_stands();
    }
    let mut walk = ctx.walker();
    let (start, same) = ctx.base(&mut walk, None)?;
    let found = walk.walk(start, path, !binds)?;
    if binds
        && found.place.is_none()
        && let Some(words) = made_by_overlay(ctx, &found)?
    {
        // Where the kernel makes the same of the name, the socket keeps it as it was given.
        let is_same = (same || path.first() == Some(&b'/')) && !walk.left_host;
        if is_same && words == found.view_path() {
            return as_it_stands();
        }
        return in_other_words(ctx, path, words);
    }
    let is_absolute = path.first() == Some(&b'/');
    let same = (same || is_absolute && walk.root.is_none()) && !walk.left_host;
    let by_kernel = found.place.as_ref().unwrap_or(&found.parent).backing_path().is_some();
    let same = same && found.place.as_ref().unwrap_or(&found.parent).is_as_on_host();
    match (&found.place, &found.parent) {
        _ if by_kernel && same => as_it_stands(),
        _ if by_kernel => in_other_words(ctx, path, host_words(&found).ok_or(Errno::EIO)?),
        // A socket has to be the kernel's, and a virtual directory can't hold one.
        (Some(_), _) if binds => Err(Errno::EADDRINUSE),
        (Some(_), _) => Err(Errno::ECONNREFUSED),
        (None, _) if binds => Err(Errno::EPERM),
        (None, _) => Err(Errno::ENOENT),
    }
}

/// The call with the host's path; the view's is kept, and the process is watched for questions about it.
fn in_other_words(ctx: &Ctx<'_>, seen: &[u8], told: Vec<u8>) -> Result<Answer> {
    let (told, keep) = shortened(told)?;
    let bytes = address_of(&told);
    let length = bytes.len() as u64;
    let (binds, view) = (ctx.row.name == "bind", ctx.proc.view().id);
    let asks_later = binds || ctx.m.sockets.seen(view, &told).is_some();
    let after = binds.then(|| -> AfterCall {
        ctx.m.sockets.sweep();
        let (monitor, seen) = (ctx.m.arc(), seen.to_vec());
        Box::new(move |_, _, result| {
            if result == 0 {
                monitor.sockets.record(view, told, seen);
            }
            result
        })
    });
    let answer = Answer::Rewrite(Box::new(Rewrite {
        number: ctx.call.number,
        args: vec![Arg::Value(ctx.arg(0)), Arg::Bytes(bytes), Arg::Value(length)],
        after,
        keep,
        ..Rewrite::default()
    }));
    Ok(if asks_later { Answer::Require(GroupSet::SOCKET, Box::new(answer)) } else { answer })
}

/// getsockname(2), getpeername(2).
pub(super) fn name(ctx: &Ctx<'_>) -> Result<Answer> {
    if ctx.m.sockets.is_empty() {
        return Ok(Answer::Native);
    }
    let Ok(own) = ctx.tracee.descriptor(ctx.int(0)) else { return Ok(Answer::Native) };
    let address: nix::Result<UnixAddr> = match ctx.row.name {
        "getpeername" => getpeername(own.as_raw_fd()),
        _ => getsockname(own.as_raw_fd()),
    };
    let told = address.ok().and_then(|a| a.path().map(|p| p.as_os_str().as_bytes().to_vec()));
    let seen = told.and_then(|told| ctx.m.sockets.seen(ctx.proc.view().id, &told));
    let Some(seen) = seen else { return Ok(Answer::Native) };
    let capacity = capacity_at(ctx.tracee, ctx.arg(2))?;
    put(ctx.tracee, (ctx.arg(1), ctx.arg(2)), capacity, &seen)?;
    Ok(Answer::Return(Ok(0)))
}

/// accept(2), accept4(2).
pub(super) fn accept(ctx: &Ctx<'_>) -> Result<Answer> {
    Ok(with_address(ctx, ctx.arg(1), ctx.arg(2)))
}

/// recvfrom(2), recvmsg(2); recvmmsg(2) shows the kernel's names.
pub(super) fn receive(ctx: &Ctx<'_>) -> Result<Answer> {
    let claimed = claimed::answer(ctx);
    if !matches!(claimed, Answer::Native) || ctx.m.sockets.is_empty() {
        return Ok(claimed);
    }
    match ctx.row.name {
        "recvfrom" => Ok(with_address(ctx, ctx.arg(4), ctx.arg(5))),
        "recvmsg" => {
            // `msg_name` and `msg_namelen` begin a `struct msghdr`.
            let mut pointer = [0; 8];
            if ctx.tracee.read(ctx.arg(1), &mut pointer).is_err() {
                return Ok(Answer::Native);
            }
            let length = ctx.arg(1).wrapping_add(8);
            Ok(with_address(ctx, u64::from_ne_bytes(pointer), length))
        }
        _ => Ok(Answer::Native),
    }
}

/// The call as it stands; then the address that it put at `to`, and its length at `length`, in the view's words.
fn with_address(ctx: &Ctx<'_>, to: u64, length: u64) -> Answer {
    if to == 0 || !ctx.tracee.is_traced() || ctx.m.sockets.is_empty() || !is_unix(ctx) {
        return Answer::Native;
    }
    let Ok(capacity) = capacity_at(ctx.tracee, length) else { return Answer::Native };
    let (monitor, view) = (ctx.m.arc(), ctx.proc.view().id);
    let after: AfterCall = Box::new(move |tracee, _, result| {
        if result >= 0 {
            // The call has been done: memory that can't be read any more keeps the kernel's words.
            let _ = translate(tracee, &monitor.sockets, view, (to, length), capacity);
        }
        result
    });
    Answer::Rewrite(Box::new(Rewrite {
        number: ctx.call.number,
        args: ctx.call.args.iter().map(|&arg| Arg::Value(arg)).collect(),
        after: Some(after),
        ..Rewrite::default()
    }))
}

fn is_unix(ctx: &Ctx<'_>) -> bool {
    let Ok(own) = ctx.tracee.descriptor(ctx.int(0)) else { return false };
    let address: nix::Result<SockaddrStorage> = getsockname(own.as_raw_fd());
    address.is_ok_and(|a| a.family() == Some(AddressFamily::Unix))
}

/// How many bytes the caller has for an address.
///
/// # Errors
/// `EFAULT`, and `EINVAL` for fewer than none, as `move_addr_to_user`.
fn capacity_at(tracee: &dyn Tracee, length: u64) -> Result<usize> {
    let mut word = [0; 4];
    tracee.read(length, &mut word)?;
    usize::try_from(i32::from_ne_bytes(word)).map_err(|_| Errno::EINVAL)
}

/// Puts an address where the caller wants it, cut to its capacity, with its whole length.
fn put(tracee: &dyn Tracee, at: (u64, u64), capacity: usize, path: &[u8]) -> Result<()> {
    let bytes = address_of(path);
    tracee.write(at.0, &bytes[..bytes.len().min(capacity)])?;
    tracee.write(at.1, &(bytes.len() as u32).to_ne_bytes())
}

/// Puts an address that the kernel has written into the view's words; one that was cut stays as it is.
fn translate(
    tracee: &dyn Tracee,
    names: &SocketNames,
    view: u64,
    at: (u64, u64),
    capacity: usize,
) -> Result<()> {
    let length = capacity_at(tracee, at.1)?;
    if length > capacity.min(PATH_BYTES + FAMILY_BYTES + 1) {
        return Ok(());
    }
    let mut raw = vec![0; length];
    tracee.read(at.0, &mut raw)?;
    match path_of(&raw).and_then(|told| names.seen(view, told)) {
        Some(seen) => put(tracee, at, capacity, &seen),
        None => Ok(()),
    }
}

/// Under viewfs a new socket belongs where the overlay has new files, and the overlay has to know of it: it makes
/// the node, whose place the kernel's socket then takes. The host's path of it; `None` for other directories.
fn made_by_overlay(ctx: &Ctx<'_>, found: &Found) -> Result<Option<Vec<u8>>> {
    let Place::Virtual(dir) = &found.parent else { return Ok(None) };
    if dir.mount.overlay().is_none() {
        return Ok(None);
    }
    ctx.may(&dir.mount, &dir.attr, libc::W_OK | libc::X_OK)?;
    let fs = tree(&dir.mount)?;
    let perm = (0o777 & !ctx.umask()) as u16;
    let caller = caller_in(ctx, &dir.attr);
    let name = Name::new(&found.name)?;
    let made = fs.mknod(caller, dir.attr.ino, name, FileKind::Socket, perm, DevNum::default())?;
    let words = fs.host_path(made.ino).ok_or(Errno::EIO)?;
    nix::unistd::unlink(path::os(&words)).map_err(hostview::errno)?;
    Ok(Some(words))
}

/// A path of the host that fits an address: one that is too long goes by a descriptor of its directory.
fn shortened(words: Vec<u8>) -> Result<(Vec<u8>, Vec<OwnedFd>)> {
    if words.len() < PATH_BYTES {
        return Ok((words, Vec::new()));
    }
    let (dir, name) = path::split(&words).ok_or(Errno::ENAMETOOLONG)?;
    let flags = nix::fcntl::OFlag::O_PATH | nix::fcntl::OFlag::O_CLOEXEC;
    let mode = nix::sys::stat::Mode::empty();
    let dir = nix::fcntl::open(path::os(dir), flags, mode).map_err(hostview::errno)?;
    let short = format!("/proc/{}/fd/{}", std::process::id(), dir.as_raw_fd());
    let short = path::join(short.as_bytes(), name);
    if short.len() >= PATH_BYTES {
        return Err(Errno::ENAMETOOLONG);
    }
    Ok((short, vec![dir]))
}
