//! Code that reads virtual clocks inside the processes, put into the unused end of the vDSO's image.
//!
//! It asks the kernel's own code for the host's time, takes the numbers of the clock's pace, and computes what the
//! clock shows, and all of it again if the sequence number has changed meanwhile. That takes about 10 ns more than
//! the host's own clocks take, and no system call. The block is
//!
//! ```text
//! 0    sequence: odd while the monitor changes the time
//! 16   eight paces of 32 bytes, by the number of the clock: base, base + offset, rate
//! 272  clock_gettime, gettimeofday, time
//! 539  the first instructions of the kernel's clock_gettime, and a jump behind them
//! ```
//!
//! The bytes were made by an assembler from what the comments say. Clocks without a pace, and bad arguments, go by
//! a system call, which the monitor sees.

use abi::module::{Pace, Paces};

/// Where the functions begin in the block, and the original's first instructions.
pub(super) const GETTIME: u64 = 272;
pub(super) const GETTIMEOFDAY: u64 = GETTIME + 164;
pub(super) const TIME: u64 = GETTIME + 231;
const ORIGINAL: usize = 272 + CODE.len();
/// Bytes of the paces with their sequence number.
const PACES_BYTES: usize = 272;
/// Bytes of `jmp rel32`.
const JUMP_BYTES: usize = 5;
/// The clocks that have a place in the block.
const CLOCKS: i32 = 8;

