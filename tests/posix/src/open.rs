//! open(2).

use crate::agent::ALICE;
use crate::checks::{Checks, Lack, Unprepared};
use crate::op::{Answer, Op, perform};
use nix::errno::Errno;
use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

pub(crate) fn run(t: &mut Checks) -> Result<(), Unprepared> {
    creation(t)?;
    kinds(t)?;
    contents(t)?;
    if t.has(Lack::Symlinks) {
        links(t)?;
    }
    if t.has(Lack::Special) {
        special(t)?;
    }
    if t.has(Lack::Modes) {
        new_and_shut(t)?;
        busy_program(t)?;
    }
    descriptors(t)
}

fn creation(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let file = format!("{d}/file");
    t.refuses("a missing file", &Op::Open(file.clone(), libc::O_RDWR, 0), Errno::ENOENT);
    t.allows(
        "O_CREAT O_EXCL of a missing file",
        &Op::Open(file.clone(), libc::O_CREAT | libc::O_EXCL, 0o640),
    );
    let before = t.stat(&file)?;
    t.same("a new file is empty", (before.kind, before.size_bytes, before.nlink), ('-', 0, 1));
    t.refuses(
        "O_CREAT O_EXCL of a file",
        &Op::Open(file.clone(), libc::O_CREAT | libc::O_EXCL, 0o640),
        Errno::EEXIST,
    );
    t.allows("O_CREAT of a file", &Op::Open(file.clone(), libc::O_CREAT, 0o777));
    let after = t.stat(&file)?;
    t.same("O_CREAT of a file leaves its mode", (after.perm, after.ino), (before.perm, before.ino));
    t.refuses(
        "O_CREAT in a missing folder",
        &Op::Open(format!("{d}/none/x"), libc::O_CREAT, 0o644),
        Errno::ENOENT,
    );
    let nameless = Op::Open(d.clone(), libc::O_TMPFILE | libc::O_RDWR, 0o600);
    if t.lacks(Lack::Links) {
        t.refuses("O_TMPFILE of a format without links", &nameless, Errno::EOPNOTSUPP);
        return Ok(());
    }
    t.allows("O_TMPFILE", &nameless);
    t.refuses("O_TMPFILE for reading", &Op::Open(d, libc::O_TMPFILE, 0o600), Errno::EINVAL);
    Ok(())
}

fn kinds(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let (file, dir) = (format!("{d}/file"), format!("{d}/dir"));
    t.prepare(&[Op::Mknod(file.clone(), '-', 0o644, 0), Op::Mkdir(dir.clone(), 0o755)])?;
    for (name, flags) in [
        ("O_WRONLY", libc::O_WRONLY),
        ("O_RDWR", libc::O_RDWR),
        ("O_CREAT", libc::O_CREAT),
        ("O_TRUNC", libc::O_RDWR | libc::O_TRUNC),
    ] {
        t.refuses(
            &format!("{name} of a folder"),
            &Op::Open(dir.clone(), flags, 0o644),
            Errno::EISDIR,
        );
    }
    let exclusive = libc::O_CREAT | libc::O_EXCL;
    t.refuses(
        "O_CREAT O_EXCL of a folder",
        &Op::Open(dir.clone(), exclusive, 0o644),
        Errno::EEXIST,
    );
    t.allows("O_RDONLY of a folder", &Op::Open(dir.clone(), libc::O_RDONLY, 0));
    t.allows("O_DIRECTORY of a folder", &Op::Open(dir, libc::O_DIRECTORY, 0));
    t.refuses(
        "O_DIRECTORY of a file",
        &Op::Open(file.clone(), libc::O_DIRECTORY, 0),
        Errno::ENOTDIR,
    );
    let both = libc::O_DIRECTORY | libc::O_CREAT;
    t.refuses(
        "O_DIRECTORY O_CREAT of a missing name",
        &Op::Open(format!("{d}/new"), both, 0o755),
        Errno::EINVAL,
    );
    t.allows("O_PATH of a file", &Op::Open(file, libc::O_PATH, 0));
    Ok(())
}

