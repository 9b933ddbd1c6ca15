//! `umview stat`, `umview tree`, `umview top`, `umview explain`: questions about the running view.

use crate::ask;
use crate::cli::Top;
use crate::finish::answer;
use crate::top::top;
use anyhow::Result;
use clap::Parser;
use monitor::control::Request;
use serde_json::Value;
use std::ffi::OsString;

/// Columns of [`counts`], as the monitor names them.
const KINDS: [&str; 5] = ["native", "return", "descriptor", "rewrite", "later"];

/// A question in the place of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    Stat {
        json: bool,
    },
    Tree {
        json: bool,
    },
    Explain {
        path: String,
    },
    /// With the words behind it.
    Top {
        words: Vec<String>,
    },
}

impl Question {
    /// Reads the words behind `umview`; `None` if they are a command line.
    ///
    /// Only the exact forms are questions, so that `stat FILE` and `tree DIR` stay the commands that they are; `top`
    /// has options of ours where the first has a name, and top(1) only letters.
    pub(crate) fn read(words: &[OsString]) -> Option<Self> {
        let words: Option<Vec<&str>> = words.iter().map(|word| word.to_str()).collect();
        match words?.as_slice() {
            ["stat"] => Some(Self::Stat { json: false }),
            ["stat", "--json"] => Some(Self::Stat { json: true }),
            ["tree"] => Some(Self::Tree { json: false }),
            ["tree", "--json"] => Some(Self::Tree { json: true }),
            ["top", words @ ..] if words.first().is_none_or(|word| word.starts_with("--")) => {
                Some(Self::Top { words: words.iter().map(|word| (*word).to_owned()).collect() })
            }
            ["explain", path] => Some(Self::Explain { path: (*path).to_owned() }),
            _ => None,
        }
    }

    /// Asks, and prints the answer.
    ///
    /// # Errors
    /// Outside a view; if a folder of the name does not exist.
    pub(crate) fn ask(&self) -> Result<()> {
        let text = match self {
            Self::Stat { json } => shown(&Request::Stat, *json, counts)?,
            Self::Tree { json } => shown(&Request::Tree, *json, tree)?,
            Self::Explain { path } => {
                shown(&Request::Explain { path: path.clone() }, false, explanation)?
            }
            Self::Top { words } => {
                let own_name = "umview top".to_owned();
                return top(&Top::parse_from(std::iter::once(&own_name).chain(words)));
            }
        };
        answer(&text)
    }
}

fn shown(request: &Request, json: bool, in_words: fn(&Value) -> String) -> Result<String> {
    let reply = ask(request)?;
    Ok(if json { format!("{reply:#}\n") } else { in_words(&reply) })
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or(0)
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A row a call, a column a kind of answer, most frequent first.
fn counts(reply: &Value) -> String {
    let mut out = format!("{:<20}", "call");
    for kind in KINDS {
        out.push_str(&format!(" {kind:>11}"));
    }
    out.push('\n');
    for row in list(reply, "calls") {
        out.push_str(&format!("{:<20}", text(row, "call")));
        for kind in KINDS {
            out.push_str(&format!(" {:>11}", number(row, kind)));
        }
        out.push('\n');
    }
    let (stops, notifications) = (number(reply, "stops"), number(reply, "notifications"));
    out.push_str(&format!("{stops} ptrace-stops, {notifications} notifications\n"));
    out
}

/// Views below the view that they are in.
fn tree(reply: &Value) -> String {
    let views = list(reply, "views");
    let mut out = String::new();
    for root in views.iter().filter(|view| view.get("parent").is_none_or(Value::is_null)) {
        branch(root, views, 0, &mut out);
    }
    out
}

/// A view's parent has a smaller number, so that the depth is bounded by how many there are.
fn branch(view: &Value, views: &[Value], depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    let id = number(view, "number");
    let name = text(view, "name");
    let shown = if name.is_empty() { String::new() } else { format!(" {name}") };
    out.push_str(&format!("{indent}view {id}{shown} (epoch {})\n", number(view, "epoch")));
    let words = |key: &str, show: fn(&Value) -> String| {
        list(view, key).iter().map(show).collect::<Vec<_>>().join(" ")
    };
    let services = words("services", |s| s.as_str().unwrap_or_default().to_owned());
    if !services.is_empty() {
        out.push_str(&format!("{indent}  services: {services}\n"));
    }
    for mount in list(view, "mounts") {
        let word = |key| text(mount, key);
        out.push_str(&format!(
            "{indent}  {} on {} type {} ({}; epoch {})\n",
            word("source"),
            word("target"),
            word("type"),
            word("options"),
            number(mount, "epoch")
        ));
    }
    let processes = words("processes", process);
    if !processes.is_empty() {
        out.push_str(&format!("{indent}  processes: {processes}\n"));
    }
    let children = views.iter().filter(|v| v.get("parent").and_then(Value::as_u64) == Some(id));
    for child in children.filter(|v| number(v, "number") > id) {
        branch(child, views, depth.saturating_add(1), out);
    }
}

/// The process id, and the name where /proc still has it.
fn process(pid: &Value) -> String {
    let pid = pid.as_u64().unwrap_or(0);
    match std::fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => format!("{pid}({})", name.trim_end()),
        Err(_) => pid.to_string(),
    }
}