#[rustfmt::skip]
const CODE: [u8; 267] = [
    // clock_gettime(clock in edi, result at rsi)
    0x83, 0xff, 0x07, // cmp edi,0x7
    0x0f, 0x87, 0x93, 0x00, 0x00, 0x00, // ja gettime+0x9c
    0xb8, 0xf3, 0x00, 0x00, 0x00, // mov eax,0xf3
    0x0f, 0xa3, 0xf8, // bt eax,edi
    0x0f, 0x83, 0x85, 0x00, 0x00, 0x00, // jae gettime+0x9c
    0x57, // push rdi
    0x56, // push rsi
    0x48, 0x83, 0xec, 0x08, // sub rsp,0x8
    0xeb, 0x02, // jmp gettime+0x21
    0xf3, 0x90, // pause
    0x8b, 0x05, 0xc9, 0xfe, 0xff, 0xff, // mov eax,[sequence]
    0xa8, 0x01, // test al,0x1
    0x75, 0xf4, // jne gettime+0x1f
    0x89, 0x04, 0x24, // mov [rsp],eax
    0x48, 0x8b, 0x7c, 0x24, 0x10, // mov rdi,[rsp+0x10]
    0x48, 0x8b, 0x74, 0x24, 0x08, // mov rsi,[rsp+0x8]
    0xe8, 0xce, 0x00, 0x00, 0x00, // call original
    0x85, 0xc0, // test eax,eax
    0x75, 0x56, // jne gettime+0x97
    0x48, 0x8b, 0x74, 0x24, 0x08, // mov rsi,[rsp+0x8]
    0x8b, 0x4c, 0x24, 0x10, // mov ecx,[rsp+0x10]
    0xc1, 0xe1, 0x05, // shl ecx,0x5
    0x4c, 0x8d, 0x05, 0xac, 0xfe, 0xff, 0xff, // lea r8,[paces]
    0x49, 0x01, 0xc8, // add r8,rcx
    0x48, 0x69, 0x06, 0x00, 0xca, 0x9a, 0x3b, // imul rax,[rsi],0x3b9aca00
    0x48, 0x03, 0x46, 0x08, // add rax,[rsi+0x8]
    0x49, 0x2b, 0x00, // sub rax,[r8]
    0x49, 0xf7, 0x68, 0x10, // imul [r8+0x10]
    0x48, 0x0f, 0xac, 0xd0, 0x20, // shrd rax,rdx,0x20
    0x49, 0x03, 0x40, 0x08, // add rax,[r8+0x8]
    0x8b, 0x0d, 0x78, 0xfe, 0xff, 0xff, // mov ecx,[sequence]
    0x3b, 0x0c, 0x24, // cmp ecx,[rsp]
    0x75, 0xa4, // jne gettime+0x21
    0x48, 0x85, 0xc0, // test rax,rax
    0x79, 0x02, // jns gettime+0x84
    0x31, 0xc0, // xor eax,eax
    0x31, 0xd2, // xor edx,edx
    0xb9, 0x00, 0xca, 0x9a, 0x3b, // mov ecx,0x3b9aca00
    0x48, 0xf7, 0xf1, // div rcx
    0x48, 0x89, 0x06, // mov [rsi],rax
    0x48, 0x89, 0x56, 0x08, // mov [rsi+0x8],rdx
    0x31, 0xc0, // xor eax,eax
    0x48, 0x83, 0xc4, 0x18, // add rsp,0x18
    0xc3, // ret
    0xb8, 0xe4, 0x00, 0x00, 0x00, // mov eax,0xe4
    0x0f, 0x05, // syscall
    0xc3, // ret
    // gettimeofday(result at rdi, zone at rsi)
    0x48, 0x85, 0xff, // test rdi,rdi
    0x74, 0x36, // je gettimeofday+0x3b
    0x48, 0x85, 0xf6, // test rsi,rsi
    0x75, 0x31, // jne gettimeofday+0x3b
    0x57, // push rdi
    0x48, 0x83, 0xec, 0x10, // sub rsp,0x10
    0x31, 0xff, // xor edi,edi
    0x48, 0x89, 0xe6, // mov rsi,rsp
    0xe8, 0x43, 0xff, 0xff, 0xff, // call gettime
    0x48, 0x8b, 0x0c, 0x24, // mov rcx,[rsp]
    0x48, 0x8b, 0x44, 0x24, 0x08, // mov rax,[rsp+0x8]
    0x48, 0x83, 0xc4, 0x10, // add rsp,0x10
    0x5f, // pop rdi
    0x31, 0xd2, // xor edx,edx
    0xbe, 0xe8, 0x03, 0x00, 0x00, // mov esi,0x3e8
    0x48, 0xf7, 0xf6, // div rsi
    0x48, 0x89, 0x0f, // mov [rdi],rcx
    0x48, 0x89, 0x47, 0x08, // mov [rdi+0x8],rax
    0x31, 0xc0, // xor eax,eax
    0xc3, // ret
    0xb8, 0x60, 0x00, 0x00, 0x00, // mov eax,0x60
    0x0f, 0x05, // syscall
    0xc3, // ret
    // time(result at rdi, or 0)
    0x57, // push rdi
    0x48, 0x83, 0xec, 0x10, // sub rsp,0x10
    0xbf, 0x05, 0x00, 0x00, 0x00, // mov edi,0x5
    0x48, 0x89, 0xe6, // mov rsi,rsp
    0xe8, 0x07, 0xff, 0xff, 0xff, // call gettime
    0x48, 0x8b, 0x04, 0x24, // mov rax,[rsp]
    0x48, 0x83, 0xc4, 0x10, // add rsp,0x10
    0x5f, // pop rdi
    0x48, 0x85, 0xff, // test rdi,rdi
    0x74, 0x03, // je time+0x23
    0x48, 0x89, 0x07, // mov [rdi],rax
    0xc3, // ret
];

/// The block for an image in which the entry of clock_gettime begins with `first`, whole instructions that run
/// anywhere. `at` is where the block is, `entry` where the entry is.
pub(super) fn block(first: &[u8], at: u64, entry: u64) -> Option<Vec<u8>> {
    let mut bytes = vec![0; PACES_BYTES];
    bytes.extend_from_slice(&CODE);
    bytes.extend_from_slice(first);
    let here = at.checked_add(bytes.len() as u64)?;
    bytes.extend_from_slice(&jump(here, entry.checked_add(first.len() as u64)?)?);
    Some(bytes)
}

/// Whether these bytes are the beginning of our code.
pub(super) fn begins_with(found: &[u8]) -> bool {
    CODE.starts_with(found)
}

/// Bytes of a block, at most.
pub(super) const BLOCK_BYTES_MAX: usize = ORIGINAL + 32 + JUMP_BYTES;

