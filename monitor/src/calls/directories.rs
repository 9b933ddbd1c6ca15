//! Working directory, root, and reading directories.

use super::Ctx;
use super::data::{position, set_position};
use crate::hostview;
use crate::namei::{Place, VirtualPlace};
use crate::path;
use crate::vfiles::{VFile, VKind};
use abi::fs::{Cookie, FileKind, Handle, Name};
use abi::host::Epoch;
use abi::{Errno, Result};
use engine::Answer;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::PoisonError;

/// Directory offsets of names that mounts add, above all cookies of drivers.
const ADDED_FIRST: u64 = (1 << 43) + 16;
/// The most bytes that one call returns.
const ROOM_MAX: usize = 128 << 10;

/// chdir(2), fchdir(2).
pub(super) fn chdir(ctx: &Ctx<'_>) -> Result<Answer> {
    if ctx.row.name == "fchdir" {
        return match ctx.open_file(ctx.int(0))? {
            Some((file, _)) => {
                let place = ctx.m.place_of_file(&file, &mut ctx.walker())?;
                enter(ctx, place)
            }
            None => {
                let own = ctx.tracee.descriptor(ctx.int(0))?;
                let s = nix::sys::stat::fstat(&own).map_err(hostview::errno)?;
                if s.st_mode & libc::S_IFMT == libc::S_IFDIR {
                    let link = format!("/proc/{}/fd/{}", ctx.tid(), ctx.int(0));
                    let text = hostview::readlink(link.as_bytes())?;
                    if let Some(moved) = ctx.moved(&text) {
                        let place = ctx.walker().canonical(&moved)?;
                        return enter(ctx, place);
                    }
                    forget(ctx);
                }
                Ok(Answer::Native)
            }
        };
    }
    let named = ctx.named(0)?;
    if ctx.is_quick(&named) {
        if ctx.m.has_virtual_cwd(ctx.proc) {
            // The call may fail: only a directory that is there lets the virtual one go.
            return checked(ctx, &named);
        }
        forget(ctx);
        return Ok(Answer::Native);
    }
    checked(ctx, &named)
}

fn checked(ctx: &Ctx<'_>, named: &super::name::Named) -> Result<Answer> {
    let led = ctx.lead(named)?;
    let Some(place) = led.found.place.clone() else { return Err(Errno::ENOENT) };
    if !place.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    // A directory of viewfs that the host has too: the kernel may be there, as names are what counts.
    let is_both = matches!(&place, Place::Virtual(v) if v.mount.overlay().is_some())
        && led.as_given
        && ctx.moved(place.view_path()).is_none()
        && hostview::kind_of(place.view_path()) == Ok(FileKind::Directory);
    if is_both {
        let may = nix::unistd::AccessFlags::X_OK;
        if nix::unistd::access(path::os(place.view_path()), may).is_ok() {
            forget(ctx);
            return Ok(Answer::Native);
        }
    }
    if place.is_native() {
        let text = place.host_path().ok_or(Errno::EIO)?;
        let may = nix::unistd::AccessFlags::X_OK;
        if ctx.m.acts_for(ctx.tid()) {
            nix::unistd::access(path::os(text), may).map_err(hostview::errno)?;
        }
        forget(ctx);
        return ctx.by_kernel(named, &led);
    }
    enter(ctx, place)
}

fn enter(ctx: &Ctx<'_>, place: Place) -> Result<Answer> {
    match &place {
        Place::Virtual(v) => {
            if v.attr.kind != FileKind::Directory {
                return Err(Errno::ENOTDIR);
            }
            ctx.may(&v.mount, &v.attr, libc::X_OK)?;
        }
        Place::Host(_) => {
            let text = place.host_path().ok_or(Errno::EIO)?;
            nix::unistd::access(path::os(text), nix::unistd::AccessFlags::X_OK)
                .map_err(hostview::errno)?;
        }
        _ => return Err(Errno::ENOTDIR),
    }
    let mut fs = ctx.proc.fs.lock().unwrap_or_else(PoisonError::into_inner);
    fs.cwd = Some(place);
    drop(fs);
    ctx.m.renew_agent(ctx.proc, ctx.tid());
    Ok(Answer::Return(Ok(0)))
}

