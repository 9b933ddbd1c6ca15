//! Mounts of viewfs: which trees lie over which.
//!
//! An overlay sees the view as it was before it: of its target the tree that showed there, with all that was
//! mounted in it. What is a directory of the host in that is reached by the host's own calls; all else through
//! the file system that it is on.

use super::mount::Wish;
use super::permission::is_read_only;
use crate::hostview;
use crate::monitor::Monitor;
use crate::mounts::{Content, Flags, Mount, Power};
use crate::namei::{Found, Place, Walk};
use crate::overlayfs::{Ground, Grounds, OverlayFs};
use crate::path;
use crate::view::{PRESENT, Service, View};
use abi::Errno;
use abi::fs::{Caller, FileSystem, Ino};
use abi::host::Epoch;
use abi::module::MountError;
use abi::options::Options;
use cow_store::dir::{Dir, HostDir, TreeDir};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use viewfs::{DirectoryLower, FrozenLower, Lower, Mode, MountOptions, PatchedLower, TreeLower};

type Answer<T> = Result<T, MountError>;

/// A directory of the view at the epoch of the mount.
struct Layer {
    place: Place,
    ground: Ground,
    root: Ino,
    /// The mount it is on, if it is not the host's.
    mount: Option<Arc<Mount>>,
}

impl Layer {
    fn of(place: Place) -> Answer<Self> {
        let refusal = |place: &Place| {
            let text = format!("viewfs: {} is not a directory", path::text(place.view_path()));
            MountError::new(Errno::ENOTDIR, text)
        };
        if !place.is_directory() {
            return Err(refusal(&place));
        }
        let (ground, root, mount) = match &place {
            Place::Host(_) => {
                let host = place.host_path().ok_or(Errno::EIO)?.to_vec();
                (Ground::Host(host), Ino(0), None)
            }
            Place::Virtual(v) => {
                let ground = match &v.mount.content {
                    Content::Overlay { fs, .. } => Ground::Overlay(Arc::clone(fs), v.attr.ino),
                    _ => Ground::Driver(Arc::clone(v.mount.tree().ok_or(Errno::EIO)?)),
                };
                (ground, v.attr.ino, Some(Arc::clone(&v.mount)))
            }
            _ => return Err(refusal(&place)),
        };
        Ok(Self { place, ground, root, mount })
    }

    fn file_system(&self) -> Answer<Arc<dyn FileSystem>> {
        let mount = self.mount.as_ref().ok_or(Errno::EIO)?;
        Ok(Arc::clone(mount.tree().ok_or(Errno::EIO)?))
    }

    fn tree_dir(&self) -> Answer<TreeDir> {
        let dev = self.mount.as_ref().map_or(0, |m| m.dev.to_raw());
        let caller = Caller {
            uid: nix::unistd::getuid().as_raw(),
            gid: nix::unistd::getgid().as_raw(),
            pid: 0,
        };
        Ok(TreeDir::new(self.file_system()?, self.root, dev, caller))
    }

    fn is_read_only(&self) -> bool {
        self.mount.as_ref().is_some_and(|m| is_read_only(m))
    }

    /// As a tree that others are laid over. With `vstat` what the host keeps from everybody is not there.
    fn lower(&self, vstat: bool) -> Answer<Box<dyn Lower>> {
        if let Ground::Host(host) = &self.ground {
            let lower = DirectoryLower::open(path::os(host)).map_err(Errno::from)?;
            return Ok(Box::new(if vstat { lower.hiding_locked() } else { lower }));
        }
        let tree: Box<dyn Lower> = Box::new(TreeLower::of(self.tree_dir()?));
        Ok(if self.is_read_only() { Box::new(FrozenLower::new(tree)) } else { tree })
    }

