//! Two prints of the probe, line by line.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// What the paths in a print are called in the other: the first prefix that fits is replaced.
#[derive(Clone, Debug, Default)]
pub struct Mapping(pub Vec<(String, String)>);

impl Mapping {
    fn apply(&self, path: &str) -> String {
        for (from, to) in &self.0 {
            if let Some(rest) = path.strip_prefix(from.as_str())
                && (rest.is_empty() || rest.starts_with('/') || to == "/")
            {
                let mapped = format!("{to}{rest}");
                return if mapped.is_empty() { "/".to_owned() } else { mapped };
            }
        }
        path.to_owned()
    }

    /// A line of the probe, its paths as the other has them.
    fn line(&self, line: &str) -> String {
        match line.split_once("path:") {
            Some((start, path)) => format!("{start}path:{}", self.apply(path)),
            None => line.to_owned(),
        }
    }
}

/// Which call of which name in which form; how often it came before.
type Key<'a> = (usize, &'a str, &'a str, usize);

/// The lines of a print by what they are about.
fn by_call<'a>(print: &'a str, mapping: &Mapping) -> BTreeMap<Key<'a>, String> {
    let mut all = BTreeMap::new();
    for line in print.lines() {
        let mut words = line.splitn(4, ' ');
        let number = words.next().and_then(|word| word.parse().ok()).unwrap_or(usize::MAX);
        let (form, call) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let result = mapping.line(words.next().unwrap_or_default());
        let mut key = (number, form, call, 0);
        while all.contains_key(&key) {
            key.3 += 1;
        }
        all.insert(key, result);
    }
    all
}

/// What differs, the shortest name of each sort; empty if nothing does.
#[must_use]
pub fn compare(names: &[Vec<u8>], kernel: &str, view: &str, mapping: &Mapping) -> String {
    let (kernel, view) = (by_call(kernel, mapping), by_call(view, mapping));
    let keys: BTreeSet<&Key<'_>> = kernel.keys().chain(view.keys()).collect();
    // A sort is a call and its two results; the count, and the shortest name.
    let mut sorts: BTreeMap<(&str, String, String), (usize, usize, String)> = BTreeMap::new();
    for key in keys {
        let word = |result: Option<&String>| result.map_or("not asked", String::as_str).to_owned();
        let (expected, seen) = (word(kernel.get(key)), word(view.get(key)));
        if expected == seen {
            continue;
        }
        let (number, form, call, _) = *key;
        let name = names.get(number).map_or(&b""[..], Vec::as_slice);
        let text = format!("{form} {call} \"{}\": kernel: {expected}; view: {seen}", shown(name));
        let sort = (call, sort_of(&expected), sort_of(&seen));
        let entry = sorts.entry(sort).or_insert((0, usize::MAX, String::new()));
        entry.0 += 1;
        if name.len() < entry.1 {
            (entry.1, entry.2) = (name.len(), text);
        }
    }
    let mut found: Vec<_> = sorts.into_values().collect();
    found.sort_by_key(|(_, length, _)| *length);
    found.iter().map(|(count, _, text)| format!("  {count} times, as {text}\n")).collect()
}

/// A result without what belongs to the one name.
fn sort_of(result: &str) -> String {
    let mut words = result.split(' ');
    let errno = words.next().unwrap_or_default();
    let rest =
        words.next().map_or("", |word| if word.starts_with("path:") { " path" } else { " inode" });
    format!("{errno}{rest}")
}

/// A name for people, long repetitions as a count.
#[must_use]
pub fn shown(name: &[u8]) -> String {
    let mut out = String::new();
    for run in name.chunk_by(|a, b| a == b) {
        let text = run[..1].escape_ascii();
        if run.len() > 8 {
            let _ = write!(out, "{text}{{{}}}", run.len());
        } else {
            out.push_str(&run.escape_ascii().to_string());
        }
    }
    if out.len() > 300 { format!("{}... ({} bytes)", &out[..300], name.len()) } else { out }
}

#[cfg(test)]
mod tests {
    use super::{Mapping, compare};

    #[test]
    fn paths_are_compared_under_their_other_name() {
        let mapping = Mapping(vec![("/unreal".into(), String::new())]);
        let names = vec![b"a".to_vec()];
        assert_eq!(compare(&names, "0 R cwd 0 path:/a", "0 R cwd 0 path:/unreal/a", &mapping), "");
        assert_eq!(compare(&names, "0 R cwd 0 path:/", "0 R cwd 0 path:/unreal", &mapping), "");
        assert_ne!(compare(&names, "0 R cwd 0 path:/a", "0 R cwd 0 path:/unrealx/a", &mapping), "");
    }

    #[test]
    fn a_missing_line_is_a_difference() {
        assert_ne!(
            compare(&[b"a".to_vec()], "0 A stat 0\n0 R stat 0", "0 A stat 0", &Mapping::default()),
            ""
        );
    }
}
