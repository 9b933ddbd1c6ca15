//! Block devices of the view in /sys, where lsblk(8), libblkid and fdisk(8) look for them.
//!
//! `/sys/block`, `/sys/class/block` and `/sys/dev/block` get a link for each disk (and partition) that umdev has
//! mounted below /dev; the links lead to a directory of virtual devices, which is a hidden mount beside the device.
//! Nothing of it is there, and no name in /sys is looked at, before a device is mounted.

mod tree;

use crate::hostview;
use crate::monitor::Monitor;
use crate::mounts::{Content, Flags, Mount, Power, Snapshot};
use crate::path;
use crate::view::View;
use abi::dev::{DevNum, Device, DeviceKind};
use abi::host::Epoch;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};
use tree::SysTree;

/// The type and the source of the hidden mounts.
const TYPE: &str = "sysfs";

/// Whether a mount is a directory of /sys.
pub(crate) fn is_of_sysfs(mount: &Mount) -> bool {
    mount.is_hidden && mount.source == TYPE
}

/// Where the kernel has devices that are no hardware; a kernel without any of a class lacks the folder of the class.
fn virtual_devices() -> &'static str {
    static FOLDER: OnceLock<&str> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let has_class = hostview::lstat(b"/sys/devices/virtual/block").is_ok();
        if has_class { "devices/virtual/block" } else { "devices/virtual" }
    })
}

/// The name in /sys of a special file; `None` outside /dev.
fn name_of(path: &[u8]) -> Option<String> {
    let rest = path.strip_prefix(b"/dev/")?;
    Some(std::str::from_utf8(rest).ok()?.replace('/', "!"))
}

fn block_device(mount: &Mount) -> Option<(&Arc<dyn Device>, DevNum)> {
    match &mount.content {
        Content::Device { device, numbers, .. }
            if device.kind() == DeviceKind::Block && !mount.is_hidden =>
        {
            Some((device, *numbers))
        }
        _ => None,
    }
}

/// The links that the view adds to a directory of /sys: name and text.
pub(crate) fn links(
    mounts: &Snapshot,
    view: &View,
    epoch: Epoch,
    dir: &[u8],
) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let (is_dev, is_whole_only, up) = match dir {
        b"/sys/block" => (false, true, ".."),
        b"/sys/class/block" => (false, false, "../.."),
        b"/sys/dev/block" => (true, false, "../.."),
        _ => return BTreeMap::new(),
    };
    let shown = |m: &&Arc<Mount>| view.sees(m.view, m.born, epoch) && !m.is_detached();
    let mut all: Vec<&Arc<Mount>> = mounts.all().iter().filter(shown).collect();
    // Of two with one name the youngest counts.
    all.sort_by_key(|m| m.born);
    let mut links = BTreeMap::new();
    for mount in all {
        let Some((device, numbers)) = block_device(mount) else { continue };
        let Some(disk) = name_of(&mount.target) else { continue };
        for sub in device.subdevices() {
            let Some(own) = name_of(&mount.subdevice_path(sub.number)) else { continue };
            if is_whole_only && sub.number != 0 {
                continue;
            }
            let name = if is_dev {
                format!("{}:{}", numbers.major, numbers.minor.wrapping_add(sub.number))
            } else {
                own.clone()
            };
            let below = if sub.number == 0 { String::new() } else { format!("/{own}") };
            let text = format!("{up}/{}/{disk}{below}", virtual_devices());
            links.insert(name.into_bytes(), text.into_bytes());
        }
    }
    links
}

impl Monitor {
    /// Puts a device into /sys, if it is a disk that was mounted below /dev.
    pub(crate) fn show_in_sysfs(&self, mount: &Mount) {
        let Some((device, numbers)) = block_device(mount) else { return };
        let Some(name) = name_of(&mount.target) else { return };
        let id = self.new_id();
        let target = format!("/sys/{}/{name}", virtual_devices()).into_bytes();
        let tree = SysTree::new(Arc::clone(device), numbers, path::text(&mount.target), name);
        self.mounts.insert(Arc::new(Mount {
            id,
            view: mount.view,
            born: mount.born,
            target,
            source: TYPE.into(),
            full_source: TYPE.into(),
            fs_type: TYPE.into(),
            options: "rw".into(),
            content: Content::Tree(Arc::new(tree)),
            power: Power::None,
            flags: Flags::default(),
            dev: DevNum { major: 0, minor: 6 },
            service: None,
            detached: AtomicBool::new(false),
            renewed: AtomicU64::new(0),
            is_ghost: false,
            is_hidden: true,
            answers: Default::default(),
        }));
    }

    /// Takes a device that is unmounted out of /sys.
    pub(crate) fn hide_from_sysfs(&self, mount: &Mount) {
        let all = self.mounts.snapshot();
        let twins = all.all().iter().filter(|m| is_of_sysfs(m) && m.born == mount.born);
        twins.for_each(|twin| self.mounts.remove(twin.id));
    }
}
