//! Reading, writing, seeking: for descriptors whose bytes the monitor serves.

use super::Ctx;
use crate::mounts::Content;
use crate::vfiles::{State, VFile, VKind};
use abi::dev::UserMemory;
use abi::fs::SeekTo;
use abi::{Errno, Result};
use engine::{Answer, Tracee};
use nix::unistd::Whence;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// The most bytes that one copy through the monitor holds.
const CHUNK_BYTES: usize = 1 << 20;
/// The most bytes of one call (`MAX_RW_COUNT` of the kernel).
const CALL_BYTES_MAX: u64 = 0x7fff_f000;

/// A range of the caller's memory.
struct Span {
    addr: u64,
    len: u64,
}

/// The caller's buffers, and the offset if the call gives one.
fn buffers(ctx: &Ctx<'_>) -> Result<(Vec<Span>, Option<u64>)> {
    let name = ctx.row.name;
    let vectored = name.contains('v');
    let offset = match name {
        "pread64" | "pwrite64" => Some(ctx.arg(3)),
        "preadv" | "pwritev" => Some(ctx.arg(3) & 0xffff_ffff | ctx.arg(4) << 32),
        "preadv2" | "pwritev2" => {
            let at = ctx.arg(3) & 0xffff_ffff | ctx.arg(4) << 32;
            (at != u64::MAX).then_some(at)
        }
        _ => None,
    };
    if offset.is_some_and(|o| i64::try_from(o).is_err()) {
        return Err(Errno::EINVAL);
    }
    if !vectored {
        return Ok((vec![Span { addr: ctx.arg(1), len: ctx.arg(2).min(CALL_BYTES_MAX) }], offset));
    }
    let count = usize::try_from(ctx.arg(2)).map_err(|_| Errno::EINVAL)?;
    if count > 1024 {
        return Err(Errno::EINVAL);
    }
    let mut raw = vec![0; count * 16];
    ctx.tracee.read(ctx.arg(1), &mut raw)?;
    let mut spans = Vec::with_capacity(count);
    let mut total = 0_u64;
    for pair in raw.chunks_exact(16) {
        let word = |i: usize| u64::from_ne_bytes(pair[i..i + 8].try_into().unwrap_or_default());
        let len = word(8);
        if i64::try_from(len).is_err() {
            return Err(Errno::EINVAL);
        }
        let len = len.min(CALL_BYTES_MAX - total);
        total += len;
        spans.push(Span { addr: word(0), len });
    }
    Ok((spans, offset))
}

/// The virtual file behind descriptor argument 0, or `None` where the kernel has the call.
fn served(ctx: &Ctx<'_>, fd: i32) -> Result<Option<(Arc<VFile>, OwnedFd)>> {
    match ctx.open_file(fd) {
        // A file whose pages the kernel has is the kernel's in all this.
        Ok(found) => Ok(found.filter(|(file, _)| !file.is_kernels())),
        // The kernel says EBADF better than we do.
        Err(_) => Ok(None),
    }
}

fn flags_of(own: &OwnedFd) -> i32 {
    nix::fcntl::fcntl(own, nix::fcntl::FcntlArg::F_GETFL).unwrap_or(0)
}

/// The offset of an open file.
pub(super) fn position(own: &OwnedFd) -> Result<u64> {
    let at = nix::unistd::lseek(own, 0, Whence::SeekCur).map_err(crate::hostview::errno)?;
    u64::try_from(at).map_err(|_| Errno::EINVAL)
}

/// Moves the offset of an open file.
pub(super) fn set_position(own: &OwnedFd, at: u64) -> Result<()> {
    let at = i64::try_from(at).map_err(|_| Errno::EOVERFLOW)?;
    nix::unistd::lseek(own, at, Whence::SeekSet).map_err(crate::hostview::errno).map(drop)
}

