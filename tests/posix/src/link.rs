//! link(2), linkat(2).

use crate::agent::{ALICE, BOB};
use crate::checks::{Checks, Lack, Unprepared};
use crate::op::Op;
use nix::errno::Errno;
use nix::libc;

pub(crate) fn run(t: &mut Checks) -> Result<(), Unprepared> {
    if t.lacks(Lack::Links) {
        return refused(t);
    }
    counts(t)?;
    if t.has(Lack::Symlinks) {
        of_links(t)?;
    }
    if t.has_users() { by_others(t) } else { Ok(()) }
}

/// A format without links says so, and nothing comes of it.
fn refused(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    t.prepare(&[Op::Mknod(format!("{d}/file"), '-', 0o644, 0)])?;
    t.refuses(
        "a format without links",
        &Op::Link(format!("{d}/file"), format!("{d}/b"), 0),
        Errno::EPERM,
    );
    t.refuses("no name is left", &Op::Lstat(format!("{d}/b")), Errno::ENOENT);
    Ok(())
}

fn counts(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let (a, b, c) = (format!("{d}/a"), format!("{d}/b"), format!("{d}/dir/c"));
    t.prepare(&[Op::Mknod(a.clone(), '-', 0o644, 0), Op::Mkdir(format!("{d}/dir"), 0o755)])?;
    let links = |t: &mut Checks, path: &str| t.stat(path).map(|s| s.nlink);
    let found = links(t, &a)?;
    t.same("a new file has one link", found, 1);
    t.allows("link", &Op::Link(a.clone(), b.clone(), 0));
    t.allows("link into another folder", &Op::Link(b.clone(), c.clone(), 0));
    for path in [&a, &b, &c] {
        let found = links(t, path)?;
        t.same("three names, three links", found, 3);
    }
    let same = t.stat(&a)? == t.stat(&c)?;
    t.same("they are one file", same, true);
    t.prepare(&[
        Op::Write(a.clone(), libc::O_WRONLY, "text".into()),
        Op::Chmod(b.clone(), 0o4751),
    ])?;
    let same = t.stat(&a)? == t.stat(&c)?;
    t.same("a change of one is a change of all", same, true);
    t.allows("unlink of the first name", &Op::Unlink(a.clone()));
    t.refuses("the first name is gone", &Op::Stat(a.clone()), Errno::ENOENT);
    let found = t.stat(&c)?;
    t.same("two links are left", (found.nlink, found.size_bytes, found.perm), (2, 4, 0o4751));
    t.refuses("link of a folder", &Op::Link(format!("{d}/dir"), a.clone(), 0), Errno::EPERM);
    t.refuses("link to its own name", &Op::Link(b.clone(), b.clone(), 0), Errno::EEXIST);
    t.refuses("link of a missing file", &Op::Link(a.clone(), format!("{d}/x"), 0), Errno::ENOENT);
    t.refuses("linkat with bad flags", &Op::Link(b.clone(), a.clone(), 0x10), Errno::EINVAL);
    if t.has(Lack::Special) {
        let fifo = format!("{d}/fifo");
        t.prepare(&[Op::Mkfifo(fifo.clone(), 0o644)])?;
        t.allows("link of a FIFO", &Op::Link(fifo.clone(), format!("{d}/fifo2"), 0));
        let found = t.stat(&fifo)?;
        t.same("a FIFO of two names", (found.kind, found.nlink), ('p', 2));
    }
    Ok(())
}

fn of_links(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let (file, link) = (format!("{d}/file"), format!("{d}/link"));
    t.prepare(&[Op::Mknod(file.clone(), '-', 0o644, 0), Op::Symlink("file".into(), link.clone())])?;
    t.allows("link of a symbolic link", &Op::Link(link.clone(), format!("{d}/link2"), 0));
    let found = t.stat(&format!("{d}/link2"))?;
    t.same("it is the link that has two names", (found.kind, found.nlink), ('l', 2));
    let follow = Op::Link(link, format!("{d}/file2"), libc::AT_SYMLINK_FOLLOW);
    t.allows("linkat AT_SYMLINK_FOLLOW", &follow);
    let found = t.stat(&format!("{d}/file2"))?;
    t.same("it is the file that has two names", (found.kind, found.nlink), ('-', 2));
    Ok(())
}

fn by_others(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let (hers, his) = (format!("{d}/hers"), format!("{d}/his"));
    t.prepare(&[
        Op::Mkdir(hers.clone(), 0o755),
        Op::Mkdir(his.clone(), 0o755),
        Op::Mknod(format!("{hers}/file"), '-', 0o666, 0),
    ])?;
    for path in [&hers, &format!("{hers}/file")] {
        t.prepare(&[Op::Chown(path.clone(), Some(ALICE.uid), Some(ALICE.gid))])?;
    }
    t.prepare(&[Op::Chown(his.clone(), Some(BOB.uid), Some(BOB.gid))])?;
    let link = |to: String| Op::Link(format!("{hers}/file"), to, 0);
    t.allows_to(ALICE, "the owner", &link(format!("{hers}/b")))?;
    t.refuses_to(BOB, "into a folder of somebody else", &link(format!("{hers}/c")), Errno::EACCES)?;
    Ok(())
}
