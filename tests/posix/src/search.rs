//! Permission to search folders and to change them (path_resolution(7), "Permissions").

use crate::agent::{ALICE, BOB, CAROL, Ids};
use crate::checks::{Checks, Lack, Unprepared};
use crate::names::calls;
use crate::op::Op;
use nix::errno::Errno;
use nix::libc;

pub(crate) fn run(t: &mut Checks) -> Result<(), Unprepared> {
    if t.lacks(Lack::Modes) {
        return Ok(());
    }
    closed_folders(t)?;
    if t.has_users() {
        classes(t)?;
        root(t)?;
    }
    access(t)
}

/// Folders that their owner has closed to himself.
fn closed_folders(t: &mut Checks) -> Result<(), Unprepared> {
    let (d, user) = t.users_folder()?;
    let (shut, fixed) = (format!("{d}/shut"), format!("{d}/fixed"));
    for (folder, perm) in [(&shut, 0o600), (&fixed, 0o500)] {
        t.prepare(&[Op::Mkdir(folder.clone(), 0o755)])?;
        for name in ["file", "spare"] {
            t.prepare(&[Op::Mknod(format!("{folder}/{name}"), '-', 0o644, 0)])?;
        }
        t.prepare(&[Op::Mkdir(format!("{folder}/dir"), 0o755)])?;
        for name in ["file", "spare", "dir", "."] {
            give(t, user, &format!("{folder}/{name}"))?;
        }
        t.prepare(&[Op::Chmod(folder.clone(), perm)])?;
    }
    t.prepare(&[Op::Mknod(format!("{d}/spare"), '-', 0o644, 0)])?;
    give(t, user, &format!("{d}/spare"))?;
    for call in calls(t) {
        let mut refuses = |what: &str, path: String| -> Result<(), Unprepared> {
            let found = t.user_call(user, &(call.make)(&d, path))?;
            t.same(&format!("{} {what}: EACCES", call.name), found, Err(Errno::EACCES));
            Ok(())
        };
        let name = if call.makes { "new" } else { "file" };
        refuses("in a folder without search permission", format!("{shut}/{name}"))?;
        let on_entry = ["link to", "rename from", "rename to", "unlink"].contains(&call.name);
        if call.makes || on_entry {
            refuses("in a folder without write permission", format!("{fixed}/{name}"))?;
        }
    }
    let found = t.user_call(user, &Op::Rmdir(format!("{fixed}/dir")))?;
    t.same("rmdir in a folder without write permission: EACCES", found, Err(Errno::EACCES));
    let found = t.user_call(user, &Op::Stat(format!("{fixed}/file")))?.map(drop);
    t.same("stat in a folder without write permission", found, Ok(()));
    let found = t.user_call(user, &Op::List(shut.clone()))?.map(drop);
    t.same("a folder without search permission is listed", found, Ok(()));
    t.prepare(&[Op::Chmod(shut.clone(), 0o300)])?;
    let found = t.user_call(user, &Op::List(shut.clone()))?;
    t.same("a folder without read permission is not listed: EACCES", found, Err(Errno::EACCES));
    let found = t.user_call(user, &Op::Unlink(format!("{shut}/file")))?.map(drop);
    t.same("what can't be listed can be removed", found, Ok(()));
    t.prepare(&[Op::Chmod(shut, 0o700), Op::Chmod(fixed, 0o700)])
}

fn give(t: &mut Checks, user: Option<Ids>, path: &str) -> Result<(), Unprepared> {
    let Some(ids) = user else { return Ok(()) };
    t.prepare(&[Op::Chown(path.to_owned(), Some(ids.uid), Some(ids.gid))])
}

