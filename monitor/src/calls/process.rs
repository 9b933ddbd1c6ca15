//! ptrace(2): a debugger of the view takes the place of our own ptrace.

use super::Ctx;
use engine::{Answer, Tid};

const PTRACE_TRACEME: u64 = 0;
const PTRACE_ATTACH: u64 = 16;
const PTRACE_SEIZE: u64 = 0x4206;

/// ptrace(2). Only the requests by which a debugger begins matter: the kernel allows one tracer, so ours lets
/// go; notification goes on.
pub(super) fn ptrace(ctx: &Ctx<'_>) -> Answer {
    match ctx.arg(0) {
        PTRACE_TRACEME if ctx.tracee.is_traced() => Answer::DetachAndRestart,
        PTRACE_ATTACH | PTRACE_SEIZE => Answer::DetachOthers(vec![Tid(ctx.int(1))]),
        _ => Answer::Native,
    }
}
