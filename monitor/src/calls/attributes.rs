//! Changing attributes, length and allocation; making things durable.

use super::Ctx;
use super::name::{Led, Named};
use super::open::{refuse_running, tree};
use crate::mounts::{Content, Mount};
use crate::namei::Place;
use crate::vfiles::VKind;
use abi::fs::{Attr, FallocateMode, FileKind, SetAttr, SetTime, Timestamp};
use abi::{Errno, Result};
use cow_store::dir::OpenFile;
use engine::Answer;
use std::sync::Arc;
use viewfs::OneCall;

/// The file that a call changes.
enum Object {
    Inode(Box<(Arc<Mount>, Attr, Option<OpenFile>)>),
    /// A special file of umdev, whose attributes are its mount's.
    Device,
    Answered(Answer),
}

/// Finds the object of a call that has a path, or a descriptor as first argument.
fn object(ctx: &Ctx<'_>) -> Result<Object> {
    if ctx.row.paths.is_empty() {
        return by_descriptor(ctx, ctx.int(0));
    }
    let named = ctx.named(0)?;
    if let Some(Some(fd)) = named.own {
        return by_descriptor(ctx, fd);
    }
    if ctx.is_quick_change(&named) {
        return Ok(Object::Answered(Answer::Native));
    }
    let led = ctx.lead(&named)?;
    of_place(ctx, &named, &led)
}

fn of_place(ctx: &Ctx<'_>, named: &Named, led: &Led) -> Result<Object> {
    match &led.found.place {
        None => match &led.found.parent {
            Place::Host(_) => Ok(Object::Answered(ctx.by_kernel(named, led)?)),
            _ => Err(Errno::ENOENT),
        },
        Some(Place::Host(_)) => Ok(Object::Answered(ctx.by_kernel(named, led)?)),
        Some(Place::Virtual(v)) => {
            Ok(Object::Inode(Box::new((Arc::clone(&v.mount), v.attr.clone(), None))))
        }
        Some(Place::Device(_)) => Ok(Object::Device),
        Some(Place::Proc(..)) => Err(Errno::EPERM),
    }
}

fn by_descriptor(ctx: &Ctx<'_>, fd: i32) -> Result<Object> {
    if ctx.row.name != "ftruncate"
        && let Some(inode) = ctx.overlaid_inode(fd)
    {
        return Ok(Object::Inode(Box::new(inode)));
    }
    if !ctx.m.may_hold_virtual(ctx.tid()) {
        return Ok(Object::Answered(Answer::Native));
    }
    match ctx.open_file(fd)? {
        None => Ok(Object::Answered(Answer::Native)),
        Some((file, own)) => {
            let opened_for = nix::fcntl::fcntl(&own, nix::fcntl::FcntlArg::F_GETFL).unwrap_or(0);
            if opened_for & libc::O_PATH != 0 {
                return Err(Errno::EBADF);
            }
            if ctx.row.name == "ftruncate" && opened_for & libc::O_ACCMODE == libc::O_RDONLY {
                return Err(Errno::EINVAL);
            }
            match ctx.m.place_of_file(&file, &mut ctx.walker())? {
                Place::Virtual(v) => Ok(Object::Inode(Box::new((v.mount, v.attr, None)))),
                Place::Device(_) => Ok(Object::Device),
                Place::Host(_) => host_directory(ctx, &file),
                Place::Proc(..) => Err(Errno::EPERM),
            }
        }
    }
}

