//! `um_add_service`, `um_ls_service`, `um_del_service`, `um_fsalias`.

use clap::Parser;

/// Loads modules into the view
///
/// From this moment on the mounts and calls that a module answers for are virtual in this view and in the views
/// inside it; nothing else changes, and nothing changes outside.
#[derive(Debug, Parser)]
#[command(
    name = "um_add_service",
    version,
    after_help = "Examples:\n  \
                  um_add_service umfuse          file systems: mount -t umfuseext2 IMAGE /mnt\n  \
                  um_add_service umdev umproc    disks, and /proc as the view has it\n  \
                  um_add_service -p viewfs       file system patchwork, for as long as the view lives\n\n\
                  um_ls_service -a lists the modules that there are."
)]
pub struct UmAddService {
    /// It can't be unloaded again
    #[arg(short, long)]
    pub permanent: bool,
    /// The modules; options follow the name after commas
    #[arg(required = true, value_name = "NAME[,OPTIONS]")]
    pub names: Vec<String>,
}

/// Lists the modules that the view has loaded
#[derive(Debug, Parser)]
#[command(
    name = "um_ls_service",
    version,
    after_help = "Examples:\n  \
                  um_ls_service            what is loaded, a line a module\n  \
                  um_ls_service -a         what could be loaded, too; + marks what is\n  \
                  um_ls_service --json     for programs"
)]
pub struct UmLsService {
    /// The modules that could be loaded, too
    #[arg(short, long)]
    pub all: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Unloads modules from the view
///
/// A module that a mount or an open file uses stays, and the command fails.
#[derive(Debug, Parser)]
#[command(
    name = "um_del_service",
    version,
    after_help = "Examples:\n  \
                  um_del_service umfuse\n  \
                  umount /mnt && um_del_service umfuse umdev"
)]
pub struct UmDelService {
    /// The modules
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
}

/// Makes a name mean a file system type of a module
///
/// With the alias, the line of a manual or a script that mounts by the kernel's name mounts by the module.
#[derive(Debug, Parser)]
#[command(
    name = "um_fsalias",
    version,
    after_help = "Examples:\n  \
                  um_fsalias ext2 umfuseext2     mount -t ext2 is the module's from here on\n  \
                  um_fsalias ext2                forget it: ext2 is the kernel's again\n  \
                  um_fsalias                     list the aliases"
)]
pub struct UmFsalias {
    /// The name
    #[arg(value_name = "ALIAS")]
    pub alias: Option<String>,
    /// What it means; without it the alias is forgotten
    #[arg(value_name = "FSTYPE")]
    pub fs_type: Option<String>,
}
