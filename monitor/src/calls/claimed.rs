//! Calls that a module answers itself: time, system names.

use super::Ctx;
use super::data::Memory;
use crate::monitor::Monitor;
use crate::tasks::Proc;
use abi::fs::Caller;
use abi::module::{CallAnswer, CallArg, CallInstead, PaceChange, Paces};
use engine::{Answer, Arg, Rewrite, Tid};
use syscalls::Handler;

/// Asks the sets of calls that the view sees, the youngest first; the kernel has what none of them wants.
pub(super) fn answer(ctx: &Ctx<'_>) -> Answer {
    let mounts = ctx.m.mounts.snapshot();
    let view = ctx.proc.view();
    let caller = caller(ctx);
    for set in mounts.call_sets(&view) {
        let mut memory = Memory(ctx.tracee);
        match set.answer(caller, ctx.call.number, ctx.call.args, &mut memory) {
            CallAnswer::Pass => {}
            CallAnswer::Return(result) => return Answer::Return(result),
            // A process that a debugger of the view has runs its calls itself.
            CallAnswer::Run(_) if !ctx.tracee.is_traced() => return Answer::Native,
            CallAnswer::Run(instead) => return Answer::Rewrite(Box::new(rewrite(*instead))),
        }
    }
    Answer::Native
}

/// Who calls. Only where something is set do rights matter, and only then are the ids looked up.
fn caller(ctx: &Ctx<'_>) -> Caller {
    match ctx.row.handler {
        Handler::SetClock | Handler::Uname => ctx.caller(),
        _ => Caller { uid: u32::MAX, gid: u32::MAX, pid: ctx.proc.tgid },
    }
}

fn rewrite(instead: CallInstead) -> Rewrite {
    let args = instead.args.into_iter().map(|arg| match arg {
        CallArg::Value(value) => Arg::Value(value),
        CallArg::Bytes(bytes) => Arg::Bytes(bytes),
    });
    let after = instead.after.map(|after| -> engine::AfterCall {
        Box::new(move |tracee, args, result| after(&mut Memory(tracee), args, result))
    });
    Rewrite { number: instead.number, args: args.collect(), after, ..Rewrite::default() }
}

impl Monitor {
    /// The paces of the clocks that a process sees: of the youngest set of calls that has clocks.
    fn paces_of(&self, proc: &Proc) -> Option<Paces> {
        let view = proc.view();
        let mounts = self.mounts.snapshot();
        mounts.call_sets(&view).find_map(|set| set.clocks()).map(|clocks| clocks.paces())
    }

    /// A mount changes the pace of its clocks: all processes that see them wait for the new one.
    pub(crate) fn clocks_change(&self, change: PaceChange) {
        match change {
            PaceChange::Begins => {
                for proc in self.tasks.processes() {
                    self.engine().hold_clocks(Tid(proc.tgid));
                }
            }
            PaceChange::Over => self.refresh_clocks(),
        }
    }

    /// Tells every process of its clocks, after a mount, an umount, or a change of their pace.
    pub(crate) fn refresh_clocks(&self) {
        for proc in self.tasks.processes() {
            self.engine().set_paces(Tid(proc.tgid), self.paces_of(&proc));
        }
    }

    /// Tells a new process of its clocks: they may have changed while it was made.
    pub(crate) fn refresh_clocks_of(&self, proc: &Proc) {
        if !self.mounts.snapshot().has_powers() {
            return;
        }
        self.engine().set_paces(Tid(proc.tgid), self.paces_of(proc));
    }
}