/// fchmod(2) and its kin on a foreign directory: by its name on the host.
fn host_directory(ctx: &Ctx<'_>, file: &crate::vfiles::VFile) -> Result<Object> {
    let (VKind::HostDirectory(place) | VKind::Other(place)) = &file.kind else {
        return Err(Errno::EBADF);
    };
    let mut text = place.host_path().ok_or(Errno::EBADF)?.to_vec();
    text.push(0);
    let path = engine::Arg::Bytes(text);
    let cwd = engine::Arg::Value(libc::AT_FDCWD as i64 as u64);
    let value = |i: usize| engine::Arg::Value(ctx.arg(i));
    let (number, args) = match ctx.row.name {
        "fchmod" => (libc::SYS_fchmodat, vec![cwd, path, value(1)]),
        "fchown" => {
            (libc::SYS_fchownat, vec![cwd, path, value(1), value(2), engine::Arg::Value(0)])
        }
        "utimensat" => (libc::SYS_utimensat, vec![cwd, path, value(2), engine::Arg::Value(0)]),
        "futimesat" => (libc::SYS_futimesat, vec![cwd, path, value(2)]),
        _ => return Err(Errno::EINVAL),
    };
    Ok(Object::Answered(Answer::Rewrite(Box::new(engine::Rewrite {
        number: u32::try_from(number).map_err(|_| Errno::ENOSYS)?,
        args,
        ..engine::Rewrite::default()
    }))))
}

/// chmod, chown, utime and truncate in all their forms.
pub(super) fn change(ctx: &Ctx<'_>) -> Result<Answer> {
    let _looks = OneCall::begin();
    let (mount, attr, open) = match object(ctx)? {
        Object::Answered(answer) => return Ok(answer),
        Object::Device => {
            return match ctx.row.name {
                "truncate" => Err(Errno::EINVAL),
                _ => Ok(Answer::Return(Ok(0))),
            };
        }
        Object::Inode(inode) => *inode,
    };
    let changes = wanted(ctx, &mount, &attr)?;
    let fs = tree(&mount)?;
    if super::permission::is_read_only(&mount) {
        return Err(Errno::EROFS);
    }
    if changes == SetAttr::default() {
        return Ok(Answer::Return(Ok(0)));
    }
    let changes = if mount.overlay().is_none() { at_one_time(changes) } else { changes };
    match mount.overlay() {
        Some(overlay) => overlay.change(attr.ino, &changes, open.as_ref())?,
        None => fs.setattr(ctx.caller(), attr.ino, &changes).map(drop)?,
    }
    if let Some(size) = changes.size_bytes
        && let Some(file) = ctx.m.vfiles.of_inode(mount.id, attr.ino)
    {
        file.resized(size)?;
    }
    let done = Answer::Return(Ok(0));
    if mount.overlay().is_some() && is_by_descriptor(ctx) {
        // The descriptor may be of the file below, which does not have what was changed.
        return Ok(Answer::Require(syscalls::GroupSet::STAT, Box::new(done)));
    }
    Ok(done)
}

/// Both times are one where both are now. A host's file is told "now" itself, as who may write it may say that.
fn at_one_time(changes: SetAttr) -> SetAttr {
    if changes.atime != Some(SetTime::Now) || changes.mtime != Some(SetTime::Now) {
        return changes;
    }
    let now = Some(SetTime::At(Timestamp::now()));
    SetAttr { atime: now, mtime: now, ..changes }
}

fn is_by_descriptor(ctx: &Ctx<'_>) -> bool {
    ctx.row.paths.is_empty() || ctx.named(0).is_ok_and(|named| named.own.is_some())
}

