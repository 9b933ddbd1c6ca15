//! Random operations against a tree in memory: every answer must be the same, and every state clean.
//!
//! `VIEWOS_FAT_OPS` sets the number of operations for each type of FAT; 2,000 without it.

use crate::random::Random;
use crate::tools::{assert_clean, extract, mkfs};
use crate::volume::{READ_WRITE, Tree, Volume};
use abi::Errno;
use abi::fs::{Handle, RenameFlags};
use std::collections::BTreeMap;

const NAMES: [&str; 16] = [
    "a",
    "A",
    "B.TXT",
    "readme.txt",
    "README.TXT",
    "ReadMe.Txt",
    "Long name number one.text",
    "LONG NAME NUMBER ONE.TEXT",
    "Long name number two.text",
    "another name that is rather long so that it takes some more slots than others.data",
    "\u{fc}n\u{ef}code.txt",
    "\u{dc}N\u{cf}CODE.txt",
    "x.y.z",
    ".dot",
    "with space",
    "LONGNA~1.TEX",
];

/// The model knows nothing of short names: of these two at most one is used in a run.
fn names(seed: u64) -> Vec<&'static str> {
    let clash = |name: &&str| {
        if seed.is_multiple_of(2) { *name != "LONGNA~1.TEX" } else { !is_long_one(name) }
    };
    NAMES.iter().copied().filter(|name| clash(name)).collect()
}

fn is_long_one(name: &str) -> bool {
    name.to_uppercase().starts_with("LONG NAME")
}

fn key(name: &str) -> String {
    name.to_uppercase()
}

#[derive(Clone, Debug)]
enum Node {
    File(usize),
    Dir(Dir),
}

type Dir = BTreeMap<String, (String, Node)>;

#[derive(Default)]
struct Model {
    root: Dir,
    files: Vec<Vec<u8>>,
}

type Answer = Result<(), Errno>;

impl Model {
    fn dir(&mut self, path: &[String]) -> &mut Dir {
        let mut at = &mut self.root;
        for part in path {
            match &mut at.get_mut(part).unwrap().1 {
                Node::Dir(dir) => at = dir,
                Node::File(_) => panic!("a file on the way"),
            }
        }
        at
    }

    fn dirs(&self) -> Vec<Vec<String>> {
        fn gather(dir: &Dir, path: &mut Vec<String>, all: &mut Vec<Vec<String>>) {
            all.push(path.clone());
            for (key, (_, node)) in dir {
                if let Node::Dir(inner) = node {
                    path.push(key.clone());
                    gather(inner, path, all);
                    path.pop();
                }
            }
        }
        let mut all = Vec::new();
        gather(&self.root, &mut Vec::new(), &mut all);
        all
    }

    fn tree(&self) -> Tree {
        fn gather(model: &Model, dir: &Dir, path: &str, tree: &mut Tree) {
            for (name, node) in dir.values() {
                let path = format!("{path}{name}");
                match node {
                    Node::File(id) => {
                        tree.insert(path, Some(model.files[*id].clone()));
                    }
                    Node::Dir(inner) => {
                        gather(model, inner, &format!("{path}/"), tree);
                        tree.insert(path, None);
                    }
                }
            }
        }
        let mut tree = Tree::new();
        gather(self, &self.root, "", &mut tree);
        tree
    }

    fn make(&mut self, dir: &[String], name: &str, is_dir: bool) -> Answer {
        let id = self.files.len();
        let entries = self.dir(dir);
        if entries.contains_key(&key(name)) {
            return Err(Errno::EEXIST);
        }
        let node = if is_dir { Node::Dir(Dir::new()) } else { Node::File(id) };
        entries.insert(key(name), (name.to_owned(), node));
        if !is_dir {
            self.files.push(Vec::new());
        }
        Ok(())
    }

    fn remove(&mut self, dir: &[String], name: &str, is_dir: bool) -> Answer {
        let entries = self.dir(dir);
        match entries.get(&key(name)).map(|(_, node)| node) {
            None => return Err(Errno::ENOENT),
            Some(Node::File(_)) if is_dir => return Err(Errno::ENOTDIR),
            Some(Node::Dir(_)) if !is_dir => return Err(Errno::EISDIR),
            Some(Node::Dir(inner)) if !inner.is_empty() => return Err(Errno::ENOTEMPTY),
            Some(_) => {}
        }
        entries.remove(&key(name));
        Ok(())
    }

