//! Tests run always, at once, and say what they expect.

use crate::none;
use tidy::{Source, sources};

/// What no test does, and why.
const REFUSED: [(&str, &str); 3] = [
    (concat!("#[ign", "ore"), "a test that does not run is no test"),
    (concat!("#[should", "_panic"), "assert on the error instead"),
    (concat!("thread::sle", "ep"), "wait for the event, not for a time"),
];

#[test]
fn no_test_is_put_off_or_waits_for_time_to_pass() {
    none(sources().into_iter().filter(Source::is_rust).flat_map(|source| {
        let mut complaints = Vec::new();
        for (number, line) in source.test_lines() {
            for (needle, why) in REFUSED.iter().filter(|(needle, _)| line.contains(needle)) {
                complaints.push(format!("{}:{number}: {needle}...: {why}", source.path));
            }
        }
        complaints
    }));
}
