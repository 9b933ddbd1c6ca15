//! All names of a store, in memory.
//!
//! Analogous to a dentry cache that is always complete: a question about a name that the store does not
//! hold is answered by hash look-ups, without a system call.

use crate::format::Form;
use crate::origin::Origin;
use crate::override_stat::Override;
use crate::path::{components, join, split};
use crate::watch::Watch;
use abi::fs::FileKind;
use std::collections::HashMap;

/// What the store says about a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing at this name nor below it, and nothing hides the lower tree: the lower file counts.
    Absent,
    /// Nothing at this name, and an ancestor hides the lower tree (opaque, whited out or no directory):
    /// the name does not exist.
    Hidden,
    /// Removed in the view.
    Whiteout,
    /// The lower file with other attributes.
    Shadow(Override),
    /// The store's own file.
    Entry(Entry),
}

/// One file of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The real file's type; the attributes may say another.
    pub real: FileKind,
    /// The real inode number in the store.
    pub ino: u64,
    /// The attributes in the view, where they differ from the real ones.
    pub attributes: Option<Override>,
    /// The lower file it was copied from.
    pub origin: Option<Origin>,
    /// For a directory: whether names of the lower directory are hidden by its own mark.
    pub opaque: bool,
    /// Whether the lower tree can be seen at this name: no ancestor, and for a directory not the
    /// directory itself, hides it.
    pub lower_visible: bool,
    /// Names of the inode in the tree.
    pub names: u64,
}

impl Entry {
    /// The type in the view.
    #[must_use]
    pub fn kind(&self) -> FileKind {
        self.attributes.and_then(|a| a.special).map_or(self.real, |(kind, _)| kind)
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.real == FileKind::Directory
    }
}

/// A name in a directory.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    /// The name is removed.
    Whiteout,
    /// A file that is no directory, by real inode number.
    File(u64),
    /// A directory.
    Directory(Directory),
}

/// A directory of the store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directory {
    /// The real inode number.
    pub(crate) ino: u64,
    /// Whether it hides the lower directory.
    pub(crate) opaque: bool,
    /// Its names.
    pub(crate) children: HashMap<Box<[u8]>, Node>,
}

impl Directory {
    /// Whether the real directory is empty: no name, and no mark that is a file in it.
    pub(crate) fn is_bare(&self, form: Form) -> bool {
        self.children.is_empty() && (form.xattrs || !self.opaque)
    }
}

/// What is known of an inode of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inode {
    /// The real type.
    pub(crate) real: FileKind,
    /// Attributes that differ from the real ones.
    pub(crate) attributes: Option<Override>,
    /// The lower file it was copied from.
    pub(crate) origin: Option<Origin>,
    /// How many names of the tree lead here.
    pub(crate) names: u64,
}

/// The names and inodes of a store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    root: Directory,
    inodes: HashMap<u64, Inode>,
    pub(crate) watch: Watch,
}

impl Tree {
    /// A tree with nothing but a root.
    pub(crate) fn new(root_ino: u64, root: Inode) -> Self {
        let root_dir = Directory { ino: root_ino, ..Directory::default() };
        let inodes = HashMap::from([(root_ino, root)]);
        Self { root: root_dir, inodes, watch: Watch::default() }
    }

    /// Whether no name is in it, and none is hidden.
    pub(crate) fn is_blank(&self) -> bool {
        self.root.children.is_empty() && !self.root.opaque
    }

    /// The state of `path`; a [`State::Shadow`] is not known here.
    pub(crate) fn lookup(&self, path: &[u8]) -> State {
        let mut at = &self.root;
        let mut hidden = at.opaque;
        let mut parts = components(path);
        let mut next = parts.next();
        while let Some(name) = next {
            let absent = if hidden { State::Hidden } else { State::Absent };
            next = parts.next();
            match at.children.get(name) {
                None => return absent,
                Some(Node::Whiteout) if next.is_none() => return State::Whiteout,
                Some(Node::Whiteout) => return State::Hidden,
                Some(Node::File(ino)) if next.is_none() => {
                    return self.entry(*ino, false, !hidden);
                }
                Some(Node::File(_)) => return State::Hidden,
                Some(Node::Directory(directory)) => {
                    hidden |= directory.opaque;
                    at = directory;
                }
            }
        }
        self.entry(at.ino, at.opaque, !hidden)
    }

