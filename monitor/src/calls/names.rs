//! Making, linking, removing and renaming names.

use super::Ctx;
use super::name::{Led, Named};
use super::open::{caller_in, tree};
use super::permission::is_read_only;
use crate::hostview;
use crate::mounts::Mount;
use crate::namei::{Place, VirtualPlace, Walk};
use crate::path;
use crate::view::PRESENT;
use abi::dev::DevNum;
use abi::fs::{Attr, FileKind, Name, RenameFlags};
use abi::{Errno, Result};
use engine::Answer;
use std::sync::PoisonError;
use viewfs::OneCall;

/// mkdir(2), mknod(2), symlink(2) and their `at` forms.
pub(super) fn make(ctx: &Ctx<'_>) -> Result<Answer> {
    let _looks = OneCall::begin();
    ctx.m.quick.forget_missing();
    let named = ctx.named(0)?;
    if ctx.is_quick_change(&named) {
        return Ok(Answer::Native);
    }
    let led = ctx.lead(&named)?;
    if led.found.place.is_some() {
        return match &led.found.place {
            Some(Place::Host(_)) => ctx.by_kernel(&named, &led),
            _ => Err(Errno::EEXIST),
        };
    }
    let Place::Virtual(dir) = &led.found.parent else { return ctx.by_kernel(&named, &led) };
    let fs = tree(&dir.mount)?;
    ctx.may(&dir.mount, &dir.attr, libc::W_OK | libc::X_OK)?;
    let name = Name::new(&led.found.name)?;
    let caller = caller_in(ctx, &dir.attr);
    let is_at = ctx.row.name.ends_with("at");
    let shift = usize::from(is_at);
    match ctx.row.name {
        "symlink" | "symlinkat" => {
            if led.found.wants_directory {
                return Err(Errno::ENOENT);
            }
            let target = ctx.tracee.read_path(ctx.arg(0))?;
            if target.is_empty() {
                return Err(Errno::ENOENT);
            }
            fs.symlink(caller, dir.attr.ino, name, &target)?;
        }
        "mkdir" | "mkdirat" => {
            let mut perm = (ctx.arg(1 + shift) as u32 & 0o1777 & !ctx.umask()) as u16;
            perm |= dir.attr.perm & 0o2000;
            fs.mkdir(caller, dir.attr.ino, name, perm)?;
        }
        _ => {
            if led.found.wants_directory {
                return Err(Errno::ENOENT);
            }
            let mode = ctx.arg(1 + shift) as u32;
            let kind = if mode & libc::S_IFMT == 0 {
                FileKind::Regular
            } else {
                FileKind::from_mode_bits(mode).ok_or(Errno::EINVAL)?
            };
            match kind {
                FileKind::Directory => return Err(Errno::EPERM),
                FileKind::Symlink => return Err(Errno::EINVAL),
                _ => {}
            }
            let rdev = DevNum::from_raw(ctx.arg(2 + shift));
            if matches!(kind, FileKind::CharDevice | FileKind::BlockDevice) {
                ctx.may_make_device(&dir.mount)?;
            }
            let perm = (mode & 0o7777 & !ctx.umask()) as u16;
            let perm = ctx.of_new(&dir.mount, &dir.attr, perm);
            fs.mknod(caller, dir.attr.ino, name, kind, perm, rdev)?;
        }
    }
    Ok(Answer::Return(Ok(0)))
}

/// Two path arguments, both walked unless the kernel may have them as they stand.
fn both(ctx: &Ctx<'_>) -> Result<Option<[(Named, Led); 2]>> {
    let (from, to) = (ctx.named(0)?, ctx.named(1)?);
    if ctx.is_quick_change(&from) && ctx.is_quick_change(&to) {
        return Ok(None);
    }
    let (a, b) = (ctx.lead(&from)?, ctx.lead(&to)?);
    Ok(Some([(from, a), (to, b)]))
}

