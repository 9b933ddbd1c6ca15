//! `viewfs diff`.

use crate::output::has_colors;
use crate::{Outcome, open_lower, open_store, view_paths};
use abi::fs::FileKind;
use anyhow::Result;
use cow_store::path::strip;
use cow_store::{Access, Difference, Differs};
use serde::Serialize;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use viewfs::{write_line, write_text};

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
