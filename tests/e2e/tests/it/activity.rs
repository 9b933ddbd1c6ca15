//! `umview top` and the JSON of the questions about a view.

use e2e::{View, combinations, need};
use serde_json::Value;
use std::collections::BTreeSet;

/// The names of all members, with those around them: `calls[].call`.
fn members(value: &Value, around: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let name = if around.is_empty() { key.clone() } else { format!("{around}.{key}") };
                found.insert(name.clone());
                members(value, &name, found);
            }
        }
        Value::Array(items) => {
            for item in items {
                members(item, &format!("{around}[]"), found);
            }
        }
        _ => {}
    }
}

/// The members that a section of docs/json.md has in the first column of its table.
fn documented(section: &str) -> BTreeSet<String> {
    let page = include_str!("../../../../docs/json.md");
    let start = page.split(&format!("\n## {section}\n")).nth(1).expect("there is the section");
    let rows =
        start.split("\n## ").next().unwrap_or_default().lines().filter(|l| l.starts_with("| `"));
    let first = rows.filter_map(|row| row.split('|').nth(1));
    first.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

#[test]
fn the_page_of_json_names_every_member_and_no_other() {
    for combination in combinations() {
        let view = View::of(combination).option("-Vouter").option("--mount=umfusemem:none:/mnt");
        for question in ["stat", "tree", "top"] {
            let once = if question == "top" { "--once" } else { "" };
            let said = view.run(&format!("echo x >/mnt/a; umview {question} {once} --json"));
            let value: Value = serde_json::from_str(said.success()).expect("JSON");
            let mut found = BTreeSet::new();
            members(&value, "", &mut found);
            assert_eq!(found, documented(question), "{question}");
        }
    }
}

fn count(value: &Value, kind: &str) -> u64 {
    value[kind].as_u64().expect("a number")
}

#[test]
fn calls_are_counted_for_the_mount_that_they_come_to_and_for_their_process() {
    for combination in combinations() {
        let view = View::of(combination)
            .option("--mount=umfusemem:none:/mnt")
            .option("--mount=umfusemem:none:/media");
        let line = "umview top --once --json; for i in 1 2 3 4 5 6 7; do read x </mnt/a; done
            stat /mnt/none 2>/dev/null; test -e /mnt/a; umview top --once --json; echo $$";
        let said = view.run(&format!("echo x >/mnt/a; {line}"));
        let lines: Vec<&str> = said.success().lines().collect();
        let [before, after, pid] = lines.as_slice() else { panic!("{said:#?}") };
        let [before, after] =
            [before, after].map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let more = |pointer: &str, kind: &str| {
            let [before, after] =
                [&before, &after].map(|v| v.pointer(pointer).expect("it is there"));
            count(after, kind) - count(before, kind)
        };
        // Seven opens; two looks at names, and perhaps attributes of the open files.
        assert_eq!(more("/mounts/0", "descriptor"), 7, "{combination:?} {before} {after}");
        assert!(more("/mounts/0", "return") >= 2, "{combination:?} {before} {after}");
        for kind in ["native", "return", "descriptor", "rewrite", "later"] {
            assert_eq!(more("/mounts/1", kind), 0, "{kind}");
        }
        let shell = |value: &Value| {
            let all = value["processes"].as_array().expect("an array").clone();
            all.into_iter()
                .find(|p| p["pid"].as_u64() == pid.parse().ok())
                .expect("the shell is there")
        };
        let opens = count(&shell(&after), "descriptor") - count(&shell(&before), "descriptor");
        assert_eq!(opens, 7, "{combination:?}");
        // stat(1) and the first umview are gone, and what they called is not.
        let ended = |value: &Value| {
            ["native", "return"].iter().map(|k| count(&value["ended"], k)).sum::<u64>()
        };
        assert!(ended(&after) > ended(&before), "{combination:?}");
    }
}

#[test]
fn rows_come_one_below_the_other_where_there_is_no_terminal() {
    for combination in combinations() {
        let view = View::of(combination).option("--mount=umfusemem:none:/mnt");
        let said = view.run("umview top --count 2 --interval 0.05; umview top --interval 0.01 | head -1 | cut -c1-3");
        let heads = said.success().lines().filter(|line| line.ends_with("  COMMAND")).count();
        assert_eq!(heads, 2, "{}", said.stdout);
        assert_eq!(said.stdout.matches("  /mnt (umfusemem)\n").count(), 2, "{}", said.stdout);
        assert!(!said.stdout.contains('\x1b'), "{}", said.stdout);
        // In the second rows there are calls each second.
        let second = said.stdout.rsplit("CALLS/S").next().unwrap_or_default();
        let row = second.lines().find(|line| line.ends_with("  umview")).expect("umview is there");
        let rate = row.split_whitespace().nth(1).and_then(|word| word.parse::<f64>().ok());
        assert!(rate.is_some_and(|rate| rate > 0.0), "{row}");
    }
}

#[test]
fn on_a_terminal_q_ends_it_and_leaves_the_terminal_as_it_was() {
    need("script", "bsdutils");
    for (no_color, is_reverse) in [("", true), ("1", false)] {
        let view = View::new().variable("NO_COLOR", no_color);
        let line = "{ echo stty -g; echo umview top --interval 60; printf q; echo stty -g; echo exit; } >keys
            script -qec 'sh -i' /dev/null <keys";
        let work = e2e::Work::new(e2e::User::Root);
        let said = view.folder(work.path()).run(line);
        let text = said.success();
        assert!(text.contains("\x1b[H") && text.contains("COMMAND"), "{text:?}");
        assert_eq!(text.contains("\x1b[7m"), is_reverse, "{text:?}");
        let settings: Vec<&str> = text
            .lines()
            .filter_map(|line| line.trim().split("# ").nth(1))
            .filter(|l| l.matches(':').count() > 10)
            .collect();
        assert_eq!(settings.len(), 2, "{text:?}");
        assert_eq!(settings[0], settings[1]);
    }
}