fn both_by_kernel(ctx: &Ctx<'_>, pair: &[(Named, Led); 2]) -> Result<Answer> {
    let is_same = |led: &Led| {
        led.as_given
            && led.found.place.as_ref().is_none_or(Place::is_native)
            && led.found.parent.is_native()
    };
    if pair.iter().all(|(_, led)| is_same(led)) {
        return Ok(Answer::Native);
    }
    ctx.in_host_words(&[(&pair[0].0, &pair[0].1), (&pair[1].0, &pair[1].1)])
}

/// link(2), linkat(2).
pub(super) fn link(ctx: &Ctx<'_>) -> Result<Answer> {
    let _looks = OneCall::begin();
    ctx.m.quick.forget_missing();
    if let Some(answer) = ctx.link_nameless()? {
        return Ok(answer);
    }
    let Some(pair) = both(ctx)? else { return Ok(Answer::Native) };
    let known = libc::AT_SYMLINK_FOLLOW | libc::AT_EMPTY_PATH;
    if ctx.row.name == "linkat" && ctx.int(4) & !known != 0 {
        return Err(Errno::EINVAL);
    }
    let [(_, from), (_, to)] = &pair;
    let source = from.found.place.clone();
    let into = &to.found.parent;
    let is_hosts = matches!((&source, into), (Some(Place::Host(_)) | None, Place::Host(_)));
    if source.is_some() && !is_hosts {
        // The new name is looked at before the mounts are compared (`do_linkat`).
        if to.found.place.is_some() {
            return Err(Errno::EEXIST);
        }
        if to.found.wants_directory {
            return Err(Errno::ENOENT);
        }
    }
    match (&source, into) {
        (None, _) if from.found.parent.host_path().is_none() || !is_hosts => Err(Errno::ENOENT),
        (Some(Place::Virtual(v)), Place::Virtual(dir)) => {
            if v.mount.id != dir.mount.id {
                return Err(Errno::EXDEV);
            }
            if v.attr.kind == FileKind::Directory {
                return Err(Errno::EPERM);
            }
            ctx.may(&dir.mount, &dir.attr, libc::W_OK | libc::X_OK)?;
            let name = Name::new(&to.found.name)?;
            tree(&dir.mount)?.link(ctx.caller(), v.attr.ino, dir.attr.ino, name)?;
            Ok(Answer::Return(Ok(0)))
        }
        (Some(Place::Host(_)) | None, Place::Host(_)) => both_by_kernel(ctx, &pair),
        _ => Err(Errno::EXDEV),
    }
}

/// unlink(2), rmdir(2), unlinkat(2).
pub(super) fn unlink(ctx: &Ctx<'_>) -> Result<Answer> {
    let _looks = OneCall::begin();
    let removes_directory = ctx.row.name == "rmdir"
        || ctx.row.name == "unlinkat" && ctx.int(2) & libc::AT_REMOVEDIR != 0;
    let named = ctx.named(0)?;
    if ctx.is_quick_change(&named) {
        if removes_directory {
            ctx.m.forget_directories();
        }
        return Ok(Answer::Native);
    }
    let led = ctx.lead(&named)?;
    let Some(place) = &led.found.place else {
        return match &led.found.parent {
            Place::Host(_) => ctx.by_kernel(&named, &led),
            // The mount is asked for leave before the name is looked up (`do_unlinkat`).
            Place::Virtual(dir) if is_read_only(&dir.mount) => Err(Errno::EROFS),
            _ => Err(Errno::ENOENT),
        };
    };
    if led.found.name.is_empty() {
        return Err(refusal_of_dots(&named.text, removes_directory));
    }
    if !removes_directory && place.is_directory() {
        return Err(Errno::EISDIR);
    }
    if !removes_directory && led.found.wants_directory {
        return Err(Errno::ENOTDIR);
    }
    let is_mount_point = ctx.m.is_mount_point(&ctx.proc.view(), place.view_path());
    match (place, &led.found.parent) {
        _ if is_mount_point => Err(Errno::EBUSY),
        (Place::Host(_), _) => {
            ctx.m.forget_directories();
            ctx.by_kernel(&named, &led)
        }
        (Place::Virtual(v), Place::Virtual(dir)) => {
            ctx.may_remove(&dir.mount, &dir.attr, &v.attr)?;
            let name = Name::new(&led.found.name)?;
            if removes_directory {
                tree(&dir.mount)?.rmdir(ctx.caller(), dir.attr.ino, name)?;
            } else {
                tree(&dir.mount)?.unlink(ctx.caller(), dir.attr.ino, name)?;
            }
            if !is_on_no_way(Some(place)) {
                ctx.m.forget_directories();
            }
            lost_a_name(ctx, v);
            Ok(Answer::Return(Ok(0)))
        }
        _ => Err(Errno::EPERM),
    }
}

