//! What a store changes, as lines for people: a letter and a path, and for text the lines that differ.

use abi::fs::FileKind;
use cow_store::dir::{Dir, HostDir, OpenFile};
use cow_store::{Difference, Differs, Error, OFlags, Store};
use std::io::{self, Read, Write};

/// The most bytes of a file that is compared by lines.
const TEXT_BYTES_MAX: u64 = 4 << 20;

/// The end of a colour.
const PLAIN: &str = "\x1b[0m";

/// The letter and the colour of a difference.
const fn mark(difference: Difference) -> (char, &'static str) {
    match difference {
        Difference::Added => ('A', "\x1b[32m"),
        Difference::Changed => ('M', "\x1b[33m"),
        Difference::Deleted => ('D', "\x1b[31m"),
        Difference::Metadata => ('a', "\x1b[36m"),
    }
}

/// A path of the view, absolute, with what a terminal would obey written as escapes.
#[must_use]
pub fn show(path: &[u8]) -> String {
    let mut text = String::from("/");
    for c in String::from_utf8_lossy(path).chars() {
        if c.is_control() {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
    }
    text
}

/// The letter, the path and, of a directory, a slash; without the end of the line.
#[must_use]
pub fn line_of(differs: &Differs, colors: bool) -> String {
    let (letter, color) = mark(differs.difference);
    let (start, end) = if colors { (color, PLAIN) } else { ("", "") };
    let slash = if differs.kind == FileKind::Directory { "/" } else { "" };
    format!("{start}{letter} {}{slash}{end}", show(&differs.path))
}

/// Writes the line of one difference.
///
/// # Errors
/// Those of `out`.
pub fn write_line(out: &mut impl Write, differs: &Differs, colors: bool) -> io::Result<()> {
    writeln!(out, "{}", line_of(differs, colors))
}

/// The whole file if it is text, not large and can be read.
fn text_of(fd: Option<Result<OpenFile, Error>>) -> Option<String> {
    let mut text = String::new();
    let Some(fd) = fd else { return Some(text) };
    let fd = fd.ok()?;
    let mut file = fd.reader().take(TEXT_BYTES_MAX.saturating_add(1));
    file.read_to_string(&mut text).ok()?;
    let is_small = u64::try_from(text.len()).is_ok_and(|n| n <= TEXT_BYTES_MAX);
    (is_small && !text.contains('\0')).then_some(text)
}

/// Writes the lines by which a regular file of the store differs from the lower one; of what is no text or
/// can't be read, that it is so.
///
/// # Errors
/// Those of `out`.
pub fn write_text(
    out: &mut impl Write,
    store: &Store,
    lower: &HostDir,
    differs: &Differs,
    colors: bool,
) -> io::Result<()> {
    let path = &differs.path;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    let below = || {
        let fd = lower.open(path, flags, 0);
        fd.map_err(|errno| Error::Host { call: "open", path: path.clone(), errno })
    };
    let (old, new) = match differs.difference {
        Difference::Metadata => return Ok(()),
        Difference::Added => (None, Some(store.open_upper(path, flags))),
        Difference::Changed => (Some(below()), Some(store.open_upper(path, flags))),
        Difference::Deleted => (Some(below()), None),
    };
    let (Some(old), Some(new)) = (text_of(old), text_of(new)) else {
        return writeln!(out, "  (not text, too large, or not readable)");
    };
    let diff = similar::TextDiff::from_lines(&old, &new);
    for hunk in diff.unified_diff().context_radius(3).iter_hunks() {
        for line in hunk.to_string().lines() {
            let color = match line.bytes().next() {
                Some(b'+') => "\x1b[32m",
                Some(b'-') => "\x1b[31m",
                Some(b'@') => "\x1b[36m",
                _ => "",
            };
            let (start, end) = if colors && !color.is_empty() { (color, PLAIN) } else { ("", "") };
            writeln!(out, "{start}{line}{end}")?;
        }
    }
    Ok(())
}
