//! The program against an interpreter, and the interpreter against the table.

use super::{
    ARCH_I386, ARCH_X86_64, Action, INSTRUCTIONS_MAX, SeccompData, SockFilter, Verdict, X32_BIT,
    program, program_with_pass, verdict, verdict_with_pass,
};
use crate::group::{Group, GroupSet};
use crate::table::{KNOWN_MAX, VIRTUAL, rows};
use proptest::prelude::*;

/// Runs a program as the kernel does, and panics where the kernel would refuse it.
fn run(program: &[SockFilter], call: &SeccompData) -> u32 {
    let mut accumulator = 0;
    let mut at = 0;
    loop {
        let SockFilter { code, jt, jf, k } = program[at];
        at += 1;
        let mut jump = |condition: bool| at += usize::from(if condition { jt } else { jf });
        match code {
            0x20 => accumulator = word(call, k),
            0x05 => at += k as usize,
            0x15 => jump(accumulator == k),
            0x35 => jump(accumulator >= k),
            0x45 => jump(accumulator & k != 0),
            0x54 => accumulator &= k,
            0x06 => return k,
            _ => panic!("instruction {code:#x} at {}", at - 1),
        }
    }
}

/// The 32-bit word at an offset of `struct seccomp_data`, little endian.
fn word(call: &SeccompData, offset: u32) -> u32 {
    match offset {
        0 => call.nr,
        4 => call.arch,
        16..64 if offset & 7 == 0 => call.args[(offset as usize - 16) / 8] as u32,
        16..64 if offset & 7 == 4 => (call.args[(offset as usize - 16) / 8] >> 32) as u32,
        _ => panic!("load at {offset}"),
    }
}

fn call(nr: u32, args: [u64; 6]) -> SeccompData {
    SeccompData { nr, arch: ARCH_X86_64, args }
}

fn row(name: &str) -> u32 {
    rows().iter().find(|row| row.name == name).expect("the table has the call").number
}

/// The numbers where something changes, and some on either side.
fn numbers() -> impl Iterator<Item = u32> {
    let special = [X32_BIT - 1, X32_BIT, X32_BIT + 1, u32::MAX - 1, u32::MAX];
    (0..KNOWN_MAX + 3).chain(VIRTUAL.0 - 2..VIRTUAL.1 + 3).chain(special)
}

/// Values that the tests of the table tell apart.
fn argument() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(u64::MAX),
        Just(1 << 32),
        Just(u64::from(u32::MAX)),
        Just(-100_i64 as u64),
        Just(0x1000),
        Just(0x0002_0000),
        0_u64..64,
        1024_u64..1040,
        any::<u64>(),
    ]
}

/// The program's answer for a call must be the table's.
fn check(groups: GroupSet, action: Action, program: &[SockFilter], call: &SeccompData) {
    let expected = verdict(groups, call).value(action);
    assert_eq!(run(program, call), expected, "{groups:?} {call:x?}");
}

#[test]
fn each_group_alone_and_all_together_decide_as_the_table_for_each_number() {
    let alone = Group::ALL.map(Group::set);
    let sums = [GroupSet::empty(), GroupSet::all(), GroupSet::BASE | GroupSet::NAMES];
    let action = Action::Trace(7);
    for groups in alone.into_iter().chain(sums) {
        let program = program(groups, action);
        for number in numbers() {
            for args in [[0; 6], [u64::MAX; 6], [1; 6], [0x1003; 6], [4; 6]] {
                check(groups, action, &program, &call(number, args));
            }
        }
    }
}

