//! User and group ids, groups and capabilities, once they are virtual.

use super::Ctx;
use crate::credentials::{CAPS_ALL, Credentials};
use abi::{Errno, Result};
use engine::Answer;
use std::sync::Arc;
use syscalls::Handler;

/// `_LINUX_CAPABILITY_VERSION_3`
const CAPABILITY_VERSION: u32 = 0x2008_0522;

/// Every call of the group `Ids`.
pub(super) fn ids(ctx: &Ctx<'_>) -> Result<Answer> {
    let Some(have) = ctx.proc.ids() else { return Ok(Answer::Native) };
    match ctx.row.handler {
        Handler::GetId => get(ctx, &have),
        Handler::SetId => set(ctx, &have),
        Handler::Groups => groups(ctx, &have),
        Handler::Capabilities => capabilities(ctx, &have),
        _ => prctl(ctx, &have),
    }
}

fn get(ctx: &Ctx<'_>, have: &Credentials) -> Result<Answer> {
    let triple = |values: [u32; 3]| -> Result<Answer> {
        for (i, value) in values.into_iter().enumerate() {
            ctx.tracee.write(ctx.arg(i), &value.to_ne_bytes())?;
        }
        Ok(Answer::Return(Ok(0)))
    };
    let one = |value: u32| Ok(Answer::Return(Ok(u64::from(value))));
    match ctx.row.name {
        "getuid" => one(have.ruid),
        "geteuid" => one(have.euid),
        "getgid" => one(have.rgid),
        "getegid" => one(have.egid),
        "getresuid" => triple([have.ruid, have.euid, have.suid]),
        _ => triple([have.rgid, have.egid, have.sgid]),
    }
}

/// The ids of one kind: real, effective, saved, of file access.
#[derive(Clone, Copy)]
struct Quad {
    real: u32,
    effective: u32,
    saved: u32,
    fs: u32,
}

impl Quad {
    fn has(self, id: u32) -> bool {
        id == self.real || id == self.effective || id == self.saved
    }
}

/// What one of the set calls makes of the ids (setuid(2), setreuid(2), setresuid(2), setfsuid(2)).
fn moved(call: &str, have: Quad, args: [u32; 3], privileged: bool) -> Result<Quad> {
    const KEEP: u32 = u32::MAX;
    let mut new = have;
    let may = |id: u32| privileged || have.has(id);
    match call {
        "setuid" | "setgid" => {
            if args[0] == KEEP {
                return Err(Errno::EINVAL);
            }
            if privileged {
                new.real = args[0];
                new.saved = args[0];
            } else if args[0] != have.real && args[0] != have.saved {
                return Err(Errno::EPERM);
            }
            new.effective = args[0];
        }
        "setreuid" | "setregid" => {
            let [r, e, _] = args;
            if r != KEEP {
                if !privileged && r != have.real && r != have.effective {
                    return Err(Errno::EPERM);
                }
                new.real = r;
            }
            if e != KEEP {
                if !may(e) {
                    return Err(Errno::EPERM);
                }
                new.effective = e;
            }
            if r != KEEP || e != KEEP && e != have.real {
                new.saved = new.effective;
            }
        }
        _ => {
            for (slot, id) in
                [&mut new.real, &mut new.effective, &mut new.saved].into_iter().zip(args)
            {
                if id != KEEP {
                    if !may(id) {
                        return Err(Errno::EPERM);
                    }
                    *slot = id;
                }
            }
        }
    }
    new.fs = new.effective;
    Ok(new)
}

fn set(ctx: &Ctx<'_>, have: &Credentials) -> Result<Answer> {
    let args = [ctx.arg(0) as u32, ctx.arg(1) as u32, ctx.arg(2) as u32];
    let mut new = have.clone();
    let uids = Quad { real: have.ruid, effective: have.euid, saved: have.suid, fs: have.fsuid };
    let gids = Quad { real: have.rgid, effective: have.egid, saved: have.sgid, fs: have.fsgid };
    let result = match ctx.row.name {
        "setfsuid" => {
            if uids.has(args[0]) || args[0] == uids.fs || have.may_set_uid() {
                new.fsuid = args[0];
            }
            u64::from(have.fsuid)
        }
        "setfsgid" => {
            if gids.has(args[0]) || args[0] == gids.fs || have.may_set_gid() {
                new.fsgid = args[0];
            }
            u64::from(have.fsgid)
        }
        name if name.contains("gid") => {
            let q = moved(name, gids, args, have.may_set_gid())?;
            (new.rgid, new.egid, new.sgid, new.fsgid) = (q.real, q.effective, q.saved, q.fs);
            0
        }
        name => {
            let q = moved(name, uids, args, have.may_set_uid())?;
            (new.ruid, new.euid, new.suid, new.fsuid) = (q.real, q.effective, q.saved, q.fs);
            0
        }
    };
    new.after_uid_change(have);
    ctx.proc.set_ids(Arc::new(new));
    Ok(Answer::Return(Ok(result)))
}

fn groups(ctx: &Ctx<'_>, have: &Credentials) -> Result<Answer> {
    let count = ctx.int(0);
    if ctx.row.name == "getgroups" {
        let n = have.groups.len();
        if count > 0 {
            if usize::try_from(count).is_ok_and(|c| c < n) {
                return Err(Errno::EINVAL);
            }
            let bytes: Vec<u8> = have.groups.iter().flat_map(|g| g.to_ne_bytes()).collect();
            ctx.tracee.write(ctx.arg(1), &bytes)?;
        } else if count < 0 {
            return Err(Errno::EINVAL);
        }
        return Ok(Answer::Return(Ok(n as u64)));
    }
    if !have.may_set_gid() {
        return Err(Errno::EPERM);
    }
    let n = usize::try_from(count).ok().filter(|&n| n <= 65_536).ok_or(Errno::EINVAL)?;
    let mut bytes = vec![0; n * 4];
    ctx.tracee.read(ctx.arg(1), &mut bytes)?;
    let mut new = have.clone();
    new.groups = bytes
        .chunks_exact(4)
        .map(|c| u32::from_ne_bytes(c.try_into().unwrap_or_default()))
        .collect();
    ctx.proc.set_ids(Arc::new(new));
    Ok(Answer::Return(Ok(0)))
}