/// Why a path that ends in `.`, `..` or is the root can't be removed (`do_rmdir`, `do_unlinkat`).
fn refusal_of_dots(text: &[u8], removes_directory: bool) -> Errno {
    let last = text.split(|&b| b == b'/').rfind(|c| !c.is_empty());
    match last {
        _ if !removes_directory => Errno::EISDIR,
        Some(b".") => Errno::EINVAL,
        Some(b"..") => Errno::ENOTEMPTY,
        _ => Errno::EBUSY,
    }
}

/// rename(2), renameat(2), renameat2(2).
pub(super) fn rename(ctx: &Ctx<'_>) -> Result<Answer> {
    let _looks = OneCall::begin();
    let Some(pair) = both(ctx)? else { return Ok(by_name(ctx)) };
    let flags = if ctx.row.name == "renameat2" { ctx.arg(4) as u32 } else { 0 };
    let flags = RenameFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    let [(_, from), (_, to)] = &pair;
    let view = ctx.proc.view();
    for led in [from, to] {
        if led.found.name.is_empty() {
            return Err(Errno::EBUSY);
        }
        if let Some(place) = &led.found.place
            && ctx.m.is_mount_point(&view, place.view_path())
        {
            return Err(Errno::EBUSY);
        }
    }
    match (&from.found.parent, &to.found.parent) {
        (Place::Virtual(a), Place::Virtual(b)) => {
            let Some(Place::Virtual(source)) = &from.found.place else { return Err(Errno::ENOENT) };
            if a.mount.id != b.mount.id {
                return Err(Errno::EXDEV);
            }
            if (from.found.wants_directory || to.found.wants_directory)
                && source.attr.kind != FileKind::Directory
            {
                return Err(Errno::ENOTDIR);
            }
            ctx.may_remove(&a.mount, &a.attr, &source.attr)?;
            may_replace(ctx, b, to.found.place.as_ref())?;
            if a.attr.ino != b.attr.ino {
                may_change_parent(ctx, &a.mount, &source.attr)?;
                if let Some(Place::Virtual(other)) = &to.found.place
                    && flags.contains(RenameFlags::EXCHANGE)
                {
                    may_change_parent(ctx, &b.mount, &other.attr)?;
                }
            }
            tree(&a.mount)?.rename(
                ctx.caller(),
                a.attr.ino,
                Name::new(&from.found.name)?,
                b.attr.ino,
                Name::new(&to.found.name)?,
                flags,
            )?;
            if source.attr.kind != FileKind::Regular || !is_on_no_way(to.found.place.as_ref()) {
                ctx.m.renamed();
            }
            if let Some(Place::Virtual(victim)) = &to.found.place
                && !flags.contains(RenameFlags::EXCHANGE)
                && victim.attr.ino != source.attr.ino
            {
                lost_a_name(ctx, victim);
            }
            let at = |dir: &VirtualPlace, led: &Led| path::join(dir.names.view(), &led.found.name);
            let (old, new) = (at(a, from), at(b, to));
            let exchange = flags.contains(RenameFlags::EXCHANGE);
            ctx.m.vfiles.renamed(a.mount.id, &old, &new, exchange);
            if source.attr.kind == FileKind::Directory || exchange {
                move_workers(ctx, a.mount.id, &old, &new, exchange);
            }
            Ok(Answer::Return(Ok(0)))
        }
        (Place::Host(_), Place::Host(_)) => both_by_kernel(ctx, &pair).inspect(|_| ctx.m.renamed()),
        _ if from.found.place.is_none() => Err(Errno::ENOENT),
        _ => Err(Errno::EXDEV),
    }
}

