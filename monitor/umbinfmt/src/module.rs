//! The module itself.

use crate::formats::Formats;
use crate::registry::Registry;
use abi::Errno;
use abi::host::Host;
use abi::module::{Claim, Module, MountError, MountRequest, Object};
use std::sync::Arc;
use textfs::TextFs;

/// View-OS: the module `umbinfmt`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Umbinfmt;

impl Module for Umbinfmt {
    fn name(&self) -> &'static str {
        "umbinfmt"
    }

    fn description(&self) -> &'static str {
        "interpreters for binary formats, as binfmt_misc"
    }

    fn claims(&self) -> Vec<Claim> {
        vec![Claim::FsType("umbinfmt".to_owned())]
    }

    fn mount(&self, host: Arc<dyn Host>, request: &mut MountRequest) -> Result<Object, MountError> {
        let prefix = match request.source.as_str() {
            "" | "none" | "/" => None,
            path if path.starts_with('/') => Some(path.trim_end_matches('/').as_bytes().to_vec()),
            other => {
                let message = format!("{other}: the source is a directory, absolute, or none");
                return Err(MountError::new(Errno::EINVAL, message));
            }
        };
        request.options.take_flag("ro");
        request.options.take_flag("rw");
        request.options.finish()?;
        let registry = Arc::new(Registry::new(prefix));
        let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        let formats = Formats { registry: Arc::clone(&registry), host };
        let tree = Arc::new(TextFs::new(formats, uid, gid));
        Ok(Object::Formats(registry, tree))
    }
}
