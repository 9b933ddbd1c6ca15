//! Small questions: device access, watches.

use super::Ctx;
use crate::namei::{DevicePlace, Place};
use crate::vfiles::device_info;
use abi::{Errno, Result};
use engine::Answer;

/// Whether the caller may open a special file of umdev: who mounted it owns it, unless options say otherwise.
pub(super) fn may_use_device(ctx: &Ctx<'_>, d: &DevicePlace, want: i32) -> Result<()> {
    let info = device_info(&d.mount, d.number);
    if want & libc::X_OK != 0 {
        return Err(Errno::EACCES);
    }
    let who = ctx.proc.credentials();
    super::permission::check(&who, &info.attr, want & (libc::R_OK | libc::W_OK))
}

/// inotify_add_watch(2) and fanotify_mark(2): a virtual file has no events; the watch is on a file that never
/// changes, so that programs which only want to be told go on.
pub(super) fn watch(ctx: &Ctx<'_>) -> Result<Answer> {
    let named = match ctx.named(0) {
        Ok(named) => named,
        // fanotify_mark with a null path means the descriptor.
        Err(Errno::EFAULT) if ctx.row.name == "fanotify_mark" => return Ok(Answer::Native),
        Err(e) => return Err(e),
    };
    if ctx.is_quick(&named) {
        return Ok(Answer::Native);
    }
    let led = ctx.lead(&named)?;
    match &led.found.place {
        None => Err(Errno::ENOENT),
        Some(Place::Host(_)) => ctx.by_kernel(&named, &led),
        Some(_) if ctx.row.name == "fanotify_mark" => Err(Errno::ENODEV),
        Some(_) => {
            let mut args: Vec<engine::Arg> =
                ctx.call.args.iter().map(|&a| engine::Arg::Value(a)).collect();
            args[1] = engine::Arg::Bytes(b"/proc/self/ns/uts\0".to_vec());
            args[2] = engine::Arg::Value(u64::from(libc::IN_DELETE_SELF));
            Ok(Answer::Rewrite(Box::new(engine::Rewrite {
                number: ctx.call.number,
                args,
                ..engine::Rewrite::default()
            })))
        }
    }
}
