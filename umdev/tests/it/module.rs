//! From a mount request to a device.

use crate::emit;
use crate::memory::by_value;
use abi::block::BlockDevice;
use abi::dev::{Device, DeviceKind};
use abi::fs::FileSystem;
use abi::host::{Epoch, Host};
use abi::module::{Claim, Module, MountError, MountRequest, Object};
use abi::options::Options;
use abi::{Errno, Result};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use umdev::Umdev;
use umdev::block::{Ramdisk, ReadOnly};

/// A view with one image, `disk.img`; remembers whether it was opened for reading alone.
struct OneImage(Arc<Ramdisk>, Mutex<Option<bool>>);

impl Host for OneImage {
    fn epoch(&self) -> Epoch {
        Epoch::default()
    }
    fn open_device(&self, path: &str, read_only: bool) -> Result<Arc<dyn BlockDevice>> {
        *self.1.lock().unwrap() = Some(read_only);
        match path {
            "disk.img" if read_only => Ok(Arc::new(ReadOnly::new(self.0.clone()))),
            "disk.img" => Ok(self.0.clone()),
            _ => Err(Errno::ENOENT),
        }
    }
    fn open_tree(&self, _path: &str) -> Result<Arc<dyn FileSystem>> {
        Err(Errno::ENOENT)
    }
    fn open_host_directory(&self, _path: &str) -> Result<OwnedFd> {
        Err(Errno::ENOENT)
    }
}

fn image() -> Arc<Ramdisk> {
    let ram = emit::disk(8192, 512);
    emit::mbr(&*ram, &[(2048, 2048, 0x83)], &[]);
    ram
}

fn mount_on(
    host: Arc<OneImage>,
    fs_type: &str,
    source: &str,
    options: &str,
) -> core::result::Result<Arc<dyn Device>, MountError> {
    let mut request = MountRequest {
        fs_type: fs_type.to_owned(),
        source: source.to_owned(),
        target: "/dev/hda".to_owned(),
        read_only: false,
        options: Options::parse(options),
    };
    match Umdev::new().mount(host, &mut request)? {
        Object::Device(device) => Ok(device),
        _ => panic!("not a device"),
    }
}

fn mount(fs_type: &str, options: &str) -> core::result::Result<Arc<dyn Device>, MountError> {
    mount_on(Arc::new(OneImage(image(), Mutex::default())), fs_type, "disk.img", options)
}

fn refusal(fs_type: &str, options: &str) -> (Errno, String) {
    let error = mount(fs_type, options).err().unwrap();
    (error.errno, error.message)
}

#[test]
fn a_disk_has_its_partitions_under_both_names() {
    for name in ["umdevmbr", "umdevpartx"] {
        let device = mount(name, "mode=600,uid=7,gid=8,major=8,minor=0").unwrap();
        assert_eq!(device.kind(), DeviceKind::Block);
        let numbers: Vec<_> = device.subdevices().iter().map(|s| s.number).collect();
        assert_eq!(numbers, [0, 1]);
    }
}

#[test]
fn ro_reaches_the_image() {
    for (options, flag) in [("ro", false), ("", true)] {
        let host = Arc::new(OneImage(image(), Mutex::default()));
        let mut request = MountRequest {
            fs_type: "umdevmbr".to_owned(),
            source: "disk.img".to_owned(),
            target: "/dev/hda".to_owned(),
            read_only: flag,
            options: Options::parse(options),
        };
        let object = Umdev::new().mount(host.clone(), &mut request).unwrap();
        let Object::Device(device) = object else { panic!("not a device") };
        assert_eq!(*host.1.lock().unwrap(), Some(true));
        assert_eq!(device.open(0, true), Err(Errno::EROFS));
        assert_eq!(device.block(1).unwrap().write_at(&[0], 0), Err(Errno::EROFS));
    }
}

#[test]
fn a_snapshot_leaves_the_image_alone() {
    let ram = image();
    let host = Arc::new(OneImage(ram.clone(), Mutex::default()));
    let device = mount_on(host.clone(), "umdevmbr", "disk.img", "snapshot,cache=64K").unwrap();
    assert_eq!(*host.1.lock().unwrap(), Some(true));
    device.block(1).unwrap().write_at(b"gone", 0).unwrap();
    device.flush().unwrap();
    let mut buf = [1u8; 4];
    device.block(0).unwrap().read_at(&mut buf, 2048 * 512).unwrap();
    assert_eq!(&buf, b"gone");
    ram.read_at(&mut buf, 2048 * 512).unwrap();
    assert_eq!(buf, [0; 4]);
}

