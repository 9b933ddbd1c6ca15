//! The set of system calls that know of time, and how one is run with other arguments.

use crate::timeline::Timeline;
use crate::{reading, sleeping, timeouts, timers};
use abi::dev::UserMemory;
use abi::fs::Caller;
use abi::module::{CallAnswer, CallArg, CallInstead, SyscallSet, VirtualClocks};
use std::sync::Arc;

/// The calls of one mount of `ummisctime`.
pub struct TimeCalls {
    time: Arc<Timeline>,
    /// Who mounted it may set the clock, as virtual root may.
    owner: u32,
}

/// One call under way.
pub(crate) struct TimeCall<'a> {
    pub(crate) time: &'a Arc<Timeline>,
    pub(crate) caller: Caller,
    pub(crate) may_set: bool,
    pub(crate) number: i64,
    pub(crate) args: [u64; 6],
}

impl TimeCalls {
    /// The calls that show this time; `owner` may set it.
    #[must_use]
    pub fn new(time: Arc<Timeline>, owner: u32) -> Self {
        Self { time, owner }
    }
}

impl SyscallSet for TimeCalls {
    fn numbers(&self) -> Vec<u32> {
        let all =
            [reading::NUMBERS, sleeping::NUMBERS, timers::NUMBERS, timeouts::NUMBERS].concat();
        all.into_iter().filter_map(|n| u32::try_from(n).ok()).collect()
    }

    fn answer(
        &self,
        caller: Caller,
        number: u32,
        args: [u64; 6],
        memory: &mut dyn UserMemory,
    ) -> CallAnswer {
        let call = TimeCall {
            time: &self.time,
            caller,
            may_set: caller.uid == 0 || caller.uid == self.owner,
            number: i64::from(number),
            args,
        };
        let answer = match call.number {
            n if reading::NUMBERS.contains(&n) => reading::answer(&call, memory),
            n if sleeping::NUMBERS.contains(&n) => sleeping::answer(&call, memory),
            n if timers::NUMBERS.contains(&n) => timers::answer(&call, memory),
            n if timeouts::NUMBERS.contains(&n) => timeouts::answer(&call, memory),
            _ => None,
        };
        answer.unwrap_or(CallAnswer::Pass)
    }

    fn clocks(&self) -> Option<Arc<dyn VirtualClocks>> {
        Some(Arc::clone(&self.time) as Arc<dyn VirtualClocks>)
    }
}

impl TimeCall<'_> {
    pub(crate) fn arg(&self, index: usize) -> u64 {
        self.args.get(index).copied().unwrap_or(0)
    }

    /// An argument that the kernel takes as `int`.
    pub(crate) fn int(&self, index: usize) -> i32 {
        let bytes = self.arg(index).to_ne_bytes();
        i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    /// The same call again, to be changed.
    pub(crate) fn again(&self) -> Again {
        Again(CallInstead {
            number: number(self.number),
            args: self.args.map(CallArg::Value),
            after: None,
        })
    }
}

/// A call to be run, as it is put together.
pub(crate) struct Again(CallInstead);

impl Again {
    pub(crate) fn number(mut self, n: i64) -> Self {
        self.0.number = number(n);
        self
    }

    pub(crate) fn value(self, index: usize, value: u64) -> Self {
        self.arg(index, CallArg::Value(value))
    }

    pub(crate) fn bytes(self, index: usize, bytes: impl Into<Vec<u8>>) -> Self {
        self.arg(index, CallArg::Bytes(bytes.into()))
    }

    fn arg(mut self, index: usize, arg: CallArg) -> Self {
        if let Some(slot) = self.0.args.get_mut(index) {
            *slot = arg;
        }
        self
    }

    /// Runs as it is.
    pub(crate) fn run(self) -> CallAnswer {
        CallAnswer::Run(Box::new(self.0))
    }

    /// Runs, then `after` with memory, arguments and result.
    pub(crate) fn then(
        mut self,
        after: impl FnOnce(&mut dyn UserMemory, [u64; 6], i64) -> i64 + Send + 'static,
    ) -> CallAnswer {
        self.0.after = Some(Box::new(after));
        self.run()
    }
}

fn number(n: i64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
