//! Random operations where the trees are file systems of this process: in memory, and ext4 on an image.

use crate::fixture::{caller, handle, overlay, scratch};
use crate::model::picture;
use crate::random::{Round, populate, run};
use abi::fs::{Caller, FileSystem, FileSystemType, FsSource};
use abi::options::Options;
use cow_store::dir::{HostDir, TreeDir};
use cow_store::{Access, Store};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use umfuse::memfs::MemFs;
use viewfs::{DirectoryLower, FrozenLower, Lower, Mode, MountOptions, Overlay, Source, TreeLower};

const SIZE_BYTES: u64 = 16 << 20;

type Tree = Arc<dyn FileSystem>;

fn dir(tree: &Tree, dev: u64) -> TreeDir {
    TreeDir::new(Arc::clone(tree), tree.root(), dev, Caller { pid: 0, ..caller() })
}

fn memory() -> Tree {
    Arc::new(MemFs::new(SIZE_BYTES))
}

/// An empty ext4, made by the program that everybody has.
fn ext4(folder: &Path) -> Tree {
    let image = folder.join("ext4.img");
    let made = Command::new("mke2fs")
        .args(["-q", "-t", "ext4", "-O", "^has_journal"])
        .arg(&image)
        .arg(format!("{}k", SIZE_BYTES / 1024))
        .status()
        .expect("mke2fs is missing: apt-get install e2fsprogs");
    assert!(made.success());
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&image).unwrap();
    let device = Arc::new(umdev::block::Image::new(file, false).unwrap());
    let mut options = Options::parse("");
    ext2::Ext2Type.mount(FsSource::Device(device), false, &mut options).unwrap()
}

/// What a tree shows, as text.
fn shown(tree: &Tree) -> Vec<String> {
    let lower = || Box::new(TreeLower::of(dir(tree, 1)));
    let plain = Overlay::new(Source::Tree(lower()), lower(), MountOptions::default()).unwrap();
    let lines = picture(&plain).into_iter();
    lines.map(|(path, file, _)| format!("{} {file:?}", String::from_utf8_lossy(&path))).collect()
}

fn laid(lower: Box<dyn Lower>, store: TreeDir, mode: Mode, vstat: bool) -> Overlay {
    let store = Store::open_dir(Box::new(store.alone()), Access::Write, None).unwrap();
    let options = MountOptions { mode, vstat, ..MountOptions::default() };
    Overlay::new(Source::from(store), lower, options).unwrap()
}

#[test]
fn a_store_of_the_host_over_a_tree_in_memory_agrees_with_the_model() {
    run(11_000, &|| {
        let (tree, upper) = (memory(), scratch());
        populate(&dir(&tree, 1), true);
        let watched = Arc::clone(&tree);
        let mount = move || {
            let lower = Box::new(TreeLower::of(dir(&tree, 1)));
            let store = Store::open(handle(upper.path()), Access::Write).unwrap();
            let options = MountOptions { mode: Mode::Cow, ..MountOptions::default() };
            Overlay::new(Source::from(store), lower, options).unwrap()
        };
        Round {
            watch: Box::new(move || shown(&watched)),
            opens_fifos: false,
            ..Round::new(Box::new(mount), caller())
        }
    });
}

#[test]
fn a_store_in_memory_over_a_tree_of_the_host_agrees_with_the_model() {
    run(12_000, &|| {
        let (lower, tree) = (scratch(), memory());
        populate(&HostDir::new(handle(lower.path())), true);
        let watched = lower.path().to_path_buf();
        let mount = move || {
            let below = Box::new(DirectoryLower::open(lower.path()).unwrap());
            laid(below, dir(&tree, 2), Mode::Cow, true)
        };
        Round {
            watch: Box::new(move || crate::fixture::picture(&watched)),
            opens_fifos: false,
            with_chown: true,
            ..Round::new(Box::new(mount), Caller { uid: 0, gid: 0, pid: 0 })
        }
    });
}

#[test]
fn a_store_in_memory_tries_changes_on_a_tree_in_memory() {
    run(13_000, &|| {
        let (below, tree) = (memory(), memory());
        populate(&dir(&below, 1), true);
        let mount = move || {
            laid(Box::new(TreeLower::of(dir(&below, 1))), dir(&tree, 2), Mode::Mincow, false)
        };
        Round { opens_fifos: false, ..Round::new(Box::new(mount), caller()) }
    });
}

