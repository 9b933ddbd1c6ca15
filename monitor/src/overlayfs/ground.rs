//! What an overlay's trees lie on: which file of the view a file of the host is.

use super::OverlayFs;
use crate::path;
use abi::fs::{FileSystem, Ino, StatFs};
use abi::{Errno, Result};
use std::sync::Arc;

/// Where a tree lies.
#[derive(Clone)]
pub(crate) enum Ground {
    /// At this path of the host.
    Host(Vec<u8>),
    /// Below a directory of another overlay, which may have its files on the host.
    Overlay(Arc<OverlayFs>, Ino),
    /// On a driver's file system.
    Driver(Arc<dyn FileSystem>),
}

impl Ground {
    /// The path below the tree's root of a file of the host.
    pub(super) fn path_of_host(&self, link: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Host(base) => path::below(link, base).map(<[u8]>::to_vec),
            Self::Overlay(fs, root) => {
                let full = fs.path_of_host(link)?;
                let top = fs.path_of(*root)?;
                if top.is_empty() {
                    return Some(full);
                }
                match full.strip_prefix(top.as_slice())? {
                    [] => Some(Vec::new()),
                    [b'/', rest @ ..] => Some(rest.to_vec()),
                    _ => None,
                }
            }
            Self::Driver(_) => None,
        }
    }

    /// Whether a file without a name was made here: overlays make them in the store that they lie on at last.
    pub(super) fn holds_nameless(&self, link: &[u8]) -> bool {
        match self {
            Self::Host(base) => path::below(link, base).is_some(),
            Self::Overlay(fs, _) => fs.grounds.source.holds_nameless(link),
            Self::Driver(_) => false,
        }
    }

    /// Whether the kernel finds the same as the view under a path of this tree.
    fn is_the_hosts(&self, below: &[u8]) -> bool {
        match self {
            Self::Host(_) => true,
            Self::Overlay(fs, root) => fs.path_of(*root).is_some_and(|top| {
                fs.is_lower(&match (top.is_empty(), below.is_empty()) {
                    (true, _) => below.to_vec(),
                    (_, true) => top,
                    _ => [top.as_slice(), b"/", below].concat(),
                })
            }),
            Self::Driver(_) => false,
        }
    }

    /// The path on the host of the tree's root, where that is the host's own.
    pub(super) fn host(&self) -> Option<&[u8]> {
        match self {
            Self::Host(base) => Some(base),
            _ => None,
        }
    }

    pub(super) fn statfs(&self) -> Result<StatFs> {
        match self {
            Self::Overlay(fs, _) => fs.statfs(),
            Self::Driver(fs) => fs.statfs(),
            Self::Host(base) => crate::hostview::statfs(base),
        }
    }

    pub(super) fn sync(&self) -> Result<()> {
        match self {
            Self::Overlay(fs, _) => fs.sync(),
            Self::Driver(fs) => fs.sync(),
            // The host's files are written by the kernel.
            Self::Host(_) => Ok(()),
        }
    }

    /// Whether a new store at the same place would be this one again.
    pub(super) fn is_in(&self, fs: &Arc<dyn FileSystem>) -> bool {
        matches!(self, Self::Driver(own) if Arc::ptr_eq(own, fs))
    }
}

/// The trees of one mount.
pub(crate) struct Grounds {
    /// The tree below, and those that were mounted in it, each with its path; the outermost has the empty one.
    pub(crate) lower: Vec<(Vec<u8>, Ground)>,
    /// The store, or the source of a merge.
    pub(crate) source: Ground,
    /// The inode of the source's root, where that is a driver's.
    pub(crate) source_root: Ino,
}

impl Grounds {
    /// The path below the mount of a file of the host that the lower tree shows.
    pub(super) fn path_in_lower(&self, link: &[u8]) -> Option<Vec<u8>> {
        self.lower.iter().find_map(|(top, ground)| {
            let rest = ground.path_of_host(link)?;
            let full = match (top.is_empty(), rest.is_empty()) {
                (true, _) => rest,
                (_, true) => top.clone(),
                _ => [top.as_slice(), b"/", &rest].concat(),
            };
            let is_hidden = self.lower.iter().any(|(other, _)| {
                other.len() > top.len()
                    && full
                        .strip_prefix(other.as_slice())
                        .is_some_and(|r| r.is_empty() || r.first() == Some(&b'/'))
            });
            (!is_hidden).then_some(full)
        })
    }

    /// Whether the kernel finds the same as the view under a path of the tree below.
    pub(super) fn lower_is_the_hosts(&self, wanted: &[u8]) -> bool {
        let mut best: Option<(usize, &Ground, &[u8])> = None;
        for (top, ground) in &self.lower {
            let rest = match (top.as_slice(), wanted.strip_prefix(top.as_slice())) {
                (b"", _) => wanted,
                (_, Some([])) => b"",
                (_, Some([b'/', rest @ ..])) => rest,
                _ => continue,
            };
            if best.is_none_or(|(length, ..)| top.len() >= length) {
                best = Some((top.len(), ground, rest));
            }
        }
        best.is_some_and(|(_, ground, rest)| ground.is_the_hosts(rest))
    }

    /// Whether the kernel finds the same as the view under every path of the tree below.
    pub(super) fn is_all_the_hosts(&self) -> bool {
        self.lower.iter().all(|(_, ground)| matches!(ground, Ground::Host(_)))
    }

    /// The figures of the tree below.
    pub(super) fn statfs(&self) -> Result<StatFs> {
        let outermost = self.lower.iter().find(|(top, _)| top.is_empty());
        outermost.ok_or(Errno::EIO)?.1.statfs()
    }
}
