//! What holds the bytes of an open virtual file for the kernel: memory of ours, or a file that the kernel asks us for.

use crate::hostview::errno;
use crate::keeper;
use crate::placeholder::{self, Identity};
use abi::{Errno, Result};
use nix::fcntl::{OFlag, PosixFadviseAdvice, openat, posix_fadvise};
use nix::sys::stat::Mode;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use umfuse::kernel_files::{DriverFile, Forgetter, NodeNumber, Nodes, serve};

/// How long the kernel is waited for when it shall forget files.
const FORGETTING_LIMIT: Duration = Duration::from_millis(100);

/// How long, where nobody is seen to have them open.
const LETTING_GO_LIMIT: Duration = Duration::from_secs(10);

/// The bytes behind a descriptor.
pub(crate) enum Backing {
    /// A memfd, or a directory without names.
    Placeholder(File),
    /// A file of the monitor's own mount.
    Kernel(KernelFile),
}

/// A file of the monitor's own mount.
pub(crate) struct KernelFile {
    files: Arc<KernelFiles>,
    number: NodeNumber,
    shown: Vec<u8>,
    pub(crate) content: Arc<DriverFile>,
}

/// A file that shall be gone when nobody has it open any more.
pub(super) struct Doomed {
    files: Arc<KernelFiles>,
    number: NodeNumber,
    shown: Vec<u8>,
}

/// The monitor's own mount of `/dev/fuse`.
pub(crate) struct KernelFiles {
    root: OwnedFd,
    device: u64,
    nodes: Arc<Nodes>,
    forgetter: Forgetter,
}

/// That mount, made when it is first needed, where it can be and may be.
#[derive(Default)]
pub(crate) struct Accelerator {
    files: OnceLock<Option<Arc<KernelFiles>>>,
    /// Hears the device number of its files.
    listener: OnceLock<Box<dyn Fn(u64) + Send + Sync>>,
}

impl Accelerator {
    /// From now on there is none.
    pub(crate) fn switch_off(&self) {
        let _ = self.files.set(None);
    }

    /// Sets who hears of the device of the mount, once there is one.
    pub(crate) fn set_listener(&self, listener: Box<dyn Fn(u64) + Send + Sync>) {
        let _ = self.listener.set(listener);
    }

    /// The mount, or `None` where placeholders must do.
    pub(crate) fn files(&self) -> Option<&Arc<KernelFiles>> {
        let made = self.files.get_or_init(|| match KernelFiles::start() {
            Ok(files) => {
                if let Some(listener) = self.listener.get() {
                    listener(files.device);
                }
                Some(Arc::new(files))
            }
            Err(error) => {
                tracing::debug!(%error, "no files by /dev/fuse: placeholders serve");
                None
            }
        });
        made.as_ref()
    }

    /// Whether it is there.
    pub(crate) fn is_running(&self) -> bool {
        self.running().is_some()
    }

    /// The mount if it is there already.
    pub(super) fn running(&self) -> Option<&Arc<KernelFiles>> {
        self.files.get().and_then(Option::as_ref)
    }
}

impl KernelFiles {
    fn start() -> Result<Self> {
        let kept = keeper::start()?;
        let nodes = Arc::new(Nodes::default());
        let owner = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        let forgetter = serve(kept.device, &nodes, owner)?;
        let (device, _) = placeholder::identity(&kept.root)?;
        Ok(Self { root: kept.root, device, nodes, forgetter })
    }

    /// Takes a driver's file in.
    pub(super) fn add(self: &Arc<Self>, content: DriverFile, shown: &[u8]) -> KernelFile {
        let content = Arc::new(content);
        let number = self.nodes.add(Arc::clone(&content) as _);
        KernelFile { files: Arc::clone(self), number, shown: shown.to_vec(), content }
    }

    /// Has the kernel forget files, and waits for a moment.
    pub(super) fn forget(&self, files: &[Doomed]) {
        for file in files {
            self.forgetter.forget(file.number, &file.shown);
        }
        let numbers: Vec<_> = files.iter().map(|file| file.number).collect();
        let _ = self.nodes.are_forgotten(&numbers, FORGETTING_LIMIT);
    }