#[test]
fn a_store_in_memory_has_what_a_frozen_tree_refuses() {
    run(14_000, &|| {
        let (below, tree) = (memory(), memory());
        populate(&dir(&below, 1), true);
        let watched = Arc::clone(&below);
        let mount = move || {
            let frozen = FrozenLower::new(Box::new(TreeLower::of(dir(&below, 1))));
            laid(Box::new(frozen), dir(&tree, 2), Mode::Mincow, true)
        };
        Round {
            watch: Box::new(move || shown(&watched)),
            opens_fifos: false,
            with_chown: true,
            ..Round::new(Box::new(mount), Caller { uid: 3, gid: 3, pid: 0 })
        }
    });
}

#[test]
fn a_store_on_ext4_agrees_with_the_model_and_e2fsck_finds_nothing() {
    run(15_000, &|| {
        let (lower, folder) = (scratch(), scratch());
        populate(&HostDir::new(handle(lower.path())), true);
        let tree = ext4(folder.path());
        // A name of the file system's own that the view would show.
        dir_remove(&tree);
        let (image, flushed) = (folder.path().join("ext4.img"), Arc::clone(&tree));
        let watch = move || {
            flushed.sync().unwrap();
            let out = Command::new("e2fsck").args(["-fn"]).arg(&image).output().unwrap();
            let text = String::from_utf8_lossy(&out.stdout);
            assert!(out.status.success(), "{text}");
            Vec::new()
        };
        let mount = move || {
            let _ = &folder;
            let below = Box::new(DirectoryLower::open(lower.path()).unwrap());
            laid(below, dir(&tree, 2), Mode::Cow, true)
        };
        Round {
            watch: Box::new(watch),
            opens_fifos: false,
            with_chown: true,
            ..Round::new(Box::new(mount), Caller { uid: 0, gid: 0, pid: 0 })
        }
    });
}

fn dir_remove(tree: &Tree) {
    use cow_store::dir::Dir;
    dir(tree, 2).rmdir(b"lost+found").unwrap();
}

#[test]
fn the_same_operations_through_two_overlays_agree_with_the_model() {
    // The upper overlay's tree below, and its store, are what the lower overlay shows, as a path each.
    run(16_000, &|| {
        let (lower, first, second) = (scratch(), scratch(), scratch());
        populate(&HostDir::new(handle(lower.path())), true);
        let watched = lower.path().to_path_buf();
        let mount = move || {
            let (under, _) = overlay(lower.path(), first.path(), Mode::Cow, true, &[]);
            let store = Store::open(handle(second.path()), Access::Write).unwrap();
            let options = MountOptions { mode: Mode::Cow, vstat: true, ..MountOptions::default() };
            Overlay::new(Source::from(store), Box::new(Under(under)), options).unwrap()
        };
        Round {
            watch: Box::new(move || crate::fixture::picture(&watched)),
            with_chown: true,
            ..Round::new(Box::new(mount), Caller { uid: 0, gid: 0, pid: 0 })
        }
    });
}

/// An overlay as the tree below another.
struct Under(Overlay);

impl Lower for Under {
    fn stat(&self, path: &[u8]) -> abi::Result<cow_store::Stat> {
        self.0.stat(path)
    }
    fn open(&self, path: &[u8], flags: cow_store::OFlags) -> abi::Result<cow_store::dir::OpenFile> {
        self.0.open(path, flags, 0, Caller::default())
    }
    fn readdir(&self, path: &[u8]) -> abi::Result<Vec<cow_store::dir::DirEntry>> {
        let listing = self.0.readdir(path)?;
        let entries = listing.entries().iter().cloned();
        Ok(entries
            .map(|e| cow_store::dir::DirEntry { name: e.name, kind: e.kind, ino: e.ino })
            .collect())
    }
    fn readlink(&self, path: &[u8]) -> abi::Result<Vec<u8>> {
        self.0.readlink(path)
    }
    fn xattr(&self, path: &[u8], name: &[u8]) -> abi::Result<Vec<u8>> {
        self.0.xattr(path, name)
    }
    fn xattr_names(&self, path: &[u8]) -> abi::Result<Vec<Vec<u8>>> {
        self.0.xattr_names(path)
    }
}
