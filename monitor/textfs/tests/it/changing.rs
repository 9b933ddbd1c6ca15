//! A list of files that changes while the directory is read.

use abi::fs::{Caller, Cookie, FileSystem, Handle, Ino, Name, OpenFlags, Opened};
use abi::{Errno, Result};
use std::collections::BTreeMap;
use std::sync::Mutex;
use textfs::{TextFs, Texts};

/// Files by number: those with an odd number are only written, and writing `gone` removes a file.
#[derive(Default)]
struct Files(Mutex<BTreeMap<u64, Vec<u8>>>);

impl Texts for Files {
    fn magic(&self) -> u64 {
        7
    }

    fn list(&self, from: u64) -> Vec<(u64, Vec<u8>)> {
        let all = self.0.lock().unwrap();
        all.range(from..).map(|(n, _)| (*n, n.to_string().into_bytes())).collect()
    }

    fn find(&self, name: &[u8]) -> Option<u64> {
        let number = std::str::from_utf8(name).ok()?.parse().ok()?;
        self.0.lock().unwrap().contains_key(&number).then_some(number)
    }

    fn perm(&self, number: u64) -> Option<u16> {
        let perm = if number % 2 == 1 { 0o200 } else { 0o644 };
        self.0.lock().unwrap().contains_key(&number).then_some(perm)
    }

    fn read(&self, number: u64) -> Result<Vec<u8>> {
        let text = self.0.lock().unwrap().get(&number).cloned().ok_or(Errno::ESTALE)?;
        if number % 2 == 1 { Err(Errno::EINVAL) } else { Ok(text) }
    }

    fn write(&self, number: u64, text: &[u8]) -> Result<()> {
        let mut all = self.0.lock().unwrap();
        let file = all.get_mut(&number).ok_or(Errno::ESTALE)?;
        if text == b"gone" {
            all.remove(&number);
        } else {
            *file = text.to_vec();
        }
        Ok(())
    }
}

fn tree(numbers: &[u64]) -> TextFs<Files> {
    let files = Files::default();
    files.0.lock().unwrap().extend(numbers.iter().map(|&n| (n, b"text".to_vec())));
    TextFs::new(files, 0, 0)
}

fn open(fs: &TextFs<Files>, ino: Ino) -> Handle {
    match fs.open(Caller::default(), ino, OpenFlags::READ | OpenFlags::WRITE) {
        Ok(Opened::Handle(handle)) => handle,
        other => panic!("{other:?}"),
    }
}

fn ino(fs: &TextFs<Files>, name: &str) -> Ino {
    fs.lookup(fs.root(), Name::new(name.as_bytes()).unwrap()).unwrap().ino
}

#[test]
fn what_stays_is_listed_once_while_others_go() {
    let fs = tree(&[0, 2, 3, 40]);
    let Ok(Opened::Handle(root)) = fs.open(Caller::default(), fs.root(), OpenFlags::READ) else {
        panic!("a directory is opened");
    };
    let mut next = Cookie(0);
    fs.readdir(root, next, &mut |entry| {
        next = entry.next;
        entry.name != b"2"
    })
    .unwrap();
    let two = open(&fs, ino(&fs, "2"));
    assert_eq!(fs.write(two, b"gone", 9), Ok(4));
    let mut names = Vec::new();
    fs.readdir(root, next, &mut |entry| {
        names.push(String::from_utf8(entry.name.to_vec()).unwrap());
        true
    })
    .unwrap();
    assert_eq!(names, ["3", "40"]);
    // Error: the file is gone for those who have it open, too.
    let mut buf = [0; 8];
    assert_eq!(fs.read(two, &mut buf, 0), Err(Errno::ESTALE));
    assert_eq!(fs.write(two, b"text", 0), Err(Errno::ESTALE));
    assert_eq!(fs.getattr(Ino(two.0)), Err(Errno::ESTALE));
}

#[test]
fn what_is_only_written_has_no_length() {
    let fs = tree(&[0, 1]);
    let [read, written] = ["0", "1"].map(|name| ino(&fs, name));
    assert_eq!(fs.getattr(read).map(|a| (a.perm, a.size_bytes)), Ok((0o644, 4)));
    assert_eq!(fs.getattr(written).map(|a| (a.perm, a.size_bytes)), Ok((0o200, 0)));
    assert_eq!(fs.read(open(&fs, written), &mut [0; 4], 0), Err(Errno::EINVAL));
    assert_eq!(fs.write(open(&fs, written), b"more", 0), Ok(4));
    assert_eq!(fs.statfs().unwrap().magic, 7);
    // Error: the directory is no file.
    assert_eq!(fs.read(Handle(fs.root().0), &mut [0; 4], 0), Err(Errno::EISDIR));
    assert_eq!(fs.write(Handle(fs.root().0), b"x", 0), Err(Errno::EBADF));
}
