//! Which session of an image is shown, and which of its trees.
//!
//! A disc written in several sessions has a set of volume descriptors in each, 16 sectors behind where the
//! session begins, and the last set describes everything. An image file has no table of contents, so sessions
//! are found by what writers do:
//!
//! - genisoimage `-C`, and discs copied sector by sector: the first set describes the first session, and the
//!   next session begins where that ends, or within the lead-out and lead-in behind it.
//! - xorriso and growisofs write the newest set over the first one; then nothing follows it. xorriso keeps a
//!   copy of each session's own set: the first session is at sector 32.

use crate::descriptor::{Descriptor, RawDescriptor, SECTOR_BYTES, Tree};
use crate::directory::Directory;
use crate::error::Error;
use crate::options::MountOptions;
use crate::rock::RockRidge;
use crate::susp;
use crate::volume::{NameSource, Volume, read_exact};
use abi::block::BlockDevice;
use std::sync::Arc;

/// Where the descriptors of a session are, from its beginning.
const DESCRIPTORS_SECTOR: u64 = 16;
/// The most descriptors of one set, as in Linux.
const DESCRIPTORS_MAX: u64 = 100;
/// How far behind the end of a session the next one's descriptors are looked for: the lead-out and lead-in
/// after a first session are 11,400 sectors, the pregap 150, and writers align to 32.
const GAP_SECTORS_MAX: u64 = 11_400 + 150 + 32 + 16;
/// The most sessions that are followed; a disc has 99 at most.
const SESSIONS_MAX: u32 = 100;
/// Where xorriso puts its first session on media that can be overwritten.
const XORRISO_FIRST_SECTOR: u64 = 32;

/// The descriptors of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Set {
    /// The sector where the session begins.
    start: u64,
    primary: Tree,
    joliet: Option<Tree>,
}

/// Opens the session and the tree that `options` ask for, by default the last session.
///
/// # Errors
/// - [`Error::NotIso9660`] if there is no such session.
/// - [`Unsupported::HighSierra`](crate::Unsupported::HighSierra) and `BlockSize`.
/// - [`Corrupt`](crate::Corrupt) if the root directory is.
/// - `EIO` from the device.
pub(crate) fn open(device: &Arc<dyn BlockDevice>, options: &MountOptions) -> Result<Volume, Error> {
    let set = match (options.session_sector, options.session) {
        (Some(start), _) => read_set(&**device, start)?,
        (None, None) => last_from(device, read_set(&**device, 0)?, SESSIONS_MAX)?.1,
        (None, Some(wanted)) => {
            let first = first_session(device)?;
            let (followed, set) = last_from(device, first, wanted)?;
            if followed < wanted {
                return Err(Error::NotIso9660 { sector: set_end(&set) });
            }
            set
        }
    };
    choose_tree(device, set, options)
}

/// Rock Ridge wins over Joliet, Joliet over plain names.
fn choose_tree(
    device: &Arc<dyn BlockDevice>,
    set: Set,
    options: &MountOptions,
) -> Result<Volume, Error> {
    let volume = |tree, names| Volume::new(Arc::clone(device), tree, names, options.clone());
    let plain = volume(set.primary, NameSource::Plain);
    let root = Directory::open(&plain, plain.root_start());
    if !options.no_rock
        && let Ok((_, own)) = &root
        && let Some(skip) = susp::find_sign(own.record().system_use)
    {
        let rock = volume(set.primary, NameSource::Rock(skip));
        let attributes = RockRidge::read(&rock, &own.record())?;
        if attributes.is_announced || attributes.posix.is_some() {
            return Ok(rock);
        }
    }
    if let Some(tree) = set.joliet.filter(|_| !options.no_joliet) {
        let joliet = volume(tree, NameSource::Joliet);
        // A tree that can't be opened is no reason to refuse the other one.
        if root.is_err() || Directory::open(&joliet, joliet.root_start()).is_ok() {
            return Ok(joliet);
        }
    }
    root?;
    Ok(plain)
}

fn first_session(device: &Arc<dyn BlockDevice>) -> Result<Set, Error> {
    let newest = read_set(&**device, 0)?;
    match read_set(&**device, XORRISO_FIRST_SECTOR) {
        Ok(first) if is_session(device, &first) => Ok(first),
        _ => Ok(newest),
    }
}