#[test]
fn only_what_an_agent_may_do_passes_with_its_word() {
    const PASS: u64 = 0x1234_5678_9abc_def1;
    for groups in [GroupSet::empty(), GroupSet::BASE | GroupSet::NAMES, GroupSet::all()] {
        let program = program_with_pass(groups, Action::Notify, Some(PASS));
        assert!(program.len() <= INSTRUCTIONS_MAX, "{} instructions", program.len());
        for number in numbers() {
            for sixth in [PASS, 0, PASS ^ 1, PASS ^ (1 << 63)] {
                for others in [0, 1, 4, 0o100, 0o1000, 0o2_000_000, u64::MAX] {
                    let call = call(number, [others, others, others, others, others, sixth]);
                    let expected = verdict_with_pass(groups, &call, PASS).value(Action::Notify);
                    assert_eq!(run(&program, &call), expected, "{groups:?} {call:x?}");
                }
            }
        }
    }
    let passes = |name, flags| {
        let call = call(row(name), [0, 0, flags, 0, 0, PASS]);
        verdict_with_pass(GroupSet::all(), &call, PASS) == Verdict::Allow
    };
    assert!(!passes("unlink", 0));
    assert!(passes("openat", 0o2_200_000));
    for changing in [1, 2, 0o100, 0o1000, 0o20_200_000] {
        assert!(!passes("openat", changing), "{changing:o}");
        assert!(passes("newfstatat", changing));
    }
}

#[test]
fn programs_keep_the_limits_of_the_kernel() {
    for groups in [GroupSet::empty(), GroupSet::BASE, GroupSet::NAMES, GroupSet::all()] {
        let program = program(groups, Action::Notify);
        assert!(program.len() <= INSTRUCTIONS_MAX, "{} instructions", program.len());
        assert_eq!(program.last().map(|last| last.code), Some(0x06), "the last one returns");
        for (at, SockFilter { code, jt, jf, k }) in program.iter().enumerate() {
            let farthest = match code {
                0x05 => *k as usize,
                0x15 | 0x35 | 0x45 => usize::from(*jt.max(jf)),
                _ => 0,
            };
            assert!(at + 1 + farthest < program.len() || *code == 0x06, "jump out at {at}");
        }
    }
}

#[test]
fn no_search_takes_more_than_forty_instructions_to_allow_a_common_call() {
    let program = program(GroupSet::BASE | GroupSet::NAMES, Action::Notify);
    let mut steps_max = 0;
    for name in ["read", "write", "futex", "mprotect", "close", "epoll_wait", "clock_gettime"] {
        let (mut at, mut steps) = (0, 0);
        let (mut accumulator, call) = (0, call(row(name), [0; 6]));
        while program[at].code != 0x06 {
            let SockFilter { code, jt, jf, k } = program[at];
            let skip = |condition| usize::from(if condition { jt } else { jf });
            at += 1;
            match code {
                0x20 => accumulator = word(&call, k),
                0x05 => at += k as usize,
                0x15 => at += skip(accumulator == k),
                0x35 => at += skip(accumulator >= k),
                _ => panic!("{name} is decided by its number"),
            }
            steps += 1;
        }
        steps_max = steps_max.max(steps);
    }
    assert!(steps_max <= 40, "{steps_max} instructions");
}

#[test]
fn foreign_entries_are_not_there() {
    for groups in [GroupSet::empty(), GroupSet::all()] {
        let program = program(groups, Action::Notify);
        let enosys = Verdict::Errno(38).value(Action::Notify);
        let i386 = SeccompData { nr: 5, arch: ARCH_I386, args: [0; 6] };
        assert_eq!(run(&program, &i386), enosys);
        assert_eq!(run(&program, &call(X32_BIT | 2, [0; 6])), enosys);
    }
}

#[test]
fn a_call_that_the_tracer_skips_passes() {
    let program = program(GroupSet::all(), Action::Trace(0));
    assert_eq!(run(&program, &call(u32::MAX, [0; 6])), 0x7fff_0000);
}

#[test]
fn numbers_without_a_row_are_trapped_only_in_a_view() {
    let after = call(KNOWN_MAX + 1, [0; 6]);
    assert_eq!(verdict(GroupSet::BASE, &after), Verdict::Trap);
    assert_eq!(verdict(GroupSet::NAMES, &after), Verdict::Allow);
    assert_eq!(verdict(GroupSet::BASE, &call(VIRTUAL.1, [0; 6])), Verdict::Trap);
    assert_eq!(verdict(GroupSet::BASE, &call(VIRTUAL.1 + 1, [0; 6])), Verdict::Trap);
}

