//! Rock Ridge, RRIP (IEEE P1282) section 4, and the `ZF` entry of zisofs.
//!
//! | entry | data |
//! |---|---|
//! | `PX` | mode, links, uid, gid, inode serial (since 1.12), each in both byte orders |
//! | `PN` | device number, high and low half, in both byte orders |
//! | `SL` | flags, then components: flags, length, bytes |
//! | `NM` | flags, then bytes of the name |
//! | `CL`, `PL` | block of a relocated directory, of its true parent |
//! | `RE` | this directory is shown elsewhere |
//! | `TF` | flags, then dates in the order of the flags |
//! | `SF` | length of a sparse file, high and low half, depth of its table |
//! | `ZF` | algorithm, header length / 4, log2 of the block size, length |

use crate::date;
use crate::error::{Corrupt, Error};
use crate::numeric::{byte, le32, le64, slice};
use crate::record::DirectoryRecord;
use crate::susp::{self, SystemUseEntry};
use crate::volume::{NameSource, Volume};
use abi::dev::DevNum;
use abi::fs::Timestamp;

/// What `PX` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Posix {
    pub(crate) mode: u32,
    pub(crate) links: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Since RRIP 1.12; 0 where older writers say nothing.
    pub(crate) serial: u32,
}

/// What `TF` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) creation: Option<Timestamp>,
    pub(crate) modify: Option<Timestamp>,
    pub(crate) access: Option<Timestamp>,
    pub(crate) attributes: Option<Timestamp>,
}

/// What `ZF` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Compressed {
    pub(crate) algorithm: [u8; 2],
    pub(crate) header_bytes: u16,
    pub(crate) log2_block: u8,
    /// Length of the file as it is shown.
    pub(crate) size_bytes: u64,
}

/// Everything that the system use area of one record says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RockRidge {
    /// `ER` names this protocol.
    pub(crate) is_announced: bool,
    pub(crate) posix: Option<Posix>,
    pub(crate) device: Option<DevNum>,
    pub(crate) name: Vec<u8>,
    pub(crate) link: LinkTarget,
    /// `CL`: the record stands for the directory at this block.
    pub(crate) child_block: Option<u64>,
    /// `PL`: the block of the parent that shows this directory.
    pub(crate) parent_block: Option<u64>,
    /// `RE`
    pub(crate) is_relocated: bool,
    pub(crate) times: Times,
    /// `SF`: the length that is shown.
    pub(crate) sparse_bytes: Option<u64>,
    pub(crate) compressed: Option<Compressed>,
}

impl RockRidge {
    /// Reads what belongs to `record`; nothing on a volume without Rock Ridge.
    ///
    /// # Errors
    /// - those of [`susp::walk`], and [`Corrupt::SystemUse`] if an entry is too short for its fields.
    pub(crate) fn read(volume: &Volume, record: &DirectoryRecord<'_>) -> Result<Self, Error> {
        let mut rock = Self::default();
        let NameSource::Rock(skip) = volume.names else { return Ok(rock) };
        let skip_bytes =
            if record.position == volume.root_start() { skip.root_bytes } else { skip.other_bytes };
        let area = record.system_use.get(usize::from(skip_bytes)..).unwrap_or_default();
        susp::walk(volume, record.position, area, &mut |entry| rock.take(entry))?;
        Ok(rock)
    }

    fn take(&mut self, entry: SystemUseEntry<'_>) -> Result<(), Corrupt> {
        let data = entry.data;
        match &entry.signature {
            b"PX" => self.posix = Some(posix(entry)?),
            b"PN" => {
                entry.need(16)?;
                self.device = Some(device(le32(data, 0), le32(data, 8)));
            }
            b"NM" => self.take_name(entry)?,
            b"SL" => self.link.take(entry)?,
            b"CL" => {
                entry.need(8)?;
                self.child_block = Some(u64::from(le32(data, 0)));
            }
            b"PL" => {
                entry.need(8)?;
                self.parent_block = Some(u64::from(le32(data, 0)));
            }
            b"ER" => self.is_announced |= announces_rock_ridge(data),
            b"RE" => self.is_relocated = true,
            b"TF" => self.times.take(entry)?,
            b"SF" => self.sparse_bytes = Some(sparse(entry)?),
            b"ZF" | b"Z2" => self.compressed = Some(compressed(entry)?),
            _ => {}
        }
        Ok(())
    }

    fn take_name(&mut self, entry: SystemUseEntry<'_>) -> Result<(), Corrupt> {
        /// The directory itself, its parent: their records are known by their ISO names.
        const CURRENT_OR_PARENT: u8 = 0b110;
        entry.need(1)?;
        if byte(entry.data, 0) & CURRENT_OR_PARENT == 0 {
            self.name.extend_from_slice(entry.data.get(1..).unwrap_or_default());
        }
        Ok(())
    }
}

/// `ER` in the root: lengths of identifier, description and source, version, then the identifier.
fn announces_rock_ridge(data: &[u8]) -> bool {
    let identifier = slice(data, 4, usize::from(byte(data, 0)));
    matches!(identifier, b"RRIP_1991A" | b"IEEE_P1282" | b"IEEE_1282")
}

