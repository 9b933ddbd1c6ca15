//! Names as UTF-16 units: the form on disk, the form of the caller, and when two are the same name.
//!
//! Toward the caller names are UTF-8. A surrogate without its partner, which only a foreign writer leaves, is shown
//! as the three bytes that UTF-8 would give it, so that every name on disk can be listed and looked up.

use abi::Errno;
use std::borrow::Cow;

/// The most units of a long name.
pub(crate) const UNITS_MAX: usize = 255;

const DOT: u16 = 0x2e;
const SPACE: u16 = 0x20;

/// The units of `bytes`, or `None` if they are not UTF-8 (with lone surrogates).
pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Vec<u16>> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Some(text.encode_utf16().collect());
    }
    let mut units = Vec::new();
    let mut rest = bytes;
    while let Some(&lead) = rest.first() {
        if let [0xed, second @ 0xa0..=0xbf, third @ 0x80..=0xbf, tail @ ..] = rest {
            let bits = (u16::from(second & 0x3f) << 6) | u16::from(third & 0x3f);
            units.push(0xd000 | bits);
            rest = tail;
            continue;
        }
        let length = match lead {
            0..=0x7f => 1,
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            _ => 4,
        };
        let (character, tail) = rest.split_at_checked(length)?;
        units.extend(std::str::from_utf8(character).ok()?.encode_utf16());
        rest = tail;
    }
    Some(units)
}

/// The bytes of `units`.
pub(crate) fn to_bytes(units: &[u16]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(units.len());
    for decoded in char::decode_utf16(units.iter().copied()) {
        match decoded {
            Ok(character) => {
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            Err(lone) => {
                let [low, high] = lone.unpaired_surrogate().to_le_bytes();
                let second = 0x80 | ((high & 0x0f) << 2) | (low >> 6);
                bytes.extend_from_slice(&[0xed, second, 0x80 | (low & 0x3f)]);
            }
        }
    }
    bytes
}

/// `unit` without its case. Characters outside ASCII never meet ASCII ones, and those whose upper case is more
/// than one character stay as they are: so do the tables that Windows writes.
pub(crate) fn fold(unit: u16) -> u16 {
    if unit < 0x80 {
        return match u8::try_from(unit) {
            Ok(byte) => u16::from(byte.to_ascii_uppercase()),
            Err(_) => unit,
        };
    }
    let Some(character) = char::from_u32(u32::from(unit)) else { return unit };
    let mut upper = character.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(one), None) => {
            u16::try_from(u32::from(one)).ok().filter(|&u| u >= 0x80).unwrap_or(unit)
        }
        _ => unit,
    }
}

/// `units` without the dots at its end, which count for nothing (as in the kernel's `vfat_striptail_len`).
pub(crate) fn strip_dots(units: &[u16]) -> &[u16] {
    let dots = units.iter().rev().take_while(|&&u| u == DOT).count();
    units.get(..units.len().saturating_sub(dots)).unwrap_or_default()
}

/// What two names share exactly if they are the same name.
pub(crate) fn key(units: &[u16]) -> Box<[u16]> {
    strip_dots(units).iter().map(|&u| fold(u)).collect()
}

/// Whether `unit` may not be in a name: control characters and `"*/:<>?\|`.
pub(crate) fn is_forbidden(unit: u16) -> bool {
    u8::try_from(unit).is_ok_and(|byte| byte < 0x20 || b"\"*/:<>?\\|".contains(&byte))
}

/// Whether a name on disk can be shown: no `/`, no NUL, neither `.` nor `..`, not empty.
pub(crate) fn is_listable(units: &[u16]) -> bool {
    let dots_only = units.iter().all(|&u| u == DOT) && units.len() <= 2;
    !dots_only && !units.iter().any(|&u| u == 0 || u == u16::from(b'/'))
}

/// Checks the name of a file to be made and returns it as it will be stored.
///
/// # Errors
/// In check order:
/// - `EINVAL` if it is not UTF-8, is nothing but dots, holds a forbidden character or ends in a space.
/// - `ENAMETOOLONG` if it has more than [`UNITS_MAX`] units.
pub(crate) fn check_for_storage(bytes: &[u8]) -> Result<Vec<u16>, Errno> {
    let text = std::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?;
    let units = text.encode_utf16().collect::<Vec<_>>();
    let units = strip_dots(&units);
    let ends_badly = units.last().is_none_or(|&u| u == SPACE);
    if ends_badly || units.iter().any(|&u| is_forbidden(u)) {
        return Err(Errno::EINVAL);
    }
    if units.len() > UNITS_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    Ok(units.to_vec())
}

/// The bytes of a name to show: the long one where it fits into a component, else the short one.
pub(crate) fn shown<'a>(long: Option<&'a [u16]>, short: &'a [u16]) -> Cow<'a, [u16]> {
    match long {
        Some(units) if to_bytes(units).len() <= abi::fs::NAME_BYTES_MAX => Cow::Borrowed(units),
        _ => Cow::Borrowed(short),
    }
}

#[cfg(test)]
mod tests {
    use super::{check_for_storage, fold, from_bytes, is_listable, key, to_bytes};
    use abi::Errno;

    fn units(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    #[test]
    fn lone_surrogates_survive_the_round_trip_and_pairs_are_characters() {
        let odd = [0x61, 0xd83d, 0x62, 0xde00, 0xd83d, 0xde00];
        let bytes = to_bytes(&odd);
        assert_eq!(from_bytes(&bytes).unwrap(), odd);
        assert!(bytes.ends_with("\u{1f600}".as_bytes()));
        assert_eq!(from_bytes(b"a\xff"), None);
        assert_eq!(from_bytes(b"a\xed\xa0"), None);
    }

    #[test]
    fn case_and_dots_at_the_end_do_not_count() {
        assert_eq!(key(&units("R\u{e9}sum\u{e9}.Txt..")), key(&units("R\u{c9}SUM\u{c9}.tXT")));
        assert_ne!(key(&units("stra\u{df}e")), key(&units("STRASSE")));
        // Dotless i and long s do not become ASCII.
        assert_eq!((fold(0x131), fold(0x17f)), (0x131, 0x17f));
    }

    #[test]
    fn names_that_the_format_cannot_hold_are_refused() {
        for bad in [&b"a*b"[..], b"a:b", b"...", b"end ", b"tab\t", b"\xff", b"a\\b"] {
            assert_eq!(check_for_storage(bad), Err(Errno::EINVAL));
        }
        assert_eq!(check_for_storage(b"name.."), Ok(units("name")));
        let long = "x".repeat(256);
        assert_eq!(check_for_storage(long.as_bytes()), Err(Errno::ENAMETOOLONG));
    }

    #[test]
    fn names_that_are_paths_are_not_listed() {
        assert!(!is_listable(&units("..")) && !is_listable(&units("a/b")) && !is_listable(&[]));
        assert!(is_listable(&units("...")) && is_listable(&units(".a")));
    }
}
