//! The vDSO: the kernel's code in every process that reads clocks without a system call, so past every filter.
//!
//! Where time is virtual, the entry points are overwritten in the process itself, by way of /proc/PID/mem, which
//! may be used for pages that are not writable. The page becomes the process' own copy, which fork(2) inherits and
//! execve(2) drops. The image is the same in all processes, so ours tells where the entries are.
//!
//! The entries lead to code in the unused end of the image (`code`), which asks the kernel's own code and computes
//! the view's time from it; where there is no room, or the kernel's code begins with what can't be moved, they
//! become system calls. A thread that is just about to run the first five bytes of an entry while these are
//! overwritten would run into the middle of an instruction: the window is two instructions, once a process.

mod code;

use crate::Tid;
use crate::sys::process as sys;
use abi::module::Paces;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

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

/// What is to be done with every image of this kernel.
#[derive(Debug, Default)]
struct Plan {
    patches: Vec<Patch>,
    /// Where the paces are, if the image has room for code that reads clocks.
    block: Option<u64>,
}

/// Where the patched image of a process is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    base: u64,
    /// The kernel's own code ends here.
    end: u64,
}

impl Place {
    pub(crate) const fn from_words([base, end]: [u64; 2]) -> Self {
        Self { base, end }
    }

    pub(crate) const fn to_words(self) -> [u64; 2] {
        [self.base, self.end]
    }

    /// Whether a system call that ends at `ip` is of the kernel's own code there, by which it reads a clock where
    /// the processor can't: our code has asked it for the host's time.
    pub(crate) fn is_original(self, number: u32, ip: u64) -> bool {
        i64::from(number) == libc::SYS_clock_gettime && (self.base..self.end).contains(&ip)
    }
}

fn plan() -> &'static Plan {
    static PLAN: OnceLock<Plan> = OnceLock::new();
    PLAN.get_or_init(|| own_image().map(|image| make_plan(&image)).unwrap_or_default())
}

/// Makes the clock entries of a stopped task's vDSO show these paces; where the image has no room for that, makes
/// them system calls.
///
/// # Errors
/// Those of open(2) and write(2) on /proc/PID/mem.
pub(crate) fn redirect(tid: Tid, paces: Option<&Paces>) -> io::Result<Place> {
    let plan = plan();
    let Some(base) = base_of(tid)? else { return Ok(Place::default()) };
    let memory = OpenOptions::new().write(true).open(format!("/proc/{}/mem", tid.0))?;
    if let Some(block) = plan.block {
        // All of the code is there before the first entry leads to it.
        for patch in plan.patches.iter().filter(|p| p.offset == block) {
            memory.write_all_at(&patch.bytes, base + patch.offset)?;
        }
        let bytes = code::paces(0, paces.unwrap_or(&code::NATIVE));
        memory.write_all_at(&bytes, base + block)?;
    }
    for patch in plan.patches.iter().filter(|p| Some(p.offset) != plan.block) {
        memory.write_all_at(&patch.bytes, base + patch.offset)?;
    }
    Ok(Place { base, end: plan.block.map_or(0, |block| base + block) })
}

/// The sequence number of our code in a process, to be changed.
struct Sequence {
    memory: File,
    at: u64,
    even: u32,
}

impl Sequence {
    /// `None` if the process has no code of ours.
    fn open(tgid: i32, place: Place) -> io::Result<Option<Self>> {
        static NUMBER: AtomicU32 = AtomicU32::new(2);
        let Some(block) = plan().block.filter(|_| place.base != 0) else { return Ok(None) };
        // The descriptor stays with the memory that the process has at this moment, which may be that of another
        // program than the one that was patched.
        let memory = OpenOptions::new().read(true).write(true).open(format!("/proc/{tgid}/mem"))?;
        let at = place.base + block;
        let mut found = [0; 32];
        memory.read_exact_at(&mut found, at + code::GETTIME)?;
        let even = NUMBER.fetch_add(2, Ordering::Relaxed);
        Ok(code::begins_with(&found).then_some(Self { memory, at, even }))
    }

    /// Readers wait from here on, and begin again.
    fn hold(&self) -> io::Result<()> {
        self.memory.write_all_at(&(self.even | 1).to_le_bytes(), self.at)
    }
}

