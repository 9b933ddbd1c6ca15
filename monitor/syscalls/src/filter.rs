//! From groups to a classic BPF program, and the same decision by plain code.

mod assembler;
#[cfg(test)]
mod tests;

use crate::group::{GroupSet, Test};
use crate::row::{Row, Support};
use crate::table::{KNOWN_MAX, VIRTUAL, row};
use assembler::{Assembler, Label};

/// The architecture number of x86-64 in a filter: `AUDIT_ARCH_X86_64`.
pub const ARCH_X86_64: u32 = 0xc000_003e;
/// The architecture number of the i386 entry: `AUDIT_ARCH_I386`.
pub const ARCH_I386: u32 = 0x4000_0003;
/// The bit that marks a number of the x32 ABI: `__X32_SYSCALL_BIT`.
pub const X32_BIT: u32 = 0x4000_0000;
/// The kernel's limit on one program: `BPF_MAXINSNS`.
pub const INSTRUCTIONS_MAX: usize = 4096;

/// The number with which a tracer skips a call (-1). The kernel shows it to the filter, and an
/// answer other than "allow" would take the place of the tracer's result.
const SKIPPED: u32 = u32::MAX;

/// One instruction, in the layout of the kernel's `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct SockFilter {
    /// The operation.
    pub code: u16,
    /// How many instructions to skip if the condition holds.
    pub jt: u8,
    /// How many to skip if it does not.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

/// What the filter says about a trapped call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `SECCOMP_RET_USER_NOTIF`.
    Notify,
    /// `SECCOMP_RET_TRACE` with this event message.
    Trace(u16),
}

/// What a filter sees of a call: the parts of `struct seccomp_data` that are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeccompData {
    /// The number.
    pub nr: u32,
    /// The architecture of the entry.
    pub arch: u32,
    /// The arguments.
    pub args: [u64; 6],
}

/// A decision about one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The kernel does it.
    Allow,
    /// The monitor is asked.
    Trap,
    /// It returns this error at once.
    Errno(u16),
}

impl Verdict {
    /// The value that a program returns, of seccomp(2).
    #[must_use]
    pub const fn value(self, action: Action) -> u32 {
        match (self, action) {
            (Self::Allow, _) => 0x7fff_0000,
            (Self::Trap, Action::Notify) => 0x7fc0_0000,
            (Self::Trap, Action::Trace(data)) => 0x7ff0_0000 | data as u32,
            (Self::Errno(errno), _) => 0x0005_0000 | errno as u32,
        }
    }
}

const NOT_THERE: Verdict = Verdict::Errno(libc::ENOSYS as u16);

/// What a filter with these groups says about a call. [`program`] is this function as BPF.
#[must_use]
pub fn verdict(groups: GroupSet, call: &SeccompData) -> Verdict {
    if call.arch != ARCH_X86_64 {
        return NOT_THERE;
    }
    if call.nr == SKIPPED {
        return Verdict::Allow;
    }
    if call.nr >= X32_BIT {
        return NOT_THERE;
    }
    match row(call.nr) {
        Some(row) if row.is_trapped(groups, &call.args) => trapped(row),
        Some(_) => Verdict::Allow,
        None => unknown(groups),
    }
}

/// The calls that an agent in a process may make by itself: stat, fstat, lstat, access, getcwd, readlink, getxattr, lgetxattr,
/// listxattr, llistxattr, getdents64, openat, newfstatat, readlinkat, faccessat, statx, faccessat2.
#[must_use]
pub const fn is_passed(number: u32) -> bool {
    matches!(
        number,
        4..=6 | 21 | 79 | 89 | 191 | 192 | 194 | 195 | 217 | 257 | 262 | 267 | 269 | 332 | 439
    )
}

/// openat, which passes only where it changes nothing.
const OPENAT: u32 = 257;
/// Flags of open(2) that change something or may: `O_WRONLY`, `O_RDWR`, `O_CREAT`, `O_TRUNC`, `__O_TMPFILE`.
const CHANGING: u32 = 0o3 | 0o100 | 0o1000 | 0o20_000_000;

/// What a filter with these groups and this pass says: [`program_with_pass`] is this function as BPF.
#[must_use]
pub fn verdict_with_pass(groups: GroupSet, call: &SeccompData, pass: u64) -> Verdict {
    let changes = call.nr == OPENAT && call.args[2] as u32 & CHANGING != 0;
    if call.arch == ARCH_X86_64 && is_passed(call.nr) && call.args[5] == pass && !changes {
        return Verdict::Allow;
    }
    verdict(groups, call)
}

/// What becomes of a call whose trap has sprung.
fn trapped(row: &Row) -> Verdict {
    match row.support {
        Support::Refused(errno) => Verdict::Errno(u16::try_from(errno.raw()).unwrap_or(u16::MAX)),
        Support::Full | Support::Partial | Support::Native | Support::Planned => Verdict::Trap,
    }
}

