//! Cases by number, a budget of time, a corpus.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// What a target may take where nobody says otherwise.
const SECONDS: u64 = 2;
/// A case that takes longer hangs.
const CASE_SECONDS_MAX: u64 = 20;

/// Runs `case` with the numbers of the target's corpus, then with others until the budget is spent.
///
/// # Panics
/// If a case does, or does not end; the message has its number.
pub fn run(target: &str, case: impl Fn(u64) + Send + 'static) {
    let text = std::env::var("VIEWOS_FUZZ_SECONDS").ok();
    let seconds = text.and_then(|text| text.parse().ok()).unwrap_or(SECONDS);
    let (tell, hear) = channel();
    let known = corpus(target);
    std::thread::spawn(move || {
        let begin = Instant::now();
        // A longer run is another run.
        let first = 1 + (seconds - SECONDS.min(seconds)) * 1_000_000;
        let others = (first..).take_while(|_| begin.elapsed() < Duration::from_secs(seconds));
        for number in known.into_iter().chain(others) {
            let _ = tell.send((number, None));
            if catch_unwind(AssertUnwindSafe(|| case(number))).is_err() {
                let _ = tell.send((number, Some("panicked")));
                return;
            }
        }
    });
    let (mut last, mut count) = (0, 0_u64);
    loop {
        match hear.recv_timeout(Duration::from_secs(CASE_SECONDS_MAX)) {
            Ok((number, None)) => (last, count) = (number, count + 1),
            Ok((number, Some(end))) => panic!("{target}: case {number} {end}"),
            Err(RecvTimeoutError::Timeout) => panic!("{target}: case {last} does not end"),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    eprintln!("{target}: {count} cases");
}

/// The numbers in `corpus/TARGET.txt`, one a line, a comment behind `#`.
fn corpus(target: &str) -> Vec<u64> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let text = std::fs::read_to_string(folder.join(format!("{target}.txt"))).unwrap_or_default();
    let numbers = text.lines().filter_map(|line| line.split('#').next());
    numbers.filter_map(|number| number.trim().parse().ok()).collect()
}
