//! Inode numbers for the paths of an overlay. They live as long as the mount: a number is a few dozen bytes.
//!
//! A directory has one path; a file that has several names has one number for all that were seen, so that its
//! openers share what is open.

use cow_store::dir::OpenFile;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The number of the mount's root.
pub(super) const ROOT: u64 = 1;

/// What a number stands for.
#[derive(Default)]
struct Node {
    /// Its names that are known; none once it was removed.
    paths: Vec<Vec<u8>>,
    /// Device and inode number as stat(2) shows them.
    visible: (u64, u64),
    /// How many open handles it has.
    opens: u32,
    /// What was open when the last name went.
    nameless: Option<Arc<OpenFile>>,
}

/// The table of one mount.
pub(super) struct Numbers {
    next: u64,
    /// In order, so that what is below a directory is found without a look at all others.
    by_path: BTreeMap<Vec<u8>, u64>,
    by_ino: HashMap<u64, Node>,
    /// Files with several names, by what stat(2) shows of them.
    linked: HashMap<(u64, u64), u64>,
    /// Directories of the host's tree below that were moved in the view alone: their path there, and number.
    moved: HashMap<Vec<u8>, u64>,
}

impl Numbers {
    pub(super) fn new() -> Self {
        let root = Node { paths: vec![Vec::new()], ..Node::default() };
        Self {
            next: ROOT + 1,
            by_path: BTreeMap::from([(Vec::new(), ROOT)]),
            by_ino: HashMap::from([(ROOT, root)]),
            linked: HashMap::new(),
            moved: HashMap::new(),
        }
    }

    /// A number that nothing else has: of an inode, or of a handle.
    pub(super) fn fresh(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }

    /// A name of `ino`.
    pub(super) fn path(&self, ino: u64) -> Option<&[u8]> {
        self.by_ino.get(&ino)?.paths.first().map(Vec::as_slice)
    }

    /// What is open of a file that has no name any more.
    pub(super) fn nameless(&self, ino: u64) -> Option<Arc<OpenFile>> {
        self.by_ino.get(&ino)?.nameless.clone()
    }

    /// What stat(2) showed of `ino` last; `None` before it was asked.
    pub(super) fn visible(&self, ino: u64) -> Option<(u64, u64)> {
        self.by_ino.get(&ino).map(|n| n.visible).filter(|&v| v != (0, 0))
    }

    /// The number of `path`, of which stat(2) shows `visible`; `has_others` if the file has other names.
    pub(super) fn number(&mut self, path: &[u8], visible: (u64, u64), has_others: bool) -> u64 {
        if let Some(&known) = self.by_path.get(path) {
            if let Some(node) = self.by_ino.get_mut(&known) {
                node.visible = visible;
            }
            if has_others {
                self.linked.entry(visible).or_insert(known);
            }
            return known;
        }
        if has_others && let Some(&known) = self.linked.get(&visible) {
            self.add_name(known, path);
            return known;
        }
        let number = self.fresh();
        self.by_path.insert(path.to_vec(), number);
        let node = Node { paths: vec![path.to_vec()], visible, ..Node::default() };
        self.by_ino.insert(number, node);
        if has_others {
            self.linked.insert(visible, number);
        }
        number
    }

    /// `path` is one more name of `ino`.
    pub(super) fn add_name(&mut self, ino: u64, path: &[u8]) {
        if let Some(node) = self.by_ino.get_mut(&ino) {
            node.paths.push(path.to_vec());
            self.by_path.insert(path.to_vec(), ino);
        }
    }

    /// Counts an open handle.
    pub(super) fn opened(&mut self, ino: u64) {
        if let Some(node) = self.by_ino.get_mut(&ino) {
            node.opens += 1;
        }
    }

    /// A handle is gone; a file without names goes with its last.
    pub(super) fn closed(&mut self, ino: u64) {
        let Some(node) = self.by_ino.get_mut(&ino) else { return };
        node.opens = node.opens.saturating_sub(1);
        if node.opens == 0 && node.paths.is_empty() {
            self.by_ino.remove(&ino);
        }
    }

    /// The number of a path that is known, if anything of it is open.
    pub(super) fn open_at(&self, path: &[u8]) -> Option<u64> {
        let ino = *self.by_path.get(path)?;
        self.by_ino.get(&ino).filter(|n| n.opens > 0).map(|_| ino)
    }

    /// The name `path` is gone; `kept` is what is open of the file.
    pub(super) fn removed(&mut self, path: &[u8], kept: Option<Arc<OpenFile>>) {
        let Some(ino) = self.by_path.remove(path) else { return };
        let Some(node) = self.by_ino.get_mut(&ino) else { return };
        node.paths.retain(|p| p != path);
        if !node.paths.is_empty() {
            return;
        }
        if node.opens > 0 && kept.is_some() {
            node.nameless = kept;
        } else {
            self.by_ino.remove(&ino);
        }
        self.linked.retain(|_, n| *n != ino);
        self.moved.retain(|_, n| *n != ino);
    }

