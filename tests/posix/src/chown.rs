//! chown(2), lchown(2), fchown(2).

use crate::agent::{ALICE, BOB};
use crate::checks::{Checks, Lack, Unprepared};
use crate::op::Op;
use nix::errno::Errno;

pub(crate) fn run(t: &mut Checks) -> Result<(), Unprepared> {
    if t.lacks(Lack::Owners) {
        return Ok(());
    }
    if !t.is_root() {
        return plain_user(t);
    }
    every_kind(t)?;
    owners(t)?;
    set_id_bits(t)?;
    if t.has(Lack::Symlinks) { through_links(t) } else { Ok(()) }
}

/// Nobody gives files away, but to what they are.
fn plain_user(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let file = format!("{d}/file");
    t.prepare(&[Op::Mknod(file.clone(), '-', 0o644, 0)])?;
    let before = t.stat(&file)?;
    t.allows("chown to what it is", &Op::Chown(file.clone(), Some(before.uid), Some(before.gid)));
    t.allows("chown of nothing", &Op::Chown(file.clone(), None, None));
    t.refuses("chown to root", &Op::Chown(file.clone(), Some(0), None), Errno::EPERM);
    t.refuses("chown to another group", &Op::Chown(file.clone(), None, Some(0)), Errno::EPERM);
    t.refuses("lchown to root", &Op::Lchown(file.clone(), Some(0), None), Errno::EPERM);
    t.refuses("fchown to root", &Op::Fchown(file.clone(), Some(0), None), Errno::EPERM);
    let after = t.stat(&file)?;
    t.same("its owner stays", (after.uid, after.gid), (before.uid, before.gid));
    t.refuses(
        "chown of the root folder",
        &Op::Chown("/".into(), Some(before.uid), None),
        Errno::EPERM,
    );
    Ok(())
}

fn every_kind(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let mut makers = vec![
        ("file", Op::Mknod(format!("{d}/file"), '-', 0o644, 0)),
        ("dir", Op::Mkdir(format!("{d}/dir"), 0o755)),
    ];
    if t.has(Lack::Special) {
        makers.push(("fifo", Op::Mkfifo(format!("{d}/fifo"), 0o644)));
        makers.push(("chr", Op::Mknod(format!("{d}/chr"), 'c', 0o644, 0x103)));
        makers.push(("blk", Op::Mknod(format!("{d}/blk"), 'b', 0o644, 0x700)));
    }
    for (name, maker) in makers {
        t.prepare(&[maker])?;
        let path = format!("{d}/{name}");
        for (uid, gid) in
            [(Some(123), Some(456)), (Some(124), None), (None, Some(457)), (None, None)]
        {
            let before = t.stat(&path)?;
            t.allows(
                &format!("chown {uid:?} {gid:?} of a {name}"),
                &Op::Chown(path.clone(), uid, gid),
            );
            let after = t.stat(&path)?;
            let wanted = (uid.unwrap_or(before.uid), gid.unwrap_or(before.gid));
            t.same(
                &format!("owner after chown {uid:?} {gid:?} of a {name}"),
                (after.uid, after.gid),
                wanted,
            );
        }
    }
    let (file, far) = (format!("{d}/file"), 0xffff_fff0);
    t.allows("chown to large numbers", &Op::Chown(file.clone(), Some(far), Some(far)));
    let after = t.stat(&file)?;
    t.same("owner of a large number", (after.uid, after.gid), (far, far));
    t.allows("fchown", &Op::Fchown(file.clone(), Some(1), Some(2)));
    t.shows("after fchown", &file, "-0644 1:2");
    Ok(())
}

