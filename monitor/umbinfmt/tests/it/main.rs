//! The module and its directory, without processes.
#![allow(clippy::unwrap_used, reason = "a test ends where something it needs is not there")]

use abi::block::BlockDevice;
use abi::fs::{Caller, Cookie, FileSystem, Handle, Name, OpenFlags, Opened};
use abi::host::{Epoch, Host};
use abi::module::{BinaryFormats, Module, MountRequest, Object};
use abi::options::Options;
use abi::{Errno, Result};
use std::sync::Arc;
use umbinfmt::Umbinfmt;

/// A host on which nothing is but the folder `/bin`.
struct Nothing;

impl Host for Nothing {
    fn epoch(&self) -> Epoch {
        Epoch(0)
    }

    fn open_device(&self, path: &str, _: bool) -> Result<Arc<dyn BlockDevice>> {
        Err(if path == "/bin" { Errno::ENOTBLK } else { Errno::ENOENT })
    }

    fn open_tree(&self, _: &str) -> Result<Arc<dyn FileSystem>> {
        Err(Errno::ENOENT)
    }

    fn open_host_directory(&self, _: &str) -> Result<std::os::fd::OwnedFd> {
        Err(Errno::ENOENT)
    }
}

fn mount(source: &str, options: &str) -> (Arc<dyn BinaryFormats>, Arc<dyn FileSystem>) {
    let mut request = MountRequest {
        fs_type: "umbinfmt".into(),
        source: source.into(),
        target: "/m".into(),
        read_only: false,
        options: Options::parse(options),
    };
    match Umbinfmt.mount(Arc::new(Nothing), &mut request) {
        Ok(Object::Formats(formats, tree)) => (formats, tree),
        Ok(_) => panic!("it knows formats"),
        Err(refusal) => panic!("{refusal}"),
    }
}

fn open(fs: &dyn FileSystem, name: &[u8]) -> Result<Handle> {
    let ino = fs.lookup(fs.root(), Name::new(name)?)?.ino;
    match fs.open(Caller::default(), ino, OpenFlags::READ | OpenFlags::WRITE)? {
        Opened::Handle(handle) => Ok(handle),
        Opened::Host(_) => panic!("it is served"),
    }
}

fn write(fs: &dyn FileSystem, name: &[u8], text: &[u8]) -> Result<usize> {
    fs.write(open(fs, name)?, text, 0)
}

fn read(fs: &dyn FileSystem, name: &[u8]) -> Result<String> {
    let mut buf = [0; 4096];
    let n = fs.read(open(fs, name)?, &mut buf, 0)?;
    Ok(String::from_utf8_lossy(&buf[..n]).into_owned())
}

fn names(fs: &dyn FileSystem) -> Vec<String> {
    let Ok(Opened::Handle(handle)) = fs.open(Caller::default(), fs.root(), OpenFlags::READ) else {
        panic!("a directory")
    };
    let (mut all, mut cookie) = (Vec::new(), Cookie(0));
    // One entry at a time, so that each cookie is used.
    loop {
        let mut next = None;
        fs.readdir(handle, cookie, &mut |entry| {
            if next.is_some() {
                return false;
            }
            all.push(String::from_utf8_lossy(entry.name).into_owned());
            next = Some(entry.next);
            true
        })
        .expect("it is a directory");
        match next {
            Some(next) => cookie = next,
            None => return all,
        }
    }
}

#[test]
fn an_entry_is_a_file_until_it_is_removed() {
    let (formats, fs) = mount("none", "");
    let head = {
        let mut head = [0; 256];
        head[..4].copy_from_slice(b"ABCD");
        head
    };
    assert!(formats.interpreter(b"x", &head).is_none());
    assert_eq!(write(&*fs, b"register", b":abc:M::ABC::/bin/i:P\n"), Ok(22));
    assert_eq!(write(&*fs, b"register", b":txt:E::txt::/bin/cat:\n"), Ok(23));
    assert_eq!(names(&*fs), ["register", "status", "abc", "txt"]);
    assert_eq!(
        read(&*fs, b"abc").unwrap(),
        "enabled\ninterpreter /bin/i\nflags: P\noffset 0\nmagic 414243\n"
    );
    assert_eq!(formats.interpreter(b"x", &head).unwrap().path, b"/bin/i");
    assert_eq!(formats.interpreter(b"a.txt", &[0; 256]).unwrap().path, b"/bin/cat");
    let kept = open(&*fs, b"abc").unwrap();
    assert_eq!(write(&*fs, b"abc", b"-1"), Ok(2));
    assert_eq!(names(&*fs), ["register", "status", "txt"]);
    assert!(formats.interpreter(b"x", &head).is_none());
    // A descriptor of an entry that is gone reads nothing more.
    assert_eq!(fs.read(kept, &mut [0; 8], 0), Err(Errno::ESTALE));
    assert_eq!(write(&*fs, b"status", b"0\n"), Ok(2));
    assert_eq!(read(&*fs, b"status").unwrap(), "disabled\n");
    assert!(formats.interpreter(b"a.txt", &[0; 256]).is_none());
}

#[test]
fn refusals_are_those_of_the_kernel() {
    let (_, fs) = mount("none", "");
    // Error: what is no line, what is there, whose interpreter is not.
    assert_eq!(write(&*fs, b"register", b"nonsense"), Err(Errno::EINVAL));
    assert_eq!(write(&*fs, b"register", b":a:M::ABC::/bin/i:"), Ok(18));
    assert_eq!(write(&*fs, b"register", b":a:M::ABC::/bin/i:"), Err(Errno::EEXIST));
    assert_eq!(write(&*fs, b"register", b":b:M::ABC::/none:F"), Err(Errno::ENOENT));
    assert_eq!(write(&*fs, b"register", b":b:M::ABC::/bin:F"), Err(Errno::EACCES));
    assert_eq!(write(&*fs, b"status", b"2"), Err(Errno::EINVAL));
    assert_eq!(write(&*fs, b"a", b"off"), Err(Errno::EINVAL));
    assert_eq!(read(&*fs, b"register"), Err(Errno::EINVAL));
    assert_eq!(open(&*fs, b"b"), Err(Errno::ENOENT));
}

#[test]
fn a_source_is_a_prefix_and_unknown_options_are_named() {
    let (formats, _) = mount("/opt/arm/", "");
    assert!(formats.covers(b"/opt/arm/ls") && !formats.covers(b"/opt/army"));
    let refusal = |source: &str, options: &str| {
        let mut request = MountRequest {
            fs_type: "umbinfmt".into(),
            source: source.into(),
            target: "/m".into(),
            read_only: false,
            options: Options::parse(options),
        };
        match Umbinfmt.mount(Arc::new(Nothing), &mut request) {
            Ok(_) => panic!("refused"),
            Err(refusal) => (refusal.errno, refusal.message),
        }
    };
    let (errno, message) = refusal("none", "loud");
    assert_eq!((errno, message.as_str()), (Errno::EINVAL, "unknown mount option: loud"));
    assert_eq!(refusal("elsewhere", "").0, Errno::EINVAL);
}
