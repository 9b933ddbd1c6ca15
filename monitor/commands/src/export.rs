//! `umfuse-export [-o OPTIONS] TYPE IMAGE DIR`: mounts a driver for the whole host, by `/dev/fuse`, until umount(8).

use crate::cli::UmfuseExport;
use crate::composition::Composition;
use abi::block::BlockDevice;
use abi::fs::FileSystem;
use abi::host::{Epoch, Host};
use abi::module::MountRequest;
use abi::options::Options;
use abi::{Errno, Result};
use anyhow::Context;
use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;
use umfuse::Umfuse;
use umfuse::export::{ExportOptions, serve};

/// Serves until the directory is unmounted.
///
/// # Errors
/// What keeps it from being mounted.
pub(crate) fn export(arguments: &UmfuseExport, parts: &Composition) -> anyhow::Result<()> {
    let text = |path: &Path| {
        path.to_str().map(str::to_owned).with_context(|| format!("{}: no text", path.display()))
    };
    let (image, directory) = (text(&arguments.image)?, text(&arguments.directory)?);
    let request = MountRequest {
        fs_type: arguments.fs_type.clone(),
        source: image.clone(),
        target: directory.clone(),
        read_only: false,
        options: Options::parse(&arguments.options.join(",")),
    };
    let mounted = Umfuse::new(parts.file_systems().to_vec()).mount_reporting(&Plain, &request)?;
    if let Some(message) = &mounted.message {
        crate::finish::say("umfuse-export", message);
    }
    let export = ExportOptions {
        source: image,
        fs_type: arguments.fs_type.clone(),
        allow_other: mounted.flags.allow_other,
    };
    serve(mounted.filesystem, &arguments.directory, &export).map_err(|errno| {
        anyhow::anyhow!("{directory}: {errno}: root or fusermount3, and /dev/fuse, are needed")
    })
}

/// The host without a view.
struct Plain;

impl Host for Plain {
    fn epoch(&self) -> Epoch {
        Epoch(0)
    }

    fn open_device(&self, path: &str, read_only: bool) -> Result<Arc<dyn BlockDevice>> {
        let file = OpenOptions::new().read(true).write(!read_only).open(path)?;
        let kind = file.metadata()?.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            return Err(Errno::ENOTBLK);
        }
        Ok(Arc::new(umdev::block::Image::new(file, read_only)?))
    }

    fn open_tree(&self, _: &str) -> Result<Arc<dyn FileSystem>> {
        Err(Errno::EOPNOTSUPP)
    }

    fn open_host_directory(&self, path: &str) -> Result<OwnedFd> {
        Ok(File::open(path)?.into())
    }
}
