//! mkdir(2), mkfifo(3), mknod(2): what a new file is.

use crate::agent::{ALICE, BOB};
use crate::checks::{Checks, Lack, Unprepared};
use crate::op::{Op, perform};
use nix::errno::Errno;
use nix::libc;

pub(crate) fn run(t: &mut Checks) -> Result<(), Unprepared> {
    if t.lacks(Lack::Special) {
        refused(t)?;
    } else {
        kinds(t)?;
    }
    if t.has(Lack::Modes) {
        umask(t)?;
    }
    folder_links(t)?;
    over_names(t)?;
    if t.has_users() { owners(t) } else { Ok(()) }
}

/// A format without special files says so.
fn refused(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    for kind in ['p', 's'] {
        let path = format!("{d}/{kind}");
        t.refuses(
            &format!("a special file {kind}"),
            &Op::Mknod(path.clone(), kind, 0o644, 0),
            Errno::EPERM,
        );
        t.refuses(&format!("no name {kind} is left"), &Op::Lstat(path), Errno::ENOENT);
    }
    Ok(())
}

fn kinds(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let devices: &[(char, u64)] = &[('c', 0x103), ('c', 0x1234_5678), ('b', 0x700)];
    let plain: &[(char, u64)] = &[('-', 0), ('p', 0), ('s', 0)];
    for (at, &(kind, device)) in plain.iter().chain(devices).enumerate() {
        let path = format!("{d}/n{at}");
        let op = Op::Mknod(path.clone(), kind, 0o640, device);
        if !t.is_root() && at >= plain.len() {
            t.refuses(&format!("mknod {kind} by a user"), &op, Errno::EPERM);
            continue;
        }
        t.allows(&format!("mknod {kind} {device:#x}"), &op);
        let found = t.stat(&path)?;
        let shown = (found.kind, found.perm, found.nlink, found.size_bytes);
        t.same(&format!("stat of a new {kind} {device:#x}"), shown, (kind, 0o640, 1, 0));
        t.same(&format!("device number of a new {kind} {device:#x}"), found.rdev, device);
    }
    t.allows("mkfifo", &Op::Mkfifo(format!("{d}/fifo"), 0o622));
    let found = t.stat(&format!("{d}/fifo"))?;
    t.same("stat of a new FIFO", (found.kind, found.perm), ('p', 0o622));
    if !t.is_root() {
        return Ok(());
    }
    let device = Op::Mknod(format!("{d}/device"), 'c', 0o666, 0x103);
    if t.has_users() {
        t.prepare(&[Op::Chmod(d.clone(), 0o777)])?;
        t.refuses_to(ALICE, "mknod of a device by a user", &device, Errno::EPERM)?;
        t.allows_to(
            ALICE,
            "mknod of a FIFO by a user",
            &Op::Mknod(format!("{d}/hers"), 'p', 0o600, 0),
        )?;
        t.shows("a FIFO of a user", &format!("{d}/hers"), "p0600 60001:60001");
    }
    Ok(())
}

/// The mode asked for, without the umask's bits.
fn umask(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    for mask in [0, 0o022, 0o077, 0o777, 0o135] {
        t.prepare(&[Op::Umask(mask)])?;
        for (name, perm) in [("wide", 0o777), ("narrow", 0o151)] {
            let mut makers = vec![
                ("mkdir", 'd', Op::Mkdir(format!("{d}/mkdir-{mask:o}-{name}"), perm)),
                ("mknod", '-', Op::Mknod(format!("{d}/mknod-{mask:o}-{name}"), '-', perm, 0)),
                ("open", '-', Op::Open(format!("{d}/open-{mask:o}-{name}"), libc::O_CREAT, perm)),
            ];
            if t.has(Lack::Special) {
                makers.push((
                    "mkfifo",
                    'p',
                    Op::Mkfifo(format!("{d}/mkfifo-{mask:o}-{name}"), perm),
                ));
            }
            for (call, kind, op) in makers {
                let made = perform(&op).map(drop);
                t.same(&format!("{call} {perm:03o} with umask {mask:03o}"), made, Ok(()));
                let found = t.stat(&format!("{d}/{call}-{mask:o}-{name}"))?;
                let wanted = (kind, perm & !mask);
                let name = format!("the mode of {call} {perm:03o} with umask {mask:03o}");
                t.same(&name, (found.kind, found.perm), wanted);
            }
        }
    }
    t.prepare(&[Op::Umask(0)])?;
    t.prepare(&[Op::Mkdir(format!("{d}/sticky"), 0o1777)])?;
    let found = t.stat(&format!("{d}/sticky"))?.perm;
    t.same("mkdir keeps the sticky bit", found, 0o1777);
    t.prepare(&[Op::Mkdir(format!("{d}/set-id"), 0o6755)])?;
    let found = t.stat(&format!("{d}/set-id"))?.perm;
    t.same("mkdir drops set-id bits", found, 0o755);
    t.prepare(&[Op::Mknod(format!("{d}/set-id-file"), '-', 0o6755, 0)])?;
    let found = t.stat(&format!("{d}/set-id-file"))?.perm;
    t.same("mknod keeps set-id bits", found, 0o6755);
    Ok(())
}

