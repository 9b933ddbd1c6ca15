//! ptrace(2): a debugger of the view takes the place of our own ptrace; and the umask, which is remembered.

use super::Ctx;
use abi::Errno;
use engine::{Answer, Tid};

const PTRACE_TRACEME: u64 = 0;
const PTRACE_ATTACH: u64 = 16;
const PTRACE_SEIZE: u64 = 0x4206;

/// ptrace(2). Only the requests by which a debugger begins matter: the kernel allows one tracer, so ours lets
/// go; notification goes on.
pub(super) fn ptrace(ctx: &Ctx<'_>) -> Answer {
    match ctx.arg(0) {
        PTRACE_TRACEME if ctx.tracee.is_traced() => {
            if needs_us(ctx, ctx.tracee.tid()) {
                return Answer::Return(Err(Errno::EPERM));
            }
            Answer::DetachAndRestart
        }
        PTRACE_ATTACH | PTRACE_SEIZE => {
            let target = Tid(ctx.int(1));
            if needs_us(ctx, target) {
                return Answer::Return(Err(Errno::EPERM));
            }
            Answer::DetachOthers(vec![target])
        }
        _ => Answer::Native,
    }
}

/// umask(2), and clone(2) and unshare(2) where they change who shares it: the kernel's, but what they mean for the
/// next call that makes a name is noted. The new mask counts a moment before it is set, which nobody can tell.
pub(super) fn umask(ctx: &Ctx<'_>) -> Answer {
    let is_alone = ctx.m.tasks.is_alone(ctx.proc);
    match ctx.row.name {
        "umask" => ctx.proc.umask.set(ctx.arg(0) as u32, is_alone),
        "clone" => ctx.proc.umask.share(),
        // Who has one thread shares it with nobody already, or is known to.
        _ if is_alone => {}
        _ => ctx.proc.umask.share(),
    }
    Answer::Native
}

/// Whether a process, or a forebear whose filters it has, was given data by the monitor call by call: those calls
/// would fail under a debugger. It may be debugged from a shell that did no such thing.
fn needs_us(ctx: &Ctx<'_>, tid: Tid) -> bool {
    let needs = ctx.m.engine().back_end() == engine::BackEnd::Notify
        && ctx.m.engine().process(tid).is_some_and(|p| p.needs_own_tracer());
    if needs {
        tracing::error!(
            tid = tid.0,
            "can't be debugged: its shell has written to a virtual file; start the debugger from a new `umview` shell"
        );
    }
    needs
}
