//! The path arguments of a call: read once, decided quickly or walked, and put into other words where the
//! kernel does not know the view's.

use super::Ctx;
use super::descriptor::Start;
use crate::hostview;
use crate::namei::{Found, HostPlace, Names, Place, Walk};
use crate::path;
use crate::quick::How;
use crate::view::PRESENT;
use abi::fs::FileKind;
use abi::{Errno, Result};
use engine::{Answer, Arg, Rewrite};
use syscalls::{Empty, FlagsIn, Follow, Handler};

/// One path argument.
pub(crate) struct Named {
    /// `None` is the working directory.
    pub(crate) dirfd: Option<i32>,
    pub(crate) text: Vec<u8>,
    pub(crate) follow: bool,
    /// The path is empty and means this descriptor's own file; `None` in here the working directory.
    pub(crate) own: Option<Option<i32>>,
    /// The last component is made, removed or renamed itself.
    last_stays: bool,
    argument: usize,
}

/// What a path argument leads to.
pub(crate) struct Led {
    pub(crate) found: Found,
    /// The kernel finds the same by the text as it stands.
    pub(crate) as_given: bool,
}

impl Ctx<'_> {
    /// Reads path argument `index` of the row.
    ///
    /// # Errors
    /// `EFAULT`, `ENAMETOOLONG`, and `ENOENT` for an empty path where that means nothing.
    pub(crate) fn named(&self, index: usize) -> Result<Named> {
        let spec = self.row.paths[index];
        let flags = match spec.flags {
            FlagsIn::None => 0,
            FlagsIn::Arg(i) | FlagsIn::OpenFlags(i) => self.arg(usize::from(i)) as u32,
            FlagsIn::OpenHow(i) => {
                let mut word = [0; 8];
                self.tracee.read(self.arg(usize::from(i)), &mut word)?;
                u64::from_ne_bytes(word) as u32
            }
        };
        let dirfd = spec.dirfd.map(|i| self.int(usize::from(i))).filter(|&fd| fd != libc::AT_FDCWD);
        let address = self.arg(usize::from(spec.path));
        let text = match (address, spec.empty) {
            (0, Empty::If(bits)) if flags & bits != 0 => Vec::new(),
            (0, Empty::NullOrIf(_)) => Vec::new(),
            _ => self.tracee.read_path(address)?,
        };
        let follow = match spec.follow {
            Follow::Always => true,
            Follow::Never => false,
            Follow::Unless(bits) => flags & bits == 0,
            Follow::If(bits) => flags & bits != 0,
            Follow::OpenLike => {
                let f = flags as i32;
                f & libc::O_NOFOLLOW == 0
                    && f & (libc::O_CREAT | libc::O_EXCL) != libc::O_CREAT | libc::O_EXCL
            }
        };
        let own = if text.is_empty() {
            let means_descriptor = match spec.empty {
                Empty::If(bits) => flags & bits != 0,
                Empty::NullOrIf(bits) => address == 0 || flags & bits != 0,
                Empty::Always => true,
                Empty::Error | Empty::NullIsNone => false,
            };
            if !means_descriptor {
                return Err(Errno::ENOENT);
            }
            Some(dirfd)
        } else {
            None
        };
        let creates = matches!(spec.follow, Follow::OpenLike) && flags as i32 & libc::O_CREAT != 0;
        let last_stays = match self.row.handler {
            Handler::Mkdir | Handler::Mknod | Handler::Symlink => true,
            Handler::Unlink | Handler::Rename => true,
            Handler::Link => index == 1,
            // Only without a slash behind it is the last link followed (`open_last_lookups`).
            _ => creates && text.ends_with(b"/"),
        };
        let follow = follow && !last_stays;
        Ok(Named { dirfd, text, follow, own, last_stays, argument: index })
    }

    /// Whether the kernel may have this name as it stands.
    pub(crate) fn is_quick(&self, named: &Named) -> bool {
        self.is_quick_for(named, false)
    }

    /// The same for a call that may change what it names.
    pub(crate) fn is_quick_change(&self, named: &Named) -> bool {
        self.is_quick_for(named, true)
    }

    fn is_quick_for(&self, named: &Named, change: bool) -> bool {
        let how = How { follow: named.follow, change };
        if change && named.own.is_none() && self.is_overlays_to_change(named) {
            return false;
        }
        let is_native = named.own.is_none()
            && self.m.is_quickly_native(self.proc, self.tid(), named.dirfd, &named.text, how);
        if is_native && !change {
            self.tell_agent(named.dirfd, &named.text);
        }
        is_native
    }

    /// The directory of a name that the kernel finds by its text as it stands, or with an empty name one that is open:
    /// next time, the agent of this process need not ask.
    pub(super) fn tell_agent(&self, dirfd: Option<i32>, text: &[u8]) {
        if syscalls::is_passed(self.call.number) && self.m.engine().has_agent(self.tracee.tid()) {
            let _ = self.m.publish(self.proc, self.tid(), self.generation, dirfd, text);
        }
    }

    /// Whether what a name led to is the host's under this very text.
    pub(crate) fn is_as_given(&self, named: &Named, led: &Led) -> bool {
        let place = led.found.place.as_ref().unwrap_or(&led.found.parent);
        let is_native = led.as_given && place.is_native();
        if is_native && named.own.is_none() {
            self.tell_agent(named.dirfd, &named.text);
        }
        is_native
    }

    pub(crate) fn walker(&self) -> Walk<'_> {
        Walk::of(self.m, self.proc, self.tid())
    }

    /// The directory that relative names start from; true if the kernel's own is the same.
    pub(crate) fn base(&self, walk: &mut Walk<'_>, dirfd: Option<i32>) -> Result<(Place, bool)> {
        let Some(fd) = dirfd else {
            if let Some(cwd) = self.proc.directories().cwd {
                return Ok((cwd, false));
            }
            let text = self.m.host_cwd(self.proc, self.tid()).ok_or(Errno::ENOENT)?;
            return Ok((self.directory_of_host(walk, &text)?, true));
        };
        if let Some((file, _)) = self.open_file(fd)? {
            return Ok((self.m.place_of_file(&file, walk)?, false));
        }
        let text = self.link_text(fd).ok_or(Errno::EBADF)?;
        Ok((self.directory_of_host(walk, &text)?, true))
    }

    /// Walks a path argument.
    pub(crate) fn lead(&self, named: &Named) -> Result<Led> {
        let mut walk = self.walker();
        if let Some(fd) = named.own {
            let (place, same) = self.base_or_file(&mut walk, fd)?;
            let place = place.renewed();
            let found = Found {
                parent: place.clone(),
                name: Vec::new(),
                place: Some(place),
                wants_directory: false,
            };
            self.touch(&found);
            return Ok(Led { found, as_given: same });
        }
        let start = self.start(&mut walk, named)?;
        walk.last_stays = named.last_stays;
        let (found, same) = match start {
            Start::At(place, same) => (walk.walk(place, &named.text, named.follow)?, same),
            Start::Under(base) => (walk.walk_under(&base, &named.text, named.follow)?, true),
        };
        self.touch(&found);
        Ok(Led { found, as_given: same && !walk.left_host })
    }

    /// As [`base`](Self::base), for a descriptor of any type.
    fn base_or_file(&self, walk: &mut Walk<'_>, fd: Option<i32>) -> Result<(Place, bool)> {
        let Some(fd) = fd else { return self.base(walk, None) };
        if let Some((file, _)) = self.open_file(fd)? {
            return Ok((self.m.place_of_file(&file, walk)?, false));
        }
        let link = format!("/proc/{}/fd/{fd}", self.tid());
        let s = hostview::stat(link.as_bytes(), true).map_err(|_| Errno::EBADF)?;
        let kind = FileKind::from_mode_bits(s.st_mode).unwrap_or(FileKind::Regular);
        let names = Names::of(link.as_bytes(), PRESENT);
        Ok((Place::Host(HostPlace { names, kind, is_magic: true }), true))
    }

    /// A directory by the text of its /proc link. Under an overlay names are what counts: the host's directory
    /// stands for the view's, so that what is made in it by a relative name is the overlay's to decide.
    pub(super) fn directory_of_host(&self, walk: &mut Walk<'_>, text: &[u8]) -> Result<Place> {
        if text.first() != Some(&b'/') {
            return Err(Errno::ENOTDIR);
        }
        if walk.is_overlaid(text) {
            return walk.canonical(self.moved(text).as_deref().unwrap_or(text));
        }
        // A descriptor or working directory is the host's own file, whatever is mounted over its name since.
        let s = hostview::lstat(text).map_err(|_| Errno::ENOENT)?;
        let kind = FileKind::from_mode_bits(s.st_mode).ok_or(Errno::EIO)?;
        Ok(Place::Host(HostPlace { names: Names::of(text, PRESENT), kind, is_magic: false }))
    }

    /// The call with its path arguments in the host's words: absolute, links resolved, so that `NOFOLLOW` and
    /// its opposite mean the same.
    ///
    /// # Errors
    /// - `EXDEV` if one of the places is not the host's.
    pub(crate) fn in_host_words(&self, leads: &[(&Named, &Led)]) -> Result<Answer> {
        let mut args: Vec<Arg> = self.call.args.iter().map(|&a| Arg::Value(a)).collect();
        for (named, led) in leads {
            let spec = self.row.paths[named.argument];
            let mut text = host_words(&led.found).ok_or(Errno::EXDEV)?;
            if led.found.wants_directory && !text.ends_with(b"/") {
                text.push(b'/');
            }
            text.push(0);
            args[usize::from(spec.path)] = Arg::Bytes(text);
            if let Some(dirfd) = spec.dirfd {
                args[usize::from(dirfd)] = Arg::Value(libc::AT_FDCWD as i64 as u64);
            }
        }
        Ok(Answer::Rewrite(Box::new(Rewrite {
            number: self.call.number,
            args,
            ..Rewrite::default()
        })))
    }

    /// The kernel's answer for a place of the host: as it stands where that means the same.
    pub(crate) fn by_kernel(&self, named: &Named, led: &Led) -> Result<Answer> {
        if led.as_given && led.found.place.as_ref().is_none_or(Place::is_as_on_host) {
            return Ok(Answer::Native);
        }
        self.in_host_words(&[(named, led)])
    }
}

