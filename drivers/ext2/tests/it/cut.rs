//! A script of every operation, cut after each single write: with a log the tree is that of one instant; without,
//! `e2fsck -p` mends the volume and nothing that was durable is lost.

use crate::crash::{Event, Recorder, image_at};
use crate::device::{Ram, mount};
use crate::hostile::Random;
use crate::tools::{e2fsck, mke2fs, preen, repair, replay, store};
use crate::tree::{digest, list, lookup};
use abi::Result;
use abi::fs::{
    Attr, Caller, FileKind, FileSystem, Ino, Name, OpenFlags, Opened, RenameFlags, SetAttr,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const ROOT: Caller = Caller { uid: 0, gid: 0, pid: 0 };

/// What is at a path: its type, and its contents or where it leads.
type Tree = BTreeMap<String, String>;

fn walk(fs: &dyn FileSystem, dir: Ino, path: &str, tree: &mut Tree) -> Result<()> {
    for (name, _) in list(fs, dir, 100)? {
        let below = format!("{path}/{}", String::from_utf8_lossy(&name));
        if below == "/lost+found" {
            continue;
        }
        let attr = lookup(fs, dir, &name)?;
        let what = match attr.kind {
            FileKind::Directory => "a directory".to_owned(),
            FileKind::Symlink => String::from_utf8_lossy(&fs.readlink(attr.ino)?).into_owned(),
            _ => format!("{} {}", attr.size_bytes, digest(fs, &attr)?),
        };
        tree.insert(below.clone(), what);
        if attr.kind == FileKind::Directory {
            walk(fs, attr.ino, &below, tree)?;
        }
    }
    Ok(())
}

fn tree(fs: &dyn FileSystem) -> Result<Tree> {
    let mut all = Tree::new();
    walk(fs, fs.root(), "", &mut all)?;
    Ok(all)
}

/// The tree after an operation.
struct Moment {
    /// Events so far.
    events: usize,
    tree: Tree,
    is_durable: bool,
    name: String,
}

/// Operations by path, and the moments between them.
struct Session {
    fs: Arc<dyn FileSystem>,
    device: Arc<Recorder>,
    moments: Vec<Moment>,
    random: Random,
}

impl Session {
    fn place<'a>(&self, path: &'a str) -> (Ino, Name<'a>) {
        let (dir, name) = path.rsplit_once('/').unwrap();
        let parts = dir.split('/').filter(|part| !part.is_empty());
        let dir = parts
            .fold(self.fs.root(), |dir, part| lookup(&*self.fs, dir, part.as_bytes()).unwrap().ino);
        (dir, Name::new(name.as_bytes()).unwrap())
    }

    fn attr(&self, path: &str) -> Attr {
        let (dir, name) = self.place(path);
        self.fs.lookup(dir, name).unwrap()
    }

    fn note(&mut self, name: String, is_durable: bool) {
        let events = self.device.events.lock().unwrap().len();
        self.moments.push(Moment { events, tree: tree(&*self.fs).unwrap(), is_durable, name });
    }

    /// Appends bytes that nothing else has; the file is made if it is missing.
    fn append(&mut self, path: &str, length: u64) {
        let (dir, name) = self.place(path);
        let flags = OpenFlags::READ | OpenFlags::WRITE;
        let (opened, at) = match self.fs.lookup(dir, name) {
            Ok(attr) => (self.fs.open(ROOT, attr.ino, flags).unwrap(), attr.size_bytes),
            Err(_) => (self.fs.create(ROOT, dir, name, 0o644, flags).unwrap().1, 0),
        };
        let Opened::Handle(handle) = opened else { panic!("host") };
        let bytes: Vec<u8> = (0..length).map(|_| self.random.next() as u8).collect();
        assert_eq!(self.fs.write(handle, &bytes, at), Ok(bytes.len()));
        self.fs.release(handle);
        self.note(format!("append {path}"), false);
    }

    fn fsync(&mut self, path: &str) {
        let flags = OpenFlags::READ | OpenFlags::WRITE;
        let opened = self.fs.open(ROOT, self.attr(path).ino, flags).unwrap();
        let Opened::Handle(handle) = opened else { panic!("host") };
        self.fs.fsync(handle, false).unwrap();
        self.fs.release(handle);
        self.note(format!("fsync {path}"), true);
    }

    fn rename(&mut self, from: &str, to: &str) {
        let ((dir, name), (new_dir, new_name)) = (self.place(from), self.place(to));
        let flags = RenameFlags::empty();
        self.fs.rename(ROOT, dir, name, new_dir, new_name, flags).unwrap();
        self.note(format!("rename {from} {to}"), false);
    }

    fn link(&mut self, from: &str, to: &str) {
        let (dir, name) = self.place(to);
        self.fs.link(ROOT, self.attr(from).ino, dir, name).unwrap();
        self.note(format!("link {from} {to}"), false);
    }

    fn symlink(&mut self, path: &str, length: usize) {
        let (dir, name) = self.place(path);
        self.fs.symlink(ROOT, dir, name, "t".repeat(length).as_bytes()).unwrap();
        self.note(format!("symlink {path}"), false);
    }

    fn mkdir(&mut self, path: &str) {
        let (dir, name) = self.place(path);
        self.fs.mkdir(ROOT, dir, name, 0o755).unwrap();
        self.note(format!("mkdir {path}"), false);
    }

    fn unlink(&mut self, path: &str) {
        let (dir, name) = self.place(path);
        self.fs.unlink(ROOT, dir, name).unwrap();
        self.note(format!("unlink {path}"), false);
    }

    fn rmdir(&mut self, path: &str) {
        let (dir, name) = self.place(path);
        self.fs.rmdir(ROOT, dir, name).unwrap();
        self.note(format!("rmdir {path}"), false);
    }

    fn truncate(&mut self, path: &str, size: u64) {
        let changes = SetAttr { size_bytes: Some(size), ..SetAttr::default() };
        self.fs.setattr(ROOT, self.attr(path).ino, &changes).unwrap();
        self.note(format!("truncate {path}"), false);
    }

    /// Every kind of operation, some of them many in one transaction.
    fn play(&mut self) {
        self.append("/a", 3000);
        self.fsync("/a");
        self.mkdir("/d");
        self.append("/d/b", 20_000);
        self.fsync("/d/b");
        self.rename("/d/b", "/c");
        self.fsync("/c");
        self.append("/tmp", 5000);
        self.fsync("/tmp");
        self.rename("/tmp", "/a");
        self.append("/c", 30_000);
        self.link("/c", "/d/hard");
        self.symlink("/d/short", 10);
        self.symlink("/long", 200);
        self.fsync("/a");
        self.unlink("/d/hard");
        self.append("/d/next", 700);
        self.truncate("/c", 5120);
        self.fsync("/c");
        for n in 0..40 {
            self.append(&format!("/d/a file with a long name {n}"), 10);
        }
        self.fsync("/c");
        for n in 0..40 {
            match n % 4 {
                0 => self.unlink(&format!("/d/a file with a long name {n}")),
                1 => self.rename(&format!("/d/a file with a long name {n}"), &format!("/moved{n}")),
                2 => self.rename(&format!("/d/a file with a long name {n}"), &format!("/d/{n}")),
                _ => {}
            }
        }
        self.unlink("/long");
        self.mkdir("/e");
        self.append("/e/in", 2000);
        self.fsync("/e/in");
        self.rename("/e/in", "/d/in");
        self.rmdir("/e");
        self.truncate("/c", 0);
        self.append("/late", 9000);
        self.unlink("/a");
        self.fsync("/c");
        self.append("/f", 100_000);
        self.unlink("/f");
        self.append("/g", 100_000);
        self.fsync("/g");
    }
}

