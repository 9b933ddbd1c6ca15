//! AF_UNIX addresses: a path in a `struct sockaddr_un`.

use super::Ctx;
use super::claimed;
use super::datagram;
use super::name::host_words;
use super::open::{caller_in, tree};
use crate::hostview;
use crate::namei::{Found, Place};
use crate::path;
use crate::placeholder;
use crate::quick::How;
use crate::sockets::SocketNames;
use abi::dev::DevNum;
use abi::fs::{Caller, FileKind, FileSystem, Ino, Name};
use abi::{Errno, Result};
use engine::{AfterCall, Answer, Arg, Rewrite, Tracee};
use nix::sys::socket::{AddressFamily, SockaddrLike, SockaddrStorage, UnixAddr};
use nix::sys::socket::{getpeername, getsockname};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use syscalls::GroupSet;

/// Bytes of `sun_path`.
const PATH_BYTES: usize = 108;
/// Bytes of a `struct sockaddr_un` before `sun_path`.
const FAMILY_BYTES: usize = 2;

/// The path of a `struct sockaddr_un`, if it holds one: neither unnamed nor abstract.
pub(super) fn path_of(raw: &[u8]) -> Option<&[u8]> {
    let (family, path) = raw.split_first_chunk::<FAMILY_BYTES>()?;
    let path = path.split(|&b| b == 0).next().unwrap_or_default();
    let is_unix = i32::from(u16::from_ne_bytes(*family)) == libc::AF_UNIX;
    (is_unix && !path.is_empty()).then_some(path)
}

/// The address of a path as the kernel shows it: with a NUL, even behind `sun_path`.
pub(super) fn address_of(path: &[u8]) -> Vec<u8> {
    let family = (libc::AF_UNIX as u16).to_ne_bytes();
    [&family[..], path, &[0]].concat()
}

/// bind(2), connect(2).
pub(super) fn address(ctx: &Ctx<'_>) -> Result<Answer> {
    let length = usize::try_from(ctx.arg(2) as u32).unwrap_or(0);
    let Some(raw) = raw_address(ctx.tracee, ctx.arg(1), length) else { return Ok(Answer::Native) };
    let Some(path) = path_of(&raw) else { return Ok(Answer::Native) };
    if ctx.row.name == "bind" {
        return bind(ctx, path);
    }
    match words_of(ctx, path)? {
        None => Ok(Answer::Native),
        Some(words) => connect_to(ctx, words),
    }
}

/// The bytes of an address that can hold a path; `None` where the kernel may say what is wrong with it.
pub(super) fn raw_address(tracee: &dyn Tracee, at: u64, length: usize) -> Option<Vec<u8>> {
    if !(FAMILY_BYTES + 1..=PATH_BYTES + FAMILY_BYTES).contains(&length) {
        return None;
    }
    let mut raw = vec![0; length];
    tracee.read(at, &mut raw).ok()?;
    Some(raw)
}

/// The host's path of the socket that a path of the view means; `None` where the kernel finds it by the path as it
/// stands.
///
/// # Errors
/// Those of the name walk; `ENOENT` if it does not exist, `ECONNREFUSED` if it is no file of the host.
pub(super) fn words_of(ctx: &Ctx<'_>, path: &[u8]) -> Result<Option<Vec<u8>>> {
    let how = How { follow: true, change: false };
    if ctx.m.is_quickly_native(ctx.proc, ctx.tid(), None, path, how) {
        return Ok(None);
    }
    let mut walk = ctx.walker();
    let (start, same) = ctx.base(&mut walk, None)?;
    let found = walk.walk(start, path, true)?;
    let is_absolute = path.first() == Some(&b'/');
    let same = (same || is_absolute && walk.root.is_none()) && !walk.left_host;
    let here = found.place.as_ref().unwrap_or(&found.parent);
    match (&found.place, here.backing_path().is_some()) {
        (_, true) if same && here.is_as_on_host() => Ok(None),
        (_, true) => Ok(Some(host_words(&found).ok_or(Errno::EIO)?)),
        (Some(Place::Virtual(v)), _) if v.attr.kind == FileKind::Socket => {
            ctx.may(&v.mount, &v.attr, libc::W_OK)?;
            let meeting = ctx.m.sockets.meeting_place((v.mount.id, v.attr.ino.0));
            meeting.map(Some).ok_or(Errno::ECONNREFUSED)
        }
        (Some(_), _) => Err(Errno::ECONNREFUSED),
        (None, _) => Err(Errno::ENOENT),
    }
}

