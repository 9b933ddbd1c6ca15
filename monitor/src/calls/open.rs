//! open(2) and its family.

use super::Ctx;
use super::name::{Led, Named, host_words};
use super::special;
use crate::credentials::Credentials;
use crate::hostview;
use crate::mounts::Mount;
use crate::namei::{Place, VirtualPlace, Walk};
use crate::path;
use crate::procfs;
use crate::vfiles::Prepared;
use crate::view::PRESENT;
use abi::fs::{Attr, FileKind, Name, OpenFlags, Opened, SetAttr};
use abi::{Errno, Result};
use engine::Answer;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use std::os::fd::OwnedFd;
use std::sync::{Arc, PoisonError};
use viewfs::OneCall;

/// What the caller asked for.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    pub(super) flags: i32,
    mode: u32,
}

impl Wanted {
    fn of(ctx: &Ctx<'_>) -> Result<Self> {
        Ok(match ctx.row.name {
            "creat" => Self {
                flags: libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC,
                mode: ctx.arg(1) as u32,
            },
            "open" => Self { flags: ctx.int(1), mode: ctx.arg(2) as u32 },
            "openat" => Self { flags: ctx.int(2), mode: ctx.arg(3) as u32 },
            _ => {
                let mut how = [0; 16];
                ctx.tracee.read(ctx.arg(2), &mut how)?;
                let word =
                    |at: usize| u64::from_ne_bytes(how[at..at + 8].try_into().unwrap_or_default());
                Self { flags: word(0) as i32, mode: word(8) as u32 }
            }
        })
    }

    fn has(self, bits: i32) -> bool {
        self.flags & bits == bits
    }

    fn reads(self) -> bool {
        self.flags & libc::O_ACCMODE != libc::O_WRONLY
    }

    fn writes(self) -> bool {
        self.flags & libc::O_ACCMODE != libc::O_RDONLY
    }

    /// Whether a file may be made or changed.
    fn changes(self) -> bool {
        self.writes()
            || self.flags & (libc::O_CREAT | libc::O_TRUNC) != 0
            || self.has(libc::O_TMPFILE)
    }

    fn access(self) -> i32 {
        let r = if self.reads() { libc::R_OK } else { 0 };
        let w = if self.writes() || self.has(libc::O_TRUNC) { libc::W_OK } else { 0 };
        r | w
    }

    fn for_driver(self) -> OpenFlags {
        let mut f = OpenFlags::READ;
        f.set(OpenFlags::WRITE, self.writes());
        f.set(OpenFlags::EXCLUSIVE, self.has(libc::O_EXCL));
        f.set(OpenFlags::SYNC, self.has(libc::O_SYNC));
        f.set(OpenFlags::APPEND, self.has(libc::O_APPEND));
        f
    }
}

