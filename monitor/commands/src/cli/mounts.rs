//! `viewmount`, `viewumount`.

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