/// The kernel's working directory is about to be the view's again.
fn forget(ctx: &Ctx<'_>) {
    let mut fs = ctx.proc.fs.lock().unwrap_or_else(PoisonError::into_inner);
    fs.cwd = None;
    fs.host_cwd = None;
    drop(fs);
    ctx.m.renew_agent(ctx.proc, ctx.tid());
}

/// getcwd(2).
pub(super) fn getcwd(ctx: &Ctx<'_>) -> Result<Answer> {
    let dirs = ctx.proc.directories();
    if dirs.cwd.is_none() && dirs.root.is_none() {
        return Ok(Answer::Native);
    }
    let full = match &dirs.cwd {
        Some(place) => place.view_path().to_vec(),
        None => ctx.m.host_cwd(ctx.proc, ctx.tid()).ok_or(Errno::ENOENT)?.to_vec(),
    };
    let mut text = match &dirs.root {
        None => full,
        Some(root) => match path::below(&full, root.view_path()) {
            Some(rest) => path::append(b"/", rest),
            None => [b"(unreachable)".as_slice(), &full].concat(),
        },
    };
    text.push(0);
    let room = usize::try_from(ctx.arg(1)).unwrap_or(usize::MAX);
    if text.len() > room {
        return Err(Errno::ERANGE);
    }
    ctx.tracee.write(ctx.arg(0), &text)?;
    Ok(Answer::Return(Ok(text.len() as u64)))
}

/// chroot(2): for every user, as the root is the view's own.
pub(super) fn chroot(ctx: &Ctx<'_>) -> Result<Answer> {
    let named = ctx.named(0)?;
    let led = ctx.lead(&named)?;
    let place = led.found.existing()?;
    if !place.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    let mut fs = ctx.proc.fs.lock().unwrap_or_else(PoisonError::into_inner);
    fs.root = if place.view_path() == b"/" { None } else { Some(place) };
    if fs.cwd.is_none() && fs.host_cwd.is_none() {
        let link = format!("/proc/{}/cwd", ctx.tid());
        fs.host_cwd = hostview::readlink(link.as_bytes()).ok().map(Into::into);
    }
    drop(fs);
    ctx.m.renew_agent(ctx.proc, ctx.tid());
    let answer = Answer::Return(Ok(0));
    // From here on every name has to be looked at.
    ctx.m.require_names(&ctx.proc.view());
    Ok(Answer::Require(syscalls::GroupSet::NAMES, Box::new(answer)))
}

/// getdents(2), getdents64(2).
pub(super) fn getdents(ctx: &Ctx<'_>) -> Result<Answer> {
    let fd = ctx.int(0);
    let room = usize::try_from(ctx.arg(2) as u32).unwrap_or(0).min(ROOM_MAX);
    let mut out =
        Entries { bytes: Vec::new(), room, old_layout: ctx.row.name == "getdents", full: false };
    if ctx.m.vfiles.has_directories()
        && ctx.m.may_hold_virtual(ctx.tid())
        && let Some((file, own)) = ctx.open_file(fd)?
    {
        match &file.kind {
            _ if file.gone().is_some() => return Err(Errno::ENOENT),
            VKind::Directory(dir) => driver_entries(ctx, &file, dir, &own, &mut out)?,
            VKind::HostDirectory(place) => host_entries(ctx, &file, place, &own, &mut out)?,
            _ => return Err(Errno::ENOTDIR),
        }
        return out.deliver(ctx);
    }
    added_to_native(ctx, fd, out)
}

