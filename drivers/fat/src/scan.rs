//! Reading a directory into its index.

use crate::boot::Root;
use crate::chain::Chain;
use crate::entry::{ATTR_VOLUME, DELETED, END, ENTRY_BYTES, RawEntry};
use crate::index::{DirIndex, Listed, Room};
use crate::le;
use crate::long::{Collector, DIRECTORY_SLOTS_MAX, slots_per_cluster};
use crate::name;
use crate::short;
use crate::table::Table;
use crate::volume::Volume;
use abi::Result;

/// Slots read at once: 64 KiB.
const CHUNK_SLOTS: u32 = 2048;

/// Reads the directory that begins at `start`; `None` is the fixed root directory.
///
/// # Errors
/// - `EUCLEAN` if its chain is damaged or longer than a directory may be. What is wrong inside is passed over.
pub(crate) fn load(vol: &Volume, table: &mut Table, start: Option<u32>) -> Result<DirIndex> {
    let index = match (start, vol.layout.root) {
        (None, root @ Root::Fixed { .. }) => DirIndex::fixed(root),
        (None, Root::Chain { start }) | (Some(start), _) => Some(in_chain(vol, table, start)?),
    };
    let Some(index) = index else { return Err(abi::Errno::EUCLEAN) };
    let mut scan = Scan { index, names: Collector::default(), ended: false };
    let mut slot = 0;
    while let Some((at, slots)) = scan.index.locate(vol, slot) {
        let slots = slots.min(CHUNK_SLOTS);
        let mut bytes = vec![0; le::index(slots).saturating_mul(ENTRY_BYTES)];
        vol.read(&mut bytes, at)?;
        for raw in bytes.as_chunks::<ENTRY_BYTES>().0 {
            scan.feed(vol, slot, RawEntry(*raw));
            slot = slot.saturating_add(1);
        }
    }
    Ok(scan.index)
}

fn in_chain(vol: &Volume, table: &mut Table, start: u32) -> Result<DirIndex> {
    let per_cluster = slots_per_cluster(&vol.layout).max(1);
    let clusters_max = DIRECTORY_SLOTS_MAX.checked_div(per_cluster).unwrap_or_default().max(1);
    if start == 0 {
        return Err(crate::error::Error::OutOfRange { start, value: start }.into());
    }
    let chain = Chain::load(vol, table, start, clusters_max)?;
    let slots = chain.clusters().saturating_mul(per_cluster);
    Ok(DirIndex::new(Room::Chain(chain), slots))
}

struct Scan {
    index: DirIndex,
    names: Collector,
    ended: bool,
}

impl Scan {
    fn feed(&mut self, vol: &Volume, slot: u32, raw: RawEntry) {
        if self.ended {
            self.index.has_garbage |= raw.first() != END;
            return;
        }
        match raw.first() {
            END => {
                self.ended = true;
                return;
            }
            DELETED => {
                self.names.reset();
                self.index.end = slot.saturating_add(1);
                return;
            }
            _ => self.index.mark(slot, slot.saturating_add(1), true),
        }
        if raw.is_long() {
            self.names.feed(slot, &raw);
            return;
        }
        let long = self.names.take(&raw.name());
        let is_dots = matches!(&raw.name(), b".          " | b"..         ");
        if raw.attr() & ATTR_VOLUME != 0 || is_dots {
            return;
        }
        let options = vol.options.short_names;
        let short = short::display(&raw, options);
        let (first, long) = match long {
            Some((first, units)) => (first, Some(units)),
            None => (slot, None),
        };
        let usable = long.as_deref().filter(|units| name::is_listable(name::strip_dots(units)));
        let shown = name::shown(usable, &short);
        if name::is_listable(&shown) {
            let listed = Listed { first, raw, name: shown.into_owned() };
            self.index.insert(slot, listed, options);
        }
    }
}