/// The first class that fits decides: owner, group, others.
fn classes(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let file = format!("{d}/file");
    t.prepare(&[
        Op::Mknod(file.clone(), '-', 0o644, 0),
        Op::Chown(file.clone(), Some(ALICE.uid), Some(ALICE.gid)),
    ])?;
    let read = Op::Open(file.clone(), libc::O_RDONLY, 0);
    let write = Op::Open(file.clone(), libc::O_WRONLY, 0);
    let both = Op::Open(file.clone(), libc::O_RDWR, 0);
    // Of the owner, a member of the group, a stranger: what each may. r, w, or nothing.
    for (perm, may) in [
        (0o600, ["rw", "", ""]),
        (0o060, ["", "rw", ""]),
        (0o006, ["", "", "rw"]),
        (0o640, ["rw", "r", ""]),
        (0o462, ["r", "rw", "w"]),
        (0o000, ["", "", ""]),
    ] {
        t.prepare(&[Op::Chmod(file.clone(), perm)])?;
        for (who, may) in [ALICE, CAROL, BOB].into_iter().zip(may) {
            for (op, needs) in [(&read, "r"), (&write, "w"), (&both, "rw")] {
                let wanted = if may.contains(needs) { Ok(()) } else { Err(Errno::EACCES) };
                let found = t.by(who, op)?.map(drop);
                t.same(&format!("{} of mode {perm:03o} by {}", needs, who.uid), found, wanted);
            }
        }
    }
    t.prepare(&[Op::Chmod(file.clone(), 0o444)])?;
    t.refuses_to(
        ALICE,
        "truncate of what its owner may only read",
        &Op::Truncate(file.clone(), 0),
        Errno::EACCES,
    )?;
    t.refuses_to(
        ALICE,
        "open O_TRUNC of what its owner may only read",
        &Op::Open(file.clone(), libc::O_RDONLY | libc::O_TRUNC, 0),
        Errno::EACCES,
    )?;
    let folder = format!("{d}/folder");
    t.prepare(&[
        Op::Mkdir(folder.clone(), 0o770),
        Op::Chown(folder.clone(), Some(ALICE.uid), Some(ALICE.gid)),
    ])?;
    t.allows_to(
        CAROL,
        "a member of the group makes names",
        &Op::Mkdir(format!("{folder}/c"), 0o755),
    )?;
    t.refuses_to(
        BOB,
        "a stranger does not",
        &Op::Mkdir(format!("{folder}/b"), 0o755),
        Errno::EACCES,
    )?;
    t.shows("what a member makes is his", &format!("{folder}/c"), "d0755 60003:60003");
    t.allows_to(CAROL, "and who may write the folder removes", &Op::Rmdir(format!("{folder}/c")))
}

/// Root needs no permission, but for execution.
fn root(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let (folder, file) = (format!("{d}/shut"), format!("{d}/shut/file"));
    t.prepare(&[
        Op::Mkdir(folder.clone(), 0o755),
        Op::Mknod(file.clone(), '-', 0, 0),
        Op::Chown(file.clone(), Some(ALICE.uid), Some(ALICE.gid)),
        Op::Chown(folder.clone(), Some(ALICE.uid), Some(ALICE.gid)),
        Op::Chmod(folder.clone(), 0),
    ])?;
    t.allows("root opens a file of mode 000", &Op::Open(file.clone(), libc::O_RDWR, 0));
    t.allows("root looks into a folder of mode 000", &Op::List(folder.clone()));
    t.allows("root makes names in a folder of mode 000", &Op::Mkdir(format!("{folder}/x"), 0o755));
    t.allows("access R_OK and W_OK by root", &Op::Access(file.clone(), libc::R_OK | libc::W_OK));
    t.refuses(
        "access X_OK by root of what nobody may run",
        &Op::Access(file.clone(), libc::X_OK),
        Errno::EACCES,
    );
    t.prepare(&[Op::Chmod(file.clone(), 0o001)])?;
    t.allows("access X_OK by root of what others may run", &Op::Access(file, libc::X_OK));
    t.allows("access X_OK by root of a folder", &Op::Access(folder, libc::X_OK));
    Ok(())
}

fn access(t: &mut Checks) -> Result<(), Unprepared> {
    let (d, user) = t.users_folder()?;
    let file = format!("{d}/file");
    t.prepare(&[Op::Mknod(file.clone(), '-', 0o644, 0)])?;
    give(t, user, &file)?;
    for perm in 0..8 {
        t.prepare(&[Op::Chmod(file.clone(), perm << 6)])?;
        for want in 0..8 {
            let wanted = if want & !perm == 0 { Ok(()) } else { Err(Errno::EACCES) };
            let want_bits = i32::try_from(want).unwrap_or(0);
            let found = t.user_call(user, &Op::Access(file.clone(), want_bits))?.map(drop);
            t.same(&format!("access {want} of mode {perm}00"), found, wanted);
        }
    }
    t.refuses("access with a bad mode", &Op::Access(file, 0o10), Errno::EINVAL);
    Ok(())
}
