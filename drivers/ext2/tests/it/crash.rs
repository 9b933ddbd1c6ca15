//! The power goes at any write: what was made durable is there, and the volume can be mended or
//! mends itself.

use crate::device::{Ram, mount};
use crate::hostile::Random;
use crate::tools::{e2fsck, kernel_replay, mke2fs, repair, store};
use crate::tree::{digest, lookup, manifest};
use abi::block::{BlockDevice, Geometry};
use abi::fs::{Caller, FileSystem, Handle, Ino, Name, OpenFlags, Opened, RenameFlags, SetAttr};
use abi::{Errno, Result};
use std::sync::{Arc, Mutex};

const ROOT: Caller = Caller { uid: 0, gid: 0, pid: 0 };

pub(crate) enum Event {
    Write(u64, Vec<u8>),
    Flush,
}

/// A disk that remembers every write and flush.
pub(crate) struct Recorder {
    below: Arc<Ram>,
    pub(crate) events: Mutex<Vec<Event>>,
}

impl Recorder {
    pub(crate) fn new(below: Arc<Ram>) -> Arc<Self> {
        Arc::new(Self { below, events: Mutex::default() })
    }
}

impl BlockDevice for Recorder {
    fn geometry(&self) -> Geometry {
        self.below.geometry()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.below.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        self.events.lock().unwrap().push(Event::Write(offset, buf.to_vec()));
        self.below.write_at(buf, offset)
    }

    fn flush(&self) -> Result<()> {
        self.events.lock().unwrap().push(Event::Flush);
        Ok(())
    }
}

/// What must be there if the cut comes after so many events.
struct Promise {
    events: usize,
    name: Vec<u8>,
    data: Vec<u8>,
}

struct Script<'a> {
    fs: &'a dyn FileSystem,
    device: &'a Recorder,
    random: Random,
    promises: Vec<Promise>,
    names: Vec<(Ino, Vec<u8>)>,
}

impl Script<'_> {
    fn create(&self, dir: Ino, name: &[u8]) -> Result<Handle> {
        let flags = OpenFlags::READ | OpenFlags::WRITE;
        match self.fs.create(ROOT, dir, Name::new(name)?, 0o644, flags)?.1 {
            Opened::Handle(handle) => Ok(handle),
            Opened::Host(_) => panic!("host"),
        }
    }

    /// A file that is written, made durable and not touched again.
    fn keep(&mut self, number: u64) {
        let name = format!("keep-{number}").into_bytes();
        let handle = self.create(self.fs.root(), &name).unwrap();
        let len = self.random.below(40_000) as usize;
        let data: Vec<u8> = (0..len).map(|i| (i as u64 * 31 + number) as u8).collect();
        self.fs.write(handle, &data, 0).unwrap();
        self.fs.fsync(handle, false).unwrap();
        self.fs.release(handle);
        let events = self.device.events.lock().unwrap().len();
        self.promises.push(Promise { events, name, data });
    }

    fn churn(&mut self, number: u64) {
        let root = self.fs.root();
        let name = format!("churn-{number}-{}", "y".repeat((number % 50) as usize)).into_bytes();
        let n = Name::new(&name).unwrap();
        match self.random.below(9) {
            0 => {
                let dir = self.fs.mkdir(ROOT, root, n, 0o755).unwrap();
                for i in 0..self.random.below(30) {
                    let handle = self.create(dir.ino, format!("in-{i}").as_bytes()).unwrap();
                    self.fs.release(handle);
                }
            }
            1..=4 => {
                let handle = self.create(root, &name).unwrap();
                let data = vec![number as u8; self.random.below(60_000) as usize];
                let _ = self.fs.write(handle, &data, self.random.below(2) * 100_000);
                self.fs.release(handle);
                self.names.push((root, name));
            }
            5 | 6 if !self.names.is_empty() => {
                let at = self.random.below(self.names.len() as u64) as usize;
                let (dir, name) = self.names.swap_remove(at);
                self.fs.unlink(ROOT, dir, Name::new(&name).unwrap()).unwrap();
            }
            7 if !self.names.is_empty() => {
                let at = self.random.below(self.names.len() as u64) as usize;
                let (dir, old) = self.names[at].clone();
                let old = Name::new(&old).unwrap();
                self.fs.rename(ROOT, dir, old, root, n, RenameFlags::empty()).unwrap();
                self.names[at] = (root, name);
            }
            8 if !self.names.is_empty() => {
                let at = self.random.below(self.names.len() as u64) as usize;
                let attr = lookup(self.fs, self.names[at].0, &self.names[at].1).unwrap();
                let size = self.random.below(50_000);
                let changes = SetAttr { size_bytes: Some(size), ..SetAttr::default() };
                self.fs.setattr(ROOT, attr.ino, &changes).unwrap();
            }
            _ => {
                self.fs.symlink(ROOT, root, n, &[b'l'; 100]).unwrap();
                self.names.push((root, name));
            }
        }
    }
}

/// The image after the first `count` events; of those after the last flush only what `keeps` says.
pub(crate) fn image_at(
    start: &[u8],
    events: &[Event],
    count: usize,
    keeps: &mut dyn FnMut() -> bool,
) -> Vec<u8> {
    let mut image = start.to_vec();
    let events = &events[..count];
    let last_flush = events.iter().rposition(|e| matches!(e, Event::Flush)).unwrap_or(0);
    for (at, event) in events.iter().enumerate() {
        if let Event::Write(offset, bytes) = event
            && (at < last_flush || keeps())
        {
            image[*offset as usize..][..bytes.len()].copy_from_slice(bytes);
        }
    }
    image
}

