//! Calls that a module answers itself: time, system names.

use super::Ctx;
use super::data::Memory;
use abi::module::{CallAnswer, CallArg, CallInstead};
use engine::{Answer, Arg, Rewrite};

/// Asks the sets of calls that the view sees, the youngest first; the kernel has what none of them wants.
pub(super) fn answer(ctx: &Ctx<'_>) -> Answer {
    let mounts = ctx.m.mounts.snapshot();
    let view = ctx.proc.view();
    for set in mounts.call_sets(&view) {
        let mut memory = Memory(ctx.tracee);
        match set.answer(ctx.caller(), ctx.call.number, ctx.call.args, &mut memory) {
            CallAnswer::Pass => {}
            CallAnswer::Return(result) => return Answer::Return(result),
            // A process that a debugger of the view has runs its calls itself.
            CallAnswer::Run(_) if !ctx.tracee.is_traced() => return Answer::Native,
            CallAnswer::Run(instead) => return Answer::Rewrite(Box::new(rewrite(*instead))),
        }
    }
    Answer::Native
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
