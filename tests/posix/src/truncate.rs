//! truncate(2), ftruncate(2).

use crate::checks::{Checks, Lack, Unprepared};
use crate::op::{Answer, Op, perform};
use nix::errno::Errno;
use nix::libc;

pub(crate) fn run(t: &mut Checks) -> Result<(), Unprepared> {
    let d = t.folder()?;
    let (file, dir) = (format!("{d}/file"), format!("{d}/dir"));
    let read = |t: &mut Checks, name: &str, text: &str| {
        t.same(name, perform(&Op::Read(file.clone())), Ok(Answer::Text(text.to_owned())));
    };
    t.prepare(&[
        Op::Write(file.clone(), libc::O_CREAT | libc::O_WRONLY, "0123456789".into()),
        Op::Mkdir(dir.clone(), 0o755),
    ])?;
    t.allows("shorter", &Op::Truncate(file.clone(), 4));
    read(t, "the rest is gone", "0123");
    t.allows("longer", &Op::Truncate(file.clone(), 6));
    read(t, "what is new is zero", "0123\0\0");
    t.allows("ftruncate", &Op::Ftruncate(file.clone(), libc::O_WRONLY, 2));
    read(t, "after ftruncate", "01");
    for length in [0, 1, 4095, 4096, 4097, 70_000, 1 << 20] {
        t.allows(&format!("to {length} bytes"), &Op::Truncate(file.clone(), length));
        let found = t.stat(&file)?.size_bytes;
        t.same(&format!("{length} bytes"), found, length);
    }
    t.refuses("to less than nothing", &Op::Truncate(file.clone(), -1), Errno::EINVAL);
    t.refuses(
        "ftruncate to less than nothing",
        &Op::Ftruncate(file.clone(), libc::O_RDWR, -1),
        Errno::EINVAL,
    );
    // What the largest file is the format says; memory has none.
    let largest = perform(&Op::Truncate(file.clone(), i64::MAX)).map(drop);
    let found = t.stat(&file)?.size_bytes;
    let is_kept = largest == Ok(()) && found == i64::MAX;
    t.same("to the largest number", is_kept || largest == Err(Errno::EFBIG), true);
    t.prepare(&[Op::Truncate(file.clone(), 1 << 20)])?;
    t.refuses(
        "ftruncate of what is open for reading",
        &Op::Ftruncate(file.clone(), libc::O_RDONLY, 1),
        Errno::EINVAL,
    );
    t.refuses("a folder", &Op::Truncate(dir.clone(), 0), Errno::EISDIR);
    t.refuses("ftruncate of a folder", &Op::Ftruncate(dir, libc::O_RDONLY, 0), Errno::EINVAL);
    let found = t.stat(&file)?.size_bytes;
    t.same("what was refused changed nothing", found, 1 << 20);
    if t.has(Lack::Special) {
        let fifo = format!("{d}/fifo");
        t.prepare(&[Op::Mkfifo(fifo.clone(), 0o644)])?;
        t.refuses("a FIFO", &Op::Truncate(fifo, 0), Errno::EINVAL);
    }
    if t.has(Lack::Symlinks) {
        t.prepare(&[Op::Symlink("file".into(), format!("{d}/link"))])?;
        t.allows("through a link", &Op::Truncate(format!("{d}/link"), 3));
        let found = t.stat(&file)?.size_bytes;
        t.same("through a link it is the target's length", found, 3);
    }
    Ok(())
}