    /// As the place of a store.
    fn store(&self) -> Answer<cow_store::Store> {
        let name = path::text(self.place.view_path());
        if self.is_read_only() {
            let text = format!("viewfs: {name} is on a read-only mount, and a store is written to");
            return Err(MountError::new(Errno::EROFS, text));
        }
        let dir: Box<dyn Dir> = match &self.ground {
            Ground::Host(host) => {
                let open = std::fs::File::open(path::os(host)).map_err(Errno::from)?;
                Box::new(HostDir::new(open.into()).known_as(host.clone()))
            }
            _ => Box::new(self.tree_dir()?.alone()),
        };
        cow_store::Store::open_dir(dir, cow_store::Access::Write, None).map_err(|e| {
            let text = format!("viewfs: {name}: {e}");
            MountError::new(Errno::from(e), text)
        })
    }
}

impl Monitor {
    /// A mount of viewfs.
    pub(super) fn mount_patchwork(
        &self,
        view: &Arc<View>,
        service: &Arc<Service>,
        wish: &Wish,
        mut options: Options,
        flags: Flags,
        shown: String,
    ) -> Answer<()> {
        let wanted = MountOptions::take(&mut options, &wish.target)?;
        options.finish()?;
        if wanted.renew {
            return self.renew(view, wish);
        }
        if wanted.mode != Mode::Move || wanted.wok {
            return self.mount_overlay(view, service, wish, wanted, flags, shown);
        }
        let born = self.clock.tick();
        let epoch = Epoch(born.0 - 1);
        let source = self.place_at(view, epoch, wish.absolute_source.as_bytes())?;
        let target = self.place_at(view, epoch, &wish.target).ok();
        if target.is_some_and(|t| t.is_directory() != source.is_directory()) {
            let text = "viewfs: a directory goes on a directory, a file on a file";
            return Err(MountError::new(Errno::ENOTDIR, text));
        }
        let content = Content::Redirect { source: source.view_path().to_vec(), epoch };
        let is_ghost = hostview::lstat(&wish.target).is_err();
        self.insert_mount(view, service, wish, content, Power::None, flags, shown, born, is_ghost);
        Ok(())
    }

    /// An existing mount comes on top of later ones: the one at the target that has this source; without such, the
    /// youngest at the target.
    fn renew(&self, view: &Arc<View>, wish: &Wish) -> Answer<()> {
        let mounts = self.mounts.snapshot();
        let here = |m: &&Arc<Mount>| {
            m.target == wish.target && view.sees(m.view, m.born, PRESENT) && !m.is_detached()
        };
        let rank = |m: &&Arc<Mount>| m.rank(PRESENT);
        let named = |m: &&Arc<Mount>| here(m) && m.source == wish.source();
        let all = || mounts.all().iter();
        let chosen =
            all().filter(named).max_by_key(rank).or_else(|| all().filter(here).max_by_key(rank));
        let Some(mount) = chosen else {
            let text = format!("viewfs: renew: nothing is mounted on {}", path::text(&wish.target));
            return Err(MountError::new(Errno::EINVAL, text));
        };
        if mount.view != view.id {
            let text = "viewfs: renew: the mount is of the view that this one is in";
            return Err(MountError::new(Errno::EPERM, text));
        }
        mount.renewed.store(self.clock.tick().0, Ordering::Release);
        self.forget_directories();
        Ok(())
    }

    fn place_at(&self, view: &Arc<View>, epoch: Epoch, at: &[u8]) -> Answer<Place> {
        let mut walk = Walk::at(self, Arc::clone(view), epoch);
        let root = walk.root_place()?;
        walk.walk(root, at, true)
            .and_then(Found::existing)
            .map_err(|e| MountError::new(e, format!("viewfs: {}: {e}", path::text(at))))
    }

