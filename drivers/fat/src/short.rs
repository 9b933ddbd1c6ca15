//! Short names: 8 and 3 bytes of the code page (specification section 6.1, and 7.4 for making them up).

use crate::codepage;
use crate::entry::{RawEntry, ShortBytes};
use crate::name;
use crate::options::{ShortNames, ShowShort};

/// Bit of `DIR_NTRes`: the base is to be shown in lower case.
const LOWER_BASE: u8 = 0x08;
/// Bit of `DIR_NTRes`: the extension is to be shown in lower case.
const LOWER_EXT: u8 = 0x10;
/// Stands in the first byte for 0xe5, which there means "deleted".
const E5_ESCAPE: u8 = 0x05;

const BASE: usize = 8;
const EXT: usize = 3;
const DOT: u16 = 0x2e;
const SPACE: u16 = 0x20;

/// The name in `raw`, as `options` want to see it. What can't be in a name shows as `_`.
pub(crate) fn display(raw: &RawEntry, options: ShortNames) -> Vec<u16> {
    let name = raw.name();
    let (base, ext) = name.split_at(BASE);
    let lower = |bit| match options.show {
        ShowShort::Lower => true,
        ShowShort::Stored => false,
        ShowShort::Flags => raw.nt_case() & bit != 0,
    };
    let mut units = part(base, lower(LOWER_BASE));
    if raw.first() == E5_ESCAPE
        && let Some(first) = units.first_mut()
    {
        *first = codepage::decode(0xe5);
    }
    let ext = part(ext, lower(LOWER_EXT));
    if !ext.is_empty() {
        units.push(DOT);
        units.extend(ext);
    }
    units
}

fn part(bytes: &[u8], lower: bool) -> Vec<u16> {
    let spaces = bytes.iter().rev().take_while(|&&b| b == b' ').count();
    let kept = bytes.get(..bytes.len().saturating_sub(spaces)).unwrap_or_default();
    kept.iter()
        .map(|&byte| match byte {
            0..=0x1f | b'/' => u16::from(b'_'),
            _ if lower => to_lower(codepage::decode(byte)),
            _ => codepage::decode(byte),
        })
        .collect()
}

fn to_lower(unit: u16) -> u16 {
    let Some(character) = char::from_u32(u32::from(unit)) else { return unit };
    let mut lower = character.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) => u16::try_from(u32::from(one)).unwrap_or(unit),
        _ => unit,
    }
}

/// Whether `unit` may be in a short name as it is (once in upper case).
fn is_short_char(unit: u16) -> bool {
    u8::try_from(unit).is_ok_and(|b| b.is_ascii_alphanumeric() || b"!#$%&'()-@^_`{}~".contains(&b))
}

/// A name that fits 8.3 apart from the case of its letters.
struct Fitting {
    short: ShortBytes,
    base_case: Case,
    ext_case: Case,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    /// Upper case, or no letters.
    Upper,
    Lower,
    Mixed,
}

fn case_of(units: &[u16]) -> Case {
    let has = |range: core::ops::RangeInclusive<u8>| {
        units.iter().any(|&u| u8::try_from(u).is_ok_and(|b| range.contains(&b)))
    };
    match (has(b'A'..=b'Z'), has(b'a'..=b'z')) {
        (_, false) => Case::Upper,
        (false, true) => Case::Lower,
        (true, true) => Case::Mixed,
    }
}

fn fit(units: &[u16]) -> Option<Fitting> {
    let dot = units.iter().position(|&u| u == DOT);
    let (base, ext) = match dot {
        Some(at) => {
            let (base, rest) = units.split_at_checked(at)?;
            (base, rest.split_first()?.1)
        }
        None => (units, Default::default()),
    };
    let ext_possible = if dot.is_some() { 1..=EXT } else { 0..=0 };
    if !(1..=BASE).contains(&base.len()) || !ext_possible.contains(&ext.len()) {
        return None;
    }
    if !base.iter().chain(ext).all(|&u| is_short_char(u)) {
        return None;
    }
    let short = assemble(base.iter().map(|&u| upper(u)), ext.iter().map(|&u| upper(u)));
    Some(Fitting { short, base_case: case_of(base), ext_case: case_of(ext) })
}

/// The upper-case byte of `unit`, or `_` where the code page or the rules have none.
fn upper(unit: u16) -> u8 {
    if unit < 0x80 && !is_short_char(unit) {
        return b'_';
    }
    codepage::encode(name::fold(unit)).unwrap_or(b'_')
}

