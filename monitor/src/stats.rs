//! Counts of calls by answer, and the trace of who answered each.

use engine::{Answer, Call, Tid};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Kinds of answer, in the order of the columns.
pub(crate) const KINDS: [&str; 5] = ["native", "return", "descriptor", "rewrite", "later"];
/// One row for each number of the kernel, one for all others.
const NUMBERS: usize = 512;

/// How often each call got each kind of answer.
pub(crate) struct Counts {
    cells: Vec<[AtomicU64; KINDS.len()]>,
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
        self.cells[number][kind(answer)].fetch_add(1, Ordering::Relaxed);
        if let Some(start) = start {
            let name = syscalls::row(call.number).map_or("?", |r| r.name);
            let micros = start.elapsed().as_nanos() as f64 / 1000.0;
            tracing::debug!(target: "calls", tid = tid.0, call = name, ?answer, micros);
        }
    }

    /// Rows with any count: name, counts in the order of [`KINDS`].
    pub(crate) fn rows(&self) -> Vec<(String, [u64; KINDS.len()])> {
        let mut rows = Vec::new();
        for (number, cells) in self.cells.iter().enumerate() {
            let counts = core::array::from_fn(|i| cells[i].load(Ordering::Relaxed));
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