/// A native directory to which mounts add names: these come first, then what the kernel has.
fn added_to_native(ctx: &Ctx<'_>, fd: i32, mut out: Entries) -> Result<Answer> {
    let mounts = ctx.m.mounts.snapshot();
    if !mounts.overlays().is_empty()
        && let Some(answer) = super::merged::entries(ctx, fd, &mut out)?
    {
        return Ok(answer);
    }
    ctx.tell_agent(Some(fd), b"");
    if mounts.is_empty() || !mounts.has_ghosts() {
        return Ok(Answer::Native);
    }
    let Ok(text) = hostview::readlink(format!("/proc/{}/fd/{fd}", ctx.tid()).as_bytes()) else {
        return Ok(Answer::Native);
    };
    let added = added_names(ctx, &text);
    if added.is_empty() {
        return Ok(Answer::Native);
    }
    let own = ctx.tracee.descriptor(fd)?;
    if position(&own)? != 0 {
        return Ok(Answer::Native);
    }
    for (name, ino, kind) in added {
        if !out.push(&name, ino, kind, 0) {
            break;
        }
    }
    // The first of the kernel's own entries fit behind them: the same open file moves on.
    let mut rest = vec![0; out.room - out.bytes.len()];
    let n = engine::descriptor::read_directory(own.as_fd(), &mut rest, out.old_layout)?;
    out.bytes.extend_from_slice(&rest[..n]);
    out.deliver(ctx)
}

/// Names that mounts add to a directory and that are not there by themselves.
fn added_names(ctx: &Ctx<'_>, dir: &[u8]) -> Vec<(Vec<u8>, u64, FileKind)> {
    let view = ctx.proc.view();
    let mounts = ctx.m.mounts.snapshot();
    if mounts.has_sysfs() && dir.starts_with(b"/sys/") {
        let links = crate::sysfs::links(&mounts, &view, crate::view::PRESENT, dir);
        let added = links.into_keys().filter(|n| hostview::lstat(&path::join(dir, n)).is_err());
        return added.zip(1 << 40..).map(|(name, ino)| (name, ino, FileKind::Symlink)).collect();
    }
    mounts
        .children(&view, crate::view::PRESENT, dir, Epoch::default())
        .into_iter()
        .filter(|(name, _, _)| hostview::lstat(&path::join(dir, name)).is_err())
        .map(|(name, mount, number)| {
            let ino = mount.id << 16 | u64::from(number);
            let kind = match &mount.content {
                crate::mounts::Content::Device { .. } => {
                    crate::vfiles::device_info(&mount, number).attr.kind
                }
                _ => FileKind::Directory,
            };
            (name, ino, kind)
        })
        .collect()
}

fn driver_entries(
    ctx: &Ctx<'_>,
    file: &VFile,
    dir: &VirtualPlace,
    own: &OwnedFd,
    out: &mut Entries,
) -> Result<()> {
    let fs = dir.mount.tree().ok_or(Errno::EIO)?;
    let mut at = position(own)?;
    if at == 0 && out.push(b".", dir.attr.ino.0, FileKind::Directory, 1) {
        at = 1;
    }
    if at == 1 {
        let parent = ctx.walker().parent(&Place::Virtual(dir.clone()));
        let ino = parent.and_then(|p| ctx.m.info_of(&p)).map_or(1, |i| i.attr.ino.0);
        if out.push(b"..", ino, FileKind::Directory, 2) {
            at = 2;
        }
    }
    if (2..ADDED_FIRST).contains(&at) {
        let handle = file.directory_handle(ctx.caller(), at == 2)?;
        read_driver(&**fs, handle, Cookie(at - 2), 2, out, &mut at)?;
        if !out.full {
            at = ADDED_FIRST;
        }
    }
    if at >= ADDED_FIRST {
        let added = ctx.m.mounts.snapshot().children(
            &ctx.proc.view(),
            crate::view::PRESENT,
            dir.names.view(),
            dir.mount.rank(crate::view::PRESENT),
        );
        for (index, (name, mount, number)) in added.iter().enumerate() {
            let next = ADDED_FIRST + index as u64 + 1;
            if at >= next {
                continue;
            }
            let is_there = Name::new(name).is_ok_and(|n| fs.lookup(dir.attr.ino, n).is_ok());
            let ino = mount.id << 16 | u64::from(*number);
            if !is_there && !out.push(name, ino, FileKind::Directory, next) {
                break;
            }
            at = next;
        }
    }
    set_position(own, at)
}

pub(super) fn read_driver(
    fs: &dyn abi::fs::FileSystem,
    handle: Handle,
    cookie: Cookie,
    first: u64,
    out: &mut Entries,
    at: &mut u64,
) -> Result<()> {
    fs.readdir(handle, cookie, &mut |entry| {
        let next = entry.next.0 + first;
        let kind = entry.kind.map_or(libc::DT_UNKNOWN, FileKind::to_d_type);
        let taken = out.push_raw(entry.name, entry.ino.0, kind, next);
        if taken {
            *at = next;
        }
        taken
    })
}

