//! The module itself.

use crate::time_calls::TimeCalls;
use crate::timeline::{Setting, Timeline};
use crate::uname::{Names, UnameCalls, files};
use abi::Errno;
use abi::host::Host;
use abi::module::{Claim, Module, MountError, MountRequest, Object};
use std::sync::Arc;
use textfs::{Settings, TextFs};

/// View-OS: the module `ummisc` with its submodules `ummisctime` and `ummiscuname`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ummisc;

impl Module for Ummisc {
    fn name(&self) -> &'static str {
        "ummisc"
    }

    fn description(&self) -> &'static str {
        "time and system names: ummisctime, ummiscuname"
    }

    fn claims(&self) -> Vec<Claim> {
        vec![Claim::FsTypePrefix("ummisc".to_owned())]
    }

    fn mount(&self, host: Arc<dyn Host>, request: &mut MountRequest) -> Result<Object, MountError> {
        // In a plain view the processes are of the user who runs the monitor.
        let owner = nix::unistd::geteuid().as_raw();
        let group = nix::unistd::getegid().as_raw();
        let (calls, files): (Arc<dyn abi::module::SyscallSet>, _) = match request.fs_type.as_str() {
            "ummisctime" => {
                let time = Arc::new(Timeline::over(host.clocks()));
                (Arc::new(TimeCalls::new(Arc::clone(&time), owner)), time_files(&time))
            }
            "ummiscuname" => {
                let names = Arc::new(Names::default());
                (Arc::new(UnameCalls::new(Arc::clone(&names), owner)), files(&names))
            }
            other => {
                let message = format!("{other}: no such type; there are: ummisctime, ummiscuname");
                return Err(MountError::new(Errno::ENODEV, message));
            }
        };
        request.options.take_flag("ro");
        request.options.take_flag("rw");
        request.options.finish()?;
        Ok(Object::Calls(calls, Some(Arc::new(TextFs::new(Settings::new(files), owner, group)))))
    }
}

fn time_files(time: &Arc<Timeline>) -> Vec<textfs::Setting> {
    let file = |name, setting| {
        let (read, write) = (Arc::clone(time), Arc::clone(time));
        textfs::Setting::new(
            name,
            move || read.show(setting).into_bytes(),
            move |text| {
                let text = std::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
                write.set(setting, text.trim())
            },
        )
    };
    vec![
        file("frequency", Setting::Frequency),
        file("offset", Setting::Offset),
        file("base", Setting::Base),
    ]
}
