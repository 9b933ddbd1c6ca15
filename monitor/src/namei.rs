//! The name walk: component by component, through mounts, links and `..`, as path_resolution(7).

mod shortcut;

use crate::hostview;
use crate::monitor::Monitor;
use crate::mounts::{Content, Crossing, Mount, Snapshot};
use crate::path;
use crate::procfs;
use crate::sysfs;
use crate::tasks::Proc;
use crate::view::{PRESENT, View};
use abi::fs::{Attr, FileKind, Ino, Name};
use abi::host::Epoch;
use abi::{Errno, Result};
use std::collections::VecDeque;
use std::sync::Arc;

/// The most links on one walk (`MAXSYMLINKS` of the kernel).
const LINKS_MAX: u32 = 40;

/// The names of a place: the view's first, then, where a redirecting mount shows it, the name that it has at
/// that mount's epoch, and so on inward. The innermost name of a host's place is its path on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names(Vec<(Vec<u8>, Epoch)>);

impl Names {
    pub(crate) fn root(epoch: Epoch) -> Self {
        Self(vec![(b"/".to_vec(), epoch)])
    }

    /// One name alone.
    pub(crate) fn of(view: &[u8], epoch: Epoch) -> Self {
        Self(vec![(view.to_vec(), epoch)])
    }

    /// The canonical path in the view.
    pub(crate) fn view(&self) -> &[u8] {
        &self.0[0].0
    }

    fn innermost(&self) -> &[u8] {
        &self.0[self.0.len() - 1].0
    }

    pub(crate) fn child(&self, name: &[u8]) -> Self {
        Self(self.0.iter().map(|(p, e)| (path::join(p, name), *e)).collect())
    }
}

/// What a name leads to.
#[derive(Clone)]
pub(crate) enum Place {
    /// A file of the host, which may have another name in the view.
    Host(HostPlace),
    /// An inode of a mounted file system.
    Virtual(VirtualPlace),
    /// A special file of umdev.
    Device(DevicePlace),
    /// A file or link that umproc shows, or a link in /sys.
    Proc(Names, procfs::Entry),
}

#[derive(Clone)]
pub(crate) struct HostPlace {
    pub(crate) names: Names,
    pub(crate) kind: FileKind,
    /// A magic link of /proc, to be followed by the kernel alone.
    pub(crate) is_magic: bool,
}

#[derive(Clone)]
pub(crate) struct VirtualPlace {
    pub(crate) names: Names,
    pub(crate) mount: Arc<Mount>,
    pub(crate) attr: Attr,
}

#[derive(Clone)]
pub(crate) struct DevicePlace {
    pub(crate) names: Names,
    pub(crate) mount: Arc<Mount>,
    pub(crate) number: u32,
}

/// The number of an inode that is no more: drivers have none like it.
const LOST: Ino = Ino(u64::MAX);

impl VirtualPlace {
    /// It has lost its last name, and its inode with that: nothing is found in it, nor changed of it.
    pub(crate) fn lose(&mut self) {
        self.attr.ino = LOST;
        self.attr.nlink = 0;
    }
}

impl Place {
    /// With the attributes of now: a working directory may have been entered long ago.
    pub(crate) fn renewed(mut self) -> Self {
        if let Self::Virtual(v) = &mut self
            && v.attr.ino != LOST
            && let Some(Ok(attr)) = v.mount.tree().map(|fs| fs.getattr(v.attr.ino))
        {
            v.attr = attr;
        }
        self
    }

    /// Whether it is a directory that was removed, though somebody has it open or works in it.
    fn is_lost(&self) -> bool {
        matches!(self, Self::Virtual(v) if v.attr.ino == LOST)
    }

    pub(crate) fn names(&self) -> &Names {
        match self {
            Self::Host(h) => &h.names,
            Self::Virtual(v) => &v.names,
            Self::Device(d) => &d.names,
            Self::Proc(n, _) => n,
        }
    }