fn posix(entry: SystemUseEntry<'_>) -> Result<Posix, Corrupt> {
    entry.need(32)?;
    let data = entry.data;
    Ok(Posix {
        mode: le32(data, 0),
        links: le32(data, 8),
        uid: le32(data, 16),
        gid: le32(data, 24),
        serial: le32(data, 32),
    })
}

/// Writers disagree on `PN`: genisoimage has major and minor in the halves, libisofs the halves of Linux' 64-bit
/// `dev_t`. The high half of a `dev_t` has its low 12 bits clear, and no common major has.
fn device(high: u32, low: u32) -> DevNum {
    if high.trailing_zeros() < 12 {
        return DevNum { major: high, minor: low };
    }
    DevNum::from_raw(u64::from(high).wrapping_shl(32) | u64::from(low))
}

/// Version 1.10 of the entry has 32 bits and no table depth.
fn sparse(entry: SystemUseEntry<'_>) -> Result<u64, Corrupt> {
    entry.need(8)?;
    let data = entry.data;
    if data.len() < 17 {
        return Ok(u64::from(le32(data, 0)));
    }
    Ok(u64::from(le32(data, 0)).wrapping_shl(32) | u64::from(le32(data, 8)))
}

fn compressed(entry: SystemUseEntry<'_>) -> Result<Compressed, Corrupt> {
    entry.need(12)?;
    let data = entry.data;
    Ok(Compressed {
        algorithm: [byte(data, 0), byte(data, 1)],
        header_bytes: u16::from(byte(data, 2)).saturating_mul(4),
        log2_block: byte(data, 3),
        // Version 2 has one 64-bit number where version 1 has a number in both byte orders.
        size_bytes: if entry.version == 1 { u64::from(le32(data, 4)) } else { le64(data, 4) },
    })
}

impl Times {
    fn take(&mut self, entry: SystemUseEntry<'_>) -> Result<(), Corrupt> {
        const LONG_FORM: u8 = 1 << 7;
        entry.need(1)?;
        let flags = byte(entry.data, 0);
        let date_bytes: usize = if flags & LONG_FORM == 0 { 7 } else { 17 };
        let mut at = 1_usize;
        for bit in 0..7_u8 {
            if flags & 1_u8.wrapping_shl(u32::from(bit)) == 0 {
                continue;
            }
            let end = at.saturating_add(date_bytes);
            entry.need(end)?;
            let bytes = slice(entry.data, at, date_bytes);
            let time = Some(if date_bytes == 7 {
                date::from_short(bytes)
            } else {
                date::from_long(bytes)
            });
            match bit {
                0 => self.creation = time,
                1 => self.modify = time,
                2 => self.access = time,
                3 => self.attributes = time,
                // Backup, expiration, effective: stat(2) has no place for them.
                _ => {}
            }
            at = end;
        }
        Ok(())
    }
}

/// The target of a symbolic link as its `SL` entries add up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LinkTarget {
    bytes: Vec<u8>,
    needs_separator: bool,
}

impl LinkTarget {
    fn take(&mut self, entry: SystemUseEntry<'_>) -> Result<(), Corrupt> {
        entry.need(1)?;
        let mut rest = entry.data.get(1..).unwrap_or_default();
        while rest.len() >= 2 {
            let flags = byte(rest, 0);
            let end = usize::from(byte(rest, 1)).saturating_add(2);
            let Some((component, behind)) = rest.split_at_checked(end) else {
                entry.need(usize::MAX)?;
                break;
            };
            self.push(flags, component.get(2..).unwrap_or_default());
            rest = behind;
        }
        Ok(())
    }

    fn push(&mut self, flags: u8, text: &[u8]) {
        const CONTINUE: u8 = 1;
        const CURRENT: u8 = 1 << 1;
        const PARENT: u8 = 1 << 2;
        const ROOT: u8 = 1 << 3;
        const VOLUME_ROOT: u8 = 1 << 4;
        if self.needs_separator {
            self.bytes.push(b'/');
        }
        if flags & (ROOT | VOLUME_ROOT) != 0 {
            // Writers use it for an empty component too: behind others it is one more slash.
            self.bytes.push(b'/');
            self.needs_separator = false;
            return;
        }
        self.bytes.extend_from_slice(match flags & (CURRENT | PARENT) {
            0 => text,
            CURRENT => b".",
            _ => b"..",
        });
        self.needs_separator = flags & CONTINUE == 0;
    }

    /// The target, checked.
    ///
    /// # Errors
    /// - [`Corrupt::LinkTarget`] if it is empty, holds NUL or is longer than `PATH_MAX` allows.
    pub(crate) fn finish(self, position: u64) -> Result<Vec<u8>, Corrupt> {
        let length = self.bytes.len();
        if length == 0 || length > 4095 || self.bytes.contains(&0) {
            return Err(Corrupt::LinkTarget { position, length });
        }
        Ok(self.bytes)
    }
}

#[cfg(test)]
#[path = "rock/tests.rs"]
mod tests;
