//! The mount table: what shows where, in which view, since when.

use crate::overlayfs::OverlayFs;
use crate::path;
use crate::stats::Answers;
use crate::view::{PRESENT, Service, View};
use abi::dev::{DevNum, Device};
use abi::fs::FileSystem;
use abi::host::Epoch;
use abi::module::{BinaryFormats, SyscallSet};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// What a mount shows.
pub(crate) enum Content {
    /// A driver's tree.
    Tree(Arc<dyn FileSystem>),
    /// viewfs over what was there. `over`: the mounts that it shows files of.
    Overlay { fs: Arc<OverlayFs>, tree: Arc<dyn FileSystem>, over: Vec<u64> },
    /// Another directory of the view, as it was at `epoch`.
    Redirect { source: Vec<u8>, epoch: Epoch },
    /// A special file and its partitions.
    Device { device: Arc<dyn Device>, numbers: DevNum, perm: u16, uid: u32, gid: u32 },
}

/// What a mount does besides showing something.
#[derive(Default)]
pub(crate) enum Power {
    #[default]
    None,
    /// Answers system calls of the view.
    Calls(Arc<dyn SyscallSet>),
    /// Knows binary formats.
    Formats(Arc<dyn BinaryFormats>),
}

/// A mount. Analogous to `struct mount`.
pub(crate) struct Mount {
    pub(crate) id: u64,
    pub(crate) view: u64,
    pub(crate) born: Epoch,
    /// Canonical path of the mount point in the view.
    pub(crate) target: Vec<u8>,
    /// As it was given.
    pub(crate) source: String,
    /// What the module was given: a name from the root, where the source is one.
    pub(crate) full_source: String,
    pub(crate) fs_type: String,
    /// As shown in /proc/mounts.
    pub(crate) options: String,
    pub(crate) content: Content,
    pub(crate) power: Power,
    pub(crate) flags: Flags,
    /// `st_dev` of its files.
    pub(crate) dev: DevNum,
    pub(crate) service: Option<Arc<Service>>,
    pub(crate) detached: AtomicBool,
    /// When `renew` brought it to the top, an [`Epoch`]; 0 if never.
    pub(crate) renewed: AtomicU64,
    /// The mount point does not exist by itself.
    pub(crate) is_ghost: bool,
    /// Not shown in /proc/mounts and in directories: it stands in for something of the host.
    pub(crate) is_hidden: bool,
    /// How calls were answered that came to it.
    pub(crate) answers: Answers,
}

/// Options that the view itself obeys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags {
    pub(crate) read_only: bool,
    pub(crate) no_exec: bool,
    pub(crate) no_suid: bool,
    pub(crate) no_dev: bool,
    pub(crate) permanent: bool,
    pub(crate) human: bool,
    pub(crate) merge: bool,
    /// Owners and modes are virtual: they count for processes with virtual ids.
    pub(crate) vstat: bool,
    /// Canonical paths below the target that stay what they were.
    pub(crate) except: Vec<Vec<u8>>,
}

impl Mount {
    pub(crate) fn tree(&self) -> Option<&Arc<dyn FileSystem>> {
        match &self.content {
            Content::Tree(fs) | Content::Overlay { tree: fs, .. } => Some(fs),
            _ => None,
        }
    }

    pub(crate) fn overlay(&self) -> Option<&Arc<OverlayFs>> {
        match &self.content {
            Content::Overlay { fs, .. } => Some(fs),
            _ => None,
        }
    }

    /// Whether a path is excepted: it stays what it was below this mount.
    pub(crate) fn excepts(&self, wanted: &[u8]) -> bool {
        self.flags.except.iter().any(|e| path::below(wanted, e).is_some())
    }

    /// Whether it changes no name of the host but its own root's, as an overlay whose store is blank.
    pub(crate) fn leaves_all_names(&self) -> bool {
        self.overlay().is_none_or(|fs| fs.leaves_all_names())
    }

    /// Whether a younger overlay over its mount point shows its files as part of what lies below. Special files, and
    /// trees that steer something, stay what they are.
    pub(crate) fn can_be_covered(&self) -> bool {
        let is_tree = !matches!(self.content, Content::Device { .. });
        is_tree
            && matches!(self.power, Power::None)
            && !self.is_ghost
            && !self.is_hidden
            && !self.is_detached()
    }

    /// Its place in the order of mounts, looking from `at`: the birth, or the last renewal.
    pub(crate) fn rank(&self, at: Epoch) -> Epoch {
        let renewed = Epoch(self.renewed.load(Ordering::Acquire));
        if renewed.0 != 0 && renewed <= at { renewed } else { self.born }
    }

    pub(crate) fn is_detached(&self) -> bool {
        self.detached.load(Ordering::Acquire)
    }

    /// Whether a name may be this mount's, by its text alone.
    pub(crate) fn may_answer(&self, wanted: &[u8]) -> bool {
        path::below(wanted, &self.target).is_some()
            || matches!(self.content, Content::Device { .. }) && wanted.starts_with(&self.target)
    }

