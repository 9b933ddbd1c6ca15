//! rename(2), renameat2(2).

use crate::checks::{Checks, Lack, Unprepared};
use crate::op::{Answer, Op, perform};
use nix::errno::Errno;
use nix::libc;

pub(crate) fn run(t: &mut Checks) -> Result<(), Unprepared> {
    keeps_what_it_moves(t)?;
    over_what_is_there(t)?;
    folders(t)?;
    flags(t)?;
    if t.has(Lack::Links) {
        two_names(t)?;
    }
    if t.has(Lack::Modes) { folder_without_write(t) } else { Ok(()) }
}

fn keeps_what_it_moves(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    t.prepare(&[Op::Mkdir(format!("{d}/to"), 0o755)])?;
    let mut makers = vec![
        Op::Write(format!("{d}/file"), libc::O_CREAT | libc::O_WRONLY, "text".into()),
        Op::Mkdir(format!("{d}/dir"), 0o755),
    ];
    let mut names = vec!["file", "dir"];
    if t.has(Lack::Special) {
        makers.extend([
            Op::Mkfifo(format!("{d}/fifo"), 0o604),
            Op::Mknod(format!("{d}/socket"), 's', 0o640, 0),
        ]);
        names.extend(["fifo", "socket"]);
    }
    if t.has(Lack::Symlinks) {
        makers.push(Op::Symlink("file".into(), format!("{d}/link")));
        names.push("link");
    }
    t.prepare(&makers)?;
    for name in names {
        let (from, to) = (format!("{d}/{name}"), format!("{d}/to/{name}-new"));
        let before = t.stat(&from)?;
        t.allows(&format!("a {name}"), &Op::Rename(from.clone(), to.clone(), 0));
        t.refuses(&format!("the old name of a {name}"), &Op::Lstat(from), Errno::ENOENT);
        let after = t.stat(&to)?;
        let what = |s: crate::op::Stat| (s.kind, s.perm, s.ino, s.nlink, s.size_bytes, s.mtime);
        t.same(&format!("a {name} is what it was"), what(after), what(before));
    }
    let text = perform(&Op::Read(format!("{d}/to/file-new")));
    t.same("a file has its contents", text, Ok(Answer::Text("text".into())));
    t.refuses(
        "a missing file",
        &Op::Rename(format!("{d}/none"), format!("{d}/x"), 0),
        Errno::ENOENT,
    );
    let into_none = Op::Rename(format!("{d}/to/file-new"), format!("{d}/none/x"), 0);
    t.refuses("into a missing folder", &into_none, Errno::ENOENT);
    let same = format!("{d}/to/file-new");
    t.allows("to its own name", &Op::Rename(same.clone(), same.clone(), 0));
    t.allows("and it is still there", &Op::Stat(same));
    Ok(())
}

fn over_what_is_there(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let at = |name: &str| format!("{d}/{name}");
    t.prepare(&[
        Op::Write(at("a"), libc::O_CREAT | libc::O_WRONLY, "a".into()),
        Op::Write(at("b"), libc::O_CREAT | libc::O_WRONLY, "bb".into()),
        Op::Mkdir(at("dir"), 0o755),
        Op::Mkdir(at("empty"), 0o755),
        Op::Mkdir(at("full"), 0o755),
        Op::Mknod(at("full/x"), '-', 0o644, 0),
    ])?;
    let over = |from: &str, to: &str| Op::Rename(at(from), at(to), 0);
    t.refuses("a file over a folder", &over("a", "empty"), Errno::EISDIR);
    t.refuses("a folder over a file", &over("dir", "a"), Errno::ENOTDIR);
    t.refuses("a folder over a full one", &over("dir", "full"), Errno::ENOTEMPTY);
    let before = t.stat(&at("dir"))?.ino;
    t.allows("a folder over an empty one", &over("dir", "empty"));
    let after = t.stat(&at("empty"))?.ino;
    t.same("it is the folder that was moved", after, before);
    t.allows("a file over a file", &over("a", "b"));
    t.same(
        "the contents are the moved one's",
        perform(&Op::Read(at("b"))),
        Ok(Answer::Text("a".into())),
    );
    let names = perform(&Op::List(d.clone()));
    let wanted = ["b", "empty", "full"].map(str::to_owned).to_vec();
    t.same("and no name is left over", names, Ok(Answer::Names(wanted)));
    if t.has(Lack::Symlinks) {
        t.prepare(&[
            Op::Symlink("full".into(), at("link")),
            Op::Symlink("none".into(), at("dead")),
        ])?;
        t.allows("a file over a link to a folder", &over("b", "link"));
        let found = t.stat(&at("link"))?.kind;
        t.same("replaces the link", found, '-');
        t.refuses("a folder over a link to a folder", &over("empty", "dead"), Errno::ENOTDIR);
        t.allows("a link over a file", &over("dead", "link"));
        let found = t.stat(&at("link"))?.kind;
        t.same("is the link", found, 'l');
    }
    Ok(())
}

