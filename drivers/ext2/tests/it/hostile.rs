//! Damaged images: whatever the bytes say, the driver answers and comes back.

use crate::device::{Ram, fixtures, mount};
use crate::tree::open;
use abi::block::{BlockDevice, Geometry};
use abi::fs::{
    Attr, Caller, Cookie, FileKind, FileSystem, Ino, Name, OpenFlags, Opened, RenameFlags, SeekTo,
    SetAttr, XattrFlags,
};
use abi::{Errno, Result};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// An image with some bytes changed, that counts what is read.
struct Patched {
    base: Arc<Vec<u8>>,
    patches: HashMap<u64, u8>,
    read_bytes: AtomicU64,
}

impl BlockDevice for Patched {
    fn geometry(&self) -> Geometry {
        Geometry { block_size: 512, size_bytes: self.base.len() as u64, read_only: true }
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.read_bytes.fetch_add(buf.len() as u64, Ordering::Relaxed);
        let from = offset as usize;
        let end = from.checked_add(buf.len()).ok_or(Errno::EINVAL)?;
        buf.copy_from_slice(self.base.get(from..end).ok_or(Errno::EINVAL)?);
        for (&at, &byte) in &self.patches {
            if (from..end).contains(&(at as usize)) {
                buf[at as usize - from] = byte;
            }
        }
        Ok(())
    }

    fn write_at(&self, _: &[u8], _: u64) -> Result<()> {
        Err(Errno::EROFS)
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }
}

/// xorshift64*: the same numbers every time.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 8
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}

/// Uses everything a reader can use, within limits of this test's own.
fn survey(fs: &dyn FileSystem) {
    let _ = fs.statfs();
    let mut todo = vec![(fs.root(), 0)];
    let mut seen = 0;
    while let Some((dir, depth)) = todo.pop() {
        let Ok(handle) = open(fs, dir, OpenFlags::READ) else { continue };
        let mut entries: Vec<(Vec<u8>, Ino)> = Vec::new();
        let _ = fs.readdir(handle, Cookie(0), &mut |entry| {
            entries.push((entry.name.to_vec(), entry.ino));
            entries.len() < 300
        });
        fs.release(handle);
        for (name, _) in entries {
            seen += 1;
            if seen > 600 {
                return;
            }
            let Ok(attr) = Name::new(&name).and_then(|name| fs.lookup(dir, name)) else { continue };
            look(fs, &attr);
            if attr.kind == FileKind::Directory && depth < 6 {
                todo.push((attr.ino, depth + 1));
            }
        }
    }
}

fn look(fs: &dyn FileSystem, attr: &Attr) {
    for name in fs.listxattr(attr.ino).unwrap_or_default() {
        let _ = fs.getxattr(attr.ino, &name);
    }
    let _ = fs.readlink(attr.ino);
    if attr.kind != FileKind::Regular {
        return;
    }
    let Ok(handle) = open(fs, attr.ino, OpenFlags::READ) else { return };
    let mut buf = vec![0; 1 << 16];
    for at in [0, attr.size_bytes / 2, attr.size_bytes.saturating_sub(4096)] {
        let _ = fs.read(handle, &mut buf, at);
    }
    // A sparse file of 2^60 bytes may make a seek long, not this one.
    if attr.size_bytes < 1 << 32 {
        let _ = fs.lseek(handle, 0, SeekTo::Hole);
    }
    fs.release(handle);
}

/// The bytes that are worth changing: a part at the front, where descriptors and inodes lie, and
/// any that are not zero.
fn target(random: &mut Random, base: &[u8]) -> u64 {
    for _ in 0..50 {
        let bound = match random.below(4) {
            0 => 4096,
            1 => 1 << 16,
            2 => 1 << 19,
            _ => base.len() as u64,
        };
        let at = random.below(bound.min(base.len() as u64));
        if base[at as usize] != 0 || random.below(20) == 0 {
            return at;
        }
    }
    1024
}