/// The moments that a cut after `count` events may show: from the last durable one to the next.
fn window(moments: &[Moment], count: usize) -> &[Moment] {
    let from = moments.iter().rposition(|m| m.is_durable && m.events <= count).unwrap_or(0);
    let length = moments[from + 1..].iter().position(|m| m.is_durable);
    let end = length.map_or(moments.len(), |length| from + length + 2);
    &moments[from..end]
}

/// What was durable is there: a path that no operation touched as it was, contents that no operation took away under
/// one of their names.
fn check_kept(found: &Tree, window: &[Moment], what: &str) {
    for (path, contents) in &window[0].tree {
        let is_same = |m: &Moment| m.tree.get(path) == Some(contents);
        if window.iter().all(is_same) {
            assert_eq!(found.get(path), Some(contents), "{what}: {path}");
            continue;
        }
        let names = |m: &Moment| -> BTreeSet<String> {
            m.tree.iter().filter(|(_, c)| *c == contents).map(|(p, _)| p.clone()).collect()
        };
        let each: Vec<BTreeSet<String>> = window.iter().map(names).collect();
        if each.iter().all(|names| !names.is_empty()) {
            let is_there = each.iter().flatten().any(|name| found.get(name) == Some(contents));
            assert!(is_there, "{what}: what was at {path} is nowhere: {found:#?}");
        }
    }
}

