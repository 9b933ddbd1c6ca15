//! The agent: code that the engine puts into the processes of a view (docs/decisions/0061-agent-in-the-processes.md).
//!
//! Compiled by build.rs for itself, without a library and without writable data; [`decide`] says what it does. It
//! is entered from the stub of a patched call site with the number in `eax` and the arguments in their registers.
#![no_std]
#![no_main]

#[path = "decide.rs"]
mod decide;
#[path = "layout.rs"]
mod layout;

use core::arch::{asm, global_asm};
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU64, Ordering};
use decide::{Attributes, Board, Kernel, Room};

// All registers but rax, rcx, r11 (which a system call changes too) are as before at the end. The carry flag says that
// the call is still to be made, with its number in rax.
//
// `agent_text` and `agent_bytes` read memory that may not be there: the engine sees the fault and goes on at the label
// behind (`agent_text_bad`, `agent_bytes_bad`).
global_asm!(
    ".globl agent_entry, agent_text_at, agent_text_bad, agent_bytes_at, agent_bytes_bad",
    "agent_entry:",
    "push rbp",
    "mov rbp, rsp",
    "sub rsp, 320",
    "and rsp, -16",
    "mov [rsp], rdi",
    "mov [rsp + 8], rsi",
    "mov [rsp + 16], rdx",
    "mov [rsp + 24], r10",
    "mov [rsp + 32], r8",
    "mov [rsp + 40], r9",
    "mov [rsp + 48], rax",
    "movups [rsp + 64], xmm0",
    "movups [rsp + 80], xmm1",
    "movups [rsp + 96], xmm2",
    "movups [rsp + 112], xmm3",
    "movups [rsp + 128], xmm4",
    "movups [rsp + 144], xmm5",
    "movups [rsp + 160], xmm6",
    "movups [rsp + 176], xmm7",
    "movups [rsp + 192], xmm8",
    "movups [rsp + 208], xmm9",
    "movups [rsp + 224], xmm10",
    "movups [rsp + 240], xmm11",
    "movups [rsp + 256], xmm12",
    "movups [rsp + 272], xmm13",
    "movups [rsp + 288], xmm14",
    "movups [rsp + 304], xmm15",
    "cld",
    "mov rdi, rsp",
    "lea rsi, [rip + __executable_start]",
    "call {main}",
    "movups xmm0, [rsp + 64]",
    "movups xmm1, [rsp + 80]",
    "movups xmm2, [rsp + 96]",
    "movups xmm3, [rsp + 112]",
    "movups xmm4, [rsp + 128]",
    "movups xmm5, [rsp + 144]",
    "movups xmm6, [rsp + 160]",
    "movups xmm7, [rsp + 176]",
    "movups xmm8, [rsp + 192]",
    "movups xmm9, [rsp + 208]",
    "movups xmm10, [rsp + 224]",
    "movups xmm11, [rsp + 240]",
    "movups xmm12, [rsp + 256]",
    "movups xmm13, [rsp + 272]",
    "movups xmm14, [rsp + 288]",
    "movups xmm15, [rsp + 304]",
    "mov rdi, [rsp]",
    "mov rsi, [rsp + 8]",
    "mov rdx, [rsp + 16]",
    "mov r10, [rsp + 24]",
    "mov r8, [rsp + 32]",
    "mov r9, [rsp + 40]",
    "mov rcx, {not_mine}",
    "cmp rax, rcx",
    "je 2f",
    "leave",
    "clc",
    "ret",
    "2:",
    "mov rax, [rsp + 48]",
    "leave",
    "stc",
    "ret",
    // rdi: room, rsi: text, rdx: bytes of room. rax: length, or all ones.
    "agent_text:",
    "xor eax, eax",
    "3:",
    "cmp rax, rdx",
    "jae agent_text_bad",
    "agent_text_at:",
    "movzx ecx, byte ptr [rsi + rax]",
    "mov [rdi + rax], cl",
    "test cl, cl",
    "jz 4f",
    "inc rax",
    "jmp 3b",
    "agent_text_bad:",
    "mov rax, -1",
    "4:",
    "ret",
    // rdi: room, rsi: address, rdx: bytes. rax: 0, or all ones.
    "agent_bytes:",
    "mov rcx, rdx",
    "xor eax, eax",
    "agent_bytes_at:",
    "rep movsb",
    "ret",
    "agent_bytes_bad:",
    "mov rax, -1",
    "ret",
    main = sym agent_main,
    not_mine = const NOT_MINE,
);

const ENOENT: i64 = -2;

/// No result of a system call.
const NOT_MINE: i64 = i64::MIN;

struct Here {
    pass: u64,
}