/// open(2), creat(2), openat(2), openat2(2).
pub(super) fn open(ctx: &Ctx<'_>) -> Result<Answer> {
    let _looks = OneCall::begin();
    let wanted = Wanted::of(ctx)?;
    let named = ctx.named(0)?;
    let is_quick =
        if wanted.changes() { ctx.is_quick_change(&named) } else { ctx.is_quick(&named) };
    if is_quick {
        return Ok(Answer::Native);
    }
    // Two of O_TMPFILE's bits are O_DIRECTORY's; with O_CREAT either is refused (`build_open_flags`).
    if wanted.has(libc::O_CREAT | libc::O_DIRECTORY) {
        return Err(Errno::EINVAL);
    }
    let led = ctx.lead(&named)?;
    if wanted.has(libc::O_CREAT) && led.found.wants_directory && !led.found.name.is_empty() {
        return Err(Errno::EISDIR);
    }
    let Some(place) = led.found.place.clone() else {
        return missing(ctx, &named, &led, wanted);
    };
    if wanted.has(libc::O_CREAT | libc::O_EXCL) {
        return Err(Errno::EEXIST);
    }
    if let Place::Host(_) = &place {
        return host(ctx, &named, &led, &place, wanted);
    }
    if wanted.has(libc::O_TMPFILE) {
        return tmpfile(ctx, &place, wanted);
    }
    if wanted.has(libc::O_DIRECTORY) && !place.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    if wanted.has(libc::O_PATH) {
        return Ok(hand_over(ctx, ctx.m.vfiles.open_other(&place, None, wanted.flags)?, wanted));
    }
    if place.kind() == FileKind::Symlink {
        return Err(Errno::ELOOP);
    }
    if place.is_directory() && (wanted.writes() || wanted.has(libc::O_CREAT)) {
        return Err(Errno::EISDIR);
    }
    ctx.m.vfiles.sweep(ctx.m);
    match &place {
        Place::Virtual(v) if v.mount.overlay().is_some() => {
            overlaid_file(ctx, &named, &led, v, wanted)
        }
        Place::Virtual(v) => virtual_file(ctx, v, wanted),
        Place::Device(d) => {
            super::info::may_use_device(ctx, d, wanted.access())?;
            Ok(hand_over(ctx, ctx.m.vfiles.open_device(d, wanted.flags)?, wanted))
        }
        Place::Proc(_, procfs::Entry::File(table)) if table.is_setting() && wanted.writes() => {
            Err(Errno::EACCES)
        }
        Place::Proc(_, procfs::Entry::File(table)) => {
            let mut walk = ctx.walker();
            let bytes = procfs::content(ctx.m, &mut walk, *table, ctx.proc.tgid);
            Ok(hand_over(ctx, ctx.m.vfiles.open_other(&place, Some(&bytes), wanted.flags)?, wanted))
        }
        Place::Proc(..) | Place::Host(_) => Err(Errno::ELOOP),
    }
}

fn hand_over(ctx: &Ctx<'_>, prepared: Prepared, wanted: Wanted) -> Answer {
    let _ = ctx;
    let answer = Answer::Fd(prepared.fd, wanted.has(libc::O_CLOEXEC));
    Answer::Require(prepared.groups, Box::new(answer))
}

/// The name does not exist.
fn missing(ctx: &Ctx<'_>, named: &Named, led: &Led, wanted: Wanted) -> Result<Answer> {
    match &led.found.parent {
        Place::Virtual(dir) => {
            if !wanted.has(libc::O_CREAT) {
                return Err(Errno::ENOENT);
            }
            create(ctx, dir, &led.found.name, wanted)
        }
        Place::Host(_) => ctx.by_kernel(named, led),
        Place::Device(_) | Place::Proc(..) => Err(Errno::ENOTDIR),
    }
}

/// A file of the host.
fn host(ctx: &Ctx<'_>, named: &Named, led: &Led, place: &Place, wanted: Wanted) -> Result<Answer> {
    let is_magic = matches!(place, Place::Host(h) if h.is_magic);
    if is_magic
        && wanted.changes()
        && let Some(v) = place.host_path().and_then(|link| ctx.overlaid_magic(link))
        && v.attr.kind == FileKind::Regular
    {
        return overlaid_file(ctx, named, led, &v, wanted);
    }
    if ctx.is_as_given(named, led) {
        return Ok(Answer::Native);
    }
    if wanted.has(libc::O_CREAT | libc::O_EXCL) {
        return Err(Errno::EEXIST);
    }
    let plain = !wanted.has(libc::O_CREAT) && !wanted.has(libc::O_TMPFILE);
    let is_plain_kind = matches!(place.kind(), FileKind::Regular | FileKind::Directory);
    if !plain || !is_plain_kind || is_magic || !ctx.m.acts_for(ctx.tid()) {
        if place.is_directory() && !place.is_native() && !wanted.has(libc::O_TMPFILE) {
            return foreign_directory(ctx, place, wanted);
        }
        return ctx.by_kernel(named, led);
    }
    if place.is_directory() && !place.is_native() {
        return foreign_directory(ctx, place, wanted);
    }
    let text = host_words(&led.found).ok_or(Errno::EIO)?;
    let fd = open_host(&text, wanted.flags)?;
    Ok(Answer::Fd(fd, wanted.has(libc::O_CLOEXEC)))
}

