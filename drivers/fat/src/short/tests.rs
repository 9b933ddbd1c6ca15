use super::{display, plan};
use crate::entry::{RawEntry, ShortBytes};
use crate::options::{ShortNames, ShowShort};
use crate::time::DosTime;
use std::collections::HashSet;

const MIXED: ShortNames = ShortNames { show: ShowShort::Flags, case_flags: false };
const WINNT: ShortNames = ShortNames { show: ShowShort::Flags, case_flags: true };

fn units(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

fn short(text: &str) -> ShortBytes {
    plan(&units(text), MIXED, |_| false).unwrap().short
}

#[test]
fn pure_names_have_no_long_form() {
    for (text, bytes) in
        [("README.TXT", b"README  TXT"), ("A", b"A          "), ("X~1.C", b"X~1     C  ")]
    {
        let stored = plan(&units(text), MIXED, |_| false).unwrap();
        assert_eq!((stored.long, &stored.short), (None, bytes));
    }
}

#[test]
fn other_names_get_a_tail_unless_only_case_differs() {
    let cases: [(&str, &ShortBytes); 9] = [
        ("readme.txt", b"README  TXT"),
        ("Long File Name.text", b"LONGFI~1TEX"),
        (".hidden", b"HIDDEN~1   "),
        ("a.b.c.d", b"ABC~1   D  "),
        ("a+b", b"A_B~1      "),
        ("two words", b"TWOWOR~1   "),
        ("\u{65e5}\u{672c}.txt", b"__~1    TXT"),
        // e acute is in the code page, its upper case is byte 0x90; 0xe5 is escaped.
        ("caf\u{e9} au lait", b"CAF\x90AU~1   "),
        ("\u{3c3}igma and more", b"\xe4IGMAA~1   "),
    ];
    for (text, bytes) in cases {
        assert_eq!(short(text), *bytes, "{text}");
    }
}

#[test]
fn case_flags_spare_the_long_form_where_asked() {
    let stored = plan(&units("readme.TXT"), WINNT, |_| false).unwrap();
    assert_eq!((stored.long.is_none(), stored.nt_case), (true, 0x08));
    let stored = plan(&units("readme.txt"), WINNT, |_| false).unwrap();
    assert_eq!((stored.long.is_none(), stored.nt_case), (true, 0x18));
    assert!(plan(&units("ReadMe.txt"), WINNT, |_| false).unwrap().long.is_some());
}

#[test]
fn twenty_thousand_similar_names_need_few_probes() {
    let mut taken = HashSet::new();
    let probes = std::cell::Cell::new(0u32);
    for n in 0..20_000 {
        let stored = plan(&units(&format!("similar name {n}.text")), MIXED, |candidate| {
            probes.set(probes.get() + 1);
            taken.contains(candidate)
        })
        .unwrap();
        assert!(taken.insert(stored.short));
    }
    assert!(probes.get() < 20_000 * 8, "{} probes", probes.get());
}

#[test]
fn names_without_any_free_short_name_are_given_up() {
    assert_eq!(plan(&units("some long name"), MIXED, |_| true), None);
}

#[test]
fn display_honours_flags_escapes_and_hides_path_characters() {
    let show = |name: &ShortBytes, nt_case, options| {
        let mut raw = RawEntry::make(*name, 0, DosTime::default());
        raw.set_nt_case(nt_case);
        String::from_utf16(&display(&raw, options)).unwrap()
    };
    assert_eq!(show(b"README  TXT", 0, MIXED), "README.TXT");
    assert_eq!(show(b"README  TXT", 0x08, MIXED), "readme.TXT");
    assert_eq!(show(b"README  TXT", 0x18, MIXED), "readme.txt");
    let stored = ShortNames { show: ShowShort::Stored, case_flags: false };
    assert_eq!(show(b"README  TXT", 0x18, stored), "README.TXT");
    let lower = ShortNames { show: ShowShort::Lower, case_flags: false };
    assert_eq!(show(b"\x90T\x90     TXT", 0, lower), "\u{e9}t\u{e9}.txt");
    assert_eq!(show(b"\x05A         ", 0, MIXED), "\u{3c3}A");
    assert_eq!(show(b"A/B\0    C  ", 0, MIXED), "A_B_.C");
    assert_eq!(show(b"           ", 0, MIXED), "");
}