    /// The number of the sub-device that `path` names, if this is a device.
    fn subdevice(&self, wanted: &[u8]) -> Option<u32> {
        let Content::Device { device, .. } = &self.content else { return None };
        let suffix = wanted.strip_prefix(self.target.as_slice())?;
        if suffix.is_empty() {
            return Some(0);
        }
        // A disk whose name ends in a digit has `p` before the number, as the kernel names them.
        let digits = if self.target.last().is_some_and(u8::is_ascii_digit) {
            suffix.strip_prefix(b"p")?
        } else {
            suffix
        };
        if digits.is_empty() || digits[0] == b'0' || digits.len() > 5 {
            return None;
        }
        let number: u32 = std::str::from_utf8(digits).ok()?.parse().ok()?;
        device.subdevices().iter().any(|s| s.number == number).then_some(number)
    }

    /// The path of sub-device `number`.
    pub(crate) fn subdevice_path(&self, number: u32) -> Vec<u8> {
        let mut p = self.target.clone();
        if number > 0 {
            if p.last().is_some_and(u8::is_ascii_digit) {
                p.push(b'p');
            }
            p.extend_from_slice(number.to_string().as_bytes());
        }
        p
    }
}

/// A look at all mounts at one moment.
#[derive(Default)]
pub(crate) struct Snapshot {
    all: Vec<Arc<Mount>>,
    by_target: HashMap<Vec<u8>, Vec<Arc<Mount>>>,
    has_devices: bool,
    /// Names of the last components of mount points, for quick refusals.
    basenames: BTreeMap<Vec<u8>, ()>,
    has_root_mount: bool,
    /// A root mount that is no overlay: nothing is the host's by its name.
    has_opaque_root: bool,
    has_ghosts: bool,
    /// Devices have directories in /sys.
    has_sysfs: bool,
    overlays: Vec<Arc<Mount>>,
    /// Those with a power, the youngest first.
    powerful: Vec<Arc<Mount>>,
}

/// What a name is by itself, before any file system is asked.
pub(crate) enum Crossing {
    Mount(Arc<Mount>),
    SubDevice(Arc<Mount>, u32),
}

impl Snapshot {
    fn from_all(all: Vec<Arc<Mount>>) -> Self {
        let mut s = Self::default();
        for m in &all {
            s.has_ghosts |=
                m.is_ghost || matches!(m.content, Content::Device { .. }) && !m.is_hidden;
            if m.overlay().is_some() {
                s.overlays.push(Arc::clone(m));
            }
            s.by_target.entry(m.target.clone()).or_default().push(Arc::clone(m));
            s.has_devices |= matches!(m.content, Content::Device { .. });
            s.has_sysfs |= crate::sysfs::is_of_sysfs(m);
            match path::split(&m.target) {
                Some((_, name)) => drop(s.basenames.insert(name.to_vec(), ())),
                None => {
                    s.has_root_mount = true;
                    s.has_opaque_root |= m.overlay().is_none();
                }
            }
        }
        s.powerful = all.iter().filter(|m| !matches!(m.power, Power::None)).cloned().collect();
        s.powerful.sort_by_key(|m| std::cmp::Reverse(m.born));
        s.all = all;
        s
    }