/// capget(2), capset(2): version 3, two words of each set.
fn capabilities(ctx: &Ctx<'_>, have: &Credentials) -> Result<Answer> {
    let mut header = [0; 8];
    ctx.tracee.read(ctx.arg(0), &mut header)?;
    let version = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]);
    if version != CAPABILITY_VERSION {
        ctx.tracee.write(ctx.arg(0), &CAPABILITY_VERSION.to_ne_bytes())?;
        return if ctx.row.name == "capget" && ctx.arg(1) == 0 {
            Ok(Answer::Return(Ok(0)))
        } else {
            Err(Errno::EINVAL)
        };
    }
    let mut data = [0; 24];
    if ctx.row.name == "capget" {
        if ctx.arg(1) == 0 {
            return Ok(Answer::Return(Ok(0)));
        }
        for (i, set) in [have.effective, have.permitted, have.inheritable].into_iter().enumerate() {
            data[i * 4..i * 4 + 4].copy_from_slice(&(set as u32).to_ne_bytes());
            data[12 + i * 4..16 + i * 4].copy_from_slice(&((set >> 32) as u32).to_ne_bytes());
        }
        ctx.tracee.write(ctx.arg(1), &data)?;
        return Ok(Answer::Return(Ok(0)));
    }
    ctx.tracee.read(ctx.arg(1), &mut data)?;
    let word =
        |at: usize| u64::from(u32::from_ne_bytes(data[at..at + 4].try_into().unwrap_or_default()));
    let set = |i: usize| (word(i * 4) | word(12 + i * 4) << 32) & CAPS_ALL;
    let (effective, permitted, inheritable) = (set(0), set(1), set(2));
    if permitted & !have.permitted != 0 || effective & !permitted != 0 {
        return Err(Errno::EPERM);
    }
    let mut new = have.clone();
    (new.effective, new.permitted, new.inheritable) = (effective, permitted, inheritable);
    ctx.proc.set_ids(Arc::new(new));
    Ok(Answer::Return(Ok(0)))
}

/// The requests of prctl(2) that speak of privileges.
fn prctl(ctx: &Ctx<'_>, have: &Credentials) -> Result<Answer> {
    match ctx.int(0) {
        libc::PR_GET_NO_NEW_PRIVS => Ok(Answer::Return(Ok(0))),
        libc::PR_SET_NO_NEW_PRIVS => Ok(Answer::Native),
        libc::PR_CAPBSET_READ => {
            let known = ctx.arg(1) < 41;
            if known { Ok(Answer::Return(Ok(1))) } else { Err(Errno::EINVAL) }
        }
        libc::PR_GET_KEEPCAPS => Ok(Answer::Return(Ok(u64::from(have.keeps_capabilities)))),
        libc::PR_SET_KEEPCAPS => {
            if ctx.arg(1) > 1 {
                return Err(Errno::EINVAL);
            }
            let keeps_capabilities = ctx.arg(1) == 1;
            ctx.proc.set_ids(Arc::new(Credentials { keeps_capabilities, ..have.clone() }));
            Ok(Answer::Return(Ok(0)))
        }
        libc::PR_CAPBSET_DROP | libc::PR_SET_SECUREBITS | libc::PR_CAP_AMBIENT => {
            // Without the right to, as the kernel says it; kept capabilities give it.
            if have.euid == 0 || have.permitted != 0 {
                Ok(Answer::Return(Ok(0)))
            } else {
                Ok(Answer::Native)
            }
        }
        _ => Ok(Answer::Native),
    }
}

#[cfg(test)]
mod tests {
    use super::{Quad, moved};
    use abi::Errno;

    fn quad(q: Quad) -> [u32; 4] {
        [q.real, q.effective, q.saved, q.fs]
    }

    #[test]
    fn ids_move_as_the_manual_says() {
        const K: u32 = u32::MAX;
        let root = Quad { real: 0, effective: 0, saved: 0, fs: 0 };
        let user = Quad { real: 1000, effective: 1000, saved: 0, fs: 1000 };
        // setuid of root changes all, for good.
        assert_eq!(moved("setuid", root, [5, 0, 0], true).map(quad), Ok([5, 5, 5, 5]));
        // A user goes back to the saved id, and nowhere else.
        assert_eq!(moved("setuid", user, [0, 0, 0], false).map(quad), Ok([1000, 0, 0, 0]));
        assert_eq!(moved("setuid", user, [7, 0, 0], false).map(quad), Err(Errno::EPERM));
        // setreuid: the saved id follows the effective one when the real one is set.
        assert_eq!(
            moved("setreuid", root, [1000, 1000, 0], true).map(quad),
            Ok([1000, 1000, 1000, 1000])
        );
        assert_eq!(moved("setreuid", user, [K, 0, 0], false).map(quad), Ok([1000, 0, 0, 0]));
        assert_eq!(moved("setresuid", user, [K, K, 7], false).map(quad), Err(Errno::EPERM));
        assert_eq!(moved("setresuid", user, [K, 0, K], false).map(quad), Ok([1000, 0, 0, 0]));
    }
}