#[test]
fn the_sector_of_an_image_can_be_said() {
    let ram = Arc::new(Ramdisk::new(1 << 20).unwrap());
    let shaped = emit::disk(256, 4096);
    emit::gpt(&*shaped, &[(2, 40, 49, "a")], &|_| {});
    let mut bytes = vec![0u8; 1 << 20];
    shaped.read_at(&mut bytes, 0).unwrap();
    ram.write_at(&bytes, 0).unwrap();
    let host = Arc::new(OneImage(ram, Mutex::default()));
    let device = mount_on(host.clone(), "umdevmbr", "disk.img", "sector=4096").unwrap();
    assert_eq!(device.subdevices()[1].start_bytes, 40 * 4096);
    assert_eq!(mount_on(host, "umdevmbr", "disk.img", "").unwrap().subdevices().len(), 1);
}

#[test]
fn a_ramdisk_is_as_large_as_asked() {
    let device = mount("umdevramdisk", "size=100M").unwrap();
    assert_eq!(device.subdevices()[0].size_bytes, 100 << 20);
    emit::mbr(&*device.block(0).unwrap(), &[(2048, 2048, 0x83)], &[]);
    by_value(&*device, 0, umdev::disk::request::BLKRRPART, 0).unwrap();
    assert_eq!(device.subdevices().len(), 2);
    assert_eq!(mount("umdevramdisk", "").unwrap().subdevices()[0].size_bytes, 16 << 20);
    assert_eq!(mount("umdevramdisk", "ro").unwrap().open(0, true), Err(Errno::EROFS));
    let expected = "option size=1000: not a positive multiple of 512 bytes".to_owned();
    assert_eq!(refusal("umdevramdisk", "size=1000"), (Errno::EINVAL, expected));
    assert_eq!(refusal("umdevramdisk", "size=0").0, Errno::EINVAL);
}

#[test]
fn null_swallows_and_ends() {
    let device = mount("umdevnull", "mode=666").unwrap();
    assert_eq!(device.kind(), DeviceKind::Char);
    assert_eq!(device.subdevices().len(), 1);
    assert_eq!(device.open(0, true), Ok(()));
    assert_eq!(device.write(0, b"gone", 0), Ok(4));
    assert_eq!(device.read(0, &mut [1; 10], 0), Ok(0));
    assert_eq!(device.block(0).err(), Some(Errno::ENOTBLK));
    assert_eq!(by_value(&*device, 0, 0x5401, 0), Err(Errno::ENOTTY));
    assert_eq!(device.open(1, false), Err(Errno::ENXIO));
    assert_eq!(device.flush(), Ok(()));
    device.release(0);
}

#[test]
fn refusals_say_what_and_why() {
    let (errno, message) = refusal("umdevfloppy", "");
    assert_eq!(errno, Errno::ENODEV);
    let expected = "no submodule umdevfloppy; umdev has umdevramdisk, umdevnbd, umdevnull, \
                    umdevqcow2, umdevmbr, umdevpartx";
    assert_eq!(message, expected);
    for name in ["umdevmbr", "umdevramdisk", "umdevnull"] {
        let (errno, message) = refusal(name, "mode=600,bogus=1");
        assert_eq!((errno, message.as_str()), (Errno::EINVAL, "unknown mount option: bogus=1"));
    }
    let (errno, message) = refusal("umdevmbr", "sector=500");
    assert_eq!(errno, Errno::EINVAL);
    assert_eq!(message, "option sector=500: not a power of two from 512 to 4096");
    let host = Arc::new(OneImage(image(), Mutex::default()));
    let error = mount_on(host, "umdevmbr", "lost.img", "").err().unwrap();
    assert_eq!(error.errno, Errno::ENOENT);
    assert_eq!(error.message, "lost.img: No such file or directory (ENOENT)");
}

#[test]
fn the_module_claims_its_prefix() {
    let module = Umdev::default();
    assert_eq!(
        (module.name(), module.claims()),
        ("umdev", vec![Claim::FsTypePrefix("umdev".to_owned())])
    );
    assert!(!module.description().is_empty());
    let more = Umdev::new().with_type(Arc::new(umdev::submodules::NullType));
    assert_eq!(more.type_names().count(), 7);
}
