//! Calls that only look: stat, access, readlink, statfs.

use super::Ctx;
use super::name::{Led, Named};
use crate::hostview;
use crate::namei::Place;
use crate::path;
use crate::statbuf::{self, Info};
use crate::vfiles::VKind;
use abi::fs::{FileKind, StatFs};
use abi::{Errno, Result};
use engine::Answer;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::AccessFlags;

/// `TMPFS_MAGIC` of linux/magic.h, which devtmpfs has too.
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// stat(2), lstat(2), fstat(2), newfstatat(2), statx(2).
pub(super) fn stat(ctx: &Ctx<'_>) -> Result<Answer> {
    if ctx.row.name == "fstat" {
        return by_descriptor(ctx, ctx.int(0), ctx.arg(1));
    }
    let buffer = match ctx.row.name {
        "newfstatat" => ctx.arg(2),
        "statx" => ctx.arg(4),
        _ => ctx.arg(1),
    };
    let named = ctx.named(0)?;
    if let Some(Some(fd)) = named.own {
        return by_descriptor(ctx, fd, buffer);
    }
    if ctx.is_quick(&named) {
        return Ok(Answer::Native);
    }
    let led = ctx.lead(&named)?;
    let place = match &led.found.place {
        Some(place) => place,
        None => return nothing_there(ctx, &named, &led),
    };
    if let Place::Host(h) = place {
        if ctx.is_as_given(&named, &led) {
            return Ok(Answer::Native);
        }
        if h.is_magic || !ctx.m.acts_for(ctx.tid()) {
            return ctx.by_kernel(&named, &led);
        }
    }
    put(ctx, &ctx.m.info_of(place)?, buffer)
}

/// `ENOENT`, as the kernel would find out by itself where it can.
fn nothing_there(ctx: &Ctx<'_>, named: &Named, led: &Led) -> Result<Answer> {
    if ctx.is_as_given(named, led) {
        return Ok(Answer::Native);
    }
    Err(Errno::ENOENT)
}

fn by_descriptor(ctx: &Ctx<'_>, fd: i32, buffer: u64) -> Result<Answer> {
    if !ctx.m.may_hold_virtual(ctx.tid()) {
        return Ok(Answer::Native);
    }
    if ctx.m.vfiles.is_empty() && ctx.overlays().is_empty() {
        return Ok(Answer::Native);
    }
    let Ok(own) = ctx.tracee.descriptor(fd) else { return Ok(Answer::Native) };
    if let Some(file) = ctx.virtual_file(&own) {
        return put(ctx, &file.info(ctx.m)?, buffer);
    }
    match ctx.overlaid_stat(fd, own) {
        Some(info) => put(ctx, &info, buffer),
        None => {
            ctx.tell_agent(Some(fd), b"");
            Ok(Answer::Native)
        }
    }
}

fn put(ctx: &Ctx<'_>, info: &Info, buffer: u64) -> Result<Answer> {
    let info = ctx.in_own_time(info);
    if ctx.row.name == "statx" {
        ctx.tracee.write(buffer, &info.to_statx())?;
    } else {
        ctx.tracee.write(buffer, &info.to_stat())?;
    }
    Ok(Answer::Return(Ok(0)))
}

/// access(2), faccessat(2), faccessat2(2).
pub(super) fn access(ctx: &Ctx<'_>) -> Result<Answer> {
    let mode = if ctx.row.name == "access" { ctx.int(1) } else { ctx.int(2) };
    if mode & !7 != 0 {
        return Err(Errno::EINVAL);
    }
    let named = ctx.named(0)?;
    // Whether it may be written is the overlay's to say even where all else is the host's.
    let asks_to_change = mode & libc::W_OK != 0;
    if asks_to_change && ctx.is_quick_change(&named) || !asks_to_change && ctx.is_quick(&named) {
        return Ok(Answer::Native);
    }
    let led = ctx.lead(&named)?;
    let place = match &led.found.place {
        Some(place) => place,
        None => return nothing_there(ctx, &named, &led),
    };
    match place {
        Place::Host(h) => {
            if led.as_given && place.is_native() || h.is_magic || !ctx.m.acts_for(ctx.tid()) {
                return ctx.by_kernel(&named, &led);
            }
            let text = place.host_path().ok_or(Errno::EIO)?;
            nix::unistd::faccessat(
                AT_FDCWD,
                path::os(text),
                AccessFlags::from_bits_retain(mode),
                AtFlags::empty(),
            )
            .map_err(hostview::errno)?;
        }
        Place::Virtual(v) => {
            ctx.may(&v.mount, &v.attr, mode)?;
            if mode & libc::W_OK != 0
                && let Some(fs) = v.mount.overlay()
            {
                fs.may_change(v.attr.ino)?;
            }
        }
        Place::Device(d) => super::info::may_use_device(ctx, d, mode)?,
        Place::Proc(..) => {
            if mode & (libc::W_OK | libc::X_OK) != 0 {
                return Err(Errno::EACCES);
            }
        }
    }
    Ok(Answer::Return(Ok(0)))
}