/// A rename that the kernel does as it stands.
fn by_name(ctx: &Ctx<'_>) -> Answer {
    ctx.m.renamed();
    Answer::Native
}

/// Whether nothing was found by way of this: a regular file, or none.
fn is_on_no_way(place: Option<&Place>) -> bool {
    place.is_none_or(|place| place.kind() == FileKind::Regular)
}

/// A file that has lost its last name is let go of when nobody has it open: its space is free then.
fn lost_a_name(ctx: &Ctx<'_>, v: &VirtualPlace) {
    let is_directory = v.attr.kind == FileKind::Directory;
    if v.attr.nlink > 1 && !is_directory {
        return;
    }
    ctx.m.vfiles.part(v.mount.id, &v.attr);
    match v.attr.kind {
        FileKind::Directory => lost_workplace(ctx, v),
        FileKind::Regular => ctx.m.vfiles.let_go_nameless(ctx.m, (v.mount.id, v.attr.ino)),
        FileKind::Socket => ctx.m.sockets.let_go((v.mount.id, v.attr.ino.0)),
        _ => {}
    }
}

/// Processes that work in a directory that is no more find nothing there.
fn lost_workplace(ctx: &Ctx<'_>, lost: &VirtualPlace) {
    for proc in ctx.m.tasks.processes() {
        let mut fs = proc.fs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Place::Virtual(v)) = &mut fs.cwd
            && v.mount.id == lost.mount.id
            && v.attr.ino == lost.attr.ino
        {
            v.lose();
        }
    }
}

/// Processes that work in or below a directory go with it to its new name: that of a virtual place is text,
/// and in a store a directory moves while the host's stays.
fn move_workers(ctx: &Ctx<'_>, mount: u64, from: &[u8], to: &[u8], exchange: bool) {
    for proc in ctx.m.tasks.processes() {
        let old = match proc.directories().cwd {
            Some(Place::Virtual(v)) if v.mount.id == mount => Some(v.names.view().to_vec()),
            Some(_) => None,
            None => hostview::readlink(format!("/proc/{}/cwd", proc.tgid).as_bytes()).ok(),
        };
        let Some(old) = old else { continue };
        let new = match path::below(&old, from) {
            Some(rest) => path::append(to, rest),
            None => match path::below(&old, to).filter(|_| exchange) {
                Some(rest) => path::append(from, rest),
                None => continue,
            },
        };
        if let Ok(place) = Walk::at(ctx.m, proc.view(), PRESENT).canonical(&new) {
            proc.fs.lock().unwrap_or_else(PoisonError::into_inner).cwd = Some(place);
            ctx.m.renew_agent(&proc, proc.tgid);
        }
    }
}

/// A folder that comes into another is written to: its `..` changes (`vfs_rename`).
fn may_change_parent(ctx: &Ctx<'_>, mount: &Mount, moved: &Attr) -> Result<()> {
    let is_directory = moved.kind == FileKind::Directory;
    if is_directory { ctx.may(mount, moved, libc::W_OK) } else { Ok(()) }
}

fn may_replace(ctx: &Ctx<'_>, dir: &VirtualPlace, victim: Option<&Place>) -> Result<()> {
    match victim {
        Some(Place::Virtual(v)) => ctx.may_remove(&dir.mount, &dir.attr, &v.attr),
        _ => ctx.may(&dir.mount, &dir.attr, libc::W_OK | libc::X_OK),
    }
}
