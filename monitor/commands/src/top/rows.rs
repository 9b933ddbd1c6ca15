//! From the monitor's counts to rows of text.

use serde_json::Value;
use std::collections::HashMap;
use std::fmt::Write;

/// Kinds of answer, as the monitor names them, and the heads of their columns.
const KINDS: [(&str, &str); 5] = [
    ("native", "NATIVE"),
    ("return", "RETURN"),
    ("descriptor", "FD"),
    ("rewrite", "REWRITE"),
    ("later", "LATER"),
];

/// What tells one row from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Who {
    Process(u64),
    Ended,
    /// By its epoch: another mount may come to the same place.
    Mount(u64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    who: Who,
    name: String,
    counts: [u64; KINDS.len()],
}

impl Row {
    fn sum(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

/// One answer of the monitor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Activity {
    processes: Vec<Row>,
    mounts: Vec<Row>,
    stops: u64,
    notifications: u64,
}

fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or(0)
}

fn word<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn counts(value: &Value) -> [u64; KINDS.len()] {
    KINDS.map(|(kind, _)| number(value, kind))
}

/// The name of a program, where /proc still has it.
fn command(pid: u64) -> String {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim_end().to_owned()
}

impl Activity {
    /// Reads the answer, and the names of processes from /proc.
    pub(crate) fn of(reply: &Value) -> Self {
        let process = |value: &Value| {
            let pid = number(value, "pid");
            Row { who: Who::Process(pid), name: command(pid), counts: counts(value) }
        };
        let mount = |value: &Value| {
            let name = format!("{} ({})", word(value, "target"), word(value, "type"));
            Row { who: Who::Mount(number(value, "epoch")), name, counts: counts(value) }
        };
        let mut processes: Vec<Row> = list(reply, "processes").iter().map(process).collect();
        if let Some(ended) = reply.get("ended") {
            let counts = counts(ended);
            processes.push(Row { who: Who::Ended, name: "(ended)".to_owned(), counts });
        }
        Self {
            processes,
            mounts: list(reply, "mounts").iter().map(mount).collect(),
            stops: number(reply, "stops"),
            notifications: number(reply, "notifications"),
        }
    }

    fn rows(&self) -> impl Iterator<Item = &Row> {
        self.processes.iter().chain(&self.mounts)
    }
}

/// The rows of a moment; with those of a moment before, and how many seconds ago that was, calls each second.
pub(crate) fn table(now: &Activity, before: Option<(&Activity, f64)>, colors: bool) -> String {
    let old: HashMap<&Who, u64> =
        before.iter().flat_map(|(old, _)| old.rows()).map(|row| (&row.who, row.sum())).collect();
    let rate = |row: &Row| {
        let (_, seconds) = before?;
        let known = old.get(&row.who).copied().unwrap_or(0);
        let fresh = u32::try_from(row.sum().saturating_sub(known)).unwrap_or(u32::MAX);
        Some(f64::from(fresh) / seconds.max(0.001))
    };
    let all = now.processes.iter().map(Row::sum).fold(0, u64::saturating_add);
    let live = now.processes.iter().filter(|row| row.who != Who::Ended).count();
    let mut text = format!(
        "{all} calls of {live} processes; {} ptrace-stops, {} notifications\n",
        now.stops, now.notifications
    );
    // Mounts first: they are few, and processes may be more than a terminal has lines.
    if !now.mounts.is_empty() {
        part(&mut text, "", "MOUNT", &now.mounts, &rate, colors);
    }
    part(&mut text, "PID", "COMMAND", &now.processes, &rate, colors);
    text
}

fn part(
    text: &mut String,
    first: &str,
    last: &str,
    rows: &[Row],
    rate: &impl Fn(&Row) -> Option<f64>,
    colors: bool,
) {
    let (start, end) = if colors { ("\x1b[7m", "\x1b[0m") } else { ("", "") };
    let _ = write!(text, "{start}{first:>7} {:>8} {:>8}", "CALLS/S", "CALLS");
    for (_, head) in KINDS {
        let _ = write!(text, " {head:>7}");
    }
    let _ = writeln!(text, "  {last}{end}");
    let mut rows: Vec<(Option<f64>, &Row)> = rows.iter().map(|row| (rate(row), row)).collect();
    rows.sort_by(|(a, x), (b, y)| {
        let faster = b.unwrap_or(0.0).total_cmp(&a.unwrap_or(0.0));
        faster.then(y.sum().cmp(&x.sum()))
    });
    for (rate, row) in rows {
        let pid = if let Who::Process(pid) = row.who { pid.to_string() } else { String::new() };
        let rate = rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}"));
        let _ = write!(text, "{pid:>7} {rate:>8} {:>8}", row.sum());
        for count in row.counts {
            let _ = write!(text, " {count:>7}");
        }
        let _ = writeln!(text, "  {}", row.name.replace(char::is_control, "?"));
    }
}

#[cfg(test)]
mod tests {
    use super::{Activity, table};
    use serde_json::{Value, json};

    fn reply(first: u64, second: u64) -> Value {
        let row = |native: u64, value: u64| json!({ "native": native, "return": value, "descriptor": 1, "rewrite": 0, "later": 0 });
        let mut processes = [row(first, 0), row(second, 2)];
        // No process has such numbers, so that none has a name.
        processes[0]["pid"] = json!(4_194_305);
        processes[1]["pid"] = json!(4_194_306);
        let mut mount = row(0, 5);
        mount["target"] = json!("/m\nnt");
        mount["type"] = json!("umfuseext2");
        mount["epoch"] = json!(4);
        json!({ "processes": processes, "ended": row(3, 0), "mounts": [mount], "stops": 7, "notifications": 8 })
    }

    #[test]
    fn rows_are_in_the_order_of_their_calls() {
        let expect = [
            "24 calls of 2 processes; 7 ptrace-stops, 8 notifications",
            "         CALLS/S    CALLS  NATIVE  RETURN      FD REWRITE   LATER  MOUNT",
            "               -        6       0       5       1       0       0  /m?nt (umfuseext2)",
            "    PID  CALLS/S    CALLS  NATIVE  RETURN      FD REWRITE   LATER  COMMAND",
            "4194306        -       13      10       2       1       0       0  ",
            "4194305        -        7       6       0       1       0       0  ",
            "               -        4       3       0       1       0       0  (ended)",
            "",
        ]
        .join("\n");
        assert_eq!(table(&Activity::of(&reply(6, 10)), None, false), expect);
    }

    #[test]
    fn the_fastest_comes_first_once_there_is_a_before() {
        let (old, new) = (Activity::of(&reply(6, 10)), Activity::of(&reply(26, 11)));
        let text = table(&new, Some((&old, 2.0)), true);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[3].starts_with("\x1b[7m") && lines[3].ends_with("COMMAND\x1b[0m"), "{text}");
        assert!(lines[4].starts_with("4194305     10.0       27 "), "{text}");
        assert!(lines[5].starts_with("4194306      0.5       14 "), "{text}");
        assert!(lines[6].starts_with("             0.0        4 "), "{text}");
        assert_eq!(table(&new, Some((&old, 2.0)), false).matches('\x1b').count(), 0);
    }

    #[test]
    fn an_answer_without_anything_is_no_table_of_mounts() {
        let text = table(&Activity::of(&json!({})), None, false);
        assert!(text.starts_with("0 calls of 0 processes") && !text.contains("MOUNT"), "{text}");
    }
}