    fn rename(
        &mut self,
        from: (&[String], &str),
        to: (&[String], &str),
        flags: RenameFlags,
    ) -> Answer {
        let exchange = flags.contains(RenameFlags::EXCHANGE);
        let (from_key, to_key) = (key(from.1), key(to.1));
        let source = self.dir(from.0).get(&from_key).cloned().ok_or(Errno::ENOENT)?;
        let target = self.dir(to.0).get(&to_key).cloned();
        if exchange && target.is_none() {
            return Err(Errno::ENOENT);
        }
        let is_in = |dir: &[String], top: &[String], name: &String| {
            dir.len() > top.len() && dir[..top.len()] == *top && dir[top.len()] == *name
        };
        if is_in(to.0, from.0, &from_key) || (exchange && is_in(from.0, to.0, &to_key)) {
            return Err(Errno::EINVAL);
        }
        if from.0 == to.0 && from_key == to_key {
            if source.0 == to.1 {
                let refused = flags.contains(RenameFlags::NOREPLACE);
                return if refused { Err(Errno::EEXIST) } else { Ok(()) };
            }
            self.dir(to.0).insert(to_key, (to.1.to_owned(), source.1));
            return Ok(());
        }
        let mut shown = to.1.to_owned();
        if let Some((name, node)) = target {
            if flags.contains(RenameFlags::NOREPLACE) {
                return Err(Errno::EEXIST);
            }
            if exchange {
                self.dir(from.0).insert(from_key, (source.0, node));
                self.dir(to.0).insert(to_key, (name, source.1));
                return Ok(());
            }
            match (&source.1, &node) {
                (Node::File(_), Node::Dir(_)) => return Err(Errno::EISDIR),
                (Node::Dir(_), Node::File(_)) => return Err(Errno::ENOTDIR),
                (_, Node::Dir(inner)) if !inner.is_empty() => return Err(Errno::ENOTEMPTY),
                _ => {}
            }
            // The name on disk stays that of the file that was replaced.
            shown = name;
        }
        self.dir(from.0).remove(&from_key);
        self.dir(to.0).insert(to_key, (shown, source.1));
        Ok(())
    }

    fn file(&mut self, dir: &[String], name: &str) -> Option<usize> {
        match self.dir(dir).get(&key(name)) {
            Some((_, Node::File(id))) => Some(*id),
            _ => None,
        }
    }
}

pub(crate) struct Run {
    random: Random,
    names: Vec<&'static str>,
    model: Model,
    pub(crate) volume: Volume,
    open: Vec<(Handle, usize)>,
}

fn path(dir: &[String], name: &str) -> String {
    let mut parts = dir.to_vec();
    parts.push(name.to_owned());
    parts.join("/")
}

