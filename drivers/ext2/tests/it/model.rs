//! Random operations on a mounted image and on a tree in memory: both must agree at every step,
//! e2fsck must find nothing wrong in between, and the kernel must read what was written.

use crate::device::{Ram, mount};
use crate::hostile::Random;
use crate::tools::{e2fsck, kernel_manifest, mke2fs, store};
use crate::tree::{list, manifest, open};
use abi::dev::DevNum;
use abi::fs::{
    Attr, Caller, FallocateMode, FileKind, FileSystem, Handle, Ino, Name, OpenFlags, Opened,
    RenameFlags, SetAttr, XattrFlags,
};
use abi::{Errno, Result};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

const ROOT: Caller = Caller { uid: 0, gid: 0, pid: 0 };

#[derive(Clone)]
enum Body {
    File(Vec<u8>),
    Dir(BTreeMap<Vec<u8>, usize>),
    Link(Vec<u8>),
    Special(FileKind, DevNum),
}

#[derive(Clone)]
struct Node {
    ino: Ino,
    body: Body,
    perm: u16,
    links: u32,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Node {
    fn kind(&self) -> FileKind {
        match &self.body {
            Body::File(_) => FileKind::Regular,
            Body::Dir(_) => FileKind::Directory,
            Body::Link(_) => FileKind::Symlink,
            Body::Special(kind, _) => *kind,
        }
    }
}

struct World {
    fs: Arc<dyn FileSystem>,
    random: Random,
    nodes: HashMap<usize, Node>,
    /// Directories by id, with their parents.
    dirs: Vec<(usize, usize)>,
    next: usize,
    /// Files that are open, some without a name.
    held: Vec<(usize, Handle)>,
    has_extents: bool,
    has_xattrs: bool,
}

impl World {
    fn new(fs: Arc<dyn FileSystem>, seed: u64, has_extents: bool) -> Self {
        let root = Node {
            ino: fs.root(),
            body: Body::Dir(BTreeMap::new()),
            perm: 0o755,
            links: 3,
            xattrs: BTreeMap::new(),
        };
        Self {
            fs,
            random: Random(seed),
            nodes: HashMap::from([(0, root)]),
            dirs: vec![(0, 0)],
            next: 1,
            held: Vec::new(),
            has_extents,
            has_xattrs: true,
        }
    }

    fn pick_dir(&mut self) -> usize {
        // Half of everything happens in the first directory, so that it grows an index.
        if self.random.below(2) == 0 {
            return self.dirs[self.dirs.len().min(2) - 1].0;
        }
        let at = self.random.below(self.dirs.len() as u64) as usize;
        self.dirs[at].0
    }

    fn new_name(&mut self) -> Vec<u8> {
        let number = self.random.below(400);
        let len = 4 + (number * 7) % 90;
        let mut name = format!("n{number:04}").into_bytes();
        name.resize(name.len() + len as usize, b'x');
        name
    }

    fn children(&self, dir: usize) -> &BTreeMap<Vec<u8>, usize> {
        match &self.nodes[&dir].body {
            Body::Dir(children) => children,
            _ => panic!("not a directory"),
        }
    }

    fn children_mut(&mut self, dir: usize) -> &mut BTreeMap<Vec<u8>, usize> {
        match &mut self.nodes.get_mut(&dir).unwrap().body {
            Body::Dir(children) => children,
            _ => panic!("not a directory"),
        }
    }

    fn pick_entry(&mut self) -> Option<(usize, Vec<u8>, usize)> {
        let dir = self.pick_dir();
        let count = self.children(dir).len() as u64;
        let at = self.random.below(count) as usize;
        let (name, id) = self.children(dir).iter().nth(at)?;
        Some((dir, name.clone(), *id))
    }

    fn pick_file(&mut self) -> Option<usize> {
        for _ in 0..8 {
            if let Some((_, _, id)) = self.pick_entry()
                && self.nodes[&id].kind() == FileKind::Regular
            {
                return Some(id);
            }
        }
        None
    }

    fn ino(&self, id: usize) -> Ino {
        self.nodes[&id].ino
    }

    fn add(&mut self, dir: usize, name: Vec<u8>, attr: &Attr, body: Body) {
        let id = self.next;
        self.next += 1;
        let is_dir = matches!(body, Body::Dir(_));
        let links = if is_dir { 2 } else { 1 };
        let node = Node { ino: attr.ino, body, perm: attr.perm, links, xattrs: BTreeMap::new() };
        assert_eq!(attr.kind, node.kind());
        assert_eq!(attr.nlink, links);
        self.nodes.insert(id, node);
        self.children_mut(dir).insert(name, id);
        if is_dir {
            self.dirs.push((id, dir));
            self.nodes.get_mut(&dir).unwrap().links += 1;
        }
    }

