//! One file per family of system calls; [`dispatch`] is the only door.

mod attributes;
mod claimed;
mod data;
mod datagram;
mod descriptor;
mod directories;
mod disks;
mod exec;
mod filetimes;
mod ids;
mod info;
mod look;
mod maps;
mod merged;
mod mount;
mod name;
mod names;
mod open;
mod overlaid;
mod patchwork;
pub(crate) mod permission;
mod process;
mod socket;
mod special;
mod umount;
mod xattr;

pub(crate) use disks::{device_of_descriptor, host_at};
pub(crate) use mount::mount_service;

use crate::control;
use crate::monitor::Monitor;
use crate::mounts::Mount;
use crate::namei::{Found, Place};
use crate::tasks::Proc;
use crate::vfiles::VFile;
use abi::{Errno, Result};
use engine::{Answer, Call, Tracee};
use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use syscalls::{Handler, Row};

/// One call under way.
pub(crate) struct Ctx<'a> {
    pub(crate) m: &'a Monitor,
    pub(crate) tracee: &'a dyn Tracee,
    pub(crate) proc: &'a Arc<Proc>,
    pub(crate) call: Call,
    pub(crate) row: &'static Row,
    /// How far agents had forgotten before anything was looked at.
    generation: u64,
    /// The mount that the call came to, for its counts.
    touched: Cell<Option<Arc<Mount>>>,
    /// What /proc said of descriptors of the caller.
    links: RefCell<Vec<(i32, Vec<u8>)>>,
}

impl Ctx<'_> {
    pub(crate) fn arg(&self, index: usize) -> u64 {
        self.call.args[index]
    }

    /// An argument that the kernel takes as `int`.
    pub(crate) fn int(&self, index: usize) -> i32 {
        self.call.args[index] as i32
    }

    pub(crate) fn tid(&self) -> i32 {
        self.tracee.tid().0
    }

    /// The virtual file behind a descriptor, and a descriptor of our own for it.
    ///
    /// # Errors
    /// - `EBADF` if the descriptor is not open.
    pub(crate) fn open_file(&self, fd: i32) -> Result<Option<(Arc<VFile>, OwnedFd)>> {
        if self.is_known_real(fd) {
            return Ok(None);
        }
        let Some((file, own)) = self.m.vfiles.of_tracee(self.tracee, fd)? else { return Ok(None) };
        self.touch_file(&file);
        Ok(Some((file, own)))
    }

    /// The virtual file behind a descriptor of ours.
    pub(crate) fn virtual_file(&self, own: &OwnedFd) -> Option<Arc<VFile>> {
        let file = self.m.vfiles.of(own)?;
        self.touch_file(&file);
        Some(file)
    }

    /// Notes the mount of an open file.
    pub(crate) fn touch_file(&self, file: &VFile) {
        if let Some(mount) = file.mount() {
            self.touched.set(Some(Arc::clone(mount)));
        }
    }

    /// Notes the mount of what a name led to, or of the directory where it could be.
    pub(crate) fn touch(&self, found: &Found) {
        match found.place.as_ref().unwrap_or(&found.parent) {
            Place::Virtual(v) => self.touched.set(Some(Arc::clone(&v.mount))),
            Place::Device(d) => self.touched.set(Some(Arc::clone(&d.mount))),
            Place::Host(_) | Place::Proc(..) => {}
        }
    }
}

/// Answers one call.
pub(crate) fn dispatch(m: &Monitor, tracee: &dyn Tracee, proc: &Arc<Proc>, call: Call) -> Answer {
    if call.number == syscalls::VIEWCTL {
        return control::answer(m, tracee, proc, call);
    }
    let Some(row) = syscalls::row(call.number) else {
        m.counts.note_unknown(call.number);
        return Answer::Return(Err(Errno::ENOSYS));
    };
    let generation = m.engine().agent().map_or(0, engine::Agent::generation);
    let (touched, links) = (Cell::new(None), RefCell::default());
    let ctx = Ctx { m, tracee, proc, call, row, generation, touched, links };
    let answer = match family(&ctx) {
        Ok(answer) => filetimes::settle(&ctx, answer),
        Err(errno) => Answer::Return(Err(errno)),
    };
    if let Some(mount) = ctx.touched.take() {
        mount.answers.add(&answer);
    }
    answer
}

fn family(ctx: &Ctx<'_>) -> Result<Answer> {
    use Handler as H;
    match ctx.row.handler {
        H::Open => open::open(ctx),
        H::Stat => look::stat(ctx),
        H::Access => look::access(ctx),
        H::Readlink => look::readlink(ctx),
        H::Exec => exec::exec(ctx),
        H::Chdir => directories::chdir(ctx),
        H::Getcwd => directories::getcwd(ctx),
        H::Chroot => directories::chroot(ctx),
        H::Getdents => directories::getdents(ctx),
        H::Mkdir | H::Mknod | H::Symlink => names::make(ctx),
        H::Link => names::link(ctx),
        H::Unlink => names::unlink(ctx),
        H::Rename => names::rename(ctx),
        H::Chmod | H::Chown | H::Utime | H::Truncate => attributes::change(ctx),
        H::Fallocate => attributes::fallocate(ctx),
        H::Sync => attributes::sync(ctx),
        H::Statfs => look::statfs(ctx),
        H::Setxattr | H::Getxattr | H::Listxattr | H::Removexattr => xattr::xattr(ctx),
        H::FileAttr => name::natively_or(ctx, Errno::EOPNOTSUPP),
        H::Watch => info::watch(ctx),
        H::FileHandle => name::natively_or(ctx, Errno::EOPNOTSUPP),
        H::Mount => mount::mount(ctx),
        H::Umount => umount::umount(ctx),
        H::MountApi => Ok(mount::new_api(ctx)),
        H::MountInfo => Ok(Answer::Return(Err(Errno::ENOSYS))),
        H::PivotRoot => Ok(mount::pivot_root(ctx)),
        H::Swap => name::natively_or(ctx, Errno::EINVAL),
        H::Quota => name::natively_or(ctx, Errno::ENOTBLK),
        H::Acct => name::natively_or(ctx, Errno::EACCES),
        H::Ptrace => Ok(process::ptrace(ctx)),
        H::Namespace | H::Umask => Ok(process::umask(ctx)),
        H::Read => data::read(ctx),
        H::Write => data::write(ctx),
        H::Transfer => data::transfer(ctx),
        H::Lseek => data::lseek(ctx),
        H::Mmap => maps::mmap(ctx),
        H::Munmap | H::Msync => maps::write_back(ctx),
        H::Ioctl => data::ioctl(ctx),
        H::Bind | H::Connect => socket::address(ctx),
        H::SocketName => socket::name(ctx),
        H::Accept => socket::accept(ctx),
        H::GetId | H::SetId | H::Groups | H::Capabilities | H::Prctl => ids::ids(ctx),
        H::Virtual | H::Refused => Ok(Answer::Return(Err(Errno::ENOSYS))),
        // These are the kernel's until a module claims them (docs/syscalls.md: planned or native).
        H::Native
        | H::Aio
        | H::Fcntl
        | H::Flock
        | H::Close
        | H::Dup
        | H::PidfdGetfd
        | H::Socket
        | H::SocketState
        | H::SocketOption => Ok(Answer::Native),
        H::Send => datagram::send(ctx),
        H::Recv => socket::receive(ctx),
        H::Uname | H::ReadClock | H::SetClock | H::Sleep | H::Timer | H::Timeout => {
            Ok(claimed::answer(ctx))
        }
    }
}