impl Here {
    /// # Safety
    /// The arguments are those of the process, or addresses of this program's own that the kernel may write to.
    unsafe fn raw(&self, number: u64, a: [u64; 5]) -> i64 {
        let mut result = number as i64;
        // SAFETY:
        // 1. The caller answers for the arguments; the kernel checks addresses itself.
        unsafe {
            asm!("syscall", inout("rax") result, in("rdi") a[0], in("rsi") a[1], in("rdx") a[2],
                 in("r10") a[3], in("r8") a[4], in("r9") self.pass,
                 lateout("rcx") _, lateout("r11") _, options(nostack));
        }
        result
    }
}

impl Kernel for Here {
    fn call(&self, number: u64, args: [u64; 5]) -> i64 {
        // SAFETY:
        // 1. `decide` gives the arguments of the process on, which may make this call itself.
        unsafe { self.raw(number, args) }
    }

    fn text<'r>(&self, address: u64, room: &'r mut Room) -> Option<&'r [u8]> {
        let length: i64;
        // SAFETY:
        // 1. At most as many bytes as the room has are written into it.
        // 2. A read that faults ends the copy, by the engine.
        unsafe {
            asm!("call agent_text", in("rdi") room.as_mut_ptr(), in("rsi") address,
                 in("rdx") room.len(), lateout("rax") length, lateout("rcx") _);
        }
        let length = usize::try_from(length).ok()?;
        // SAFETY:
        // 1. The first `length` bytes of the room have just been written.
        Some(unsafe { core::slice::from_raw_parts(room.as_ptr().cast(), length) })
    }

    fn half(&self, address: u64) -> Option<u16> {
        let mut found = 0_u16;
        let result: i64;
        // SAFETY:
        // 1. Two bytes are written to `found`.
        // 2. A read that faults ends the copy, by the engine.
        unsafe {
            asm!("call agent_bytes", inout("rdi") &raw mut found => _, inout("rsi") address => _,
                 in("rdx") 2, lateout("rax") result, lateout("rcx") _);
        }
        (result == 0).then_some(found)
    }

    fn is_missing(&self, dirfd: u64, text: &[u8]) -> bool {
        let mut own: Room = [MaybeUninit::uninit(); 256];
        for (to, from) in own.iter_mut().zip(text.iter().chain(&[0])) {
            to.write(*from);
        }
        // A text that comes from a room is shorter than one.
        text.len() < own.len() && matches!(self.attributes(dirfd, own.as_ptr() as u64), Err(ENOENT))
    }

    fn attributes(&self, dirfd: u64, path: u64) -> Result<Attributes, i64> {
        const EMPTY: &[u8; 1] = b"\0";
        let mut stat = MaybeUninit::<[u64; 18]>::uninit();
        let (path, flags) = if path == 0 { (EMPTY.as_ptr() as u64, 0x1000) } else { (path, 0x100) };
        // SAFETY:
        // 1. `stat` has the size of `struct stat`, 144 bytes, and lives until the call is over.
        let result = unsafe { self.raw(262, [dirfd, path, stat.as_mut_ptr() as u64, flags, 0]) };
        if result != 0 {
            return Err(result);
        }
        // SAFETY:
        // 1. The kernel has filled it.
        let stat = unsafe { stat.assume_init_ref() };
        Ok(Attributes { dev: stat[0], ino: stat[1], mode: stat[3] as u32 })
    }
}

/// # Safety
/// `image` is the beginning of the mapping, `at` a multiple of 8 within it.
unsafe fn words<'a>(image: *const u8, at: usize, count: usize) -> &'a [AtomicU64] {
    // SAFETY:
    // 1. The mapping is as long as layout.rs says, is never taken away while the process runs, and begins on a page.
    // 2. Words of it change only as atomics do: by whole writes of the monitor.
    unsafe { core::slice::from_raw_parts(image.add(at).cast(), count) }
}

/// # Safety
/// Called by `agent_entry` alone: `args` are seven words, `image` is the beginning of the mapping.
unsafe extern "C" fn agent_main(args: *const u64, image: *const u8) -> i64 {
    // SAFETY:
    // 1. The caller has just written the seven words.
    // 2. The offsets are those of layout.rs.
    let ([rdi, rsi, rdx, r10, r8, _, number], board) = unsafe {
        let known = layout::BOARD + layout::HEADER_BYTES;
        let known_words = layout::BUCKETS * layout::WAYS * 2;
        let board = Board {
            own: words(image, layout::CODE_BYTES, 8),
            header: words(image, layout::BOARD, 32),
            known: words(image, known, known_words),
            nodes: words(image, known + known_words * 8, layout::NODES),
        };
        (*args.cast::<[u64; 7]>(), board)
    };
    let here = Here { pass: board.header[layout::PASS].load(Ordering::Relaxed) };
    decide::decide(&here, &board, number, [rdi, rsi, rdx, r10, r8]).unwrap_or(NOT_MINE)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        // SAFETY:
        // 1. An invalid instruction ends the process; nothing in here panics.
        unsafe { asm!("ud2") };
    }
}