    /// viewfs in the modes that lay one tree over another.
    fn mount_overlay(
        &self,
        view: &Arc<View>,
        service: &Arc<Service>,
        wish: &Wish,
        mut wanted: MountOptions,
        mut flags: Flags,
        shown: String,
    ) -> Answer<()> {
        let born = self.clock.tick();
        let epoch = Epoch(born.0 - 1);
        let source = Layer::of(self.place_at(view, epoch, wish.absolute_source.as_bytes())?)?;
        let target = Layer::of(self.place_at(view, epoch, &wish.target)?)?;
        let patches = self.mounted_in(view, epoch, &wish.target, &target)?;
        // /proc is whose who asks: the monitor can't open it for another.
        if let Some(rest) = path::below(b"/proc", &wish.target).filter(|r| !r.is_empty()) {
            wanted.except.push(rest.to_vec());
            flags.except.push(b"/proc".to_vec());
        }
        flags.vstat = wanted.vstat;
        flags.permanent = wanted.permanent;
        let mut over: Vec<u64> = Vec::new();
        let mut lowers = vec![(Vec::new(), target.ground.clone())];
        let mut lower = target.lower(wanted.vstat)?;
        for layer in [&source, &target].into_iter().chain(patches.iter().map(|(_, l)| l)) {
            over.extend(layer.mount.as_ref().map(|m| m.id));
        }
        if !patches.is_empty() {
            let mut trees = Vec::new();
            for (at, layer) in &patches {
                trees.push((at.clone(), layer.lower(wanted.vstat)?));
                lowers.push((at.clone(), layer.ground.clone()));
            }
            lower = Box::new(PatchedLower::new(lower, trees));
        }
        let tree = if matches!(wanted.mode, Mode::Merge | Mode::Move) {
            viewfs::Source::Tree(source.lower(false)?)
        } else {
            self.must_be_free(&source)?;
            viewfs::Source::from(source.store()?)
        };
        let overlay = viewfs::Overlay::new(tree, lower, wanted)?;
        let grounds =
            Grounds { lower: lowers, source: source.ground.clone(), source_root: source.root };
        let fs = Arc::new(OverlayFs::new(overlay, grounds));
        self.watch_store(&fs, &wish.target);
        let tree = Arc::clone(&fs) as Arc<dyn FileSystem>;
        let content = Content::Overlay { tree, fs, over };
        self.insert_mount(view, service, wish, content, Power::None, flags, shown, born, false);
        Ok(())
    }

    /// A store on a driver's file system has no lock that others would see: the mounts are asked.
    fn must_be_free(&self, source: &Layer) -> Answer<()> {
        let Ground::Driver(fs) = &source.ground else { return Ok(()) };
        let mounts = self.mounts.snapshot();
        let is_used = mounts
            .overlays()
            .iter()
            .any(|m| m.overlay().is_some_and(|o| o.has_store(fs, source.root)));
        if is_used {
            let text = "viewfs: another mount has this store open for writing";
            return Err(MountError::new(Errno::EBUSY, text));
        }
        Ok(())
    }

    /// The trees that show below `target` because they are mounted there, by their path below it.
    fn mounted_in(
        &self,
        view: &Arc<View>,
        epoch: Epoch,
        target: &[u8],
        base: &Layer,
    ) -> Answer<Vec<(Vec<u8>, Layer)>> {
        let mounts = self.mounts.snapshot();
        let mut found: Vec<(Vec<u8>, Layer)> = Vec::new();
        for mount in mounts.all() {
            let Some(rest) = path::below(&mount.target, target).filter(|r| !r.is_empty()) else {
                continue;
            };
            let is_known = found.iter().any(|(at, _)| at == rest);
            if is_known || !mount.can_be_covered() || !view.sees(mount.view, mount.born, epoch) {
                continue;
            }
            let Ok(place) = Walk::at(self, Arc::clone(view), epoch).canonical(&mount.target) else {
                continue;
            };
            let is_of_base = match (&place, &base.place) {
                (Place::Virtual(v), Place::Virtual(b)) => v.mount.id == b.mount.id,
                (Place::Host(_), Place::Host(_)) => {
                    let expected = base.place.host_path().map(|b| path::append(b, rest));
                    place.host_path() == expected.as_deref()
                }
                _ => false,
            };
            if !is_of_base {
                found.push((rest.to_vec(), Layer::of(place)?));
            }
        }
        Ok(found)
    }
}