impl Run {
    pub(crate) fn new(image: Vec<u8>, seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            names: names(seed),
            model: Model::default(),
            volume: Volume::new(image),
            open: Vec::new(),
        }
    }

    fn place(&mut self) -> (Vec<String>, &'static str) {
        let dirs = self.model.dirs();
        let dir = self.random.pick(&dirs).clone();
        let name: &&str = self.random.pick(&self.names);
        (dir, name)
    }

    /// Whether the answers agree; a full volume may refuse what the model can do.
    #[track_caller]
    fn settle(&mut self, real: Answer, model: impl FnOnce(&mut Model) -> Answer) {
        if real == Err(Errno::ENOSPC) {
            let figures = self.volume.fs.statfs().unwrap();
            assert!(figures.blocks_free < 200, "ENOSPC with {} clusters free", figures.blocks_free);
        } else {
            assert_eq!(real, model(&mut self.model));
        }
    }

    pub(crate) fn step(&mut self) {
        let (dir, name) = self.place();
        let target = path(&dir, name);
        match self.random.below(16) {
            0..=3 => {
                let made = self.volume.create(&target);
                let real = made.map(|handle| self.volume.fs.release(handle));
                self.settle(real, |m| m.make(&dir, name, false));
            }
            4 if dir.len() < 4 => {
                let real = self.volume.mkdir(&target).map(|_| ());
                self.settle(real, |m| m.make(&dir, name, true));
            }
            5 => {
                let real = self.volume.unlink(&target);
                self.settle(real, |m| m.remove(&dir, name, false));
            }
            6 => {
                let real = self.volume.rmdir(&target);
                self.settle(real, |m| m.remove(&dir, name, true));
            }
            7..=8 => self.rename(&dir, name),
            9 => self.truncate(&dir, name),
            10 => self.open_one(&dir, name),
            11 if !self.open.is_empty() => {
                let (handle, _) = self.open.swap_remove(self.random.below(self.open.len()));
                self.volume.fs.release(handle);
            }
            12..=13 => self.write(),
            _ => self.read(),
        }
    }

    fn rename(&mut self, dir: &[String], name: &str) {
        let (to_dir, to_name) = self.place();
        if dir.len().max(to_dir.len()) > 5 {
            return;
        }
        let flags = *self.random.pick(&[
            RenameFlags::empty(),
            RenameFlags::empty(),
            RenameFlags::NOREPLACE,
            RenameFlags::EXCHANGE,
        ]);
        let real = self.volume.rename(&path(dir, name), &path(&to_dir, to_name), flags);
        self.settle(real, |m| m.rename((dir, name), (&to_dir, to_name), flags));
    }

    fn truncate(&mut self, dir: &[String], name: &str) {
        let Some(id) = self.model.file(dir, name) else { return };
        let length = self.random.below(20_000);
        let real = self.volume.set_length(&path(dir, name), length as u64).map(|_| ());
        self.settle(real, |m| {
            m.files[id].resize(length, 0);
            Ok(())
        });
    }

    fn open_one(&mut self, dir: &[String], name: &str) {
        let Some(id) = self.model.file(dir, name) else { return };
        if self.open.len() < 6 {
            let handle = self.volume.open(&path(dir, name), READ_WRITE).unwrap();
            self.open.push((handle, id));
        }
    }

    fn write(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let (handle, id) = *self.random.pick(&self.open);
        let offset = self.random.below(15_000);
        let length = 1 + self.random.below(6000);
        let bytes = self.random.bytes(length);
        match self.volume.fs.write(handle, &bytes, offset as u64) {
            Ok(length) => {
                let file = &mut self.model.files[id];
                file.resize(file.len().max(offset + length), 0);
                file[offset..offset + length].copy_from_slice(&bytes[..length]);
            }
            Err(errno) => self.settle(Err(errno), |_| Ok(())),
        }
    }

    fn read(&mut self) {
        if let Some(&(handle, id)) = self.open.first() {
            assert!(self.volume.contents(handle).unwrap() == self.model.files[id]);
        }
    }

    fn check(&mut self, thoroughly: bool) {
        for (handle, _) in self.open.drain(..) {
            self.volume.fs.release(handle);
        }
        let image = self.volume.synced();
        assert_clean(&image);
        let expected = self.model.tree();
        assert!(self.volume.tree().unwrap() == expected);
        if !thoroughly {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        extract(&image, folder.path());
        for (path, contents) in &expected {
            let path = folder.path().join(path);
            match contents {
                None => assert!(path.is_dir(), "{path:?}"),
                Some(bytes) => assert!(std::fs::read(&path).unwrap() == *bytes, "{path:?}"),
            }
        }
        // Go on with a fresh mount.
        self.volume = Volume::new(image);
        assert!(self.volume.tree().unwrap() == expected);
    }
}

fn run(image: Vec<u8>, seed: u64) {
    let ops = std::env::var("VIEWOS_FAT_OPS").ok().and_then(|text| text.parse().ok());
    let mut run = Run::new(image, seed);
    for n in 1..=ops.unwrap_or(2000) {
        run.step();
        if n % 40 == 0 {
            run.check(n % 400 == 0);
        }
    }
    run.check(true);
}

#[test]
fn fat12_agrees_with_the_model() {
    run(mkfs(720, &["-F", "12", "-s", "1"]), 2);
}

#[test]
fn fat16_agrees_with_the_model() {
    run(mkfs(4096, &["-F", "16", "-s", "1", "-n", "LABEL"]), 3);
}

#[test]
fn fat16_with_large_clusters_agrees_with_the_model() {
    run(mkfs(17_000, &["-F", "16", "-s", "8"]), 4);
}

#[test]
fn fat32_agrees_with_the_model() {
    run(mkfs(34 * 1024, &["-F", "32", "-s", "1", "-n", "LABEL"]), 5);
}
