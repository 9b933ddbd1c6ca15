//! What becomes of calls that know of time.

use crate::memory::{Memory, NOWHERE};
use abi::fs::Caller;
use abi::module::{CallAnswer, CallArg, CallInstead, SyscallSet};
use abi::{Errno, Result};
use proptest::prelude::*;
use std::sync::Arc;
use ummisc::{Setting, TimeCalls, Timeline};

const OWNER: u32 = 1000;

fn time(frequency: &str) -> (Arc<Timeline>, TimeCalls) {
    let time = Arc::new(Timeline::default());
    time.set(Setting::Frequency, frequency).unwrap();
    (Arc::clone(&time), TimeCalls::new(time, OWNER))
}

fn ask(calls: &TimeCalls, number: i64, args: [u64; 6], memory: &mut Memory) -> CallAnswer {
    let caller = Caller { uid: OWNER, gid: 100, pid: 0 };
    calls.answer(caller, u32::try_from(number).unwrap(), args, memory)
}

fn returned(answer: CallAnswer) -> Result<u64> {
    match answer {
        CallAnswer::Return(result) => result,
        CallAnswer::Pass => panic!("the kernel has the call"),
        CallAnswer::Run(_) => panic!("another call runs"),
    }
}

fn run(answer: CallAnswer) -> CallInstead {
    match answer {
        CallAnswer::Run(instead) => *instead,
        CallAnswer::Pass => panic!("the kernel has the call"),
        CallAnswer::Return(result) => panic!("answered {result:?}"),
    }
}

fn passes(answer: &CallAnswer) -> bool {
    matches!(answer, CallAnswer::Pass)
}

/// The two words of an argument that lies in memory.
fn pair(arg: &CallArg) -> [i64; 2] {
    let CallArg::Bytes(bytes) = arg else { panic!("{arg:?} is no memory") };
    [0, 8].map(|at| i64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap()))
}

#[test]
fn a_clock_is_read_in_virtual_time() {
    let (time, calls) = time("1");
    time.set(Setting::Offset, "1000000").unwrap();
    let mut memory = Memory::new();
    let host = abi::fs::Timestamp::now().seconds;
    let gettime = libc::SYS_clock_gettime;
    assert_eq!(returned(ask(&calls, gettime, [0, 64, 0, 0, 0, 0], &mut memory)), Ok(0));
    assert!((1_000_000..1_000_010).contains(&(memory.word(64) - host)));
    let seconds = returned(ask(&calls, libc::SYS_time, [0; 6], &mut memory)).unwrap();
    assert!((1_000_000..1_000_010).contains(&(i64::try_from(seconds).unwrap() - host)));
    // CPU time is the kernel's.
    for clock in [libc::CLOCK_PROCESS_CPUTIME_ID, libc::CLOCK_THREAD_CPUTIME_ID, -6, 77] {
        let clock = u64::from(u32::from_ne_bytes(clock.to_ne_bytes()));
        assert!(passes(&ask(&calls, gettime, [clock, 64, 0, 0, 0, 0], &mut memory)));
    }
    // Error: nothing is there.
    let bad = ask(&calls, gettime, [0, NOWHERE, 0, 0, 0, 0], &mut memory);
    assert_eq!(returned(bad), Err(Errno::EFAULT));
}

#[test]
fn a_sleep_is_as_long_as_its_virtual_time_lasts_and_tells_what_remains() {
    let (_, calls) = time("4");
    let mut memory = Memory::new();
    memory.put(0, &[10, 0]);
    let mut instead = run(ask(&calls, libc::SYS_nanosleep, [0, 32, 0, 0, 0, 0], &mut memory));
    assert_eq!(pair(&instead.args[0]), [2, 500_000_000]);
    assert_eq!(instead.args[1], CallArg::Value(32), "the kernel writes where it was told to");
    // A signal came after a real second: the kernel wrote what remains.
    memory.put(32, &[1, 500_000_000]);
    let after = instead.after.take().unwrap();
    assert_eq!(after(&mut memory, [500, 32, 0, 0, 0, 0], -516), -516);
    assert_eq!((memory.word(32), memory.word(40)), (6, 0));
}

#[test]
fn a_timeout_in_memory_is_replaced_and_what_is_left_comes_back() {
    let (_, calls) = time("10");
    let mut memory = Memory::new();
    memory.put(0, &[20, 0]);
    let mut instead = run(ask(&calls, libc::SYS_select, [1, 0, 0, 0, 0, 0], &mut memory));
    assert_eq!(pair(&instead.args[4]), [2, 0]);
    // The kernel leaves half a real second in the copy, which lies elsewhere.
    memory.put(512, &[0, 500_000]);
    let after = instead.after.take().unwrap();
    assert_eq!(after(&mut memory, [1, 0, 0, 0, 512, 0], 1), 1);
    assert_eq!((memory.word(0), memory.word(8)), (5, 0));
}

