//! Extended attributes, by path, by link, by descriptor, and in the `at` forms of Linux 6.13.

use super::Ctx;
use super::open::tree;
use crate::namei::{Place, VirtualPlace};
use abi::fs::XattrFlags;
use abi::{Errno, Result};
use engine::Answer;
use syscalls::Handler;

/// Limits of xattr(7).
const NAME_BYTES_MAX: usize = 255;
const VALUE_BYTES_MAX: u64 = 65_536;

/// Where the arguments of one form are.
struct Form {
    name: u64,
    value: u64,
    size: u64,
    flags: u32,
}

/// All twelve calls and their four `at` forms.
pub(super) fn xattr(ctx: &Ctx<'_>) -> Result<Answer> {
    let place =
        if let Some(v) = ctx.row.paths.is_empty().then(|| ctx.overlaid(ctx.int(0))).flatten() {
            Place::Virtual(v)
        } else if ctx.row.paths.is_empty() {
            if !ctx.m.may_hold_virtual(ctx.tid()) {
                return Ok(Answer::Native);
            }
            match ctx.open_file(ctx.int(0))? {
                None => return Ok(Answer::Native),
                Some((file, _)) => ctx.m.place_of_file(&file, &mut ctx.walker())?,
            }
        } else {
            let named = ctx.named(0)?;
            let changes = matches!(ctx.row.handler, Handler::Setxattr | Handler::Removexattr);
            if if changes { ctx.is_quick_change(&named) } else { ctx.is_quick(&named) } {
                return Ok(Answer::Native);
            }
            let led = ctx.lead(&named)?;
            match &led.found.place {
                None if led.found.parent.host_path().is_none() => return Err(Errno::ENOENT),
                None | Some(Place::Host(_)) => return ctx.by_kernel(&named, &led),
                Some(place) => place.clone(),
            }
        };
    match place {
        Place::Virtual(v) => on_inode(ctx, &v),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

fn form(ctx: &Ctx<'_>) -> Result<Form> {
    let sets = ctx.row.handler == Handler::Setxattr;
    if !ctx.row.name.ends_with("at") || ctx.row.paths.first().is_none_or(|p| p.dirfd.is_none()) {
        let list = ctx.row.handler == Handler::Listxattr;
        return Ok(if list {
            Form { name: 0, value: ctx.arg(1), size: ctx.arg(2), flags: 0 }
        } else {
            let flags = if sets { ctx.arg(4) as u32 } else { 0 };
            Form { name: ctx.arg(1), value: ctx.arg(2), size: ctx.arg(3), flags }
        });
    }
    // struct xattr_args { u64 value; u32 size; u32 flags; }
    match ctx.row.handler {
        Handler::Listxattr => Ok(Form { name: 0, value: ctx.arg(3), size: ctx.arg(4), flags: 0 }),
        Handler::Removexattr => Ok(Form { name: ctx.arg(3), value: 0, size: 0, flags: 0 }),
        _ => {
            let mut raw = [0; 16];
            ctx.tracee.read(ctx.arg(4), &mut raw)?;
            let word = |i: usize| u32::from_ne_bytes(raw[i..i + 4].try_into().unwrap_or_default());
            let value = u64::from(word(0)) | u64::from(word(4)) << 32;
            Ok(Form { name: ctx.arg(3), value, size: u64::from(word(8)), flags: word(12) })
        }
    }
}

fn on_inode(ctx: &Ctx<'_>, v: &VirtualPlace) -> Result<Answer> {
    let fs = tree(&v.mount)?;
    let form = form(ctx)?;
    if ctx.row.handler == Handler::Listxattr {
        let mut all = Vec::new();
        for name in fs.listxattr(v.attr.ino)? {
            all.extend_from_slice(&name);
            all.push(0);
        }
        return deliver(ctx, &form, &all);
    }
    let name = ctx
        .tracee
        .read_string(form.name, NAME_BYTES_MAX + 1)
        .map_err(|e| if e == Errno::ENAMETOOLONG { Errno::ERANGE } else { e })?;
    if name.is_empty() {
        return Err(Errno::ERANGE);
    }
    match ctx.row.handler {
        Handler::Getxattr => {
            let value = fs.getxattr(v.attr.ino, &name)?;
            deliver(ctx, &form, &value)
        }
        Handler::Setxattr => {
            if form.size > VALUE_BYTES_MAX {
                return Err(Errno::E2BIG);
            }
            let flags = XattrFlags::from_bits(form.flags).ok_or(Errno::EINVAL)?;
            ctx.may(&v.mount, &v.attr, libc::W_OK)?;
            let mut value = vec![0; usize::try_from(form.size).map_err(|_| Errno::E2BIG)?];
            ctx.tracee.read(form.value, &mut value)?;
            fs.setxattr(v.attr.ino, &name, &value, flags)?;
            Ok(Answer::Return(Ok(0)))
        }
        _ => {
            ctx.may(&v.mount, &v.attr, libc::W_OK)?;
            fs.removexattr(v.attr.ino, &name)?;
            Ok(Answer::Return(Ok(0)))
        }
    }
}

/// The value, or its length where the caller gave no room.
fn deliver(ctx: &Ctx<'_>, form: &Form, value: &[u8]) -> Result<Answer> {
    if form.size > 0 {
        if value.len() as u64 > form.size {
            return Err(Errno::ERANGE);
        }
        ctx.tracee.write(form.value, value)?;
    }
    Ok(Answer::Return(Ok(value.len() as u64)))
}