#[test]
fn damaged_images_neither_panic_nor_hang() {
    let Some(folder) = fixtures() else { return };
    let variants: u64 = std::env::var("EXT2_HOSTILE_VARIANTS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(80);
    let names =
        ["ext2-1k", "ext3-htree", "ext4-1k-nocsum", "ext4-inline", "ext4-default", "ext4-dirty"];
    for name in names {
        let base = Arc::new(std::fs::read(folder.join(format!("{name}.img"))).unwrap());
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut mounted = 0;
        for variant in 0..variants {
            let patches = (0..=random.below(4))
                .map(|_| (target(&mut random, &base), random.next() as u8))
                .collect();
            let device = Arc::new(Patched {
                base: Arc::clone(&base),
                patches,
                read_bytes: AtomicU64::new(0),
            });
            let start = Instant::now();
            if let Ok(fs) = mount(Arc::clone(&device) as Arc<dyn BlockDevice>, true, "") {
                mounted += 1;
                survey(&*fs);
            }
            let took = start.elapsed();
            assert!(took < Duration::from_secs(20), "{name} variant {variant}: {took:?}");
            let read = device.read_bytes.load(Ordering::Relaxed);
            assert!(read < 1 << 30, "{name} variant {variant}: read {read} bytes");
        }
        assert!(mounted > variants / 10, "{name}: {mounted} of {variants} could be mounted");
    }
}

#[test]
fn a_wrong_checksum_is_ebadmsg_and_a_wrong_structure_euclean() {
    let Some(folder) = fixtures() else { return };
    let patched = |name: &str, at: usize, byte: u8| {
        let base = Arc::new(std::fs::read(folder.join(format!("{name}.img"))).unwrap());
        let patches = HashMap::from([(at as u64, byte)]);
        let device = Arc::new(Patched { base, patches, read_bytes: AtomicU64::new(0) });
        mount(device, true, "").map(|_| ()).map_err(|error| error.errno)
    };
    // Error: the label differs from what the superblock's checksum was made of.
    assert_eq!(patched("ext4-default", 1024 + 120, 1), Err(Errno::EBADMSG));
    // Error: the same without a checksum is no error.
    assert_eq!(patched("ext2-1k", 1024 + 120, 1), Ok(()));
    // Error: inodes per group.
    assert_eq!(patched("ext2-1k", 1024 + 40, 1), Err(Errno::EUCLEAN));
    // Error: the magic number.
    assert_eq!(patched("ext2-1k", 1024 + 56, 1), Err(Errno::EINVAL));
    // Error: an incompatible feature that is not known.
    assert_eq!(patched("ext2-1k", 1024 + 96, 1), Err(Errno::EINVAL));
}

/// Changes whatever a writer can change; all answers are good ones.
fn disturb(fs: &dyn FileSystem, random: &mut Random) {
    let root = fs.root();
    let mut names: Vec<(Vec<u8>, Ino)> = Vec::new();
    if let Ok(handle) = open(fs, root, OpenFlags::READ) {
        let _ = fs.readdir(handle, Cookie(0), &mut |entry| {
            names.push((entry.name.to_vec(), entry.ino));
            names.len() < 40
        });
        fs.release(handle);
    }
    for number in 0..25 {
        let fresh = format!("fresh-{number}").into_bytes();
        let fresh = Name::new(&fresh).unwrap();
        let caller = Caller::default();
        let at = random.below(names.len() as u64) as usize;
        let Some((name, ino)) = names.get(at).cloned() else { return };
        let Ok(name) = Name::new(&name) else { continue };
        match random.below(9) {
            0 => drop(fs.unlink(caller, root, name)),
            1 => drop(fs.rmdir(caller, root, name)),
            2 => drop(fs.rename(caller, root, name, root, fresh, RenameFlags::empty())),
            3 => drop(fs.mkdir(caller, root, fresh, 0o755)),
            4 => drop(fs.setxattr(ino, b"user.x", &[7; 50], XattrFlags::empty())),
            5 => drop(fs.link(caller, ino, root, fresh)),
            6 => {
                let size_bytes = Some(random.below(400_000));
                drop(fs.setattr(caller, ino, &SetAttr { size_bytes, ..SetAttr::default() }));
            }
            7 => {
                if let Ok(handle) = open(fs, ino, OpenFlags::READ | OpenFlags::WRITE) {
                    let _ = fs.write(handle, &[1; 20_000], random.below(300_000));
                    let _ = fs.fsync(handle, false);
                    fs.release(handle);
                }
            }
            _ => {
                if let Ok((_, Opened::Handle(handle))) =
                    fs.create(caller, root, fresh, 0o644, OpenFlags::WRITE)
                {
                    let _ = fs.write(handle, &[2; 9000], 0);
                    fs.release(handle);
                }
            }
        }
    }
    let _ = fs.sync();
}

#[test]
fn writing_to_damaged_images_neither_panics_nor_hangs() {
    let Some(folder) = fixtures() else { return };
    let variants: u64 = std::env::var("EXT2_HOSTILE_VARIANTS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(40);
    for name in
        ["ext2-1k", "ext3-htree", "ext3-dirty", "ext4-1k-nocsum", "ext4-frag", "ext4-default"]
    {
        let base = std::fs::read(folder.join(format!("{name}.img"))).unwrap();
        let mut random = Random(0x1234_5678_9abc_def1);
        for variant in 0..variants {
            let mut bytes = base.clone();
            for _ in 0..=random.below(4) {
                let at = target(&mut random, &base) as usize;
                bytes[at] = random.next() as u8;
            }
            let start = Instant::now();
            if let Ok(fs) = mount(Ram::new(bytes), false, "") {
                disturb(&*fs, &mut random);
            }
            let took = start.elapsed();
            assert!(took < Duration::from_secs(20), "{name} variant {variant}: {took:?}");
        }
    }
}
