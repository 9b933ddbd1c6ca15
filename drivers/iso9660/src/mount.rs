//! The type that `mount -t umfuseiso9660` finds.

use crate::filesystem::Iso9660;
use crate::options::MountOptions;
use crate::session;
use abi::Errno;
use abi::fs::{FileSystem, FileSystemType, FsSource};
use abi::module::MountError;
use abi::options::Options;
use std::sync::Arc;

/// ISO 9660 with Rock Ridge, Joliet and zisofs, read-only.
///
/// Options: `norock`, `nojoliet`, `map=normal|off|acorn`, `check=strict|relaxed`, `unhide`, `nocompress`,
/// `session=`, `sbsector=`, `uid=`, `gid=`, `mode=`, `dmode=`, `overriderockperm`, `block=`; mount(8) describes them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Iso9660Type;

impl FileSystemType for Iso9660Type {
    fn name(&self) -> &'static str {
        "umfuseiso9660"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["umfuseiso"]
    }

    fn needs_device(&self) -> bool {
        true
    }

    fn mount(
        &self,
        source: FsSource,
        read_only: bool,
        options: &mut Options,
    ) -> Result<Arc<dyn FileSystem>, MountError> {
        let options = MountOptions::take(options)?;
        let FsSource::Device(device) = source else {
            return Err(MountError::new(Errno::EINVAL, "iso9660: the source must be an image"));
        };
        if !read_only {
            return Err(MountError::new(
                Errno::EROFS,
                "iso9660: the format can't be written: mount it with -o ro",
            ));
        }
        let volume = session::open(&device, &options)
            .map_err(|error| MountError::new(error.settle("mount"), format!("iso9660: {error}")))?;
        let filesystem = Iso9660::open(volume)
            .map_err(|error| MountError::new(error.settle("mount"), format!("iso9660: {error}")))?;
        Ok(Arc::new(filesystem))
    }
}
