//! `viewfs diff`.

use crate::output::{PLAIN, has_colors, mark, show};
use crate::{Outcome, open_lower, open_store, view_paths};
use abi::fs::FileKind;
use anyhow::Result;
use cow_store::dir::{Dir, HostDir, OpenFile};
use cow_store::path::strip;
use cow_store::{Access, Difference, Differs, OFlags, Store};
use serde::Serialize;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::PathBuf;

/// The most bytes of a file that is compared by lines.
const TEXT_BYTES_MAX: u64 = 4 << 20;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The directory of the store
    store: PathBuf,
    /// Only these paths of the view and what is below them
    paths: Vec<OsString>,
    /// The tree below the store
    #[arg(long, default_value = "/", value_name = "DIR")]
    lower: PathBuf,
    /// Write a JSON array
    #[arg(long, conflicts_with = "text")]
    json: bool,
    /// Show the lines that changed in text files
    #[arg(long)]
    text: bool,
    /// Exit with 1 if there is a difference
    #[arg(long)]
    exit_code: bool,
}

/// One difference in JSON.
#[derive(Serialize)]
struct Line {
    path: String,
    /// The bytes of a path that is not UTF-8, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    change: &'static str,
    kind: &'static str,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Outcome> {
    let store = open_store(&arguments.store, Access::ReadOnly)?;
    let lower = open_lower(&arguments.lower)?;
    let chosen = view_paths(&arguments.paths)?;
    let mut found = store.diff(&lower)?;
    found.retain(|d| chosen.is_empty() || chosen.iter().any(|c| strip(&d.path, c).is_some()));
    let mut out = std::io::stdout().lock();
    if arguments.json {
        let lines: Vec<Line> = found.iter().map(line_of).collect();
        serde_json::to_writer_pretty(&mut out, &lines)?;
        writeln!(out)?;
    } else {
        let colors = has_colors();
        for differs in &found {
            write_line(&mut out, differs, colors)?;
            if arguments.text && differs.kind == FileKind::Regular {
                write_text(&mut out, &store, &lower, differs, colors)?;
            }
        }
    }
    out.flush()?;
    let differs = arguments.exit_code && !found.is_empty();
    Ok(if differs { Outcome::Partly } else { Outcome::Done })
}

pub(crate) fn write_line(
    out: &mut impl Write,
    differs: &Differs,
    colors: bool,
) -> std::io::Result<()> {
    let (letter, color) = mark(differs.difference);
    let (start, end) = if colors { (color, PLAIN) } else { ("", "") };
    let slash = if differs.kind == FileKind::Directory { "/" } else { "" };
    writeln!(out, "{start}{letter} {}{slash}{end}", show(&differs.path))
}

fn line_of(differs: &Differs) -> Line {
    let text = std::str::from_utf8(&differs.path);
    Line {
        path: format!("/{}", String::from_utf8_lossy(&differs.path)),
        path_hex: text.is_err().then(|| differs.path.iter().map(|b| format!("{b:02x}")).collect()),
        change: match differs.difference {
            Difference::Added => "added",
            Difference::Changed => "changed",
            Difference::Deleted => "deleted",
            Difference::Metadata => "metadata",
        },
        kind: match differs.kind {
            FileKind::Regular => "file",
            FileKind::Directory => "directory",
            FileKind::Symlink => "symlink",
            FileKind::CharDevice => "char",
            FileKind::BlockDevice => "block",
            FileKind::Fifo => "fifo",
            FileKind::Socket => "socket",
        },
    }
}

/// The whole file if it is text, not large and can be read.
fn text_of(fd: Option<OpenFile>) -> Option<String> {
    let mut text = String::new();
    let Some(fd) = fd else { return Some(text) };
    let mut file = fd.reader().take(TEXT_BYTES_MAX + 1);
    file.read_to_string(&mut text).ok()?;
    let is_small = u64::try_from(text.len()).is_ok_and(|n| n <= TEXT_BYTES_MAX);
    (is_small && !text.contains('\0')).then_some(text)
}

fn write_text(
    out: &mut impl Write,
    store: &Store,
    lower: &HostDir,
    differs: &Differs,
    colors: bool,
) -> Result<()> {
    let path = &differs.path;
    let old = match differs.difference {
        Difference::Added => None,
        Difference::Metadata => return Ok(()),
        _ => Some(lower.open(path, OFlags::RDONLY | OFlags::NONBLOCK, 0)?),
    };
    let new = match differs.difference {
        Difference::Deleted => None,
        _ => Some(store.open_upper(path, OFlags::RDONLY | OFlags::NONBLOCK)?),
    };
    let (Some(old), Some(new)) = (text_of(old), text_of(new)) else {
        writeln!(out, "  (not text, or too large)")?;
        return Ok(());
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
