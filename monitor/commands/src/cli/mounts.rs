//! `viewmount`, `viewumount`, `umfuse-export`.

use clap::Parser;
use std::path::PathBuf;

/// Calls mount(2)
///
/// The distribution's mount(8) works in a view; this is a bare caller for systems without it. Words of -o that
/// mount(8) turns into flags (ro, nosuid, nodev, noexec, noatime, sync, remount, bind, ...) become flags, all others
/// are handed to the file system.
#[derive(Debug, Parser)]
#[command(
    name = "viewmount",
    version,
    after_help = "Examples:\n  \
                  viewmount -t umfuseext2 -o ro disk.img /mnt\n  \
                  viewmount -t umdevmbr disk.img /dev/hda\n  \
                  viewmount -t viewfs -o cow,except=/tmp /tmp/changes /"
)]
pub struct Viewmount {
    /// The file system type
    #[arg(short = 't', long = "types", value_name = "TYPE", default_value = "")]
    pub fs_type: String,
    /// Options, separated by commas; repeated ones add up
    #[arg(short, long, value_name = "OPTIONS")]
    pub options: Vec<String>,
    /// What is mounted: a device, an image, a directory, none
    #[arg(value_name = "SOURCE")]
    pub source: PathBuf,
    /// Where it shows
    #[arg(value_name = "TARGET")]
    pub target: PathBuf,
}

/// Calls umount2(2)
#[derive(Debug, Parser)]
#[command(
    name = "viewumount",
    version,
    after_help = "Examples:\n  \
                  viewumount /mnt\n  \
                  viewumount -l /mnt     detach now, end when the last file is closed"
)]
pub struct Viewumount {
    /// Detach now and clean up when it is no longer busy
    #[arg(short, long)]
    pub lazy: bool,
    /// Where it is mounted
    #[arg(required = true, value_name = "TARGET")]
    pub targets: Vec<PathBuf>,
}

/// Mounts an image for the whole host, by /dev/fuse
///
/// The driver is served until umount(8); every process of the host sees what is mounted. Root may do it, or anybody
/// where fusermount3 is installed. In a view no such thing is needed: there, mount(8) does it.
#[derive(Debug, Parser)]
#[command(
    name = "umfuse-export",
    version,
    after_help = "Examples:\n  \
                  umfuse-export -o ro umfuseext2 disk.img /mnt\n  \
                  umfuse-export -o rw+,allow_other umfusefat stick.img /mnt & ls /mnt; umount /mnt"
)]
pub struct UmfuseExport {
    /// Options, separated by commas; repeated ones add up
    #[arg(short, long, value_name = "OPTIONS")]
    pub options: Vec<String>,
    /// The file system type
    #[arg(value_name = "TYPE")]
    pub fs_type: String,
    /// The image, or none
    #[arg(value_name = "IMAGE")]
    pub image: PathBuf,
    /// Where it shows
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}
