//! A walk over a mounted tree that writes the lines of `fixtures/manifest.py`.

use abi::fs::{Attr, Caller, Cookie, FileKind, FileSystem, Handle, Ino, Name, OpenFlags, Opened};
use abi::{Errno, Result};
use sha2::{Digest, Sha256};

pub(crate) fn open(fs: &dyn FileSystem, ino: Ino, flags: OpenFlags) -> Result<Handle> {
    match fs.open(Caller::default(), ino, flags)? {
        Opened::Handle(handle) => Ok(handle),
        Opened::Host(_) => panic!("the driver has no host descriptors"),
    }
}

/// Name, inode and cookie of every entry; at most `batch` entries a call.
pub(crate) fn list(fs: &dyn FileSystem, dir: Ino, batch: usize) -> Result<Vec<(Vec<u8>, Ino)>> {
    let handle = open(fs, dir, OpenFlags::READ)?;
    let mut all = Vec::new();
    let mut cookie = Cookie(0);
    let result = loop {
        let mut taken = 0;
        let result = fs.readdir(handle, cookie, &mut |entry| {
            if taken == batch {
                return false;
            }
            taken += 1;
            assert!(entry.next.0 < 1 << 43);
            all.push((entry.name.to_vec(), entry.ino));
            cookie = entry.next;
            true
        });
        if result.is_err() || taken == 0 {
            break result;
        }
    };
    fs.release(handle);
    result.map(|()| all)
}

pub(crate) fn read_all(
    fs: &dyn FileSystem,
    attr: &Attr,
    mut see: impl FnMut(&[u8]),
) -> Result<u64> {
    let handle = open(fs, attr.ino, OpenFlags::READ)?;
    let mut buf = vec![0; 1 << 20];
    let mut at = 0;
    let result = loop {
        match fs.read(handle, &mut buf, at) {
            Ok(0) => break Ok(at),
            Ok(len) => {
                see(&buf[..len]);
                at += len as u64;
            }
            Err(error) => break Err(error),
        }
    };
    fs.release(handle);
    result
}

pub(crate) fn digest(fs: &dyn FileSystem, attr: &Attr) -> Result<String> {
    let mut hash = Sha256::new();
    read_all(fs, attr, |part| hash.update(part))?;
    Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect())
}

pub(crate) fn lookup(fs: &dyn FileSystem, dir: Ino, name: &[u8]) -> Result<Attr> {
    fs.lookup(dir, Name::new(name)?)
}

/// UTF-8 with what is none written as Python's `backslashreplace` does.
fn text(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

fn line(fs: &dyn FileSystem, attr: &Attr) -> Result<String> {
    let (kind, what) = match attr.kind {
        FileKind::Regular => {
            ('f', digest(fs, attr).unwrap_or_else(|e: Errno| format!("ERR{}", e.raw())))
        }
        FileKind::Directory => ('d', "-".to_owned()),
        FileKind::Symlink => ('l', format!("->{}", text(&fs.readlink(attr.ino)?))),
        FileKind::CharDevice => ('c', format!("{}:{}", attr.rdev.major, attr.rdev.minor)),
        FileKind::BlockDevice => ('b', format!("{}:{}", attr.rdev.major, attr.rdev.minor)),
        FileKind::Fifo => ('p', "-".to_owned()),
        FileKind::Socket => ('s', "-".to_owned()),
    };
    let mode = if kind == 'l' { "-".to_owned() } else { format!("{:04o}", attr.perm) };
    let links = if kind == 'd' { "-".to_owned() } else { attr.nlink.to_string() };
    let size = if kind == 'f' { attr.size_bytes.to_string() } else { "-".to_owned() };
    let mtime = attr.mtime.seconds;
    Ok(format!("{kind} {mode} {} {} {links} {size} {mtime} {what}", attr.uid, attr.gid))
}

fn walk(
    fs: &dyn FileSystem,
    dir: Ino,
    path: &str,
    depth: usize,
    out: &mut Vec<(String, String)>,
) -> Result<()> {
    if depth > 64 || out.len() > 100_000 {
        return Err(Errno::ELOOP);
    }
    for (name, ino) in list(fs, dir, 50)? {
        let shown = text(&name).replace('\n', "\\n");
        let below = if path.is_empty() { shown } else { format!("{path}/{shown}") };
        if below == "lost+found" {
            continue;
        }
        let attr = lookup(fs, dir, &name)?;
        assert_eq!(attr.ino, ino, "{below}");
        assert_eq!(fs.getattr(ino)?, attr, "{below}");
        out.push((below.clone(), line(fs, &attr)?));
        if attr.kind == FileKind::Directory {
            walk(fs, ino, &below, depth + 1, out)?;
        }
    }
    Ok(())
}

/// The manifest of a mounted tree.
pub(crate) fn manifest(fs: &dyn FileSystem) -> Result<String> {
    let mut lines = Vec::new();
    walk(fs, fs.root(), "", 0, &mut lines)?;
    // Python sorts by code point, which is the order of UTF-8 bytes.
    lines.sort();
    Ok(lines.into_iter().map(|(path, line)| format!("{line} {path}\n")).collect())
}