/// `jmp rel32` from one address of the image to another.
pub(super) fn jump(from: u64, to: u64) -> Option<[u8; JUMP_BYTES]> {
    let next = i64::try_from(from.checked_add(JUMP_BYTES as u64)?).ok()?;
    let distance = i32::try_from(i64::try_from(to).ok()?.checked_sub(next)?).ok()?;
    let [a, b, c, d] = distance.to_le_bytes();
    Some([0xe9, a, b, c, d])
}

/// The first instructions of a function that are as long as a jump, if each of them means the same elsewhere.
pub(super) fn movable(function: &[u8]) -> Option<&[u8]> {
    let mut length = 0;
    while length < JUMP_BYTES {
        length += match function.get(length..)? {
            // push r64
            [0x50..=0x57, ..] => 1,
            // push r8-r15
            [0x41, 0x50..=0x57, ..] => 2,
            // mov rbp, rsp
            [0x48, 0x89, 0xe5, ..] => 3,
            // and rsp, imm8; sub rsp, imm8
            [0x48, 0x83, 0xe4 | 0xec, _, ..] => 4,
            // endbr64
            [0xf3, 0x0f, 0x1e, 0xfa, ..] => 4,
            _ => return None,
        };
    }
    function.get(..length)
}

/// The paces as the code reads them, with a sequence number before them.
pub(super) fn paces(sequence: u32, paces: &Paces) -> Vec<u8> {
    let mut bytes = sequence.to_le_bytes().to_vec();
    bytes.resize(16, 0);
    for clock in 0..CLOCKS {
        let native = Pace { base_nanos: 0, offset_nanos: 0, rate: 1 << 32 };
        let pace = paces.of(clock).copied().unwrap_or(native);
        bytes.extend_from_slice(&pace.base_nanos.to_le_bytes());
        let sum = pace.base_nanos.saturating_add(pace.offset_nanos);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes.extend_from_slice(&pace.rate.to_le_bytes());
        bytes.extend_from_slice(&[0; 8]);
    }
    bytes
}

/// Clocks that show the host's time.
pub(super) const NATIVE: Paces = {
    let native = Pace { base_nanos: 0, offset_nanos: 0, rate: 1 << 32 };
    Paces { realtime: native, monotonic: native, raw: native, boottime: native, tai: native }
};

#[cfg(test)]
mod tests {
    use super::{BLOCK_BYTES_MAX, CODE, GETTIME, GETTIMEOFDAY, NATIVE, PACES_BYTES, TIME};
    use super::{block, jump, movable, paces};

    #[test]
    fn functions_begin_where_the_code_says() {
        let at = |offset: u64| CODE[usize::try_from(offset - GETTIME).unwrap()];
        assert_eq!(paces(0, &NATIVE).len(), PACES_BYTES);
        // cmp edi, 7; test rdi, rdi; push rdi
        assert_eq!((at(GETTIME), at(GETTIMEOFDAY), at(TIME)), (0x83, 0x48, 0x57));
        assert_eq!((at(GETTIMEOFDAY - 1), at(TIME - 1)), (0xc3, 0xc3), "after a ret");
        let bytes = block(&[0x55, 0x48, 0x89, 0xe5, 0x53], 0x1a40, 0xaf0).unwrap();
        assert!(bytes.len() <= BLOCK_BYTES_MAX);
        assert_eq!(bytes[bytes.len() - 5], 0xe9);
    }

    #[test]
    fn a_jump_goes_both_ways() {
        assert_eq!(jump(0, 5), Some([0xe9, 0, 0, 0, 0]));
        assert_eq!(jump(100, 95), Some([0xe9, 0xf6, 0xff, 0xff, 0xff]));
        assert_eq!(jump(0, u64::MAX), None);
    }

    #[test]
    fn instructions_that_know_where_they_are_are_not_moved() {
        assert_eq!(movable(&[0x55, 0x48, 0x89, 0xe5, 0x41, 0x56, 0x53]).map(<[u8]>::len), Some(6));
        // Error: lea r10, [rip + ...]
        assert_eq!(movable(&[0x55, 0x4c, 0x8d, 0x15, 0, 0, 0, 0]), None);
        assert_eq!(movable(&[0x55, 0x55]), None);
    }
}
