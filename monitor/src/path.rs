//! Paths of a view: absolute, bytes, without `.`, `..` or doubled slashes. `/` is `b"/"`.

use std::borrow::Cow;

/// Appends one component.
pub(crate) fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(dir.len() + name.len() + 1);
    path.extend_from_slice(dir);
    if dir != b"/" {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// Appends a relative path as it stands.
pub(crate) fn append(dir: &[u8], rest: &[u8]) -> Vec<u8> {
    if rest.is_empty() { dir.to_vec() } else { join(dir, rest) }
}

/// Splits off the last component; `None` for the root.
pub(crate) fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = path.iter().rposition(|&b| b == b'/')?;
    let name = &path[at + 1..];
    if name.is_empty() {
        return None;
    }
    Some((if at == 0 { b"/" } else { &path[..at] }, name))
}

/// What follows `prefix` in `path`, without leading slash, if `path` is `prefix` or below it.
pub(crate) fn below<'a>(path: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    if prefix == b"/" {
        return Some(&path[1..]);
    }
    let rest = path.strip_prefix(prefix)?;
    match rest.first() {
        None => Some(rest),
        Some(b'/') => Some(&rest[1..]),
        Some(_) => None,
    }
}

/// The components, empty and `.` left out.
pub(crate) fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&b| b == b'/').filter(|c| !c.is_empty() && *c != b".")
}

/// Whether any component is `..`.
pub(crate) fn has_dotdot(path: &[u8]) -> bool {
    path.windows(2).any(|w| w == b"..") && components(path).any(|c| c == b"..")
}

/// An absolute path in its plain form, `..` taken as text: only right where no link is on the way.
pub(crate) fn normalize(path: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(path.len());
    for c in components(path) {
        if c == b".." {
            let cut = out.iter().rposition(|&b| b == b'/').unwrap_or(0);
            out.truncate(cut);
        } else {
            out.push(b'/');
            out.extend_from_slice(c);
        }
    }
    if out.is_empty() {
        out.push(b'/');
    }
    out
}

/// [`normalize`], without a copy of what is plain already.
pub(crate) fn plain(path: &[u8]) -> Cow<'_, [u8]> {
    let is_plain = path == b"/"
        || path.first() == Some(&b'/')
            && path[1..].split(|&b| b == b'/').all(|c| !c.is_empty() && c != b"." && c != b"..");
    if is_plain { Cow::Borrowed(path) } else { Cow::Owned(normalize(path)) }
}

/// The path as text for messages and the control call.
pub(crate) fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// The bytes as an OS path.
pub(crate) fn os(path: &[u8]) -> &std::path::Path {
    use std::os::unix::ffi::OsStrExt;
    std::path::Path::new(std::ffi::OsStr::from_bytes(path))
}

#[cfg(test)]
mod tests {
    use super::{append, below, has_dotdot, join, normalize, plain, split};
    use std::borrow::Cow;

    #[test]
    fn plain_form_has_one_slash_between_components() {
        assert_eq!(normalize(b"//a/./b//c/"), b"/a/b/c");
        assert_eq!(normalize(b"/a/../../b"), b"/b");
        assert_eq!(normalize(b"/.."), b"/");
        assert_eq!(join(b"/", b"a"), b"/a");
        assert_eq!(append(b"/a", b"b/c"), b"/a/b/c");
        assert_eq!(append(b"/a", b""), b"/a");
    }

    #[test]
    fn a_plain_path_is_not_copied() {
        for path in [&b"/"[..], b"/a", b"/a/.b/c..", b"/a/b/"] {
            let is_borrowed = matches!(plain(path), Cow::Borrowed(_));
            assert_eq!(is_borrowed, normalize(path) == path, "{path:?}");
            assert_eq!(*plain(path), normalize(path), "{path:?}");
        }
    }

    #[test]
    fn prefixes_end_at_components() {
        assert_eq!(below(b"/mnt/x", b"/mnt"), Some(&b"x"[..]));
        assert_eq!(below(b"/mnt", b"/mnt"), Some(&b""[..]));
        assert_eq!(below(b"/mntx", b"/mnt"), None);
        assert_eq!(below(b"/a", b"/"), Some(&b"a"[..]));
        assert_eq!(split(b"/a"), Some((&b"/"[..], &b"a"[..])));
        assert_eq!(split(b"/a/b"), Some((&b"/a"[..], &b"b"[..])));
        assert_eq!(split(b"/"), None);
    }

    #[test]
    fn two_dots_count_only_as_a_component() {
        assert!(has_dotdot(b"a/../b"));
        assert!(has_dotdot(b".."));
        assert!(!has_dotdot(b"a..b/c.."));
    }
}
