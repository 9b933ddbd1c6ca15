//! What every call that takes a path answers to a bad one (path_resolution(7)).

use crate::checks::{Checks, Lack, Unprepared};
use crate::op::{Op, Time, perform};
use nix::errno::Errno;
use nix::libc;

/// A call as a function of one of its paths. The folder holds `spare`, an ordinary file.
pub(crate) struct Call {
    pub(crate) name: &'static str,
    pub(crate) make: fn(&str, String) -> Op,
    /// Whether it makes the name, and so wants it free.
    pub(crate) makes: bool,
    /// Whether it goes through a link in the last place.
    pub(crate) follows: bool,
    /// Whether it changes something: needs the parent's or the file's write permission.
    pub(crate) changes: bool,
    pub(crate) lack: Option<Lack>,
}

const fn call(name: &'static str, make: fn(&str, String) -> Op) -> Call {
    Call { name, make, makes: false, follows: false, changes: true, lack: None }
}

const fn maker(name: &'static str, make: fn(&str, String) -> Op) -> Call {
    Call { makes: true, ..call(name, make) }
}

const fn follower(name: &'static str, make: fn(&str, String) -> Op) -> Call {
    Call { follows: true, ..call(name, make) }
}

/// Every call that takes a path, a line for each of its paths.
static CALLS: [Call; 20] = [
    Call { changes: false, ..follower("open", |_, p| Op::Open(p, libc::O_RDONLY, 0)) },
    Call {
        follows: true,
        ..maker("open O_CREAT", |_, p| Op::Open(p, libc::O_CREAT | libc::O_WRONLY, 0o644))
    },
    maker("mkdir", |_, p| Op::Mkdir(p, 0o755)),
    Call { lack: Some(Lack::Special), ..maker("mkfifo", |_, p| Op::Mkfifo(p, 0o644)) },
    maker("mknod", |_, p| Op::Mknod(p, '-', 0o644, 0)),
    Call { lack: Some(Lack::Symlinks), ..maker("symlink", |_, p| Op::Symlink("x".into(), p)) },
    Call {
        lack: Some(Lack::Links),
        ..call("link from", |f, p| Op::Link(p, format!("{f}/new"), 0))
    },
    Call {
        lack: Some(Lack::Links),
        ..maker("link to", |f, p| Op::Link(format!("{f}/spare"), p, 0))
    },
    call("rename from", |f, p| Op::Rename(p, format!("{f}/new"), 0)),
    maker("rename to", |f, p| Op::Rename(format!("{f}/spare"), p, 0)),
    follower("chmod", |_, p| Op::Chmod(p, 0o644)),
    follower("chown", |_, p| Op::Chown(p, None, None)),
    call("lchown", |_, p| Op::Lchown(p, None, None)),
    follower("truncate", |_, p| Op::Truncate(p, 0)),
    call("unlink", |_, p| Op::Unlink(p)),
    call("rmdir", |_, p| Op::Rmdir(p)),
    follower("utimensat", |_, p| Op::Utimens(p, Time::Now, Time::Now, 0)),
    Call { changes: false, ..follower("stat", |_, p| Op::Stat(p)) },
    Call { changes: false, ..call("lstat", |_, p| Op::Lstat(p)) },
    Call { changes: false, ..follower("access", |_, p| Op::Access(p, libc::F_OK)) },
];

/// Those that the format has.
pub(crate) fn calls(t: &Checks) -> Vec<&'static Call> {
    CALLS.iter().filter(|call| call.lack.is_none_or(|lack| t.has(lack))).collect()
}

/// NAME_MAX of every format here.
const NAME_MAX: usize = 255;
/// With the final NUL.
const PATH_MAX: usize = 4096;
/// Links that are followed in one look-up (`MAXSYMLINKS`).
const LINKS_MAX: usize = 40;

pub(crate) fn run(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    t.prepare(&[
        Op::Mknod(format!("{d}/file"), '-', 0o644, 0),
        Op::Mknod(format!("{d}/spare"), '-', 0o644, 0),
        Op::Mkdir(format!("{d}/dir"), 0o755),
    ])?;
    for call in calls(t) {
        bad_path(t, &d, call);
    }
    lengths(t)?;
    if t.has(Lack::Symlinks) {
        loops(t)?;
    }
    slashes(t)?;
    dots(t)
}

