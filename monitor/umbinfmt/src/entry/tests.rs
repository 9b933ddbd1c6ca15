//! Lines, and what becomes of them.

use super::{Entry, EntryError, Flags, HEAD_BYTES, Recognition};
use abi::Errno;
use proptest::prelude::*;

fn head(bytes: &[u8]) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..bytes.len()].copy_from_slice(bytes);
    head
}

#[test]
fn a_line_with_everything_is_read() {
    let entry = Entry::parse(b"#arm#M#18#\\xb7\\x00#\\xff\\x0f#/bin/q#POCF\n").unwrap();
    assert_eq!(entry.name, b"arm");
    assert_eq!(entry.interpreter, b"/bin/q");
    let recognition =
        Recognition::Magic { offset: 18, magic: vec![0xb7, 0], mask: Some(vec![0xff, 0x0f]) };
    assert_eq!(entry.recognition, recognition);
    let all =
        Flags { preserve_argv0: true, open_binary: true, credentials: true, fix_binary: true };
    assert_eq!(entry.flags, all);
    assert_eq!(
        String::from_utf8(entry.show(false)).unwrap(),
        "disabled\ninterpreter /bin/q\nflags: POCF\noffset 18\nmagic b700\nmask ff0f\n"
    );
}

#[test]
fn an_extension_is_what_follows_the_last_dot() {
    let entry = Entry::parse(b":py:E::py::/usr/bin/python3:").unwrap();
    assert!(entry.matches(b"/a/b.py", &head(b"")));
    assert!(entry.matches(b"x.tar.py", &head(b"")));
    assert!(!entry.matches(b"/a.py/b", &head(b"")));
    assert!(!entry.matches(b"py", &head(b"")));
    assert_eq!(
        String::from_utf8(entry.show(true)).unwrap(),
        "enabled\ninterpreter /usr/bin/python3\nflags: \nextension .py\n"
    );
}

#[test]
fn a_mask_says_which_bits_count() {
    let entry = Entry::parse(b":m:M:1:\\x12\\x34:\\xf0\\xff:/i:").unwrap();
    assert!(entry.matches(b"", &head(&[0, 0x1f, 0x34])));
    assert!(!entry.matches(b"", &head(&[0, 0x2f, 0x34])));
    let exact = Entry::parse(b":m:M::MZ::/usr/bin/wine:").unwrap();
    assert!(exact.matches(b"", &head(b"MZ\x90")));
    assert!(!exact.matches(b"", &head(b"ZM")));
}

#[test]
fn what_credentials_imply_is_shown() {
    let entry = Entry::parse(b":a:M::abc::/i:C").unwrap();
    assert!(entry.show(true).windows(10).any(|w| w == b"flags: OC\n"));
}

#[test]
fn a_bad_line_is_refused_for_its_first_fault() {
    use EntryError as E;
    let long = [b":n:M::x::/".as_slice(), &[b'i'; 1911], b":"].concat();
    let cases: &[(&[u8], E)] = &[
        (b":a:M::b::/", E::Length(10)),
        (&long, E::Length(1922)),
        (b"PaPMPPbPPP/iP", E::Separator(b'P')),
        (b":aaaaaaaaaaaa", E::Unfinished("name")),
        (b"::M::abc::/i:", E::Name),
        (b":.:M::abc::/i:", E::Name),
        (b":..:M::abc::/i:", E::Name),
        (b":a/b:M::abc::/i:", E::Name),
        (b":a\0:M::abc::/i:", E::Unfinished("name")),
        (b":a:X::abc::/i:", E::Type),
        (b":a:MM::abc::/i:", E::Type),
        (b":a:M:x:abc::/i:", E::Offset),
        (b":a:M:-1:abc::/i:", E::Offset),
        (b":a:M:99999999999:abc::/i:", E::Offset),
        (b":a:M::\\xg0::/i:", E::Escape),
        (b":a:M::\\x1::/i:", E::Escape),
        (b":a:M::::/i:PPP", E::Magic),
        (b":a:M::ab:abc:/i:", E::Mask { magic: 2, mask: 3 }),
        (b":a:M:254:abc::/i:", E::Reach { offset: 254, size: 3 }),
        (b":a:E:::::/i:PP", E::Magic),
        (b":a:E::x/y::/i:", E::Magic),
        (b":a:M::abc:::", E::Interpreter),
        (b":a:M::abc::/i", E::Unfinished("interpreter")),
        (b":a:M::abc::/i:X", E::Flag(b'X')),
        (b":a:M::abc::/i:P ", E::Flag(b' ')),
        (b":a:M::abc::/i:P\n\n", E::Flag(b'\n')),
    ];
    for (line, error) in cases {
        // Error: each line has one fault.
        assert_eq!(Entry::parse(line).as_ref(), Err(error), "{}", String::from_utf8_lossy(line));
        assert_eq!(Errno::from(error.clone()), Errno::EINVAL);
    }
    // The magic may end with the head.
    assert!(Entry::parse(b":a:M:253:abc::/i:").is_ok());
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_or_refused(
        line in proptest::collection::vec(proptest::sample::select(b":\\xMEPOCF0a9/.\n\0".to_vec()), 0..60),
        head in proptest::collection::vec(any::<u8>(), HEAD_BYTES),
    ) {
        if let Ok(entry) = Entry::parse(&line) {
            let head: [u8; HEAD_BYTES] = head.try_into().unwrap();
            let _ = entry.matches(&line, &head);
            prop_assert!(entry.show(true).ends_with(b"\n"));
        }
    }
}
