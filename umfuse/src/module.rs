//! The module itself.

use crate::flags::{MountFlags, WriteWish};
use crate::owner::{Owner, OwnerLayer};
use crate::panic_guard::{PanicGuard, text_of};
use crate::read_only::{ReadOnlyLayer, ReadOnlySwitch};
use crate::traced::Traced;
use abi::Errno;
use abi::fs::{FileSystem, FileSystemType, FsSource};
use abi::host::Host;
use abi::module::{Claim, Module, MountError, MountRequest, Object};
use abi::options::Options;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a mount became.
pub struct Mounted {
    /// The tree.
    pub filesystem: Arc<dyn FileSystem>,
    /// What the monitor obeys.
    pub flags: MountFlags,
    /// What the person is to be told although it succeeded: that it is read-only, and why.
    pub message: Option<String>,
}

/// One mount that was not yet unmounted.
struct Live {
    target: String,
    filesystem: Arc<dyn FileSystem>,
    /// None if the driver itself is read-only.
    switch: Option<ReadOnlySwitch>,
}

/// A driver that was mounted, with the options that it left.
struct Driver {
    filesystem: Arc<dyn FileSystem>,
    left: Options,
    read_only: bool,
    message: Option<String>,
}

/// View-OS: the module `umfuse` with its submodules, one for each type.
pub struct Umfuse {
    types: Vec<Arc<dyn FileSystemType>>,
    mounts: Mutex<Vec<Live>>,
}

impl Umfuse {
    /// The module with these types; of two with one name, the first one counts.
    #[must_use]
    pub fn new(types: Vec<Arc<dyn FileSystemType>>) -> Self {
        Self { types, mounts: Mutex::default() }
    }

    /// Mounts, and says what is to be said.
    ///
    /// The driver sees the options first, so that `uid=` and its like mean what the format says; what it leaves is
    /// taken here, and what is left then is unknown.
    ///
    /// # Errors
    /// In check order:
    /// - `ENODEV` if there is no such type.
    /// - `EINVAL` if the value of a general option is bad.
    /// - those of [`Host::open_device`] for the source.
    /// - those of [`FileSystemType::mount`].
    /// - `EINVAL` naming the first unknown option.
    /// - with `remount`: `EINVAL` if nothing is mounted at the target, `EROFS` if it can't be written.
    pub fn mount_reporting(
        &self,
        host: &dyn Host,
        request: &MountRequest,
    ) -> Result<Mounted, MountError> {
        let fs_type = self.find(&request.fs_type)?;
        let mut flags = MountFlags::peek(&request.options)?;
        if request.read_only {
            if flags.write == WriteWish::Really {
                return Err(MountError::new(Errno::EINVAL, "options ro and rw+: choose one"));
            }
            flags.write = WriteWish::ReadOnly;
        }
        if flags.remount {
            return self.remount(request, flags);
        }
        let mut driver = open_driver(&**fs_type, host, request, flags.write)?;
        MountFlags::take(&mut driver.left)?;
        let owner = Owner::take(&mut driver.left)?;
        driver.left.finish()?;
        Ok(self.finish(request, flags, owner, driver))
    }

    fn find(&self, name: &str) -> Result<&Arc<dyn FileSystemType>, MountError> {
        self.types.iter().find(|t| t.name() == name || t.aliases().contains(&name)).ok_or_else(
            || {
                let known: Vec<&str> = self.types.iter().map(|t| t.name()).collect();
                let known = known.join(", ");
                MountError::new(Errno::ENODEV, format!("{name}: no such type; there are: {known}"))
            },
        )
    }

    /// Puts the layers around the driver and remembers the mount.
    fn finish(
        &self,
        request: &MountRequest,
        flags: MountFlags,
        owner: Owner,
        driver: Driver,
    ) -> Mounted {
        let label = format!("{} {}", request.fs_type, request.target);
        let mut tree: Arc<dyn FileSystem> =
            Arc::new(PanicGuard::with_label(driver.filesystem, label.clone()));
        if !owner.is_default() {
            tree = Arc::new(OwnerLayer::with_owner(tree, owner));
        }
        let mut switch = None;
        if !tree.is_read_only() {
            let new = ReadOnlySwitch::new(driver.read_only);
            tree = Arc::new(ReadOnlyLayer::with_switch(tree, new.clone()));
            switch = Some(new);
        }
        let filesystem: Arc<dyn FileSystem> = Arc::new(Traced::with_label(tree, label));
        self.lock().push(Live {
            target: request.target.clone(),
            filesystem: Arc::clone(&filesystem),
            switch,
        });
        Mounted { filesystem, flags, message: driver.message }
    }

