//! Counts of calls by answer, and the trace of who answered each.

use crate::monitor::Monitor;
use crate::path;
use engine::{Answer, Call, Tid};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Kinds of answer, in the order of the columns.
pub(crate) const KINDS: [&str; 5] = ["native", "return", "descriptor", "rewrite", "later"];
/// One row for each number of the kernel, one for all others.
const NUMBERS: usize = 512;

/// How often something got each kind of answer. Added to without a lock: a reader may see one call more of one kind
/// than was there when it read the kind before.
#[derive(Default)]
pub(crate) struct Answers {
    cells: [AtomicU64; KINDS.len()],
}

impl Answers {
    pub(crate) fn add(&self, answer: &Answer) {
        self.cells[kind(answer)].fetch_add(1, Ordering::Relaxed);
    }

    /// In the order of [`KINDS`].
    pub(crate) fn read(&self) -> [u64; KINDS.len()] {
        core::array::from_fn(|i| self.cells[i].load(Ordering::Relaxed))
    }
}

/// A member for each kind.
fn row(counts: [u64; KINDS.len()]) -> Map<String, Value> {
    KINDS.iter().zip(counts).map(|(kind, count)| ((*kind).to_owned(), json!(count))).collect()
}

/// How often each call got each kind of answer.
pub(crate) struct Counts {
    cells: Vec<Answers>,
    /// Numbers that no row has, each told once.
    unknown: Mutex<BTreeSet<u32>>,
}

impl Counts {
    pub(crate) fn new() -> Self {
        Self {
            cells: (0..NUMBERS).map(|_| Default::default()).collect(),
            unknown: Mutex::default(),
        }
    }

    /// Tells of a number that this build does not know, the first time it is seen; a few thousand are told.
    pub(crate) fn note_unknown(&self, number: u32) {
        let mut told = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < 4096 && told.insert(number) {
            tracing::warn!(number, "unknown system call, answered ENOSYS");
        }
    }

    /// The time, where the trace wants it.
    pub(crate) fn begin(&self) -> Option<Instant> {
        tracing::enabled!(target: "calls", tracing::Level::DEBUG).then(Instant::now)
    }

    pub(crate) fn end(&self, start: Option<Instant>, tid: Tid, call: Call, answer: &Answer) {
        let number = usize::try_from(call.number).unwrap_or(NUMBERS).min(NUMBERS - 1);
        self.cells[number].add(answer);
        if let Some(start) = start {
            let name = syscalls::row(call.number).map_or("?", |r| r.name);
            let micros = start.elapsed().as_nanos() as f64 / 1000.0;
            tracing::debug!(target: "calls", tid = tid.0, call = name, ?answer, micros);
        }
    }

    /// Of all calls together.
    fn all(&self) -> [u64; KINDS.len()] {
        let cells = self.cells.iter().map(Answers::read);
        cells.fold(Default::default(), |sum, counts| core::array::from_fn(|i| sum[i] + counts[i]))
    }

    /// Rows with any count: name, counts in the order of [`KINDS`].
    pub(crate) fn rows(&self) -> Vec<(String, [u64; KINDS.len()])> {
        let mut rows = Vec::new();
        for (number, cells) in self.cells.iter().enumerate() {
            let counts = cells.read();
            if counts.iter().any(|&c| c > 0) {
                let known = u32::try_from(number).ok().and_then(syscalls::row);
                let name = known.map_or("virtual or unknown", |r| r.name).to_owned();
                rows.push((name, counts));
            }
        }
        rows.sort_by_key(|(_, c)| std::cmp::Reverse(c.iter().sum::<u64>()));
        rows
    }
}

impl Monitor {
    /// Counts by call, for `umview stat`.
    pub(crate) fn counts_as_json(&self) -> Value {
        let calls = self.counts.rows().into_iter().map(|(name, counts)| {
            let mut row = row(counts);
            row.insert("call".into(), json!(name));
            Value::Object(row)
        });
        let (stops, notifications) = self.engine().counts();
        json!({
            "calls": calls.collect::<Vec<_>>(), "stops": stops, "notifications": notifications,
        })
    }

    /// Counts by process and by mount, for `umview top`.
    pub(crate) fn activity(&self) -> Value {
        let mut ended = self.counts.all();
        let processes = self.tasks.processes().into_iter().map(|proc| {
            let counts = proc.answers.read();
            // A call that is counted between the two readings is not taken twice.
            ended.iter_mut().zip(counts).for_each(|(all, own)| *all = all.saturating_sub(own));
            let mut row = row(counts);
            row.insert("pid".into(), json!(proc.tgid));
            row.insert("view".into(), json!(proc.view().id));
            Value::Object(row)
        });
        let processes: Vec<Value> = processes.collect();
        let mounts = self.mounts.snapshot();
        let shown = mounts.all().iter().filter(|mount| !mount.is_hidden && !mount.is_detached());
        let mounts = shown.map(|mount| {
            let mut row = row(mount.answers.read());
            row.insert("target".into(), json!(path::text(&mount.target)));
            row.insert("type".into(), json!(mount.fs_type));
            row.insert("view".into(), json!(mount.view));
            row.insert("epoch".into(), json!(mount.born.0));
            Value::Object(row)
        });
        let (stops, notifications) = self.engine().counts();
        json!({
            "processes": processes,
            "ended": row(ended),
            "mounts": mounts.collect::<Vec<_>>(),
            "stops": stops,
            "notifications": notifications,
        })
    }
}

fn kind(answer: &Answer) -> usize {
    match answer {
        Answer::Native | Answer::DetachAndRestart | Answer::DetachOthers(_) => 0,
        Answer::Return(_) => 1,
        Answer::Fd(..) => 2,
        Answer::Rewrite(_) => 3,
        Answer::Later(_) => 4,
        Answer::Require(_, inner) => kind(inner),
    }
}
