//! Call sites: where a program has `mov eax, NUMBER; syscall`, or sets another argument last, and what leads from there
//! to the agent.
//!
//! The first instruction becomes a jump to a stub, which begins with it; the second stays, for calls that the agent
//! leaves to the monitor, so that these come from where they always came from.

use super::layout;
use crate::answer::Call;
use crate::process::Process;
use std::collections::HashSet;
use std::os::unix::fs::FileExt;

/// Bytes of both instructions.
const SITE_BYTES: u64 = 7;
/// Bytes of a jump, and of the instruction that it takes the place of.
const JUMP_BYTES: u64 = 5;
/// Sites that are remembered, patched or not.
const SITES_MAX: usize = 512;

/// The call sites of a process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sites {
    seen: HashSet<u64>,
    stubs: usize,
}

impl Sites {
    /// Whether the site that ends at `ip` was never looked at; it was now.
    pub(super) fn is_new(&mut self, ip: u64) -> bool {
        self.seen.len() < SITES_MAX && self.seen.insert(ip)
    }

    fn next_stub(&mut self) -> Option<u64> {
        let stub = self.stubs;
        self.stubs += 1;
        let at = layout::CODE_BYTES + layout::STUBS + stub * layout::STUB_BYTES;
        (stub < layout::STUBS_MAX).then_some(at as u64)
    }
}

/// Leads the site that ends at `ip` to the agent, if it is one. The thread that came from there waits in the kernel,
/// and there is no other.
pub(super) fn patch(process: &Process, base: u64, call: &Call, ip: u64) -> Option<()> {
    let memory = process.memory()?;
    let site = ip.checked_sub(SITE_BYTES)?;
    let mut code = [0; 1 + SITE_BYTES as usize];
    memory.read_exact_at(&mut code, site.checked_sub(1)?).ok()?;
    let first = first_of_site(&code, call)?;
    if !process.is_alone() {
        return None;
    }
    let stub = base + process.sites().next_stub()?;
    let code = stub_code(base + super::ENTRY, stub, site, first)?;
    let mut jump = [0xe9, 0, 0, 0, 0];
    jump[1..].copy_from_slice(&distance(site + JUMP_BYTES, stub)?);
    memory.write_all_at(&code, stub).ok()?;
    memory.write_all_at(&jump, site).ok()
}

/// The first instruction of a site: `mov REGISTER, VALUE` right before `syscall`, where the register had that value at the
/// call. The byte before it tells that it is no other instruction: a prefix would make it one.
fn first_of_site(code: &[u8; 1 + SITE_BYTES as usize], call: &Call) -> Option<[u8; 5]> {
    let [before, first @ .., 0x0f, 0x05] = *code else { return None };
    let had = match first[0] {
        0xb8 => u64::from(call.number),
        0xbf => call.args[0],
        0xbe => call.args[1],
        0xba => call.args[2],
        _ => return None,
    };
    let value = u32::from_le_bytes(first[1..].try_into().ok()?);
    (before & 0xf0 != 0x40 && had == u64::from(value)).then_some(first)
}

/// The operand of a jump or call that ends at `from`.
fn distance(from: u64, to: u64) -> Option<[u8; 4]> {
    let far = i64::try_from(i128::from(to) - i128::from(from)).ok()?;
    Some(i32::try_from(far).ok()?.to_le_bytes())
}

fn stub_code(entry: u64, stub: u64, site: u64, first: [u8; 5]) -> Option<Vec<u8>> {
    let mut code = first.to_vec();
    code.extend_from_slice(&[0x48, 0x8d, 0x64, 0x24, 0x80]); // lea rsp, [rsp - 128]: the red zone
    let to = |code: &mut Vec<u8>, opcode: &[u8], target: u64| {
        code.extend_from_slice(opcode);
        let end = stub + code.len() as u64 + 4;
        code.extend_from_slice(&distance(end, target)?);
        Some(())
    };
    to(&mut code, &[0xe8], entry)?; // call
    code.extend_from_slice(&[0x48, 0x8d, 0xa4, 0x24, 0x80, 0, 0, 0]); // lea rsp, [rsp + 128]
    to(&mut code, &[0x0f, 0x82], site + JUMP_BYTES)?; // jc: the call as it stood
    to(&mut code, &[0xe9], site + SITE_BYTES)?; // jmp: behind it
    (code.len() <= layout::STUB_BYTES).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::{distance, first_of_site, stub_code};
    use crate::answer::Call;

    #[test]
    fn only_the_two_instructions_of_this_number_are_a_site() {
        let call = Call { number: 262, args: [0xffff_ff9c, 1, 2, 3, 4, 5] };
        let site = |code: [u8; 8]| first_of_site(&code, &call).is_some();
        assert!(site([0x90, 0xb8, 6, 1, 0, 0, 0x0f, 0x05]));
        assert!(site([0x90, 0xbf, 0x9c, 0xff, 0xff, 0xff, 0x0f, 0x05]), "mov edi, AT_FDCWD");
        assert!(!site([0x90, 0xb8, 1, 1, 0, 0, 0x0f, 0x05]), "another number");
        assert!(!site([0x90, 0xbf, 3, 0, 0, 0, 0x0f, 0x05]), "another value");
        assert!(!site([0x41, 0xb8, 6, 1, 0, 0, 0x0f, 0x05]), "mov r8d");
        assert!(!site([0x90, 0xb9, 6, 1, 0, 0, 0x0f, 0x05]), "mov ecx");
        assert!(!site([0x90, 0xb8, 6, 1, 0, 0, 0xcd, 0x80]), "int 0x80");
    }

    #[test]
    fn a_stub_leads_to_the_agent_and_back_to_either_end_of_the_site() {
        let code =
            stub_code(0x7f00_0000_0380, 0x7f00_0000_4040, 0x7f00_0010_0000, [0xb8, 6, 1, 0, 0])
                .unwrap();
        assert_eq!(code.len(), 34);
        let word = |at: usize| i64::from(i32::from_le_bytes(code[at..at + 4].try_into().unwrap()));
        let target = |at: usize| 0x7f00_0000_4040 + at as i64 + 4 + word(at);
        assert_eq!(word(1), 262);
        assert_eq!(target(11), 0x7f00_0000_0380);
        assert_eq!(target(25), 0x7f00_0010_0005);
        assert_eq!(target(30), 0x7f00_0010_0007);
    }

    #[test]
    fn what_is_too_far_away_is_no_target() {
        assert_eq!(distance(0x1000, 0x1000 + (1 << 31)), None);
        assert_eq!(distance(1 << 40, (1 << 40) - (1 << 31)), Some([0, 0, 0, 0x80]));
    }
}
