//! Modules that the monitor carries itself: they steer its own tables.

use abi::Errno;
use abi::host::Host;
use abi::module::{Claim, Module, MountError, MountRequest, Object};
use std::sync::Arc;

/// A module that is only a name: the monitor does what it stands for.
struct Builtin {
    name: &'static str,
    description: &'static str,
    prefix: Option<&'static str>,
}

impl Module for Builtin {
    fn name(&self) -> &'static str {
        self.name
    }

    fn description(&self) -> &'static str {
        self.description
    }

    fn claims(&self) -> Vec<Claim> {
        self.prefix.map(|p| Claim::FsTypePrefix(p.to_owned())).into_iter().collect()
    }

    fn mount(&self, _: Arc<dyn Host>, request: &mut MountRequest) -> Result<Object, MountError> {
        Err(MountError::new(Errno::ENODEV, format!("{} can't be mounted", request.fs_type)))
    }
}

/// `unreal`, `umproc`, `viewfs`.
#[must_use]
pub fn modules() -> Vec<Arc<dyn Module>> {
    let builtin = |name, description, prefix| -> Arc<dyn Module> {
        Arc::new(Builtin { name, description, prefix })
    };
    vec![
        builtin("unreal", "the whole host again under /unreal: a proof of the engine", None),
        builtin("umproc", "/proc/mounts and its kin as the view has them", None),
        builtin("viewfs", "file system patchwork: move, merge, cow, mincow", Some("viewfs")),
    ]
}
