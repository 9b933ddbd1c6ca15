//! `umlabel`: the host name of the view is the first line of a file.
//!
//! `mount -t umlabel FILE DIR`. The file is read once, as the view has it before the mount; DIR stays what it was. With
//! the umount the name is what it was before, and of two mounts the younger one counts.
//!
//! Deliberately absent: a file that is watched. A call is answered from memory.

#![forbid(unsafe_code)]

use abi::dev::UserMemory;
use abi::fs::Caller;
use abi::host::Host;
use abi::module::{CallAnswer, Claim, Module, MountError, MountRequest, Object, SyscallSet};
use abi::{Errno, Result};
use std::sync::Arc;

/// Bytes of a field of `struct new_utsname`, with its NUL.
const FIELD_BYTES: usize = 65;

/// The module: there is one, whatever is mounted.
pub struct Umlabel;

impl Module for Umlabel {
    fn name(&self) -> &'static str {
        "umlabel"
    }

    fn description(&self) -> &'static str {
        "the host name out of a file"
    }

    fn claims(&self) -> Vec<Claim> {
        vec![Claim::FsType("umlabel".to_owned())]
    }

    fn mount(
        &self,
        host: Arc<dyn Host>,
        request: &mut MountRequest,
    ) -> core::result::Result<Object, MountError> {
        request.options.finish()?;
        let label = first_line(&*host, &request.source).map_err(|errno| {
            MountError::new(errno, format!("umlabel: {}: {errno}", request.source))
        })?;
        if label.is_empty() || label.len() >= FIELD_BYTES {
            return Err(MountError::new(Errno::EINVAL, "umlabel: a host name has 1 to 64 bytes"));
        }
        Ok(Object::Calls(Arc::new(Label(label)), None))
    }
}

/// Of the view at the epoch of the mount: what is mounted over the name later does not matter.
fn first_line(host: &dyn Host, path: &str) -> Result<Vec<u8>> {
    let file = host.open_device(path, true)?;
    let mut text = vec![0; file.geometry().size_bytes.min(FIELD_BYTES as u64) as usize];
    file.read_at(&mut text, 0)?;
    Ok(text.split(|&b| b == b'\n' || b == 0).next().unwrap_or_default().to_vec())
}

/// One mount.
struct Label(Vec<u8>);

impl SyscallSet for Label {
    fn numbers(&self) -> Vec<u32> {
        vec![libc::SYS_uname as u32]
    }

    fn answer(
        &self,
        _: Caller,
        number: u32,
        args: [u64; 6],
        memory: &mut dyn UserMemory,
    ) -> CallAnswer {
        if number != libc::SYS_uname as u32 {
            return CallAnswer::Pass;
        }
        CallAnswer::Return(memory.write(args[0], &self.utsname()).map(|()| 0))
    }
}

impl Label {
    /// The host's `struct new_utsname` with one field of our own.
    fn utsname(&self) -> Vec<u8> {
        let Ok(host) = nix::sys::utsname::uname() else { return vec![0; 6 * FIELD_BYTES] };
        let machine = host.machine().as_encoded_bytes();
        let (sysname, release) =
            (host.sysname().as_encoded_bytes(), host.release().as_encoded_bytes());
        let (version, domain) =
            (host.version().as_encoded_bytes(), host.domainname().as_encoded_bytes());
        let fields = [sysname, &self.0, release, version, machine, domain];
        fields
            .iter()
            .flat_map(|field| field.iter().copied().chain(std::iter::repeat(0)).take(FIELD_BYTES))
            .collect()
    }
}