    /// The paths that are known at and below `top`, which is not the root, with their numbers.
    fn at_and_below(&self, top: &[u8]) -> Vec<(Vec<u8>, u64)> {
        let below = [top, b"/"].concat();
        let itself = self.by_path.get_key_value(top).into_iter();
        let others = self.by_path.range(below.clone()..);
        let others = others.take_while(|(path, _)| path.starts_with(&below));
        itself.chain(others).map(|(path, number)| (path.clone(), *number)).collect()
    }

    /// Paths at and below `from` are at and below `to`; with `exchange` the other way too. What was at `to` is
    /// gone, and `kept` is what is open of it.
    pub(super) fn renamed(
        &mut self,
        from: &[u8],
        to: &[u8],
        exchange: bool,
        kept: Option<Arc<OpenFile>>,
    ) {
        if !exchange {
            self.removed(to, kept);
        }
        let mut moves = Vec::new();
        for (old, number) in self.at_and_below(from) {
            let new = [to, &old[from.len()..]].concat();
            moves.push((number, old, Some(new)));
        }
        for (old, number) in self.at_and_below(to) {
            let back = exchange.then(|| [from, &old[to.len()..]].concat());
            moves.push((number, old, back));
        }
        for (_, old, _) in &moves {
            self.by_path.remove(old);
        }
        for (number, old, new) in moves {
            let Some(node) = self.by_ino.get_mut(&number) else { continue };
            node.paths.retain(|p| *p != old);
            if let Some(new) = new {
                node.paths.push(new.clone());
                self.by_path.insert(new, number);
            } else if node.paths.is_empty() {
                self.by_ino.remove(&number);
            }
        }
    }

    /// The directory `ino` is not where the tree below has it, at `below`.
    pub(super) fn moved_from(&mut self, below: Vec<u8>, ino: u64) {
        self.moved.entry(below).or_insert(ino);
    }

    /// Whether any directory was moved in the view alone.
    pub(super) fn has_moved(&self) -> bool {
        !self.moved.is_empty()
    }

    /// Where in the view a file is that the tree below has at `below`: elsewhere, if a directory on the way was
    /// moved; `None` if that was removed.
    pub(super) fn now_at(&self, below: &[u8]) -> Option<Vec<u8>> {
        if self.moved.is_empty() {
            return Some(below.to_vec());
        }
        let mut cut = below.len();
        loop {
            let (top, rest) = below.split_at(cut);
            if let Some(ino) = self.moved.get(top) {
                return self.path(*ino).map(|now| [now, rest].concat());
            }
            match top.iter().rposition(|&b| b == b'/') {
                Some(at) => cut = at,
                None => return Some(below.to_vec()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Numbers;

    #[test]
    fn names_of_one_file_share_a_number_until_the_last_is_gone() {
        let mut n = Numbers::new();
        let a = n.number(b"a", (1, 7), true);
        assert_eq!(n.number(b"d/b", (1, 7), true), a);
        n.removed(b"a", None);
        assert_eq!(n.path(a), Some(&b"d/b"[..]));
        n.removed(b"d/b", None);
        assert_eq!(n.path(a), None);
        assert_ne!(n.number(b"c", (1, 7), true), a, "the host gave the inode to another file");
    }

    #[test]
    fn a_rename_moves_what_is_below_and_an_exchange_moves_both() {
        let mut n = Numbers::new();
        let dir = n.number(b"d", (1, 1), false);
        let file = n.number(b"d/f", (1, 2), false);
        let other = n.number(b"dx", (1, 3), false);
        n.renamed(b"d", b"e", false, None);
        assert_eq!((n.path(dir), n.path(file)), (Some(&b"e"[..]), Some(&b"e/f"[..])));
        n.renamed(b"e", b"dx", true, None);
        assert_eq!((n.path(file), n.path(other)), (Some(&b"dx/f"[..]), Some(&b"e"[..])));
    }

    #[test]
    fn a_descriptor_of_the_host_follows_its_directory() {
        let mut n = Numbers::new();
        let dir = n.number(b"d", (1, 1), false);
        n.moved_from(b"d".to_vec(), dir);
        n.renamed(b"d", b"x/e", false, None);
        assert_eq!(n.now_at(b"d/f/g").as_deref(), Some(&b"x/e/f/g"[..]));
        assert_eq!(n.now_at(b"dd").as_deref(), Some(&b"dd"[..]));
        n.removed(b"x/e", None);
        assert_eq!(n.now_at(b"d/f").as_deref(), Some(&b"d/f"[..]));
    }

    #[test]
    fn what_is_open_outlives_its_name() {
        let mut n = Numbers::new();
        let a = n.number(b"a", (1, 7), false);
        n.opened(a);
        let file = std::fs::File::open("/dev/null").unwrap();
        let fd: std::os::fd::OwnedFd = file.into();
        n.removed(b"a", Some(std::sync::Arc::new(fd.into())));
        assert!(n.nameless(a).is_some());
        n.closed(a);
        assert!(n.nameless(a).is_none());
    }
}