fn check_promises(fs: &dyn FileSystem, promises: &[Promise], count: usize, what: &str) {
    for promise in promises.iter().filter(|promise| promise.events <= count) {
        let name = String::from_utf8_lossy(&promise.name).into_owned();
        let attr = lookup(fs, fs.root(), &promise.name)
            .unwrap_or_else(|errno| panic!("{what}: {name}: {errno}"));
        assert_eq!(attr.size_bytes, promise.data.len() as u64, "{what}: {name}");
        let mut found = Vec::new();
        crate::tree::read_all(fs, &attr, |part| found.extend_from_slice(part)).unwrap();
        assert!(found == promise.data, "{what}: {name} holds something else");
        digest(fs, &attr).unwrap();
    }
}

fn points(total: usize) -> Vec<usize> {
    let wanted = std::env::var("EXT2_CRASH_POINTS").ok().and_then(|text| text.parse().ok());
    let wanted: usize = wanted.unwrap_or(16);
    let step = (total / wanted.max(1)).max(1);
    (0..=total).step_by(step).collect()
}

fn run(args: &str, has_journal: bool, seed: u64) {
    let below = mke2fs(8 * 1024, args);
    let start = below.bytes();
    let device = Recorder::new(below);
    let fs = mount(device.clone(), false, "").unwrap();
    let mut script = Script {
        fs: &*fs,
        device: &device,
        random: Random(seed),
        promises: Vec::new(),
        names: Vec::new(),
    };
    for number in 0..160 {
        script.churn(number);
        if number % 7 == 3 {
            script.keep(number);
        }
        if number == 80 {
            script.fs.sync().unwrap();
        }
    }
    let promises = std::mem::take(&mut script.promises);
    drop(fs);
    let events = std::mem::take(&mut *device.events.lock().unwrap());
    let mut random = Random(seed);
    for (index, count) in points(events.len()).into_iter().enumerate() {
        for is_torn in [false, true] {
            let mut keeps = || !is_torn || random.below(2) == 0;
            let image = image_at(&start, &events, count, &mut keeps);
            let what = format!("{args}: {count} of {} events, torn: {is_torn}", events.len());
            if has_journal {
                // The driver's own recovery needs no repair.
                let ram = Ram::new(image.clone());
                let again = mount(ram.clone(), false, "").unwrap_or_else(|e| panic!("{what}: {e}"));
                check_promises(&*again, &promises, count, &what);
                drop(again);
                let stored = store(&ram.bytes());
                assert_eq!(e2fsck(&stored.path), None, "{what}");
                // So does the kernel's.
                let stored = store(&image);
                if index % 6 == 5 && kernel_replay(&stored.path) {
                    assert_eq!(e2fsck(&stored.path), None, "{what}: by the kernel");
                    let bytes = std::fs::read(&stored.path).unwrap();
                    let again = mount(Ram::new(bytes), true, "").unwrap();
                    check_promises(&*again, &promises, count, &what);
                }
                // And shows the same without writing.
                let shown = mount(Ram::new(image.clone()), true, "").unwrap();
                check_promises(&*shown, &promises, count, &what);
            }
            let stored = store(&image);
            assert_eq!(repair(&stored.path), None, "{what}");
            let mended = mount(Ram::new(std::fs::read(&stored.path).unwrap()), true, "").unwrap();
            check_promises(&*mended, &promises, count, &what);
            manifest(&*mended).unwrap();
        }
    }
}

#[test]
fn ext2_is_mended_after_a_cut_and_keeps_what_was_synced() {
    run("-t ext2 -b 1024", false, 1);
}

#[test]
fn ext3_recovers_from_a_cut_by_itself() {
    run("-t ext3 -b 1024 -J size=1", true, 2);
}

#[test]
fn ext4_recovers_from_a_cut_by_itself() {
    run("-t ext4 -b 1024 -J size=1", true, 3);
}

#[test]
fn a_failing_device_turns_the_volume_read_only() {
    struct Failing {
        below: Arc<Ram>,
        left: Mutex<u64>,
    }
    impl BlockDevice for Failing {
        fn geometry(&self) -> Geometry {
            self.below.geometry()
        }
        fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
            self.below.read_at(buf, offset)
        }
        fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
            let mut left = self.left.lock().unwrap();
            *left = left.checked_sub(1).ok_or(Errno::EIO)?;
            self.below.write_at(buf, offset)
        }
        fn flush(&self) -> Result<()> {
            Ok(())
        }
    }
    for writes in [3, 5, 8, 12] {
        let below = mke2fs(8 * 1024, "-t ext4 -b 1024");
        let device = Arc::new(Failing { below: below.clone(), left: Mutex::new(u64::MAX) });
        let fs = mount(device.clone(), false, "").unwrap();
        *device.left.lock().unwrap() = writes;
        let mut failed = false;
        for number in 0..40 {
            let name = format!("f{number}").into_bytes();
            let n = Name::new(&name).unwrap();
            let made = fs.create(ROOT, fs.root(), n, 0o644, OpenFlags::WRITE);
            let result = made.and_then(|(_, opened)| {
                let Opened::Handle(handle) = opened else { panic!("host") };
                let result = fs.write(handle, b"data", 0).and_then(|_| fs.fsync(handle, false));
                fs.release(handle);
                result
            });
            match result {
                Ok(()) => assert!(!failed, "a success after the failure"),
                Err(errno) => {
                    assert_eq!(errno, if failed { Errno::EROFS } else { Errno::EIO });
                    failed = true;
                }
            }
        }
        assert!(failed && fs.is_read_only());
        drop(fs);
        // What was written before is whole.
        *device.left.lock().unwrap() = u64::MAX;
        drop(mount(device.clone(), false, "").unwrap());
        let stored = store(&below.bytes());
        assert_eq!(e2fsck(&stored.path), None);
    }
}