fn bad_path(t: &mut Checks, d: &str, call: &Call) {
    let mut refuses = |what: &str, path: String, wanted: Errno| {
        t.refuses(&format!("{} {what}", call.name), &(call.make)(d, path), wanted);
    };
    refuses("of a missing folder", format!("{d}/none/x"), Errno::ENOENT);
    refuses("below a file", format!("{d}/file/x"), Errno::ENOTDIR);
    refuses("of the empty path", String::new(), Errno::ENOENT);
    refuses("of a long name", format!("{d}/{}", "n".repeat(NAME_MAX + 1)), Errno::ENAMETOOLONG);
    refuses(
        "below a long name",
        format!("{d}/{}/x", "n".repeat(NAME_MAX + 1)),
        Errno::ENAMETOOLONG,
    );
    refuses("of a long path", padded(d, "x", PATH_MAX), Errno::ENAMETOOLONG);
    if !call.makes {
        refuses("of a missing name", format!("{d}/missing"), Errno::ENOENT);
        refuses("of the longest path", padded(d, "missing", PATH_MAX - 1), Errno::ENOENT);
        refuses("of the longest name", format!("{d}/{}", "m".repeat(NAME_MAX)), Errno::ENOENT);
    } else if !call.name.starts_with("rename") && !call.name.starts_with("open") {
        refuses("of a file that exists", format!("{d}/file"), Errno::EEXIST);
        refuses("of a folder that exists", format!("{d}/dir"), Errno::EEXIST);
    }
}

/// A path of so many bytes that means `d/name`.
fn padded(d: &str, name: &str, length: usize) -> String {
    let missing = length - d.len() - name.len() - 1;
    // An even part by "./", an odd byte by one more slash.
    let extra = if missing % 2 == 1 { "/" } else { "" };
    format!("{d}/{extra}{}{name}", "./".repeat(missing / 2))
}

fn lengths(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let longest = format!("{d}/{}", "n".repeat(NAME_MAX));
    t.allows("a name of 255 bytes is made", &Op::Mkdir(longest.clone(), 0o755));
    t.allows("a name of 255 bytes is found", &Op::Stat(longest.clone()));
    t.allows("a name of 255 bytes is removed", &Op::Rmdir(longest));
    t.allows("a path of 4095 bytes is made", &Op::Mkdir(padded(&d, "x", PATH_MAX - 1), 0o755));
    t.allows("a path of 4095 bytes means what a short one means", &Op::Rmdir(format!("{d}/x")));
    Ok(())
}

fn loops(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let link = |to: &str, name: &str| Op::Symlink(to.to_owned(), format!("{d}/{name}"));
    t.prepare(&[link("self", "self"), link("b", "a"), link("a", "b")])?;
    t.prepare(&[Op::Mknod(format!("{d}/spare"), '-', 0o644, 0)])?;
    for call in calls(t) {
        let name = call.name;
        let through = (call.make)(&d, format!("{d}/self/x"));
        t.refuses(&format!("{name} through a link to itself"), &through, Errno::ELOOP);
        let through = (call.make)(&d, format!("{d}/a/x"));
        t.refuses(&format!("{name} through a ring of links"), &through, Errno::ELOOP);
        if call.follows {
            let last = (call.make)(&d, format!("{d}/self"));
            t.refuses(&format!("{name} of a link to itself"), &last, Errno::ELOOP);
        }
    }
    t.prepare(&[Op::Mkdir(format!("{d}/l0"), 0o755)])?;
    for n in 0..=LINKS_MAX {
        t.prepare(&[link(&format!("l{n}"), &format!("l{}", n + 1))])?;
    }
    let last = LINKS_MAX + 1;
    t.allows("40 links are followed", &Op::Stat(format!("{d}/l{LINKS_MAX}")));
    t.refuses("41 links are too many", &Op::Stat(format!("{d}/l{last}")), Errno::ELOOP);
    t.refuses("39 and 2 links are too many", &Op::Stat(format!("{d}/l39/../l2")), Errno::ELOOP);
    t.allows("41 links and none of them followed", &Op::Lstat(format!("{d}/l{last}")));
    Ok(())
}