fn contents(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let file = format!("{d}/file");
    let write = |flags: i32, text: &str| Op::Write(file.clone(), flags, text.to_owned());
    let read = Op::Read(file.clone());
    let is = |text: &str| Ok(Answer::Text(text.to_owned()));
    t.prepare(&[write(libc::O_CREAT | libc::O_WRONLY, "one two")])?;
    t.same("what was written is read", perform(&read), is("one two"));
    t.prepare(&[write(libc::O_WRONLY, "ONE")])?;
    t.same("without O_TRUNC the rest stays", perform(&read), is("ONE two"));
    t.prepare(&[write(libc::O_WRONLY | libc::O_APPEND, "+")])?;
    t.same("O_APPEND writes to the end", perform(&read), is("ONE two+"));
    t.prepare(&[Op::Open(file.clone(), libc::O_WRONLY | libc::O_TRUNC, 0)])?;
    t.same("O_TRUNC empties", perform(&read), is(""));
    let found = t.stat(&file)?.size_bytes;
    t.same("and stat says so", found, 0);
    t.refuses("writing what is open for reading", &write(libc::O_RDONLY, "x"), Errno::EBADF);
    Ok(())
}

fn links(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let at = |name: &str, flags: i32| Op::Open(format!("{d}/{name}"), flags, 0o644);
    t.prepare(&[
        Op::Mkdir(format!("{d}/dir"), 0o755),
        Op::Symlink("dir".into(), format!("{d}/to-dir")),
        Op::Symlink("made".into(), format!("{d}/dead")),
        Op::Symlink("none/made".into(), format!("{d}/deader")),
    ])?;
    t.refuses("O_NOFOLLOW of a link", &at("to-dir", libc::O_NOFOLLOW), Errno::ELOOP);
    t.refuses(
        "O_NOFOLLOW O_DIRECTORY of a link",
        &at("to-dir", libc::O_NOFOLLOW | libc::O_DIRECTORY),
        Errno::ENOTDIR,
    );
    t.allows("O_NOFOLLOW O_PATH of a link", &at("to-dir", libc::O_NOFOLLOW | libc::O_PATH));
    t.refuses("a dead link", &at("dead", libc::O_RDONLY), Errno::ENOENT);
    t.refuses(
        "O_CREAT O_EXCL of a dead link",
        &at("dead", libc::O_CREAT | libc::O_EXCL),
        Errno::EEXIST,
    );
    t.refuses("O_CREAT of a link into nothing", &at("deader", libc::O_CREAT), Errno::ENOENT);
    t.allows("O_CREAT of a dead link makes its target", &at("dead", libc::O_CREAT));
    let found = t.stat(&format!("{d}/made"))?.kind;
    t.same("which is a file", found, '-');
    t.refuses(
        "O_CREAT O_EXCL of a link to a folder",
        &at("to-dir", libc::O_CREAT | libc::O_EXCL),
        Errno::EEXIST,
    );
    Ok(())
}

fn special(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let (fifo, socket) = (format!("{d}/fifo"), format!("{d}/socket"));
    t.prepare(&[Op::Mkfifo(fifo.clone(), 0o644), Op::Mknod(socket.clone(), 's', 0o644, 0)])?;
    let no_wait = libc::O_NONBLOCK;
    t.refuses(
        "O_WRONLY of a FIFO that nobody reads",
        &Op::Open(fifo.clone(), libc::O_WRONLY | no_wait, 0),
        Errno::ENXIO,
    );
    t.allows(
        "O_RDONLY of a FIFO without waiting",
        &Op::Open(fifo.clone(), libc::O_RDONLY | no_wait, 0),
    );
    t.allows("O_RDWR of a FIFO", &Op::Open(fifo, libc::O_RDWR | no_wait, 0));
    t.refuses("a socket", &Op::Open(socket, libc::O_RDONLY, 0), Errno::ENXIO);
    if t.is_root() {
        let device = format!("{d}/null");
        t.prepare(&[Op::Mknod(format!("{d}/none"), 'c', 0o666, 0xf_fefe)])?;
        t.refuses(
            "a device without a driver",
            &Op::Open(format!("{d}/none"), libc::O_RDONLY, 0),
            Errno::ENXIO,
        );
        t.prepare(&[Op::Mknod(device.clone(), 'c', 0o666, 0x103)])?;
        t.allows("a device with one", &Op::Open(device, libc::O_RDWR, 0));
    }
    Ok(())
}

