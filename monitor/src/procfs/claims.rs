//! Files of /proc that say what a system call says which a module answers: the module is asked by that call.

use crate::namei::Walk;
use abi::dev::UserMemory;
use abi::fs::Caller;
use abi::module::CallAnswer;
use abi::{Errno, Result};

/// Bytes of a field of `struct new_utsname`.
const FIELD_BYTES: usize = 65;

/// Memory of our own, as a call sees it: addresses count from 0.
struct Local {
    bytes: Vec<u8>,
}

impl Local {
    fn range(&self, addr: u64, length: usize) -> Result<core::ops::Range<usize>> {
        let start = usize::try_from(addr).map_err(|_| Errno::EFAULT)?;
        let end = start.checked_add(length).ok_or(Errno::EFAULT)?;
        if end <= self.bytes.len() { Ok(start..end) } else { Err(Errno::EFAULT) }
    }
}

impl UserMemory for Local {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<()> {
        let range = self.range(addr, buf.len())?;
        buf.copy_from_slice(&self.bytes[range]);
        Ok(())
    }

    fn write(&mut self, addr: u64, buf: &[u8]) -> Result<()> {
        let range = self.range(addr, buf.len())?;
        self.bytes[range].copy_from_slice(buf);
        Ok(())
    }
}

/// What a module of the view answers to a call that fills `room` bytes; `None` where the kernel has the call.
fn ask(walk: &Walk<'_>, number: i64, args: [u64; 6], room: usize) -> Option<Vec<u8>> {
    let number = u32::try_from(number).ok()?;
    let mut memory = Local { bytes: vec![0; room] };
    for set in walk.mounts.call_sets(&walk.view) {
        match set.answer(Caller::default(), number, args, &mut memory) {
            CallAnswer::Pass => {}
            CallAnswer::Return(Ok(_)) => return Some(memory.bytes),
            CallAnswer::Return(Err(_)) | CallAnswer::Run(_) => return None,
        }
    }
    None
}

/// The field of uname(2) that a file of /proc/sys/kernel shows.
pub(super) fn field_of(name: &[u8]) -> Option<usize> {
    match name {
        b"ostype" => Some(0),
        b"hostname" => Some(1),
        b"osrelease" => Some(2),
        b"version" => Some(3),
        b"domainname" => Some(5),
        _ => None,
    }
}

/// A name of the system with a newline, where a module has it.
pub(super) fn name_of_system(walk: &Walk<'_>, field: usize) -> Option<Vec<u8>> {
    let all = ask(walk, libc::SYS_uname, [0; 6], 6 * FIELD_BYTES)?;
    let bytes = all.chunks_exact(FIELD_BYTES).nth(field)?;
    let mut text: Vec<u8> = bytes.iter().copied().take_while(|&b| b != 0).collect();
    text.push(b'\n');
    Some(text)
}

/// /proc/uptime, where a module has the clocks. The idle time is that of the host's processors.
pub(super) fn uptime(walk: &Walk<'_>) -> Option<Vec<u8>> {
    let clock = u64::try_from(libc::CLOCK_BOOTTIME).ok()?;
    let bytes = ask(walk, libc::SYS_clock_gettime, [clock, 0, 0, 0, 0, 0], 16)?;
    let word = |at: usize| -> Option<i64> {
        Some(i64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
    };
    let host = std::fs::read_to_string("/proc/uptime").ok()?;
    let idle = host.split_whitespace().nth(1).unwrap_or("0.00");
    Some(format!("{}.{:02} {idle}\n", word(0)?, word(8)? / 10_000_000).into_bytes())
}