    /// The canonical path in the view.
    pub(crate) fn view_path(&self) -> &[u8] {
        self.names().view()
    }

    pub(crate) fn kind(&self) -> FileKind {
        match self {
            Self::Host(h) => h.kind,
            Self::Virtual(v) => v.attr.kind,
            Self::Device(d) => d.kind(),
            Self::Proc(_, e) => e.kind(),
        }
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.kind() == FileKind::Directory
    }

    /// The file on the host, where it is one.
    pub(crate) fn host_path(&self) -> Option<&[u8]> {
        match self {
            Self::Host(h) => Some(h.names.innermost()),
            _ => None,
        }
    }

    /// Where the file lies on the host, also for what viewfs passes through.
    pub(crate) fn backing_path(&self) -> Option<Vec<u8>> {
        match self {
            Self::Virtual(v) => v.mount.tree()?.host_path(v.attr.ino),
            _ => self.host_path().map(<[u8]>::to_vec),
        }
    }

    /// Whether the host has the same file under the view's name.
    pub(crate) fn is_as_on_host(&self) -> bool {
        self.is_native()
            || matches!(self, Self::Virtual(v) if v.mount.overlay().is_some())
                && self.backing_path().as_deref() == Some(self.view_path())
    }

    /// Whether the view and the host call the same file by the same name.
    pub(crate) fn is_native(&self) -> bool {
        self.host_path() == Some(self.view_path())
    }
}

impl DevicePlace {
    pub(crate) fn kind(&self) -> FileKind {
        match &self.mount.content {
            Content::Device { device, .. } => match device.kind() {
                abi::dev::DeviceKind::Block => FileKind::BlockDevice,
                abi::dev::DeviceKind::Char => FileKind::CharDevice,
            },
            _ => FileKind::Regular,
        }
    }
}

/// What a walk found.
pub(crate) struct Found {
    /// The directory that holds the last component.
    pub(crate) parent: Place,
    /// The last component; empty where the path ends in `/`, `.` or `..` alone.
    pub(crate) name: Vec<u8>,
    /// What it leads to, if it exists.
    pub(crate) place: Option<Place>,
    /// The path ended in a slash.
    pub(crate) wants_directory: bool,
}

impl Found {
    /// The place, or `ENOENT`.
    pub(crate) fn existing(self) -> Result<Place> {
        self.place.ok_or(Errno::ENOENT)
    }

    /// The canonical path of the last component, existing or not.
    pub(crate) fn view_path(&self) -> Vec<u8> {
        match &self.place {
            Some(p) => p.view_path().to_vec(),
            None => path::join(self.parent.view_path(), &self.name),
        }
    }
}

/// One walker: a process' view at an epoch.
pub(crate) struct Walk<'a> {
    pub(crate) monitor: &'a Monitor,
    pub(crate) view: Arc<View>,
    pub(crate) mounts: Arc<Snapshot>,
    pub(crate) epoch: Epoch,
    pub(crate) root: Option<Place>,
    /// Whose /proc/self it is.
    pub(crate) proc: Option<Arc<Proc>>,
    pub(crate) tid: i32,
    /// The walk met something that the host does not have, or calls otherwise.
    pub(crate) left_host: bool,
    /// The last component is to be made, removed or renamed: it is no name of what it leads to, whatever
    /// slashes follow it (`filename_parentat` of the kernel).
    pub(crate) last_stays: bool,
    links: u32,
}

impl<'a> Walk<'a> {
    /// A walk for a task at this moment.
    pub(crate) fn of(monitor: &'a Monitor, proc: &Arc<Proc>, tid: i32) -> Self {
        Self {
            monitor,
            view: proc.view(),
            mounts: monitor.mounts.snapshot(),
            epoch: PRESENT,
            root: proc.directories().root,
            proc: Some(Arc::clone(proc)),
            tid,
            left_host: false,
            last_stays: false,
            links: 0,
        }
    }

