//! Letting go of virtual files that nobody has open any more.
//!
//! The kernel does not say when the last descriptor is closed, so it is asked: now and then, before an umount, and when
//! a file has lost its last name.

use super::{FILES_BEFORE_SWEEP, VFile, VFiles, VKind, backing};
use crate::monitor::Monitor;
use crate::namei::Place;
use crate::path;
use crate::placeholder::Identity;
use abi::Result;
use abi::fs::{Attr, FileKind, Ino};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

impl VFile {
    fn lose(&self, last: &Attr) {
        // One that was lost before stays what it was then.
        let _ = self.gone.set(Attr { nlink: 0, ..last.clone() });
    }
}

impl VFiles {
    /// Before somebody else writes to an inode: what is held of it is written back, and let go if it can be.
    pub(crate) fn let_go(&self, monitor: &Monitor, (mount, ino): (u64, Ino)) -> Result<()> {
        let Some(file) = self.of_inode(mount, ino) else { return Ok(()) };
        file.flush_maps()?;
        file.write_pages()?;
        let identity = file.identity;
        drop(file);
        self.sweep_if(monitor, |f| f.identity == identity);
        Ok(())
    }

    /// Lets go of a regular file that has no name any more, as soon as nobody has it open.
    pub(crate) fn let_go_nameless(&self, monitor: &Monitor, (mount, ino): (u64, Ino)) {
        let Some(file) = self.of_inode(mount, ino) else { return };
        let identity = file.identity;
        let Some(kernels) = file.backing.kernel_file() else {
            if !file.backing.is_in_use() {
                drop(file);
                self.remove(identity);
            }
            return;
        };
        let (monitor, doomed) = (Arc::downgrade(&monitor.arc()), kernels.doomed());
        drop(file);
        doomed.when_forgotten(Box::new(move || {
            if let Some(monitor) = monitor.upgrade() {
                monitor.vfiles.remove(identity);
            }
        }));
    }

    /// An inode has lost its last name, and no handle of the driver's keeps it: its number may be another file's next.
    /// Who has a FIFO open keeps the pipe, and who has a directory open an empty one; nobody is led to them by the
    /// number, nor from them to whatever has the number next.
    pub(crate) fn part(&self, mount: u64, last: &Attr) {
        if last.kind == FileKind::Fifo {
            let key = (mount, last.ino.0);
            let fifo = self.by_inode.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
            fifo.into_iter().for_each(|file| file.lose(last));
        }
        let known = self.by_identity.read().unwrap_or_else(PoisonError::into_inner);
        for file in known.values() {
            if let VKind::Directory(v) | VKind::Other(Place::Virtual(v)) = &file.kind
                && (v.mount.id, v.attr.ino) == (mount, last.ino)
            {
                file.lose(last);
            }
        }
    }

    /// Takes a file that is not in use out of the tables.
    fn remove(&self, identity: Identity) {
        let mut map = self.by_identity.write().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = map.get(&identity) else { return };
        let mut inodes = self.by_inode.lock().unwrap_or_else(PoisonError::into_inner);
        // The two tables have it: whoever has it besides is just opening it.
        let gone = (Arc::strong_count(file) <= 2 && !file.backing.is_in_use())
            .then(|| map.remove(&identity))
            .flatten();
        if let Some(VKind::File { mount, ino }) = gone.as_ref().map(|file| &file.kind) {
            inodes.remove(&(mount.id, ino.0));
        }
        if gone.as_ref().is_some_and(|file| file.is_directory()) {
            self.directories.fetch_sub(1, Ordering::Release);
        }
        drop((map, inodes));
        // Its handles are released here, outside the locks.
        drop(gone);
    }

    /// After somebody else wrote `data` to an inode: whoever has it open sees them.
    pub(crate) fn changed(&self, (mount, ino): (u64, Ino), data: &[u8], offset: u64) -> Result<()> {
        let Some(file) = self.of_inode(mount, ino) else { return Ok(()) };
        if let Some(kernels) = file.backing.kernel_file() {
            kernels.changed(offset, data.len());
            return Ok(());
        }
        let mut state = file.state();
        if state.is_filled {
            file.backing.write_all_at(data, offset)?;
        }
        state.filled_bytes = state.filled_bytes.min(offset);
        Ok(())
    }

