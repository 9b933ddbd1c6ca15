//! The vDSO: the kernel's code in every process that reads clocks without a system call, so past every filter.
//!
//! Where time is virtual, the entry points are overwritten in the process itself, by way of /proc/PID/mem, which
//! a tracer may use for pages that are not writable. The page becomes the process' own copy, which fork(2)
//! inherits and execve(2) drops. The image is the same in all processes, so ours tells where the entries are.

use crate::Tid;
use crate::sys::process as sys;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

/// Larger is no vDSO.
const IMAGE_BYTES_MAX: usize = 1 << 16;
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const SYMBOL_BYTES: usize = 24;
/// Bytes of `mov eax, NUMBER; syscall; ret`.
const STUB_BYTES: u64 = 8;

/// The entries that show time, and the system call that does the same.
const ENTRIES: [(&str, i64); 4] = [
    ("__vdso_clock_gettime", libc::SYS_clock_gettime),
    ("__vdso_gettimeofday", libc::SYS_gettimeofday),
    ("__vdso_time", libc::SYS_time),
    ("__vdso_clock_getres", libc::SYS_clock_getres),
];

/// A function of the vDSO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Function {
    offset: u64,
    size_bytes: u64,
}

/// What is to be written at an offset of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Patch {
    offset: u64,
    bytes: Vec<u8>,
}

/// Makes the clock entries of a stopped task's vDSO plain system calls.
///
/// # Errors
/// Those of open(2) and write(2) on /proc/PID/mem.
pub(crate) fn redirect(tid: Tid) -> io::Result<()> {
    static PATCHES: OnceLock<Vec<Patch>> = OnceLock::new();
    let patches = PATCHES.get_or_init(|| own_image().map(|i| patches(&i)).unwrap_or_default());
    let Some(base) = base_of(tid)? else { return Ok(()) };
    let memory = OpenOptions::new().write(true).open(format!("/proc/{}/mem", tid.0))?;
    for patch in patches {
        memory.write_all_at(&patch.bytes, base + patch.offset)?;
    }
    Ok(())
}

/// Address of the vDSO of a task; `None` if it has none.
pub(crate) fn base_of(tid: Tid) -> io::Result<Option<u64>> {
    let mut auxv = Vec::new();
    File::open(format!("/proc/{}/auxv", tid.0))?.read_to_end(&mut auxv)?;
    Ok(auxv
        .chunks_exact(16)
        .find(|pair| word(pair, 0) == Some(libc::AT_SYSINFO_EHDR))
        .and_then(|pair| word(pair, 8))
        .filter(|&base| base != 0))
}

/// The image in this process.
fn own_image() -> Option<Vec<u8>> {
    let base = sys::own_vdso();
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|l| l.ends_with("[vdso]"))?;
    let (start, end) = line.split_once(' ')?.0.split_once('-')?;
    let start = u64::from_str_radix(start, 16).ok()?;
    let length = u64::from_str_radix(end, 16).ok()?.checked_sub(start)?;
    let length = usize::try_from(length).ok().filter(|&l| l <= IMAGE_BYTES_MAX && start == base)?;
    let mut image = vec![0; length];
    File::open("/proc/self/mem").ok()?.read_exact_at(&mut image, base).ok()?;
    Some(image)
}

fn patches(image: &[u8]) -> Vec<Patch> {
    ENTRIES
        .iter()
        .filter_map(|(name, number)| {
            let function = function(image, name)?;
            let number = u32::try_from(*number).ok()?;
            // One that is shorter than what would be written is not there on any kernel so far.
            (function.size_bytes >= STUB_BYTES).then(|| {
                let mut bytes = vec![0xb8];
                bytes.extend_from_slice(&number.to_le_bytes());
                bytes.extend_from_slice(&[0x0f, 0x05, 0xc3]);
                Patch { offset: function.offset, bytes }
            })
        })
        .collect()
}

/// Finds a function by name in the dynamic symbols (elf(5)); offsets are from the beginning of the image.
fn function(image: &[u8], name: &str) -> Option<Function> {
    if !image.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let headers = usize::try_from(word(image, 32)?).ok()?;
    let count = usize::from(half(image, 56)?);
    let header = |kind: u32| {
        (0..count).map(|i| headers.saturating_add(i * 56)).find(|&at| quad(image, at) == Some(kind))
    };
    // Addresses in the image are relative to where its first segment is loaded.
    let bias = word(image, header(PT_LOAD)? + 16)?;
    let dynamic = usize::try_from(word(image, header(PT_DYNAMIC)? + 8)?).ok()?;
    let entry = |tag: u64| {
        (0..64)
            .map(|i| dynamic.saturating_add(i * 16))
            .find(|&at| word(image, at) == Some(tag))
            .and_then(|at| word(image, at + 8))
            .and_then(|address| usize::try_from(address.checked_sub(bias)?).ok())
    };
    let (symbols, strings) = (entry(DT_SYMTAB)?, entry(DT_STRTAB)?);
    // The strings follow the symbols, as every linker lays them out.
    let count = strings.checked_sub(symbols)? / SYMBOL_BYTES;
    (0..count).map(|i| symbols + i * SYMBOL_BYTES).find_map(|at| {
        let text = strings.checked_add(usize::try_from(quad(image, at)?).ok()?)?;
        let rest = image.get(text..)?.strip_prefix(name.as_bytes())?;
        let offset = word(image, at + 8)?.checked_sub(bias)?;
        let size_bytes = word(image, at + 16)?;
        let end = usize::try_from(offset.checked_add(size_bytes)?).ok()?;
        (rest.first() == Some(&0) && end <= image.len()).then_some(Function { offset, size_bytes })
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

fn quad(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{ENTRIES, function, own_image, patches};

    #[test]
    fn every_entry_of_this_kernel_is_found() {
        let image = own_image().expect("this kernel has a vDSO");
        assert_eq!(patches(&image).len(), ENTRIES.len());
        assert!(function(&image, "__vdso_getcpu").is_some());
        assert_eq!(function(&image, "__vdso_get"), None, "a part of a name is no name");
    }

    #[test]
    fn bytes_that_are_no_image_have_no_functions() {
        let image = own_image().expect("this kernel has a vDSO");
        for length in [0, 4, 63, 64, 200, 1000] {
            assert_eq!(function(&image[..length], "__vdso_time"), None, "{length} bytes");
        }
        let mut broken = image;
        broken[32..40].fill(0xff);
        assert_eq!(function(&broken, "__vdso_time"), None);
    }
}