fn folders(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let at = |name: &str| format!("{d}/{name}");
    t.prepare(&[
        Op::Mkdir(at("a"), 0o755),
        Op::Mkdir(at("a/b"), 0o755),
        Op::Mkdir(at("a/b/c"), 0o755),
        Op::Write(at("a/b/c/file"), libc::O_CREAT | libc::O_WRONLY, "deep".into()),
        Op::Mkdir(at("x"), 0o755),
    ])?;
    t.refuses("a folder into itself", &Op::Rename(at("a"), at("a/new"), 0), Errno::EINVAL);
    t.refuses("a folder below itself", &Op::Rename(at("a"), at("a/b/c/new"), 0), Errno::EINVAL);
    t.refuses("a folder over its ancestor", &Op::Rename(at("a/b"), at("a"), 0), Errno::ENOTEMPTY);
    t.allows("a full folder into another", &Op::Rename(at("a/b"), at("x/b2"), 0));
    t.same(
        "all below is there",
        perform(&Op::Read(at("x/b2/c/file"))),
        Ok(Answer::Text("deep".into())),
    );
    let (up, x) = (t.stat(&at("x/b2/.."))?.ino, t.stat(&at("x"))?.ino);
    t.same("its .. is the new parent", up, x);
    t.refuses("its old name", &Op::Lstat(at("a/b")), Errno::ENOENT);
    t.allows("a folder takes a name that was given up", &Op::Mkdir(at("a/b"), 0o755));
    t.same("and is empty", perform(&Op::List(at("a/b"))), Ok(Answer::Names(Vec::new())));
    Ok(())
}

fn flags(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let at = |name: &str| format!("{d}/{name}");
    t.prepare(&[
        Op::Write(at("a"), libc::O_CREAT | libc::O_WRONLY, "a".into()),
        Op::Write(at("b"), libc::O_CREAT | libc::O_WRONLY, "bb".into()),
        Op::Mkdir(at("dir"), 0o755),
        Op::Mknod(at("dir/x"), '-', 0o644, 0),
    ])?;
    let (keep, swap) = (libc::RENAME_NOREPLACE, libc::RENAME_EXCHANGE);
    t.refuses("RENAME_NOREPLACE over a file", &Op::Rename(at("a"), at("b"), keep), Errno::EEXIST);
    t.allows("RENAME_NOREPLACE to a free name", &Op::Rename(at("a"), at("c"), keep));
    t.allows("RENAME_EXCHANGE of files", &Op::Rename(at("b"), at("c"), swap));
    t.same("they are exchanged", perform(&Op::Read(at("b"))), Ok(Answer::Text("a".into())));
    t.allows("RENAME_EXCHANGE of a file and a full folder", &Op::Rename(at("b"), at("dir"), swap));
    t.allows("the folder has the file's name", &Op::Stat(at("b/x")));
    t.same(
        "the file has the folder's",
        perform(&Op::Read(at("dir"))),
        Ok(Answer::Text("a".into())),
    );
    t.refuses(
        "RENAME_EXCHANGE with a missing name",
        &Op::Rename(at("b"), at("none"), swap),
        Errno::ENOENT,
    );
    t.refuses("both flags", &Op::Rename(at("b"), at("c"), keep | swap), Errno::EINVAL);
    t.refuses("an unknown flag", &Op::Rename(at("b"), at("c"), 1 << 9), Errno::EINVAL);
    Ok(())
}

/// Two names of one file: rename does nothing.
fn two_names(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let (a, b) = (format!("{d}/a"), format!("{d}/b"));
    t.prepare(&[Op::Mknod(a.clone(), '-', 0o644, 0), Op::Link(a.clone(), b.clone(), 0)])?;
    t.allows("to another name of the same file", &Op::Rename(a.clone(), b.clone(), 0));
    let found = (t.stat(&a)?.nlink, t.stat(&b)?.nlink);
    t.same("both names stay", found, (2, 2));
    let c = format!("{d}/c");
    t.prepare(&[Op::Mknod(c.clone(), '-', 0o644, 0)])?;
    t.allows("over one of two names", &Op::Rename(c, b, 0));
    let found = t.stat(&a)?.nlink;
    t.same("leaves one", found, 1);
    Ok(())
}

/// A folder that changes its parent is written to: its `..` changes.
fn folder_without_write(t: &mut Checks) -> Result<(), Unprepared> {
    let (d, user) = t.users_folder()?;
    let at = |name: &str| format!("{d}/{name}");
    for op in
        [Op::Mkdir(at("fixed"), 0o755), Op::Mkdir(at("to"), 0o755), Op::Chmod(at("fixed"), 0o555)]
    {
        let made = t.user_call(user, &op)?.map(drop);
        t.same("made by its user", made, Ok(()));
    }
    let found = t.user_call(user, &Op::Rename(at("fixed"), at("fixed2"), 0))?.map(drop);
    t.same("a folder without write permission within its parent", found, Ok(()));
    let found = t.user_call(user, &Op::Rename(at("fixed2"), at("to/fixed"), 0))?;
    t.same(
        "a folder without write permission to another parent: EACCES",
        found,
        Err(Errno::EACCES),
    );
    Ok(())
}