fn open_host(text: &[u8], flags: i32) -> Result<OwnedFd> {
    let flags =
        OFlag::from_bits_retain(flags | libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_NOCTTY);
    nix::fcntl::open(path::os(text), flags, Mode::empty()).map_err(hostview::errno)
}

/// A directory of the host that the view calls otherwise: the descriptor must not show the host's name.
fn foreign_directory(ctx: &Ctx<'_>, place: &Place, wanted: Wanted) -> Result<Answer> {
    if wanted.has(libc::O_PATH) {
        return Ok(hand_over(ctx, ctx.m.vfiles.open_other(place, None, wanted.flags)?, wanted));
    }
    if wanted.writes() || wanted.has(libc::O_CREAT) && !wanted.has(libc::O_TMPFILE) {
        return Err(Errno::EISDIR);
    }
    // Whether it may be read is the host's to say, or its mode's where the caller is somebody else.
    let text = place.host_path().ok_or(Errno::EIO)?;
    drop(open_host(text, libc::O_RDONLY | libc::O_DIRECTORY)?);
    if !ctx.m.acts_for(ctx.tid())
        && let Some(who) = Credentials::of_host(ctx.tid())
    {
        super::permission::check(&who, &ctx.m.info_of(place)?.attr, libc::R_OK)?;
    }
    ctx.m.vfiles.sweep(ctx.m);
    Ok(hand_over(ctx, ctx.m.vfiles.open_host_directory(place, wanted.flags)?, wanted))
}

/// A file of viewfs: regular ones are opened on behalf, special ones by the kernel under the host's name.
fn overlaid_file(
    ctx: &Ctx<'_>,
    named: &Named,
    led: &Led,
    v: &VirtualPlace,
    wanted: Wanted,
) -> Result<Answer> {
    ctx.may(&v.mount, &v.attr, wanted.access())?;
    match v.attr.kind {
        FileKind::Directory => {
            let flags = wanted.flags & !(libc::O_CREAT | libc::O_EXCL) | libc::O_DIRECTORY;
            // One that the host keeps from the user is an empty one to a virtual root.
            if is_the_hosts(ctx, v)
                && let Ok(fd) = open_host(v.names.view(), flags)
            {
                return Ok(Answer::Fd(fd, wanted.has(libc::O_CLOEXEC)));
            }
            Ok(hand_over(ctx, ctx.m.vfiles.open_directory(v, wanted.flags)?, wanted))
        }
        FileKind::Regular => {
            before_opening(ctx, v, wanted)?;
            let flags = wanted.flags & !(libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW);
            let fs = tree(&v.mount)?;
            if let Some(fd) = fs.open_host(ctx.caller(), v.attr.ino, flags) {
                return Ok(hand_over_host(fd?, v, wanted));
            }
            // A driver's file, which may have moved to the store by being opened.
            let attr = fs.getattr(v.attr.ino)?;
            virtual_file(ctx, &VirtualPlace { attr, ..v.clone() }, wanted)
        }
        // What the store has for a node is a file with a note; the host's own nodes are opened by their names.
        FileKind::CharDevice | FileKind::BlockDevice if !is_node_of_host(v) => {
            device_node(ctx, v, wanted)
        }
        _ if Place::Virtual(v.clone()).backing_path().is_none() => virtual_file(ctx, v, wanted),
        _ => ctx.by_kernel(named, led),
    }
}

/// Whether a directory is the host's own under its own name: then its descriptor is, and what is found below it by
/// relative names can be the kernel's.
fn is_the_hosts(ctx: &Ctx<'_>, v: &VirtualPlace) -> bool {
    let rest = path::below(v.names.view(), &v.mount.target);
    let is_lower = rest.zip(v.mount.overlay()).is_some_and(|(rest, fs)| fs.is_lower(rest));
    is_lower && ctx.m.acts_for(ctx.tid()) && Place::Virtual(v.clone()).is_as_on_host()
}

