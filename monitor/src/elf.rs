//! The one thing that exec needs to know of an ELF file: its interpreter (elf(5), `PT_INTERP`).

use abi::{Errno, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;

const PT_INTERP: u32 = 3;
/// More program headers than any real program has.
const HEADERS_MAX: u16 = 512;

/// The `PT_INTERP` header: where it is in the file, and what it points to.
struct Interp {
    header_offset: u64,
    text_offset: u64,
    text_bytes: u64,
}

/// Reads at an offset; says how many bytes came.
type Reader<'a> = dyn FnMut(&mut [u8], u64) -> usize + 'a;

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

fn find(read: &mut Reader<'_>) -> Option<Interp> {
    let mut head = [0; 64];
    if read(&mut head, 0) < 64 || !head.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let table = word(&head, 32);
    let size = u64::from(u16::from_le_bytes([head[54], head[55]]));
    let count = u16::from_le_bytes([head[56], head[57]]).min(HEADERS_MAX);
    if size < 56 {
        return None;
    }
    for index in 0..u64::from(count) {
        let at = table.checked_add(index.checked_mul(size)?)?;
        let mut header = [0; 56];
        if read(&mut header, at) < 56 {
            return None;
        }
        if u32::from_le_bytes([header[0], header[1], header[2], header[3]]) == PT_INTERP {
            return Some(Interp {
                header_offset: at,
                text_offset: word(&header, 8),
                text_bytes: word(&header, 32),
            });
        }
    }
    None
}

/// The interpreter's path, without NUL; `None` for a static program or another format.
pub(crate) fn interpreter(read: &mut Reader<'_>) -> Option<Vec<u8>> {
    let interp = find(read)?;
    let length = usize::try_from(interp.text_bytes).ok().filter(|&n| n > 1 && n <= 4096)?;
    let mut text = vec![0; length];
    if read(&mut text, interp.text_offset) < length {
        return None;
    }
    let end = text.iter().position(|&b| b == 0).unwrap_or(length);
    text.truncate(end);
    Some(text)
}

/// Makes a program name another interpreter to the kernel: the text is put behind the end of the file, and only
/// the file offset of `PT_INTERP` moves, so that what the program itself sees in memory stays.
///
/// # Errors
/// - `ENOEXEC` if the program has no interpreter.
pub(crate) fn set_interpreter(program: &File, path: &[u8]) -> Result<()> {
    let interp =
        find(&mut |buf, at| program.read_at(buf, at).unwrap_or(0)).ok_or(Errno::ENOEXEC)?;
    let end = program.metadata()?.len();
    let mut text = path.to_vec();
    text.push(0);
    program.write_all_at(&text, end)?;
    program.write_all_at(&end.to_le_bytes(), interp.header_offset + 8)?;
    program.write_all_at(&(text.len() as u64).to_le_bytes(), interp.header_offset + 32)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{interpreter, set_interpreter};
    use std::os::unix::fs::FileExt;

    #[test]
    fn the_interpreter_of_a_program_can_be_read_and_changed() {
        let mut copy = tempfile::tempfile().unwrap();
        let bytes = std::fs::read("/proc/self/exe").unwrap();
        std::io::Write::write_all(&mut copy, &bytes).unwrap();
        let read = |f: &std::fs::File| interpreter(&mut |b, o| f.read_at(b, o).unwrap_or(0));
        assert!(read(&copy).unwrap().starts_with(b"/lib"));
        set_interpreter(&copy, b"/proc/1/fd/2").unwrap();
        assert_eq!(read(&copy).unwrap(), b"/proc/1/fd/2");
    }

    #[test]
    fn other_files_have_none() {
        assert_eq!(interpreter(&mut |_, _| 0), None);
        let text = b"#!/bin/sh\n";
        let mut read = |buf: &mut [u8], at: u64| {
            let at = usize::try_from(at).unwrap_or(usize::MAX).min(text.len());
            let n = buf.len().min(text.len() - at);
            buf[..n].copy_from_slice(&text[at..at + n]);
            n
        };
        assert_eq!(interpreter(&mut read), None);
    }
}
