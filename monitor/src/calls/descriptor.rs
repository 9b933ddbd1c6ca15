//! What a descriptor of the caller leads to, by the text that /proc has for it: asked once in a call.

use super::Ctx;
use super::name::Named;
use crate::hostview;
use crate::namei::{Place, Walk};
use crate::path;
use crate::view::PRESENT;
use abi::{Errno, Result};

/// Where a walk starts.
pub(super) enum Start {
    /// At a place; true if the kernel's own is the same.
    At(Place, bool),
    /// At a canonical path of the host that an overlay decides about, which nobody has looked at yet.
    Under(Vec<u8>),
}

impl Ctx<'_> {
    /// /proc/PID/fd/N; `None` if it is not open.
    pub(crate) fn link_text(&self, fd: i32) -> Option<Vec<u8>> {
        let mut links = self.links.borrow_mut();
        if let Some((_, text)) = links.iter().find(|(known, _)| *known == fd) {
            return Some(text.clone());
        }
        let text = hostview::readlink(format!("/proc/{}/fd/{fd}", self.tid()).as_bytes()).ok()?;
        links.push((fd, text.clone()));
        Some(text)
    }

    /// Whether the text of its link tells that a descriptor stands for no virtual file: those that do have lost their
    /// names, but for the files of the monitor's own mount.
    pub(super) fn is_no_placeholder(&self, text: &[u8]) -> bool {
        text.first() == Some(&b'/')
            && !text.ends_with(b" (deleted)")
            && !self.m.vfiles.accelerator.is_running()
    }

    /// Whether that was told of a descriptor in this call.
    pub(super) fn is_known_real(&self, fd: i32) -> bool {
        let links = self.links.borrow();
        links.iter().any(|(known, text)| *known == fd && self.is_no_placeholder(text))
    }

    /// Whether an overlay decides about a name that a call may change: no look at anything is needed for that.
    pub(super) fn is_overlays_to_change(&self, named: &Named) -> bool {
        let mounts = self.m.mounts.snapshot();
        if mounts.overlays().is_empty() || path::has_dotdot(&named.text) {
            return false;
        }
        let full = match (named.text.first(), named.dirfd) {
            (Some(b'/'), _) => Some(named.text.clone()),
            (_, Some(fd)) => self.link_text(fd).map(|base| path::append(&base, &named.text)),
            (_, None) => {
                self.m.host_cwd(self.proc, self.tid()).map(|base| path::append(&base, &named.text))
            }
        };
        let Some(full) = full.map(|text| path::normalize(&text)) else { return false };
        let view = self.proc.view();
        mounts.overlays().iter().any(|m| {
            path::below(&full, &m.target).is_some()
                && view.sees(m.view, m.born, PRESENT)
                && !m.excepts(&full)
        })
    }

    /// Where the walk of a path argument starts.
    ///
    /// # Errors
    /// - `EBADF` if its directory is not open; `ENOTDIR`, `ENOENT` if it is none.
    pub(super) fn start(&self, walk: &mut Walk<'_>, named: &Named) -> Result<Start> {
        if named.text.first() == Some(&b'/') {
            return match &walk.root {
                Some(root) => Ok(Start::At(root.clone(), false)),
                None => Ok(Start::Under(b"/".to_vec())),
            };
        }
        let text = match named.dirfd {
            None => match self.proc.directories().cwd {
                Some(cwd) => return Ok(Start::At(cwd, false)),
                None => self.m.host_cwd(self.proc, self.tid()).ok_or(Errno::ENOENT)?.to_vec(),
            },
            Some(fd) => {
                // Under an overlay most are the host's, of which the link tells that; else what comes here is virtual.
                if !self.overlays().is_empty() {
                    self.link_text(fd).ok_or(Errno::EBADF)?;
                }
                if let Some((file, _)) = self.open_file(fd)? {
                    return Ok(Start::At(self.m.place_of_file(&file, walk)?, false));
                }
                self.link_text(fd).ok_or(Errno::EBADF)?
            }
        };
        if text.first() == Some(&b'/') && walk.is_overlaid(&text) {
            return Ok(Start::Under(self.moved(&text).unwrap_or(text)));
        }
        Ok(Start::At(self.directory_of_host(walk, &text)?, true))
    }
}