/// The host's path of what was found, or of what could be made there.
pub(crate) fn host_words(found: &Found) -> Option<Vec<u8>> {
    match &found.place {
        Some(place) => place.backing_path(),
        None => found.parent.backing_path().map(|dir| path::join(&dir, &found.name)),
    }
}

/// For calls that no virtual file has: the kernel's for the host's, `refusal` for others.
pub(crate) fn natively_or(ctx: &Ctx<'_>, refusal: Errno) -> Result<Answer> {
    for &fd in ctx.row.fds {
        let fd = ctx.int(usize::from(fd));
        if fd >= 0
            && ctx.m.may_hold_virtual(ctx.tid())
            && let Ok(Some(_)) = ctx.open_file(fd)
        {
            return Err(refusal);
        }
    }
    let mut leads = Vec::new();
    for index in 0..ctx.row.paths.len() {
        let spec = ctx.row.paths[index];
        if ctx.arg(usize::from(spec.path)) == 0 {
            continue;
        }
        let named = ctx.named(index)?;
        if ctx.is_quick(&named) {
            continue;
        }
        let led = ctx.lead(&named)?;
        match &led.found.place {
            Some(place) if place.backing_path().is_some() => {}
            Some(_) => return Err(refusal),
            None if led.found.parent.backing_path().is_some() => {}
            None => return Err(Errno::ENOENT),
        }
        leads.push((named, led));
    }
    if leads.iter().all(|(_, l)| l.as_given) {
        return Ok(Answer::Native);
    }
    let refs: Vec<(&Named, &Led)> = leads.iter().map(|(n, l)| (n, l)).collect();
    ctx.in_host_words(&refs)
}
