//! Everything that a view may do with a file system.

use crate::noise::Noise;
use abi::dev::DevNum;
use abi::fs::{
    Attr, Caller, Cookie, FallocateMode, FileKind, FileSystem, Handle, Ino, Name, OpenFlags,
    Opened, RenameFlags, SeekTo, SetAttr, XattrFlags,
};

/// The most entries that a walk looks at.
const ENTRIES_MAX: usize = 300;

/// Walks and reads everything, then makes changes if the mount takes them, then walks again.
pub fn use_up(fs: &dyn FileSystem, noise: &mut Noise, writes: bool) {
    let found = walk(fs);
    if !writes {
        return;
    }
    for _ in 0..noise.below(30) {
        change(fs, noise, &found);
    }
    let _ = fs.sync();
    walk(fs);
}

/// A directory's number and an entry of it.
type Entry = (Ino, Vec<u8>, Attr);

fn walk(fs: &dyn FileSystem) -> Vec<Entry> {
    let _ = fs.statfs();
    let mut found: Vec<Entry> = Vec::new();
    let mut todo = vec![(fs.root(), 0)];
    while let Some((dir, depth)) = todo.pop() {
        for name in names(fs, dir) {
            let Ok(attr) = Name::new(&name).and_then(|name| fs.lookup(dir, name)) else { continue };
            look(fs, &attr);
            if attr.kind == FileKind::Directory && depth < 5 {
                todo.push((attr.ino, depth + 1));
            }
            found.push((dir, name, attr));
            if found.len() >= ENTRIES_MAX {
                return found;
            }
        }
    }
    found
}

fn names(fs: &dyn FileSystem, dir: Ino) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    let Some(handle) = open(fs, dir, OpenFlags::READ) else { return names };
    let _ = fs.readdir(handle, Cookie(0), &mut |entry| {
        names.push(entry.name.to_vec());
        names.len() < ENTRIES_MAX
    });
    fs.release(handle);
    names
}

fn open(fs: &dyn FileSystem, ino: Ino, flags: OpenFlags) -> Option<Handle> {
    match fs.open(Caller::default(), ino, flags) {
        Ok(Opened::Handle(handle)) => Some(handle),
        _ => None,
    }
}

fn look(fs: &dyn FileSystem, attr: &Attr) {
    for name in fs.listxattr(attr.ino).unwrap_or_default() {
        let _ = fs.getxattr(attr.ino, &name);
    }
    let _ = (fs.getattr(attr.ino), fs.readlink(attr.ino));
    if attr.kind != FileKind::Regular {
        return;
    }
    let Some(handle) = open(fs, attr.ino, OpenFlags::READ) else { return };
    let mut buffer = vec![0; 1 << 14];
    for at in [0, 12 << 10, attr.size_bytes / 2, attr.size_bytes.saturating_sub(4096), 1 << 40] {
        let _ = fs.read(handle, &mut buffer, at);
    }
    for at in [0, attr.size_bytes / 3] {
        let _ = (fs.lseek(handle, at, SeekTo::Hole), fs.lseek(handle, at, SeekTo::Data));
    }
    fs.release(handle);
}

fn change(fs: &dyn FileSystem, noise: &mut Noise, found: &[Entry]) {
    let caller = Caller::default();
    let any = |noise: &mut Noise| found.get(noise.below(found.len().max(1)));
    let (dir, old, ino) = match any(noise) {
        Some((dir, name, attr)) => (*dir, name.clone(), attr.ino),
        None => (fs.root(), b"none".to_vec(), fs.root()),
    };
    let other = any(noise).map_or(fs.root(), |(dir, ..)| *dir);
    let long = "n".repeat(1 + noise.below(255));
    let fresh = if noise.chance(50) { format!("new{}", noise.below(9)) } else { long };
    let (Ok(old), Ok(fresh)) = (Name::new(&old), Name::new(fresh.as_bytes())) else { return };
    let _ = match noise.below(11) {
        0 => fs.create(caller, dir, fresh, 0o644, OpenFlags::WRITE).map(|(_, opened)| {
            if let Opened::Handle(handle) = opened {
                write(fs, noise, handle);
            }
        }),
        1 => fs.mkdir(caller, dir, fresh, 0o755).map(drop),
        2 => fs.symlink(caller, dir, fresh, "t".repeat(1 + noise.below(300)).as_bytes()).map(drop),
        3 => fs.unlink(caller, dir, old),
        4 => fs.rmdir(caller, dir, old),
        5 => fs.rename(caller, dir, old, other, fresh, RenameFlags::empty()).map(drop),
        6 => fs.link(caller, ino, other, fresh).map(drop),
        7 => {
            let size = Some(noise.edge() & 0xff_ffff);
            fs.setattr(caller, ino, &SetAttr { size_bytes: size, ..SetAttr::default() }).map(drop)
        }
        8 => fs.setxattr(ino, b"user.fuzz", &vec![b'v'; noise.below(900)], XattrFlags::empty()),
        9 => fs
            .mknod(caller, dir, fresh, FileKind::Fifo, 0o600, DevNum { major: 0, minor: 0 })
            .map(drop),
        _ => {
            if let Some(handle) = open(fs, ino, OpenFlags::READ | OpenFlags::WRITE) {
                write(fs, noise, handle);
            }
            Ok(())
        }
    };
}

fn write(fs: &dyn FileSystem, noise: &mut Noise, handle: Handle) {
    let bytes = vec![b'w'; noise.below(20_000)];
    let at = noise.edge() & 0x3f_ffff;
    let _ = fs.write(handle, &bytes, at);
    let _ = fs.fallocate(handle, FallocateMode::empty(), at, 1 + (noise.edge() & 0xf_ffff));
    let _ = fs.fsync(handle, false);
    fs.release(handle);
}