/// A folder counts its own `.` and the `..` of its folders.
fn folder_links(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let links = |t: &mut Checks| t.stat(&d).map(|s| s.nlink);
    let found = links(t)?;
    t.same("a new folder has two links", found, 2);
    t.prepare(&[Op::Mkdir(format!("{d}/a"), 0o755), Op::Mkdir(format!("{d}/b"), 0o755)])?;
    let found = links(t)?;
    t.same("each folder in it is one more", found, 4);
    t.prepare(&[Op::Mknod(format!("{d}/file"), '-', 0o644, 0)])?;
    let found = links(t)?;
    t.same("a file is none", found, 4);
    t.prepare(&[Op::Rename(format!("{d}/a"), format!("{d}/b/a"), 0)])?;
    let found = (links(t)?, t.stat(&format!("{d}/b"))?.nlink);
    t.same("a folder that moves down takes its link along", found, (3, 3));
    t.prepare(&[Op::Rmdir(format!("{d}/b/a")), Op::Rmdir(format!("{d}/b"))])?;
    let found = links(t)?;
    t.same("none is left", found, 2);
    Ok(())
}

/// A name that is taken stays what it is.
fn over_names(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    t.prepare(&[
        Op::Mknod(format!("{d}/file"), '-', 0o644, 0),
        Op::Mkdir(format!("{d}/dir"), 0o755),
    ])?;
    let mut names = vec!["file", "dir"];
    if t.has(Lack::Special) {
        t.prepare(&[Op::Mkfifo(format!("{d}/fifo"), 0o644)])?;
        names.push("fifo");
    }
    if t.has(Lack::Symlinks) {
        t.prepare(&[
            Op::Symlink("file".into(), format!("{d}/link")),
            Op::Symlink("none".into(), format!("{d}/dead")),
        ])?;
        names.extend(["link", "dead"]);
    }
    for name in names {
        let path = format!("{d}/{name}");
        let before = t.stat(&path)?;
        t.refuses(&format!("mkdir over a {name}"), &Op::Mkdir(path.clone(), 0o700), Errno::EEXIST);
        t.refuses(
            &format!("mknod over a {name}"),
            &Op::Mknod(path.clone(), '-', 0o600, 0),
            Errno::EEXIST,
        );
        if t.has(Lack::Special) {
            t.refuses(
                &format!("mkfifo over a {name}"),
                &Op::Mkfifo(path.clone(), 0o600),
                Errno::EEXIST,
            );
        }
        let after = t.stat(&path)?;
        t.same(&format!("a {name} is what it was"), after, before);
    }
    t.refuses("nothing came behind a dead link", &Op::Lstat(format!("{d}/none")), Errno::ENOENT);
    Ok(())
}

/// A new file is its maker's, but for a folder with the set-group-id bit.
fn owners(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let shared = format!("{d}/shared");
    t.prepare(&[
        Op::Chmod(d.clone(), 0o777),
        Op::Mkdir(shared.clone(), 0o777),
        Op::Chown(shared.clone(), Some(BOB.uid), Some(BOB.gid)),
        Op::Chmod(shared.clone(), 0o2777),
    ])?;
    let make = |folder: &str| {
        [
            ("dir", Op::Mkdir(format!("{folder}/dir"), 0o755)),
            ("file", Op::Mknod(format!("{folder}/file"), '-', 0o644, 0)),
            ("open", Op::Open(format!("{folder}/open"), libc::O_CREAT, 0o644)),
        ]
    };
    for (name, op) in make(&d) {
        t.allows_to(ALICE, &format!("a user makes a {name}"), &op)?;
        let wanted = if name == "dir" { "d0755 60001:60001" } else { "-0644 60001:60001" };
        t.shows(&format!("it is the user's {name}"), &format!("{d}/{name}"), wanted);
    }
    for (name, op) in make(&shared) {
        t.allows_to(ALICE, &format!("a user makes a {name} in a set-group-id folder"), &op)?;
        let wanted = if name == "dir" { "d2755 60001:60002" } else { "-0644 60001:60002" };
        t.shows(&format!("a {name} has its folder's group"), &format!("{shared}/{name}"), wanted);
    }
    let set_id = Op::Open(format!("{shared}/set-id"), libc::O_CREAT, 0o2755);
    t.allows_to(ALICE, "a user asks for the set-group-id bit of a foreign group", &set_id)?;
    t.shows("and does not get it", &format!("{shared}/set-id"), "-0755 60001:60002");
    Ok(())
}