    /// The sets of system calls that a view sees, the youngest first.
    pub(crate) fn call_sets<'a>(
        &'a self,
        view: &'a View,
    ) -> impl Iterator<Item = &'a Arc<dyn SyscallSet>> {
        self.call_sets_at(view, PRESENT)
    }

    /// The same at an epoch.
    pub(crate) fn call_sets_at<'a>(
        &'a self,
        view: &'a View,
        at: Epoch,
    ) -> impl Iterator<Item = &'a Arc<dyn SyscallSet>> {
        self.powers(view, at).filter_map(|p| match p {
            Power::Calls(set) => Some(set),
            _ => None,
        })
    }

    /// The binary formats that a view sees, the youngest first.
    pub(crate) fn formats<'a>(
        &'a self,
        view: &'a View,
    ) -> impl Iterator<Item = &'a Arc<dyn BinaryFormats>> {
        self.powers(view, PRESENT).filter_map(|p| match p {
            Power::Formats(formats) => Some(formats),
            _ => None,
        })
    }

    /// Whether any mount does more than show something.
    pub(crate) fn has_powers(&self) -> bool {
        !self.powerful.is_empty()
    }

    /// Whether a mount answers system calls of some view.
    pub(crate) fn has_call_sets(&self) -> bool {
        self.powerful.iter().any(|m| matches!(m.power, Power::Calls(_)))
    }

    fn powers<'a>(&'a self, view: &'a View, at: Epoch) -> impl Iterator<Item = &'a Power> {
        self.powerful
            .iter()
            .filter(move |m| view.sees(m.view, m.born, at) && !m.is_detached())
            .map(|m| &m.power)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(crate) fn all(&self) -> &[Arc<Mount>] {
        &self.all
    }

    /// The topmost visible mount whose mount point is `at`, or the device that has this name. A mount that comes
    /// before `over`, the mount that the directory of `at` is on, is covered by that (the routing rule of the view).
    pub(crate) fn at(&self, view: &View, epoch: Epoch, at: &[u8], over: Epoch) -> Option<Crossing> {
        let visible = |m: &&Arc<Mount>| view.sees(m.view, m.born, epoch) && !m.is_detached();
        let on_top = |m: &&Arc<Mount>| m.rank(epoch) > over || !m.can_be_covered();
        let exact = self
            .by_target
            .get(at)
            .and_then(|l| l.iter().filter(visible).filter(on_top).max_by_key(|m| m.rank(epoch)));
        if let Some(mount) = exact {
            return Some(match mount.content {
                Content::Device { .. } => Crossing::SubDevice(Arc::clone(mount), 0),
                _ => Crossing::Mount(Arc::clone(mount)),
            });
        }
        if !self.has_devices || !at.last().is_some_and(u8::is_ascii_digit) {
            return None;
        }
        self.all
            .iter()
            .filter(visible)
            .filter_map(|m| m.subdevice(at).map(|n| (m, n)))
            .max_by_key(|(m, _)| m.born)
            .map(|(m, n)| Crossing::SubDevice(Arc::clone(m), n))
    }

    /// The order of the topmost mount that decides about the directory of `at`: what comes before it is covered.
    pub(crate) fn rank_over(&self, view: &View, epoch: Epoch, at: &[u8]) -> Epoch {
        let covers = |m: &&Arc<Mount>| {
            m.tree().is_some()
                && view.sees(m.view, m.born, epoch)
                && !m.is_detached()
                && path::below(at, &m.target).is_some_and(|rest| !rest.is_empty())
                && !m.excepts(at)
        };
        self.all.iter().filter(covers).map(|m| m.rank(epoch)).max().unwrap_or_default()
    }

    /// Whether a component of this name can be a mount point or device anywhere.
    pub(crate) fn may_cross(&self, name: &[u8]) -> bool {
        self.basenames.contains_key(name)
            || (self.has_sysfs && name.contains(&b':'))
            || (self.has_devices
                && name.last().is_some_and(u8::is_ascii_digit)
                && self.basenames.keys().any(|b| name.starts_with(b)))
    }

    /// Whether some visible mount point is `path` or lies above it.
    pub(crate) fn covers(&self, view: &View, epoch: Epoch, wanted: &[u8]) -> bool {
        self.all.iter().any(|m| {
            view.sees(m.view, m.born, epoch)
                && (path::below(wanted, &m.target).is_some() || m.subdevice(wanted).is_some())
        })
    }

    /// Whether names in /sys can be the view's.
    pub(crate) fn has_sysfs(&self) -> bool {
        self.has_sysfs
    }

    /// Whether a mount point or device is not in its parent directory by itself.
    pub(crate) fn has_ghosts(&self) -> bool {
        self.has_ghosts
    }

    pub(crate) fn has_opaque_root(&self) -> bool {
        self.has_opaque_root
    }

    pub(crate) fn overlays(&self) -> &[Arc<Mount>] {
        &self.overlays
    }

    pub(crate) fn has_root_mount(&self) -> bool {
        self.has_root_mount
    }

    /// Names that mounts and devices add to directory `dir`, which is on the mount `over`.
    pub(crate) fn children(
        &self,
        view: &View,
        epoch: Epoch,
        dir: &[u8],
        over: Epoch,
    ) -> Vec<(Vec<u8>, Arc<Mount>, u32)> {
        let mut names = BTreeMap::new();
        let shown = |m: &&Arc<Mount>| {
            view.sees(m.view, m.born, epoch)
                && !m.is_detached()
                && !m.is_hidden
                && (m.rank(epoch) > over || !m.can_be_covered())
        };
        for m in self.all.iter().filter(shown) {
            if path::split(&m.target).is_none_or(|(parent, _)| parent != dir) {
                continue;
            }
            let numbers: Vec<u32> = match &m.content {
                Content::Device { device, .. } => {
                    device.subdevices().iter().map(|s| s.number).collect()
                }
                _ => vec![0],
            };
            for number in numbers {
                let full = m.subdevice_path(number);
                if let Some((_, name)) = path::split(&full) {
                    names.insert(name.to_vec(), (Arc::clone(m), number));
                }
            }
        }
        names.into_iter().map(|(n, (m, k))| (n, m, k)).collect()
    }
}

/// The table itself: readers take a snapshot, writers replace it.
#[derive(Default)]
pub(crate) struct MountTable {
    current: RwLock<Arc<Snapshot>>,
}

impl MountTable {
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn insert(&self, mount: Arc<Mount>) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let mut all = current.all.clone();
        all.push(mount);
        *current = Arc::new(Snapshot::from_all(all));
    }

    pub(crate) fn remove(&self, id: u64) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let all = current.all.iter().filter(|m| m.id != id).cloned().collect();
        *current = Arc::new(Snapshot::from_all(all));
    }
}
