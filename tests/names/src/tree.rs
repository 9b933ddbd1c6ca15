//! Random trees.

use crate::noise::Noise;
use std::ffi::OsStr;
use std::fs::{self, FileTimes};
use std::io::Result;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

/// The most links that the kernel follows on one walk, and a few more.
const CHAIN: usize = 44;

/// Ordinary names, few, so that random paths often meet one.
const PLAIN: [&[u8]; 8] = [b"a", b"b", b"c", b"dir", b"e", b"file", b"mnt", b"x"];
/// Names that a careless walk takes for something else.
const ODD: [&[u8]; 12] = [
    b"...",
    b".hidden",
    b" ",
    b"-n",
    b"~",
    b"\\",
    b"\n",
    b"\xff\xfe",
    b"caf\xc3\xa9",
    b"proc",
    b"a.",
    b"..a",
];

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link with its text.
    Link(Vec<u8>),
}

/// A tree, as paths below its root.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// Every node, parents before children; the root is not among them.
    pub nodes: Vec<(Vec<u8>, Node)>,
}

impl Tree {
    /// The tree of a seed; absolute links begin with `base`, where it will lie.
    #[must_use]
    pub fn new(noise: &mut Noise, base: &[u8]) -> Self {
        let mut tree = Self::default();
        tree.add(b"a", Node::Directory);
        tree.add(b"a/b", Node::Directory);
        tree.add(b"file", Node::File);
        for _ in 0..20 {
            let path = tree.free_name(noise);
            tree.add(&path, if noise.chance(55) { Node::Directory } else { Node::File });
        }
        for _ in 0..30 {
            let path = tree.free_name(noise);
            let text = tree.link_text(noise, base);
            tree.add(&path, Node::Link(text));
        }
        tree.add(b"self", Node::Link(b"self".to_vec()));
        tree.add(b"ping", Node::Link(b"pong".to_vec()));
        tree.add(b"pong", Node::Link(b"./ping".to_vec()));
        tree.add(b"slashed", Node::Link(b"file/".to_vec()));
        tree.add(b"to-dir", Node::Link(b"a/b/".to_vec()));
        tree.add(b"up", Node::Link(b"..".to_vec()));
        tree.add(b"absolute", Node::Link([base, b"/a/b"].concat()));
        tree.add(b"to-file", Node::Link([base, b"/./a/../file"].concat()));
        tree.add(b"from-root", Node::Link(b"/a/b".to_vec()));
        for n in 0..CHAIN {
            let text = if n == 0 { b"a".to_vec() } else { format!("chain{}", n - 1).into_bytes() };
            tree.add(format!("chain{n}").as_bytes(), Node::Link(text));
        }
        tree
    }

    fn add(&mut self, path: &[u8], node: Node) {
        if !self.nodes.iter().any(|(known, _)| known == path) {
            self.nodes.push((path.to_vec(), node));
        }
    }

    /// The paths of directories, the root as the empty one.
    fn directories(&self) -> Vec<&[u8]> {
        let below = self.nodes.iter().filter(|(_, node)| *node == Node::Directory);
        std::iter::once(&b""[..]).chain(below.map(|(path, _)| path.as_slice())).collect()
    }

    fn free_name(&self, noise: &mut Noise) -> Vec<u8> {
        let directories = self.directories();
        loop {
            let mut path = noise.pick(&directories).to_vec();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend(name(noise));
            if !self.nodes.iter().any(|(known, _)| *known == path) {
                return path;
            }
        }
    }

    fn link_text(&self, noise: &mut Noise, base: &[u8]) -> Vec<u8> {
        let mut text = crate::paths::walk(self, noise);
        match noise.below(6) {
            0 => [base, b"/", &text].concat(),
            1 => [&b"/"[..], &text].concat(),
            _ if text.is_empty() => b".".to_vec(),
            _ => {
                text.truncate(1000);
                text
            }
        }
    }

    /// Makes the tree in an empty directory. The n-th node has a time of n days after the first.
    ///
    /// # Errors
    /// As the host's.
    pub fn make(&self, root: &Path) -> Result<()> {
        let at = |path: &[u8]| -> PathBuf { root.join(OsStr::from_bytes(path)) };
        for (index, (path, node)) in self.nodes.iter().enumerate() {
            match node {
                Node::Directory => fs::create_dir(at(path))?,
                Node::File => fs::write(at(path), vec![b'.'; index])?,
                Node::Link(text) => symlink(OsStr::from_bytes(text), at(path))?,
            }
        }
        for (index, (path, node)) in self.nodes.iter().enumerate() {
            if matches!(node, Node::Link(_)) {
                set_link_time(&at(path), index)?;
            }
        }
        self.restore_times(root)
    }

    /// Sets the times of directories and files again, after names in them were made and removed.
    ///
    /// # Errors
    /// As the host's.
    pub fn restore_times(&self, root: &Path) -> Result<()> {
        for (index, (path, node)) in self.nodes.iter().enumerate() {
            if !matches!(node, Node::Link(_)) {
                set_time(&root.join(OsStr::from_bytes(path)), index)?;
            }
        }
        set_time(root, self.nodes.len())
    }
}

fn seconds(index: usize) -> u64 {
    1_000_000_000 + 86_400 * u64::try_from(index).unwrap_or(0)
}

fn set_time(path: &Path, index: usize) -> Result<()> {
    let time = UNIX_EPOCH + Duration::from_secs(seconds(index));
    fs::File::open(path)?.set_times(FileTimes::new().set_modified(time))
}

/// The standard library follows links.
fn set_link_time(path: &Path, index: usize) -> Result<()> {
    let mut touch = Command::new("touch");
    let when = format!("@{}", seconds(index));
    let status = touch.args(["-h", "-d", &when, "--"]).arg(path).status()?;
    if status.success() {
        Ok(())
    } else {
        Err(std::io::Error::other(format!("{touch:?}: {status}")))
    }
}

/// One component.
pub(crate) fn name(noise: &mut Noise) -> Vec<u8> {
    match noise.below(20) {
        0..15 => noise.pick(&PLAIN).to_vec(),
        15..18 => noise.pick(&ODD).to_vec(),
        18 => vec![b'n'; 255],
        _ => vec![0xfe; 254],
    }
}
