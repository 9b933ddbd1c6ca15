//! utimensat(2).

use crate::agent::{ALICE, BOB};
use crate::checks::{Checks, Lack, Unprepared};
use crate::op::{Op, Time};
use nix::errno::Errno;
use nix::libc;

/// A time in the past, another one, and the last second of 32 bits.
const TIMES: [(i64, i64); 3] =
    [(981_173_106, 123_456_789), (1_000_000_001, 0), (2_147_483_647, 999_999_999)];

pub(crate) fn run(t: &mut Checks) -> Result<(), Unprepared> {
    if t.lacks(Lack::Times) {
        return coarse(t);
    }
    exact(t)?;
    if t.has(Lack::Symlinks) {
        own_times_of_links(t)?;
    }
    if t.has_users() { by_others(t) } else { Ok(()) }
}

/// A format that counts in two seconds keeps at least that.
fn coarse(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let file = format!("{d}/file");
    t.prepare(&[Op::Mknod(file.clone(), '-', 0o644, 0)])?;
    let (seconds, _) = TIMES[0];
    t.allows("a time", &Op::Utimens(file.clone(), Time::Omit, Time::At(seconds, 0), 0));
    let found = t.stat(&file)?.mtime.0;
    t.same("within two seconds", (found - seconds).abs() < 2, true);
    Ok(())
}

fn exact(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let (file, dir) = (format!("{d}/file"), format!("{d}/dir"));
    t.prepare(&[Op::Mknod(file.clone(), '-', 0o644, 0), Op::Mkdir(dir.clone(), 0o755)])?;
    for path in [&file, &dir] {
        for at in 0..TIMES.len() {
            let (a, m) = (TIMES[at], TIMES[(at + 1) % TIMES.len()]);
            let op = Op::Utimens(path.clone(), Time::At(a.0, a.1), Time::At(m.0, m.1), 0);
            t.allows(&format!("to {a:?} and {m:?}"), &op);
            let found = t.stat(path)?;
            t.same(&format!("{a:?} and {m:?} are kept"), (found.atime, found.mtime), (a, m));
        }
    }
    let before = t.stat(&file)?;
    t.allows("UTIME_OMIT of the first", &Op::Utimens(file.clone(), Time::Omit, Time::At(5, 0), 0));
    let found = t.stat(&file)?;
    t.same("the first stays", (found.atime, found.mtime), (before.atime, (5, 0)));
    t.allows("UTIME_OMIT of the second", &Op::Utimens(file.clone(), Time::At(6, 0), Time::Omit, 0));
    let found = t.stat(&file)?;
    t.same("the second stays", (found.atime, found.mtime), ((6, 0), (5, 0)));
    t.allows("UTIME_NOW", &Op::Utimens(file.clone(), Time::Now, Time::Now, 0));
    let found = t.stat(&file)?;
    t.same(
        "now is later than the times set",
        found.atime > (1_600_000_000, 0) && found.mtime == found.atime,
        true,
    );
    let bad = Op::Utimens(file.clone(), Time::At(0, 1_000_000_000), Time::Now, 0);
    t.refuses("a second of too many nanoseconds", &bad, Errno::EINVAL);
    let bad = Op::Utimens(file, Time::Now, Time::At(0, -1), 0);
    t.refuses("less than no nanoseconds", &bad, Errno::EINVAL);
    Ok(())
}

fn own_times_of_links(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let (file, link) = (format!("{d}/file"), format!("{d}/link"));
    t.prepare(&[Op::Mknod(file.clone(), '-', 0o644, 0), Op::Symlink("file".into(), link.clone())])?;
    let own =
        Op::Utimens(link.clone(), Time::At(10, 0), Time::At(20, 0), libc::AT_SYMLINK_NOFOLLOW);
    t.allows("of a link itself", &own);
    let found = t.stat(&link)?.mtime;
    t.same("the link's time", found, (20, 0));
    t.allows("through a link", &Op::Utimens(link.clone(), Time::At(30, 0), Time::At(40, 0), 0));
    let found = (t.stat(&file)?.mtime, t.stat(&link)?.mtime);
    t.same("the target's time and the link's", found, ((40, 0), (20, 0)));
    Ok(())
}

/// The owner sets times; who may write sets them to now.
fn by_others(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let file = format!("{d}/file");
    t.prepare(&[
        Op::Mknod(file.clone(), '-', 0o644, 0),
        Op::Chown(file.clone(), Some(ALICE.uid), Some(ALICE.gid)),
    ])?;
    let now = Op::Utimens(file.clone(), Time::Now, Time::Now, 0);
    let set = Op::Utimens(file.clone(), Time::At(1, 0), Time::At(2, 0), 0);
    let mixed = Op::Utimens(file.clone(), Time::Now, Time::Omit, 0);
    let nothing = Op::Utimens(file.clone(), Time::Omit, Time::Omit, 0);
    t.refuses_to(BOB, "now by a stranger who may not write", &now, Errno::EACCES)?;
    t.refuses_to(BOB, "a time by a stranger who may not write", &set, Errno::EPERM)?;
    t.allows_to(BOB, "nothing by a stranger", &nothing)?;
    t.prepare(&[Op::Chmod(file.clone(), 0o666)])?;
    t.allows_to(BOB, "now by a stranger who may write", &now)?;
    t.refuses_to(BOB, "a time by a stranger who may write", &set, Errno::EPERM)?;
    t.refuses_to(BOB, "half a time by a stranger who may write", &mixed, Errno::EPERM)?;
    t.prepare(&[Op::Chmod(file.clone(), 0)])?;
    t.allows_to(ALICE, "a time by the owner who may not write", &set)?;
    t.allows_to(ALICE, "now by the owner who may not write", &now)
}