fn is_node_of_host(v: &VirtualPlace) -> bool {
    let path = Place::Virtual(v.clone()).backing_path();
    path.and_then(|path| hostview::lstat(&path).ok()).is_some_and(|s| {
        s.st_rdev == v.attr.rdev.to_raw()
            && FileKind::from_mode_bits(s.st_mode) == Some(v.attr.kind)
    })
}

/// What is asked of a regular file beside its permissions, and what becomes of it by being opened. Set-id bits go at
/// the open for writing: the writes themselves may be the kernel's alone.
fn before_opening(ctx: &Ctx<'_>, v: &VirtualPlace, wanted: Wanted) -> Result<()> {
    if wanted.has(libc::O_NOATIME) {
        ctx.is_owner(&v.mount, &v.attr)?;
    }
    if !wanted.writes() && !wanted.has(libc::O_TRUNC) {
        return Ok(());
    }
    refuse_running(ctx, &v.mount, &v.attr)?;
    if let Some(perm) = ctx.after_writing(&v.mount, &v.attr) {
        let changes = SetAttr { perm: Some(perm), ..SetAttr::default() };
        tree(&v.mount)?.setattr(ctx.caller(), v.attr.ino, &changes)?;
    }
    Ok(())
}

/// A program that runs from a virtual file is a copy, which the kernel protects; the file itself is ours to.
///
/// # Errors
/// - `ETXTBSY` if a process of the views runs it.
pub(super) fn refuse_running(ctx: &Ctx<'_>, mount: &Mount, attr: &Attr) -> Result<()> {
    // What runs from a file of the host, the kernel protects.
    let is_hosts = || mount.tree().is_some_and(|fs| fs.host_path(attr.ino).is_some());
    if attr.kind != FileKind::Regular || attr.perm & 0o111 == 0 || is_hosts() {
        return Ok(());
    }
    for proc in ctx.m.tasks.processes() {
        let starting = proc.pending_exec.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let running = proc.exe.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_it = |exe: Vec<u8>| {
            let place = Walk::at(ctx.m, proc.view(), PRESENT).canonical(&exe);
            matches!(place, Ok(Place::Virtual(v))
                if (v.mount.id, v.attr.ino) == (mount.id, attr.ino))
        };
        if running.is_some_and(is_it) || starting.and_then(|s| s.exe).is_some_and(is_it) {
            return Err(Errno::ETXTBSY);
        }
    }
    Ok(())
}

/// A descriptor of the host for a file of viewfs. Where owners are virtual, its holder is trapped for fstat.
fn hand_over_host(fd: OwnedFd, v: &VirtualPlace, wanted: Wanted) -> Answer {
    let answer = Answer::Fd(fd, wanted.has(libc::O_CLOEXEC));
    // A file of the store shows the numbers of the file that it stands for.
    let is_as_on_host = Place::Virtual(v.clone()).is_as_on_host();
    if v.mount.flags.vstat || !is_as_on_host {
        Answer::Require(syscalls::GroupSet::STAT, Box::new(answer))
    } else {
        answer
    }
}

fn virtual_file(ctx: &Ctx<'_>, v: &VirtualPlace, wanted: Wanted) -> Result<Answer> {
    ctx.may(&v.mount, &v.attr, wanted.access())?;
    match v.attr.kind {
        FileKind::Directory => {
            Ok(hand_over(ctx, ctx.m.vfiles.open_directory(v, wanted.flags)?, wanted))
        }
        FileKind::Regular => {
            before_opening(ctx, v, wanted)?;
            let mut v = v.clone();
            let fs = v.mount.tree().ok_or(Errno::EIO)?;
            if fs.has_live_files() {
                return Ok(hand_over(ctx, ctx.m.vfiles.open_live(&v, wanted.flags)?, wanted));
            }
            if wanted.has(libc::O_TRUNC) {
                let changes = SetAttr { size_bytes: Some(0), ..SetAttr::default() };
                v.attr = fs.setattr(ctx.caller(), v.attr.ino, &changes)?;
                if let Some(file) = ctx.m.vfiles.of_inode(v.mount.id, v.attr.ino) {
                    file.resized(0)?;
                }
            }
            Ok(hand_over(ctx, ctx.m.vfiles.open_regular(&v, wanted.flags)?, wanted))
        }
        FileKind::Fifo => special::fifo(ctx, v, wanted.flags),
        FileKind::CharDevice | FileKind::BlockDevice => device_node(ctx, v, wanted),
        // A socket is not opened, a link was followed.
        _ => Err(Errno::ENXIO),
    }
}