/// Follows at most `steps` sessions from `first`; returns how many there were, and the last one.
fn last_from(device: &Arc<dyn BlockDevice>, first: Set, steps: u32) -> Result<(u32, Set), Error> {
    let mut set = first;
    for step in 0..steps.min(SESSIONS_MAX) {
        match next_session(device, &set)? {
            Some(next) => set = next,
            None => return Ok((step, set)),
        }
    }
    Ok((steps.min(SESSIONS_MAX), set))
}

/// The sector behind the last one of a session. Writers count the length from where the session begins.
fn set_end(set: &Set) -> u64 {
    set.start.saturating_add(set.primary.volume_sectors())
}

fn next_session(device: &Arc<dyn BlockDevice>, set: &Set) -> Result<Option<Set>, Error> {
    /// Sectors that are read at once.
    const WINDOW_SECTORS: u64 = 32;
    let device_sectors = device.geometry().size_bytes.checked_div(SECTOR_BYTES).unwrap_or(0);
    // Descriptors of a later session are behind those of this one even if this one has no length.
    let first = set_end(set).max(set.start.saturating_add(DESCRIPTORS_SECTOR).saturating_add(1));
    let end = first.saturating_add(GAP_SECTORS_MAX).min(device_sectors);
    let mut window = vec![0; 32 * 2048];
    let mut sector = first;
    while sector < end {
        let count = end.saturating_sub(sector).min(WINDOW_SECTORS);
        let length = crate::numeric::narrow(count.saturating_mul(SECTOR_BYTES));
        let view = window.get_mut(..length).unwrap_or_default();
        read_exact(&**device, view, sector.saturating_mul(SECTOR_BYTES))?;
        for (candidate, bytes) in (sector..).zip(view.chunks_exact(2048)) {
            if !bytes.starts_with(b"\x01CD001") {
                continue;
            }
            let Some(start) = candidate.checked_sub(DESCRIPTORS_SECTOR) else { continue };
            if let Ok(next) = read_set(&**device, start)
                && is_session(device, &next)
            {
                return Ok(Some(next));
            }
        }
        sector = sector.saturating_add(count);
    }
    Ok(None)
}

/// Whether a set of descriptors describes a session of this disc and not an image in a file of it: block numbers
/// count from the beginning of the disc, so the root is behind the descriptors, and it is a directory.
fn is_session(device: &Arc<dyn BlockDevice>, set: &Set) -> bool {
    let volume =
        Volume::new(Arc::clone(device), set.primary, NameSource::Plain, MountOptions::default());
    let descriptors = set.start.saturating_add(DESCRIPTORS_SECTOR).saturating_mul(SECTOR_BYTES);
    volume.root_start() > descriptors && Directory::open(&volume, volume.root_start()).is_ok()
}

fn read_set(device: &dyn BlockDevice, start: u64) -> Result<Set, Error> {
    let first = start.saturating_add(DESCRIPTORS_SECTOR);
    let (mut primary, mut joliet) = (None, None);
    for sector in first..first.saturating_add(DESCRIPTORS_MAX) {
        let descriptor = match read_descriptor(device, sector) {
            // A set that is not ended properly ends with the first sector that is something else.
            Err(Error::NotIso9660 { .. }) if sector > first => break,
            other => other?,
        };
        match descriptor {
            Descriptor::Primary(tree) => primary = primary.or(Some(tree)),
            Descriptor::Joliet(tree) => joliet = joliet.or(Some(tree)),
            Descriptor::Other => {}
            Descriptor::Terminator => break,
        }
    }
    let primary = primary.ok_or(Error::NotIso9660 { sector: first })?;
    Ok(Set { start, primary, joliet })
}

fn read_descriptor(device: &dyn BlockDevice, sector: u64) -> Result<Descriptor, Error> {
    let mut raw = RawDescriptor([0; 2048]);
    let start = sector.saturating_mul(SECTOR_BYTES);
    if start.saturating_add(SECTOR_BYTES) > device.geometry().size_bytes {
        return Err(Error::NotIso9660 { sector });
    }
    read_exact(device, &mut raw.0, start)?;
    raw.check(sector)
}