    fn entry(&self, ino: u64, opaque: bool, lower_visible: bool) -> State {
        let Some(&Inode { real, attributes, origin, names }) = self.inodes.get(&ino) else {
            // The tree and its inodes are changed together; if not, the name must not look like a file.
            return State::Hidden;
        };
        State::Entry(Entry { real, ino, attributes, origin, opaque, lower_visible, names })
    }

    /// The directory at `path`, if it is one.
    pub(crate) fn directory(&self, path: &[u8]) -> Option<&Directory> {
        let mut at = &self.root;
        for name in components(path) {
            match at.children.get(name) {
                Some(Node::Directory(directory)) => at = directory,
                _ => return None,
            }
        }
        Some(at)
    }

    fn directory_mut(&mut self, path: &[u8]) -> Option<&mut Directory> {
        let mut at = &mut self.root;
        for name in components(path) {
            match at.children.get_mut(name) {
                Some(Node::Directory(directory)) => at = directory,
                _ => return None,
            }
        }
        Some(at)
    }

    /// The inode with the number `ino`.
    pub(crate) fn inode(&self, ino: u64) -> Option<&Inode> {
        self.inodes.get(&ino)
    }

    /// The inode with the number `ino`, to change.
    pub(crate) fn inode_mut(&mut self, ino: u64) -> Option<&mut Inode> {
        self.inodes.get_mut(&ino)
    }

    /// The lower files of which there are copies.
    pub(crate) fn origins(&self) -> impl Iterator<Item = Origin> {
        self.inodes.values().filter_map(|inode| inode.origin)
    }

    /// Makes the directory at `path` opaque or not.
    pub(crate) fn set_opaque(&mut self, path: &[u8], opaque: bool) {
        if let Some(directory) = self.directory_mut(path) {
            directory.opaque = opaque;
            self.watch.doubts();
        }
    }

    /// Puts a whiteout at `path`, over whatever is there.
    pub(crate) fn put_whiteout(&mut self, path: &[u8]) {
        self.remove(path);
        self.attach(path, Node::Whiteout);
    }

    /// Puts the inode `ino` at `path`, over whatever is there; a name more if it is known already.
    pub(crate) fn put(&mut self, path: &[u8], ino: u64, inode: Inode, opaque: bool) {
        self.remove(path);
        if let Some(origin) = &inode.origin {
            self.watch.copied(origin);
        }
        let known = self.inodes.entry(ino).or_insert(Inode { names: 0, ..inode });
        known.names = known.names.saturating_add(1);
        let node = match known.real {
            FileKind::Directory => {
                Node::Directory(Directory { ino, opaque, ..Directory::default() })
            }
            _ => Node::File(ino),
        };
        self.attach(path, node);
    }

    /// Takes the name at `path` away, with all below it.
    pub(crate) fn remove(&mut self, path: &[u8]) {
        if let Some(node) = self.detach(path) {
            self.forget(node);
        }
    }

    /// Moves the node at `from` to `to`, over whatever is there.
    pub(crate) fn rename(&mut self, from: &[u8], to: &[u8]) {
        if let Some(node) = self.detach(from) {
            self.remove(to);
            self.attach(to, node);
        }
    }

    /// Exchanges two nodes.
    pub(crate) fn exchange(&mut self, a: &[u8], b: &[u8]) {
        let (at_a, at_b) = (self.detach(a), self.detach(b));
        if let Some(node) = at_b {
            self.attach(a, node);
        }
        if let Some(node) = at_a {
            self.attach(b, node);
        }
    }

    /// Every path of the tree with its node, parents first; the root is not told.
    pub(crate) fn walk(&self) -> Vec<(Vec<u8>, &Node)> {
        let mut found = Vec::new();
        let mut open = vec![(Vec::new(), &self.root)];
        while let Some((path, directory)) = open.pop() {
            let mut names: Vec<_> = directory.children.iter().collect();
            names.sort_by_key(|(name, _)| *name);
            for (name, node) in names {
                let full = join(&path, name);
                if let Node::Directory(below) = node {
                    open.push((full.clone(), below));
                }
                found.push((full, node));
            }
        }
        found.sort_by(|(a, _), (b, _)| a.split(|&c| c == b'/').cmp(b.split(|&c| c == b'/')));
        found
    }