    fn make(&mut self) {
        let dir = self.pick_dir();
        let name = self.new_name();
        let parent = self.ino(dir);
        let n = Name::new(&name).unwrap();
        let exists = self.children(dir).contains_key(&name);
        let what = self.random.below(12);
        let result: Result<(Attr, Body)> = match what {
            0..=6 => self
                .fs
                .create(ROOT, parent, n, 0o644, OpenFlags::READ | OpenFlags::WRITE)
                .map(|(attr, opened)| {
                    let Opened::Handle(handle) = opened else { panic!("host") };
                    self.fs.release(handle);
                    (attr, Body::File(Vec::new()))
                }),
            7 => {
                self.fs.mkdir(ROOT, parent, n, 0o755).map(|attr| (attr, Body::Dir(BTreeMap::new())))
            }
            8..=9 => {
                let len = 1 + self.random.below(if what == 8 { 80 } else { 900 }) as usize;
                let target = vec![b't'; len];
                self.fs.symlink(ROOT, parent, n, &target).map(|attr| (attr, Body::Link(target)))
            }
            10 => {
                let rdev = DevNum { major: 300, minor: self.random.below(70000) as u32 };
                self.fs
                    .mknod(ROOT, parent, n, FileKind::CharDevice, 0o600, rdev)
                    .map(|attr| (attr, Body::Special(FileKind::CharDevice, rdev)))
            }
            _ => self
                .fs
                .mknod(ROOT, parent, n, FileKind::Fifo, 0o600, DevNum::default())
                .map(|attr| (attr, Body::Special(FileKind::Fifo, DevNum::default()))),
        };
        match result {
            Ok((attr, body)) => {
                assert!(!exists);
                self.add(dir, name, &attr, body);
            }
            Err(errno) => assert_eq!((errno, exists), (Errno::EEXIST, true)),
        }
    }

    fn drop_link(&mut self, id: usize) {
        let node = self.nodes.get_mut(&id).unwrap();
        node.links -= 1;
        let is_gone = node.links == 0;
        if is_gone && !self.held.iter().any(|&(held, _)| held == id) {
            self.nodes.remove(&id);
        }
    }

    fn remove(&mut self) {
        let Some((dir, name, id)) = self.pick_entry() else { return };
        let n = Name::new(&name).unwrap();
        let parent = self.ino(dir);
        let is_dir = self.nodes[&id].kind() == FileKind::Directory;
        if self.random.below(8) == 0 {
            // The other call, which must refuse.
            let (result, wanted) = if is_dir {
                (self.fs.unlink(ROOT, parent, n), Errno::EISDIR)
            } else {
                (self.fs.rmdir(ROOT, parent, n), Errno::ENOTDIR)
            };
            assert_eq!(result, Err(wanted));
            return;
        }
        if !is_dir {
            self.fs.unlink(ROOT, parent, n).unwrap();
            self.children_mut(dir).remove(&name);
            self.drop_link(id);
            return;
        }
        let is_empty = self.children(id).is_empty();
        match self.fs.rmdir(ROOT, parent, n) {
            Ok(()) => {
                assert!(is_empty);
                self.children_mut(dir).remove(&name);
                self.nodes.remove(&id);
                self.dirs.retain(|&(at, _)| at != id);
                self.nodes.get_mut(&dir).unwrap().links -= 1;
            }
            Err(errno) => assert_eq!((errno, is_empty), (Errno::ENOTEMPTY, false)),
        }
    }

    fn link(&mut self) {
        let Some((_, _, id)) = self.pick_entry() else { return };
        let dir = self.pick_dir();
        let name = self.new_name();
        let is_dir = self.nodes[&id].kind() == FileKind::Directory;
        let exists = self.children(dir).contains_key(&name);
        let n = Name::new(&name).unwrap();
        match self.fs.link(ROOT, self.ino(id), self.ino(dir), n) {
            Ok(attr) => {
                assert!(!is_dir && !exists);
                self.nodes.get_mut(&id).unwrap().links += 1;
                assert_eq!(attr.nlink, self.nodes[&id].links);
                self.children_mut(dir).insert(name, id);
            }
            Err(Errno::EPERM) => assert!(is_dir),
            Err(errno) => assert_eq!((errno, exists), (Errno::EEXIST, true)),
        }
    }