fn bind(ctx: &Ctx<'_>, path: &[u8]) -> Result<Answer> {
    let as_it_stands = || {
        ctx.m.sockets.forget(ctx.proc.view().id, path);
        Ok(Answer::Native)
    };
    let how = How { follow: false, change: true };
    if ctx.m.is_quickly_native(ctx.proc, ctx.tid(), None, path, how) {
        return as_it_stands();
    }
    let mut walk = ctx.walker();
    let (start, same) = ctx.base(&mut walk, None)?;
    let found = walk.walk(start, path, false)?;
    let same = (same || path.first() == Some(&b'/') && walk.root.is_none()) && !walk.left_host;
    if found.place.is_none()
        && let Some((words, made)) = made_in_view(ctx, &found)?
    {
        // Where the kernel makes the same of the name, the socket keeps it as it was given.
        if same && words == found.view_path() {
            return as_it_stands();
        }
        return bind_in_other_words(ctx, path, words, Some(made));
    }
    let here = found.place.as_ref().unwrap_or(&found.parent);
    match (&found.place, here.backing_path().is_some()) {
        (_, true) if same && here.is_as_on_host() => as_it_stands(),
        (_, true) => bind_in_other_words(ctx, path, host_words(&found).ok_or(Errno::EIO)?, None),
        (Some(_), _) => Err(Errno::EADDRINUSE),
        (None, _) => Err(Errno::EPERM),
    }
}

/// The call with the host's path; the view's is kept, and the process is watched for questions about it. Where the
/// kernel refuses, what the overlay `made` for it goes again.
fn bind_in_other_words(
    ctx: &Ctx<'_>,
    seen: &[u8],
    told: Vec<u8>,
    made: Option<Made>,
) -> Result<Answer> {
    let node = told.clone();
    let (told, keep) = shortened(told)?;
    let view = ctx.proc.view().id;
    ctx.m.sockets.sweep();
    if is_datagram(ctx) {
        // From here on processes of the view may send to a name that the kernel does not know.
        ctx.m.require_in(&ctx.proc.view(), GroupSet::SEND);
    }
    let (monitor, seen, text) = (ctx.m.arc(), seen.to_vec(), told.clone());
    let after: AfterCall = Box::new(move |_, _, result| {
        if result == 0 {
            if let Some(inode) = made.as_ref().and_then(|made| made.stand_in)
                && let Err(error) = monitor.sockets.keep(inode, &text)
            {
                tracing::warn!(%error, "a socket of a virtual file system will not be found");
            }
            monitor.sockets.record(view, text, seen);
        } else if result < 0
            && let Some(made) = made
        {
            made.take_back(&node);
        }
        result
    });
    let answer = told_to_kernel(ctx, &told, keep, Some(after));
    Ok(Answer::Require(GroupSet::SOCKET | GroupSet::SEND, Box::new(answer)))
}

fn connect_to(ctx: &Ctx<'_>, words: Vec<u8>) -> Result<Answer> {
    let (told, keep) = shortened(words)?;
    let asks_later = ctx.m.sockets.seen(ctx.proc.view().id, &told).is_some();
    let answer = told_to_kernel(ctx, &told, keep, None);
    Ok(if asks_later { Answer::Require(GroupSet::SOCKET, Box::new(answer)) } else { answer })
}

