//! Mounts that may not be written to, and the borders between mounts.

use crate::checks::{Checks, Lack, Unprepared};
use crate::names::calls;
use crate::op::{Op, perform};
use nix::errno::Errno;
use nix::libc;

pub(crate) fn run(t: &mut Checks) -> Result<(), Unprepared> {
    if let Some(folder) = t.read_only.clone() {
        read_only(t, &folder);
    }
    match t.other.clone() {
        Some(folder) => border(t, &folder),
        None => Ok(()),
    }
}

fn read_only(t: &mut Checks, d: &str) {
    for call in calls(t) {
        let name = if call.makes {
            "new"
        } else if call.name == "rmdir" {
            "dir"
        } else {
            "file"
        };
        // The folder's own `spare` is a file that is there.
        let op = (call.make)(d, format!("{d}/{name}"));
        if call.changes {
            t.refuses(&format!("{} on a read-only mount", call.name), &op, Errno::EROFS);
        } else {
            t.allows(&format!("{} on a read-only mount", call.name), &op);
        }
    }
    let file = format!("{d}/file");
    for (name, flags) in [
        ("O_WRONLY", libc::O_WRONLY),
        ("O_RDWR", libc::O_RDWR),
        ("O_TRUNC", libc::O_RDONLY | libc::O_TRUNC),
    ] {
        t.refuses(
            &format!("open {name} on a read-only mount"),
            &Op::Open(file.clone(), flags, 0),
            Errno::EROFS,
        );
    }
    t.allows(
        "open O_CREAT of a file on a read-only mount",
        &Op::Open(file.clone(), libc::O_CREAT, 0o644),
    );
    t.refuses(
        "access W_OK on a read-only mount",
        &Op::Access(file.clone(), libc::W_OK),
        Errno::EROFS,
    );
    t.allows("access R_OK on a read-only mount", &Op::Access(file.clone(), libc::R_OK));
    t.refuses(
        "mkdir over a folder on a read-only mount",
        &Op::Mkdir(format!("{d}/dir"), 0o755),
        Errno::EEXIST,
    );
    t.refuses(
        "unlink of a missing name on a read-only mount",
        &Op::Unlink(format!("{d}/none")),
        Errno::EROFS,
    );
    if t.has(Lack::Symlinks) {
        t.refuses(
            "unlink of a link on a read-only mount",
            &Op::Unlink(format!("{d}/link")),
            Errno::EROFS,
        );
        let made = Op::Open(format!("{d}/link"), libc::O_CREAT | libc::O_EXCL, 0o644);
        t.refuses("open O_CREAT O_EXCL of a link on a read-only mount", &made, Errno::EEXIST);
    }
}

fn border(t: &mut Checks, other: &str) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let (file, dir) = (format!("{d}/file"), format!("{d}/dir"));
    let (beyond, taken) = (format!("{other}/posix-new"), format!("{other}/posix-taken"));
    t.prepare(&[
        Op::Mknod(file.clone(), '-', 0o644, 0),
        Op::Mkdir(dir.clone(), 0o755),
        Op::Mknod(taken.clone(), '-', 0o644, 0),
    ])?;
    t.refuses(
        "rename of a file to another mount",
        &Op::Rename(file.clone(), beyond.clone(), 0),
        Errno::EXDEV,
    );
    t.refuses(
        "rename of a folder to another mount",
        &Op::Rename(dir, beyond.clone(), 0),
        Errno::EXDEV,
    );
    t.refuses(
        "rename over a file of another mount",
        &Op::Rename(file.clone(), taken.clone(), 0),
        Errno::EXDEV,
    );
    t.refuses(
        "rename of a file from another mount",
        &Op::Rename(taken.clone(), format!("{d}/x"), 0),
        Errno::EXDEV,
    );
    t.refuses("link to another mount", &Op::Link(file.clone(), beyond.clone(), 0), Errno::EXDEV);
    t.refuses(
        "link over a file of another mount",
        &Op::Link(file, taken.clone(), 0),
        Errno::EEXIST,
    );
    t.refuses("nothing came of it", &Op::Lstat(beyond.clone()), Errno::ENOENT);
    t.refuses("rmdir of a mount point", &Op::Rmdir(other.to_owned()), Errno::EBUSY);
    t.refuses("unlink of a mount point", &Op::Unlink(other.to_owned()), Errno::EISDIR);
    t.refuses("mkdir of a mount point", &Op::Mkdir(other.to_owned(), 0o755), Errno::EEXIST);
    let aside = format!("{other}-aside");
    t.refuses(
        "rename of a mount point",
        &Op::Rename(other.to_owned(), aside.clone(), 0),
        Errno::EBUSY,
    );
    t.prepare(&[Op::Mkdir(aside.clone(), 0o755)])?;
    t.refuses(
        "rename over a mount point",
        &Op::Rename(aside.clone(), other.to_owned(), 0),
        Errno::EBUSY,
    );
    t.refuses(
        "RENAME_EXCHANGE with a mount point",
        &Op::Rename(aside.clone(), other.to_owned(), libc::RENAME_EXCHANGE),
        Errno::EBUSY,
    );
    t.prepare(&[Op::Rmdir(aside), Op::Unlink(taken)])?;
    let up = match (perform(&Op::Stat(format!("{other}/.."))), perform(&Op::Stat(parent(other)))) {
        (Ok(up), Ok(parent)) => up == parent,
        _ => false,
    };
    t.same(".. of a mount point is the folder above", up, true);
    Ok(())
}

fn parent(path: &str) -> String {
    match path.rsplit_once('/') {
        Some(("", _)) => "/".to_owned(),
        Some((parent, _)) => parent.to_owned(),
        None => ".".to_owned(),
    }
}