    fn is_within(&self, below: usize, above: usize) -> bool {
        let mut at = below;
        loop {
            if at == above {
                return true;
            }
            if at == 0 {
                return false;
            }
            at = self.dirs.iter().find(|&&(id, _)| id == at).unwrap().1;
        }
    }

    /// What renameat2(2) must answer, by its manual page.
    fn rename_answer(
        &self,
        (dir, id): (usize, usize),
        (new_dir, target): (usize, Option<usize>),
        flags: RenameFlags,
    ) -> Option<Errno> {
        let is_dir = |id: usize| self.nodes[&id].kind() == FileKind::Directory;
        let exchanges = flags.contains(RenameFlags::EXCHANGE);
        if exchanges && target.is_none() {
            return Some(Errno::ENOENT);
        }
        if is_dir(id) && self.is_within(new_dir, id) {
            return Some(Errno::EINVAL);
        }
        let target = target?;
        if exchanges {
            return (is_dir(target) && self.is_within(dir, target)).then_some(Errno::EINVAL);
        }
        if flags.contains(RenameFlags::NOREPLACE) {
            return Some(Errno::EEXIST);
        }
        match (is_dir(id), is_dir(target)) {
            _ if id == target => None,
            (false, true) => Some(Errno::EISDIR),
            (true, false) => Some(Errno::ENOTDIR),
            (true, true) if !self.children(target).is_empty() => Some(Errno::ENOTEMPTY),
            _ => None,
        }
    }

    fn rename(&mut self) {
        let Some((dir, name, id)) = self.pick_entry() else { return };
        let new_dir = self.pick_dir();
        let mut new_name = self.new_name();
        if self.random.below(2) == 0
            && let Some(existing) = self.children(new_dir).keys().next()
        {
            new_name = existing.clone();
        }
        let flags = match self.random.below(6) {
            0 => RenameFlags::NOREPLACE,
            1 => RenameFlags::EXCHANGE,
            2 => RenameFlags::WHITEOUT,
            _ => RenameFlags::empty(),
        };
        let target = self.children(new_dir).get(&new_name).copied();
        let wanted = self.rename_answer((dir, id), (new_dir, target), flags);
        let result = self.fs.rename(
            ROOT,
            self.ino(dir),
            Name::new(&name).unwrap(),
            self.ino(new_dir),
            Name::new(&new_name).unwrap(),
            flags,
        );
        assert_eq!(result.err(), wanted, "{flags:?}");
        if wanted.is_some() || target == Some(id) {
            return;
        }
        if flags == RenameFlags::EXCHANGE {
            let target = target.unwrap();
            self.children_mut(dir).insert(name, target);
            self.children_mut(new_dir).insert(new_name, id);
            self.adopt(id, dir, new_dir);
            self.adopt(target, new_dir, dir);
            return;
        }
        self.children_mut(dir).remove(&name);
        self.children_mut(new_dir).insert(new_name, id);
        self.adopt(id, dir, new_dir);
        if let Some(target) = target {
            if self.nodes[&target].kind() == FileKind::Directory {
                self.nodes.remove(&target);
                self.dirs.retain(|&(at, _)| at != target);
                self.nodes.get_mut(&new_dir).unwrap().links -= 1;
            } else {
                self.drop_link(target);
            }
        }
        if flags == RenameFlags::WHITEOUT {
            let attr = self.fs.lookup(self.ino(dir), Name::new(&name).unwrap()).unwrap();
            let body = Body::Special(FileKind::CharDevice, DevNum::default());
            self.add(dir, name, &attr, body);
        }
    }

    fn adopt(&mut self, id: usize, from: usize, to: usize) {
        if self.nodes[&id].kind() == FileKind::Directory {
            self.dirs.iter_mut().find(|(at, _)| *at == id).unwrap().1 = to;
            self.nodes.get_mut(&from).unwrap().links -= 1;
            self.nodes.get_mut(&to).unwrap().links += 1;
        }
    }