struct Cuts {
    start: Vec<u8>,
    events: Vec<Event>,
    moments: Vec<Moment>,
}

fn record(args: &str, play: impl FnOnce(&mut Session)) -> Cuts {
    let below = mke2fs(6 * 1024, args);
    let start = below.bytes();
    let device = Recorder::new(below);
    let fs = mount(device.clone(), false, "").unwrap();
    let mut session = Session { fs, device, moments: Vec::new(), random: Random(7) };
    session.note("nothing".into(), true);
    play(&mut session);
    let Session { fs, device, moments, .. } = session;
    drop(fs);
    let events = std::mem::take(&mut *device.events.lock().unwrap());
    Cuts { start, events, moments }
}

impl Cuts {
    /// Visits the image after each write: as it came, and with a random part of what was not flushed.
    fn each(&self, mut visit: impl FnMut(Vec<u8>, &[Moment], &str)) {
        let mut random = Random(11);
        let step = std::env::var("EXT2_CRASH_STEP").ok().and_then(|text| text.parse().ok());
        for count in (0..=self.events.len()).step_by(step.unwrap_or(1)) {
            let window = window(&self.moments, count);
            for is_torn in [false, true] {
                let mut keeps = || !is_torn || random.below(2) == 0;
                let image = image_at(&self.start, &self.events, count, &mut keeps);
                let last = window.last().map_or("", |m| &m.name);
                let total = self.events.len();
                visit(
                    image,
                    window,
                    &format!("{count} of {total}, torn: {is_torn}, before {last}"),
                );
            }
        }
    }
}

fn has_log(args: &str) {
    let cuts = record(args, Session::play);
    let mut number = 0;
    cuts.each(|image, window, what| {
        let what = format!("{args}: {what}");
        // By our own recovery the tree is that of an instant.
        let ram = Ram::new(image.clone());
        let fs = mount(ram.clone(), false, "").unwrap_or_else(|e| panic!("{what}: {e}"));
        let found = tree(&*fs).unwrap();
        assert!(window.iter().any(|m| m.tree == found), "{what}: no such instant: {found:#?}");
        check_kept(&found, window, &what);
        drop(fs);
        let stored = store(&ram.bytes());
        assert_eq!(e2fsck(&stored.path), None, "{what}");
        // By e2fsck's as well.
        number += 1;
        if number % 8 == 0 {
            let stored = store(&image);
            replay(&stored.path);
            assert_eq!(preen(&stored.path), None, "{what}: replayed by e2fsck");
            let bytes = std::fs::read(&stored.path).unwrap();
            let again = tree(&*mount(Ram::new(bytes), true, "").unwrap()).unwrap();
            assert_eq!(again, found, "{what}: replayed by e2fsck");
        }
    });
}