fn wanted(ctx: &Ctx<'_>, mount: &Mount, attr: &Attr) -> Result<SetAttr> {
    let mut changes = SetAttr::default();
    match ctx.row.name {
        "chmod" | "fchmod" => changes.perm = Some(ctx.arg(1) as u16 & 0o7777),
        "fchmodat" | "fchmodat2" => changes.perm = Some(ctx.arg(2) as u16 & 0o7777),
        "chown" | "lchown" | "fchown" => owner(ctx, attr, 1, &mut changes),
        "fchownat" => owner(ctx, attr, 2, &mut changes),
        "truncate" | "ftruncate" => {
            let size = u64::try_from(ctx.arg(1) as i64).map_err(|_| Errno::EINVAL)?;
            match attr.kind {
                FileKind::Regular => {}
                FileKind::Directory => return Err(Errno::EISDIR),
                _ => return Err(Errno::EINVAL),
            }
            if ctx.row.name == "truncate" {
                ctx.may(mount, attr, libc::W_OK)?;
                refuse_running(ctx, mount, attr)?;
            }
            changes.perm = ctx.after_writing(mount, attr);
            changes.size_bytes = Some(size);
            return Ok(changes);
        }
        _ => {
            times(ctx, &mut changes)?;
            if changes == SetAttr::default() {
                // Two times to be omitted: not even the owner is asked for (`do_utimes`).
                return Ok(changes);
            }
            changes.atime = changes.atime.map(|time| ctx.to_set(time));
            changes.mtime = changes.mtime.map(|time| ctx.to_set(time));
            let is_now = changes.atime == Some(SetTime::Now) && changes.mtime == Some(SetTime::Now);
            if ctx.is_owner(mount, attr).is_err() {
                if !is_now {
                    return Err(Errno::EPERM);
                }
                ctx.may(mount, attr, libc::W_OK)?;
            }
            return Ok(changes);
        }
    }
    if let Some(perm) = changes.perm
        && changes.uid.is_none()
        && changes.gid.is_none()
        && !ctx.row.name.contains("chown")
    {
        ctx.is_owner(mount, attr)?;
        changes.perm = Some(ctx.settable(mount, attr, perm));
    } else {
        ctx.may_chown(mount, attr, changes.uid, changes.gid)?;
    }
    Ok(changes)
}

/// Owner and group at arguments `at` and `at + 1`; -1 leaves one alone. Set-id bits of programs go, as in
/// the kernel's `setattr_should_drop_sgid`.
fn owner(ctx: &Ctx<'_>, attr: &Attr, at: usize, changes: &mut SetAttr) {
    let id = |value: u64| (value as u32 != u32::MAX).then_some(value as u32);
    changes.uid = id(ctx.arg(at));
    changes.gid = id(ctx.arg(at + 1));
    if attr.kind == FileKind::Regular && attr.perm & 0o6000 != 0 {
        let mut perm = attr.perm & !0o4000;
        if perm & 0o010 != 0 {
            perm &= !0o2000;
        }
        changes.perm = Some(perm);
    }
}

/// The times of utime(2), utimes(2), futimesat(2), utimensat(2).
fn times(ctx: &Ctx<'_>, changes: &mut SetAttr) -> Result<()> {
    let address = match ctx.row.name {
        "utime" | "utimes" => ctx.arg(1),
        _ => ctx.arg(2),
    };
    if address == 0 {
        changes.atime = Some(SetTime::Now);
        changes.mtime = Some(SetTime::Now);
        return Ok(());
    }
    let words = if ctx.row.name == "utime" { 2 } else { 4 };
    let mut bytes = [0; 32];
    ctx.tracee.read(address, &mut bytes[..words * 8])?;
    let word =
        |i: usize| i64::from_ne_bytes(bytes[i * 8..i * 8 + 8].try_into().unwrap_or_default());
    let at = |seconds: i64, nanos: i64| -> Result<Option<SetTime>> {
        match nanos {
            libc::UTIME_NOW if words == 4 && ctx.row.name == "utimensat" => Ok(Some(SetTime::Now)),
            libc::UTIME_OMIT if ctx.row.name == "utimensat" => Ok(None),
            0..=999_999_999 => Ok(Some(SetTime::At(Timestamp { seconds, nanos: nanos as u32 }))),
            _ => Err(Errno::EINVAL),
        }
    };
    match ctx.row.name {
        "utime" => {
            changes.atime = at(word(0), 0)?;
            changes.mtime = at(word(1), 0)?;
        }
        "utimensat" => {
            changes.atime = at(word(0), word(1))?;
            changes.mtime = at(word(2), word(3))?;
        }
        _ => {
            let micros = |i: usize| word(i).checked_mul(1000).ok_or(Errno::EINVAL);
            changes.atime = at(word(0), micros(1)?)?;
            changes.mtime = at(word(2), micros(3)?)?;
        }
    }
    Ok(())
}