    fn write(&mut self) {
        let Some(id) = self.pick_file() else { return };
        let flags = OpenFlags::READ | OpenFlags::WRITE;
        let handle = open(&*self.fs, self.ino(id), flags).unwrap();
        let Body::File(data) = &self.nodes[&id].body else { panic!("a file") };
        let mut data = data.clone();
        for _ in 0..=self.random.below(3) {
            let offset = match self.random.below(4) {
                0 => data.len() as u64,
                1 => self.random.below(300_000),
                _ => self.random.below(data.len() as u64 + 1),
            };
            let len = match self.random.below(3) {
                0 => self.random.below(60),
                1 => self.random.below(5000),
                _ => self.random.below(30_000),
            } as usize;
            let fill = self.random.next() as u8;
            let bytes: Vec<u8> = (0..len).map(|i| fill ^ (i as u8)).collect();
            let written = self.fs.write(handle, &bytes, offset);
            assert_eq!(written, Ok(len), "{:?}", self.fs.statfs());
            if len == 0 {
                continue;
            }
            let end = offset as usize + len;
            if data.len() < end {
                data.resize(end, 0);
            }
            data[offset as usize..end].copy_from_slice(&bytes);
        }
        if self.random.below(6) == 0 {
            self.fs.fsync(handle, false).unwrap();
        }
        self.fs.release(handle);
        self.nodes.get_mut(&id).unwrap().body = Body::File(data);
        self.check_file(id);
    }

    fn resize(&mut self) {
        let Some(id) = self.pick_file() else { return };
        let size = self.random.below(200_000);
        let changes = SetAttr { size_bytes: Some(size), ..SetAttr::default() };
        let attr = self.fs.setattr(ROOT, self.ino(id), &changes).unwrap();
        assert_eq!(attr.size_bytes, size);
        let Body::File(data) = &mut self.nodes.get_mut(&id).unwrap().body else { panic!("a file") };
        data.resize(size as usize, 0);
        self.check_file(id);
    }

    fn fallocate(&mut self) {
        let Some(id) = self.pick_file() else { return };
        let handle = open(&*self.fs, self.ino(id), OpenFlags::WRITE).unwrap();
        let offset = self.random.below(150_000);
        let len = 1 + self.random.below(100_000);
        let mode = match self.random.below(5) {
            0 => FallocateMode::empty(),
            1 => FallocateMode::KEEP_SIZE,
            2 => FallocateMode::ZERO_RANGE,
            3 => FallocateMode::ZERO_RANGE | FallocateMode::KEEP_SIZE,
            _ => FallocateMode::PUNCH_HOLE | FallocateMode::KEEP_SIZE,
        };
        let punches = mode.contains(FallocateMode::PUNCH_HOLE);
        let result = self.fs.fallocate(handle, mode, offset, len);
        self.fs.release(handle);
        if !self.has_extents && !punches {
            assert_eq!(result, Err(Errno::EOPNOTSUPP));
            return;
        }
        assert_eq!(result, Ok(()));
        let Body::File(data) = &mut self.nodes.get_mut(&id).unwrap().body else { panic!("a file") };
        let end = (offset + len) as usize;
        if !mode.contains(FallocateMode::KEEP_SIZE) && data.len() < end {
            data.resize(end, 0);
        }
        if punches || mode.contains(FallocateMode::ZERO_RANGE) {
            let end = end.min(data.len());
            if let Some(part) = data.get_mut(offset as usize..end) {
                part.fill(0);
            }
        }
        self.check_file(id);
    }

    fn check_file(&self, id: usize) {
        let Body::File(wanted) = &self.nodes[&id].body else { panic!("a file") };
        let handle = open(&*self.fs, self.ino(id), OpenFlags::READ).unwrap();
        self.check_handle(handle, wanted);
        self.fs.release(handle);
    }

    fn check_handle(&self, handle: Handle, wanted: &[u8]) {
        let mut found = vec![1; wanted.len() + 10];
        let len = self.fs.read(handle, &mut found, 0).unwrap();
        assert_eq!(len, wanted.len());
        let differs = found.iter().zip(wanted).position(|(a, b)| a != b);
        assert_eq!(differs, None);
    }

    fn hold(&mut self) {
        if self.held.len() > 6 {
            let at = self.random.below(self.held.len() as u64) as usize;
            let (id, handle) = self.held.swap_remove(at);
            let node = self.nodes[&id].clone();
            let Body::File(data) = &node.body else { panic!("a file") };
            self.check_handle(handle, data);
            self.fs.release(handle);
            if node.links == 0 && !self.held.iter().any(|&(held, _)| held == id) {
                assert_eq!(self.fs.getattr(node.ino), Err(Errno::ESTALE));
                self.nodes.remove(&id);
            }
        } else if let Some(id) = self.pick_file() {
            let handle = open(&*self.fs, self.ino(id), OpenFlags::READ).unwrap();
            self.held.push((id, handle));
        }
    }

