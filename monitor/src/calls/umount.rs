//! umount2(2).

use super::Ctx;
use crate::monitor::Monitor;
use crate::mounts::{Content, Crossing, Mount, Power};
use crate::namei::Place;
use crate::path;
use crate::view::{PRESENT, View};
use abi::host::Epoch;
use abi::{Errno, Result};
use engine::Answer;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// umount2(2).
pub(super) fn umount(ctx: &Ctx<'_>) -> Result<Answer> {
    if ctx.m.mounts.snapshot().is_empty() {
        return Ok(Answer::Native);
    }
    let named = ctx.named(0)?;
    let led = ctx.lead(&named)?;
    let at = led.found.view_path();
    let view = ctx.proc.view();
    let flags = ctx.int(1);
    let mounts = ctx.m.mounts.snapshot();
    let over = mounts.rank_over(&view, PRESENT, &at);
    let mount = match mounts.at(&view, PRESENT, &at, over) {
        Some(Crossing::Mount(m)) => m,
        Some(Crossing::SubDevice(m, 0)) => m,
        Some(Crossing::SubDevice(..)) => return Err(Errno::EINVAL),
        // It is part of what a younger mount shows.
        None if mounts.at(&view, PRESENT, &at, Epoch::default()).is_some() => {
            return Err(Errno::EBUSY);
        }
        None => {
            // libmount may name the source.
            return match led.found.place {
                Some(Place::Host(_)) | None => Ok(Answer::Native),
                _ => Err(Errno::EINVAL),
            };
        }
    };
    if mount.view != view.id {
        return Err(Errno::EPERM);
    }
    if mount.flags.permanent {
        return Err(Errno::EPERM);
    }
    let lazy = flags & (libc::MNT_DETACH | libc::MNT_FORCE) != 0;
    ctx.m.unmount(&view, &mount, lazy)?;
    Ok(Answer::Return(Ok(0)))
}

impl Monitor {
    /// Takes a mount away.
    ///
    /// # Errors
    /// In check order:
    /// - `EBUSY` if a file is open, a directory is a working directory or root, or a mount lies on it; not
    ///   with `lazy`.
    /// - what the last flush says; the mount is gone all the same.
    pub(crate) fn unmount(&self, view: &View, mount: &Arc<Mount>, lazy: bool) -> Result<()> {
        if !lazy {
            self.vfiles.sweep_all(self, mount.id);
            if self.is_busy(view, mount) {
                return Err(Errno::EBUSY);
            }
        }
        let synced = self.sync_mount(mount);
        mount.detached.store(true, Ordering::Release);
        self.mounts.remove(mount.id);
        self.sockets.let_go_of_mount(mount.id);
        self.hide_from_sysfs(mount);
        self.forget_directories();
        if matches!(mount.power, Power::Calls(_)) {
            self.refresh_clocks();
        }
        if let Some(service) = &mount.service {
            service.uses.fetch_sub(1, Ordering::AcqRel);
            service.module.unmounted(&path::text(&mount.target));
        }
        synced
    }

    fn is_busy(&self, view: &View, mount: &Arc<Mount>) -> bool {
        if let Some(file) = self.vfiles.of_mount(mount.id).first() {
            tracing::info!(file = %path::text(&file.view_path()), "busy: a file is open");
            return true;
        }
        let is_here = |place: &Option<Place>| match place {
            Some(Place::Virtual(v)) => v.mount.id == mount.id,
            Some(p) => path::below(p.view_path(), &mount.target).is_some(),
            None => false,
        };
        let used = self.tasks.processes().iter().any(|p| {
            let dirs = p.directories();
            is_here(&dirs.cwd) || is_here(&dirs.root)
        });
        let is_below_overlay = |m: &Mount| match &m.content {
            Content::Overlay { over, .. } => over.contains(&mount.id),
            _ => false,
        };
        used || self.mounts.snapshot().all().iter().any(|m| {
            m.id != mount.id
                && (is_below_overlay(m)
                    || view.sees(m.view, m.born, PRESENT) && (is_on(m, mount) || is_of(m, mount)))
        })
    }

    /// At the end of a view: everything is written back; where no process is left, all is unmounted, the youngest
    /// first, and what it lies on is clean.
    pub fn end(&self) {
        if !self.engine().tgids().is_empty() {
            self.sync_all();
            return;
        }
        let mut mounts = self.mounts.snapshot().all().to_vec();
        mounts.sort_by_key(|mount| std::cmp::Reverse(mount.born));
        for mount in mounts {
            self.vfiles.sweep_all(self, mount.id);
            if let Err(error) = self.unmount(&self.root_view, &mount, true) {
                tracing::error!(target = %path::text(&mount.target), %error, "the last flush failed");
            }
        }
    }

    fn sync_all(&self) {
        for mount in self.mounts.snapshot().all() {
            if let Err(error) = self.sync_mount(mount) {
                tracing::error!(target = %path::text(&mount.target), %error, "the last flush failed");
            }
        }
    }
}

/// Whether `upper` lies on a file of `mount`, or over the same mount point on top of it.
fn is_on(upper: &Mount, mount: &Mount) -> bool {
    upper.rank(PRESENT) > mount.rank(PRESENT) && path::below(&upper.target, &mount.target).is_some()
}

/// Whether `later` was made from a file of `mount`, by its words.
fn is_of(later: &Mount, mount: &Mount) -> bool {
    let source = match &later.content {
        Content::Redirect { source, .. } => source.as_slice(),
        _ => later.source.as_bytes(),
    };
    let is_below = path::below(source, &mount.target).is_some();
    let is_partition =
        matches!(mount.content, Content::Device { .. }) && source.starts_with(&mount.target);
    later.born > mount.born && (is_below || is_partition)
}
