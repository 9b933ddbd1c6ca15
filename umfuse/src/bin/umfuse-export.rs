//! `umfuse-export [-o OPTIONS] TYPE IMAGE DIR`: mounts a driver for the whole host, by `/dev/fuse`, until umount(8).

#![forbid(unsafe_code)]

use abi::block::{BlockDevice, Geometry};
use abi::fs::{FileSystem, FileSystemType};
use abi::host::{Epoch, Host};
use abi::module::MountRequest;
use abi::options::Options;
use abi::{Errno, Result};
use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use umfuse::Umfuse;
use umfuse::export::{ExportOptions, serve};
use umfuse::memfs::MemFsType;

const USAGE: &str = "usage: umfuse-export [-o OPTIONS] TYPE IMAGE DIR";

/// The types that this command knows: what the monitor of a view is given, it gives to its module.
fn types() -> Vec<Arc<dyn FileSystemType>> {
    vec![Arc::new(iso9660::Iso9660Type), Arc::new(MemFsType)]
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
        // Seeking to the end tells the length of a block device too, whose metadata says 0.
        let size_bytes = std::io::Seek::seek(&mut &file, std::io::SeekFrom::End(0))?;
        Ok(Arc::new(Image { file, size_bytes, read_only }))
    }

    fn open_tree(&self, _: &str) -> Result<Arc<dyn FileSystem>> {
        Err(Errno::EOPNOTSUPP)
    }

    fn open_host_directory(&self, path: &str) -> Result<OwnedFd> {
        Ok(File::open(path)?.into())
    }
}

/// An image file or a block device.
struct Image {
    file: File,
    size_bytes: u64,
    read_only: bool,
}

impl Image {
    fn check_range(&self, length: usize, offset: u64) -> Result<()> {
        let length = u64::try_from(length).map_err(|_| Errno::EINVAL)?;
        let end = offset.checked_add(length).filter(|end| *end <= self.size_bytes);
        end.map(drop).ok_or(Errno::EINVAL)
    }
}

impl BlockDevice for Image {
    fn geometry(&self) -> Geometry {
        Geometry { block_size: 512, size_bytes: self.size_bytes, read_only: self.read_only }
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.check_range(buf.len(), offset)?;
        self.file.read_exact_at(buf, offset).map_err(Errno::from)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        if self.read_only {
            return Err(Errno::EROFS);
        }
        self.check_range(buf.len(), offset)?;
        self.file.write_all_at(buf, offset).map_err(Errno::from)
    }

    fn flush(&self) -> Result<()> {
        self.file.sync_data().map_err(Errno::from)
    }
}
