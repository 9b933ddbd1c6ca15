//! What a directory record is called in the view.

use crate::numeric::{byte, slice};
use crate::options::NameMap;
use crate::record::{DirectoryRecord, RecordFlags};
use crate::rock::RockRidge;
use crate::volume::{NameSource, Volume};
use abi::fs::{NAME_BYTES_MAX, Name};

/// The name that `record` is shown by, `None` if it is not shown.
pub(crate) fn shown(
    volume: &Volume,
    record: &DirectoryRecord<'_>,
    rock: &RockRidge,
) -> Option<Vec<u8>> {
    let covert = record.flags.intersects(RecordFlags::HIDDEN | RecordFlags::ASSOCIATED);
    if record.is_dot() || rock.is_relocated || (covert && !volume.options.unhide) {
        return None;
    }
    let name = match volume.names {
        NameSource::Rock(_) if !rock.name.is_empty() => rock.name.clone(),
        NameSource::Joliet => joliet(record.name),
        NameSource::Rock(_) | NameSource::Plain => plain(record, volume.options.map),
    };
    let name = shorten(name, record.position);
    if Name::new(&name).is_err() {
        // One name that no path can hold must not take its whole directory away.
        let position = record.position;
        tracing::warn!(position, "iso9660: a record whose name can't be a name is not shown");
        return None;
    }
    Some(name)
}

/// Big-endian UTF-16 without version; unpaired surrogates become U+FFFD.
fn joliet(name: &[u8]) -> Vec<u8> {
    let units = name.chunks_exact(2).map(|pair| u16::from_be_bytes([byte(pair, 0), byte(pair, 1)]));
    let text: String = char::decode_utf16(units)
        .map(|c| match c {
            Ok('/') => '.',
            Ok(c) => c,
            Err(_) => char::REPLACEMENT_CHARACTER,
        })
        .collect();
    without_version(text.as_bytes()).to_vec()
}

fn plain(record: &DirectoryRecord<'_>, map: NameMap) -> Vec<u8> {
    if map == NameMap::Off {
        return record.name.to_vec();
    }
    let mut name: Vec<u8> = without_version(record.name)
        .iter()
        .map(|&c| match c {
            // Other versions than the first, and the slashes of some Acorn writers.
            b';' | b'/' => b'.',
            c => c.to_ascii_lowercase(),
        })
        .collect();
    if map == NameMap::Acorn {
        acorn(record, &mut name);
    }
    name
}

/// Drops a version of 1, and a full stop that was there only because each file name has one.
fn without_version(name: &[u8]) -> &[u8] {
    match name.strip_suffix(b";1") {
        Some(rest) if rest.len() > 1 => rest.strip_suffix(b".").unwrap_or(rest),
        Some(rest) if !rest.is_empty() => rest,
        _ => name,
    }
}

/// RISC OS: 32 bytes of system use: `ARCHIMEDES`, load address, execution address, attributes. A load address
/// of `FFFtttdd` means file type `ttt`; a flag says that `_` stands for `!`.
fn acorn(record: &DirectoryRecord<'_>, name: &mut Vec<u8>) {
    let area = record.system_use;
    if area.len() < 32 || !area.starts_with(b"ARCHIMEDES") {
        return;
    }
    if let Some(first) = name.first_mut().filter(|c| **c == b'_')
        && byte(area, 19) & 1 == 1
    {
        *first = b'!';
    }
    let load = u32::from_le_bytes(slice(area, 10, 4).try_into().unwrap_or_default());
    if load >= 0xfff0_0000 && !record.flags.contains(RecordFlags::DIRECTORY) {
        let file_type = load.wrapping_shr(8) & 0xfff;
        name.extend_from_slice(format!(",{file_type:03x}").as_bytes());
    }
}

/// A name of more bytes than names can have keeps its beginning, at a character's end, and a mark that tells it
/// from others with the same beginning.
fn shorten(mut name: Vec<u8>, position: u64) -> Vec<u8> {
    if name.len() <= NAME_BYTES_MAX {
        return name;
    }
    let mark = format!("~{position:x}");
    let mut end = NAME_BYTES_MAX.saturating_sub(mark.len());
    // The byte behind the cut must not go on with a character of UTF-8.
    while end > 0 && name.get(end).is_some_and(|c| c & 0b1100_0000 == 0b1000_0000) {
        end = end.saturating_sub(1);
    }
    name.truncate(end);
    name.extend_from_slice(mark.as_bytes());
    name
}

#[cfg(test)]
mod tests {
    use super::{joliet, shorten, without_version};

    #[test]
    fn versions_of_one_are_dropped() {
        assert_eq!(without_version(b"A.TXT;1"), b"A.TXT");
        assert_eq!(without_version(b"README.;1"), b"README");
        assert_eq!(without_version(b"A.TXT;2"), b"A.TXT;2");
        assert_eq!(without_version(b"DIR"), b"DIR");
        assert_eq!(without_version(b";1"), b";1");
        assert_eq!(without_version(b".;1"), b".");
    }

    #[test]
    fn joliet_names_become_utf_8() {
        let name: Vec<u8> =
            "\u{e9}\u{1f600}/x;1".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(joliet(&name), "\u{e9}\u{1f600}.x".as_bytes());
        assert_eq!(joliet(&[0xd8, 0x3d, 0, b'a']), "\u{fffd}a".as_bytes());
    }

    #[test]
    fn long_names_are_cut_between_characters_and_told_apart() {
        let long = "\u{4e2d}".repeat(90).into_bytes();
        let (a, b) = (shorten(long.clone(), 0x10), shorten(long, 0x20));
        assert!(a.len() <= 255 && a != b);
        assert!(String::from_utf8(a).unwrap().ends_with("\u{4e2d}~10"));
        assert_eq!(shorten(vec![b'x'; 255], 0).len(), 255);
    }
}