fn assemble(base: impl Iterator<Item = u8>, ext: impl Iterator<Item = u8>) -> ShortBytes {
    let mut short = [b' '; 11];
    let (base_field, ext_field) = short.split_at_mut(BASE);
    for (field, byte) in base_field.iter_mut().zip(base) {
        *field = byte;
    }
    for (field, byte) in ext_field.iter_mut().zip(ext) {
        *field = byte;
    }
    if let [first @ 0xe5, ..] = &mut short {
        *first = E5_ESCAPE;
    }
    short
}

/// How a name is to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// The long form, where one is needed.
    pub(crate) long: Option<Vec<u16>>,
    pub(crate) short: ShortBytes,
    pub(crate) nt_case: u8,
}

/// Plans how `units` is stored, where `is_taken` says which short names are in use.
///
/// A pure 8.3 name has no long form. One that differs only in case gets its own letters as short name.
/// All others get `BASE~1` to `BASE~4`, then two letters, a hash of the name and `~1` to `~9`: a folder of
/// thousands of similar names costs a few probes each. `None` if every probe is taken.
pub(crate) fn plan(
    units: &[u16],
    options: ShortNames,
    is_taken: impl Fn(&ShortBytes) -> bool,
) -> Option<Stored> {
    if let Some(fitting) = fit(units) {
        if let Some(nt_case) = pure_case(&fitting, options) {
            return Some(Stored { long: None, short: fitting.short, nt_case });
        }
        if !is_taken(&fitting.short) {
            return Some(Stored { long: Some(units.to_vec()), short: fitting.short, nt_case: 0 });
        }
    }
    let short = candidates(units).find(|candidate| !is_taken(candidate))?;
    Some(Stored { long: Some(units.to_vec()), short, nt_case: 0 })
}

/// The case flags with which `fitting` needs no long form, if that is possible.
fn pure_case(fitting: &Fitting, options: ShortNames) -> Option<u8> {
    let flag = |case, bit| match case {
        Case::Upper => Some(0),
        Case::Lower if options.case_flags => Some(bit),
        Case::Lower | Case::Mixed => None,
    };
    let base = flag(fitting.base_case, LOWER_BASE)?;
    let ext = flag(fitting.ext_case, LOWER_EXT)?;
    Some(base | ext)
}

/// Short names for a name that does not fit, in the order of trial.
fn candidates(units: &[u16]) -> impl Iterator<Item = ShortBytes> {
    let leading = units.iter().take_while(|&&u| u == DOT || u == SPACE).count();
    let body = units.get(leading..).unwrap_or_default();
    let dot = body.iter().rposition(|&u| u == DOT);
    let (base, ext) = body.split_at_checked(dot.unwrap_or(body.len())).unwrap_or_default();
    let letters = |part: &[u16]| {
        part.iter().filter(|&&u| u != DOT && u != SPACE).map(|&u| upper(u)).collect::<Vec<_>>()
    };
    let (mut base, ext) = (letters(base), letters(ext));
    if base.is_empty() {
        base.push(b'_');
    }
    let hashes = hashes_of(units);
    let plain = (1..=4u8).map(|n| (None, n));
    let hashed = hashes.flat_map(|hash| (1..=9u8).map(move |n| (Some(hash), n)));
    plain.chain(hashed).map(move |(hash, n)| {
        let tail = match hash {
            None => format!("~{n}"),
            Some(hash) => format!("{hash:04X}~{n}"),
        };
        let kept = base.iter().copied().take(BASE.saturating_sub(tail.len()));
        assemble(kept.chain(tail.bytes()), ext.iter().copied())
    })
}

/// Hashes of the name, each with another seed: FNV-1a cut to 16 bits.
fn hashes_of(units: &[u16]) -> impl Iterator<Item = u16> + use<> {
    let bytes = units.iter().flat_map(|u| u.to_le_bytes()).collect::<Vec<_>>();
    (0..=255u8).map(move |seed| {
        let hash = core::iter::once(seed)
            .chain(bytes.iter().copied())
            .fold(0x811c_9dc5u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        let [a, b, c, d] = hash.to_le_bytes();
        u16::from_le_bytes([a ^ c, b ^ d])
    })
}

#[cfg(test)]
mod tests;
