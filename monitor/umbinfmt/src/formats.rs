//! The files of a mount: `register`, `status`, and one for each entry.

use crate::registry::{Command, Registry};
use abi::host::Host;
use abi::{Errno, Result};
use std::sync::Arc;
use textfs::Texts;

const REGISTER: u64 = 0;
const STATUS: u64 = 1;
/// The file of entry number 0.
const FIRST: u64 = 16;
/// `BINFMTFS_MAGIC` of linux/magic.h.
const MAGIC: u64 = 0x4249_4e4d;

/// The files of a registry. Interpreters are looked up in `host`.
pub(crate) struct Formats {
    pub(crate) registry: Arc<Registry>,
    pub(crate) host: Arc<dyn Host>,
}

impl Formats {
    /// Whether the interpreter of flag `F` is there: as open_exec of the kernel, which wants a regular file.
    fn check_interpreter(&self, path: &[u8]) -> Result<()> {
        let text = std::str::from_utf8(path).map_err(|_| Errno::ENOENT)?;
        match self.host.open_device(text, true) {
            Ok(_) => Ok(()),
            Err(Errno::ENOTBLK) => Err(Errno::EACCES),
            Err(errno) => Err(errno),
        }
    }
}

fn entry_of(number: u64) -> Result<u64> {
    number.checked_sub(FIRST).ok_or(Errno::ESTALE)
}

impl Texts for Formats {
    fn magic(&self) -> u64 {
        MAGIC
    }

    fn list(&self, from: u64) -> Vec<(u64, Vec<u8>)> {
        let fixed = [(REGISTER, b"register".to_vec()), (STATUS, b"status".to_vec())];
        let entries = self.registry.list(from.saturating_sub(FIRST)).into_iter();
        let entries = entries.map(|(id, name)| (id.saturating_add(FIRST), name));
        fixed.into_iter().chain(entries).filter(|(number, _)| *number >= from).collect()
    }

    fn find(&self, name: &[u8]) -> Option<u64> {
        match name {
            b"register" => Some(REGISTER),
            b"status" => Some(STATUS),
            other => self.registry.find(other).map(|id| id.saturating_add(FIRST)),
        }
    }

    fn perm(&self, number: u64) -> Option<u16> {
        match number {
            REGISTER => Some(0o200),
            STATUS => Some(0o644),
            n => self.registry.show(entry_of(n).ok()?).map(|_| 0o644),
        }
    }

    fn read(&self, number: u64) -> Result<Vec<u8>> {
        match number {
            // As of any file without a read operation.
            REGISTER => Err(Errno::EINVAL),
            STATUS => Ok(self.registry.status()),
            n => self.registry.show(entry_of(n)?).ok_or(Errno::ESTALE),
        }
    }

    /// A registration, or a command.
    fn write(&self, number: u64, text: &[u8]) -> Result<()> {
        match number {
            REGISTER => self.registry.register(text, |path| self.check_interpreter(path))?,
            STATUS => self.registry.command(Command::parse(text)?),
            n => self.registry.command_entry(entry_of(n)?, Command::parse(text)?),
        }
        Ok(())
    }
}