    fn attach(&mut self, path: &[u8], node: Node) {
        if self.watch.is_there() {
            self.tell(path, &node);
        }
        if let Some((parent, name)) = split(path)
            && let Some(directory) = self.directory_mut(parent)
        {
            directory.children.insert(name.into(), node);
        }
    }

    /// The watcher hears of a node that is put at `path`, and of all below it.
    fn tell(&self, path: &[u8], node: &Node) {
        self.watch.appears(path);
        if let Node::Directory(directory) = node {
            for (name, below) in &directory.children {
                self.tell(&join(path, name), below);
            }
        }
    }

    fn detach(&mut self, path: &[u8]) -> Option<Node> {
        let (parent, name) = split(path)?;
        self.directory_mut(parent)?.children.remove(name)
    }

    fn forget(&mut self, node: Node) {
        let mut open = vec![node];
        while let Some(node) = open.pop() {
            let ino = match node {
                Node::Whiteout => continue,
                Node::File(ino) => ino,
                Node::Directory(directory) => {
                    open.extend(directory.children.into_values());
                    directory.ino
                }
            };
            if let Some(inode) = self.inodes.get_mut(&ino) {
                inode.names = inode.names.saturating_sub(1);
                if inode.names == 0 {
                    self.inodes.remove(&ino);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Inode, State, Tree};
    use abi::fs::FileKind;

    fn inode(real: FileKind) -> Inode {
        Inode { real, attributes: None, origin: None, names: 0 }
    }

    fn tree() -> Tree {
        let mut tree = Tree::new(1, Inode { names: 1, ..inode(FileKind::Directory) });
        tree.put(b"d", 2, inode(FileKind::Directory), false);
        tree.put(b"d/f", 3, inode(FileKind::Regular), false);
        tree.put(b"d/o", 4, inode(FileKind::Directory), true);
        tree.put_whiteout(b"d/w");
        tree
    }

    #[test]
    fn lookup_tells_absent_from_hidden() {
        let tree = tree();
        assert!(!tree.is_blank());
        assert_eq!(tree.lookup(b"x/y"), State::Absent);
        assert_eq!(tree.lookup(b"d/x"), State::Absent);
        assert_eq!(tree.lookup(b"d/w"), State::Whiteout);
        assert_eq!(tree.lookup(b"d/w/x"), State::Hidden);
        assert_eq!(tree.lookup(b"d/f/x"), State::Hidden);
        assert_eq!(tree.lookup(b"d/o/x/y"), State::Hidden);
        assert!(matches!(tree.lookup(b"d"), State::Entry(e) if e.lower_visible && !e.opaque));
        assert!(matches!(tree.lookup(b"d/o"), State::Entry(e) if !e.lower_visible && e.opaque));
    }

    #[test]
    fn names_of_an_inode_are_counted() {
        let mut tree = tree();
        tree.put(b"d/g", 3, inode(FileKind::Regular), false);
        assert!(matches!(tree.lookup(b"d/f"), State::Entry(e) if e.names == 2));
        tree.remove(b"d/f");
        assert!(matches!(tree.lookup(b"d/g"), State::Entry(e) if e.names == 1));
        tree.put_whiteout(b"d");
        assert_eq!(tree.inode(3), None);
        assert!(!tree.is_blank());
        tree.remove(b"d");
        assert!(tree.is_blank());
        tree.set_opaque(b"", true);
        assert!(!tree.is_blank());
    }

    #[test]
    fn rename_and_exchange_carry_whole_directories() {
        let mut tree = tree();
        tree.rename(b"d", b"e");
        assert_eq!(tree.lookup(b"d/f"), State::Absent);
        assert!(matches!(tree.lookup(b"e/f"), State::Entry(_)));
        tree.put(b"x", 9, inode(FileKind::Regular), false);
        tree.exchange(b"e", b"x");
        assert!(matches!(tree.lookup(b"x/f"), State::Entry(_)));
        assert!(matches!(tree.lookup(b"e"), State::Entry(e) if e.ino == 9));
    }
}
