//! Decides at once that a name is the host's, so that the kernel may have the call as it stands.
//!
//! The answer "native" is given only where no mount and no link can be on the way: the text of the path, a
//! cache of directories that were seen to be plain, and at most one look at the last component decide. All
//! else goes to the name walk. A cached directory is believed for [`TTL`]; changes made through the
//! view drop it at once (docs/data-path.md).

use crate::dirnames::{Behind, DirNames};
use crate::hostview;
use crate::monitor::Monitor;
use crate::mounts::{Mount, Snapshot};
use crate::path;
use crate::tasks::Proc;
use crate::view::{PRESENT, View};
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// How long a directory is believed to be what it was: links on the host change rarely, and a call that
/// races with the change has no better claim to either answer.
pub(crate) const TTL: Duration = Duration::from_secs(1);
/// How long a directory is believed to be missing: who waits for one looks again and again.
const MISSING_TTL: Duration = Duration::from_millis(200);
/// The most directories that are remembered.
const DIRECTORIES_MAX: usize = 8_192;
/// The most directories and links on the way of one name; longer ways are for the name walk.
const STEPS_MAX: u32 = 64;

/// Where the text of a directory leads to.
#[derive(Clone)]
enum Way {
    /// To this canonical path.
    Directory(Arc<[u8]>),
    /// To nothing, or to a file: this would be its canonical path.
    Missing(Arc<[u8]>),
}

impl Way {
    fn path(&self) -> &Arc<[u8]> {
        let (Self::Directory(path) | Self::Missing(path)) = self;
        path
    }
}

/// By the text of a directory: where it leads to, and since when that is believed.
type Directories = HashMap<Vec<u8>, (Way, Instant)>;

/// The directories that are known.
#[derive(Default)]
pub(crate) struct Cache {
    directories: RwLock<Directories>,
    missing: RwLock<Directories>,
    generation: Mutex<u64>,
    pub(crate) dir_names: DirNames,
}

impl Cache {
    /// Called after the view itself changed directories or links.
    pub(crate) fn clear(&self) {
        self.directories.write().unwrap_or_else(PoisonError::into_inner).clear();
        self.forget_missing();
        self.dir_names.clear();
        *self.generation.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }

    /// Called before the view itself makes a directory or a link: what was missing may be there.
    pub(crate) fn forget_missing(&self) {
        self.missing.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The canonical host path of a directory whose text is absolute and without `..`; `None` if it is not a
    /// directory that the host alone resolves.
    pub(crate) fn canonical(&self, dir: &[u8], mounts: &Snapshot) -> Option<Arc<[u8]>> {
        match self.way(dir, mounts)? {
            Way::Directory(path) => Some(path),
            Way::Missing(_) => None,
        }
    }

    /// Where a directory's text leads to; `None` if the host alone can't say.
    fn way(&self, dir: &[u8], mounts: &Snapshot) -> Option<Way> {
        let now = Instant::now();
        for (ways, ttl) in [(&self.directories, TTL), (&self.missing, MISSING_TTL)] {
            let known = ways.read().unwrap_or_else(PoisonError::into_inner);
            if let Some((way, since)) = known.get(dir)
                && now.duration_since(*since) < ttl
            {
                return Some(way.clone());
            }
        }
        let way = resolve(dir, mounts, &mut { STEPS_MAX })?;
        let ways = match way {
            Way::Directory(_) => &self.directories,
            Way::Missing(_) => &self.missing,
        };
        let mut known = ways.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= DIRECTORIES_MAX {
            known.clear();
        }
        known.insert(dir.to_vec(), (way.clone(), now));
        Some(way)
    }
}

/// Resolves a directory on the host, refusing whatever meets a mount point on the way. `steps` is how many
/// directories and links may still be looked at: links that lead to themselves have no end.
fn resolve(dir: &[u8], mounts: &Snapshot, steps: &mut u32) -> Option<Way> {
    *steps = steps.checked_sub(1)?;
    if crosses(dir, mounts) {
        return None;
    }
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    match openat2(nix::fcntl::AT_FDCWD, path::os(dir), how) {
        Ok(_) => Some(Way::Directory(dir.into())),
        // A link before the place where nothing is would have been ELOOP.
        Err(nix::errno::Errno::ENOENT | nix::errno::Errno::ENOTDIR) => {
            Some(Way::Missing(dir.into()))
        }
        Err(nix::errno::Errno::ELOOP) => {
            // One level at a time: the parent without links, then this component's link.
            let (parent, name) = path::split(dir)?;
            let parent = match resolve(parent, mounts, steps)? {
                Way::Directory(parent) => parent,
                Way::Missing(parent) => {
                    return Some(Way::Missing(path::join(&parent, name).into()));
                }
            };
            let here = path::join(&parent, name);
            match hostview::readlink(&here) {
                Ok(target) => {
                    let text = if target.first() == Some(&b'/') {
                        target
                    } else {
                        path::append(&parent, &target)
                    };
                    if path::has_dotdot(&text) || here.starts_with(b"/proc/") {
                        return None;
                    }
                    resolve(&path::normalize(&text), mounts, steps)
                }
                Err(_) if here == dir => None,
                Err(_) => resolve(&here, mounts, steps),
            }
        }
        Err(_) => None,
    }
}

/// Whether a component of the path can be a mount point.
pub(crate) fn crosses(wanted: &[u8], mounts: &Snapshot) -> bool {
    let answers = |m: &Mount| m.overlay().is_none() && m.may_answer(wanted);
    mounts.has_opaque_root()
        || path::components(wanted).any(|c| mounts.may_cross(c))
            && mounts.all().iter().any(|m| answers(m))
        || wanted.starts_with(b"/proc/")
        || mounts.has_sysfs() && wanted.starts_with(b"/sys/")
}

/// How a name is used.
#[derive(Clone, Copy)]
pub(crate) struct How {
    /// A link as the last component is followed.
    pub(crate) follow: bool,
    /// What it names may be changed, so that an overlay has to decide.
    pub(crate) change: bool,
}

/// What a decision rests on.
struct Look<'a> {
    view: &'a View,
    mounts: &'a Snapshot,
    how: How,
}

