//! `umfusemem` and the host's own file system answer the same to the same calls.

use crate::doubles::{create, names};
use abi::fs::{Caller, FileKind, FileSystem, Ino, Name, RenameFlags};
use abi::{Errno, Result};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use umfuse::memfs::MemFs;

const WHO: Caller = Caller { uid: 0, gid: 0, pid: 0 };

/// Reproducible numbers (xorshift of Marsaglia).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }

    /// A path of one to three names out of four.
    pub(crate) fn path(&mut self) -> String {
        let depth = 1 + self.roll(3);
        let names: Vec<&str> = (0..depth).map(|_| ["a", "b", "c", "d"][self.roll(4)]).collect();
        names.join("/")
    }

    /// Directories and renames more often than others.
    pub(crate) fn operation(&mut self) -> Operation {
        use Operation::{Create, Link, Mkdir, Rename, Rmdir, Symlink, Unlink};
        let often =
            [Create, Mkdir, Mkdir, Mkdir, Symlink, Unlink, Rmdir, Rename, Rename, Rename, Link];
        often[self.roll(often.len())]
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Operation {
    Create,
    Mkdir,
    Symlink,
    Unlink,
    Rmdir,
    Rename,
    Link,
}

/// The directory of a path and its last name, walked without following links, as the host does below.
fn parent_of<'p>(fs: &MemFs, path: &'p str) -> Result<(Ino, Name<'p>)> {
    let (directories, last) = path.rsplit_once('/').unwrap_or(("", path));
    let mut ino = fs.root();
    for name in directories.split('/').filter(|n| !n.is_empty()) {
        ino = fs.lookup(ino, Name::new(name.as_bytes())?)?.ino;
    }
    if fs.getattr(ino)?.kind != FileKind::Directory {
        return Err(Errno::ENOTDIR);
    }
    Ok((ino, Name::new(last.as_bytes())?))
}

fn in_memory(fs: &MemFs, operation: Operation, path: &str, other: &str) -> Result<()> {
    let (parent, name) = parent_of(fs, path)?;
    match operation {
        Operation::Create => {
            let (_, handle) = create(fs, parent, core::str::from_utf8(name.as_bytes()).unwrap())?;
            fs.write(handle, path.as_bytes(), 0)?;
            fs.release(handle);
            Ok(())
        }
        Operation::Mkdir => fs.mkdir(WHO, parent, name, 0o755).map(drop),
        // It leads to a file: a walk through it ends with ENOTDIR, followed or not.
        Operation::Symlink => fs.symlink(WHO, parent, name, b"/proc/version").map(drop),
        Operation::Unlink => fs.unlink(WHO, parent, name),
        Operation::Rmdir => fs.rmdir(WHO, parent, name),
        Operation::Rename => {
            let (new_parent, new_name) = parent_of(fs, other)?;
            fs.rename(WHO, parent, name, new_parent, new_name, RenameFlags::empty())
        }
        Operation::Link => {
            let ino = fs.lookup(parent, name)?.ino;
            let (new_parent, new_name) = parent_of(fs, other)?;
            // The host's name walk looks at the new name before the file system looks at the file.
            if fs.lookup(new_parent, new_name).is_ok() {
                return Err(Errno::EEXIST);
            }
            fs.link(WHO, ino, new_parent, new_name).map(drop)
        }
    }
}

pub(crate) fn on_host(root: &Path, operation: Operation, path: &str, other: &str) -> Result<()> {
    let (at, to) = (root.join(path), root.join(other));
    let answer = match operation {
        Operation::Create => std::fs::File::create_new(at)
            .and_then(|mut file| std::io::Write::write_all(&mut file, path.as_bytes())),
        Operation::Mkdir => std::fs::create_dir(at),
        Operation::Symlink => std::os::unix::fs::symlink("/proc/version", at),
        Operation::Unlink => std::fs::remove_file(at),
        Operation::Rmdir => std::fs::remove_dir(at),
        Operation::Rename => std::fs::rename(at, to),
        Operation::Link => std::fs::hard_link(at, to),
    };
    answer.map_err(Errno::from)
}

/// Path, type and links of everything, sorted.
fn tree_in_memory(fs: &MemFs, ino: Ino, prefix: &str, out: &mut Vec<String>) {
    for name in names(fs, ino).unwrap() {
        let attr = fs.lookup(ino, Name::new(name.as_bytes()).unwrap()).unwrap();
        let path = format!("{prefix}{name}");
        out.push(format!("{path} {:o} {}", attr.kind.to_mode_bits(), attr.nlink));
        if attr.kind == FileKind::Directory {
            tree_in_memory(fs, attr.ino, &format!("{path}/"), out);
        }
    }
}

pub(crate) fn tree_on_host(directory: &Path, prefix: &str, out: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let meta = entry.path().symlink_metadata().unwrap();
        let path = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        out.push(format!("{path} {:o} {}", meta.mode() & 0o170_000, meta.nlink()));
        if meta.is_dir() {
            tree_on_host(&entry.path(), &format!("{path}/"), out);
        }
    }
}

#[test]
fn same_calls_have_same_answers_and_make_the_same_tree() {
    let host = tempfile::tempdir().unwrap();
    let fs = MemFs::default();
    let mut dice = Dice(0x1234_5678_9abc_def1);
    let mut refusals = 0;
    for step in 0..6000 {
        let operation = dice.operation();
        let (path, other) = (dice.path(), dice.path());
        let ours = in_memory(&fs, operation, &path, &other);
        let theirs = on_host(host.path(), operation, &path, &other);
        refusals += u32::from(theirs.is_err());
        assert_eq!(ours, theirs, "step {step}: {operation:?} {path} {other}");
        if step % 500 == 0 {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            tree_in_memory(&fs, fs.root(), "", &mut ours);
            tree_on_host(host.path(), "", &mut theirs);
            ours.sort();
            theirs.sort();
            assert_eq!(ours, theirs, "step {step}");
        }
    }
    assert!(refusals > 1000 && refusals < 5500, "{refusals} refusals say little");
}