#[test]
fn ext3_shows_one_instant_after_a_cut_at_any_write() {
    has_log("-t ext3 -b 1024 -J size=1");
}

#[test]
fn ext4_shows_one_instant_after_a_cut_at_any_write() {
    has_log("-t ext4 -b 1024 -J size=1");
}

fn has_no_log(args: &str) {
    let cuts = record(args, Session::play);
    let mut refusals = 0;
    cuts.each(|image, window, what| {
        let what = format!("{args}: {what}");
        let mut stored = store(&image);
        if let Some(message) = preen(&stored.path) {
            // An index that is made shows names twice.
            assert!(message.contains("Duplicate entry"), "{what}: {message}");
            refusals += 1;
            stored = store(&image);
            assert_eq!(repair(&stored.path), None, "{what}");
        }
        let bytes = std::fs::read(&stored.path).unwrap();
        let fs = mount(Ram::new(bytes), true, "").unwrap();
        check_kept(&tree(&*fs).unwrap(), window, &what);
    });
    // Of some 600 images.
    assert!(refusals < 12, "{refusals} images could not be mended by e2fsck -p");
}

/// A walk that leaves out what can't be looked at.
fn walk_the_good(fs: &dyn FileSystem, dir: Ino, path: &str, tree: &mut Tree) {
    for (name, _) in list(fs, dir, 100).unwrap_or_default() {
        let below = format!("{path}/{}", String::from_utf8_lossy(&name));
        let Ok(attr) = lookup(fs, dir, &name) else { continue };
        let what = match attr.kind {
            FileKind::Directory => Ok("a directory".to_owned()),
            FileKind::Symlink => {
                fs.readlink(attr.ino).map(|to| String::from_utf8_lossy(&to).into_owned())
            }
            _ => digest(fs, &attr).map(|digest| format!("{} {digest}", attr.size_bytes)),
        };
        if let Ok(what) = what {
            tree.insert(below.clone(), what);
        }
        if attr.kind == FileKind::Directory {
            walk_the_good(fs, attr.ino, &below, tree);
        }
    }
}

/// Fills a volume with new files, as far as it goes.
fn fill(fs: &dyn FileSystem) {
    for number in 0..300 {
        let name = format!("filler {number}").into_bytes();
        let name = Name::new(&name).unwrap();
        let made = fs.create(ROOT, fs.root(), name, 0o644, OpenFlags::WRITE);
        let Ok((_, Opened::Handle(handle))) = made else { break };
        let written = fs.write(handle, &vec![b'f'; 40_000], 0);
        fs.release(handle);
        if written.is_err() {
            break;
        }
    }
    let _ = fs.sync();
}

#[test]
fn an_unmended_ext2_volume_that_is_filled_keeps_what_was_durable() {
    let cuts = record("-t ext2 -b 1024", Session::play);
    cuts.each(|image, window, what| {
        let fs = mount(Ram::new(image), false, "").unwrap();
        fill(&*fs);
        let mut found = Tree::new();
        walk_the_good(&*fs, fs.root(), "", &mut found);
        check_kept(&found, window, what);
    });
}

#[test]
fn ext4_without_a_log_is_mended_after_a_cut_at_any_write() {
    // A group's part of the table that was never used may hold an inode: e2fsck asks.
    let cuts = record("-t ext4 -b 1024 -O ^has_journal", Session::play);
    cuts.each(|image, window, what| {
        let stored = store(&image);
        assert_eq!(repair(&stored.path), None, "{what}");
        let bytes = std::fs::read(&stored.path).unwrap();
        let fs = mount(Ram::new(bytes), true, "").unwrap();
        check_kept(&tree(&*fs).unwrap(), window, what);
    });
}

#[test]
fn ext2_is_mended_by_preening_after_a_cut_at_any_write() {
    has_no_log("-t ext2 -b 1024");
}