    fn unnamed(&mut self) {
        let dir = self.pick_dir();
        let name = self.new_name();
        let flags = OpenFlags::READ | OpenFlags::WRITE;
        let (attr, opened) = self.fs.tmpfile(ROOT, self.ino(dir), 0o600, flags).unwrap();
        let Opened::Handle(handle) = opened else { panic!("host") };
        assert_eq!(attr.nlink, 0);
        assert_eq!(self.fs.write(handle, b"unnamed", 0), Ok(7));
        let exists = self.children(dir).contains_key(&name);
        if self.random.below(2) == 0 && !exists {
            let n = Name::new(&name).unwrap();
            let attr = self.fs.link(ROOT, attr.ino, self.ino(dir), n).unwrap();
            self.add(dir, name, &attr, Body::File(b"unnamed".to_vec()));
        }
        self.fs.release(handle);
    }

    fn attributes(&mut self) {
        let Some((_, _, id)) = self.pick_entry() else { return };
        let ino = self.ino(id);
        if self.random.below(4) == 0 && self.nodes[&id].kind() != FileKind::Symlink {
            let perm = self.random.below(0o1000) as u16;
            let changes = SetAttr { perm: Some(perm), ..SetAttr::default() };
            assert_eq!(self.fs.setattr(ROOT, ino, &changes).unwrap().perm, perm);
            self.nodes.get_mut(&id).unwrap().perm = perm;
            return;
        }
        let name = format!("user.a{}", self.random.below(6)).into_bytes();
        if !self.has_xattrs {
            let result = self.fs.setxattr(ino, &name, b"x", XattrFlags::empty());
            assert_eq!(result, Err(Errno::EOPNOTSUPP));
            return;
        }
        let has = self.nodes[&id].xattrs.contains_key(&name);
        if self.random.below(3) == 0 {
            let result = self.fs.removexattr(ino, &name);
            assert_eq!(result, if has { Ok(()) } else { Err(Errno::ENODATA) });
            self.nodes.get_mut(&id).unwrap().xattrs.remove(&name);
        } else {
            let len = self.random.below(120) as usize;
            let value = vec![self.random.next() as u8; len];
            match self.fs.setxattr(ino, &name, &value, XattrFlags::empty()) {
                Ok(()) => {
                    self.nodes.get_mut(&id).unwrap().xattrs.insert(name, value);
                }
                // Six values may be more than a small block holds.
                Err(errno) => assert_eq!(errno, Errno::ENOSPC),
            }
        }
        let node = &self.nodes[&id];
        for (name, value) in &node.xattrs {
            assert_eq!(self.fs.getxattr(ino, name).as_ref(), Ok(value));
        }
        assert_eq!(self.fs.listxattr(ino).unwrap().len(), node.xattrs.len());
    }

    fn step(&mut self) {
        // What happens when space runs out is another test's business.
        let space = self.fs.statfs().unwrap();
        if space.blocks_free * u64::from(space.block_size) < 8 << 20 {
            return self.remove();
        }
        match self.random.below(40) {
            0..=13 => self.make(),
            14..=18 => self.remove(),
            19..=20 => self.link(),
            21..=24 => self.rename(),
            25..=30 => self.write(),
            31..=32 => self.resize(),
            33..=34 => self.fallocate(),
            35 => self.unnamed(),
            36 => self.hold(),
            _ => self.attributes(),
        }
    }

    /// Compares a tree with the model.
    fn check(&self, fs: &dyn FileSystem) {
        for &(id, _) in &self.dirs {
            let node = &self.nodes[&id];
            assert_eq!(fs.getattr(node.ino).unwrap().nlink, node.links, "links of a directory");
            let mut found = list(fs, node.ino, 7).unwrap();
            found.sort();
            found.retain(|(name, _)| name != b"lost+found");
            let wanted: Vec<(Vec<u8>, Ino)> =
                self.children(id).iter().map(|(name, &id)| (name.clone(), self.ino(id))).collect();
            assert_eq!(found, wanted);
            for (name, ino) in wanted {
                let attr = fs.lookup(node.ino, Name::new(&name).unwrap()).unwrap();
                assert_eq!(attr.ino, ino);
            }
        }
        for node in self.nodes.values().filter(|node| node.links > 0) {
            let attr = fs.getattr(node.ino).unwrap();
            assert_eq!((attr.kind, attr.perm & 0o777), (node.kind(), node.perm & 0o777));
            match &node.body {
                Body::Link(target) => assert_eq!(fs.readlink(node.ino).as_ref(), Ok(target)),
                Body::Special(_, rdev) => assert_eq!(attr.rdev, *rdev),
                Body::File(data) => {
                    let handle = open(fs, node.ino, OpenFlags::READ).unwrap();
                    self.fs_check(fs, handle, data);
                    fs.release(handle);
                }
                Body::Dir(_) => {}
            }
            for (name, value) in &node.xattrs {
                assert_eq!(fs.getxattr(node.ino, name).as_ref(), Ok(value));
            }
        }
    }

