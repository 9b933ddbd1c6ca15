//! Times of files in a view whose clock is its own: what is shown, and what is set.
//!
//! The host and the drivers have the host's time; `VirtualClocks` says what a view shows of it. A stat that the kernel
//! answers runs as it stands, and the times in the caller's memory are changed behind it.

use super::Ctx;
use crate::statbuf::Info;
use abi::fs::{Attr, SetTime, Timestamp};
use abi::module::VirtualClocks;
use engine::{AfterCall, Answer, Arg, Rewrite};
use std::sync::Arc;
use syscalls::Handler;

/// Seconds and nanoseconds of atime, mtime and ctime in `struct stat` of x86-64.
const STAT_TIMES: [u64; 3] = [72, 88, 104];
/// atime, btime, ctime and mtime in `struct statx`; seconds are 64 bits, nanoseconds 32.
const STATX_TIMES: [u64; 4] = [64, 80, 96, 112];

impl Ctx<'_> {
    /// The clocks of the view, if they say anything of files.
    fn file_clocks(&self) -> Option<Arc<dyn VirtualClocks>> {
        let mounts = self.m.mounts.snapshot();
        if !mounts.has_powers() {
            return None;
        }
        let clocks = mounts.call_sets(&self.proc.view()).find_map(|set| set.clocks())?;
        clocks.moves_file_times().then_some(clocks)
    }

    /// Attributes with the times that the view shows.
    pub(super) fn in_own_time(&self, info: &Info) -> Info {
        let mut info = info.clone();
        if let Some(clocks) = self.file_clocks() {
            let Attr { atime, mtime, ctime, btime, .. } = &mut info.attr;
            for time in [atime, mtime, ctime].into_iter().chain(btime) {
                *time = clocks.shown_time(*time);
            }
        }
        info
    }

    /// A time to set, as the drivers have it.
    pub(super) fn to_set(&self, time: SetTime) -> SetTime {
        match (time, self.file_clocks()) {
            (SetTime::At(shown), Some(clocks)) => SetTime::At(clocks.stored_time(shown)),
            _ => time,
        }
    }
}

/// Puts the times of a call right that the kernel is to answer.
pub(super) fn settle(ctx: &Ctx<'_>, answer: Answer) -> Answer {
    if !matches!(ctx.row.handler, Handler::Stat | Handler::Utime) {
        return answer;
    }
    match answer {
        Answer::Native | Answer::Rewrite(_) => {}
        Answer::Require(groups, inner) => {
            return Answer::Require(groups, Box::new(settle(ctx, *inner)));
        }
        done => return done,
    }
    // A process that a debugger of the view has runs its calls itself.
    let Some(clocks) = ctx.file_clocks().filter(|_| ctx.tracee.is_traced()) else { return answer };
    match ctx.row.handler {
        Handler::Stat => shown(ctx, answer, clocks),
        _ => set(ctx, answer, &*clocks),
    }
}

/// The call to run: the one that is to run anyway, or the caller's own.
fn rewrite(ctx: &Ctx<'_>, answer: Answer) -> Box<Rewrite> {
    match answer {
        Answer::Rewrite(rewrite) => rewrite,
        _ => Box::new(Rewrite {
            number: ctx.call.number,
            args: ctx.call.args.map(Arg::Value).to_vec(),
            ..Rewrite::default()
        }),
    }
}

fn shown(ctx: &Ctx<'_>, answer: Answer, clocks: Arc<dyn VirtualClocks>) -> Answer {
    let is_statx = ctx.row.name == "statx";
    let buffer = match ctx.row.name {
        "statx" => 4,
        "newfstatat" => 2,
        _ => 1,
    };
    let (times, nanos_bytes): (&'static [u64], usize) =
        if is_statx { (&STATX_TIMES, 4) } else { (&STAT_TIMES, 8) };
    let after: AfterCall = Box::new(move |tracee, args, result| {
        if result != 0 {
            return result;
        }
        for at in times {
            let Some(addr) = args[buffer].checked_add(*at) else { continue };
            let mut bytes = [0; 16];
            let bytes = &mut bytes[..8 + nanos_bytes];
            if tracee.read(addr, bytes).is_err() {
                continue;
            }
            // A file system without a time of birth shows none.
            let Some(real) = timestamp(bytes).filter(|t| *t != Timestamp::default()) else {
                continue;
            };
            let time = clocks.shown_time(real);
            bytes[..8].copy_from_slice(&time.seconds.to_ne_bytes());
            bytes[8..12].copy_from_slice(&time.nanos.to_ne_bytes());
            // It was written a moment before; a caller that unmaps it meanwhile gets what it asked for.
            let _ = tracee.write(addr, bytes);
        }
        result
    });
    let mut rewrite = rewrite(ctx, answer);
    rewrite.after = Some(after);
    Answer::Rewrite(rewrite)
}

fn timestamp(bytes: &[u8]) -> Option<Timestamp> {
    let seconds = i64::from_ne_bytes(bytes.get(..8)?.try_into().ok()?);
    // Little endian: what is behind the 32 bits is zero in a valid time.
    let nanos = u32::from_ne_bytes(bytes.get(8..12)?.try_into().ok()?);
    (nanos < 1_000_000_000).then_some(Timestamp { seconds, nanos })
}

/// utime(2), utimes(2), futimesat(2), utimensat(2): a time that is given, not the present.
fn set(ctx: &Ctx<'_>, answer: Answer, clocks: &dyn VirtualClocks) -> Answer {
    let index = if matches!(ctx.row.name, "utime" | "utimes") { 1 } else { 2 };
    let (is_nanos, is_seconds) = (ctx.row.name == "utimensat", ctx.row.name == "utime");
    let mut bytes = vec![0; if is_seconds { 16 } else { 32 }];
    // Without times it is the host's present, which is the view's; a bad address is the kernel's to say.
    if ctx.arg(index) == 0 || ctx.tracee.read(ctx.arg(index), &mut bytes).is_err() {
        return answer;
    }
    let (step, unit) = match (is_seconds, is_nanos) {
        (true, _) => (8, 1),
        (_, true) => (16, 1),
        _ => (16, 1000),
    };
    for pair in bytes.chunks_exact_mut(step) {
        let part = pair.get(8..16).and_then(|b| b.try_into().ok()).map_or(0, i64::from_ne_bytes);
        let seconds = pair.get(..8).and_then(|b| b.try_into().ok()).map_or(0, i64::from_ne_bytes);
        let Ok(nanos) = u32::try_from(part.saturating_mul(unit)) else { continue };
        // `UTIME_NOW`, `UTIME_OMIT`, and what the kernel refuses.
        if nanos >= 1_000_000_000 {
            continue;
        }
        let stored = clocks.stored_time(Timestamp { seconds, nanos });
        pair[..8].copy_from_slice(&stored.seconds.to_ne_bytes());
        if let Some(place) = pair.get_mut(8..16) {
            place.copy_from_slice(&(i64::from(stored.nanos) / unit).to_ne_bytes());
        }
    }
    let mut rewrite = rewrite(ctx, answer);
    if let Some(arg) = rewrite.args.get_mut(index) {
        *arg = Arg::Bytes(bytes);
    }
    Answer::Rewrite(rewrite)
}