/// Numbers without a row: reserved virtual calls are the monitor's, and so is the refusal of all others,
/// which it logs.
fn unknown(groups: GroupSet) -> Verdict {
    if groups.contains(GroupSet::BASE) { Verdict::Trap } else { Verdict::Allow }
}

/// What is to be done for one number, before its arguments are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Leaf {
    Always(Verdict),
    /// The verdict if any of the lists of tests holds in full, else allow.
    If(Vec<&'static [Test]>, Verdict),
}

fn leaf(groups: GroupSet, number: u32) -> Leaf {
    let Some(row) = row(number) else { return Leaf::Always(unknown(groups)) };
    let mut conditions = Vec::new();
    for trap in row.traps.iter().filter(|trap| groups.contains(trap.group.set())) {
        if trap.all.is_empty() {
            return Leaf::Always(trapped(row));
        }
        conditions.push(trap.all);
    }
    if conditions.is_empty() {
        Leaf::Always(Verdict::Allow)
    } else {
        Leaf::If(conditions, trapped(row))
    }
}

/// What is to be done with a range of numbers, and whether a pass is looked for before.
type Treatment = (Leaf, bool);

/// The numbers below the x32 bit as ranges of equal treatment: first number and treatment, rising.
fn ranges(groups: GroupSet, with_pass: bool) -> Vec<(u32, Treatment)> {
    let mut ranges: Vec<(u32, Treatment)> = Vec::new();
    let beyond = [KNOWN_MAX + 1, VIRTUAL.0, VIRTUAL.1 + 1];
    let numbers = (0..=KNOWN_MAX).chain(VIRTUAL.0..=VIRTUAL.1).chain(beyond);
    let mut numbers: Vec<u32> = numbers.collect();
    numbers.sort_unstable();
    for number in numbers {
        let leaf = leaf(groups, number);
        let can_pass = with_pass && is_passed(number) && leaf != Leaf::Always(Verdict::Allow);
        let leaf = (leaf, can_pass);
        // It has one more test than its neighbours.
        let stands_alone = with_pass && (number == OPENAT || number == OPENAT + 1);
        if stands_alone || ranges.last().is_none_or(|(_, last)| *last != leaf) {
            ranges.push((number, leaf));
        }
    }
    ranges
}

/// The filter that traps these groups, for one `seccomp(SECCOMP_SET_MODE_FILTER)`.
///
/// In order: the i386 entry is refused; the number -1, by which a tracer skips a call, passes; x32
/// is refused; a balanced search finds the number's leaf; a leaf is a verdict or tests on the
/// arguments. The number decides before any argument is loaded, so that the kernel's bitmap of
/// numbers that are always allowed (`seccomp_cache_prepare`) by-passes the program for most calls.
///
/// With `Base`, numbers without a row are trapped, so that the monitor refuses and logs them; without it,
/// they pass.
#[must_use]
pub fn program(groups: GroupSet, action: Action) -> Vec<SockFilter> {
    program_with_pass(groups, action, None)
}

/// The same, but calls that an agent makes are allowed: those of [`is_passed`] that have this word in place of a
/// sixth argument, which none of them has. Of openat only what opens for reading and makes nothing.
#[must_use]
pub fn program_with_pass(groups: GroupSet, action: Action, pass: Option<u64>) -> Vec<SockFilter> {
    let ranges = ranges(groups, pass.is_some());
    let mut asm = Assembler::default();
    let allow = asm.ret(Verdict::Allow.value(action));
    let not_there = asm.ret(NOT_THERE.value(action));
    let trap = asm.ret(Verdict::Trap.value(action));
    let mut made: Vec<(&Leaf, Label)> = Vec::new();
    let mut leaves = Vec::new();
    for (first, (leaf, can_pass)) in &ranges {
        let known = made.iter().find(|(other, _)| *other == leaf).map(|(_, label)| *label);
        let label = known.unwrap_or_else(|| match leaf {
            Leaf::Always(Verdict::Allow) => allow,
            Leaf::Always(Verdict::Trap) => trap,
            Leaf::Always(NOT_THERE) => not_there,
            Leaf::Always(other) => asm.ret(other.value(action)),
            Leaf::If(conditions, verdict) => {
                let yes = asm.ret(verdict.value(action));
                let no = asm.ret(Verdict::Allow.value(action));
                asm.any(conditions, yes, no)
            }
        });
        made.push((leaf, label));
        let entry = match pass {
            Some(pass) if *can_pass && *first == OPENAT => {
                let looks = asm.test(Test::Lacks(2, CHANGING), allow, label);
                asm.passes(pass, looks, label)
            }
            Some(pass) if *can_pass => asm.passes(pass, allow, label),
            _ => label,
        };
        leaves.push((*first, entry));
    }
    let search = asm.search(&leaves);
    asm.prologue(search, allow, not_there);
    asm.finish()
}
