//! Drivers exported to the kernel.

use crate::{command, ext, judge, program};
use e2e::{User, Work, native};
use std::path::Path;

#[test]
fn ext4_exported_to_the_kernel() {
    if !nix::unistd::geteuid().is_root() || !Path::new("/dev/fuse").exists() {
        eprintln!("SKIPPED: drivers exported to the kernel (root and /dev/fuse are needed)");
        return;
    }
    let work = Work::new(User::Root);
    let (image, mnt) = (ext(&work, "image", "ext4", User::Root, ""), work.folder("mnt"));
    // The export serves until the mount is gone; the mount is there when the root is another device's.
    let line = format!(
        "E=0; {} -o rw+,allow_other,default_permissions umfuseext2 {image} {mnt} & \
         until mountpoint -q {mnt}; do kill -0 $! || exit 99; done; \
         {} {mnt} || E=1; umount {mnt}; wait; e2fsck -fn {image} >fsck.log 2>&1 || cat fsck.log; exit $E",
        command("umfuse-export"),
        program(&work)
    );
    let output = native(User::Root).folder(work.path()).run(&line);
    judge("exported ext4", "root", &output);
}
