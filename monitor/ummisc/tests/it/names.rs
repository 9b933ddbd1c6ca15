//! The names of the system.

use crate::memory::{Memory, NOWHERE};
use abi::fs::Caller;
use abi::module::{CallAnswer, SyscallSet};
use abi::{Errno, Result};
use std::sync::Arc;
use ummisc::{Names, UnameCalls};

const OWNER: Caller = Caller { uid: 1000, gid: 100, pid: 0 };

fn calls() -> UnameCalls {
    UnameCalls::new(Arc::new(Names::default()), OWNER.uid)
}

fn ask(
    calls: &UnameCalls,
    caller: Caller,
    number: i64,
    args: [u64; 6],
    memory: &mut Memory,
) -> Result<u64> {
    match calls.answer(caller, u32::try_from(number).unwrap(), args, memory) {
        CallAnswer::Return(result) => result,
        _ => panic!("answered at once"),
    }
}

fn field(memory: &Memory, index: usize) -> String {
    let bytes = &memory.0[100 + index * 65..][..65];
    String::from_utf8(bytes.iter().copied().take_while(|&b| b != 0).collect()).unwrap()
}

#[test]
fn names_are_the_hosts_until_they_are_set() {
    let (calls, mut memory) = (calls(), Memory::new());
    memory.0[..6].copy_from_slice(b"wonder");
    assert_eq!(ask(&calls, OWNER, libc::SYS_uname, [100, 0, 0, 0, 0, 0], &mut memory), Ok(0));
    assert_eq!(field(&memory, 0), "Linux");
    assert_eq!(ask(&calls, OWNER, libc::SYS_sethostname, [0, 6, 0, 0, 0, 0], &mut memory), Ok(0));
    let root = Caller::default();
    assert_eq!(ask(&calls, root, libc::SYS_setdomainname, [0, 4, 0, 0, 0, 0], &mut memory), Ok(0));
    assert_eq!(ask(&calls, OWNER, libc::SYS_uname, [100, 0, 0, 0, 0, 0], &mut memory), Ok(0));
    assert_eq!((field(&memory, 1), field(&memory, 5)), ("wonder".into(), "wond".into()));
}

#[test]
fn bad_calls_are_refused_in_the_order_of_the_kernel() {
    let (calls, mut memory) = (calls(), Memory::new());
    let set = libc::SYS_sethostname;
    let stranger = Caller { uid: 5, gid: 5, pid: 0 };
    // Error: rights before lengths, lengths before addresses.
    assert_eq!(
        ask(&calls, stranger, set, [NOWHERE, 65, 0, 0, 0, 0], &mut memory),
        Err(Errno::EPERM)
    );
    assert_eq!(ask(&calls, OWNER, set, [NOWHERE, 65, 0, 0, 0, 0], &mut memory), Err(Errno::EINVAL));
    let negative = u64::from(u32::MAX);
    assert_eq!(ask(&calls, OWNER, set, [0, negative, 0, 0, 0, 0], &mut memory), Err(Errno::EINVAL));
    assert_eq!(ask(&calls, OWNER, set, [NOWHERE, 64, 0, 0, 0, 0], &mut memory), Err(Errno::EFAULT));
    let uname = libc::SYS_uname;
    assert_eq!(
        ask(&calls, OWNER, uname, [NOWHERE, 0, 0, 0, 0, 0], &mut memory),
        Err(Errno::EFAULT)
    );
}
