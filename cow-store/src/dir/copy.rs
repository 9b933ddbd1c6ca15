//! Copying the data of one open file into another.

use super::OpenFile;
use abi::{Errno, Result};
use rustix::fs::{self, SeekFrom};
use rustix::io;
use std::os::fd::OwnedFd;

/// One step of the copy in bytes: large enough that the calls cost nothing, small enough to be interrupted.
const STEP_BYTES: usize = 1 << 20;

/// FICLONE, then copy_file_range(2) over the stretches that hold data, then read and write.
pub(super) fn copy(from: &OpenFile, to: &OpenFile) -> Result<()> {
    let (Some(from), Some(to)) = (from.host(), to.host()) else { return from.copy_by_hand(to) };
    if fs::ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    let size = u64::try_from(fs::fstat(from).map_err(errno)?.st_size).unwrap_or_default();
    let mut by_kernel = true;
    let mut at = 0;
    while at < size {
        let (data, hole) = match next_data(from, at, size)? {
            Some(stretch) => stretch,
            None => break,
        };
        let mut offset = data;
        while offset < hole {
            let want = usize::try_from(hole.saturating_sub(offset)).unwrap_or(STEP_BYTES);
            let moved = step(from, to, offset, want.min(STEP_BYTES), &mut by_kernel)?;
            if moved == 0 {
                // It shrank meanwhile, or says more than it has, as files of /sys do.
                return fs::ftruncate(to, offset).map_err(errno);
            }
            offset = offset.saturating_add(moved);
        }
        at = hole.max(at.saturating_add(1));
    }
    // A hole at the end.
    if u64::try_from(fs::fstat(to).map_err(errno)?.st_size).unwrap_or_default() < size {
        fs::ftruncate(to, size).map_err(errno)?;
    }
    if size == 0 {
        return copy_unsized(from, to);
    }
    Ok(())
}

/// Files of /proc and /sys say they are empty and are not.
fn copy_unsized(from: &OwnedFd, to: &OwnedFd) -> Result<()> {
    let mut buf = vec![0; 1 << 16];
    let mut offset = 0;
    loop {
        let n = match io::pread(from, &mut buf[..], offset) {
            Ok(n) => n,
            // A special file that has no positions has no data to copy either.
            Err(io::Errno::SPIPE | io::Errno::ISDIR) => return Ok(()),
            Err(e) => return Err(errno(e)),
        };
        if n == 0 {
            return Ok(());
        }
        write_all(to, buf.get(..n).unwrap_or_default(), offset)?;
        offset = offset.saturating_add(n.try_into().unwrap_or_default());
    }
}

/// The next stretch `[data, hole)` at or after `at`; the whole rest where holes are not reported.
fn next_data(from: &OwnedFd, at: u64, size: u64) -> Result<Option<(u64, u64)>> {
    match fs::seek(from, SeekFrom::Data(at)) {
        Ok(data) => {
            let hole = fs::seek(from, SeekFrom::Hole(data)).unwrap_or(size);
            Ok(Some((data, hole.min(size))))
        }
        Err(io::Errno::NXIO) => Ok(None),
        Err(io::Errno::INVAL | io::Errno::OPNOTSUPP | io::Errno::SPIPE) => Ok(Some((at, size))),
        Err(e) => Err(errno(e)),
    }
}

/// Moves at most `want` bytes at `offset`; says how many.
fn step(
    from: &OwnedFd,
    to: &OwnedFd,
    offset: u64,
    want: usize,
    by_kernel: &mut bool,
) -> Result<u64> {
    if *by_kernel {
        let (mut source, mut target) = (offset, offset);
        match fs::copy_file_range(from, Some(&mut source), to, Some(&mut target), want) {
            // Some file systems answer 0 where read(2) gives data.
            Ok(n) if n > 0 => return Ok(n.try_into().unwrap_or_default()),
            Ok(_)
            | Err(
                io::Errno::XDEV
                | io::Errno::INVAL
                | io::Errno::OPNOTSUPP
                | io::Errno::NOSYS
                | io::Errno::PERM
                | io::Errno::IO,
            ) => *by_kernel = false,
            Err(e) => return Err(errno(e)),
        }
    }
    let mut buf = vec![0; want];
    let n = io::pread(from, &mut buf[..], offset).map_err(errno)?;
    write_all(to, buf.get(..n).unwrap_or_default(), offset)?;
    Ok(n.try_into().unwrap_or_default())
}

fn write_all(to: &OwnedFd, mut bytes: &[u8], mut offset: u64) -> Result<()> {
    while !bytes.is_empty() {
        let n = io::pwrite(to, bytes, offset).map_err(errno)?;
        if n == 0 {
            return Err(Errno::EIO);
        }
        bytes = bytes.get(n..).unwrap_or_default();
        offset = offset.saturating_add(n.try_into().unwrap_or_default());
    }
    Ok(())
}

/// The host's number in our words.
pub(super) fn errno(e: io::Errno) -> Errno {
    Errno::from_raw(e.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::{OpenFile, copy};
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    fn copied(from: File) -> Vec<u8> {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("copy");
        let to = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        let file = |file: File| OpenFile::Host(file.into());
        copy(&file(from), &file(to)).unwrap();
        std::fs::read(path).unwrap()
    }

    #[test]
    fn files_that_lie_about_their_size_are_copied_whole() {
        for path in ["/proc/version", "/sys/kernel/uevent_seqnum"] {
            let Ok(wanted) = std::fs::read(path) else { continue };
            assert_eq!(copied(File::open(path).unwrap()), wanted, "{path}");
        }
    }

    #[test]
    fn data_between_and_after_holes_is_where_it_was() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("sparse");
        let file = File::create(&path).unwrap();
        file.write_at(b"one", 1 << 20).unwrap();
        file.write_at(b"two", 3 << 20).unwrap();
        file.set_len(5 << 20).unwrap();
        let wanted = std::fs::read(&path).unwrap();
        assert_eq!(copied(File::open(&path).unwrap()), wanted);
    }
}
