//! Real descriptors that stand for virtual files, recognised by their inode and harmless by themselves.
//!
//! A regular file is a memfd; a directory is an empty directory that was removed right after it was opened, so
//! that a call that reaches it by mistake finds nothing and can make nothing.

use crate::hostview::errno;
use crate::path::os;
use abi::{Errno, Result};
use nix::fcntl::{OFlag, open};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::mkfifo;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// `(st_dev, st_ino)` of a placeholder: the same for every descriptor of it in any process.
pub(crate) type Identity = (u64, u64);

/// An empty memfd that shows `name` in /proc/PID/maps.
pub(crate) fn memfd(name: &[u8]) -> Result<File> {
    let mut shown = name.to_vec();
    shown.retain(|&b| b != 0);
    shown.truncate(200);
    let shown = std::ffi::CString::new(shown).map_err(|_| Errno::EINVAL)?;
    let made = memfd_create(shown.as_c_str(), MFdFlags::MFD_CLOEXEC).map_err(errno)?;
    // The kernel does not count the open file that memfd_create made among the inode's writers, which leases
    // compare with: one opened by name is counted.
    reopen(&made, libc::O_RDWR).map(File::from)
}

/// A name that nobody has.
pub(crate) fn fresh_name() -> Result<String> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    Ok(format!("{}/.view-{}-{number}", base_directory()?, std::process::id()))
}

/// An empty directory without a name.
pub(crate) fn directory() -> Result<File> {
    let name = fresh_name()?;
    std::fs::create_dir(&name)?;
    let opened = open(
        name.as_str(),
        OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW,
        Mode::empty(),
    );
    std::fs::remove_dir(&name)?;
    opened.map(File::from).map_err(errno)
}

/// A FIFO without a name, open as a place only: that counts neither as a reader nor as a writer.
pub(crate) fn fifo() -> Result<File> {
    let name = fresh_name()?;
    // Whether it may be opened was decided by the modes of the view.
    mkfifo(name.as_str(), Mode::from_bits_retain(0o666)).map_err(errno)?;
    let opened =
        open(name.as_str(), OFlag::O_PATH | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW, Mode::empty());
    std::fs::remove_file(&name)?;
    opened.map(File::from).map_err(errno)
}

/// Where directories can be made; memory first.
fn base_directory() -> Result<&'static str> {
    static BASE: OnceLock<Option<String>> = OnceLock::new();
    BASE.get_or_init(|| {
        let own = std::env::var("XDG_RUNTIME_DIR").ok();
        let candidates = ["/dev/shm".to_owned()]
            .into_iter()
            .chain(own)
            .chain(["/tmp".into(), "/var/tmp".into()]);
        candidates.into_iter().find(|dir| {
            let probe = format!("{dir}/.view-{}-probe", std::process::id());
            std::fs::create_dir(&probe).is_ok() && std::fs::remove_dir(&probe).is_ok()
        })
    })
    .as_deref()
    .ok_or(Errno::EACCES)
}

/// The identity of an open file.
pub(crate) fn identity(fd: impl AsFd) -> Result<Identity> {
    let s = fstat(fd).map_err(errno)?;
    Ok((s.st_dev, s.st_ino))
}

/// Another open file of the same inode, with flags of its own.
pub(crate) fn reopen(fd: &impl AsRawFd, flags: i32) -> Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    open(os(path.as_bytes()), OFlag::from_bits_retain(flags | libc::O_CLOEXEC), Mode::empty())
        .map_err(errno)
}