/// read(2), pread64(2), readv(2), preadv(2), preadv2(2).
pub(super) fn read(ctx: &Ctx<'_>) -> Result<Answer> {
    let Some((file, own)) = served(ctx, ctx.int(0))? else { return Ok(Answer::Native) };
    if !matches!(file.kind, VKind::File { .. } | VKind::Device { .. }) {
        return Ok(Answer::Native);
    }
    let mut state = file.state();
    if state.is_filled && matches!(file.kind, VKind::File { .. }) {
        return Ok(Answer::Native);
    }
    if flags_of(&own) & libc::O_ACCMODE == libc::O_WRONLY {
        return Err(Errno::EBADF);
    }
    let (spans, given) = buffers(ctx)?;
    let start = match given {
        Some(offset) => offset,
        None => position(&own)?,
    };
    let total = spans.iter().fold(0, |sum: u64, span| sum.saturating_add(span.len));
    let budget = &ctx.m.vfiles.budget;
    if file.fill_through(&mut state, start, start.saturating_add(total), budget) {
        return Ok(Answer::Native);
    }
    let (done, error) = read_spans(ctx.tracee, &file, &mut state, &spans, start);
    if given.is_none() && done > 0 {
        set_position(&own, start + done)?;
    }
    settle(done, error)
}

/// Bytes moved win over an error, which comes again on the next call.
fn settle(done: u64, error: Option<Errno>) -> Result<Answer> {
    match error {
        Some(errno) if done == 0 => Err(errno),
        _ => Ok(Answer::Return(Ok(done))),
    }
}

fn read_spans(
    tracee: &dyn Tracee,
    file: &VFile,
    state: &mut State,
    spans: &[Span],
    start: u64,
) -> (u64, Option<Errno>) {
    let mut done = 0;
    let total: u64 = spans.iter().map(|s| s.len).sum();
    let mut buf = vec![0; usize::try_from(total).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES)];
    for span in spans {
        let mut in_span = 0;
        while in_span < span.len {
            let want = usize::try_from(span.len - in_span).unwrap_or(CHUNK_BYTES).min(buf.len());
            let n = match file.read_at(state, &mut buf[..want], start + done) {
                Ok(0) => return (done, None),
                Ok(n) => n,
                Err(e) => return (done, Some(e)),
            };
            if let Err(e) = tracee.write(span.addr + in_span, &buf[..n]) {
                return (done, Some(e));
            }
            in_span += n as u64;
            done += n as u64;
            if n < want {
                return (done, None);
            }
        }
    }
    (done, None)
}

/// write(2), pwrite64(2), writev(2), pwritev(2), pwritev2(2).
pub(super) fn write(ctx: &Ctx<'_>) -> Result<Answer> {
    let Some((file, own)) = served(ctx, ctx.int(0))? else { return Ok(Answer::Native) };
    if !matches!(file.kind, VKind::File { .. } | VKind::Device { .. }) {
        return Ok(Answer::Native);
    }
    let flags = flags_of(&own);
    if flags & libc::O_ACCMODE == libc::O_RDONLY {
        return Err(Errno::EBADF);
    }
    let (spans, given) = buffers(ctx)?;
    let mut state = file.state();
    let is_append = flags & libc::O_APPEND != 0 && matches!(file.kind, VKind::File { .. });
    let start = match given {
        _ if is_append => file.size()?,
        Some(offset) => offset,
        None => position(&own)?,
    };
    let (done, error) = write_spans(ctx.tracee, &file, &mut state, &spans, start);
    if given.is_none() && done > 0 {
        set_position(&own, start + done)?;
    }
    if flags & (libc::O_SYNC | libc::O_DSYNC) != 0
        && let VKind::File { mount, .. } = &file.kind
    {
        let handle = file.handle(&mut state, true)?;
        super::open::tree(mount)?.fsync(handle, flags & libc::O_SYNC != libc::O_SYNC)?;
    }
    settle(done, error)
}

fn write_spans(
    tracee: &dyn Tracee,
    file: &VFile,
    state: &mut State,
    spans: &[Span],
    start: u64,
) -> (u64, Option<Errno>) {
    let mut done = 0;
    let total: u64 = spans.iter().map(|s| s.len).sum();
    let mut buf = vec![0; usize::try_from(total).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES)];
    for span in spans {
        let mut in_span = 0;
        while in_span < span.len {
            let want = usize::try_from(span.len - in_span).unwrap_or(CHUNK_BYTES).min(buf.len());
            let have = match tracee.read_some(span.addr + in_span, &mut buf[..want]) {
                Ok(n) => n,
                Err(e) => return (done, Some(e)),
            };
            match file.write_at(state, &buf[..have], start + done) {
                Ok(n) => {
                    in_span += n as u64;
                    done += n as u64;
                    if n < have {
                        return (done, None);
                    }
                }
                Err(e) => return (done, Some(e)),
            }
        }
    }
    (done, None)
}

