//! AF_UNIX addresses: a path in a `struct sockaddr_un`.

use super::Ctx;
use super::name::host_words;
use crate::quick::How;
use abi::{Errno, Result};
use engine::{Answer, Arg, Rewrite};

/// Bytes of `sun_path`.
const PATH_BYTES: usize = 108;

/// bind(2), connect(2).
pub(super) fn address(ctx: &Ctx<'_>) -> Result<Answer> {
    let length = usize::try_from(ctx.arg(2) as u32).unwrap_or(0);
    if !(3..=PATH_BYTES + 2).contains(&length) {
        return Ok(Answer::Native);
    }
    let mut raw = vec![0; length];
    if ctx.tracee.read(ctx.arg(1), &mut raw).is_err() {
        return Ok(Answer::Native);
    }
    let family = u16::from_ne_bytes([raw[0], raw[1]]);
    let path = raw[2..].split(|&b| b == 0).next().unwrap_or_default().to_vec();
    if i32::from(family) != libc::AF_UNIX || path.is_empty() {
        return Ok(Answer::Native);
    }
    let follow = ctx.row.name == "connect";
    let how = How { follow, change: !follow };
    if ctx.m.is_quickly_native(ctx.proc, ctx.tid(), None, &path, how) {
        return Ok(Answer::Native);
    }
    let mut walk = ctx.walker();
    let (start, same) = ctx.base(&mut walk, None)?;
    let found = walk.walk(start, &path, follow)?;
    let is_absolute = path.first() == Some(&b'/');
    let same = (same || is_absolute && walk.root.is_none()) && !walk.left_host;
    let by_kernel = found.place.as_ref().unwrap_or(&found.parent).backing_path().is_some();
    let same = same && found.place.as_ref().unwrap_or(&found.parent).is_as_on_host();
    match (&found.place, &found.parent) {
        _ if by_kernel && same => Ok(Answer::Native),
        _ if by_kernel => {
            let words = host_words(&found).ok_or(Errno::EIO)?;
            let mut bytes = family.to_ne_bytes().to_vec();
            bytes.extend_from_slice(&words);
            bytes.push(0);
            if words.len() >= PATH_BYTES {
                return Err(Errno::ENAMETOOLONG);
            }
            let length = bytes.len() as u64;
            Ok(Answer::Rewrite(Box::new(Rewrite {
                number: ctx.call.number,
                args: vec![Arg::Value(ctx.arg(0)), Arg::Bytes(bytes), Arg::Value(length)],
                ..Rewrite::default()
            })))
        }
        // A socket has to be the kernel's, and a virtual directory can't hold one.
        (Some(_), _) if ctx.row.name == "bind" => Err(Errno::EADDRINUSE),
        (Some(_), _) => Err(Errno::ECONNREFUSED),
        (None, _) if ctx.row.name == "bind" => Err(Errno::EPERM),
        (None, _) => Err(Errno::ENOENT),
    }
}
