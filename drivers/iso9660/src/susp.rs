//! System use entries, SUSP (IEEE P1281) section 4 and 5.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 2 | signature |
//! | 2 | 1 | length of the entry, these four bytes included |
//! | 3 | 1 | version |
//! | 4 | n | data |
//!
//! An area that is too short for all entries of a record ends with a `CE` entry: block, offset and length of a
//! continuation area, which may continue again.

use crate::error::{Corrupt, Error};
use crate::numeric::{byte, le32, narrow, slice};
use crate::volume::Volume;

/// The most continuation areas of one record that are followed.
const AREAS_MAX: usize = 32;
/// The most bytes that the continuation areas of one record have together.
const CONTINUATION_BYTES_MAX: u32 = 64 * 1024;

/// One entry whose length is inside of its area.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemUseEntry<'a> {
    /// The record it belongs to.
    pub(crate) position: u64,
    /// Two letters.
    pub(crate) signature: [u8; 2],
    /// Version of the entry.
    pub(crate) version: u8,
    /// What follows the four bytes of the head.
    pub(crate) data: &'a [u8],
}

impl SystemUseEntry<'_> {
    /// Checks that there are `length` bytes of data.
    ///
    /// # Errors
    /// - [`Corrupt::SystemUse`] if there are fewer.
    pub(crate) fn need(&self, length: usize) -> Result<(), Corrupt> {
        if self.data.len() >= length { Ok(()) } else { Err(self.corrupt()) }
    }

    fn corrupt(&self) -> Corrupt {
        let length = u8::try_from(self.data.len().saturating_add(4)).unwrap_or(u8::MAX);
        Corrupt::SystemUse { position: self.position, signature: self.signature, length }
    }
}

#[derive(Clone, Copy)]
struct Continuation {
    start: u64,
    length: u32,
}

/// Takes the entries of one record in their order.
pub(crate) type Visit<'v> = dyn FnMut(SystemUseEntry<'_>) -> Result<(), Corrupt> + 'v;

/// Shows every entry of the record at `position` to `visit`: those in `area`, then those of all continuations.
///
/// # Errors
/// In check order:
/// - [`Corrupt::SystemUse`] if an entry passes the end of its area.
/// - what `visit` says.
/// - [`Corrupt::ContinuationRange`], [`Corrupt::ContinuationLoop`]
/// - `EIO` from the device.
pub(crate) fn walk(
    volume: &Volume,
    position: u64,
    area: &[u8],
    visit: &mut Visit<'_>,
) -> Result<(), Error> {
    let mut next = walk_area(volume, position, area, visit)?;
    let mut budget = CONTINUATION_BYTES_MAX;
    for _ in 0..AREAS_MAX {
        let Some(Continuation { start, length }) = next else { return Ok(()) };
        let end = start.saturating_add(u64::from(length));
        budget = match budget.checked_sub(length) {
            Some(rest) if end <= volume.device_bytes() => rest,
            _ => return Err(Corrupt::ContinuationRange { position, start, length }.into()),
        };
        let mut bytes = vec![0; narrow(u64::from(length))];
        volume.read(&mut bytes, start)?;
        next = walk_area(volume, position, &bytes, visit)?;
    }
    match next {
        None => Ok(()),
        Some(_) => Err(Corrupt::ContinuationLoop { position, areas: AREAS_MAX }.into()),
    }
}

fn walk_area(
    volume: &Volume,
    position: u64,
    area: &[u8],
    visit: &mut Visit<'_>,
) -> Result<Option<Continuation>, Corrupt> {
    let mut rest = area;
    let mut continuation = None;
    // Less than a head is padding, and so is a head of zeroes.
    while rest.len() >= 4 {
        let length = byte(rest, 2);
        if length == 0 {
            break;
        }
        let signature = [byte(rest, 0), byte(rest, 1)];
        let length_bytes = match &signature {
            b"SL" => link_length(rest, usize::from(length)),
            _ => usize::from(length),
        };
        let Some((bytes, behind)) = rest.split_at_checked(length_bytes).filter(|_| length >= 4)
        else {
            return Err(Corrupt::SystemUse { position, signature, length });
        };
        let data = bytes.get(4..).unwrap_or_default();
        let entry = SystemUseEntry { position, signature, version: byte(bytes, 3), data };
        match &signature {
            b"ST" => break,
            b"CE" => {
                entry.need(24)?;
                let block = volume.block_start(u64::from(le32(data, 0)));
                continuation = Some(Continuation {
                    start: block.saturating_add(u64::from(le32(data, 8))),
                    length: le32(data, 16),
                });
            }
            _ => visit(entry)?,
        }
        rest = behind;
    }
    Ok(continuation)
}

/// The true length of the `SL` entry that begins `area`.
///
/// genisoimage writes long targets as one entry and its length modulo 256. So where the components do not end
/// with the entry, or no entry follows them, lengths that are larger by 256 are tried; if none fits either, the
/// length is what it says.
fn link_length(area: &[u8], length: usize) -> usize {
    (length..=area.len())
        .step_by(256)
        .find(|&candidate| {
            let (entry, behind) = area.split_at_checked(candidate).unwrap_or_default();
            ends_with_a_component(entry) && may_begin_an_entry(behind)
        })
        .unwrap_or(length)
}

fn ends_with_a_component(entry: &[u8]) -> bool {
    let mut rest = entry.get(5..).unwrap_or_default();
    while let [_, length, text @ ..] = rest {
        match text.get(usize::from(*length)..) {
            Some(behind) => rest = behind,
            None => return false,
        }
    }
    rest.is_empty()
}

fn may_begin_an_entry(bytes: &[u8]) -> bool {
    let is_letter = |c: &u8| c.is_ascii_uppercase() || c.is_ascii_digit();
    match bytes {
        [0, 0, ..] => true,
        [a, b, length, _, ..] => {
            is_letter(a) && is_letter(b) && usize::from(*length) <= bytes.len()
        }
        _ => true,
    }
}

/// How many bytes in front of the entries are someone else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Skip {
    /// In the root's own record: CD-ROM XA discs have 14 bytes of their own there.
    pub(crate) root_bytes: u8,
    /// In every other record.
    pub(crate) other_bytes: u8,
}

/// Looks in the system use area of the root's own record for the sign of this protocol (`SP`).
pub(crate) fn find_sign(area: &[u8]) -> Option<Skip> {
    [0_u8, 14].into_iter().find_map(|root_bytes| {
        let entry = slice(area, usize::from(root_bytes), 7);
        let valid = entry.starts_with(b"SP") && slice(entry, 4, 2) == [0xbe, 0xef];
        valid.then(|| Skip { root_bytes, other_bytes: byte(entry, 6) })
    })
}

#[cfg(test)]
#[path = "susp/tests.rs"]
mod tests;
