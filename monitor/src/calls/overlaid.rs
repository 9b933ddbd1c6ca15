//! Descriptors of the host that belong to a viewfs mount: which file of the view they are.

use super::Ctx;
use crate::hostview;
use crate::mounts::Mount;
use crate::namei::{Names, Place, VirtualPlace};
use crate::path;
use crate::statbuf::Info;
use crate::view::PRESENT;
use abi::fs::{Attr, Name};
use abi::{Errno, Result};
use cow_store::dir::OpenFile;
use engine::{Answer, Arg, Rewrite};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use viewfs::Stat;

impl Ctx<'_> {
    /// The overlays of this view, the topmost first.
    pub(super) fn overlays(&self) -> Vec<Arc<Mount>> {
        let mounts = self.m.mounts.snapshot();
        if mounts.overlays().is_empty() {
            return Vec::new();
        }
        let view = self.proc.view();
        let mut all: Vec<Arc<Mount>> = mounts
            .overlays()
            .iter()
            .filter(|m| view.sees(m.view, m.born, PRESENT))
            .cloned()
            .collect();
        if all.len() > 1 {
            all.sort_by_key(|m| std::cmp::Reverse(m.rank(PRESENT)));
        }
        all
    }

    fn link_of(&self, fd: i32) -> Option<Vec<u8>> {
        self.link_text(fd).filter(|link| link.first() == Some(&b'/'))
    }

    /// The inode of the view behind a descriptor that is the host's, if an overlay has it.
    pub(super) fn overlaid(&self, fd: i32) -> Option<VirtualPlace> {
        if self.overlays().is_empty() {
            return None;
        }
        self.overlaid_file_of(&self.link_of(fd)?)
    }

    /// The same for a change of the file itself: one that was met before is known by its inode, without its name, and the
    /// open file comes with it.
    pub(super) fn overlaid_inode(&self, fd: i32) -> Option<(Arc<Mount>, Attr, Option<OpenFile>)> {
        let overlays = self.overlays();
        if overlays.is_empty() {
            return None;
        }
        let own = OpenFile::from(self.tracee.descriptor(fd).ok()?);
        let fstat = own.stat().ok()?;
        // Where one overlay lies on another, the name tells which of them has the file.
        if let [mount] = overlays.as_slice()
            && let Some((_, _, attr)) = mount.overlay()?.of_descriptor(&fstat)
        {
            return Some((Arc::clone(mount), attr, Some(own)));
        }
        let v = self.overlaid(fd)?;
        v.mount.overlay()?.meet(&fstat, &path_below(&v));
        Some((v.mount, v.attr, None))
    }

    /// What a magic link of /proc leads to, if an overlay has it: opening it for writing is the overlay's to do.
    pub(super) fn overlaid_magic(&self, link: &[u8]) -> Option<VirtualPlace> {
        if self.overlays().is_empty() {
            return None;
        }
        let own = path::below(link, b"/proc/self")
            .map(|rest| path::append(format!("/proc/{}", self.proc.tgid).as_bytes(), rest));
        let target = hostview::readlink(own.as_deref().unwrap_or(link)).ok()?;
        self.overlaid_file_of(&target)
    }

    /// Where the view has a directory of the host that was moved in the view alone; `None` if it is where it was.
    pub(super) fn moved(&self, host: &[u8]) -> Option<Vec<u8>> {
        self.overlays().into_iter().find_map(|mount| {
            let rest = mount.overlay()?.moved_to(host)?;
            Some(path::append(&mount.target, &rest))
        })
    }

    /// What the link of a descriptor says in the view, where an overlay has the file under another name on the host.
    pub(super) fn name_in_view(&self, link: &[u8]) -> Option<Vec<u8>> {
        let (name, deleted) = match link.strip_suffix(b" (deleted)") {
            Some(name) => (name, &b" (deleted)"[..]),
            None => (link, &b""[..]),
        };
        self.overlays().into_iter().find_map(|mount| {
            let rest = mount.overlay()?.path_in_view(name)?;
            let mut text = path::append(&mount.target, &rest);
            text.extend_from_slice(deleted);
            (text != link).then_some(text)
        })
    }

    /// Links an open file without a name, made by `O_TMPFILE` or since removed, to a name that an overlay decides
    /// about; `None` if the call is another.
    pub(super) fn link_nameless(&self) -> Result<Option<Answer>> {
        if self.row.name != "linkat" || self.overlays().is_empty() {
            return Ok(None);
        }
        let from = self.named(0)?;
        let by_name = || {
            let own = format!("/proc/{}/fd", self.proc.tgid);
            let dirs = [b"/proc/self/fd".as_slice(), b"/dev/fd", own.as_bytes()];
            let number = dirs.iter().find_map(|dir| path::below(&from.text, dir))?;
            std::str::from_utf8(number).ok()?.parse().ok()
        };
        let Some(fd) = from.own.unwrap_or_else(by_name) else { return Ok(None) };
        let Some(link) = self.link_of(fd).filter(|l| l.ends_with(b" (deleted)")) else {
            return Ok(None);
        };
        let to = self.named(1)?;
        let led = self.lead(&to)?;
        let Place::Virtual(dir) = &led.found.parent else { return Ok(None) };
        let Some(fs) = dir.mount.overlay() else { return Ok(None) };
        if led.found.place.is_some() {
            return Err(Errno::EEXIST);
        }
        self.may(&dir.mount, &dir.attr, libc::W_OK | libc::X_OK)?;
        let own = self.tracee.descriptor(fd)?;
        if fs.link_nameless(&own, &link, dir.attr.ino, Name::new(&led.found.name)?)? {
            return Ok(Some(Answer::Return(Ok(0))));
        }
        if !fs.is_lower(&path_below(dir)) {
            return Err(Errno::EXDEV);
        }
        // By name: the descriptor was opened by the monitor, and the kernel takes it for itself only from its opener.
        let words = super::name::host_words(&led.found).ok_or(Errno::EXDEV)?;
        let text = |words: &[u8]| Arg::Bytes([words, b"\0"].concat());
        let cwd = Arg::Value(i64::from(libc::AT_FDCWD).cast_unsigned());
        let own = text(format!("/proc/self/fd/{fd}").as_bytes());
        let follow = Arg::Value(u64::from(libc::AT_SYMLINK_FOLLOW.cast_unsigned()));
        Ok(Some(Answer::Rewrite(Box::new(Rewrite {
            number: self.call.number,
            args: vec![cwd.clone(), own, cwd, text(&words), follow],
            ..Rewrite::default()
        }))))
    }

    fn overlaid_file_of(&self, link: &[u8]) -> Option<VirtualPlace> {
        let (mount, rest) = self.overlay_of_host(link)?;
        let attr = mount.overlay()?.attr(&rest).ok()?;
        let names = Names::of(&path::append(&mount.target, &rest), PRESENT);
        Some(VirtualPlace { names, mount, attr })
    }

    /// The overlay that has a file of the host, and the path below its mount.
    fn overlay_of_host(&self, link: &[u8]) -> Option<(Arc<Mount>, Vec<u8>)> {
        self.overlays().into_iter().find_map(|mount| {
            let rest = mount.overlay()?.path_of_host(link)?;
            let view_path = path::append(&mount.target, &rest);
            (!mount.excepts(&view_path)).then_some((mount, rest))
        })
    }

    /// What fstat(2) shows of such a descriptor, of which `own` is a copy; `None` where the host's answer is the
    /// view's.
    pub(super) fn overlaid_stat(&self, fd: i32, own: OwnedFd) -> Option<Info> {
        let overlays = self.overlays();
        if overlays.iter().all(|m| m.leaves_all_names()) {
            return None;
        }
        let own = OpenFile::from(own);
        if let [mount] = overlays.as_slice()
            && let Some(fs) = mount.overlay()
            && let Some((path, stat, _)) = fs.of_descriptor(&own.stat().ok()?)
        {
            return (!fs.is_lower(&path)).then(|| info_of_overlay(mount, &stat));
        }
        let link = self.link_of(fd)?;
        for mount in &overlays {
            let fs = mount.overlay()?;
            if let Some(stat) = fs.stat_of_descriptor(&own, &link) {
                return Some(info_of_overlay(mount, &stat));
            }
            if fs.path_of_host(&link).is_some() {
                // Its numbers count, whatever those say that it lies on.
                break;
            }
        }
        let (mount, rest) = self.overlay_of_host(&link)?;
        let fs = mount.overlay()?;
        if fs.is_lower(&rest) {
            return None;
        }
        Some(self.m.virtual_info(&mount, fs.attr(&rest).ok()?))
    }
}

fn info_of_overlay(mount: &Mount, stat: &Stat) -> Info {
    let mut attr = stat.to_attr();
    attr.ino = abi::fs::Ino(stat.ino);
    Info { dev: stat.dev, attr, mount_id: 1_000_000 + mount.id }
}

fn path_below(v: &VirtualPlace) -> Vec<u8> {
    path::below(v.names.view(), &v.mount.target).unwrap_or_default().to_vec()
}