/// A mode counts from the next open on.
fn new_and_shut(t: &mut Checks) -> Result<(), Unprepared> {
    let (d, user) = t.users_folder()?;
    let file = format!("{d}/file");
    let made = t
        .user_call(user, &Op::Write(file.clone(), libc::O_CREAT | libc::O_RDWR, "x".into()))?
        .map(drop);
    t.same("O_CREAT of a file", made, Ok(()));
    let shut = format!("{d}/shut");
    let made =
        t.user_call(user, &Op::Open(shut.clone(), libc::O_CREAT | libc::O_RDWR, 0))?.map(drop);
    t.same("O_CREAT with mode 000 for reading and writing", made, Ok(()));
    let found = t.user_call(user, &Op::Open(shut, libc::O_RDONLY, 0))?;
    t.same("the next open of it: EACCES", found, Err(Errno::EACCES));
    if t.has_users() {
        t.prepare(&[
            Op::Chown(file.clone(), Some(ALICE.uid), None),
            Op::Chmod(file.clone(), 0o644),
        ])?;
        let noatime = Op::Open(file.clone(), libc::O_RDONLY | libc::O_NOATIME, 0);
        t.allows_to(ALICE, "O_NOATIME by the owner", &noatime)?;
        t.refuses_to(crate::agent::BOB, "O_NOATIME by a stranger", &noatime, Errno::EPERM)?;
    }
    Ok(())
}

/// A program that runs is not written to.
fn busy_program(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let program = format!("{d}/cat");
    if let Err(error) = std::fs::copy("/bin/cat", &program) {
        t.same("a copy of /bin/cat", error.to_string(), String::new());
        return Ok(());
    }
    t.prepare(&[Op::Chmod(program.clone(), 0o755)])?;
    let mut command = std::process::Command::new(&program);
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            t.same("the copy runs", error.to_string(), String::new());
            return Ok(());
        }
    };
    t.refuses(
        "O_WRONLY of a program that runs",
        &Op::Open(program.clone(), libc::O_WRONLY, 0),
        Errno::ETXTBSY,
    );
    t.refuses("truncate of a program that runs", &Op::Truncate(program.clone(), 0), Errno::ETXTBSY);
    t.allows("unlink of a program that runs", &Op::Unlink(program));
    drop(child.stdin.take());
    let ended = child.wait().is_ok_and(|status| status.success());
    t.same("it ends by itself", ended, true);
    Ok(())
}

/// There are no more descriptors than the limit says.
fn descriptors(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    t.prepare(&[Op::Mknod(format!("{d}/file"), '-', 0o644, 0)])?;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return Ok(()) };
    let lowered = setrlimit(Resource::RLIMIT_NOFILE, 3, hard).is_ok();
    let found = perform(&Op::Open(format!("{d}/file"), libc::O_RDONLY, 0));
    let made = perform(&Op::Open(format!("{d}/new"), libc::O_CREAT | libc::O_WRONLY, 0o644));
    let restored = setrlimit(Resource::RLIMIT_NOFILE, soft, hard).is_ok();
    t.same("the limit is set and restored", (lowered, restored), (true, true));
    t.same("a descriptor too many: EMFILE", found, Err(Errno::EMFILE));
    t.same("a descriptor too many for a new file: EMFILE", made, Err(Errno::EMFILE));
    Ok(())
}
