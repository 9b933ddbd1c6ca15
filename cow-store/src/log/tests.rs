use super::{Facts, Record, Step, replay};
use crate::Error;

fn set(path: &str, value: &str) -> Step {
    Step::Set { path: path.into(), key: b"k".to_vec(), value: value.into() }
}

fn every_step() -> Vec<Step> {
    let (a, b) = (b"a".to_vec(), b"b".to_vec());
    vec![
        Step::Rename { from: a.clone(), to: b.clone(), ino: 7 },
        Step::Exchange { a: a.clone(), b: b.clone(), ino: 8 },
        Step::Unlink { path: a.clone(), ino: 9 },
        set("a", "1"),
        Step::Unset { path: a.clone(), key: b"k".to_vec() },
        Step::Carry { from: a.clone(), to: b.clone() },
        Step::Swap { a: a.clone(), b: b.clone() },
        Step::Drop { path: a.clone() },
        Step::Group { id: b, remaining: 3 },
    ]
}

#[test]
fn records_round_trip() {
    let log = Record::Transaction(every_step()).to_bytes();
    let replayed = replay(&log).unwrap();
    assert_eq!(replayed.pending, every_step()[..3]);
    assert_eq!(replayed.valid_bytes, log.len());
    assert_eq!(replayed.facts.groups().get(b"b".as_slice()), Some(&3));
}

#[test]
fn a_torn_end_never_happened_at_any_cut() {
    let mut log = Record::Transaction(vec![set("a", "1")]).to_bytes();
    log.extend(Record::Done.to_bytes());
    let whole = log.len();
    log.extend(Record::Transaction(vec![set("a", "2")]).to_bytes());
    for cut in whole..log.len() {
        let replayed = replay(&log[..cut]).unwrap();
        assert_eq!(replayed.facts.get(b"a", b"k"), Some(b"1".as_slice()), "cut {cut}");
        assert_eq!(replayed.valid_bytes, whole);
    }
    assert_eq!(replay(&log).unwrap().facts.get(b"a", b"k"), Some(b"2".as_slice()));
}

#[test]
fn an_aborted_transaction_does_not_count() {
    let mut log = Record::Transaction(vec![set("a", "1")]).to_bytes();
    log.extend(Record::Abort.to_bytes());
    assert!(replay(&log).unwrap().facts.is_empty());
}

#[test]
fn damage_is_named_with_its_place() {
    let mut log = Record::Transaction(vec![set("a", "1")]).to_bytes();
    let second = log.len();
    log.extend(Record::Done.to_bytes());
    // Error: one flipped bit in the payload.
    let mut bad = log.clone();
    *bad.last_mut().unwrap() ^= 1;
    assert!(matches!(replay(&bad), Err(Error::Log { offset }) if offset == second));
    // Error: a length that no operation writes.
    let mut bad = log.clone();
    bad[second..second + 4].copy_from_slice(&[0xff; 4]);
    assert!(matches!(replay(&bad), Err(Error::Log { offset }) if offset == second));
}

#[test]
fn carry_and_swap_move_whole_trees() {
    let mut facts = Facts::default();
    for step in [set("a", "1"), set("a/x", "2"), set("ab", "3"), set("b", "4")] {
        facts.apply(&step);
    }
    facts.apply(&Step::Swap { a: b"a".to_vec(), b: b"b".to_vec() });
    assert_eq!(facts.get(b"b/x", b"k"), Some(b"2".as_slice()));
    assert_eq!(facts.get(b"a", b"k"), Some(b"4".as_slice()));
    assert_eq!(facts.get(b"a/x", b"k"), None);
    facts.apply(&Step::Carry { from: b"b".to_vec(), to: b"a".to_vec() });
    assert_eq!(facts.get(b"a", b"k"), Some(b"1".as_slice()));
    assert_eq!(facts.get(b"a/x", b"k"), Some(b"2".as_slice()));
    assert_eq!(facts.get(b"ab", b"k"), Some(b"3".as_slice()));
    assert_eq!(facts.below(b"a"), [b"a".to_vec(), b"a/x".to_vec()]);
    facts.apply(&Step::Drop { path: b"a".to_vec() });
    assert_eq!(facts.paths().collect::<Vec<_>>(), [b"ab"]);
    assert_eq!(replay(&facts.to_log()).unwrap().facts, facts);
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_replay_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let _ = replay(&bytes);
    }

    #[test]
    fn a_payload_of_any_bytes_is_read_or_refused(
        payload in proptest::collection::vec(proptest::num::u8::ANY, 0..120),
        tag in 0_u8..10,
    ) {
        // With a true checksum, so that the steps themselves are read.
        let payload = [&[0, tag], payload.as_slice()].concat();
        let mut log = u32::try_from(payload.len()).unwrap().to_le_bytes().to_vec();
        log.extend(super::checksum(&payload));
        log.extend(&payload);
        match replay(&log) {
            Ok(replayed) => assert_eq!(replayed.valid_bytes, log.len()),
            Err(e) => assert!(matches!(e, Error::Log { offset: 0 })),
        }
    }

    #[test]
    fn metadata_texts_of_any_bytes_are_read_or_refused(
        text in proptest::collection::vec(proptest::num::u8::ANY, 0..90),
    ) {
        let _ = crate::override_stat::RawOverride(&text).check(b"");
        let _ = crate::origin::RawOrigin(&text).check(b"");
    }
}
