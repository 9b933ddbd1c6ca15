//! A fixed list of files.

use abi::Errno;
use abi::fs::{Caller, Cookie, FileSystem, Handle, Name, OpenFlags, Opened, SetAttr};
use std::sync::{Arc, Mutex};
use textfs::{Setting, Settings, TextFs};

fn tree() -> (TextFs<Settings>, Arc<Mutex<Vec<u8>>>) {
    let value = Arc::new(Mutex::new(b"one".to_vec()));
    let (get, set) = (Arc::clone(&value), Arc::clone(&value));
    let file = Setting::new(
        "value",
        move || get.lock().unwrap().clone(),
        move |text| {
            if text == b"bad" {
                return Err(Errno::EINVAL);
            }
            *set.lock().unwrap() = text.to_vec();
            Ok(())
        },
    );
    (TextFs::new(Settings::new(vec![file]), 7, 8), value)
}

fn open(fs: &TextFs<Settings>, name: &[u8], flags: OpenFlags) -> Handle {
    let ino = fs.lookup(fs.root(), Name::new(name).unwrap()).unwrap().ino;
    match fs.open(Caller::default(), ino, flags).unwrap() {
        Opened::Handle(handle) => handle,
        Opened::Host(_) => panic!("it is served"),
    }
}

#[test]
fn what_is_written_is_what_is_shown() {
    let (fs, value) = tree();
    let handle = open(&fs, b"value", OpenFlags::READ | OpenFlags::WRITE);
    assert_eq!(fs.write(handle, b"two\n", 0), Ok(4));
    assert_eq!(*value.lock().unwrap(), b"two");
    // Each write is a whole setting, wherever the descriptor stands.
    assert_eq!(fs.write(handle, b"three", 4), Ok(5));
    let mut buf = [0; 16];
    assert_eq!(fs.read(handle, &mut buf, 0), Ok(6));
    assert_eq!(&buf[..6], b"three\n");
    assert_eq!(fs.read(handle, &mut buf, 4), Ok(2));
    assert_eq!(fs.read(handle, &mut buf, u64::MAX), Ok(0));
    // Error: what the setting refuses; what is too long for one.
    assert_eq!(fs.write(handle, b"bad\n", 0), Err(Errno::EINVAL));
    assert_eq!(fs.write(handle, &[b'x'; 5000], 0), Err(Errno::EINVAL));
    assert_eq!(*value.lock().unwrap(), b"three");
}

#[test]
fn the_directory_is_what_it_is() {
    let (fs, _) = tree();
    let root = fs.root();
    let attr = fs.lookup(root, Name::new(b"value").unwrap()).unwrap();
    assert_eq!((attr.uid, attr.gid, attr.perm, attr.size_bytes), (7, 8, 0o644, 4));
    let other = Name::new(b"other").unwrap();
    // Error: no such name, and none can be made.
    assert_eq!(fs.lookup(root, other), Err(Errno::ENOENT));
    let create = |name| {
        fs.create(Caller::default(), root, name, 0o600, OpenFlags::WRITE).map(|(attr, _)| attr)
    };
    assert_eq!(create(other), Err(Errno::EACCES));
    assert_eq!(create(Name::new(b"value").unwrap()), Err(Errno::EEXIST));
    assert_eq!(fs.unlink(Caller::default(), root, other), Err(Errno::EROFS));
    // Error: a directory is not written, a file has no names.
    let write = OpenFlags::WRITE;
    assert_eq!(fs.open(Caller::default(), root, write).map(drop), Err(Errno::EISDIR));
    assert_eq!(fs.lookup(attr.ino, other), Err(Errno::ENOTDIR));
    // Truncation is nothing, a new owner is refused.
    let cut = SetAttr { size_bytes: Some(0), ..SetAttr::default() };
    assert!(fs.setattr(Caller::default(), attr.ino, &cut).is_ok());
    let give = SetAttr { uid: Some(1), ..SetAttr::default() };
    assert_eq!(fs.setattr(Caller::default(), attr.ino, &give).map(drop), Err(Errno::EPERM));
    let mut names = Vec::new();
    let handle = match fs.open(Caller::default(), root, OpenFlags::READ).unwrap() {
        Opened::Handle(handle) => handle,
        Opened::Host(_) => panic!("it is served"),
    };
    fs.readdir(handle, Cookie(0), &mut |entry| {
        names.push((entry.name.to_vec(), entry.next));
        true
    })
    .unwrap();
    assert_eq!(names, [(b"value".to_vec(), Cookie(1))]);
    assert!(fs.has_live_files());
}