#[test]
fn milliseconds_are_rounded_only_where_it_does_not_show() {
    let (_, calls) = time("100");
    let mut memory = Memory::new();
    let fine = run(ask(&calls, libc::SYS_poll, [0, 1, 1000, 9, 9, 9], &mut memory));
    assert_eq!(i64::from(fine.number), libc::SYS_ppoll);
    assert_eq!(pair(&fine.args[2]), [0, 10_000_000]);
    assert_eq!(fine.args[3], CallArg::Value(0), "no mask of signals");
    let coarse = run(ask(&calls, libc::SYS_poll, [0, 1, 100_000, 0, 0, 0], &mut memory));
    assert_eq!(i64::from(coarse.number), libc::SYS_poll);
    assert_eq!(coarse.args[2], CallArg::Value(1000));
    let epoll = run(ask(&calls, libc::SYS_epoll_wait, [3, 0, 1, 500, 0, 0], &mut memory));
    assert_eq!(i64::from(epoll.number), libc::SYS_epoll_pwait2);
    // For ever, and not at all, are the same in any time.
    for timeout in [0, u64::from(u32::MAX)] {
        assert!(passes(&ask(&calls, libc::SYS_poll, [0, 1, timeout, 0, 0, 0], &mut memory)));
    }
}

#[test]
fn a_point_in_time_is_one_of_its_clock() {
    let (time, calls) = time("1");
    time.set(Setting::Offset, "1000").unwrap();
    let mut memory = Memory::new();
    memory.put(0, &[5000, 7]);
    let wait = |clock: i32| {
        u64::try_from(libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG | clock).unwrap()
    };
    let real = [64, wait(libc::FUTEX_CLOCK_REALTIME), 1, 0, 0, 0];
    let instead = run(ask(&calls, libc::SYS_futex, real, &mut memory));
    assert_eq!(pair(&instead.args[3]), [4000, 7]);
    // The steady clock has no offset, and a duration none either.
    let steady = [64, wait(0), 1, 0, 0, 0];
    assert!(passes(&ask(&calls, libc::SYS_futex, steady, &mut memory)));
    let duration = [64, 0, 1, 0, 0, 0];
    assert!(passes(&ask(&calls, libc::SYS_futex, duration, &mut memory)));
    let wake = [64, 1, 1, 0, 0, 0];
    assert!(passes(&ask(&calls, libc::SYS_futex, wake, &mut memory)));
}

#[test]
fn an_alarm_is_a_timer_of_whole_seconds() {
    let (_, calls) = time("8");
    let mut memory = Memory::new();
    let mut instead = run(ask(&calls, libc::SYS_alarm, [60, 0, 0, 0, 0, 0], &mut memory));
    assert_eq!(i64::from(instead.number), libc::SYS_setitimer);
    let CallArg::Bytes(timer) = &instead.args[1] else { panic!("a timer in memory") };
    assert_eq!(i64::from_ne_bytes(timer[16..24].try_into().unwrap()), 7);
    // A timer of a real second was under way; 0.01 of one would still be a second.
    let after = instead.after.take().unwrap();
    memory.put(512, &[0, 0, 1, 0]);
    assert_eq!(after(&mut memory, [0, 400, 512, 0, 0, 0], 0), 8);
    let again = run(ask(&calls, libc::SYS_alarm, [0; 6], &mut memory));
    memory.put(512, &[0, 0, 0, 10_000]);
    assert_eq!(again.after.unwrap()(&mut memory, [0, 400, 512, 0, 0, 0], 0), 1);
}

#[test]
fn only_its_owner_and_root_set_the_clock_and_nobody_slews_it() {
    let (time, calls) = time("1");
    let mut memory = Memory::new();
    memory.put(0, &[1_000_000_000, 0]);
    let number = u32::try_from(libc::SYS_clock_settime).unwrap();
    let stranger = Caller { uid: 7, gid: 7, pid: 0 };
    let refused = calls.answer(stranger, number, [0; 6], &mut memory);
    assert_eq!(returned(refused), Err(Errno::EPERM));
    assert_eq!(returned(ask(&calls, libc::SYS_clock_settime, [0; 6], &mut memory)), Ok(0));
    let shown = time.now(libc::CLOCK_REALTIME).unwrap() / 1_000_000_000;
    assert!((1_000_000_000..1_000_000_010).contains(&shown));
    // Error: a clock that can't be set; a slew.
    let steady = ask(&calls, libc::SYS_clock_settime, [1, 0, 0, 0, 0, 0], &mut memory);
    assert_eq!(returned(steady), Err(Errno::EINVAL));
    memory.put(0, &[2]);
    let slew = ask(&calls, libc::SYS_adjtimex, [0; 6], &mut memory);
    assert_eq!(returned(slew), Err(Errno::EPERM));
}

proptest! {
    #[test]
    fn any_arguments_are_answered(
        which in any::<prop::sample::Index>(),
        args in prop::array::uniform6(prop_oneof![any::<u64>(), 0_u64..1100, Just(u64::MAX)]),
        bytes in prop::collection::vec(any::<u8>(), 1024),
        result in prop_oneof![any::<i64>(), Just(0), Just(-516), Just(-4)],
        frequency in prop::sample::select(vec!["0.000001", "1", "3.7", "1000000"]),
    ) {
        let (_, calls) = time(frequency);
        let numbers = calls.numbers();
        let number = i64::from(numbers[which.index(numbers.len())]);
        let mut memory = Memory(bytes);
        if let CallAnswer::Run(instead) = ask(&calls, number, args, &mut memory)
            && let Some(after) = instead.after
        {
            after(&mut memory, args, result);
        }
    }
}