/// Names with a slash behind them.
fn slashes(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let file = format!("{d}/file/");
    t.prepare(&[
        Op::Mknod(format!("{d}/file"), '-', 0o644, 0),
        Op::Mkdir(format!("{d}/dir"), 0o755),
    ])?;
    for (name, op) in [
        ("open", Op::Open(file.clone(), libc::O_RDONLY, 0)),
        ("stat", Op::Stat(file.clone())),
        ("lstat", Op::Lstat(file.clone())),
        ("chmod", Op::Chmod(file.clone(), 0o600)),
        ("truncate", Op::Truncate(file.clone(), 0)),
        ("unlink", Op::Unlink(file.clone())),
        ("rmdir", Op::Rmdir(file.clone())),
        ("rename from", Op::Rename(file.clone(), format!("{d}/new"), 0)),
        ("rename to", Op::Rename(format!("{d}/file"), format!("{d}/new/"), 0)),
    ] {
        t.refuses(&format!("{name} of a file with a slash"), &op, Errno::ENOTDIR);
    }
    let free = format!("{d}/free/");
    t.refuses(
        "open O_CREAT with a slash",
        &Op::Open(free.clone(), libc::O_CREAT, 0o644),
        Errno::EISDIR,
    );
    t.refuses("mknod with a slash", &Op::Mknod(free.clone(), '-', 0o644, 0), Errno::ENOENT);
    t.allows("mkdir with a slash", &Op::Mkdir(free.clone(), 0o755));
    t.allows("rename of a folder with slashes", &Op::Rename(free, format!("{d}/moved/"), 0));
    t.allows("rmdir with slashes", &Op::Rmdir(format!("{d}/moved///")));
    t.refuses("unlink of a folder with a slash", &Op::Unlink(format!("{d}/dir/")), Errno::EISDIR);
    if t.has(Lack::Symlinks) {
        t.prepare(&[
            Op::Symlink("dir".into(), format!("{d}/to-dir")),
            Op::Symlink("none".into(), format!("{d}/to-none")),
        ])?;
        t.allows(
            "lstat of a link with a slash follows it",
            &Op::Open(format!("{d}/to-dir/"), libc::O_DIRECTORY, 0),
        );
        let found =
            perform(&Op::Lstat(format!("{d}/to-dir/"))) == perform(&Op::Stat(format!("{d}/dir")));
        t.same("lstat of a link with a slash is the folder's", found, true);
        t.refuses(
            "rmdir of a link with a slash",
            &Op::Rmdir(format!("{d}/to-dir/")),
            Errno::ENOTDIR,
        );
        t.refuses(
            "unlink of a link with a slash",
            &Op::Unlink(format!("{d}/to-dir/")),
            Errno::ENOTDIR,
        );
        t.refuses(
            "mkdir of a dead link with a slash",
            &Op::Mkdir(format!("{d}/to-none/"), 0o755),
            Errno::EEXIST,
        );
        t.refuses(
            "symlink with a slash",
            &Op::Symlink("x".into(), format!("{d}/new/")),
            Errno::ENOENT,
        );
    }
    if t.has(Lack::Links) {
        let to = Op::Link(format!("{d}/file"), format!("{d}/new/"), 0);
        t.refuses("link to a name with a slash", &to, Errno::ENOENT);
    }
    Ok(())
}

/// `.` and `..` in the last place.
fn dots(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let dir = format!("{d}/dir");
    t.prepare(&[Op::Mkdir(dir.clone(), 0o755), Op::Mkdir(format!("{dir}/in"), 0o755)])?;
    t.refuses("rmdir of .", &Op::Rmdir(format!("{dir}/in/.")), Errno::EINVAL);
    t.refuses("rmdir of ..", &Op::Rmdir(format!("{dir}/in/..")), Errno::ENOTEMPTY);
    t.refuses("unlink of .", &Op::Unlink(format!("{dir}/.")), Errno::EISDIR);
    t.refuses("unlink of ..", &Op::Unlink(format!("{dir}/in/..")), Errno::EISDIR);
    for last in [".", ".."] {
        let path = format!("{dir}/{last}");
        t.refuses(&format!("mkdir of {last}"), &Op::Mkdir(path.clone(), 0o755), Errno::EEXIST);
        t.refuses(
            &format!("mknod of {last}"),
            &Op::Mknod(path.clone(), '-', 0o644, 0),
            Errno::EEXIST,
        );
        t.refuses(
            &format!("rename from {last}"),
            &Op::Rename(path.clone(), format!("{d}/new"), 0),
            Errno::EBUSY,
        );
        t.refuses(
            &format!("rename to {last}"),
            &Op::Rename(format!("{dir}/in"), path, 0),
            Errno::EBUSY,
        );
    }
    let found = perform(&Op::Stat(format!("{dir}/in/../../dir/./in")))
        == perform(&Op::Stat(format!("{dir}/in")));
    t.same("dots within a path", found, true);
    t.refuses("dots behind a missing name", &Op::Stat(format!("{d}/none/../dir")), Errno::ENOENT);
    Ok(())
}