    /// Waits until the kernel has let go of files that it was told to forget.
    pub(super) fn wait_for(&self, numbers: &[NodeNumber]) {
        let _ = self.nodes.are_forgotten(numbers, LETTING_GO_LIMIT);
    }
}

impl KernelFile {
    /// What the lines of /proc/PID/maps end in that are maps of it.
    pub(super) fn shown_in_maps(&self) -> String {
        let name = self.files.nodes.name(self.number, &self.shown);
        format!("/{}", String::from_utf8_lossy(&name))
    }

    pub(super) fn number(&self) -> NodeNumber {
        self.number
    }

    /// Whether the kernel knows nothing of it: nobody has it open or mapped.
    pub(super) fn is_forgotten(&self) -> bool {
        self.files.nodes.is_forgotten(self.number)
    }

    pub(super) fn doomed(&self) -> Doomed {
        let files = Arc::clone(&self.files);
        Doomed { files, number: self.number, shown: self.shown.clone() }
    }

    /// After the driver changed bytes by itself: the kernel reads them anew.
    pub(super) fn changed(&self, offset: u64, len: usize) {
        if !self.is_forgotten() {
            self.files.forgetter.changed(self.number, offset, len);
        }
    }

    fn open(&self, flags: i32) -> Result<OwnedFd> {
        let name = PathBuf::from(crate::path::os(&self.files.nodes.name(self.number, &self.shown)));
        let opened = openat(
            &self.files.root,
            &name,
            OFlag::from_bits_retain(flags | libc::O_CLOEXEC | libc::O_NOFOLLOW),
            Mode::empty(),
        )
        .map_err(errno)?;
        // Readahead of twice the size, by which half as many requests come; random reads are known as such all the
        // same. Refused for `O_PATH`.
        let _ = posix_fadvise(&opened, 0, 0, PosixFadviseAdvice::POSIX_FADV_SEQUENTIAL);
        Ok(opened)
    }
}

impl Doomed {
    /// Has the kernel forget the file, and calls when it has.
    pub(super) fn when_forgotten(self, call: Box<dyn FnOnce() + Send>) {
        self.files.nodes.when_forgotten(self.number, call);
        self.files.forgetter.forget(self.number, &self.shown);
    }
}

impl Drop for KernelFile {
    fn drop(&mut self) {
        self.files.nodes.remove(self.number);
    }
}

impl Backing {
    /// What it is known by in every process.
    pub(crate) fn identity(&self) -> Result<Identity> {
        match self {
            Self::Placeholder(file) => placeholder::identity(file),
            Self::Kernel(file) => Ok((file.files.device, file.number.0)),
        }
    }

    /// A new open file of it.
    pub(crate) fn open(&self, flags: i32) -> Result<OwnedFd> {
        match self {
            Self::Placeholder(file) => placeholder::reopen(file, flags),
            Self::Kernel(file) => file.open(flags),
        }
    }

    /// Whether a process has it open or mapped, or it is in flight in a message. Says false for directories.
    pub(super) fn is_in_use(&self) -> bool {
        match self {
            Self::Placeholder(file) => engine::descriptor::is_open_elsewhere(file.as_fd()),
            Self::Kernel(file) => !file.is_forgotten(),
        }
    }

    /// Gives it a length in bytes; the driver has it already.
    pub(crate) fn set_len(&self, size: u64) -> Result<()> {
        match self {
            Self::Placeholder(file) => file.set_len(size).map_err(Errno::from),
            Self::Kernel(file) => {
                File::from(file.open(libc::O_WRONLY)?).set_len(size).map_err(Errno::from)
            }
        }
    }

    /// The placeholder, where it is one.
    pub(crate) fn placeholder(&self) -> Option<&File> {
        match self {
            Self::Placeholder(file) => Some(file),
            Self::Kernel(_) => None,
        }
    }

    pub(super) fn kernel_file(&self) -> Option<&KernelFile> {
        match self {
            Self::Placeholder(_) => None,
            Self::Kernel(file) => Some(file),
        }
    }

    /// Writes bytes that the driver has into the placeholder; the kernel's own pages are right by themselves.
    pub(super) fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        match self {
            Self::Placeholder(file) => file.write_all_at(bytes, offset).map_err(Errno::from),
            Self::Kernel(_) => Ok(()),
        }
    }
}