fn explanation(reply: &Value) -> String {
    let mut out = format!("{}: {}\n", text(reply, "path"), text(reply, "answered_by"));
    let host = text(reply, "host_path");
    if !host.is_empty() && host != text(reply, "path") {
        out.push_str(&format!("  on the host: {host}\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Question, explanation, tree};
    use serde_json::json;
    use std::ffi::OsString;

    #[test]
    fn only_the_exact_forms_are_questions() {
        let read = |line: &str| {
            Question::read(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
        };
        assert_eq!(read("stat"), Some(Question::Stat { json: false }));
        assert_eq!(read("tree --json"), Some(Question::Tree { json: true }));
        assert_eq!(read("explain /x"), Some(Question::Explain { path: "/x".into() }));
        let words = vec!["--once".to_owned(), "--json".to_owned()];
        assert_eq!(read("top --once --json"), Some(Question::Top { words }));
        assert_eq!(read("top"), Some(Question::Top { words: Vec::new() }));
        for command in [
            "top -b",
            "-- top",
            "",
            "stat /etc",
            "stat -c %i",
            "tree /",
            "-- stat",
            "explain",
            "explain a b",
            "ls",
        ] {
            assert_eq!(read(command), None, "{command}");
        }
    }

    #[test]
    fn nested_views_stand_below_theirs() {
        let reply = json!({ "views": [
            { "number": 0, "name": "", "parent": null, "epoch": 1, "services": ["umfuse"], "processes": [],
              "mounts": [{ "target": "/mnt", "source": "i", "type": "umfuseext2", "options": "ro", "epoch": 3 }] },
            { "number": 1, "name": "in", "parent": 0, "epoch": 4, "services": [], "mounts": [], "processes": [] },
        ]});
        let expect = "view 0 (epoch 1)\n  services: umfuse\n  i on /mnt type umfuseext2 (ro; epoch 3)\n  \
                      view 1 in (epoch 4)\n";
        assert_eq!(tree(&reply), expect);
    }

    #[test]
    fn the_path_on_the_host_is_told_where_it_is_another() {
        let reply =
            json!({ "path": "/u/a", "answered_by": "the host's kernel", "host_path": "/a" });
        assert_eq!(explanation(&reply), "/u/a: the host's kernel\n  on the host: /a\n");
        let reply = json!({ "path": "/a", "answered_by": "the host's kernel", "host_path": "/a" });
        assert_eq!(explanation(&reply), "/a: the host's kernel\n");
    }
}
