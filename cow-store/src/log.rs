//! `.viewos/log`: the metadata that has no place in the tree, and the intent of operations that are more
//! than one call.
//!
//! An append-only file of records. A record is `u32` payload length, 8 bytes of the payload's blake3,
//! payload; integers are little-endian. A payload is a tag byte: 0 = transaction, followed by its steps;
//! 1 = the last transaction is done; 2 = the last transaction did nothing.
//!
//! A record counts when all of it is there: one appending write is the moment at which an operation is
//! decided. A torn last record never happened. The file steps of the last transaction, if no mark follows
//! it, are done again at the next open: each knows the inode it moves, so doing it twice does nothing.

use crate::Error;
use std::collections::BTreeMap;
use std::ops::Bound;

/// The most bytes of one payload: no operation of ours comes near.
const PAYLOAD_BYTES_MAX: usize = 1 << 24;

/// Length and checksum before a payload.
const HEADER_BYTES: usize = 12;

/// One step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Rename `from`, if it is still inode `ino`, to `to`.
    Rename { from: Vec<u8>, to: Vec<u8>, ino: u64 },
    /// Exchange `a`, if it is still inode `ino`, and `b`.
    Exchange { a: Vec<u8>, b: Vec<u8>, ino: u64 },
    /// Remove the name `path`, if it is still inode `ino`.
    Unlink { path: Vec<u8>, ino: u64 },
    /// The metadata `key` of `path` is `value`.
    Set { path: Vec<u8>, key: Vec<u8>, value: Vec<u8> },
    /// `path` has no metadata `key`.
    Unset { path: Vec<u8>, key: Vec<u8> },
    /// All metadata at and below `from` is now `to`'s, which has no other.
    Carry { from: Vec<u8>, to: Vec<u8> },
    /// The metadata at and below `a` and `b` change places.
    Swap { a: Vec<u8>, b: Vec<u8> },
    /// Nothing at or below `path` has metadata.
    Drop { path: Vec<u8> },
    /// The hard-link group `id` has `remaining` lower names that are not in the store; 0 and gone if
    /// `remaining` is `u64::MAX`.
    Group { id: Vec<u8>, remaining: u64 },
}

/// A whole record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// Steps that belong together.
    Transaction(Vec<Step>),
    /// The file steps of the transaction before were done.
    Done,
    /// The transaction before changed nothing and does not count.
    Abort,
}

/// The metadata of one path, by key.
type Keys = BTreeMap<Vec<u8>, Vec<u8>>;

/// The state the records add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    paths: BTreeMap<Vec<u8>, Keys>,
    groups: BTreeMap<Vec<u8>, u64>,
}

impl Facts {
    /// The metadata `key` of `path`.
    pub(crate) fn get(&self, path: &[u8], key: &[u8]) -> Option<&[u8]> {
        self.paths.get(path)?.get(key).map(Vec::as_slice)
    }

    /// All metadata of `path`.
    pub(crate) fn of(&self, path: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.paths.get(path).into_iter().flatten().map(|(k, v)| (k.as_slice(), v.as_slice()))
    }

