//! The block map of ext2 and ext3, read: twelve pointers to blocks, then one to a block of
//! pointers, one to a block of those, and one to a block of those.

use crate::cache::Buf;
use crate::error::{Corrupt, Result};
use crate::inode::Inode;
use crate::le::{low32, u32_at, us};
use crate::map::{Place, Run};
use crate::seal::Kind;
use crate::volume::Volume;

/// Pointers to data in `i_block`.
pub(crate) const DIRECT: u64 = 12;

/// The way to a file block: the slot in `i_block` and in each block of pointers on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// Slots from the top; the first is in `i_block`.
    slots: [u32; 4],
    /// How many of them count, 1 to 4.
    pub(crate) len: usize,
    /// File blocks behind the first one that needs as many levels.
    rest: u64,
}

impl Path {
    /// The way to file block `block`, or `None` behind the last one.
    pub(crate) fn to(block: u64, block_bits: u32) -> Option<Self> {
        if block < DIRECT {
            return Some(Self { slots: [low32(block), 0, 0, 0], len: 1, rest: block });
        }
        let bits = block_bits.saturating_sub(2);
        let mask = (1u64 << bits.min(16)).saturating_sub(1);
        let mut rest = block.saturating_sub(DIRECT);
        for level in 1..=3u32 {
            let span = 1u64 << bits.saturating_mul(level).min(63);
            if rest < span {
                let slot = |up: u32| low32((rest >> bits.saturating_mul(up).min(63)) & mask);
                let slots = match level {
                    1 => [12, slot(0), 0, 0],
                    2 => [13, slot(1), slot(0), 0],
                    _ => [14, slot(2), slot(1), slot(0)],
                };
                return Some(Self { slots, len: us(level).saturating_add(1), rest });
            }
            rest = rest.saturating_sub(span);
        }
        None
    }

    /// Slot number `level` from the top.
    pub(crate) fn slot(&self, level: usize) -> u32 {
        self.slots.get(level).copied().unwrap_or(0)
    }

    /// How far into the stretch of one pointer in slot `level` the file block lies.
    pub(crate) fn rest_within(&self, level: usize, block_bits: u32) -> u64 {
        self.rest & self.span(level, block_bits).saturating_sub(1)
    }

    /// How many file blocks one pointer in slot `level` stands for.
    pub(crate) fn span(&self, level: usize, block_bits: u32) -> u64 {
        let below = self.len.saturating_sub(level).saturating_sub(1);
        let bits = block_bits.saturating_sub(2);
        1u64 << bits.saturating_mul(u32::try_from(below).unwrap_or(0)).min(63)
    }
}

/// The pointer in slot `slot` of a block of pointers or of `i_block`.
pub(crate) fn pointer(bytes: &[u8], slot: u32) -> u64 {
    u64::from(u32_at(bytes, us(slot).saturating_mul(4)))
}

impl Volume {
    /// A block of pointers.
    pub(crate) fn pointer_block(&self, block: u64) -> Result<Buf> {
        if !self.sb.holds(block, 1) {
            return Err(Corrupt::Block { block }.into());
        }
        self.block(block, Kind::Plain)
    }

    /// [`Volume::map`] for a file without extents.
    pub(crate) fn map_pointers(&self, inode: &Inode, block: u64, len_max: u64) -> Result<Run> {
        let bits = self.sb.block_bits;
        let Some(path) = Path::to(block, bits) else { return Ok(Run::hole(len_max)) };
        let mut held: Option<Buf> = None;
        for level in 0..path.len {
            let bytes: &[u8] = held.as_ref().map_or(inode.i_block.as_slice(), |b| b.as_slice());
            let slots = if level == 0 { 12 } else { self.sb.block_size() / 4 };
            let slot = path.slot(level);
            let at = pointer(bytes, slot);
            let is_last = level.saturating_add(1) == path.len;
            if at == 0 {
                let span = path.span(level, bits);
                let into = path.rest_within(level, bits);
                let zeroes =
                    if is_last { same(bytes, slot, slots, len_max, |_, p| p == 0) } else { 1 };
                let len = zeroes.saturating_mul(span).saturating_sub(into);
                return Ok(Run::hole(len.clamp(1, len_max)));
            }
            if is_last {
                if !self.sb.holds(at, 1) {
                    return Err(Corrupt::Block { block: at }.into());
                }
                let len = same(bytes, slot, slots, len_max, |n, p| p == at.saturating_add(n));
                return Ok(Run { place: Place::Data(at), len });
            }
            held = Some(self.pointer_block(at)?);
        }
        Ok(Run::hole(1))
    }
}

/// How many slots from `slot` on satisfy `test(distance, pointer)`.
fn same(bytes: &[u8], slot: u32, slots: u32, len_max: u64, test: impl Fn(u64, u64) -> bool) -> u64 {
    let mut len = 0;
    while len < len_max {
        let at = u64::from(slot).saturating_add(len);
        if at >= u64::from(slots) || !test(len, pointer(bytes, low32(at))) {
            break;
        }
        len = len.saturating_add(1);
    }
    len.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_change_level_where_the_format_says() {
        let to = |block| Path::to(block, 10).unwrap();
        assert_eq!((to(11).slots, to(11).len), ([11, 0, 0, 0], 1));
        assert_eq!((to(12).slots, to(12).len), ([12, 0, 0, 0], 2));
        assert_eq!((to(267).slots, to(267).len), ([12, 255, 0, 0], 2));
        assert_eq!((to(268).slots, to(268).len), ([13, 0, 0, 0], 3));
        assert_eq!((to(268 + 65535).slots, to(268 + 65535).len), ([13, 255, 255, 0], 3));
        assert_eq!((to(268 + 65536).slots, to(268 + 65536).len), ([14, 0, 0, 0], 4));
        assert!(Path::to(268 + 65536 + 256 * 65536, 10).is_none());
        assert_eq!(to(268).span(0, 10), 65536);
        assert_eq!(to(268).span(1, 10), 256);
        assert_eq!(to(268).span(2, 10), 1);
    }
}
