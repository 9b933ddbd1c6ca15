//! `umfuse-export [-o OPTIONS] TYPE IMAGE DIR`: mounts a driver for the whole host, by `/dev/fuse`, until umount(8).

#![forbid(unsafe_code)]

use abi::block::BlockDevice;
use abi::fs::{FileSystem, FileSystemType};
use abi::host::{Epoch, Host};
use abi::module::MountRequest;
use abi::options::Options;
use abi::{Errno, Result};
use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use umfuse::Umfuse;
use umfuse::export::{ExportOptions, serve};

const USAGE: &str = "usage: umfuse-export [-o OPTIONS] TYPE IMAGE DIR";

/// The types that a view has.
fn types() -> Vec<Arc<dyn FileSystemType>> {
    commands::drivers()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            eprintln!("umfuse-export: {cause}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> core::result::Result<(), String> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (options, fs_type, image, directory) = match *words {
        ["-o", options, fs_type, image, directory] => (options, fs_type, image, directory),
        [fs_type, image, directory] => ("", fs_type, image, directory),
        _ => return Err(USAGE.into()),
    };
    let request = MountRequest {
        fs_type: fs_type.into(),
        source: image.into(),
        target: directory.into(),
        read_only: false,
        options: Options::parse(options),
    };
    let mounted =
        Umfuse::new(types()).mount_reporting(&Plain, &request).map_err(|e| e.to_string())?;
    if let Some(message) = &mounted.message {
        eprintln!("umfuse-export: {message}");
    }
    let export = ExportOptions {
        source: image.into(),
        fs_type: fs_type.into(),
        allow_other: mounted.flags.allow_other,
    };
    serve(mounted.filesystem, Path::new(directory), &export).map_err(|errno| {
        format!("{directory}: {errno}: root or fusermount3, and /dev/fuse, are needed")
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
