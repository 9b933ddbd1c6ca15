//! `cargo xtask test`: what the tests need, every test, and a sum.

use crate::command::{Watched, cargo, watch, works};
use crate::{fixtures, packages};
use anyhow::{Result, bail};
use std::path::PathBuf;

const FIXTURES: &str = "VIEWOS_FIXTURES";

/// Lines that count: of the test harness, and of cargo-nextest.
const MARKS: &[&str] = &["test result: ", "tests run: ", "test run: "];

/// Runs every test, or those whose names contain one of the filters.
pub(crate) fn run(filters: &[&str]) -> Result<()> {
    packages::install_missing()?;
    let images = images();
    let mut sum = Sum::default();
    let mut success = true;
    for mut command in commands(filters) {
        if let Ok(folder) = &images {
            command.env(FIXTURES, folder);
        }
        let watched = watch(command, MARKS)?;
        success &= watched.success;
        sum.add(&watched);
    }
    println!("\n{} passed, {} failed, {} skipped", sum.passed, sum.failed, sum.skipped);
    match images {
        Ok(folder) => println!("fixtures: {}", folder.display()),
        Err(cause) => println!("fixtures: NONE, their tests did not run: {cause:#}"),
    }
    if !success {
        bail!("some tests failed");
    }
    Ok(())
}

/// The folder of images: the caller's own, else ours.
fn images() -> Result<PathBuf> {
    std::env::var_os(FIXTURES).map_or_else(fixtures::make, |folder| Ok(PathBuf::from(folder)))
}

/// cargo-nextest where it is installed, which leaves the examples in documents to cargo itself.
fn commands(filters: &[&str]) -> Vec<std::process::Command> {
    let tests = if works(cargo(&["nextest", "--version"])) {
        let mut tests =
            cargo(&["nextest", "run", "--workspace", "--no-fail-fast", "--no-tests", "pass"]);
        tests.args(filters);
        vec![tests, cargo(&["test", "--workspace", "--doc", "--no-fail-fast", "--quiet"])]
    } else {
        vec![cargo(&["test", "--workspace", "--no-fail-fast", "--quiet"])]
    };
    tests
        .into_iter()
        .map(|mut command| {
            if command.get_args().any(|word| word == "test") {
                command.arg("--").args(filters);
            }
            command
        })
        .collect()
}

/// How many tests there were.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sum {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Sum {
    fn add(&mut self, watched: &Watched) {
        watched.lines.iter().for_each(|line| self.add_line(line));
    }

    /// Adds "N passed", "N failed", "N timed out" and "N skipped" or "N ignored" of a line.
    fn add_line(&mut self, line: &str) {
        let mut words = line.split_whitespace().map(|word| word.trim_matches(&['(', ',', ';'][..]));
        let mut before = words.next();
        for word in words {
            let count = before.and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
            match word {
                "passed" => self.passed += count,
                "failed" | "timed" => self.failed += count,
                "skipped" | "ignored" => self.skipped += count,
                _ => {}
            }
            before = Some(word);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Sum;

    #[test]
    fn both_harnesses_are_counted() {
        let mut sum = Sum::default();
        sum.add_line("test result: ok. 13 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out");
        sum.add_line(
            "     Summary [   0.9s] 27 tests run: 25 passed (1 slow), 2 failed, 3 skipped",
        );
        assert_eq!(sum, Sum { passed: 38, failed: 3, skipped: 5 });
    }
}