/// A directory of the host under another name: its names are read anew at each rewind.
fn host_entries(
    ctx: &Ctx<'_>,
    file: &VFile,
    place: &Place,
    own: &OwnedFd,
    out: &mut Entries,
) -> Result<()> {
    let mut at = position(own)?;
    let mut listing = file.listing.lock().unwrap_or_else(PoisonError::into_inner);
    if at == 0 {
        *listing = read_host(ctx, place)?;
    }
    for (index, (name, ino, kind)) in listing.iter().enumerate() {
        let next = index as u64 + 1;
        if at >= next {
            continue;
        }
        if !out.push_raw(name, *ino, *kind, next) {
            break;
        }
        at = next;
    }
    drop(listing);
    set_position(own, at)
}

fn read_host(ctx: &Ctx<'_>, place: &Place) -> Result<Vec<(Vec<u8>, u64, u8)>> {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{DirEntryExt, FileTypeExt};
    let host = place.host_path().ok_or(Errno::EIO)?;
    let here = hostview::lstat(host)?;
    let up = ctx.walker().parent(place).and_then(|p| ctx.m.info_of(&p));
    let mut all = vec![
        (b".".to_vec(), here.st_ino, libc::DT_DIR),
        (b"..".to_vec(), up.map_or(here.st_ino, |i| i.attr.ino.0), libc::DT_DIR),
    ];
    for entry in std::fs::read_dir(path::os(host))? {
        let entry = entry?;
        let t = entry.file_type()?;
        let kind = match () {
            () if t.is_dir() => libc::DT_DIR,
            () if t.is_symlink() => libc::DT_LNK,
            () if t.is_char_device() => libc::DT_CHR,
            () if t.is_block_device() => libc::DT_BLK,
            () if t.is_fifo() => libc::DT_FIFO,
            () if t.is_socket() => libc::DT_SOCK,
            () => libc::DT_REG,
        };
        all.push((entry.file_name().as_bytes().to_vec(), entry.ino(), kind));
    }
    let mounts = ctx.m.mounts.snapshot();
    let (view, present) = (ctx.proc.view(), crate::view::PRESENT);
    for (name, mount, number) in
        mounts.children(&view, present, place.view_path(), Epoch::default())
    {
        if !all.iter().any(|(n, _, _)| *n == name) {
            all.push((name, mount.id << 16 | u64::from(number), libc::DT_DIR));
        }
    }
    Ok(all)
}

/// Entries in the layout of getdents64(2) or of the older call.
pub(super) struct Entries {
    bytes: Vec<u8>,
    room: usize,
    old_layout: bool,
    /// An entry did not fit.
    pub(super) full: bool,
}

impl Entries {
    pub(super) fn push(&mut self, name: &[u8], ino: u64, kind: FileKind, next: u64) -> bool {
        self.push_raw(name, ino, kind.to_d_type(), next)
    }

    fn push_raw(&mut self, name: &[u8], ino: u64, d_type: u8, next: u64) -> bool {
        // Around the name: 18 + 2 bytes in the old layout, 19 + 1 in the other.
        let length = (20 + name.len() + 7) & !7;
        if self.bytes.len() + length > self.room {
            self.full = true;
            return false;
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&ino.to_ne_bytes());
        self.bytes.extend_from_slice(&next.to_ne_bytes());
        self.bytes.extend_from_slice(&(length as u16).to_ne_bytes());
        if !self.old_layout {
            self.bytes.push(d_type);
        }
        self.bytes.extend_from_slice(name);
        self.bytes.resize(start + length, 0);
        if self.old_layout {
            self.bytes[start + length - 1] = d_type;
        }
        true
    }

    pub(super) fn deliver(&self, ctx: &Ctx<'_>) -> Result<Answer> {
        if self.bytes.is_empty() && self.full {
            return Err(Errno::EINVAL);
        }
        ctx.tracee.write(ctx.arg(1), &self.bytes)?;
        Ok(Answer::Return(Ok(self.bytes.len() as u64)))
    }
}
