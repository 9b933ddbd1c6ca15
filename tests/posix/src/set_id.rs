//! Set-id bits: cleared by whoever writes without the right to keep them; obeyed by execve(2).

use crate::agent::{ALICE, BOB};
use crate::checks::{Checks, Lack, Unprepared};
use crate::op::Op;
use nix::libc;

pub(crate) fn run(t: &mut Checks) -> Result<(), Unprepared> {
    if !t.has_users() || t.lacks(Lack::Modes) {
        return Ok(());
    }
    let d = t.folder()?;
    let file = format!("{d}/file");
    t.prepare(&[
        Op::Write(file.clone(), libc::O_CREAT | libc::O_WRONLY, "0123456789".into()),
        Op::Chown(file.clone(), Some(ALICE.uid), Some(ALICE.gid)),
    ])?;
    let calls = [
        ("write", Op::Write(file.clone(), libc::O_WRONLY, "x".into())),
        ("append", Op::Write(file.clone(), libc::O_WRONLY | libc::O_APPEND, "x".into())),
        ("truncate", Op::Truncate(file.clone(), 5)),
        ("ftruncate", Op::Ftruncate(file.clone(), libc::O_WRONLY, 4)),
        ("O_TRUNC", Op::Open(file.clone(), libc::O_WRONLY | libc::O_TRUNC, 0)),
    ];
    for (name, op) in calls {
        for (perm, after) in
            [(0o6777, 0o0777), (0o4777, 0o0777), (0o2777, 0o0777), (0o0777, 0o0777)]
        {
            t.prepare(&[Op::Chmod(file.clone(), perm)])?;
            t.allows_to(BOB, &format!("{name} of mode {perm:04o} by a stranger"), &op)?;
            let found = t.stat(&file)?.perm;
            t.same(
                &format!("mode {perm:04o} after {name} by a stranger"),
                format!("{found:04o}"),
                format!("{after:04o}"),
            );
        }
        t.prepare(&[Op::Chmod(file.clone(), 0o4777)])?;
        t.allows(&format!("{name} of mode 4777 by root"), &op);
        let found = t.stat(&file)?.perm;
        t.same(
            &format!("mode 4777 after {name} by root"),
            format!("{found:04o}"),
            "4777".to_owned(),
        );
    }
    Ok(())
}
