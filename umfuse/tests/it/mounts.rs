//! Mounting: types, access, options, messages.

use crate::doubles::{FakeHost, FakeType, create, request};
use abi::Errno;
use abi::fs::FileSystemType;
use abi::module::{Claim, Module, Object};
use std::sync::Arc;
use umfuse::memfs::MemFsType;
use umfuse::{MountFlags, Mounted, Umfuse};

fn module(fake: FakeType) -> Umfuse {
    let types: [Arc<dyn FileSystemType>; 2] = [Arc::new(fake), Arc::new(MemFsType)];
    Umfuse::new(types.to_vec())
}

fn mount(fake: FakeType, source: &str, options: &str) -> Result<Mounted, (Errno, String)> {
    module(fake)
        .mount_reporting(&FakeHost, &request("umfusefake", source, options))
        .map_err(|refusal| (refusal.errno, refusal.message))
}

fn refused(fake: FakeType, source: &str, options: &str) -> (Errno, String) {
    mount(fake, source, options).err().unwrap()
}

/// Whether it can be written, and whether something was said.
fn access(fake: FakeType, source: &str, options: &str) -> (bool, bool) {
    let mounted = mount(fake, source, options).unwrap();
    let fs = mounted.filesystem;
    let writes = create(&*fs, fs.root(), "f").is_ok();
    assert_eq!(fs.is_read_only(), !writes);
    (writes, mounted.message.is_some())
}

#[test]
fn types_are_found_by_name_and_alias() {
    let umfuse = module(FakeType::default());
    assert_eq!(umfuse.name(), "umfuse");
    assert_eq!(umfuse.claims(), [Claim::FsTypePrefix("umfuse".into())]);
    for fs_type in ["umfusefake", "umfusesham"] {
        assert!(umfuse.mount_reporting(&FakeHost, &request(fs_type, "/image", "")).is_ok());
    }
    let refusal =
        umfuse.mount_reporting(&FakeHost, &request("umfuseno", "/image", "")).err().unwrap();
    assert_eq!(refusal.errno, Errno::ENODEV);
    assert!(refusal.message.contains("umfusefake, umfusemem"), "{}", refusal.message);
    let tree = umfuse.mount(Arc::new(FakeHost), &mut request("umfusemem", "none", "size=1M"));
    assert!(matches!(tree, Ok(Object::Tree(_))));
}

#[test]
fn trusted_drivers_write_and_experimental_ones_when_really_asked() {
    let trusted = FakeType::default();
    let experimental = FakeType { experimental: true, ..trusted.clone() };
    assert_eq!(access(trusted.clone(), "/image", ""), (true, false));
    assert_eq!(access(trusted.clone(), "/image", "rw"), (true, false));
    assert_eq!(access(trusted.clone(), "/image", "rw+"), (true, false));
    assert_eq!(access(trusted.clone(), "/image", "ro"), (false, false));
    assert_eq!(access(experimental.clone(), "/image", ""), (false, true));
    assert_eq!(access(experimental.clone(), "/image", "rw"), (false, true));
    assert_eq!(access(experimental, "/image", "rw+"), (true, false));
    // MS_RDONLY is `ro`.
    let mut plain = request("umfusefake", "/image", "");
    plain.read_only = true;
    let mounted = module(trusted.clone()).mount_reporting(&FakeHost, &plain).unwrap();
    assert!(mounted.filesystem.is_read_only() && mounted.message.is_none());
    // Error: both.
    assert_eq!(refused(trusted, "/image", "ro,rw+").0, Errno::EINVAL);
}

#[test]
fn what_can_only_be_read_is_read_unless_writing_is_insisted_on() {
    let reader = FakeType { reads_only: true, ..FakeType::default() };
    assert_eq!(access(reader.clone(), "/image", ""), (false, true));
    assert_eq!(access(FakeType::default(), "/protected", ""), (false, true));
    // Error: the driver can't.
    assert_eq!(refused(reader, "/image", "rw+").0, Errno::EROFS);
    // Error: the image can't.
    assert_eq!(refused(FakeType::default(), "/protected", "rw+").0, Errno::EACCES);
    // Error: no image.
    let (errno, message) = refused(FakeType::default(), "/none", "");
    assert_eq!(errno, Errno::ENOENT);
    assert!(message.starts_with("/none"), "{message}");
}

#[test]
fn options_are_the_drivers_first_then_general_then_unknown() {
    let options = "uid=5,noexec,except=/a";
    let mounted = mount(FakeType::default(), "/image", options).unwrap();
    let fs = &mounted.filesystem;
    assert_eq!(fs.getattr(fs.root()).unwrap().uid, 5);
    assert!(mounted.flags.no_exec);
    assert_eq!(mounted.flags.except, ["/a"]);
    // A driver that has owners of its own is left alone.
    let own = FakeType { takes_uid: true, ..FakeType::default() };
    let fs = mount(own, "/image", options).unwrap().filesystem;
    assert_eq!(fs.getattr(fs.root()).unwrap().uid, 0);
    // Error: the first word that nobody knows.
    let (errno, message) = refused(FakeType::default(), "/image", "noexec,what=1,ever");
    assert_eq!(errno, Errno::EINVAL);
    assert!(message.contains("what=1"), "{message}");
    // Error: bad values, of the general options and of the owner's.
    for bad in ["user_id=x", "umask=9", "uid=-1", "uid=4294967296"] {
        let (errno, message) = refused(FakeType::default(), "/image", bad);
        assert!(errno == Errno::EINVAL && message.contains(bad), "{message}");
    }
}

#[test]
fn panic_while_mounting_is_an_io_error() {
    let fragile = FakeType { panics: true, ..FakeType::default() };
    assert_eq!(refused(fragile, "/image", "").0, Errno::EIO);
}

#[test]
fn remount_changes_the_same_tree() {
    let umfuse = module(FakeType::default());
    let ask = |options: &str| {
        umfuse.mount_reporting(&FakeHost, &request("umfusefake", "/image", options))
    };
    // Error: nothing there yet.
    assert_eq!(ask("remount,ro").err().unwrap().errno, Errno::EINVAL);
    let fs = ask("").unwrap().filesystem;
    assert!(create(&*fs, fs.root(), "a").is_ok());
    let again = ask("remount,ro,noexec").unwrap();
    assert!(Arc::ptr_eq(&again.filesystem, &fs) && again.flags.no_exec);
    assert_eq!(create(&*fs, fs.root(), "b").unwrap_err(), Errno::EROFS);
    ask("remount,rw").unwrap();
    assert!(create(&*fs, fs.root(), "b").is_ok());
    umfuse.unmounted("/mnt");
    assert_eq!(ask("remount,ro").err().unwrap().errno, Errno::EINVAL);
}

#[test]
fn flags_can_be_read_without_mounting() {
    let flags = MountFlags::peek(&request("umfusefake", "", "nosuid,permanent").options).unwrap();
    assert!(flags.no_suid && flags.permanent);
}
