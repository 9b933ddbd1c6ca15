//! AF_UNIX addresses: a path in a `struct sockaddr_un`.

use super::Ctx;
use super::name::host_words;
use super::open::{caller_in, tree};
use crate::hostview;
use crate::namei::{Found, Place};
use crate::path;
use crate::quick::How;
use abi::dev::DevNum;
use abi::fs::{FileKind, Name};
use abi::{Errno, Result};
use engine::{Answer, Arg, Rewrite};
use std::os::fd::AsRawFd;

/// Bytes of `sun_path`.
const PATH_BYTES: usize = 108;

/// bind(2), connect(2).
pub(super) fn address(ctx: &Ctx<'_>) -> Result<Answer> {
    let length = usize::try_from(ctx.arg(2) as u32).unwrap_or(0);
    if !(3..=PATH_BYTES + 2).contains(&length) {
        return Ok(Answer::Native);
    }
    let mut raw = vec![0; length];
    if ctx.tracee.read(ctx.arg(1), &mut raw).is_err() {
        return Ok(Answer::Native);
    }
    let family = u16::from_ne_bytes([raw[0], raw[1]]);
    let path = raw[2..].split(|&b| b == 0).next().unwrap_or_default().to_vec();
    if i32::from(family) != libc::AF_UNIX || path.is_empty() {
        return Ok(Answer::Native);
    }
    let follow = ctx.row.name == "connect";
    let how = How { follow, change: !follow };
    if ctx.m.is_quickly_native(ctx.proc, ctx.tid(), None, &path, how) {
        return Ok(Answer::Native);
    }
    let mut walk = ctx.walker();
    let (start, same) = ctx.base(&mut walk, None)?;
    let found = walk.walk(start, &path, follow)?;
    if ctx.row.name == "bind"
        && found.place.is_none()
        && let Some(words) = made_by_overlay(ctx, &found)?
    {
        // Where the kernel makes the same of the name, the socket keeps it as it was given.
        let is_same = (same || path.first() == Some(&b'/')) && !walk.left_host;
        if is_same && words == found.view_path() {
            return Ok(Answer::Native);
        }
        return at_host(ctx, family, words);
    }
    let is_absolute = path.first() == Some(&b'/');
    let same = (same || is_absolute && walk.root.is_none()) && !walk.left_host;
    let by_kernel = found.place.as_ref().unwrap_or(&found.parent).backing_path().is_some();
    let same = same && found.place.as_ref().unwrap_or(&found.parent).is_as_on_host();
    match (&found.place, &found.parent) {
        _ if by_kernel && same => Ok(Answer::Native),
        _ if by_kernel => {
            let words = host_words(&found).ok_or(Errno::EIO)?;
            at_host(ctx, family, words)
        }
        // A socket has to be the kernel's, and a virtual directory can't hold one.
        (Some(_), _) if ctx.row.name == "bind" => Err(Errno::EADDRINUSE),
        (Some(_), _) => Err(Errno::ECONNREFUSED),
        (None, _) if ctx.row.name == "bind" => Err(Errno::EPERM),
        (None, _) => Err(Errno::ENOENT),
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

/// The call with a path of the host; one that is too long for an address goes by a descriptor of its directory.
fn at_host(ctx: &Ctx<'_>, family: u16, mut words: Vec<u8>) -> Result<Answer> {
    let mut keep = Vec::new();
    if words.len() >= PATH_BYTES {
        let (dir, name) = path::split(&words).ok_or(Errno::ENAMETOOLONG)?;
        let flags = nix::fcntl::OFlag::O_PATH | nix::fcntl::OFlag::O_CLOEXEC;
        let mode = nix::sys::stat::Mode::empty();
        let dir = nix::fcntl::open(path::os(dir), flags, mode).map_err(hostview::errno)?;
        let short = format!("/proc/{}/fd/{}", std::process::id(), dir.as_raw_fd());
        words = path::join(short.as_bytes(), name);
        keep.push(dir);
    }
    if words.len() >= PATH_BYTES {
        return Err(Errno::ENAMETOOLONG);
    }
    let mut bytes = family.to_ne_bytes().to_vec();
    bytes.extend_from_slice(&words);
    bytes.push(0);
    let length = bytes.len() as u64;
    Ok(Answer::Rewrite(Box::new(Rewrite {
        number: ctx.call.number,
        args: vec![Arg::Value(ctx.arg(0)), Arg::Bytes(bytes), Arg::Value(length)],
        keep,
        ..Rewrite::default()
    })))
}
