//! symlink(2), readlink(2).

use crate::agent::ALICE;
use crate::checks::{Checks, Lack, Unprepared};
use crate::op::{Answer, Op, perform};
use nix::errno::Errno;

/// The longest target, without the final NUL.
const TARGET_MAX: usize = 4095;

pub(crate) fn run(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let link = format!("{d}/link");
    t.prepare(&[
        Op::Mknod(format!("{d}/file"), '-', 0o640, 0),
        Op::Mkdir(format!("{d}/dir"), 0o755),
    ])?;
    if t.lacks(Lack::Symlinks) {
        t.refuses(
            "a format without links",
            &Op::Symlink("file".into(), link.clone()),
            Errno::EPERM,
        );
        t.refuses("no name is left", &Op::Lstat(link), Errno::ENOENT);
        return Ok(());
    }
    for (at, length) in [1, 59, 60, 61, 255, 1000, 4094, TARGET_MAX].into_iter().enumerate() {
        let (path, target) = (format!("{d}/l{at}"), "t".repeat(length));
        t.allows(
            &format!("a target of {length} bytes"),
            &Op::Symlink(target.clone(), path.clone()),
        );
        let found = t.stat(&path)?;
        let shown = (found.kind, found.perm, found.nlink, found.size_bytes);
        let size_bytes = i64::try_from(length).unwrap_or(0);
        t.same(&format!("lstat of a target of {length} bytes"), shown, ('l', 0o777, 1, size_bytes));
        t.same(
            &format!("readlink of {length} bytes"),
            perform(&Op::Readlink(path)),
            Ok(Answer::Text(target)),
        );
    }
    let long = Op::Symlink("t".repeat(TARGET_MAX + 1), link.clone());
    t.refuses("a target of 4096 bytes", &long, Errno::ENAMETOOLONG);
    t.refuses("an empty target", &Op::Symlink(String::new(), link.clone()), Errno::ENOENT);
    t.refuses("over a file", &Op::Symlink("x".into(), format!("{d}/file")), Errno::EEXIST);
    t.refuses("over a folder", &Op::Symlink("x".into(), format!("{d}/dir")), Errno::EEXIST);
    t.allows("to a folder", &Op::Symlink("dir".into(), link.clone()));
    t.refuses("over a link", &Op::Symlink("x".into(), link.clone()), Errno::EEXIST);
    t.refuses("readlink of a file", &Op::Readlink(format!("{d}/file")), Errno::EINVAL);
    t.refuses("readlink of a folder", &Op::Readlink(format!("{d}/dir")), Errno::EINVAL);
    t.allows("mkdir through a link", &Op::Mkdir(format!("{link}/in"), 0o755));
    let found = t.stat(&format!("{d}/dir/in"))?.kind;
    t.same("it is in the link's target", found, 'd');
    t.prepare(&[Op::Symlink(format!("{d}/dir"), format!("{d}/whole"))])?;
    t.allows("a target with its whole path", &Op::Stat(format!("{d}/whole/in")));
    if t.has_users() {
        let hers = format!("{d}/hers");
        t.prepare(&[Op::Chmod(d.clone(), 0o777)])?;
        t.allows_to(ALICE, "a link of a user", &Op::Symlink("x".into(), hers.clone()))?;
        t.shows("is the user's", &hers, "l0777 60001:60001");
    }
    Ok(())
}
