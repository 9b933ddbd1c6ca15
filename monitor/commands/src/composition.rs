//! What a `umview` is made of: the one place that knows every module and driver.

use crate::cli::UmfuseExport;
use crate::finish::finish;
use crate::{export, umview};
use abi::dev::DeviceType;
use abi::fs::FileSystemType;
use abi::module::Module;
use clap::Parser;
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

/// The modules, file system drivers and devices that a program carries.
///
/// A `umview` with one more driver is a program of one expression:
///
/// ```no_run
/// use commands::Composition;
/// use std::sync::Arc;
///
/// fn main() -> std::process::ExitCode {
///     // Any `abi::fs::FileSystemType`; this one is in every umview anyway.
///     let driver = Arc::new(umfuse::memfs::MemFsType);
///     Composition::standard().with_file_system(driver).umview()
/// }
/// ```
///
/// The commands that run in a view need no such program of their own: they ask the monitor, which knows.
#[derive(Clone)]
pub struct Composition {
    file_systems: Vec<Arc<dyn FileSystemType>>,
    devices: Vec<Arc<dyn DeviceType>>,
    /// Those that were added: the tree's own are made when they are asked for.
    modules: Vec<Arc<dyn Module>>,
}

impl Composition {
    /// Everything that this tree has.
    #[must_use]
    pub fn standard() -> Self {
        let file_systems: Vec<Arc<dyn FileSystemType>> = vec![
            Arc::new(ext2::Ext2Type),
            Arc::new(fat::FatType),
            Arc::new(iso9660::Iso9660Type),
            Arc::new(umfuse::memfs::MemFsType),
        ];
        Self { file_systems, devices: Vec::new(), modules: Vec::new() }
    }

    /// One more driver for the module `umfuse`. It comes before the others: with the name of one of them it takes
    /// that one's place.
    #[must_use]
    pub fn with_file_system(mut self, driver: Arc<dyn FileSystemType>) -> Self {
        self.file_systems.insert(0, driver);
        self
    }

    /// One more submodule for the module `umdev`, whose own names stay what they are.
    #[must_use]
    pub fn with_device(mut self, device: Arc<dyn DeviceType>) -> Self {
        self.devices.push(device);
        self
    }

    /// One more module for `um_add_service`. It comes before the others: with the name of one of them it takes that
    /// one's place.
    #[must_use]
    pub fn with_module(mut self, module: Arc<dyn Module>) -> Self {
        self.modules.insert(0, module);
        self
    }

    /// The file system drivers.
    #[must_use]
    pub fn file_systems(&self) -> &[Arc<dyn FileSystemType>] {
        &self.file_systems
    }

    /// The modules that `um_add_service` finds. Each call makes the state of `umfuse` and `umdev` anew.
    #[must_use]
    pub fn modules(&self) -> Vec<Arc<dyn Module>> {
        let umdev = self.devices.iter().cloned().fold(umdev::Umdev::new(), umdev::Umdev::with_type);
        let mut all = self.modules.clone();
        all.push(Arc::new(umfuse::Umfuse::new(self.file_systems.clone())));
        all.push(Arc::new(umdev));
        all.push(Arc::new(ummisc::Ummisc));
        all.push(Arc::new(umbinfmt::Umbinfmt));
        all.extend(monitor::builtin::modules());
        all
    }

    /// The whole of a program `umview`: its command line, and how it ends.
    #[must_use]
    pub fn umview(&self) -> ExitCode {
        let words: Vec<OsString> = std::env::args_os().collect();
        finish("umview", umview::umview(&words, self))
    }

    /// The whole of a program `umfuse-export`: a driver for the whole host, by `/dev/fuse`.
    #[must_use]
    pub fn umfuse_export(&self) -> ExitCode {
        finish("umfuse-export", export::export(&UmfuseExport::parse(), self))
    }
}

#[cfg(test)]
mod tests {
    use super::Composition;
    use abi::Errno;
    use abi::fs::{FileSystem, FileSystemType, FsSource};
    use abi::module::MountError;
    use abi::options::Options;
    use std::sync::Arc;

    struct Named(&'static str);

    impl FileSystemType for Named {
        fn name(&self) -> &'static str {
            self.0
        }

        fn needs_device(&self) -> bool {
            false
        }

        fn mount(
            &self,
            _: FsSource,
            _: bool,
            _: &mut Options,
        ) -> Result<Arc<dyn FileSystem>, MountError> {
            Err(MountError::new(Errno::EIO, "of the test"))
        }
    }

    #[test]
    fn a_driver_comes_before_those_of_the_tree() {
        let names = |parts: &Composition| -> Vec<&str> {
            parts.file_systems().iter().map(|t| t.name()).collect()
        };
        let standard = Composition::standard();
        let more = standard.clone().with_file_system(Arc::new(Named("umfuseext2")));
        assert_eq!(names(&more).len(), names(&standard).len() + 1);
        assert_eq!(names(&more)[0], "umfuseext2");
    }

    #[test]
    fn every_module_has_a_name_of_its_own() {
        let modules = Composition::standard().modules();
        let mut names: Vec<&str> = modules.iter().map(|m| m.name()).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(
            ["umfuse", "umdev", "ummisc", "umbinfmt", "viewfs"].iter().all(|n| names.contains(n))
        );
    }
}