/// readlink(2), readlinkat(2).
pub(super) fn readlink(ctx: &Ctx<'_>) -> Result<Answer> {
    let (buffer, room) = if ctx.row.name == "readlink" {
        (ctx.arg(1), ctx.int(2))
    } else {
        (ctx.arg(2), ctx.int(3))
    };
    let named = ctx.named(0)?;
    if ctx.is_quick(&named) {
        return Ok(Answer::Native);
    }
    let led = ctx.lead(&named)?;
    let Some(place) = &led.found.place else { return nothing_there(ctx, &named, &led) };
    let room = usize::try_from(room).ok().filter(|&r| r > 0).ok_or(Errno::EINVAL)?;
    let text = match place {
        Place::Host(h) => {
            if named.own.is_some() {
                return Ok(Answer::Native);
            }
            let host = place.host_path().ok_or(Errno::EIO)?;
            match descriptor_link(ctx, host)? {
                Some(text) => text,
                None if led.as_given && place.is_native() || h.is_magic => {
                    return ctx.by_kernel(&named, &led);
                }
                None => hostview::readlink(host)?,
            }
        }
        Place::Virtual(v) if v.attr.kind == FileKind::Symlink => {
            v.mount.tree().ok_or(Errno::EINVAL)?.readlink(v.attr.ino)?
        }
        Place::Proc(_, crate::procfs::Entry::Link(text)) => text.clone(),
        // An empty path means a link that is open itself, nothing else.
        _ if named.own.is_some() => return Err(Errno::ENOENT),
        _ => return Err(Errno::EINVAL),
    };
    let n = text.len().min(room);
    ctx.tracee.write(buffer, &text[..n])?;
    Ok(Answer::Return(Ok(n as u64)))
}

/// The text of /proc/PID/fd/N where that is a placeholder, or a file that an overlay has in its store.
fn descriptor_link(ctx: &Ctx<'_>, host: &[u8]) -> Result<Option<Vec<u8>>> {
    let in_fd = || path::split(host).is_some_and(|(dir, _)| dir.ends_with(b"/fd"));
    if !host.starts_with(b"/proc/") {
        return Ok(None);
    }
    if in_fd()
        && let Some(name) = hostview::readlink(host).ok().and_then(|link| ctx.name_in_view(&link))
    {
        return Ok(Some(name));
    }
    if ctx.m.vfiles.is_empty() {
        return Ok(None);
    }
    let Ok(s) = hostview::stat(host, true) else { return Ok(None) };
    Ok(ctx.m.vfiles.by_stat(&s).map(|file| {
        let mut text = file.view_path();
        let is_file = matches!(file.kind, VKind::File { .. });
        if is_file && file.info(ctx.m).is_ok_and(|info| info.attr.nlink == 0) {
            text.extend_from_slice(b" (deleted)");
        }
        text
    }))
}

/// statfs(2), fstatfs(2), ustat(2).
pub(super) fn statfs(ctx: &Ctx<'_>) -> Result<Answer> {
    if ctx.row.name == "ustat" {
        return Ok(Answer::Native);
    }
    let place = if ctx.row.name == "fstatfs" {
        match ctx.open_file(ctx.int(0)) {
            Ok(Some((file, _))) => match &file.kind {
                VKind::File { mount, .. } => return put_statfs(ctx, mount),
                _ => ctx.m.place_of_file(&file, &mut ctx.walker())?,
            },
            _ => return Ok(Answer::Native),
        }
    } else {
        let named = ctx.named(0)?;
        if ctx.is_quick(&named) {
            return Ok(Answer::Native);
        }
        let led = ctx.lead(&named)?;
        match &led.found.place {
            None => return nothing_there(ctx, &named, &led),
            Some(Place::Host(_)) => return ctx.by_kernel(&named, &led),
            Some(place) => place.clone(),
        }
    };
    match &place {
        Place::Virtual(v) => put_statfs(ctx, &v.mount),
        // A special file that is mounted is no file system: without blocks df(1) leaves it out.
        Place::Device(_) => {
            let own = StatFs { magic: TMPFS_MAGIC, ..StatFs::default() };
            ctx.tracee.write(ctx.arg(1), &statbuf::statfs(&own, 0, 0))?;
            Ok(Answer::Return(Ok(0)))
        }
        // What lies in /dev and /proc, and foreign directories: as the host's.
        _ => {
            let at = place.host_path().unwrap_or(b"/dev");
            let own = hostview::statfs(at)?;
            ctx.tracee.write(ctx.arg(1), &statbuf::statfs(&own, 0, 0))?;
            Ok(Answer::Return(Ok(0)))
        }
    }
}

fn put_statfs(ctx: &Ctx<'_>, mount: &crate::mounts::Mount) -> Result<Answer> {
    let fs = mount.tree().ok_or(Errno::EIO)?;
    let mut flags = 0;
    if super::permission::is_read_only(mount) {
        flags |= libc::ST_RDONLY;
    }
    for (set, bit) in [
        (mount.flags.no_suid, libc::ST_NOSUID),
        (mount.flags.no_dev, libc::ST_NODEV),
        (mount.flags.no_exec, libc::ST_NOEXEC),
    ] {
        if set {
            flags |= bit;
        }
    }
    ctx.tracee.write(ctx.arg(1), &statbuf::statfs(&fs.statfs()?, mount.dev.to_raw(), flags))?;
    Ok(Answer::Return(Ok(0)))
}
