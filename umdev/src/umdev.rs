//! The module itself: from `mount -t umdevTYPE` to a device.

use crate::node::NodeOptions;
use crate::submodules::{DiskImage, NbdType, NullType, Qcow2Type, RamdiskType};
use abi::Errno;
use abi::dev::{DeviceSource, DeviceType};
use abi::host::Host;
use abi::module::{Claim, Module, MountError, MountRequest, Object};
use std::sync::Arc;

/// Block and character devices in a view: `um_add_service umdev`.
pub struct Umdev {
    types: Vec<Arc<dyn DeviceType>>,
}

impl Umdev {
    /// The module with all its submodules.
    #[must_use]
    pub fn new() -> Self {
        let mut types: Vec<Arc<dyn DeviceType>> =
            vec![Arc::new(RamdiskType), Arc::new(NbdType), Arc::new(NullType), Arc::new(Qcow2Type)];
        for image in DiskImage::both() {
            types.push(Arc::new(image));
        }
        Self { types }
    }

    /// The module with one more submodule.
    #[must_use]
    pub fn with_type(mut self, device_type: Arc<dyn DeviceType>) -> Self {
        self.types.push(device_type);
        self
    }

    /// The names that may follow `mount -t`.
    pub fn type_names(&self) -> impl Iterator<Item = &'static str> {
        self.types.iter().map(|t| t.name())
    }
}

impl Default for Umdev {
    fn default() -> Self {
        Self::new()
    }
}

impl Module for Umdev {
    fn name(&self) -> &'static str {
        "umdev"
    }

    fn description(&self) -> &'static str {
        "virtual block and character devices"
    }

    fn claims(&self) -> Vec<Claim> {
        vec![Claim::FsTypePrefix("umdev".to_owned())]
    }

    fn mount(&self, host: Arc<dyn Host>, request: &mut MountRequest) -> Result<Object, MountError> {
        let wanted = request.fs_type.as_str();
        let Some(device_type) = self.types.iter().find(|t| t.name() == wanted) else {
            let known = self.type_names().collect::<Vec<_>>().join(", ");
            let message = format!("no submodule {wanted}; umdev has {known}");
            return Err(MountError::new(Errno::ENODEV, message));
        };
        let node = NodeOptions::take(&mut request.options)?;
        let read_only = node.read_only || request.read_only;
        if read_only {
            request.options.add_flag("ro");
        }
        let source = if device_type.needs_image() {
            // A snapshot keeps its changes elsewhere, so an image that may not be written will do.
            let snapshot = request.options.clone().take_flag("snapshot");
            let image = host
                .open_device(&request.source, read_only || snapshot)
                .map_err(|errno| MountError::new(errno, format!("{}: {errno}", request.source)))?;
            DeviceSource::Image(image)
        } else {
            DeviceSource::Text(request.source.clone())
        };
        Ok(Object::Device(device_type.attach(source, &mut request.options)?))
    }
}