/// sendfile(2), splice(2), copy_file_range(2): native while both ends hold their bytes; else an error by which
/// callers fall back to reading and writing.
pub(super) fn transfer(ctx: &Ctx<'_>) -> Result<Answer> {
    let (from, to, refusal) = match ctx.row.name {
        "sendfile" => (1, 0, Errno::EINVAL),
        "splice" => (0, 2, Errno::EINVAL),
        _ => (0, 2, Errno::EXDEV),
    };
    if let Some((file, _)) = served(ctx, ctx.int(from))? {
        match &file.kind {
            VKind::File { .. } => {
                let mut state = file.state();
                if !state.is_filled {
                    if file.size()? > crate::vfiles::FILLED_BYTES_MAX * 64 {
                        return Err(refusal);
                    }
                    file.fill(&mut state)?;
                }
            }
            VKind::Device { .. } => return Err(refusal),
            _ => {}
        }
    }
    if let Some((file, _)) = served(ctx, ctx.int(to))?
        && matches!(file.kind, VKind::File { .. } | VKind::Device { .. })
    {
        return Err(refusal);
    }
    Ok(Answer::Native)
}

/// lseek(2): data and holes are the driver's; the rest is the kernel's, as the placeholder has the length.
pub(super) fn lseek(ctx: &Ctx<'_>) -> Result<Answer> {
    if !ctx.m.may_hold_virtual(ctx.tid()) {
        return Ok(Answer::Native);
    }
    let Some((file, own)) = served(ctx, ctx.int(0))? else { return Ok(Answer::Native) };
    let whence = ctx.int(2);
    if whence != libc::SEEK_DATA && whence != libc::SEEK_HOLE {
        return Ok(Answer::Native);
    }
    let offset = u64::try_from(ctx.arg(1) as i64).map_err(|_| Errno::ENXIO)?;
    let size = file.size()?;
    if offset >= size {
        return Err(Errno::ENXIO);
    }
    let to = if whence == libc::SEEK_DATA { SeekTo::Data } else { SeekTo::Hole };
    let found = match &file.kind {
        VKind::File { mount, .. } => {
            let mut state = file.state();
            let handle = file.handle(&mut state, false)?;
            match super::open::tree(mount)?.lseek(handle, offset, to) {
                Err(Errno::EOPNOTSUPP) => {
                    if to == SeekTo::Data {
                        offset
                    } else {
                        size
                    }
                }
                other => other?,
            }
        }
        VKind::Device { .. } => {
            if to == SeekTo::Data {
                offset
            } else {
                size
            }
        }
        _ => return Ok(Answer::Native),
    };
    set_position(&own, found)?;
    Ok(Answer::Return(Ok(found)))
}

/// The caller's memory as a device sees it.
pub(super) struct Memory<'a>(pub(super) &'a dyn Tracee);

impl UserMemory for Memory<'_> {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<()> {
        self.0.read(addr, buf)
    }

    fn write(&mut self, addr: u64, buf: &[u8]) -> Result<()> {
        self.0.write(addr, buf)
    }
}

/// ioctl(2).
pub(super) fn ioctl(ctx: &Ctx<'_>) -> Result<Answer> {
    let Some((file, _own)) = served(ctx, ctx.int(0))? else { return Ok(Answer::Native) };
    let request = ctx.arg(1) as u32;
    match &file.kind {
        // The descriptor's own flags are the kernel's business.
        _ if matches!(u64::from(request), 0x5450 | 0x5451 | 0x5421 | 0x5452) => Ok(Answer::Native),
        VKind::Device { mount, number } => {
            let Content::Device { device, .. } = &mount.content else { return Err(Errno::EIO) };
            // BLKRRPART and BLKPG ask who has partitions open: let go of those that are closed.
            if matches!(request, 0x125f | 0x1269) {
                ctx.m.vfiles.sweep_mount(ctx.m, mount.id, &file);
            }
            let mut memory = Memory(ctx.tracee);
            if let Some(bound) =
                ctx.m.loop_request(ctx.tracee, mount, &file, request, ctx.arg(2), &mut memory)
            {
                return bound.map(|v| Answer::Return(Ok(v)));
            }
            device.ioctl(*number, request, ctx.arg(2), &mut memory).map(|v| Answer::Return(Ok(v)))
        }
        VKind::Fifo { .. } => Ok(Answer::Native),
        _ => Err(Errno::ENOTTY),
    }
}
