//! Cases by number, a budget of time, a corpus.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// What a target may take where nobody says otherwise.
const SECONDS: u64 = 2;
/// How many damaged images a fixture gives where nobody says otherwise.
const IMAGES: u64 = 16;
/// A case that takes longer hangs.
const CASE_SECONDS_MAX: u64 = 20;

/// Runs `case` with the numbers of the target's corpus, then with others until the budget is spent.
///
/// # Panics
/// If a case does, or does not end; the message has its number.
pub fn run(target: &str, case: impl Fn(u64) + Send + 'static) {
    let text = std::env::var("VIEWOS_FUZZ_SECONDS").ok();
    let seconds = text.and_then(|text| text.parse().ok()).unwrap_or(SECONDS);
    // A longer run is another run.
    let first = 1 + (seconds - SECONDS.min(seconds)) * 1_000_000;
    let begin = Instant::now();
    let others = (first..).take_while(move |_| begin.elapsed() < Duration::from_secs(seconds));
    supervise(target, corpus(target).into_iter().chain(others), case);
}

/// Runs `case` with the numbers of the target's corpus, then with as many as [`images_wanted`].
///
/// # Panics
/// As [`run`].
pub fn run_images(target: &str, case: impl Fn(u64) + Send + 'static) {
    supervise(target, corpus(target).into_iter().chain(1..=images_wanted()), case);
}

/// How many damaged images a fixture is to give: 16, or what `VIEWOS_FUZZ_IMAGES` says.
#[must_use]
pub fn images_wanted() -> u64 {
    let text = std::env::var("VIEWOS_FUZZ_IMAGES").ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(IMAGES)
}

fn supervise(
    target: &str,
    numbers: impl Iterator<Item = u64> + Send + 'static,
    case: impl Fn(u64) + Send + 'static,
) {
    let (tell, hear) = channel();
    std::thread::spawn(move || {
        for number in numbers {
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