    /// As [`sweep`](Self::sweep), young files as well: before the umount of `mount`.
    pub(crate) fn sweep_all(&self, monitor: &Monitor, mount: u64) {
        self.sweep_if(monitor, |_| true);
        // Of a large file the kernel has many pages to let go of, which takes longer than a sweep waits.
        let Some(files) = self.accelerator.running() else { return };
        let left = self.of_mount(mount);
        if left.is_empty() {
            return;
        }
        let held = held_identities(monitor);
        // Numbers, not files: whoever has a file besides the tables counts as opening it.
        let slow: Vec<_> = left
            .iter()
            .filter(|f| !held.contains(&f.identity))
            .filter_map(|f| f.backing.kernel_file())
            .filter(|kernels| !is_mapped(monitor, kernels))
            .map(|kernels| kernels.number())
            .collect();
        drop(left);
        if slow.is_empty() {
            return;
        }
        files.wait_for(&slow);
        self.sweep_if(monitor, |_| true);
    }

    /// Sweeps the files of one mount, but for one that is in use.
    pub(crate) fn sweep_mount(&self, monitor: &Monitor, id: u64, except: &Arc<VFile>) {
        self.sweep_if(monitor, |f| {
            f.identity != except.identity && f.mount().is_some_and(|m| m.id == id)
        });
    }

    /// Lets go of the files that no process holds any more. Called when many are known, and by umount.
    pub(crate) fn sweep(&self, monitor: &Monitor) {
        let count = self.by_identity.read().unwrap_or_else(PoisonError::into_inner).len();
        let limit = self.next_sweep.load(Ordering::Relaxed).max(FILES_BEFORE_SWEEP);
        if count < limit && !self.budget.was_short() {
            return;
        }
        self.sweep_if(monitor, |f| f.born.elapsed() > Duration::from_secs(1));
    }

    /// Asks the kernel to let go of files that it has pages of.
    fn forget_if(&self, may_go: impl Fn(&VFile) -> bool) {
        let Some(files) = self.accelerator.running() else { return };
        let known = self.all();
        let kernels = known.iter().filter(|f| may_go(f)).filter_map(|f| f.backing.kernel_file());
        let doomed: Vec<_> = kernels.filter(|k| !k.is_forgotten()).map(|k| k.doomed()).collect();
        drop(known);
        files.forget(&doomed);
    }

    fn sweep_if(&self, monitor: &Monitor, may_go: impl Fn(&VFile) -> bool) {
        let held = held_identities(monitor);
        self.forget_if(|file| may_go(file) && !held.contains(&file.identity));
        let mut gone = Vec::new();
        {
            let mut map = self.by_identity.write().unwrap_or_else(PoisonError::into_inner);
            map.retain(|identity, file| {
                // Whoever has it besides the two tables is opening it, or waits for the other end of a FIFO.
                let keep = !may_go(file)
                    || Arc::strong_count(file) > 2
                    || held.contains(identity)
                    || file.backing.is_in_use();
                if !keep {
                    gone.push(Arc::clone(file));
                }
                keep
            });
            self.next_sweep.store(map.len() * 2, Ordering::Relaxed);
            let directories = map.values().filter(|file| file.is_directory()).count();
            self.directories.store(directories, Ordering::Release);
        }
        let mut inodes = self.by_inode.lock().unwrap_or_else(PoisonError::into_inner);
        inodes.retain(|_, file| !gone.iter().any(|g| g.identity == file.identity));
        drop(inodes);
        for file in gone {
            if let Err(error) = file.flush_maps() {
                tracing::error!(path = %path::text(&file.view_path()), %error, "mapped pages were not written back");
            }
        }
    }
}

/// Whether a process of the views has a file mapped.
fn is_mapped(monitor: &Monitor, file: &backing::KernelFile) -> bool {
    let shown = file.shown_in_maps();
    monitor.engine().tgids().into_iter().any(|tgid| {
        let maps = std::fs::read_to_string(format!("/proc/{tgid}/maps")).unwrap_or_default();
        maps.lines().any(|line| line.ends_with(&shown))
    })
}

/// The placeholders that some process of the views has open.
fn held_identities(monitor: &Monitor) -> std::collections::HashSet<Identity> {
    let mut held = std::collections::HashSet::new();
    for tgid in monitor.engine().tgids() {
        let Ok(entries) = std::fs::read_dir(format!("/proc/{tgid}/fd")) else { continue };
        for entry in entries.flatten() {
            if let Ok(s) = nix::sys::stat::stat(&entry.path()) {
                held.insert((s.st_dev, s.st_ino));
            }
        }
    }
    held
}
