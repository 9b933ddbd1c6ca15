//! Addresses beside the data: sendto(2), sendmsg(2), sendmmsg(2) and recvmmsg(2) of `AF_UNIX` sockets.

use super::Ctx;
use super::socket::{
    address_of, capacity_at, is_unix, path_of, raw_address, shortened, translate, words_of,
};
use abi::Result;
use engine::{AfterCall, Answer, Arg, Pointer, Rewrite};
use std::os::fd::OwnedFd;

/// Bytes of a `struct msghdr`: seven words, of which the first two are `msg_name` and `msg_namelen`.
const HEADER_BYTES: usize = 56;
/// Bytes of a `struct mmsghdr`: a header, and `msg_len` in the word behind it.
const ENTRY_BYTES: usize = 64;
/// The most messages of one call, `UIO_MAXIOV`.
const MESSAGES_MAX: usize = 1024;

/// An address in the host's words, with what must stay open for it.
fn in_host_words(
    ctx: &Ctx<'_>,
    at: u64,
    length: usize,
    keep: &mut Vec<OwnedFd>,
) -> Result<Option<Vec<u8>>> {
    let Some(raw) = raw_address(ctx.tracee, at, length) else { return Ok(None) };
    let Some(path) = path_of(&raw) else { return Ok(None) };
    let Some(words) = words_of(ctx, path)? else { return Ok(None) };
    let (told, kept) = shortened(words)?;
    keep.extend(kept);
    Ok(Some(address_of(&told)))
}

/// sendto(2), sendmsg(2), sendmmsg(2).
pub(super) fn send(ctx: &Ctx<'_>) -> Result<Answer> {
    match ctx.row.name {
        "sendto" => send_to(ctx),
        "sendmsg" => send_messages(ctx, 1, HEADER_BYTES),
        _ => {
            let count = usize::try_from(ctx.arg(2) as u32).unwrap_or(0).min(MESSAGES_MAX);
            send_messages(ctx, count, ENTRY_BYTES)
        }
    }
}

fn send_to(ctx: &Ctx<'_>) -> Result<Answer> {
    let length = usize::try_from(ctx.arg(5) as u32).unwrap_or(0);
    let mut keep = Vec::new();
    let Some(address) = in_host_words(ctx, ctx.arg(4), length, &mut keep)? else {
        return Ok(Answer::Native);
    };
    let mut args: Vec<Arg> = ctx.call.args.iter().map(|&arg| Arg::Value(arg)).collect();
    args[5] = Arg::Value(address.len() as u64);
    args[4] = Arg::Bytes(address);
    Ok(Answer::Rewrite(Box::new(Rewrite {
        number: ctx.call.number,
        args,
        keep,
        ..Rewrite::default()
    })))
}

/// Messages with headers, each `bytes` long. Where one has a name that the kernel does not know, the call runs
/// with other headers; the lengths that it puts behind them are copied back. A name that leads nowhere ends the call
/// before its message: what went before it has been sent.
fn send_messages(ctx: &Ctx<'_>, count: usize, bytes: usize) -> Result<Answer> {
    let mut raw = vec![0; count * bytes];
    let at = ctx.arg(1);
    if count == 0 || ctx.tracee.read(at, &mut raw).is_err() {
        return Ok(Answer::Native);
    }
    let (mut keep, mut words, mut differs) = (Vec::new(), Vec::new(), false);
    let mut left = count;
    for (index, header) in raw.chunks_exact(bytes).enumerate() {
        let mut word =
            header.chunks_exact(8).map(|w| u64::from_ne_bytes(w.try_into().unwrap_or_default()));
        let (name, length) = (word.next().unwrap_or(0), word.next().unwrap_or(0));
        // The second word is a length of four bytes, and nothing.
        let length = usize::try_from(length & u64::from(u32::MAX)).unwrap_or(0);
        match in_host_words(ctx, name, length, &mut keep) {
            Err(errno) if index == 0 => return Err(errno),
            Err(_) => {
                (left, differs) = (index, true);
                break;
            }
            Ok(Some(mut address)) => {
                differs = true;
                let length = address.len() as u64;
                // One NUL is put behind it in any case.
                address.pop();
                words.push(Pointer::Text(address));
                words.push(Pointer::Address(length));
            }
            Ok(None) => words.extend([Pointer::Address(name), Pointer::Address(length as u64)]),
        }
        words.extend(word.map(Pointer::Address));
    }
    if !differs {
        return Ok(Answer::Native);
    }
    let mut args: Vec<Arg> = ctx.call.args.iter().map(|&arg| Arg::Value(arg)).collect();
    args[1] = Arg::Pointers(words);
    if bytes == ENTRY_BYTES {
        args[2] = Arg::Value(left as u64);
    }
    let after: Option<AfterCall> = (bytes == ENTRY_BYTES).then(|| -> AfterCall {
        Box::new(move |tracee, args, result| {
            for index in 0..u64::try_from(result).unwrap_or(0).min(count as u64) {
                let behind = index * ENTRY_BYTES as u64 + HEADER_BYTES as u64;
                let mut length = [0; 4];
                if tracee.read(args[1].wrapping_add(behind), &mut length).is_ok() {
                    // Memory that can't be written any more keeps what it had.
                    let _ = tracee.write(at.wrapping_add(behind), &length);
                }
            }
            result
        })
    });
    Ok(Answer::Rewrite(Box::new(Rewrite {
        number: ctx.call.number,
        args,
        keep,
        after,
        ..Rewrite::default()
    })))
}

/// recvmmsg(2): the call as it stands; then the names that it wrote, in the view's words.
pub(super) fn receive_many(ctx: &Ctx<'_>) -> Result<Answer> {
    if !ctx.tracee.is_traced() || !is_unix(ctx) {
        return Ok(Answer::Native);
    }
    let count = usize::try_from(ctx.arg(2) as u32).unwrap_or(0).min(MESSAGES_MAX);
    let mut raw = vec![0; count * ENTRY_BYTES];
    if ctx.tracee.read(ctx.arg(1), &mut raw).is_err() {
        return Ok(Answer::Native);
    }
    let mut wanted = Vec::new();
    for (index, entry) in raw.chunks_exact(ENTRY_BYTES).enumerate() {
        let name = u64::from_ne_bytes(entry[..8].try_into().unwrap_or_default());
        let length = ctx.arg(1).wrapping_add((index * ENTRY_BYTES + 8) as u64);
        if name != 0
            && let Ok(capacity) = capacity_at(ctx.tracee, length)
        {
            wanted.push((index as i64, (name, length), capacity));
        }
    }
    let (monitor, view) = (ctx.m.arc(), ctx.proc.view().id);
    let after: AfterCall = Box::new(move |tracee, _, result| {
        for (index, at, capacity) in wanted {
            if index < result {
                // The call has been done: memory that can't be read any more keeps the kernel's words.
                let _ = translate(tracee, &monitor.sockets, view, at, capacity);
            }
        }
        result
    });
    Ok(Answer::Rewrite(Box::new(Rewrite {
        number: ctx.call.number,
        args: ctx.call.args.iter().map(|&arg| Arg::Value(arg)).collect(),
        after: Some(after),
        ..Rewrite::default()
    })))
}
