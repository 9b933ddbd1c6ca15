//! Names of a directory that was opened while it was the host's alone, and to which an overlay has added since.
//!
//! The descriptor is the kernel's, and so is its position. Positions of ours begin where a directory of the host
//! has none (a hash of ext4 is one of them in 2^31 at most); a walk that the kernel has begun, it ends.

use super::Ctx;
use super::data::{position, set_position};
use super::directories::{Entries, read_driver};
use crate::dirnames::Behind;
use crate::mounts::Mount;
use crate::namei::Place;
use crate::path;
use crate::tasks::OpenListing;
use abi::fs::{Cookie, FileKind, Name, OpenFlags, Opened};
use abi::{Errno, Result};
use engine::Answer;
use std::collections::hash_map::Entry;
use std::sync::{Arc, PoisonError};

/// The position before the first of our entries; `.` and `..` are the first two.
const FIRST: u64 = 1 << 62;

impl Ctx<'_> {
    /// The overlay that lists a directory of the host, with the path below its mount; `None` where the kernel's names
    /// are the view's.
    fn merged_directory(&self, link: &[u8]) -> Option<(Arc<Mount>, Vec<u8>)> {
        for mount in self.overlays() {
            let fs = mount.overlay()?;
            let Some(rest) = fs.lower_now_at(link) else { continue };
            let view_path = path::append(&mount.target, &rest);
            if mount.excepts(&view_path) {
                continue;
            }
            if fs.is_lower(&rest) {
                return None;
            }
            return Some((mount, rest));
        }
        None
    }
}

/// The next entries of the host's directory `fd`; `None` if the kernel has them.
pub(super) fn entries(ctx: &Ctx<'_>, fd: i32, out: &mut Entries) -> Result<Option<Answer>> {
    if ctx.overlays().iter().all(|m| m.leaves_all_names()) {
        return Ok(None);
    }
    let Behind::Host(text) = ctx.m.behind(ctx.tid(), fd, false) else { return Ok(None) };
    let text = text.strip_suffix(b" (deleted)").unwrap_or(&text);
    let Some((mount, rest)) = ctx.merged_directory(text) else { return Ok(None) };
    let own = ctx.tracee.descriptor(fd)?;
    let mut at = position(&own)?;
    if at == 0 {
        ctx.proc.listings.lock().unwrap_or_else(PoisonError::into_inner).remove(&fd);
        at = FIRST;
    }
    if at < FIRST {
        return Ok(None);
    }
    let fs = mount.tree().ok_or(Errno::EIO)?;
    let mut attr = fs.getattr(fs.root())?;
    for component in path::components(&rest) {
        attr = fs.lookup(attr.ino, Name::new(component)?)?;
    }
    let mut listings = ctx.proc.listings.lock().unwrap_or_else(PoisonError::into_inner);
    let listing = match listings.entry(fd) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(vacant) => {
            let opened = fs.open(ctx.caller(), attr.ino, OpenFlags::READ)?;
            let Opened::Handle(handle) = opened else { return Ok(None) };
            vacant.insert(OpenListing { fs: Arc::clone(fs), handle })
        }
    };
    let number = |place: Result<Place>| {
        place.and_then(|p| ctx.m.info_of(&p)).map_or(attr.ino.0, |info| info.attr.ino.0)
    };
    let here = path::append(&mount.target, &rest);
    if at == FIRST
        && out.push(b".", number(ctx.walker().canonical(&here)), FileKind::Directory, at + 1)
    {
        at += 1;
    }
    let up = path::split(&here).map_or(&b"/"[..], |(up, _)| up);
    if at == FIRST + 1
        && out.push(b"..", number(ctx.walker().canonical(up)), FileKind::Directory, at + 1)
    {
        at += 1;
    }
    if at >= FIRST + 2 {
        let cookie = Cookie(at - FIRST - 2);
        read_driver(&*listing.fs, listing.handle, cookie, FIRST + 2, out, &mut at)?;
    }
    drop(listings);
    set_position(&own, at)?;
    out.deliver(ctx).map(Some)
}