    fn fs_check(&self, fs: &dyn FileSystem, handle: Handle, wanted: &[u8]) {
        let mut found = vec![1; wanted.len() + 1];
        assert_eq!(fs.read(handle, &mut found, 0), Ok(wanted.len()));
        let differs = found.iter().zip(wanted).position(|(a, b)| a != b);
        assert_eq!(differs, None, "of {} bytes", wanted.len());
    }
}

fn steps() -> u64 {
    let text = std::env::var("EXT2_MODEL_STEPS").ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(2000)
}

fn run(args: &str, has_extents: bool, seed: u64) {
    run_on(48 * 1024, args, has_extents, seed);
}

fn run_on(kib: u64, args: &str, has_extents: bool, seed: u64) {
    // Large blocks fill an image with small files.
    let steps = if args.contains("65536") { steps().min(1000) } else { steps() };
    let more = std::env::var("EXT2_MODEL_SEED").ok().and_then(|text| text.parse::<u64>().ok());
    let seed = seed + more.unwrap_or(0) * 1000;
    let device: Arc<Ram> = mke2fs(kib, args);
    let fs = mount(device.clone(), false, "").unwrap();
    let mut world = World::new(fs, seed, has_extents);
    world.has_xattrs = !args.contains("-r 0");
    for step in 0..steps {
        world.step();
        if step % 400 == 399 {
            world.fs.sync().unwrap();
            let stored = store(&device.bytes());
            if world.held.is_empty() || world.nodes.values().all(|node| node.links > 0) {
                assert_eq!(e2fsck(&stored.path), None, "{args}: after step {step}");
            }
            world.check(&*world.fs);
        }
    }
    for (_, handle) in std::mem::take(&mut world.held) {
        world.fs.release(handle);
    }
    world.nodes.retain(|_, node| node.links > 0);
    world.check(&*world.fs);
    let shown = manifest(&*world.fs).unwrap();
    // The mount goes away: nothing may be left to recover.
    let unmounted = std::mem::replace(&mut world.fs, mount(mke2fs(1024, ""), true, "").unwrap());
    drop(unmounted);
    let stored = store(&device.bytes());
    assert_eq!(e2fsck(&stored.path), None, "{args}: at the end");
    let again = mount(Ram::new(device.bytes()), true, "").unwrap();
    world.check(&*again);
    if let Some(seen) = kernel_manifest(&stored.path) {
        assert!(seen == shown, "{args}: the kernel sees something else");
    }
}

#[test]
fn ext2_of_1_kib_blocks_agrees_with_the_model() {
    run("-t ext2 -b 1024", false, 11);
}

#[test]
fn ext3_with_an_index_agrees_with_the_model() {
    run("-t ext3 -b 1024 -O dir_index -J size=2", false, 22);
}

#[test]
fn ext4_as_mke2fs_makes_it_agrees_with_the_model() {
    run("-t ext4 -b 4096", true, 33);
}

#[test]
fn ext4_of_1_kib_blocks_agrees_with_the_model() {
    run("-t ext4 -b 1024 -O metadata_csum_seed,meta_bg,^resize_inode", true, 44);
}

#[test]
fn revision_0_agrees_with_the_model() {
    run("-t ext2 -b 1024 -r 0 -O none", false, 55);
}

#[test]
fn blocks_of_64_kib_agree_with_the_model() {
    run_on(128 * 1024, "-t ext4 -b 65536 -N 4000 -O metadata_csum,^has_journal", true, 66);
}

#[test]
fn group_checksums_without_others_agree_with_the_model() {
    run("-t ext4 -b 2048 -I 128 -O uninit_bg,^metadata_csum,^64bit", true, 77);
}
