//! The files that are served, by number, and which of them the kernel knows.

use super::Content;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The number of a file: its inode number to the kernel. No number is used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeNumber(pub u64);

/// All files of one mount.
#[derive(Default)]
pub struct Nodes {
    table: Mutex<HashMap<u64, Node>>,
    forgotten: Condvar,
    made: AtomicU64,
}

struct Node {
    content: Arc<dyn Content>,
    /// How often the kernel has looked it up without forgetting it.
    lookups: u64,
    /// What to do when it has.
    at_end: Option<Box<dyn FnOnce() + Send>>,
}

/// The name of a file in the root directory: the number, and after a colon the words that `/proc/PID/maps` shows.
pub(super) fn name(number: NodeNumber, shown: &[u8]) -> Vec<u8> {
    let mut name = format!("{}:", number.0).into_bytes();
    name.extend(shown.iter().filter(|&&b| b != b'/' && b != 0).take(200));
    name
}

/// The number that a name begins with.
pub(super) fn number(name: &[u8]) -> Option<NodeNumber> {
    let digits = name.split(|&b| b == b':').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok().map(NodeNumber)
}

impl Nodes {
    fn table(&self) -> MutexGuard<'_, HashMap<u64, Node>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a file in and gives it a number.
    pub fn add(&self, content: Arc<dyn Content>) -> NodeNumber {
        // 0 is no inode, 1 is the root.
        let number = self.made.fetch_add(1, Ordering::Relaxed).saturating_add(2);
        self.table().insert(number, Node { content, lookups: 0, at_end: None });
        NodeNumber(number)
    }

    /// Takes a file out; the kernel gets `ESTALE` for it from now on.
    pub fn remove(&self, number: NodeNumber) {
        // Its handles are released outside the lock.
        let gone = self.table().remove(&number.0);
        drop(gone);
    }

    /// The name by which the file is opened below the root of the mount.
    #[must_use]
    pub fn name(&self, number: NodeNumber, shown: &[u8]) -> Vec<u8> {
        name(number, shown)
    }

    pub(super) fn content(&self, number: NodeNumber) -> Option<Arc<dyn Content>> {
        self.table().get(&number.0).map(|node| Arc::clone(&node.content))
    }

    pub(super) fn looked_up(&self, number: NodeNumber) {
        if let Some(node) = self.table().get_mut(&number.0) {
            node.lookups = node.lookups.saturating_add(1);
        }
    }

    pub(super) fn forgotten(&self, number: NodeNumber, count: u64) {
        let mut table = self.table();
        let Some(node) = table.get_mut(&number.0) else { return };
        node.lookups = node.lookups.saturating_sub(count);
        if node.lookups > 0 {
            return;
        }
        let at_end = node.at_end.take();
        drop(table);
        self.forgotten.notify_all();
        if let Some(call) = at_end {
            call();
        }
    }

    /// Calls once, when the kernel knows nothing of a file any more: now, or from the thread that hears of it.
    pub fn when_forgotten(&self, number: NodeNumber, call: Box<dyn FnOnce() + Send>) {
        if let Some(node) = self.table().get_mut(&number.0)
            && node.lookups > 0
        {
            node.at_end = Some(call);
            return;
        }
        call();
    }

    /// Whether the kernel knows nothing of a file: nobody has it open or mapped.
    #[must_use]
    pub fn is_forgotten(&self, number: NodeNumber) -> bool {
        self.table().get(&number.0).is_none_or(|node| node.lookups == 0)
    }

    /// Waits until the kernel knows none of these files, at most for `limit`; whether it is so.
    #[must_use]
    pub fn are_forgotten(&self, numbers: &[NodeNumber], limit: Duration) -> bool {
        let deadline = Instant::now().checked_add(limit);
        let mut table = self.table();
        loop {
            let is_known = |n: &NodeNumber| table.get(&n.0).is_some_and(|node| node.lookups > 0);
            if !numbers.iter().any(is_known) {
                return true;
            }
            let left =
                deadline.map_or(Duration::ZERO, |d| d.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return false;
            }
            let waited = self.forgotten.wait_timeout(table, left);
            table = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{NodeNumber, name, number};

    #[test]
    fn a_name_tells_its_number_whatever_it_shows() {
        for shown in [&b"libc.so.6"[..], b"", b"7:8", b"a/b\0c", &[b'x'; 300]] {
            let name = name(NodeNumber(42), shown);
            assert_eq!(number(&name), Some(NodeNumber(42)));
            assert!(name.len() < 255 && !name.contains(&b'/') && !name.contains(&0));
        }
        assert_eq!(number(b"x:1"), None);
    }
}