    /// A walk in a view at an epoch, for nobody in particular.
    pub(crate) fn at(monitor: &'a Monitor, view: Arc<View>, epoch: Epoch) -> Self {
        Self {
            monitor,
            view,
            mounts: monitor.mounts.snapshot(),
            epoch,
            root: None,
            proc: None,
            tid: 0,
            left_host: false,
            last_stays: false,
            links: 0,
        }
    }

    fn at_epoch(&self, epoch: Epoch) -> Walk<'a> {
        Walk {
            monitor: self.monitor,
            view: Arc::clone(&self.view),
            mounts: Arc::clone(&self.mounts),
            epoch,
            root: None,
            proc: self.proc.clone(),
            tid: self.tid,
            left_host: false,
            last_stays: false,
            links: 0,
        }
    }

    /// The root of the walk's process.
    pub(crate) fn root_place(&mut self) -> Result<Place> {
        match &self.root {
            Some(place) => Ok(place.clone()),
            None => self.real_root(),
        }
    }

    fn real_root(&mut self) -> Result<Place> {
        match self.mounts.at(&self.view, self.epoch, b"/", Epoch::default()) {
            Some(Crossing::Mount(m)) => self.enter(&m, Names::root(self.epoch)),
            _ => Ok(Place::Host(HostPlace {
                names: Names::root(self.epoch),
                kind: FileKind::Directory,
                is_magic: false,
            })),
        }
    }

    /// Whether an overlay decides about a canonical path of the host.
    pub(crate) fn is_overlaid(&self, host: &[u8]) -> bool {
        self.mounts.overlays().iter().any(|m| {
            self.view.sees(m.view, m.born, self.epoch)
                && path::below(host, &m.target).is_some()
                && !m.excepts(host)
        })
    }

    /// The place of a canonical path: no links are followed, as none are on it.
    pub(crate) fn canonical(&mut self, wanted: &[u8]) -> Result<Place> {
        if !self.mounts.has_root_mount()
            && !wanted.starts_with(b"/proc/")
            && !self.mounts.covers(&self.view, self.epoch, wanted)
        {
            let kind = hostview::kind_of(wanted)?;
            let names = Names::of(wanted, self.epoch);
            return Ok(Place::Host(HostPlace { names, kind, is_magic: false }));
        }
        if let Some(place) = self.overlaid(wanted) {
            return place;
        }
        let mut place = self.real_root()?;
        for component in path::components(wanted) {
            place = self.child(&place, component)?.ok_or(Errno::ENOENT)?;
        }
        Ok(place)
    }

    /// Where the walk begins that `walk` is asked for, and what is left to walk there.
    fn begin(&mut self, start: Place, wanted: &[u8]) -> Result<(Place, VecDeque<Vec<u8>>)> {
        // What is found under the former name of a lost directory is not in it.
        let from = (!start.is_lost() || wanted[0] == b'/').then_some(&start);
        let begun = match from.and_then(|from| self.shortcut(from, wanted)) {
            Some(begun) => Some(begun),
            None => self.entrance(wanted)?,
        };
        Ok(match begun {
            Some((place, rest)) => (place, split_components(&rest)),
            None if wanted[0] == b'/' => (self.root_place()?, split_components(wanted)),
            None => (start.renewed(), split_components(wanted)),
        })
    }

    /// Walks `wanted` from `start` (or from the root, if absolute). `follow` is about the last component.
    ///
    /// # Errors
    /// In check order: `ENOENT` for an empty path or a missing component that is not the last; `ENOTDIR`,
    /// `EACCES` on the way; `ELOOP` after 40 links; `ENAMETOOLONG`.
    pub(crate) fn walk(&mut self, start: Place, wanted: &[u8], follow: bool) -> Result<Found> {
        check_length(wanted)?;
        let (place, queue) = self.begin(start, wanted)?;
        self.go(place, queue, wanted.ends_with(b"/"), follow)
    }

    /// The same from the directory with the canonical path `base`, which is looked at only if the way has to be
    /// walked.
    ///
    /// # Errors
    /// Those of [`walk`](Self::walk), and of the look at `base`.
    pub(crate) fn walk_under(&mut self, base: &[u8], wanted: &[u8], follow: bool) -> Result<Found> {
        check_length(wanted)?;
        if let Some((place, rest)) = self.shortcut_from(base, wanted) {
            return self.go(place, split_components(&rest), wanted.ends_with(b"/"), follow);
        }
        let start = if base == b"/" { self.root_place()? } else { self.canonical(base)? };
        self.walk(start, wanted, follow)
    }

    /// Walks the components `queue` from `place`.
    fn go(
        &mut self,
        mut place: Place,
        mut queue: VecDeque<Vec<u8>>,
        mut wants_directory: bool,
        follow: bool,
    ) -> Result<Found> {
        let mut parent = place.clone();
        let mut last = Vec::new();
        while let Some(component) = queue.pop_front() {
            if !place.is_directory() {
                return Err(Errno::ENOTDIR);
            }
            let is_last = queue.is_empty();
            if component == b"." || component == b".." {
                if component == b".." {
                    place = self.parent(&place)?;
                }
                parent = place.clone();
                last.clear();
                if is_last {
                    wants_directory = true;
                }
                continue;
            }
            parent = place;
            if parent.is_lost() {
                return Err(Errno::ENOENT);
            }
            let child = self.child(&parent, &component)?;
            // /proc/self is the same for kernel and view, though the monitor has to name it.
            let is_self = parent.host_path() == Some(b"/proc");
            self.left_host |= child.as_ref().is_some_and(|c| !is_self && !c.is_as_on_host());
            last = component;
            let Some(child) = child else {
                if is_last {
                    return Ok(Found { parent, name: last, place: None, wants_directory });
                }
                return Err(Errno::ENOENT);
            };
            let leads_on = !is_last || follow || wants_directory && !self.last_stays;
            let follows = child.kind() == FileKind::Symlink && leads_on;
            if !follows {
                place = child;
                continue;
            }
            match self.follow(&child)? {
                Step::To(target) => place = target,
                Step::Through(text) => {
                    place = self.start_of_link(&text, &parent)?;
                    if is_last && text.ends_with(b"/") {
                        wants_directory = true;
                    }
                    for c in split_components(&text).into_iter().rev() {
                        queue.push_front(c);
                    }
                    if queue.is_empty() {
                        last.clear();
                        parent = place.clone();
                    }
                }
            }
        }
        if wants_directory && !self.last_stays && !place.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        Ok(Found { parent, name: last, place: Some(place), wants_directory })
    }

    /// The first mount that an absolute path without `..` leads into, and what of the path is left there: the host's
    /// directories above it were seen to have no links on the way (`quick`), so that nobody needs to be asked for them.
    fn entrance(&mut self, wanted: &[u8]) -> Result<Option<(Place, Vec<u8>)>> {
        if wanted[0] != b'/'
            || self.root.is_some()
            || self.mounts.has_root_mount()
            || path::has_dotdot(wanted)
            // A last `.` is no name, and what can't be done to it is told by its being there.
            || wanted.ends_with(b"/.")
        {
            return Ok(None);
        }
        let plain = path::normalize(wanted);
        let mut end = 0;
        for component in path::components(&plain) {
            end += 1 + component.len();
            if !self.mounts.may_cross(component) {
                continue;
            }
            let (target, rest) = plain.split_at(end);
            let first = self.mounts.at(&self.view, self.epoch, target, Epoch::default());
            let Some(Crossing::Mount(mount)) = first else {
                continue;
            };
            let above = path::split(target).map_or(&b"/"[..], |(dir, _)| dir);
            let is_plain = self
                .monitor
                .quick
                .canonical(above, &self.mounts)
                .is_some_and(|canonical| *canonical == *above);
            if rest.len() < 2 || !is_plain {
                return Ok(None);
            }
            let root = self.enter(&mount, Names::of(target, self.epoch))?;
            self.left_host |= !root.is_as_on_host();
            return Ok(Some((root, rest.to_vec())));
        }
        Ok(None)
    }

    /// Where the walk of a link's text starts, the link being in `parent`.
    ///
    /// # Errors
    /// In check order: `ELOOP` after 40 links; `ENOENT` for an empty text.
    fn start_of_link(&mut self, text: &[u8], parent: &Place) -> Result<Place> {
        self.links += 1;
        if self.links > LINKS_MAX {
            return Err(Errno::ELOOP);
        }
        let first = *text.first().ok_or(Errno::ENOENT)?;
        if first != b'/' {
            return Ok(parent.clone());
        }
        // The kernel's root is another than the process' own.
        self.left_host |= self.root.is_some();
        self.root_place()
    }

    /// The parent of a directory, the root being its own.
    pub(crate) fn parent(&mut self, place: &Place) -> Result<Place> {
        if let Some(root) = &self.root
            && root.view_path() == place.view_path()
        {
            // The kernel would go on upwards.
            self.left_host = true;
            return Ok(root.clone());
        }
        match path::split(place.view_path()) {
            None => Ok(place.clone()),
            Some((up, _)) => {
                let up = up.to_vec();
                self.canonical(&up)
            }
        }
    }

    /// One component below a directory; `None` if it does not exist. Links are not followed.
    pub(crate) fn child(&mut self, dir: &Place, name: &[u8]) -> Result<Option<Place>> {
        if name.len() > abi::fs::NAME_BYTES_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let names = dir.names().child(name);
        if !self.mounts.is_empty() {
            for depth in 0..names.0.len() {
                let (at, epoch) = &names.0[depth];
                // What was mounted before the tree that this directory is in is part of what lies below it.
                let over = match (names.0.get(depth + 1), dir) {
                    (Some((_, inner)), _) => *inner,
                    (None, Place::Virtual(v)) => v.mount.rank(*epoch),
                    (None, _) => Epoch::default(),
                };
                let crossing = self.mounts.at(&self.view, *epoch, at, over);
                let Some(crossing) = crossing else { continue };
                let outer = Names(names.0[..=depth].to_vec());
                return match crossing {
                    Crossing::Mount(mount) => self.enter(&mount, outer).map(Some),
                    Crossing::SubDevice(mount, number) => {
                        Ok(Some(Place::Device(DevicePlace { names: outer, mount, number })))
                    }
                };
            }
        }
        match dir {
            Place::Virtual(v) => self.virtual_child(v, names, name),
            Place::Host(h) => self.host_child(h, names, name),
            Place::Device(_) | Place::Proc(..) => Err(Errno::ENOTDIR),
        }
    }

    fn virtual_child(
        &mut self,
        dir: &VirtualPlace,
        names: Names,
        name: &[u8],
    ) -> Result<Option<Place>> {
        // Under its own names: a younger mount may show what is below under others.
        if dir.mount.flags.except.iter().any(|e| e == names.innermost()) {
            let before = Epoch(dir.mount.born.0.saturating_sub(1)).min(self.epoch);
            let mut place = self.at_epoch(before).canonical(names.innermost());
            if let Ok(p) = &mut place {
                set_view_name(p, names.view(), self.epoch);
            }
            return place.map(Some);
        }
        let fs = dir.mount.tree().ok_or(Errno::ENOTDIR)?;
        self.monitor.may_search(self.proc.as_deref(), dir)?;
        match fs.lookup(dir.attr.ino, Name::new(name)?) {
            Ok(attr) => Ok(Some(Place::Virtual(VirtualPlace {
                names,
                mount: Arc::clone(&dir.mount),
                attr,
            }))),
            Err(Errno::ENOENT) => Ok(None),
            // The directory itself was removed: no name can be made in it.
            Err(Errno::ESTALE) => Err(Errno::ENOENT),
            Err(e) => Err(e),
        }
    }

    fn host_child(&mut self, dir: &HostPlace, names: Names, name: &[u8]) -> Result<Option<Place>> {
        if dir.names.innermost().starts_with(b"/proc")
            && let Some(entry) = procfs::lookup(self, dir.names.innermost(), name)
        {
            return Ok(Some(Place::Proc(names, entry)));
        }
        if self.mounts.has_sysfs() && dir.names.innermost().starts_with(b"/sys/") {
            let at = dir.names.innermost();
            let mut links = sysfs::links(&self.mounts, &self.view, self.epoch, at);
            if let Some(text) = links.remove(name) {
                return Ok(Some(Place::Proc(names, procfs::Entry::Link(text))));
            }
        }
        match hostview::kind_of(names.innermost()) {
            Ok(kind) => Ok(Some(Place::Host(HostPlace { names, kind, is_magic: false }))),
            Err(Errno::ENOENT) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The root of a mount, under the names that led to it.
    fn enter(&mut self, mount: &Arc<Mount>, names: Names) -> Result<Place> {
        match &mount.content {
            Content::Tree(fs) | Content::Overlay { tree: fs, .. } => {
                let attr = fs.getattr(fs.root())?;
                Ok(Place::Virtual(VirtualPlace { names, mount: Arc::clone(mount), attr }))
            }
            Content::Redirect { source, epoch } => {
                if names.0.len() > 32 {
                    return Err(Errno::ELOOP);
                }
                let mut inner = self.at_epoch(*epoch).canonical(source)?;
                let mut all = names.0;
                let own = inner.names().0.clone();
                all.extend(own);
                match &mut inner {
                    Place::Host(h) => h.names = Names(all),
                    Place::Virtual(v) => v.names = Names(all),
                    Place::Device(d) => d.names = Names(all),
                    Place::Proc(n, _) => *n = Names(all),
                }
                Ok(inner)
            }
            Content::Device { .. } => {
                Ok(Place::Device(DevicePlace { names, mount: Arc::clone(mount), number: 0 }))
            }
        }
    }

    /// What is behind a symbolic link.
    fn follow(&mut self, link: &Place) -> Result<Step> {
        match link {
            Place::Virtual(v) => {
                let fs = v.mount.tree().ok_or(Errno::EINVAL)?;
                Ok(Step::Through(fs.readlink(v.attr.ino)?))
            }
            Place::Proc(_, entry) => procfs::follow(self, entry),
            Place::Host(h) => {
                let host = h.names.innermost();
                if let Some(step) = procfs::follow_host(self, host, &h.names)? {
                    return Ok(step);
                }
                Ok(Step::Through(hostview::readlink(host)?))
            }
            Place::Device(_) => Err(Errno::EINVAL),
        }
    }
}

/// Where a link leads.
pub(crate) enum Step {
    /// To this very place (magic links).
    To(Place),
    /// Through this text.
    Through(Vec<u8>),
}

fn set_view_name(place: &mut Place, view: &[u8], epoch: Epoch) {
    let names = match place {
        Place::Host(h) => &mut h.names,
        Place::Virtual(v) => &mut v.names,
        Place::Device(d) => &mut d.names,
        Place::Proc(n, _) => n,
    };
    if names.0.len() == 1 {
        names.0[0].1 = epoch;
    }
    debug_assert_eq!(names.view(), view);
}

/// # Errors
/// - `ENOENT` for an empty path, `ENAMETOOLONG` for one that no call takes.
fn check_length(wanted: &[u8]) -> Result<()> {
    match wanted.len() {
        0 => Err(Errno::ENOENT),
        4096.. => Err(Errno::ENAMETOOLONG),
        _ => Ok(()),
    }
}

fn split_components(text: &[u8]) -> VecDeque<Vec<u8>> {
    text.split(|&b| b == b'/').filter(|c| !c.is_empty()).map(<[u8]>::to_vec).collect()
}
