//! uname(2), sethostname(2), setdomainname(2).

use abi::dev::UserMemory;
use abi::fs::Caller;
use abi::module::{CallAnswer, SyscallSet};
use abi::{Errno, Result};
use std::sync::{Arc, PoisonError, RwLock};
use textfs::Setting;

/// Bytes of a field of `struct new_utsname`, with its NUL.
const FIELD_BYTES: usize = 65;
/// The fields in the order of the structure.
const FIELDS: [&str; 6] = ["sysname", "nodename", "release", "version", "machine", "domainname"];
const NODENAME: usize = 1;
const DOMAINNAME: usize = 5;

/// The names of one mount.
pub struct Names {
    fields: RwLock<[Vec<u8>; 6]>,
}

impl Default for Names {
    /// The host's names, to begin with.
    fn default() -> Self {
        let mut fields: [Vec<u8>; 6] = Default::default();
        if let Ok(u) = nix::sys::utsname::uname() {
            let host =
                [u.sysname(), u.nodename(), u.release(), u.version(), u.machine(), u.domainname()];
            for (field, name) in fields.iter_mut().zip(host) {
                *field = name.as_encoded_bytes().to_vec();
            }
        }
        Self { fields: RwLock::new(fields) }
    }
}

impl Names {
    fn get(&self, index: usize) -> Vec<u8> {
        let fields = self.fields.read().unwrap_or_else(PoisonError::into_inner);
        fields.get(index).cloned().unwrap_or_default()
    }

    /// # Errors
    /// - `EINVAL` if the name is longer than 64 bytes or holds a NUL.
    fn set(&self, index: usize, name: &[u8]) -> Result<()> {
        if name.len() >= FIELD_BYTES || name.contains(&0) {
            return Err(Errno::EINVAL);
        }
        let mut fields = self.fields.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(field) = fields.get_mut(index) {
            *field = name.to_vec();
        }
        Ok(())
    }

    fn utsname(&self) -> [u8; 6 * FIELD_BYTES] {
        let mut bytes = [0; 6 * FIELD_BYTES];
        let fields = self.fields.read().unwrap_or_else(PoisonError::into_inner);
        for (slot, name) in bytes.chunks_exact_mut(FIELD_BYTES).zip(fields.iter()) {
            for (to, from) in slot.iter_mut().take(FIELD_BYTES - 1).zip(name) {
                *to = *from;
            }
        }
        bytes
    }
}

/// A file for each name.
pub(crate) fn files(names: &Arc<Names>) -> Vec<Setting> {
    FIELDS
        .iter()
        .enumerate()
        .map(|(index, field)| {
            let (read, write) = (Arc::clone(names), Arc::clone(names));
            Setting::new(field, move || read.get(index), move |text| write.set(index, text))
        })
        .collect()
}

/// The calls of one mount of `ummiscuname`.
pub struct UnameCalls {
    names: Arc<Names>,
    owner: u32,
}

impl UnameCalls {
    /// The calls that show these names; `owner`, and virtual root, may set them.
    #[must_use]
    pub fn new(names: Arc<Names>, owner: u32) -> Self {
        Self { names, owner }
    }

    /// # Errors
    /// In check order:
    /// - `EPERM` if the caller is neither root in the view nor who mounted the names.
    /// - `EINVAL` if the length is negative or above 64.
    /// - `EFAULT` for a bad address.
    fn set(
        &self,
        caller: Caller,
        index: usize,
        args: [u64; 6],
        memory: &dyn UserMemory,
    ) -> Result<u64> {
        if caller.uid != 0 && caller.uid != self.owner {
            return Err(Errno::EPERM);
        }
        // The kernel takes the length as int.
        let length = (args[1] & u64::from(u32::MAX)).try_into().unwrap_or(usize::MAX);
        if length >= FIELD_BYTES {
            return Err(Errno::EINVAL);
        }
        let mut name = vec![0; length];
        memory.read(args[0], &mut name)?;
        // What follows a NUL is never shown.
        let end = name.iter().position(|&b| b == 0).unwrap_or(length);
        name.truncate(end);
        self.names.set(index, &name)?;
        Ok(0)
    }
}

impl SyscallSet for UnameCalls {
    fn numbers(&self) -> Vec<u32> {
        [libc::SYS_uname, libc::SYS_sethostname, libc::SYS_setdomainname]
            .into_iter()
            .filter_map(|n| u32::try_from(n).ok())
            .collect()
    }

    fn answer(
        &self,
        caller: Caller,
        number: u32,
        args: [u64; 6],
        memory: &mut dyn UserMemory,
    ) -> CallAnswer {
        CallAnswer::Return(match i64::from(number) {
            libc::SYS_uname => memory.write(args[0], &self.names.utsname()).map(|()| 0),
            libc::SYS_sethostname => self.set(caller, NODENAME, args, memory),
            libc::SYS_setdomainname => self.set(caller, DOMAINNAME, args, memory),
            _ => return CallAnswer::Pass,
        })
    }
}
