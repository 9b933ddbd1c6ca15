//! CPython's own tests, a module at a time.

use crate::Setting;
use e2e::Work;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// The Debian package that has the tests.
pub const PACKAGE: &str = "libpython3.11-testsuite";

const PYTHON: &str = "/usr/bin/python3.11";
const TESTS: &str = "/usr/lib/python3.11/test/test_os.py";
const SCRIPT: &str = include_str!("../run.py");

/// How long a module may take, in seconds: long, because the machine may be busy.
const SECONDS: u64 = 400;

/// The outcome of each case: ok, FAIL, ERROR, skipped, or "did not end".
pub type Cases = BTreeMap<String, String>;

/// A case that a view answers otherwise than the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its name, as unittest knows it.
    pub case: String,
    /// The outcome without a view.
    pub native: String,
    /// The outcome in the view.
    pub view: String,
}

/// Whether the tests are there.
#[must_use]
pub fn is_installed() -> bool {
    Path::new(TESTS).exists()
}

/// Runs a module, or some of its cases.
///
/// # Panics
/// If it does not begin.
#[must_use]
pub fn run(setting: Setting, module: &str, cases: &[&str]) -> Cases {
    let work = Work::new(setting.user());
    let script = work.write("run.py", SCRIPT);
    let (store, out) = (work.folder("store"), work.folder("out"));
    let results = work.write("out/results", "");
    let folder = work.folder("t");
    let inside = setting.inside(Path::new(&folder));
    let line = format!(
        "cd {0} && export TMPDIR={0} && exec timeout --foreground -k 5 {SECONDS} {PYTHON} {script} {results} {module} {1}",
        inside.display(),
        cases.join(" "),
    );
    let view = setting.view(Path::new(&store), Path::new(&out)).folder(Path::new(&folder));
    let output = view.limit(Duration::from_secs(SECONDS + 60)).run(&line);
    let text = std::fs::read_to_string(&results).expect("it was written above");
    let cases = outcomes(&text);
    assert!(!cases.is_empty(), "{module} in {setting}: {output:#?}");
    cases
}

fn outcomes(text: &str) -> Cases {
    let mut cases = Cases::new();
    let mut has_ended = false;
    for line in text.lines() {
        match line.split_once(' ') {
            Some(("begin", case)) => drop(cases.insert(case.to_owned(), "did not end".to_owned())),
            Some((case, outcome)) => drop(cases.insert(case.to_owned(), outcome.to_owned())),
            None => has_ended |= line == "end",
        }
    }
    if !has_ended {
        cases.insert("the-module".to_owned(), "did not end".to_owned());
    }
    cases
}

/// What differs. A case that agrees when it is tried again, alone and by both, is one that a busy machine spoils.
#[must_use]
pub fn differences(
    setting: Setting,
    module: &str,
    native: &Cases,
    view: &Cases,
) -> Vec<Difference> {
    let absent = || "absent".to_owned();
    let all = native.keys().chain(view.keys().filter(|case| !native.contains_key(*case)));
    let mut found: Vec<Difference> = all
        .filter(|case| native.get(*case) != view.get(*case))
        .map(|case| Difference {
            case: case.clone(),
            native: native.get(case).cloned().unwrap_or_else(absent),
            view: view.get(case).cloned().unwrap_or_else(absent),
        })
        .collect();
    found.retain(|difference| {
        if !difference.case.starts_with("test.") {
            return true;
        }
        let again = |setting| run(setting, module, &[&difference.case]).remove(&difference.case);
        let (native, view) = (again(Setting::Native(setting.user())), again(setting));
        let agree = native.is_some() && native == view;
        if agree {
            eprintln!("{setting}: unsteady: {difference:?}, then both {native:?}");
        }
        !agree
    });
    found
}

/// The figures of one module in one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The module.
    pub module: String,
    /// Where it ran.
    pub setting: String,
    /// Cases that passed, failed (or did not end), and were skipped.
    pub counts: [usize; 3],
}

impl Row {
    /// Counts.
    #[must_use]
    pub fn of(module: &str, setting: Setting, cases: &Cases) -> Self {
        let count = |outcome: &str| cases.values().filter(|o| *o == outcome).count();
        let (passed, skipped) = (count("ok"), count("skipped"));
        let counts = [passed, cases.len() - passed - skipped, skipped];
        Self { module: module.to_owned(), setting: setting.to_string(), counts }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [passed, failed, skipped] = self.counts;
        write!(f, "| {} | {} | {passed} | {failed} | {skipped} |", self.module, self.setting)
    }
}

#[cfg(test)]
mod tests {
    use super::outcomes;

    #[test]
    fn a_case_without_an_outcome_did_not_end() {
        let cases = outcomes("begin a\na ok\nbegin b\n");
        let shown: Vec<_> =
            cases.iter().map(|(case, outcome)| format!("{case}: {outcome}")).collect();
        assert_eq!(shown, ["a: ok", "b: did not end", "the-module: did not end"]);
    }
}