    /// Every path with metadata.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &[u8]> {
        self.paths.keys().map(Vec::as_slice)
    }

    /// The paths at or below `path` that have metadata.
    pub(crate) fn below(&self, path: &[u8]) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        if self.paths.contains_key(path) {
            found.push(path.to_vec());
        }
        let mut first = path.to_vec();
        if !first.is_empty() {
            first.push(b'/');
        }
        let range = (Bound::Included(first.clone()), Bound::Unbounded);
        for key in self.paths.range(range).map(|(k, _)| k) {
            if !key.starts_with(&first) {
                break;
            }
            if key != path {
                found.push(key.clone());
            }
        }
        found
    }

    /// The hard-link groups with their remaining lower names.
    pub(crate) const fn groups(&self) -> &BTreeMap<Vec<u8>, u64> {
        &self.groups
    }

    /// Whether `path` is that of a group below `links`.
    pub(crate) fn is_group(&self, path: &[u8], links: &[u8]) -> bool {
        crate::path::strip(path, links).is_some_and(|id| self.groups.contains_key(id))
    }

    /// Whether nothing is recorded.
    pub(crate) fn is_empty(&self) -> bool {
        self.paths.is_empty() && self.groups.is_empty()
    }

    /// Lets `step` happen; file steps change nothing here.
    pub(crate) fn apply(&mut self, step: &Step) {
        match step {
            Step::Rename { .. } | Step::Exchange { .. } | Step::Unlink { .. } => {}
            Step::Set { path, key, value } => {
                self.paths.entry(path.clone()).or_default().insert(key.clone(), value.clone());
            }
            Step::Unset { path, key } => {
                if let Some(keys) = self.paths.get_mut(path) {
                    keys.remove(key);
                    if keys.is_empty() {
                        self.paths.remove(path);
                    }
                }
            }
            Step::Carry { from, to } => {
                let moved = self.take(from);
                self.take(to);
                self.put(to, moved);
            }
            Step::Swap { a, b } => {
                let (at_a, at_b) = (self.take(a), self.take(b));
                self.put(a, at_b);
                self.put(b, at_a);
            }
            Step::Drop { path } => {
                self.take(path);
            }
            Step::Group { id, remaining: u64::MAX } => {
                self.groups.remove(id);
            }
            Step::Group { id, remaining } => {
                self.groups.insert(id.clone(), *remaining);
            }
        }
    }

    /// Takes all at and below `path` out, by the rest of the path.
    fn take(&mut self, path: &[u8]) -> Vec<(Vec<u8>, Keys)> {
        self.below(path)
            .into_iter()
            .filter_map(|full| {
                let keys = self.paths.remove(&full)?;
                Some((full.get(path.len()..).unwrap_or_default().to_vec(), keys))
            })
            .collect()
    }

    fn put(&mut self, path: &[u8], entries: Vec<(Vec<u8>, Keys)>) {
        for (rest, keys) in entries {
            let mut full = path.to_vec();
            full.extend_from_slice(&rest);
            self.paths.insert(full, keys);
        }
    }

    /// The steps that make this out of nothing.
    pub(crate) fn to_steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (path, keys) in &self.paths {
            for (key, value) in keys {
                let (path, key, value) = (path.clone(), key.clone(), value.clone());
                steps.push(Step::Set { path, key, value });
            }
        }
        for (id, &remaining) in &self.groups {
            steps.push(Step::Group { id: id.clone(), remaining });
        }
        steps
    }

    /// The shortest log that adds up to this.
    pub(crate) fn to_log(&self) -> Vec<u8> {
        let mut log = Vec::new();
        for step in self.to_steps() {
            log.extend(Record::Transaction(vec![step]).to_bytes());
        }
        if !log.is_empty() {
            log.extend(Record::Done.to_bytes());
        }
        log
    }
}

/// What a log file says.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    /// The sum of all records.
    pub(crate) facts: Facts,
    /// The file steps of a transaction that nobody marked.
    pub(crate) pending: Vec<Step>,
    /// Where the whole records end.
    pub(crate) valid_bytes: usize,
}

/// Reads a log.
///
/// # Errors
/// - [`Error::Log`] if a record in the middle is not whole, or a whole one makes no sense.
pub(crate) fn replay(bytes: &[u8]) -> Result<Replay, Error> {
    let mut out = Replay::default();
    let mut open: Option<Vec<Step>> = None;
    let mut at = 0;
    while let Some((payload, next)) = frame(bytes, at)? {
        let record = Record::parse(payload).ok_or(Error::Log { offset: at })?;
        match record {
            Record::Transaction(steps) => {
                settle(&mut out.facts, open.replace(steps));
            }
            Record::Done => settle(&mut out.facts, open.take()),
            Record::Abort => open = None,
        }
        at = next;
    }
    out.valid_bytes = at;
    if let Some(steps) = open {
        out.pending = steps.iter().filter(|s| s.is_file_step()).cloned().collect();
        settle(&mut out.facts, Some(steps));
    }
    Ok(out)
}

fn settle(facts: &mut Facts, steps: Option<Vec<Step>>) {
    for step in steps.into_iter().flatten() {
        facts.apply(&step);
    }
}

