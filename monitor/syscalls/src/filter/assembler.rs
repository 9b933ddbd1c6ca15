//! A classic BPF assembler that writes from the last instruction to the first.
//!
//! All jumps of classic BPF go forward, so a target is always written before what jumps to it, and
//! distances are known at once. Distances above 255 go by a hop: an unconditional jump that is
//! written just before the conditional one.

use super::{ARCH_X86_64, SKIPPED, SockFilter, X32_BIT};
use crate::group::Test;

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const IF_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const IF_NOT_LESS: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const IF_BITS: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

const NUMBER: u32 = 0; // offsets in struct seccomp_data
const ARCH: u32 = 4;
const ARGS: u32 = 16;

/// A place in the program, counted from its end: how many instructions there are from it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label(usize);

/// The instructions so far, the last one first.
#[derive(Default)]
pub(super) struct Assembler {
    reversed: Vec<SockFilter>,
}

impl Assembler {
    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) -> Label {
        self.reversed.push(SockFilter { code, jt, jf, k });
        Label(self.reversed.len())
    }

    /// `return value`.
    pub(super) fn ret(&mut self, value: u32) -> Label {
        self.push(RETURN, 0, 0, value)
    }

    /// How many instructions the next one written would have to skip.
    fn distance(&self, target: Label) -> usize {
        self.reversed.len() - target.0
    }

    /// A label for `target` that the conditional jump written next, or after one more hop, reaches.
    fn near(&mut self, target: Label) -> Label {
        let distance = self.distance(target);
        if distance < usize::from(u8::MAX) {
            return target;
        }
        let skip = u32::try_from(distance).expect("a program has at most 4,096 instructions");
        self.push(JUMP, 0, 0, skip)
    }

    /// `if accumulator <code> k then yes else no`.
    fn branch(&mut self, code: u16, k: u32, yes: Label, no: Label) -> Label {
        let yes = self.near(yes);
        let no = self.near(no);
        let skip = |asm: &Self, label| {
            u8::try_from(asm.distance(label)).expect("near() leaves room for one hop")
        };
        let (jt, jf) = (skip(self, yes), skip(self, no));
        self.push(code, jt, jf, k)
    }

    /// Loads a word of the call for the instruction written before this one.
    fn load(&mut self, offset: u32) -> Label {
        self.push(LOAD, 0, 0, offset)
    }

    /// To `yes` if the test holds, else to `no`.
    pub(super) fn test(&mut self, test: Test, yes: Label, no: Label) -> Label {
        let low = ARGS + 8 * u32::from(test.argument());
        let high = low + 4;
        match test {
            Test::Is(_, value) => self.branch(IF_EQUAL, value, yes, no),
            Test::IsNot(_, value) => self.branch(IF_EQUAL, value, no, yes),
            Test::Has(_, bits) => self.branch(IF_BITS, bits, yes, no),
            Test::Lacks(_, bits) => self.branch(IF_BITS, bits, no, yes),
            Test::Masked(_, mask, value) => {
                self.branch(IF_EQUAL, value, yes, no);
                self.push(AND, 0, 0, mask)
            }
            Test::NotNull(_) => {
                self.branch(IF_EQUAL, 0, no, yes);
                let rest = self.load(high);
                self.branch(IF_EQUAL, 0, rest, yes)
            }
        };
        self.load(low)
    }

    /// To `yes` if any list of tests holds in full, else to `no`.
    pub(super) fn any(&mut self, lists: &[&[Test]], yes: Label, no: Label) -> Label {
        lists.iter().rev().fold(no, |otherwise, list| {
            list.iter().rev().fold(yes, |then, test| self.test(*test, then, otherwise))
        })
    }

    /// To `yes` if the sixth argument is this word, else to `no`.
    pub(super) fn passes(&mut self, word: u64, yes: Label, no: Label) -> Label {
        const LOW: u32 = ARGS + 5 * 8;
        self.branch(IF_EQUAL, (word >> 32) as u32, yes, no);
        let high = self.load(LOW + 4);
        self.branch(IF_EQUAL, word as u32, high, no);
        self.load(LOW)
    }

    /// A balanced search of the number in the accumulator: the leaf of the last range whose first
    /// number is not above it. The first range starts at 0.
    pub(super) fn search(&mut self, leaves: &[(u32, Label)]) -> Label {
        match leaves {
            [(_, label)] => *label,
            _ => {
                let (below, above) = leaves.split_at(leaves.len() / 2);
                let right = self.search(above);
                let left = self.search(below);
                self.branch(IF_NOT_LESS, above[0].0, right, left)
            }
        }
    }

    /// The start of the program: architecture, skipped calls, x32, then the search.
    pub(super) fn prologue(&mut self, search: Label, allow: Label, not_there: Label) {
        let not_native = self.branch(IF_EQUAL, SKIPPED, allow, not_there);
        self.branch(IF_NOT_LESS, X32_BIT, not_native, search);
        let number = self.load(NUMBER);
        self.branch(IF_EQUAL, ARCH_X86_64, number, not_there);
        self.load(ARCH);
    }

    /// The program in its own order.
    pub(super) fn finish(mut self) -> Vec<SockFilter> {
        self.reversed.reverse();
        self.reversed
    }
}