/// fallocate(2).
pub(super) fn fallocate(ctx: &Ctx<'_>) -> Result<Answer> {
    if !ctx.m.may_hold_virtual(ctx.tid()) {
        return Ok(Answer::Native);
    }
    let Some((file, own)) = ctx.open_file(ctx.int(0))? else {
        return Ok(Answer::Native);
    };
    if file.is_kernels() {
        return Ok(Answer::Native);
    }
    let opened_for = nix::fcntl::fcntl(&own, nix::fcntl::FcntlArg::F_GETFL).unwrap_or(0);
    if opened_for & libc::O_ACCMODE == libc::O_RDONLY {
        return Err(Errno::EBADF);
    }
    let mode = FallocateMode::from_bits(ctx.arg(1) as u32).ok_or(Errno::EOPNOTSUPP)?;
    let offset = u64::try_from(ctx.arg(2) as i64).map_err(|_| Errno::EINVAL)?;
    let length = u64::try_from(ctx.arg(3) as i64).map_err(|_| Errno::EINVAL)?;
    if length == 0 {
        return Err(Errno::EINVAL);
    }
    match &file.kind {
        VKind::File { mount, .. } => {
            {
                let mut state = file.state();
                let handle = file.handle(&mut state, true)?;
                tree(mount)?.fallocate(handle, mode, offset, length)?;
            }
            file.refresh()?;
            Ok(Answer::Return(Ok(0)))
        }
        VKind::Device { mount, number } => {
            let Content::Device { device, .. } = &mount.content else { return Err(Errno::EIO) };
            if !mode.contains(FallocateMode::PUNCH_HOLE) {
                return Err(Errno::EOPNOTSUPP);
            }
            let end = offset.checked_add(length).ok_or(Errno::EINVAL)?;
            device.block(*number)?.discard(offset..end)?;
            Ok(Answer::Return(Ok(0)))
        }
        VKind::Fifo { .. } => Err(Errno::ESPIPE),
        _ => Err(Errno::ENODEV),
    }
}

/// fsync(2), fdatasync(2), sync_file_range(2), syncfs(2), sync(2).
pub(super) fn sync(ctx: &Ctx<'_>) -> Result<Answer> {
    if ctx.row.name == "sync" {
        for mount in ctx.m.mounts.snapshot().all() {
            if let Err(error) = ctx.m.sync_mount(mount) {
                tracing::error!(target = %crate::path::text(&mount.target), %error, "sync failed");
            }
        }
        return Ok(Answer::Native);
    }
    if !ctx.m.may_hold_virtual(ctx.tid()) {
        return Ok(Answer::Native);
    }
    let Some((file, _own)) = ctx.open_file(ctx.int(0))? else {
        return Ok(Answer::Native);
    };
    if file.is_kernels() && ctx.row.name != "syncfs" {
        return Ok(Answer::Native);
    }
    file.flush_maps()?;
    match &file.kind {
        VKind::File { mount, .. } if ctx.row.name != "syncfs" => {
            let mut state = file.state();
            let handle = file.handle(&mut state, false)?;
            tree(mount)?.fsync(handle, ctx.row.name == "fdatasync")?;
        }
        VKind::File { mount, .. } => ctx.m.sync_mount(mount)?,
        VKind::Directory(v) => tree(&v.mount)?.sync()?,
        VKind::Device { mount, number } => {
            if let Content::Device { device, .. } = &mount.content {
                match device.block(*number) {
                    Ok(block) => block.flush()?,
                    Err(_) => device.flush()?,
                }
            }
        }
        VKind::Fifo { .. } => return Ok(Answer::Native),
        VKind::HostDirectory(_) | VKind::Other(_) => {}
    }
    Ok(Answer::Return(Ok(0)))
}
