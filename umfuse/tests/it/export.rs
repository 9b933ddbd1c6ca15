//! Drivers served to the kernel: what the kernel sees of them.

use crate::against_host::{Dice, on_host, tree_on_host};
use abi::Errno;
use abi::block::{BlockDevice, Geometry};
use abi::fs::{FileSystem, FileSystemType, FsSource};
use abi::options::Options;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;
use umfuse::export::{ExportOptions, Exported, spawn};
use umfuse::memfs::MemFs;

/// Mounts on a new directory; `None`, said loudly, where this host lets nobody.
fn mount(fs: Arc<dyn FileSystem>) -> Option<(TempDir, Exported)> {
    let directory = tempfile::tempdir().unwrap();
    match spawn(fs, directory.path(), &ExportOptions::default()) {
        Ok(exported) => Some((directory, exported)),
        Err(errno @ (Errno::ENOENT | Errno::ENODEV | Errno::EACCES | Errno::EPERM)) => {
            eprintln!("SKIPPED: /dev/fuse can't be used here: {errno}");
            None
        }
        Err(errno) => panic!("mount: {errno}"),
    }
}

#[test]
fn exported_memory_behaves_as_the_host_does() {
    let Some((mount, exported)) = mount(Arc::new(MemFs::default())) else { return };
    let host = tempfile::tempdir().unwrap();
    let mut dice = Dice(0x0bad_cafe_1234_5679);
    for step in 0..2000 {
        let (operation, path, other) = (dice.operation(), dice.path(), dice.path());
        let ours = on_host(mount.path(), operation, &path, &other);
        let theirs = on_host(host.path(), operation, &path, &other);
        assert_eq!(ours, theirs, "step {step}: {operation:?} {path} {other}");
    }
    let trees = [mount.path(), host.path()].map(|root| {
        let mut tree = Vec::new();
        tree_on_host(root, "", &mut tree);
        tree.sort();
        tree
    });
    assert_eq!(trees[0], trees[1]);
    exported.unmount().unwrap();
}

#[test]
fn exported_files_hold_what_was_written() {
    let Some((mount, exported)) = mount(Arc::new(MemFs::new(1 << 20))) else { return };
    let path = mount.path().join("f");
    let bytes: Vec<u8> = (0..300_000_u32).map(|i| (i % 251) as u8).collect();
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o640);
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(5).unwrap();
    let times = std::fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
    file.set_times(times).unwrap();
    assert_eq!((path.metadata().unwrap().len(), path.metadata().unwrap().mtime()), (5, 0));
    // Error: larger than the mount.
    let refused = file.write_all_at(&vec![1; 2 << 20], 0).unwrap_err();
    assert_eq!(Errno::from(refused), Errno::ENOSPC);
    drop(file);
    // Unlinked, it lives as long as it is open.
    let open = File::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let mut buf = [0; 5];
    open.read_exact_at(&mut buf, 0).unwrap();
    drop(open);
    exported.unmount().unwrap();
}

struct ImageFile(File);

impl BlockDevice for ImageFile {
    fn geometry(&self) -> Geometry {
        let size_bytes = self.0.metadata().unwrap().len();
        Geometry { block_size: 2048, size_bytes, read_only: true }
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> abi::Result<()> {
        self.0.read_exact_at(buf, offset).map_err(|_| Errno::EINVAL)
    }
    fn write_at(&self, _: &[u8], _: u64) -> abi::Result<()> {
        Err(Errno::EROFS)
    }
    fn flush(&self) -> abi::Result<()> {
        Ok(())
    }
}

/// What `manifest.py` says of the mounted tree is what it said of the tree that the image was made from.
#[test]
fn exported_image_has_the_manifest_of_its_tree() {
    let Some(folder) = std::env::var_os("VIEWOS_FIXTURES") else {
        eprintln!("SKIPPED: VIEWOS_FIXTURES is not set (cargo xtask test sets it)");
        return;
    };
    let image = File::open(Path::new(&folder).join("iso-both.img")).unwrap();
    let source = FsSource::Device(Arc::new(ImageFile(image)));
    let fs = iso9660::Iso9660Type.mount(source, true, &mut Options::default()).unwrap();
    let Some((mount, exported)) = mount(fs) else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/manifest.py");
    let output = Command::new("python3")
        .args([script, "--iso", mount.path().to_str().unwrap()])
        .output()
        .unwrap_or_else(|e| panic!("python3: {e}: install the Debian package python3"));
    let listing = String::from_utf8(output.stdout).unwrap();
    let found: Vec<&str> = listing.lines().filter(|line| !line.contains(" rr_moved")).collect();
    let text = std::fs::read_to_string(Path::new(&folder).join("iso-both.manifest")).unwrap();
    assert_eq!(found, text.lines().collect::<Vec<_>>());
    // Error: the kernel knows that it is read-only.
    let refused = File::create(mount.path().join("new")).unwrap_err();
    assert_eq!(Errno::from(refused), Errno::EROFS);
    exported.unmount().unwrap();
}
