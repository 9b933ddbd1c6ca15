//! Which calls move which times of which files. All that is needed is made first; then one tick of the file
//! system's clock is waited for; then every call is made, and what moved is compared with what should.

use crate::checks::{Checks, Lack, Unprepared};
use crate::op::{Op, Stat, Time, perform};
use nix::libc;
use nix::poll::PollTimeout;

/// Times that move: of modification, of change.
const BOTH: (bool, bool) = (true, true);
const CHANGE: (bool, bool) = (false, true);
const NONE: (bool, bool) = (false, false);

struct Case {
    name: &'static str,
    before: Vec<Op>,
    act: Op,
    /// A name below the folder, and the times that move.
    moves: Vec<(&'static str, (bool, bool))>,
}

/// How often the clock is looked at, and how often before it is given up: ten seconds.
const TICK_MILLISECONDS: u16 = 5;
const TICKS_MAX: u32 = 2000;

pub(crate) fn run(t: &mut Checks) -> Result<(), Unprepared> {
    if t.lacks(Lack::Times) {
        return Ok(());
    }
    let mut cases = Vec::new();
    let makers: [fn(&Checks, &str) -> Vec<Case>; 4] = [of_files, of_names, of_moves, of_nothing];
    for (at, maker) in makers.into_iter().enumerate() {
        let d = t.folder()?;
        let _ = at;
        for (number, mut case) in maker(t, "@").into_iter().enumerate() {
            let folder = format!("{d}/{number}");
            t.prepare(&[Op::Mkdir(folder.clone(), 0o755)])?;
            case.before = case.before.into_iter().map(|op| placed(op, &folder)).collect();
            case.act = placed(case.act, &folder);
            t.prepare(&case.before)?;
            cases.push((folder, case));
        }
    }
    wait(t)?;
    for (folder, case) in cases {
        check(t, &folder, &case)?;
    }
    Ok(())
}

/// `@` in a path stands for the folder of the case.
fn placed(op: Op, folder: &str) -> Op {
    let text = serde_json::to_string(&op).unwrap_or_default().replace('@', folder);
    serde_json::from_str(&text).unwrap_or(op)
}

fn check(t: &mut Checks, folder: &str, case: &Case) -> Result<(), Unprepared> {
    let at = |name: &str| if name == "." { folder.to_owned() } else { format!("{folder}/{name}") };
    let mut before: Vec<Stat> = Vec::new();
    for (name, _) in &case.moves {
        before.push(t.stat(&at(name))?);
    }
    let _ = perform(&case.act);
    for ((name, (modified, changed)), old) in case.moves.iter().zip(before) {
        let new = t.stat(&at(name))?;
        t.same(&format!("{}: mtime of {name} moves", case.name), new.mtime > old.mtime, *modified);
        t.same(&format!("{}: ctime of {name} moves", case.name), new.ctime > old.ctime, *changed);
    }
    Ok(())
}

/// Until a file that is touched is younger than all that was made.
fn wait(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let file = format!("{d}/clock");
    t.prepare(&[Op::Mknod(file.clone(), '-', 0o644, 0)])?;
    let begin = t.stat(&file)?.ctime;
    for _ in 0..TICKS_MAX {
        t.prepare(&[
            Op::Utimens(file.clone(), Time::Now, Time::Now, 0),
            Op::Chmod(file.clone(), 0o644),
        ])?;
        if t.stat(&file)?.ctime > begin {
            return Ok(());
        }
        // Nothing tells that a clock ticks.
        let _ = nix::poll::poll(&mut [], PollTimeout::from(TICK_MILLISECONDS));
    }
    t.same("the clock of the file system ticks", false, true);
    Ok(())
}

fn make(name: &str) -> Op {
    Op::Write(format!("@/{name}"), libc::O_CREAT | libc::O_WRONLY, "text".into())
}

fn case(
    name: &'static str,
    before: &[Op],
    act: Op,
    moves: &[(&'static str, (bool, bool))],
) -> Case {
    Case { name, before: before.to_vec(), act, moves: moves.to_vec() }
}

/// Changes of a file.
fn of_files(t: &Checks, at: &str) -> Vec<Case> {
    let f = format!("{at}/f");
    let file = [make("f")];
    let own = nix::unistd::geteuid().as_raw();
    let open = |flags| Op::Open(f.clone(), flags, 0o644);
    let mut cases = vec![
        case(
            "write",
            &file,
            Op::Write(f.clone(), libc::O_WRONLY, "x".into()),
            &[("f", BOTH), (".", NONE)],
        ),
        case(
            "append",
            &file,
            Op::Write(f.clone(), libc::O_WRONLY | libc::O_APPEND, "x".into()),
            &[("f", BOTH)],
        ),
        case("truncate shorter", &file, Op::Truncate(f.clone(), 1), &[("f", BOTH), (".", NONE)]),
        case("truncate longer", &file, Op::Truncate(f.clone(), 9), &[("f", BOTH)]),
        case("ftruncate", &file, Op::Ftruncate(f.clone(), libc::O_WRONLY, 1), &[("f", BOTH)]),
        case(
            "open O_TRUNC",
            &file,
            open(libc::O_WRONLY | libc::O_TRUNC),
            &[("f", BOTH), (".", NONE)],
        ),
        case(
            "open O_CREAT of a file",
            &file,
            open(libc::O_WRONLY | libc::O_CREAT),
            &[("f", NONE), (".", NONE)],
        ),
        case("read", &file, Op::Read(f.clone()), &[("f", NONE)]),
        case(
            "utimensat",
            &file,
            Op::Utimens(f.clone(), Time::At(1, 0), Time::Omit, 0),
            &[("f", CHANGE)],
        ),
        case(
            "utimensat to now",
            &file,
            Op::Utimens(f.clone(), Time::Now, Time::Now, 0),
            &[("f", BOTH), (".", NONE)],
        ),
    ];
    if t.has(Lack::Modes) {
        cases.push(case(
            "chmod",
            &file,
            Op::Chmod(f.clone(), 0o600),
            &[("f", CHANGE), (".", NONE)],
        ));
        cases.push(case("fchmod", &file, Op::Fchmod(f.clone(), 0o600), &[("f", CHANGE)]));
    }
    if t.has(Lack::Owners) {
        cases.push(case(
            "chown",
            &file,
            Op::Chown(f.clone(), Some(own), None),
            &[("f", CHANGE), (".", NONE)],
        ));
        cases.push(case("fchown", &file, Op::Fchown(f.clone(), Some(own), None), &[("f", CHANGE)]));
    }
    if t.has(Lack::Symlinks) && t.has(Lack::Owners) {
        let link = [make("f"), Op::Symlink("f".into(), format!("{at}/l"))];
        let op = Op::Lchown(format!("{at}/l"), Some(own), None);
        cases.push(case("lchown", &link, op, &[("l", CHANGE), ("f", NONE)]));
    }
    cases
}

/// Names that come and go.
fn of_names(t: &Checks, at: &str) -> Vec<Case> {
    let n = format!("{at}/new");
    let file = [make("f")];
    let dir = [Op::Mkdir(format!("{at}/d"), 0o755)];
    let mut cases = vec![
        case("mkdir", &[], Op::Mkdir(n.clone(), 0o755), &[(".", BOTH)]),
        case("mknod", &[], Op::Mknod(n.clone(), '-', 0o644, 0), &[(".", BOTH)]),
        case("open O_CREAT", &[], Op::Open(n.clone(), libc::O_CREAT, 0o644), &[(".", BOTH)]),
        case("unlink", &file, Op::Unlink(format!("{at}/f")), &[(".", BOTH)]),
        case("rmdir", &dir, Op::Rmdir(format!("{at}/d")), &[(".", BOTH)]),
    ];
    if t.has(Lack::Special) {
        cases.push(case("mkfifo", &[], Op::Mkfifo(n.clone(), 0o644), &[(".", BOTH)]));
    }
    if t.has(Lack::Symlinks) {
        cases.push(case("symlink", &[], Op::Symlink("x".into(), n.clone()), &[(".", BOTH)]));
    }
    if t.has(Lack::Links) {
        let link = Op::Link(format!("{at}/f"), n, 0);
        cases.push(case("link", &file, link.clone(), &[("f", CHANGE), (".", BOTH)]));
        let act = Op::Unlink(format!("{at}/f"));
        cases.push(case(
            "unlink of one of two names",
            &[make("f"), link],
            act,
            &[("new", CHANGE), (".", BOTH)],
        ));
    }
    cases
}

/// Names that move.
fn of_moves(t: &Checks, at: &str) -> Vec<Case> {
    let two = [
        Op::Mkdir(format!("{at}/a"), 0o755),
        Op::Mkdir(format!("{at}/b"), 0o755),
        make("a/f"),
        make("b/g"),
    ];
    let full = [&two[..], &[Op::Mkdir(format!("{at}/a/d"), 0o755)]].concat();
    let to = |from: &str, to: &str| Op::Rename(format!("{at}/{from}"), format!("{at}/{to}"), 0);
    let _ = t;
    vec![
        case(
            "rename within a folder",
            &two,
            to("a/f", "a/h"),
            &[("a", BOTH), ("b", NONE), (".", NONE)],
        ),
        case(
            "rename to another folder",
            &two,
            to("a/f", "b/f"),
            &[("a", BOTH), ("b", BOTH), (".", NONE)],
        ),
        case("rename over a file", &two, to("a/f", "b/g"), &[("a", BOTH), ("b", BOTH)]),
        case("rename of a folder", &full, to("a/d", "b/d"), &[("a", BOTH), ("b", BOTH)]),
    ]
}

/// What is refused moves nothing.
fn of_nothing(_: &Checks, at: &str) -> Vec<Case> {
    let f = format!("{at}/f");
    let both = [make("f"), Op::Mkdir(format!("{at}/d"), 0o755), make("d/f")];
    let still: &[(&str, (bool, bool))] = &[("f", NONE), ("d", NONE), (".", NONE)];
    vec![
        case("refused mkdir", &both, Op::Mkdir(f.clone(), 0o755), still),
        case("refused mknod", &both, Op::Mknod(f.clone(), '-', 0o644, 0), still),
        case(
            "refused open",
            &both,
            Op::Open(f.clone(), libc::O_CREAT | libc::O_EXCL, 0o644),
            still,
        ),
        case("refused rmdir", &both, Op::Rmdir(format!("{at}/d")), still),
        case("refused unlink", &both, Op::Unlink(format!("{at}/d")), still),
        case("refused truncate", &both, Op::Truncate(f.clone(), -1), still),
        case("refused rename", &both, Op::Rename(f, format!("{at}/d"), 0), still),
    ]
}