fn told_to_kernel(
    ctx: &Ctx<'_>,
    told: &[u8],
    keep: Vec<OwnedFd>,
    after: Option<AfterCall>,
) -> Answer {
    let bytes = address_of(told);
    let length = bytes.len() as u64;
    Answer::Rewrite(Box::new(Rewrite {
        number: ctx.call.number,
        args: vec![Arg::Value(ctx.arg(0)), Arg::Bytes(bytes), Arg::Value(length)],
        after,
        keep,
        ..Rewrite::default()
    }))
}

fn is_datagram(ctx: &Ctx<'_>) -> bool {
    use nix::sys::socket::{SockType, getsockopt, sockopt};
    let Ok(own) = ctx.tracee.descriptor(ctx.int(0)) else { return false };
    getsockopt(&own, sockopt::SockType) == Ok(SockType::Datagram)
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

/// recvfrom(2), recvmsg(2), recvmmsg(2).
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
        _ => datagram::receive_many(ctx),
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

pub(super) fn is_unix(ctx: &Ctx<'_>) -> bool {
    let Ok(own) = ctx.tracee.descriptor(ctx.int(0)) else { return false };
    let address: nix::Result<SockaddrStorage> = getsockname(own.as_raw_fd());
    address.is_ok_and(|a| a.family() == Some(AddressFamily::Unix))
}

/// How many bytes the caller has for an address.
///
/// # Errors
/// `EFAULT`, and `EINVAL` for fewer than none, as `move_addr_to_user`.
pub(super) fn capacity_at(tracee: &dyn Tracee, length: u64) -> Result<usize> {
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
pub(super) fn translate(
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

/// A name that a file system of the view made for a socket of the kernel's.
struct Made {
    /// The inode, where the socket itself can't lie in its place.
    stand_in: Option<(u64, u64)>,
    fs: Arc<dyn FileSystem>,
    caller: Caller,
    dir: Ino,
    name: Vec<u8>,
}

impl Made {
    /// Removes the name; `node` is where the overlay believes to have a file on the host.
    fn take_back(self, node: &[u8]) {
        let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
        let again =
            || nix::sys::stat::mknod(path::os(node), nix::sys::stat::SFlag::S_IFSOCK, mode, 0);
        if self.stand_in.is_none()
            && let Err(error) = again()
        {
            tracing::debug!(%error, "the place of a socket is taken");
        }
        let removed =
            Name::new(&self.name).and_then(|name| self.fs.unlink(self.caller, self.dir, name));
        if let Err(error) = removed {
            tracing::warn!(%error, "the name of a socket that was not bound stays");
        }
    }
}

/// The node of a new socket in a file system of the view, and the host's path for the kernel's socket. Under viewfs
/// that is where the overlay has new files: the kernel's socket takes the place of the node. Elsewhere it is a name
/// for a moment. `None` for directories of the host.
///
/// # Errors
/// Those of mknod(2): `EPERM` where the format has no sockets.
fn made_in_view(ctx: &Ctx<'_>, found: &Found) -> Result<Option<(Vec<u8>, Made)>> {
    let Place::Virtual(dir) = &found.parent else { return Ok(None) };
    ctx.may(&dir.mount, &dir.attr, libc::W_OK | libc::X_OK)?;
    let fs = Arc::clone(tree(&dir.mount)?);
    let perm = (0o777 & !ctx.umask()) as u16;
    let caller = caller_in(ctx, &dir.attr);
    let name = Name::new(&found.name)?;
    let node = fs.mknod(caller, dir.attr.ino, name, FileKind::Socket, perm, DevNum::default())?;
    let mut made = Made { stand_in: None, fs, caller, dir: dir.attr.ino, name: found.name.clone() };
    let words = match made.fs.host_path(node.ino) {
        Some(words) => {
            nix::unistd::unlink(path::os(&words)).map_err(hostview::errno)?;
            words
        }
        None => {
            made.stand_in = Some((dir.mount.id, node.ino.0));
            placeholder::fresh_name()?.into_bytes()
        }
    };
    Ok(Some((words, made)))
}

/// A path of the host that fits an address: one that is too long goes by a descriptor of its directory.
pub(super) fn shortened(words: Vec<u8>) -> Result<(Vec<u8>, Vec<OwnedFd>)> {
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