/// Who may give what to whom.
fn owners(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let file = format!("{d}/file");
    t.prepare(&[
        Op::Mknod(file.clone(), '-', 0o666, 0),
        Op::Chown(file.clone(), Some(ALICE.uid), Some(ALICE.gid)),
    ])?;
    let to = |uid, gid| Op::Chown(file.clone(), uid, gid);
    t.refuses_to(ALICE, "the owner gives it away", &to(Some(BOB.uid), None), Errno::EPERM)?;
    t.refuses_to(
        ALICE,
        "the owner gives it to a foreign group",
        &to(None, Some(BOB.gid)),
        Errno::EPERM,
    )?;
    t.refuses_to(BOB, "a stranger takes it", &to(Some(BOB.uid), None), Errno::EPERM)?;
    t.refuses_to(BOB, "a stranger changes its group", &to(None, Some(BOB.gid)), Errno::EPERM)?;
    t.refuses_to(
        BOB,
        "fchown by a stranger",
        &Op::Fchown(file.clone(), Some(BOB.uid), None),
        Errno::EPERM,
    )?;
    t.refuses_to(
        BOB,
        "lchown by a stranger",
        &Op::Lchown(file.clone(), Some(BOB.uid), None),
        Errno::EPERM,
    )?;
    t.shows("its owner stays", &file, "-0666 60001:60001");
    t.allows_to(
        ALICE,
        "the owner gives it to another group of hers",
        &to(None, Some(ALICE.groups[0])),
    )?;
    t.shows("its group is another", &file, "-0666 60001:60010");
    t.allows_to(ALICE, "the owner names herself", &to(Some(ALICE.uid), Some(ALICE.gid)))?;
    t.shows("its group is the first again", &file, "-0666 60001:60001");
    Ok(())
}

/// chown(2) takes the set-id bits of what may be run.
fn set_id_bits(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let file = format!("{d}/file");
    t.prepare(&[Op::Mknod(file.clone(), '-', 0o644, 0)])?;
    let alice = Some(ALICE.uid);
    for (perm, after) in [(0o6755, 0o0755), (0o4755, 0o0755), (0o2755, 0o0755), (0o1755, 0o1755)] {
        t.prepare(&[
            Op::Chown(file.clone(), alice, Some(ALICE.gid)),
            Op::Chmod(file.clone(), perm),
        ])?;
        let group = Op::Chown(file.clone(), None, Some(ALICE.groups[0]));
        t.allows_to(ALICE, &format!("the owner's chown of mode {perm:04o}"), &group)?;
        let found = t.stat(&file)?.perm;
        t.same(&format!("mode {perm:04o} after the owner's chown"), found, after);
        t.prepare(&[Op::Chmod(file.clone(), perm)])?;
        t.allows(
            &format!("root's chown of mode {perm:04o}"),
            &Op::Chown(file.clone(), Some(7), Some(8)),
        );
        let found = t.stat(&file)?.perm;
        t.same(&format!("mode {perm:04o} after root's chown"), found, after);
    }
    t.prepare(&[Op::Chmod(file.clone(), 0o2644)])?;
    t.allows("root's chown of mode 2644", &Op::Chown(file.clone(), Some(9), Some(9)));
    let found = t.stat(&file)?.perm;
    t.same("a set-group-id bit without execution stays for root", found, 0o2644);
    let dir = format!("{d}/dir");
    t.prepare(&[Op::Mkdir(dir.clone(), 0o755), Op::Chmod(dir.clone(), 0o6755)])?;
    t.allows("chown of a folder with set-id bits", &Op::Chown(dir.clone(), Some(7), Some(8)));
    t.shows("a folder keeps them", &dir, "d6755 7:8");
    Ok(())
}

fn through_links(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let (file, link) = (format!("{d}/file"), format!("{d}/link"));
    t.prepare(&[
        Op::Mknod(file.clone(), '-', 0o644, 0),
        Op::Symlink("file".into(), link.clone()),
        Op::Symlink("none".into(), format!("{d}/dead")),
    ])?;
    t.allows("chown of a link", &Op::Chown(link.clone(), Some(11), Some(12)));
    t.shows("chown of a link is its target's", &file, "-0644 11:12");
    t.allows("lchown of a link", &Op::Lchown(link.clone(), Some(13), Some(14)));
    t.shows("lchown is the link's own", &link, "l0777 13:14");
    t.shows("and not its target's", &file, "-0644 11:12");
    t.refuses(
        "chown of a dead link",
        &Op::Chown(format!("{d}/dead"), Some(1), None),
        Errno::ENOENT,
    );
    t.allows("lchown of a dead link", &Op::Lchown(format!("{d}/dead"), Some(1), Some(1)));
    Ok(())
}
