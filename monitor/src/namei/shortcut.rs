//! Names below an overlay without a look at each directory on the way: where no mount lies between and no link can,
//! the overlay is asked for the whole path at once.

use super::{Names, Place, VirtualPlace, Walk};
use crate::mounts::{Content, Mount};
use crate::path;
use abi::Result;
use std::sync::Arc;

impl Walk<'_> {
    /// The overlay that alone decides about a canonical path, and the path below its mount.
    fn overlay_of(&self, wanted: &[u8]) -> Option<(Arc<Mount>, Vec<u8>)> {
        if wanted.starts_with(b"/proc/") {
            return None;
        }
        let rank = |m: &Arc<Mount>| m.rank(self.epoch);
        let sees = |m: &&Arc<Mount>| {
            self.view.sees(m.view, m.born, self.epoch) && !m.is_detached() && m.may_answer(wanted)
        };
        let top = self.mounts.overlays().iter().filter(sees).max_by_key(|m| rank(m))?;
        let is_alone = self.mounts.all().iter().filter(sees).all(|m| {
            m.id == top.id || rank(m) < rank(top) && m.can_be_covered() && !is_redirect(m)
        });
        let is_excepted = top.excepts(wanted);
        if !is_alone || is_excepted || top.flags.human {
            return None;
        }
        Some((Arc::clone(top), path::below(wanted, &top.target)?.to_vec()))
    }

    /// The place of a canonical path below an overlay; `None` if others have a say in it.
    pub(super) fn overlaid(&self, wanted: &[u8]) -> Option<Result<Place>> {
        let (mount, rest) = self.overlay_of(wanted)?;
        let attr = mount.overlay()?.attr_at(&rest);
        let names = Names::of(wanted, self.epoch);
        Some(attr.map(|attr| Place::Virtual(VirtualPlace { names, mount, attr })))
    }

    /// The directory that a path leads to before its last component, and that component; `None` where the way has to
    /// be walked.
    pub(super) fn shortcut(&mut self, start: &Place, wanted: &[u8]) -> Option<(Place, Vec<u8>)> {
        if start.names().0.len() != 1 {
            return None;
        }
        self.shortcut_from(start.view_path(), wanted)
    }

    /// The same from the directory with the canonical path `start`.
    pub(super) fn shortcut_from(
        &mut self,
        start: &[u8],
        wanted: &[u8],
    ) -> Option<(Place, Vec<u8>)> {
        let is_plain = self.root.is_none()
            && !self.mounts.overlays().is_empty()
            && !path::has_dotdot(wanted)
            && !wanted.ends_with(b"/.")
            && wanted != b".";
        if !is_plain {
            return None;
        }
        let full = if wanted[0] == b'/' {
            path::normalize(wanted)
        } else {
            path::normalize(&path::append(start, wanted))
        };
        let (dir, name) = path::split(&full)?;
        let (mount, rest) = self.overlay_of(dir)?;
        let fs = mount.overlay()?;
        let has_links =
            || self.monitor.quick.canonical(dir, &self.mounts).is_none_or(|c| *c != *dir);
        if !fs.is_own_directory(&rest) && (!fs.is_lower(&rest) || has_links()) {
            return None;
        }
        let attr = fs.attr_at(&rest).ok()?;
        let names = Names::of(dir, self.epoch);
        let place = Place::Virtual(VirtualPlace { names, mount, attr });
        self.left_host |= !place.is_as_on_host();
        place.is_directory().then(|| (place, name.to_vec()))
    }
}

fn is_redirect(mount: &Mount) -> bool {
    matches!(mount.content, Content::Redirect { .. })
}