/// Makes readers of a running process wait until it is given paces.
///
/// # Errors
/// Those of open(2), read(2) and write(2) on /proc/PID/mem.
pub(crate) fn hold(tgid: i32, place: Place) -> io::Result<()> {
    Sequence::open(tgid, place)?.map_or(Ok(()), |sequence| sequence.hold())
}

/// Gives a process, which may be running, other paces.
///
/// # Errors
/// Those of open(2), read(2) and write(2) on /proc/PID/mem.
pub(crate) fn set_paces(tgid: i32, place: Place, paces: Option<&Paces>) -> io::Result<()> {
    let Some(sequence) = Sequence::open(tgid, place)? else { return Ok(()) };
    sequence.hold()?;
    let bytes = code::paces(sequence.even | 1, paces.unwrap_or(&code::NATIVE));
    sequence.memory.write_all_at(&bytes, sequence.at)?;
    sequence.memory.write_all_at(&sequence.even.wrapping_add(2).to_le_bytes(), sequence.at)
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

fn make_plan(image: &[u8]) -> Plan {
    fast_plan(image).unwrap_or_else(|| Plan { patches: stubs(image, &ENTRIES), block: None })
}

/// Code of ours for all entries but the one that nobody calls often.
fn fast_plan(image: &[u8]) -> Option<Plan> {
    let at = room(image)?;
    let entry = |name: &str| function(image, name);
    let gettime = entry("__vdso_clock_gettime")?;
    let start = usize::try_from(gettime.offset).ok()?;
    let end = start.checked_add(usize::try_from(gettime.size_bytes).ok()?)?;
    let first = code::movable(image.get(start..end)?)?;
    let mut patches = vec![Patch { offset: at, bytes: code::block(first, at, gettime.offset)? }];
    let ours = [
        ("__vdso_clock_gettime", code::GETTIME),
        ("__vdso_gettimeofday", code::GETTIMEOFDAY),
        ("__vdso_time", code::TIME),
    ];
    for (name, within) in ours {
        let function = entry(name)?;
        let bytes = code::jump(function.offset, at.checked_add(within)?)?;
        if function.size_bytes < bytes.len() as u64 {
            return None;
        }
        patches.push(Patch { offset: function.offset, bytes: bytes.to_vec() });
    }
    patches.extend(stubs(image, &ENTRIES[3..]));
    Some(Plan { patches, block: Some(at) })
}

/// Where the unused end of the image begins, on a cache line, if our code has room there.
fn room(image: &[u8]) -> Option<u64> {
    let used = image.iter().rposition(|&b| b != 0)?.checked_add(1)?;
    let at = used.checked_next_multiple_of(64)?;
    let end = at.checked_add(code::BLOCK_BYTES_MAX)?;
    (end <= image.len()).then(|| u64::try_from(at).ok()).flatten()
}

/// Entries as plain system calls.
fn stubs(image: &[u8], entries: &[(&str, i64)]) -> Vec<Patch> {
    entries
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
    use super::{ENTRIES, Place, function, make_plan, own_image, stubs};

    #[test]
    fn every_entry_of_this_kernel_is_found() {
        let image = own_image().expect("this kernel has a vDSO");
        assert_eq!(stubs(&image, &ENTRIES).len(), ENTRIES.len());
        assert!(make_plan(&image).patches.len() >= ENTRIES.len());
        assert!(function(&image, "__vdso_getcpu").is_some());
        assert_eq!(function(&image, "__vdso_get"), None, "a part of a name is no name");
    }

    #[test]
    fn an_image_without_room_gets_system_calls() {
        let mut image = own_image().expect("this kernel has a vDSO");
        let last = image.len() - 1;
        image[last] = 1;
        let plan = make_plan(&image);
        assert_eq!((plan.block, plan.patches.len()), (None, ENTRIES.len()));
    }

    #[test]
    fn only_clock_calls_of_the_kernels_own_code_pass() {
        let place = Place { base: 0x1000, end: 0x2000 };
        let clock = u32::try_from(libc::SYS_clock_gettime).unwrap();
        assert!(place.is_original(clock, 0x1ff0));
        assert!(!place.is_original(clock, 0x2000));
        assert!(!place.is_original(clock, 0xfff));
        // The entry of clock_getres is a system call of ours.
        assert!(!place.is_original(u32::try_from(libc::SYS_clock_getres).unwrap(), 0x1ff0));
        assert!(!Place::default().is_original(clock, 0));
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