fn device_node(ctx: &Ctx<'_>, v: &VirtualPlace, wanted: Wanted) -> Result<Answer> {
    match special::node(ctx, v)? {
        special::Node::View(device) => {
            Ok(hand_over(ctx, ctx.m.vfiles.open_device(&device, wanted.flags)?, wanted))
        }
        special::Node::Kernel(name) => Ok(special::kernels(name, wanted.flags)),
    }
}

fn create(ctx: &Ctx<'_>, dir: &VirtualPlace, name: &[u8], wanted: Wanted) -> Result<Answer> {
    ctx.may(&dir.mount, &dir.attr, libc::W_OK | libc::X_OK)?;
    let fs = dir.mount.tree().ok_or(Errno::EIO)?;
    let perm = (wanted.mode & 0o7777 & !ctx.umask()) as u16;
    let perm = ctx.of_new(&dir.mount, &dir.attr, perm);
    let (attr, opened) = fs.create(
        caller_in(ctx, &dir.attr),
        dir.attr.ino,
        Name::new(name)?,
        perm,
        wanted.for_driver() | OpenFlags::WRITE,
    )?;
    let place = VirtualPlace { names: dir.names.child(name), mount: Arc::clone(&dir.mount), attr };
    finish_new(ctx, &place, opened, wanted)
}

fn tmpfile(ctx: &Ctx<'_>, place: &Place, wanted: Wanted) -> Result<Answer> {
    let Place::Virtual(dir) = place else { return Err(Errno::EOPNOTSUPP) };
    if !wanted.writes() {
        return Err(Errno::EINVAL);
    }
    if dir.attr.kind != FileKind::Directory {
        return Err(Errno::ENOTDIR);
    }
    ctx.may(&dir.mount, &dir.attr, libc::W_OK | libc::X_OK)?;
    let fs = dir.mount.tree().ok_or(Errno::EIO)?;
    let perm = (wanted.mode & 0o7777 & !ctx.umask()) as u16;
    let (attr, opened) =
        fs.tmpfile(ctx.caller(), dir.attr.ino, perm, wanted.for_driver() | OpenFlags::WRITE)?;
    let name = format!("#{}", attr.ino.0);
    let place = VirtualPlace {
        names: dir.names.child(name.as_bytes()),
        mount: Arc::clone(&dir.mount),
        attr,
    };
    finish_new(ctx, &place, opened, wanted)
}

/// Hands over a file that was just made; the driver's handle is kept for its writers.
fn finish_new(
    ctx: &Ctx<'_>,
    place: &VirtualPlace,
    opened: Opened,
    wanted: Wanted,
) -> Result<Answer> {
    let handle = match opened {
        Opened::Host(fd) => return Ok(hand_over_host(fd, place, wanted)),
        Opened::Handle(handle) => handle,
    };
    ctx.m.vfiles.regular(place, true)?.adopt_writer(handle);
    Ok(hand_over(ctx, ctx.m.vfiles.open_regular(place, wanted.flags)?, wanted))
}

/// The owner of a new file: a directory with the set-group-id bit gives its group (inode_init_owner).
pub(super) fn caller_in(ctx: &Ctx<'_>, dir: &Attr) -> abi::fs::Caller {
    let mut caller = ctx.caller();
    if dir.perm & 0o2000 != 0 {
        caller.gid = dir.gid;
    }
    caller
}

/// Whether a mount is there for regular files at all.
pub(super) fn tree(mount: &Mount) -> Result<&Arc<dyn abi::fs::FileSystem>> {
    mount.tree().ok_or(Errno::ENOTDIR)
}
