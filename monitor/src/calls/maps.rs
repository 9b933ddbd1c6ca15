//! Maps of virtual files: the placeholder must hold the bytes before it is mapped.

use super::Ctx;
use crate::vfiles::VKind;
use abi::{Errno, Result};
use engine::Answer;
use std::sync::atomic::Ordering;
use syscalls::GroupSet;

/// mmap(2).
pub(super) fn mmap(ctx: &Ctx<'_>) -> Result<Answer> {
    if !ctx.m.may_hold_virtual(ctx.tid()) {
        return Ok(Answer::Native);
    }
    let Ok(Some((file, own))) = ctx.open_file(ctx.int(4)) else {
        return Ok(Answer::Native);
    };
    match &file.kind {
        _ if file.is_kernels() => return Ok(Answer::Native),
        VKind::File { .. } | VKind::Device { .. } => {}
        VKind::Directory(_) | VKind::HostDirectory(_) => return Err(Errno::ENODEV),
        VKind::Fifo { .. } | VKind::Other(_) => return Ok(Answer::Native),
    }
    let mut state = file.state();
    file.fill(&mut state)?;
    let is_shared =
        matches!(ctx.int(3) & libc::MAP_TYPE, libc::MAP_SHARED | libc::MAP_SHARED_VALIDATE);
    let opened_for = nix::fcntl::fcntl(&own, nix::fcntl::FcntlArg::F_GETFL).unwrap_or(0);
    // A descriptor for both may be mapped read-only and made writable by mprotect(2).
    if !is_shared || opened_for & libc::O_ACCMODE != libc::O_RDWR {
        return Ok(Answer::Native);
    }
    if !state.is_mapped_shared {
        state.is_mapped_shared = true;
        ctx.m.vfiles.mapped.fetch_add(1, Ordering::Relaxed);
    }
    Ok(Answer::Require(GroupSet::MAPS, Box::new(Answer::Native)))
}

/// munmap(2), mremap(2), msync(2): what was changed through maps is written back.
pub(super) fn write_back(ctx: &Ctx<'_>) -> Result<Answer> {
    if ctx.m.vfiles.mapped.load(Ordering::Relaxed) == 0 {
        return Ok(Answer::Native);
    }
    for file in ctx.m.vfiles.all() {
        file.flush_maps()?;
    }
    Ok(Answer::Native)
}