/// The payload of the record at `at` and where the next begins; `None` at the end, torn or not.
fn frame(bytes: &[u8], at: usize) -> Result<Option<(&[u8], usize)>, Error> {
    let rest = bytes.get(at..).unwrap_or_default();
    let Some(header) = rest.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let [l0, l1, l2, l3, sum @ ..] = *header;
    let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
    let Some(end) = HEADER_BYTES.checked_add(length) else { return Ok(None) };
    let Some(payload) = rest.get(HEADER_BYTES..end) else {
        return if length > PAYLOAD_BYTES_MAX { Err(Error::Log { offset: at }) } else { Ok(None) };
    };
    if checksum(payload) != sum {
        // A write that did not finish leaves a short file; a whole length with a wrong sum is damage.
        return Err(Error::Log { offset: at });
    }
    Ok(Some((payload, at.saturating_add(end))))
}

fn checksum(payload: &[u8]) -> [u8; 8] {
    let hash = blake3::hash(payload);
    *hash.as_bytes().first_chunk().unwrap_or(&[0; 8])
}

impl Step {
    /// Whether the step is done on the tree and not only in the sum.
    pub(crate) const fn is_file_step(&self) -> bool {
        matches!(self, Self::Rename { .. } | Self::Exchange { .. } | Self::Unlink { .. })
    }

    /// The same metadata for another path, if it is metadata of a path.
    pub(crate) fn for_path(&self, path: &[u8]) -> Option<Self> {
        match self {
            Self::Set { key, value, .. } => {
                Some(Self::Set { path: path.to_vec(), key: key.clone(), value: value.clone() })
            }
            _ => None,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let (tag, texts, number): (u8, &[&[u8]], u64) = match self {
            Self::Rename { from, to, ino } => (1, &[from, to], *ino),
            Self::Exchange { a, b, ino } => (2, &[a, b], *ino),
            Self::Unlink { path, ino } => (3, &[path], *ino),
            Self::Set { path, key, value } => (4, &[path, key, value], 0),
            Self::Unset { path, key } => (5, &[path, key], 0),
            Self::Carry { from, to } => (6, &[from, to], 0),
            Self::Swap { a, b } => (7, &[a, b], 0),
            Self::Drop { path } => (8, &[path], 0),
            Self::Group { id, remaining } => (9, &[id], *remaining),
        };
        out.push(tag);
        out.extend(number.to_le_bytes());
        for text in texts {
            // Paths and values are far below 4 GiB: the kernel's limits are 4096 and 65536 bytes.
            out.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
            out.extend_from_slice(text);
        }
    }

    fn read(cursor: &mut &[u8]) -> Option<Self> {
        let (&tag, rest) = cursor.split_first()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        *cursor = rest;
        let number = u64::from_le_bytes(*number);
        let mut text = || {
            let (length, rest) = cursor.split_first_chunk::<4>()?;
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            let (text, rest) = rest.split_at_checked(length)?;
            *cursor = rest;
            Some(text.to_vec())
        };
        Some(match tag {
            1 => Self::Rename { from: text()?, to: text()?, ino: number },
            2 => Self::Exchange { a: text()?, b: text()?, ino: number },
            3 => Self::Unlink { path: text()?, ino: number },
            4 => Self::Set { path: text()?, key: text()?, value: text()? },
            5 => Self::Unset { path: text()?, key: text()? },
            6 => Self::Carry { from: text()?, to: text()? },
            7 => Self::Swap { a: text()?, b: text()? },
            8 => Self::Drop { path: text()? },
            9 => Self::Group { id: text()?, remaining: number },
            _ => return None,
        })
    }
}

impl Record {
    /// The whole record, header included.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut payload = Vec::new();
        match self {
            Self::Transaction(steps) => {
                payload.push(0);
                for step in steps {
                    step.write(&mut payload);
                }
            }
            Self::Done => payload.push(1),
            Self::Abort => payload.push(2),
        }
        let mut bytes = Vec::with_capacity(payload.len().saturating_add(HEADER_BYTES));
        bytes.extend(u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend(checksum(&payload));
        bytes.extend(payload);
        bytes
    }

    fn parse(payload: &[u8]) -> Option<Self> {
        let (&tag, mut cursor) = payload.split_first()?;
        match tag {
            0 => {
                let mut steps = Vec::new();
                while !cursor.is_empty() {
                    steps.push(Step::read(&mut cursor)?);
                }
                Some(Self::Transaction(steps))
            }
            1 if cursor.is_empty() => Some(Self::Done),
            2 if cursor.is_empty() => Some(Self::Abort),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