impl Look<'_> {
    /// Whether every overlay over this path leaves it to the host.
    fn passes_overlays(&self, here: &[u8]) -> bool {
        self.mounts.overlays().iter().all(|m| {
            let Some(fs) = m.overlay() else { return true };
            let Some(rest) = path::below(here, &m.target) else { return true };
            if !self.view.sees(m.view, m.born, PRESENT) || m.excepts(here) {
                return true;
            }
            !self.how.change && fs.is_lower(rest)
        })
    }

    /// Whether a name in a directory of the host is the host's, whatever the name and the directory.
    fn leaves_all_names(&self) -> bool {
        self.mounts.overlays().iter().all(|m| !self.how.change && m.leaves_all_names())
    }
}

/// The directory that a relative path starts from, and what is left of the path, `..` at its front taken off: nothing
/// that is real has links on the way up. `None` where `may_leave` says of a directory that the view may have it
/// elsewhere.
fn upwards<'a>(
    base: &'a [u8],
    wanted: &'a [u8],
    may_leave: impl Fn(&[u8]) -> bool,
) -> Option<(&'a [u8], &'a [u8])> {
    let (mut dir, mut rest) = (base, wanted);
    while let Some(after) = rest.strip_prefix(b"..") {
        if !matches!(after.first(), None | Some(b'/')) {
            break;
        }
        if !may_leave(dir) {
            return None;
        }
        dir = path::split(dir).map_or(&b"/"[..], |(up, _)| up);
        let slashes = after.iter().take_while(|&&b| b == b'/').count();
        rest = &after[slashes..];
    }
    Some((dir, rest))
}

impl Monitor {
    /// Whether the kernel may have the name as it stands, used so. `dirfd` is
    /// `None` for the working directory; a descriptor that is known not to be virtual may be given with
    /// `dirfd_path` to ask for its name only where it matters.
    pub(crate) fn is_quickly_native(
        &self,
        proc: &Proc,
        tid: i32,
        dirfd: Option<i32>,
        wanted: &[u8],
        how: How,
    ) -> bool {
        let follow = how.follow;
        let mounts = self.mounts.snapshot();
        if wanted.is_empty() || mounts.has_opaque_root() {
            return false;
        }
        let look = Look { view: &proc.view(), mounts: &mounts, how };
        if wanted[0] == b'/' {
            if self.has_root(proc) {
                return false;
            }
            return self.is_absolute_native(wanted, &look);
        }
        let may_be_virtual =
            dirfd.is_some() && self.vfiles.has_directories() && self.may_hold_virtual(tid);
        if dirfd.is_none() && self.has_virtual_cwd(proc) {
            return false;
        }
        // The root's own attributes are an overlay's.
        let may_be_root = wanted == b"." && !mounts.overlays().is_empty();
        let is_single = !wanted.contains(&b'/') && wanted != b".." && !may_be_root;
        if is_single
            && !follow
            && !mounts.may_cross(wanted)
            && !self.is_proc_name(wanted)
            && look.leaves_all_names()
        {
            let is_virtual = |fd| may_be_virtual && self.vfiles.may_be_virtual(self, tid, fd);
            return !dirfd.is_some_and(is_virtual);
        }
        // An absolute link on the way begins at the process' own root.
        if self.has_root(proc) {
            return false;
        }
        let base = match dirfd.map(|fd| self.behind(tid, fd, may_be_virtual)) {
            None => self.host_cwd(proc, tid),
            Some(Behind::Host(path)) => Some(path),
            Some(Behind::Virtual | Behind::Unknown) => None,
        };
        let Some(base) = base.filter(|b| b.first() == Some(&b'/')) else { return false };
        let is_real = |dir: &[u8]| !crosses(dir, &mounts) && look.passes_overlays(dir);
        let Some((dir, rest)) = upwards(&base, wanted, is_real) else { return false };
        self.is_native_below(Some(dir), &path::append(dir, rest), &look)
    }

