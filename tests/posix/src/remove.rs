//! unlink(2), rmdir(2).

use crate::checks::{Checks, Lack, Unprepared};
use crate::op::{Answer, Op, perform};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::sys::stat::{Mode, fstat};
use nix::unistd::{ftruncate, write};

pub(crate) fn run(t: &mut Checks) -> Result<(), Unprepared> {
    files(t)?;
    folders(t)?;
    open_file(t)?;
    removed_folder(t)
}

fn files(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let mut makers = vec![("file", Op::Mknod(format!("{d}/file"), '-', 0o444, 0))];
    if t.has(Lack::Special) {
        makers.push(("fifo", Op::Mkfifo(format!("{d}/fifo"), 0o644)));
        makers.push(("socket", Op::Mknod(format!("{d}/socket"), 's', 0o644, 0)));
    }
    if t.has(Lack::Symlinks) {
        t.prepare(&[Op::Mkdir(format!("{d}/dir"), 0o755)])?;
        makers.push(("link", Op::Symlink("dir".into(), format!("{d}/link"))));
        makers.push(("dead", Op::Symlink("none".into(), format!("{d}/dead"))));
    }
    for (name, maker) in makers {
        t.prepare(&[maker])?;
        let path = format!("{d}/{name}");
        t.refuses(&format!("rmdir of a {name}"), &Op::Rmdir(path.clone()), Errno::ENOTDIR);
        t.allows(&format!("unlink of a {name}"), &Op::Unlink(path.clone()));
        t.refuses(&format!("a {name} is gone"), &Op::Lstat(path.clone()), Errno::ENOENT);
        t.refuses(&format!("unlink of a {name} again"), &Op::Unlink(path), Errno::ENOENT);
    }
    if t.has(Lack::Symlinks) {
        t.allows("the target of a link stays", &Op::Stat(format!("{d}/dir")));
    }
    Ok(())
}

fn folders(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let dir = format!("{d}/dir");
    t.prepare(&[Op::Mkdir(dir.clone(), 0o755), Op::Mknod(format!("{dir}/file"), '-', 0o644, 0)])?;
    t.refuses("unlink of a folder", &Op::Unlink(dir.clone()), Errno::EISDIR);
    t.refuses("rmdir of a folder with a file", &Op::Rmdir(dir.clone()), Errno::ENOTEMPTY);
    t.prepare(&[Op::Unlink(format!("{dir}/file")), Op::Mkdir(format!("{dir}/in"), 0o755)])?;
    t.refuses("rmdir of a folder with a folder", &Op::Rmdir(dir.clone()), Errno::ENOTEMPTY);
    t.prepare(&[Op::Rmdir(format!("{dir}/in"))])?;
    if t.has(Lack::Symlinks) {
        t.prepare(&[Op::Symlink("none".into(), format!("{dir}/dead"))])?;
        t.refuses("rmdir of a folder with a dead link", &Op::Rmdir(dir.clone()), Errno::ENOTEMPTY);
        t.prepare(&[Op::Unlink(format!("{dir}/dead"))])?;
    }
    t.allows("rmdir of an empty folder", &Op::Rmdir(dir.clone()));
    t.refuses("it is gone", &Op::Lstat(dir.clone()), Errno::ENOENT);
    t.refuses("rmdir again", &Op::Rmdir(dir.clone()), Errno::ENOENT);
    t.allows("mkdir of the name again", &Op::Mkdir(dir.clone(), 0o700));
    t.same("it is empty", perform(&Op::List(dir)), Ok(Answer::Names(Vec::new())));
    Ok(())
}

/// A file without a name lives on while it is open.
fn open_file(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let path = format!("{d}/file");
    t.prepare(&[Op::Write(path.clone(), libc::O_CREAT | libc::O_WRONLY, "text".into())])?;
    let Ok(file) = open(path.as_str(), OFlag::O_RDWR, Mode::empty()) else {
        return t.prepare(&[Op::Open(path, libc::O_RDWR, 0)]);
    };
    t.allows("unlink of an open file", &Op::Unlink(path.clone()));
    t.refuses("the name is gone", &Op::Stat(path.clone()), Errno::ENOENT);
    let found = fstat(&file).map(|s| (s.st_nlink, s.st_size));
    t.same("fstat of a file without a name", found, Ok((0, 4)));
    t.same("it can be read", nix::sys::uio::pread(&file, &mut [0; 9], 0), Ok(4));
    t.same("it can be written", write(&file, b"longer text"), Ok(11));
    t.same("it has its new length", fstat(&file).map(|s| s.st_size), Ok(11));
    t.same("it can be cut", ftruncate(&file, 3), Ok(()));
    t.same("it has its newer length", fstat(&file).map(|s| s.st_size), Ok(3));
    t.prepare(&[Op::Mknod(path.clone(), '-', 0o600, 0)])?;
    let (old, new) = (fstat(&file).map(|s| s.st_ino), t.stat(&path)?.ino);
    t.same("a new file of the name is another", old == Ok(new), false);
    Ok(())
}

/// A folder without a name makes none.
fn removed_folder(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let path = format!("{d}/dir");
    t.prepare(&[Op::Mkdir(path.clone(), 0o755)])?;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
    let Ok(folder) = open(path.as_str(), flags, Mode::empty()) else {
        return t.prepare(&[Op::Open(path, libc::O_RDONLY, 0)]);
    };
    t.prepare(&[Op::Rmdir(path)])?;
    let made = nix::sys::stat::mkdirat(&folder, "x", Mode::S_IRWXU);
    t.same("mkdir in a removed folder: ENOENT", made, Err(Errno::ENOENT));
    let made = nix::fcntl::openat(&folder, "x", OFlag::O_CREAT, Mode::S_IRWXU).map(drop);
    t.same("open O_CREAT in a removed folder: ENOENT", made, Err(Errno::ENOENT));
    let found = nix::sys::stat::fstatat(&folder, "x", nix::fcntl::AtFlags::empty()).map(drop);
    t.same("stat in a removed folder: ENOENT", found, Err(Errno::ENOENT));
    t.same("fstat of a removed folder", fstat(&folder).map(|s| s.st_nlink), Ok(0));
    Ok(())
}
