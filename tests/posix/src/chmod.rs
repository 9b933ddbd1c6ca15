//! chmod(2), fchmod(2).

use crate::agent::{ALICE, BOB};
use crate::checks::{Checks, Lack, Unprepared};
use crate::op::Op;
use nix::errno::Errno;

pub(crate) fn run(t: &mut Checks) -> Result<(), Unprepared> {
    if t.lacks(Lack::Modes) {
        return Ok(());
    }
    every_bit(t)?;
    if t.has(Lack::Symlinks) {
        through_links(t)?;
    }
    if t.has_users() {
        other_owners(t)?;
        group_bit(t)?;
    }
    Ok(())
}

/// Each bit of the mode is kept, on every kind of file.
fn every_bit(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let mut makers = vec![
        ("file", Op::Mknod(format!("{d}/file"), '-', 0o644, 0)),
        ("dir", Op::Mkdir(format!("{d}/dir"), 0o755)),
    ];
    if t.has(Lack::Special) {
        makers.push(("fifo", Op::Mkfifo(format!("{d}/fifo"), 0o644)));
        makers.push(("socket", Op::Mknod(format!("{d}/socket"), 's', 0o644, 0)));
        if t.is_root() {
            makers.push(("chr", Op::Mknod(format!("{d}/chr"), 'c', 0o644, 0x103)));
            makers.push(("blk", Op::Mknod(format!("{d}/blk"), 'b', 0o644, 0x700)));
        }
    }
    for (name, maker) in makers {
        t.prepare(&[maker])?;
        let path = format!("{d}/{name}");
        let bits = (0..12).map(|bit| 1 << bit);
        for perm in bits.chain([0o7777, 0o0000, 0o0751]) {
            // A mode that its owner may not read can still be changed.
            t.allows(&format!("chmod {perm:04o} of a {name}"), &Op::Chmod(path.clone(), perm));
            let found = t.stat(&path)?.perm;
            t.same(
                &format!("a {name} of mode {perm:04o}"),
                format!("{found:04o}"),
                format!("{perm:04o}"),
            );
        }
        t.prepare(&[Op::Chmod(path.clone(), 0o644)])?;
    }
    t.allows("fchmod", &Op::Fchmod(format!("{d}/file"), 0o4711));
    let found = t.stat(&format!("{d}/file"))?.perm;
    t.same("after fchmod", found, 0o4711);
    t.allows("fchmod of a folder", &Op::Fchmod(format!("{d}/dir"), 0o700));
    Ok(())
}

fn through_links(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    t.prepare(&[
        Op::Mknod(format!("{d}/file"), '-', 0o644, 0),
        Op::Symlink("file".into(), format!("{d}/link")),
        Op::Symlink("none".into(), format!("{d}/dead")),
    ])?;
    t.allows("chmod of a link", &Op::Chmod(format!("{d}/link"), 0o600));
    let (file, link) = (t.stat(&format!("{d}/file"))?, t.stat(&format!("{d}/link"))?);
    t.same("chmod of a link changes its target", file.perm, 0o600);
    t.same("and not the link", link.perm, 0o777);
    t.refuses("chmod of a dead link", &Op::Chmod(format!("{d}/dead"), 0o600), Errno::ENOENT);
    Ok(())
}

fn other_owners(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let file = format!("{d}/file");
    t.prepare(&[
        Op::Mknod(file.clone(), '-', 0o666, 0),
        Op::Chown(file.clone(), Some(ALICE.uid), Some(ALICE.gid)),
    ])?;
    t.allows_to(ALICE, "the owner", &Op::Chmod(file.clone(), 0o606))?;
    t.refuses_to(BOB, "chmod by a stranger", &Op::Chmod(file.clone(), 0o666), Errno::EPERM)?;
    t.refuses_to(BOB, "fchmod by a stranger", &Op::Fchmod(file.clone(), 0o666), Errno::EPERM)?;
    t.allows("root", &Op::Chmod(file.clone(), 0o4755));
    t.shows("after root's chmod", &file, "-4755 60001:60001");
    Ok(())
}

/// The set-group-id bit is for members of the group (chmod(2)).
fn group_bit(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    for (name, maker) in [
        ("file", Op::Mknod(format!("{d}/file"), '-', 0o644, 0)),
        ("folder", Op::Mkdir(format!("{d}/folder"), 0o755)),
    ] {
        t.prepare(&[maker])?;
        let path = format!("{d}/{name}");
        for (gid, kept) in [(ALICE.gid, true), (ALICE.groups[0], true), (BOB.gid, false)] {
            t.prepare(&[
                Op::Chown(path.clone(), Some(ALICE.uid), Some(gid)),
                Op::Chmod(path.clone(), 0o755),
            ])?;
            t.allows_to(
                ALICE,
                &format!("chmod 2755 of a {name} of group {gid}"),
                &Op::Chmod(path.clone(), 0o2755),
            )?;
            let found = t.stat(&path)?.perm & 0o2000 != 0;
            t.same(&format!("the set-group-id bit of a {name} of group {gid} stays"), found, kept);
        }
    }
    Ok(())
}
