//! Paths relative to the root of a store or a lower tree: bytes, canonical, without a leading slash.
//!
//! The empty path is the root. A path holds no empty component, no `.` and no `..`; the name walk above
//! has already settled links and dots, so these functions never look at a file system.

use crate::Error;
use abi::fs::NAME_BYTES_MAX;

/// The directory at the root of a store that holds everything which is not in its place in the tree.
pub const PRIVATE_DIR: &[u8] = b".viewos";

/// The prefix of marker files where devices 0:0 cannot be made.
pub const MARKER_PREFIX: &[u8] = b".wh.";

/// The marker file that makes a directory opaque where xattrs are refused.
pub const MARKER_OPAQUE: &[u8] = b".wh..wh..opq";

/// The components of `path`, in order.
pub fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&b| b == b'/').filter(|c| !c.is_empty())
}

/// `path` without leading slashes, checked to be canonical.
///
/// # Errors
/// In check order:
/// - [`Error::BadPath`] if a component is empty, `.` or `..`, or holds a NUL.
/// - [`Error::NameTooLong`] if a component is longer than 255 bytes.
pub fn canonical(path: &[u8]) -> Result<&[u8], Error> {
    let start = path.iter().position(|&b| b != b'/').unwrap_or(path.len());
    let path = path.get(start..).unwrap_or_default();
    if path.is_empty() {
        return Ok(path);
    }
    for component in path.split(|&b| b == b'/') {
        if component.is_empty() || component == b"." || component == b".." || component.contains(&0)
        {
            return Err(Error::BadPath { path: path.to_vec() });
        }
        if component.len() > NAME_BYTES_MAX {
            return Err(Error::NameTooLong { bytes: component.len() });
        }
    }
    Ok(path)
}

/// Parent path and last name of `path`; `None` for the root.
#[must_use]
pub fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.is_empty() {
        return None;
    }
    Some(match path.iter().rposition(|&b| b == b'/') {
        Some(at) => (
            path.get(..at).unwrap_or_default(),
            path.get(at.saturating_add(1)..).unwrap_or_default(),
        ),
        None => (b"".as_slice(), path),
    })
}

/// `parent` and `name` joined.
#[must_use]
pub fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    if parent.is_empty() {
        return name.to_vec();
    }
    let mut joined = Vec::with_capacity(parent.len().saturating_add(name.len()).saturating_add(1));
    joined.extend_from_slice(parent);
    joined.push(b'/');
    joined.extend_from_slice(name);
    joined
}

/// What is left of `path` after `ancestor`, without a leading slash; empty if they are the same, `None` if
/// `path` is not at or below `ancestor`.
#[must_use]
pub fn strip<'a>(path: &'a [u8], ancestor: &[u8]) -> Option<&'a [u8]> {
    if ancestor.is_empty() {
        return Some(path);
    }
    let rest = path.strip_prefix(ancestor)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix(b"/") }
}

/// Whether `path` is the store's private directory or below it.
#[must_use]
pub fn is_private(path: &[u8]) -> bool {
    strip(path, PRIVATE_DIR).is_some()
}

/// The marker file that whites out `name`.
pub(crate) fn marker_of(name: &[u8]) -> Vec<u8> {
    let mut marker = MARKER_PREFIX.to_vec();
    marker.extend_from_slice(name);
    marker
}

/// For messages.
#[must_use]
pub fn show(path: &[u8]) -> String {
    format!("/{}", String::from_utf8_lossy(path))
}

#[cfg(test)]
mod tests {
    use super::{canonical, components, join, split, strip};

    #[test]
    fn canonical_takes_leading_slashes_and_refuses_dots() {
        assert_eq!(canonical(b"//a/b").unwrap(), b"a/b");
        assert_eq!(canonical(b"/").unwrap(), b"");
        for bad in [b"a//b".as_slice(), b"a/", b"./a", b"a/..", b"a\0b"] {
            assert!(canonical(bad).is_err(), "{bad:?}");
        }
        assert!(canonical(&[b'x'; 256]).is_err());
    }

    #[test]
    fn split_join_and_strip_agree() {
        assert_eq!(split(b"a/b/c"), Some((b"a/b".as_slice(), b"c".as_slice())));
        assert_eq!(split(b"a"), Some((b"".as_slice(), b"a".as_slice())));
        assert_eq!(split(b""), None);
        assert_eq!(join(b"", b"a"), b"a");
        assert_eq!(strip(b"a/bc", b"a/b"), None);
        assert_eq!(strip(b"a/b/c", b"a"), Some(b"b/c".as_slice()));
        assert_eq!(strip(b"a", b"a"), Some(b"".as_slice()));
        assert_eq!(components(b"a/b").collect::<Vec<_>>(), [b"a", b"b"]);
    }
}