    fn is_absolute_native(&self, wanted: &[u8], look: &Look<'_>) -> bool {
        self.is_native_below(None, wanted, look)
    }

    /// `real`: a directory that no link leads to, as the kernel has just said.
    fn is_native_below(&self, real: Option<&[u8]>, wanted: &[u8], look: &Look<'_>) -> bool {
        let mounts = look.mounts;
        if path::has_dotdot(wanted) {
            return false;
        }
        let plain = path::plain(wanted);
        if !look.passes_overlays(&plain) {
            return false;
        }
        let Some((dir, name)) = path::split(&plain) else { return !mounts.has_opaque_root() };
        let mut is_missing = false;
        let mut here = if real == Some(dir) {
            Cow::Borrowed(&*plain)
        } else {
            let Some(way) = self.quick.way(dir, mounts) else { return false };
            is_missing = matches!(way, Way::Missing(_));
            if **way.path() == *dir {
                Cow::Borrowed(&*plain)
            } else {
                Cow::Owned(path::join(way.path(), name))
            }
        };
        let is_moved = matches!(here, Cow::Owned(_));
        if crosses(&here, mounts) || is_moved && !look.passes_overlays(&here) {
            return false;
        }
        let follow = look.how.follow || wanted.ends_with(b"/") || wanted.ends_with(b"/.");
        if is_missing || !follow {
            return true;
        }
        for _ in 0..8 {
            let Ok(target) = hostview::readlink(&here) else { return true };
            let parent = path::split(&here).map_or(&b"/"[..], |(p, _)| p);
            let text =
                if target.first() == Some(&b'/') { target } else { path::append(parent, &target) };
            if path::has_dotdot(&text) {
                return false;
            }
            let plain = path::normalize(&text);
            if !look.passes_overlays(&plain) {
                return false;
            }
            let Some((dir, name)) = path::split(&plain) else { return true };
            let Some(canonical) = self.quick.canonical(dir, mounts) else { return false };
            here = Cow::Owned(path::join(&canonical, name));
            if crosses(&here, mounts) || !look.passes_overlays(&here) {
                return false;
            }
        }
        false
    }

    /// The kernel's working directory of a process, remembered until it can have changed.
    pub(crate) fn host_cwd(&self, proc: &Proc, tid: i32) -> Option<Arc<[u8]>> {
        let mut fs = proc.fs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cwd) = &fs.host_cwd {
            return Some(Arc::clone(cwd));
        }
        let cwd: Arc<[u8]> = hostview::readlink(format!("/proc/{tid}/cwd").as_bytes()).ok()?.into();
        fs.host_cwd = Some(Arc::clone(&cwd));
        Some(cwd)
    }

    pub(crate) fn has_root(&self, proc: &Proc) -> bool {
        proc.fs.lock().unwrap_or_else(PoisonError::into_inner).root.is_some()
    }

    pub(crate) fn has_virtual_cwd(&self, proc: &Proc) -> bool {
        proc.fs.lock().unwrap_or_else(PoisonError::into_inner).cwd.is_some()
    }

    /// Names that umproc may answer for, whatever directory they are looked up in.
    fn is_proc_name(&self, name: &[u8]) -> bool {
        matches!(
            name,
            b"mounts"
                | b"mountinfo"
                | b"mountstats"
                | b"maps"
                | b"filesystems"
                | b"partitions"
                | b"exe"
                | b"cwd"
                | b"root"
                | b"self"
                | b"thread-self"
        ) || name.iter().all(u8::is_ascii_digit)
    }
}

/// Shared by the monitor.
pub(crate) type Quick = Arc<Cache>;

#[cfg(test)]
mod tests {
    use super::upwards;
    use crate::path;

    #[test]
    fn a_directory_that_the_view_may_have_elsewhere_is_not_left() {
        let may_leave = |dir: &[u8]| dir != b"/a";
        assert_eq!(upwards(b"/a/b", b"../x", may_leave), Some((&b"/a"[..], &b"x"[..])));
        assert_eq!(upwards(b"/a/b", b"../../x", may_leave), None);
    }

    #[test]
    fn parents_at_the_front_are_taken_from_a_base_without_links() {
        for (wanted, found) in [
            (&b"x"[..], &b"/a/b/x"[..]),
            (b"..", b"/a"),
            (b"../", b"/a"),
            (b"..//../x", b"/x"),
            (b"../../..", b"/"),
            (b"..x", b"/a/b/..x"),
            (b"x/..", b"/a/b/x/.."),
        ] {
            let (dir, rest) = upwards(b"/a/b", wanted, |_| true).unwrap();
            assert_eq!(path::append(dir, rest), found, "{wanted:?}");
        }
    }
}
