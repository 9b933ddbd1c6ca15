//! File sections: where the bytes of a file lie, ECMA-119 section 6.4.

use crate::error::Error;
use crate::numeric::{narrow, slice, wide};
use crate::record::DirectoryRecord;
use crate::volume::Volume;

/// One section: consecutive bytes, or units with gaps between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    /// First byte on the device.
    pub(crate) start: u64,
    /// Length of the data, gaps not counted.
    pub(crate) size_bytes: u32,
    /// Bytes of a file unit; 0 if there are no gaps.
    pub(crate) unit_bytes: u64,
    /// Bytes from the end of one unit to the beginning of the next.
    pub(crate) gap_bytes: u64,
}

impl Section {
    pub(crate) fn of_record(volume: &Volume, record: &DirectoryRecord<'_>) -> Self {
        Self {
            start: volume.block_start(record.data_block),
            size_bytes: record.size_bytes,
            unit_bytes: volume.block_start(u64::from(record.unit_blocks)),
            gap_bytes: volume.block_start(u64::from(record.gap_blocks)),
        }
    }

    /// Where byte `at` of the data lies, and how many follow it there.
    fn locate(&self, at: u64) -> (u64, u64) {
        let rest = u64::from(self.size_bytes).saturating_sub(at);
        let (Some(unit), Some(within)) =
            (at.checked_div(self.unit_bytes), at.checked_rem(self.unit_bytes))
        else {
            return (self.start.saturating_add(at), rest);
        };
        let gaps = unit.saturating_mul(self.gap_bytes);
        let start = self.start.saturating_add(at).saturating_add(gaps);
        (start, rest.min(self.unit_bytes.saturating_sub(within)))
    }
}

/// Length of the data of all sections together.
pub(crate) fn total_bytes(sections: &[Section]) -> u64 {
    sections.iter().fold(0, |sum: u64, s| sum.saturating_add(u64::from(s.size_bytes)))
}

/// Reads stored bytes from `offset`; fewer than asked only at the end of the last section.
///
/// # Errors
/// - `EIO` if a section passes the end of the device, or from the device.
pub(crate) fn read(
    volume: &Volume,
    sections: &[Section],
    buf: &mut [u8],
    offset: u64,
) -> Result<usize, Error> {
    let mut done = 0_usize;
    let mut skip = offset;
    for section in sections {
        if let Some(behind) = skip.checked_sub(u64::from(section.size_bytes)) {
            skip = behind;
            continue;
        }
        let mut at = skip;
        skip = 0;
        while done < buf.len() && at < u64::from(section.size_bytes) {
            let (start, available) = section.locate(at);
            let rest = buf.get_mut(done..).unwrap_or_default();
            let length = rest.len().min(narrow(available));
            volume.read(rest.get_mut(..length).unwrap_or_default(), start)?;
            done = done.saturating_add(length);
            at = at.saturating_add(wide(length));
        }
    }
    Ok(done)
}

/// Reads exactly `buf.len()` stored bytes; `None` if the file is shorter.
///
/// # Errors
/// Those of [`read`].
pub(crate) fn read_exact(
    volume: &Volume,
    sections: &[Section],
    buf: &mut [u8],
    offset: u64,
) -> Result<Option<()>, Error> {
    let length = buf.len();
    let done = read(volume, sections, buf, offset)?;
    Ok((slice(buf, 0, done).len() == length).then_some(()))
}

#[cfg(test)]
mod tests {
    use super::Section;

    #[test]
    fn interleaved_units_skip_their_gaps() {
        let s = Section { start: 1000, size_bytes: 250, unit_bytes: 100, gap_bytes: 50 };
        assert_eq!(s.locate(0), (1000, 100));
        assert_eq!(s.locate(99), (1099, 1));
        assert_eq!(s.locate(100), (1150, 100));
        assert_eq!(s.locate(210), (1310, 40));
        let plain = Section { unit_bytes: 0, ..s };
        assert_eq!(plain.locate(210), (1210, 40));
    }
}