    /// Changes between reading and writing; the tree stays the same.
    fn remount(&self, request: &MountRequest, flags: MountFlags) -> Result<Mounted, MountError> {
        let target = &request.target;
        let found = self
            .lock()
            .iter()
            .rev()
            .find(|live| live.target == *target)
            .map(|live| (Arc::clone(&live.filesystem), live.switch.clone()));
        let Some((filesystem, switch)) = found else {
            let message = format!("remount: nothing of this module is mounted at {target}");
            return Err(MountError::new(Errno::EINVAL, message));
        };
        let read_only = flags.write == WriteWish::ReadOnly;
        match switch {
            Some(switch) => {
                if read_only {
                    filesystem.sync()?;
                }
                switch.set(read_only);
            }
            None if read_only => {}
            None => {
                let message = "remount: this mount can only be read; unmount it and mount it anew";
                return Err(MountError::new(Errno::EROFS, message));
            }
        }
        Ok(Mounted { filesystem, flags, message: None })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Live>> {
        self.mounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Module for Umfuse {
    fn name(&self) -> &'static str {
        "umfuse"
    }

    fn description(&self) -> &'static str {
        "file systems in user space: ext2, FAT, ISO 9660 and others"
    }

    fn claims(&self) -> Vec<Claim> {
        vec![Claim::FsTypePrefix("umfuse".to_owned())]
    }

    fn mount(&self, host: Arc<dyn Host>, request: &mut MountRequest) -> Result<Object, MountError> {
        let mounted = self.mount_reporting(&*host, request)?;
        if let Some(message) = mounted.message {
            tracing::warn!(target = %request.target, "{message}");
        }
        Ok(Object::Tree(mounted.filesystem))
    }

    fn unmounted(&self, target: &str) {
        let mut mounts = self.lock();
        if let Some(at) = mounts.iter().rposition(|live| live.target == target) {
            mounts.remove(at);
        }
    }
}

/// Opens the source and mounts the driver: writing as wished, else reading, with a message.
fn open_driver(
    fs_type: &dyn FileSystemType,
    host: &dyn Host,
    request: &MountRequest,
    wish: WriteWish,
) -> Result<Driver, MountError> {
    let name = fs_type.name();
    match wish {
        WriteWish::ReadOnly => try_driver(fs_type, host, request, true),
        WriteWish::Really => try_driver(fs_type, host, request, false),
        WriteWish::Plain if fs_type.is_writing_experimental() => {
            let driver = try_driver(fs_type, host, request, true)?;
            let message = format!(
                "{name}: mounted read-only, as writing is experimental: -o rw+ really writes"
            );
            Ok(Driver { message: Some(message), ..driver })
        }
        WriteWish::Plain => match try_driver(fs_type, host, request, false) {
            Err(refusal) if means_read_only(fs_type, refusal.errno) => {
                let driver = try_driver(fs_type, host, request, true)?;
                let message = format!("{name}: mounted read-only: {refusal}");
                Ok(Driver { message: Some(message), ..driver })
            }
            other => other,
        },
    }
}

/// An image that may be read and not written is to plain `rw` what a write-protected disk is.
fn means_read_only(fs_type: &dyn FileSystemType, errno: Errno) -> bool {
    let is_forbidden = matches!(errno, Errno::EACCES | Errno::EPERM);
    errno == Errno::EROFS || (fs_type.needs_device() && is_forbidden)
}

fn try_driver(
    fs_type: &dyn FileSystemType,
    host: &dyn Host,
    request: &MountRequest,
    read_only: bool,
) -> Result<Driver, MountError> {
    let source = if fs_type.needs_device() {
        let device = host
            .open_device(&request.source, read_only)
            .map_err(|errno| MountError::new(errno, format!("{}: {errno}", request.source)))?;
        FsSource::Device(device)
    } else {
        FsSource::Text(request.source.clone())
    };
    let mut left = request.options.clone();
    let mount = catch_unwind(AssertUnwindSafe(|| fs_type.mount(source, read_only, &mut left)));
    let filesystem = mount.unwrap_or_else(|payload| {
        let name = fs_type.name();
        tracing::error!("{name}: the driver panicked while mounting: {}", text_of(&*payload));
        Err(MountError::new(Errno::EIO, format!("{name}: the driver failed while mounting")))
    })?;
    Ok(Driver { filesystem, left, read_only, message: None })
}