#[test]
fn an_idle_view_traps_no_call_on_files() {
    for name in ["openat", "newfstatat", "execve", "read", "mmap", "getdents64", "connect"] {
        assert_eq!(verdict(GroupSet::BASE, &call(row(name), [1; 6])), Verdict::Allow, "{name}");
    }
}

#[test]
fn stat_of_a_descriptor_passes_until_the_process_holds_a_virtual_one() {
    let by_fd = call(row("newfstatat"), [3, 0x1000, 0x2000, 0x1000, 0, 0]);
    let of_cwd = call(row("newfstatat"), [-100_i64 as u64, 0x1000, 0x2000, 0x1000, 0, 0]);
    let by_name = call(row("newfstatat"), [3, 0x1000, 0x2000, 0x100, 0, 0]);
    let names = GroupSet::NAMES;
    assert_eq!(verdict(names, &by_fd), Verdict::Allow);
    assert_eq!(verdict(names, &of_cwd), Verdict::Trap);
    assert_eq!(verdict(names, &by_name), Verdict::Trap);
    assert_eq!(verdict(names | GroupSet::STAT, &by_fd), Verdict::Trap);
}

#[test]
fn only_shared_maps_of_files_are_trapped_by_name() {
    let map = |flags, fd| verdict(GroupSet::NAMES, &call(row("mmap"), [0, 1, 1, flags, fd, 0]));
    assert_eq!(map(0x01, 3), Verdict::Trap);
    assert_eq!(map(0x03, 3), Verdict::Trap, "MAP_SHARED_VALIDATE");
    assert_eq!(map(0x02, 3), Verdict::Allow);
    assert_eq!(map(0x21, u64::MAX), Verdict::Allow);
    assert_eq!(map(0x01, u64::from(u32::MAX)), Verdict::Allow, "-1 without sign extension");
}

#[test]
fn high_halves_of_int_arguments_do_not_hide_a_call() {
    let seek_data = 0xdead_beef_0000_0003;
    assert_eq!(
        verdict(GroupSet::NAMES, &call(row("lseek"), [3, 0, seek_data, 0, 0, 0])),
        Verdict::Trap
    );
}

#[test]
fn futex_is_trapped_for_waits_with_a_time_alone() {
    let futex = |op, time| verdict(GroupSet::TIME, &call(row("futex"), [8, op, 1, time, 0, 0]));
    assert_eq!(futex(128, 8), Verdict::Trap, "FUTEX_WAIT_PRIVATE");
    assert_eq!(futex(128 | 256 | 9, 8), Verdict::Trap, "FUTEX_WAIT_BITSET, realtime");
    assert_eq!(futex(128, 0), Verdict::Allow, "for ever");
    assert_eq!(futex(128 | 1, 8), Verdict::Allow, "FUTEX_WAKE");
    assert_eq!(futex(0, 1 << 32), Verdict::Trap, "a pointer whose low half is zero");
}

#[test]
fn the_ring_by_which_calls_would_pass_the_filter_is_not_there() {
    assert_eq!(verdict(GroupSet::BASE, &call(row("io_uring_setup"), [0; 6])), Verdict::Errno(38));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_groups_decide_as_the_table(
        bits in any::<u32>(),
        notify in any::<bool>(),
        calls in proptest::collection::vec(
            (
                prop_oneof![
                    8 => 0..KNOWN_MAX + 2,
                    1 => VIRTUAL.0 - 1..VIRTUAL.1 + 2,
                    1 => any::<u32>(),
                ],
                prop_oneof![
                    8 => Just(ARCH_X86_64),
                    1 => Just(ARCH_I386),
                    1 => any::<u32>(),
                ],
                proptest::array::uniform6(argument()),
            ),
            64,
        ),
    ) {
        let groups = GroupSet::from_bits_truncate(bits);
        let action = if notify { Action::Notify } else { Action::Trace(0x7ff) };
        let program = program(groups, action);
        for (nr, arch, args) in calls {
            check(groups, action, &program, &SeccompData { nr, arch, args });
        }
    }
}
