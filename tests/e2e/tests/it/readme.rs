//! What README.md shows of `umview try` is what happens: the transcript, typed by a plain user at a terminal.

use e2e::{User, View, Work, native, need};
use std::path::Path;
use std::time::Duration;

/// Fetching from the packages' registry takes its time.
const LIMIT: Duration = Duration::from_secs(240);
const COMMAND: &str = "umview try apt-get install -y cowsay";
/// What the reader is spared.
const CUT: &str = "[...]";

/// The lines of the transcript that begins with the command, without their indent.
fn transcript() -> Vec<&'static str> {
    let page = include_str!("../../../../README.md");
    let from = page.lines().skip_while(|line| !line.ends_with(COMMAND));
    let lines: Vec<&str> = from.map_while(|line| line.strip_prefix("    ")).collect();
    assert!(lines.len() > 10, "README.md has no transcript of `{COMMAND}`");
    lines
}

/// Without what differs from machine to machine: numbers, and how often a terminal's line was written.
fn normal(line: &str) -> String {
    let last = line.trim_end().rsplit('\r').next().unwrap_or_default();
    let mut out = String::new();
    for c in last.chars() {
        match c {
            c if !c.is_ascii_digit() => out.push(c),
            _ if out.ends_with('N') => {}
            _ => out.push('N'),
        }
    }
    out
}

/// Whether the lines are those expected, where `[...]` stands for any number of them.
fn check(expected: &[&str], lines: &[String]) {
    let mut at = 0;
    let mut may_skip = false;
    for line in expected {
        if *line == CUT {
            may_skip = true;
            continue;
        }
        let wanted = normal(line);
        let rest = lines.get(at..).unwrap_or_default();
        let found = rest.iter().position(|l| *l == wanted).unwrap_or_else(|| {
            panic!("README.md: not so: {line}\nlooked for {wanted} in:\n{}", rest.join("\n"))
        });
        assert!(found == 0 || may_skip, "README.md: before {line}: {:?}", &rest[..found]);
        at += found + 1;
        may_skip = false;
    }
    assert!(may_skip || at == lines.len(), "README.md: more came: {:?}", &lines[at..]);
}

/// Types a command at a terminal, and what it asks for, and checks what comes.
fn play(user: &View, command: &str, expected: &[&str]) {
    let mut started = user.start(&["script", "-qec", command, "/dev/null"]);
    let question = expected.iter().find_map(|line| line.split_once("? [t] "));
    let mut text = String::new();
    if let Some((before, answer)) = question {
        text.push_str(&started.read_until(&format!("{before}? [t] ")));
        started.write(&format!("{answer}\n"));
    }
    let output = started.finish();
    let rest = output.stdout.strip_prefix(&text).unwrap_or(&output.stdout);
    let all = format!("{text}{rest}");
    let lines: Vec<String> = all.lines().map(normal).collect();
    check(expected, &lines);
}

#[test]
fn the_transcript_of_a_trial_is_what_happens() {
    need("apt-get", "apt");
    need("script", "bsdutils");
    let cowsay = Path::new("/usr/games/cowsay");
    assert!(
        !cowsay.exists(),
        "cowsay is installed, so that to install it is no change: apt-get remove cowsay"
    );
    let work = Work::new(User::Nobody);
    let user = native(User::Nobody).folder(work.path()).variable("NO_COLOR", "1").limit(LIMIT);
    let lines = transcript();
    let starts: Vec<usize> = (0..lines.len()).filter(|&i| lines[i].starts_with("$ ")).collect();
    for (n, &start) in starts.iter().enumerate() {
        let end = starts.get(n + 1).copied().unwrap_or(lines.len());
        play(&user, &lines[start][2..], &lines[start + 1..end]);
    }
    assert!(starts.len() >= 2 && !cowsay.exists());
}

#[test]
fn a_transcript_that_is_not_so_is_found() {
    let lines = ["a N", "b", "c"].map(str::to_owned);
    check(&["a 12", "[...]", "c"], &lines);
    check(&["[...]"], &lines);
    for wrong in [&["a 12", "c"][..], &["a 12", "[...]", "d"], &["a 1", "b"], &["b", "[...]"]] {
        let outcome = std::panic::catch_unwind(|| check(wrong, &lines));
        assert!(outcome.is_err(), "{wrong:?}");
    }
}
